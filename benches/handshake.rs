//! What a session's beginning costs: the hellos, each side alone and both together. No IO, one thread.
#![allow(missing_docs, reason = "the macros of criterion write functions")]

mod support;

use core::time::Duration;
use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use support::{client, configs, credential, psk, server, server_key};
use xllm_proxy::proto::{
    AES_GCM, Credential, Event, Profile, Terms,
    crypto::Secret,
    handshake::{Initiator, Responder, ServerHello},
    limits,
};

const NOW: Duration = Duration::from_secs(1000);
const UNIX_MS: u64 = 1_795_435_200_000;

fn start(credential: &Credential) -> (Initiator, [u8; limits::HELLO]) {
    Initiator::start(credential, Profile::Pad, Secret::new([3; 32]), &AES_GCM).expect("starts")
}

fn hellos(c: &mut Criterion) {
    let key = server_key();
    let credential = credential(&key);
    let open = |hello| Responder::open(hello, &key, Secret::new([4; 32]), &AES_GCM);
    let said = ServerHello {
        profile: Profile::Pad,
        exchanges: 256,
        credit: 1 << 20,
        buffered: 1 << 23,
        idle: 600,
        unix_ms: UNIX_MS,
        node: None,
        hold: 0,
        instance: None,
    };
    let (_, first) = start(&credential);
    let mut stranger = first;
    stranger[limits::HELLO - 1] ^= 1;
    let (second, _) = open(&first).and_then(|responder| responder.answer(&psk(), &said)).expect("answers");

    let mut group = c.benchmark_group("handshake");
    group.bench_function("client: start", |b| b.iter(|| start(black_box(&credential))));
    group.bench_function("server: open and answer", |b| {
        b.iter(|| open(black_box(&first)).and_then(|responder| responder.answer(&psk(), &said)).expect("answers"));
    });
    // What anyone can make a server do with 256 bytes.
    group.bench_function("server: refuse a stranger", |b| b.iter(|| open(black_box(&stranger)).expect_err("is refused")));
    group.bench_function("client: finish", |b| {
        b.iter_batched(|| start(&credential).0, |initiator| initiator.finish(&second).expect("opens"), BatchSize::SmallInput);
    });
    group.finish();
}

/// From two fresh ends to the first record that proves the client's key.
fn session(c: &mut Criterion) {
    let (near, far) = configs();
    c.bench_function("session, both sides", |b| {
        b.iter(|| {
            let mut client = client(near.clone(), NOW, &AES_GCM);
            let mut server = server(far.clone(), NOW, &AES_GCM);
            let mut wire = BytesMut::with_capacity(1024);
            client.poll_transmit(NOW, &mut wire);
            server.receive(NOW, &mut wire);
            assert!(matches!(server.poll_event(), Some(Event::Hello(_))));
            server.answer_hello(Some(&psk()), &Terms::default(), UNIX_MS).expect("a hello waits");
            server.poll_transmit(NOW, &mut wire);
            client.receive(NOW, &mut wire);
            client.poll_transmit(NOW, &mut wire);
            server.receive(NOW, &mut wire);
            assert_eq!(server.poll_event(), Some(Event::Established(None)));
        });
    });
}

criterion_group!(benches, hellos, session);
criterion_main!(benches);
