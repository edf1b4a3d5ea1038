//! The same bytes, cut anywhere, give the same events and the same answer.
//!
//! Script: shape (bit 0: the subject is a client; bit 1: raw bytes behind the records), the records' plaintexts up to an empty
//! one, then the sizes of the cuts, then the raw bytes.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use support::{Peer, START, Script, receive};
use xllm_proxy::proto::{Connection, Event, Profile};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let shape = script.byte();
    let subject = || if shape & 1 == 0 { Peer::client(Profile::Off, START) } else { established() };
    let (mut peer, whole) = subject();
    let mut wire = BytesMut::new();
    loop {
        let plaintext = script.piece();
        if plaintext.is_empty() {
            break;
        }
        peer.seal(&mut wire, plaintext);
    }
    let cuts = script.piece();
    if shape & 2 != 0 {
        wire.extend_from_slice(script.rest());
    }

    let (_, pieces) = subject();
    let expected = run(whole, &wire, &[]);
    let found = run(pieces, &wire, cuts);
    assert_eq!(expected.0, found.0);
    assert_eq!(expected.1, found.1);
});

/// A client with an exchange open, so that responses have a place.
fn established() -> (Peer, Connection) {
    let (peer, mut client) = Peer::server(Profile::Off, START);
    for shape in [0, 2 | 8] {
        client.request(START, &Script::new(&[shape]).request()).expect("an exchange");
    }
    (peer, client)
}

/// Events and answer. At every cut there is also a look at the timeouts, of which none is due.
fn run(mut end: Connection, mut wire: &[u8], cuts: &[u8]) -> (Vec<Event>, BytesMut) {
    let mut input = BytesMut::new();
    let mut events = Vec::new();
    for &cut in cuts {
        let (piece, rest) = wire.split_at(usize::from(cut).min(wire.len()));
        wire = rest;
        input.extend_from_slice(piece);
        end.handle_timeout(START);
        events.extend(receive(&mut end, START, &mut input));
    }
    input.extend_from_slice(wire);
    events.extend(receive(&mut end, START, &mut input));
    let mut out = BytesMut::new();
    while end.poll_transmit(START, &mut out) {}
    events.extend(core::iter::from_fn(|| end.poll_event()));
    (events, out)
}
