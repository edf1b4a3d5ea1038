//! What a record costs: sealing and opening, and the frames inside. No IO, one thread.
//!
//! 128 bytes is about one token's DATA under profile `off`, 512 the same under `pad`, 16 KiB the largest record. Each by AWS-LC,
//! which the programs use, and by the portable cipher, which the core has without it.
#![allow(missing_docs, reason = "the macros of criterion write functions")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use xllm_proxy::proto::{
    AES_GCM, AWS_LC, Profile, Role,
    crypto::{Secret, Suite},
    frame::{self, BodyLength, Frame, Header, Mode, Policy, Request},
    keys::Schedule,
    record::{Opener, Sealer},
};

const SIZES: [usize; 3] = [128, 512, 16 * 1024];
/// Records a batch of the opener: it takes them in their order alone.
const BATCH: usize = 64;

fn schedule() -> Schedule {
    Schedule::new(&[1; 32], &Secret::new([2; 32]))
}

fn seal(sealer: &mut Sealer, out: &mut BytesMut, plaintext: &[u8]) {
    let start = Sealer::begin(out);
    out.extend_from_slice(plaintext);
    sealer.seal(out, start).expect("a plaintext within its limits");
}

fn records(c: &mut Criterion) {
    let suites: [(&str, &'static dyn Suite); 2] = [("AWS-LC", &AWS_LC), ("portable", &AES_GCM)];
    let mut group = c.benchmark_group("seal");
    for (name, suite) in suites {
        for size in SIZES {
            let plaintext = vec![7; size];
            let mut sealer = Sealer::new(schedule(), suite);
            let mut out = BytesMut::new();
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(format!("{size}, {name}"), |b| {
                b.iter(|| {
                    out.clear();
                    seal(&mut sealer, &mut out, black_box(&plaintext));
                });
            });
        }
    }
    group.finish();

    let mut group = c.benchmark_group("open");
    for (name, suite) in suites {
        for size in SIZES {
            let mut sealer = Sealer::new(schedule(), suite);
            let mut wire = BytesMut::new();
            for _ in 0..BATCH {
                seal(&mut sealer, &mut wire, &vec![7; size]);
            }
            group.throughput(Throughput::Bytes((BATCH * size) as u64));
            group.bench_function(format!("{BATCH} x {size}, {name}"), |b| {
                let fresh = || (Opener::new(schedule(), suite), BytesMut::from(&wire[..]));
                b.iter_batched(
                    fresh,
                    |(mut opener, mut input)| {
                        for _ in 0..BATCH {
                            black_box(opener.open(&mut input).expect("verifies").expect("is whole"));
                        }
                    },
                    BatchSize::LargeInput,
                );
            });
        }
    }
    group.finish();
}

fn request() -> Request {
    let header = |name: &str, value: &'static str| Header { name: name.into(), value: Bytes::from_static(value.as_bytes()) };
    Request {
        id: [7; 16],
        method: "POST".into(),
        url: "https://api.anthropic.com/v1/messages".into(),
        headers: vec![
            header("content-type", "application/json"),
            header("accept", "text/event-stream"),
            header("anthropic-version", "2023-06-01"),
            header(
                "x-api-key",
                "a key of about the usual length, which is around a hundred characters for the providers there are",
            ),
        ],
        mode: Mode::Streaming,
        timings: false,
        policy: Policy::Neutral,
        body: BodyLength::Known(512),
        credit: 1 << 20,
    }
}

fn frames(c: &mut Criterion) {
    let token = Frame::Data { seq: 77, payload: Bytes::from(vec![b'x'; 120]) };
    let request = Frame::Request(Box::new(request()));
    let mut group = c.benchmark_group("frame");
    for (name, frame, from) in [("DATA", &token, Role::Server), ("REQUEST", &request, Role::Client)] {
        let mut out = BytesMut::with_capacity(1024);
        group.bench_function(format!("encode {name}"), |b| {
            b.iter(|| {
                out.clear();
                black_box(frame).encode(1, &mut out).expect("a frame within its limits");
            });
        });
        // As under profile `pad`: with the padding, which is checked.
        let used = out.len();
        out.resize(Profile::Pad.padded(used), 0);
        let record = out.freeze();
        group.bench_function(format!("decode {name}, padded"), |b| {
            b.iter(|| {
                let mut at = 0;
                while let Some(frame) = frame::decode(black_box(&record), &mut at, from).expect("a frame that can be read") {
                    black_box(frame);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, records, frames);
criterion_main!(benches);
