//! Two decoders that were written apart, from protocol.md, say the same of any bytes: of the plaintext of a record, hello payloads,
//! credentials, and what a client says in a session.
//!
//! Script: what it is about, then the bytes; those of a session are pieces.
#![no_main]

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use support::{
    Peer, QUICK, START, Script, client_ephemeral, client_hello, credential, python, python::About, receive, server_ephemeral,
    server_hello, server_key,
};
use xllm_proxy::proto::{
    Closed, Credential, Event, Profile, Role, frame,
    handshake::{Initiator, Responder},
    keys::KeyError,
};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let about = script.byte();
    match about % 6 {
        0 => plaintext(About::AtServer, Role::Client, script.rest()),
        1 => plaintext(About::AtClient, Role::Server, script.rest()),
        2 => {
            let payload = script.array();
            let opened = Responder::open(&client_hello(&payload), &server_key(), server_ephemeral(), &QUICK);
            let ours =
                opened.map(|responder| format!("{} {}", hex(&responder.hello().key_id.0), responder.hello().profile.number()));
            same(About::ClientHello, &payload, ours.unwrap_or_else(|error| error.code().name().into()));
        }
        3 => {
            let payload = script.array();
            let (initiator, hello) = Initiator::start(&credential(), Profile::Off, client_ephemeral(), &QUICK).expect("starts");
            let ours = initiator.finish(&server_hello(&hello, &payload)).map(|(said, _)| {
                let node = said.node.as_ref().map_or("-".into(), |node| hex(node.as_bytes()));
                let instance = said.instance.map_or("-".into(), |id| hex(&id));
                let numbers = [
                    said.profile.number(),
                    said.exchanges.into(),
                    said.credit,
                    said.buffered,
                    said.idle,
                    said.unix_ms,
                    said.hold,
                ];
                let numbers = numbers.iter().fold(String::new(), |mut text, number| {
                    let _ = write!(text, "{number} ");
                    text
                });
                format!("{numbers}{node} {instance}")
            });
            same(About::ServerHello, &payload, ours.unwrap_or_else(|error| error.code().name().into()));
        }
        4 => {
            let Ok(text) = str::from_utf8(script.rest()) else { return };
            let ours = match text.parse::<Credential>() {
                Ok(found) => format!("{} {} {}", hex(&found.key_id.0), hex(found.psk.expose()), hex(&found.server)),
                Err(KeyError::Prefix) => "prefix".into(),
                Err(KeyError::Length { .. }) => "length".into(),
                Err(KeyError::Alphabet) => "alphabet".into(),
                Err(KeyError::Checksum) => "checksum".into(),
            };
            same(About::Credential, text.as_bytes(), ours);
        }
        _ => session(script),
    }
});

fn same(about: About, data: &[u8], ours: String) {
    // Of two faults in one head, either may be told (section 1.3 of protocol.md).
    let either = |said: String| said.replace("too-large", "malformed");
    assert_eq!(either(ours), either(python::ask(about, data)), "ours is on the left; of {}", hex(data));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Each frame as it is written anew, and how it ends.
fn plaintext(about: About, from: Role, data: &[u8]) {
    if !(1..=16_384).contains(&data.len()) {
        return;
    }
    let (record, mut at, mut lines) = (Bytes::copy_from_slice(data), 0, Vec::new());
    let outcome = loop {
        match frame::decode(&record, &mut at, from) {
            Ok(Some((exchange, frame))) => {
                let mut out = BytesMut::new();
                frame.encode(exchange, &mut out).expect("what was read can be written");
                lines.push(hex(&out));
            }
            Ok(None) => break "ok",
            Err(error) => break error.code().name(),
        }
    };
    lines.push(outcome.into());
    same(about, data, lines.join("\n"));
}

/// What a client says, frame by frame, to a server whose program answers nothing.
fn session(mut script: Script<'_>) {
    let (mut peer, mut subject) = Peer::client(Profile::Off, START);
    let (mut said, mut ended) = (BytesMut::new(), None);
    while ended.is_none() && !script.is_empty() {
        let piece = Bytes::copy_from_slice(script.piece());
        let mut at = 0;
        while ended.is_none() && at < piece.len() {
            let begin = at;
            let more = frame::decode(&piece, &mut at, Role::Client).is_ok_and(|frame| frame.is_some());
            let record = if more { piece.slice(begin..at) } else { piece.slice(begin..) };
            if !more {
                at = piece.len();
            }
            if record.len() > 16_384 {
                return;
            }
            said.put_u16(record.len() as u16);
            said.put_slice(&record);
            let mut wire = BytesMut::new();
            peer.seal(&mut wire, &record);
            for event in receive(&mut subject, START, &mut wire) {
                match event {
                    Event::Resume(number, _) => subject.gone(number),
                    Event::Closed { why: Closed::Fault(error), .. } => ended = Some(error.code().name().to_owned()),
                    Event::Closed { why: Closed::Refused(_) | Closed::Done, .. } => ended = Some("ok".into()),
                    Event::Closed { why, .. } => panic!("{why:?}"),
                    _ => {}
                }
            }
            let mut out = BytesMut::new();
            while subject.poll_transmit(START, &mut out) {}
            let closed = core::iter::from_fn(|| subject.poll_event()).any(|event| matches!(event, Event::Closed { .. }));
            if closed && ended.is_none() {
                ended = Some("ok".into());
            }
        }
    }
    same(About::Session, &said, ended.unwrap_or_else(|| "ok".into()));
}
