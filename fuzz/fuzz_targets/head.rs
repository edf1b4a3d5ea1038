//! Any bytes as the head of a frame. What is taken is one CBOR map in deterministic encoding, as a library for CBOR understands it, and
//! so is what is written.
//!
//! Script: which frame, then the head.
#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use ciborium::Value;
use libfuzzer_sys::fuzz_target;
use support::Script;
use xllm_proxy::proto::{
    Role,
    frame::{self, Frame, kind},
};

/// Frames with a head, who sends them, and on which exchange.
const HEADS: [(u8, Role, u32); 8] = [
    (kind::REQUEST, Role::Client, 1),
    (kind::BODY_END, Role::Client, 1),
    (kind::RESPONSE, Role::Server, 1),
    (kind::END, Role::Server, 1),
    (kind::ERROR, Role::Server, 1),
    (kind::GOAWAY, Role::Server, 0),
    (kind::RESUME, Role::Client, 1),
    (kind::RESUMED, Role::Server, 1),
];

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let (kind, from, exchange) = HEADS[usize::from(script.byte()) % HEADS.len()];
    let head = script.rest();
    let Some(frame) = read(kind, from, exchange, head) else { return };
    canonical(head);
    let mut out = BytesMut::new();
    frame.encode(exchange, &mut out).expect("what was read can be written");
    let prefix = frame::framed_len(exchange, out.len()) - out.len();
    let written = (1..prefix + 12).find_map(|at| {
        let head = out.get(at..)?;
        (read(kind, from, exchange, head).as_ref() == Some(&frame)).then_some(head)
    });
    canonical(written.expect("the head is in what was written"));
});

fn read(kind: u8, from: Role, exchange: u32, head: &[u8]) -> Option<Frame> {
    let has_seq = matches!(kind, kind::RESPONSE | kind::END | kind::ERROR);
    let mut record = BytesMut::new();
    frame::put_header(&mut record, kind, exchange, head.len() + usize::from(has_seq));
    if has_seq {
        record.put_u8(0);
    }
    record.put_slice(head);
    frame::decode(&Bytes::from(record), &mut 0, from).ok().flatten().map(|(_, frame)| frame)
}

/// Fails for what is not one map, or is written in another way than the deterministic one. The library does not have every simple value.
fn canonical(head: &[u8]) {
    let value: Value = match ciborium::from_reader(head) {
        Ok(value) => value,
        Err(ciborium::de::Error::Semantic(..)) => return,
        Err(error) => panic!("a library cannot read it: {error}"),
    };
    let mut again = Vec::new();
    ciborium::into_writer(&value, &mut again).expect("and write it");
    // There, `undefined` becomes null, large numbers, which are tags, what they stand for, and each NaN a quiet one.
    let loses = head.windows(2).any(|pair| matches!(pair, [0xc2 | 0xc3 | 0xf7 | 0xf9, _] | [0xfa | 0xfb, 0x7f | 0xff]))
        || head.ends_with(&[0xf7]);
    assert!(head == again || loses, "one encoding: {head:02x?}, {again:02x?}");
    let Value::Map(pairs) = value else { panic!("a map") };
    let keys: Vec<u64> = pairs
        .iter()
        .map(|(key, _)| key.as_integer().and_then(|key| key.try_into().ok()).expect("an unsigned integer"))
        .collect();
    assert!(keys.is_sorted_by(|a, b| a < b), "ascending");
}
