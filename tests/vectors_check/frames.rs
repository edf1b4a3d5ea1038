//! `varint.json`: section 1.2, and the single frames of `frames.json`: section 5.

use bytes::{Bytes, BytesMut};
use serde_json::json;
use xllm_proxy::proto::{
    Error, Role,
    frame::{self, Frame, Stamps},
    wire::{self, Reader},
};

use crate::{
    fields::{frame_json, normal},
    reading::{bytes, cases, name, number, role, vectors},
};

#[test]
fn varints_are_read_and_written_as_the_vectors_say() {
    let file = vectors!("varint");
    for case in cases(&file, "valid") {
        let (value, expected) = (number(&case["value"]), bytes(&case["bytes"]));
        let mut out = BytesMut::new();
        wire::put_varint(&mut out, value);
        assert_eq!(out, expected, "{value}");
        assert_eq!(wire::varint_len(value), expected.len(), "{value}");
        let mut reader = Reader::new(&expected);
        assert_eq!(reader.varint(), Ok(value));
        assert!(reader.is_empty(), "{value}");
    }
    for case in cases(&file, "invalid") {
        assert!(matches!(Reader::new(&bytes(&case["bytes"])).varint(), Err(Error::Malformed(_))), "{}", name(case));
    }
}

#[test]
fn valid_frames_have_their_fields_and_are_written_as_they_were_read() {
    for case in cases(&vectors!("frames"), "valid") {
        let name = name(case);
        let record = Bytes::from(bytes(&case["bytes"]));
        let mut at = 0;
        let (exchange, mut frame) = frame::decode(&record, &mut at, role(&case["from"])).expect(name).unwrap();
        assert_eq!(at, record.len(), "{name}");
        let whole = frame.clone();
        let mut stamps = None;
        if let (Frame::Data { payload, .. }, true) = (&mut frame, case["timings"] == true) {
            stamps = Some(Stamps::split(payload).unwrap());
        }
        assert_eq!(frame_json(exchange, &frame, stamps), normal(&case["frame"]), "{name}");
        // An empty list or receipt may be said or left out; we leave it out.
        let empty = |key: &str| case["frame"].get(key).is_some_and(|value| *value == json!([]) || *value == json!({}));
        if case["reencodes"] == true && !empty("trailers") && !empty("receipt") {
            let mut out = BytesMut::new();
            whole.encode(exchange, &mut out).unwrap();
            assert_eq!(out, record, "{name}");
        }
    }
}

/// Decodes a plaintext alone, every exchange being open.
fn walk(plaintext: &Bytes, from: Role, timings: bool) -> Result<(), Error> {
    let mut at = 0;
    while let Some((_, frame)) = frame::decode(plaintext, &mut at, from)? {
        if let (Frame::Data { mut payload, .. }, true) = (frame, timings) {
            Stamps::split(&mut payload)?;
        }
    }
    Ok(())
}

#[test]
fn invalid_frames_are_refused_with_their_codes() {
    let mut wrong = Vec::new();
    for case in cases(&vectors!("frames"), "invalid") {
        let from = role(&case["receiver"]).peer();
        let found = walk(&bytes(&case["bytes"]).into(), from, case["timings"] == true).map_err(|error| error.code().name());
        if found != Err(case["code"].as_str().unwrap()) {
            wrong.push(format!("{}: {found:?}, not {}", name(case), case["code"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn requests_that_only_the_program_refuses_can_be_read() {
    for case in cases(&vectors!("frames"), "refused") {
        let record = Bytes::from(bytes(&case["bytes"]));
        let (exchange, frame) = frame::decode(&record, &mut 0, Role::Client).unwrap().unwrap();
        assert_eq!(frame_json(exchange, &frame, None), normal(&case["frame"]), "{}", name(case));
    }
}
