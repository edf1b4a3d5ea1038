//! One end under a suite without secrets: any bytes are hellos and records that verify. So the fuzzer reaches everything behind the
//! AEAD by the bytes of the wire alone.
//!
//! Script: who the subject is, and what its program does with every event; then the wire.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use support::{EXCHANGES, KEEP, NULL, RECORD, START, Script, client, psk, server, terms};
use xllm_proxy::proto::{
    Connection, Event, Role,
    frame::{Headers, Response},
};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let shape = script.byte();
    let mut end = if shape & 1 == 0 { server(START, &NULL) } else { client(script.profile(), START, &NULL) };
    let mut program = script.clone();
    let wire = script.rest();
    let (mut input, mut out) = (BytesMut::from(wire), BytesMut::new());
    if end.role() == Role::Client {
        while end.poll_transmit(START, &mut out) {}
    }
    // What may go out: hellos, answers of the program, and an answer of some bytes to each frame.
    let mut allowed = 4 * RECORD + 64 * wire.len();
    loop {
        let before = input.len();
        end.receive(START, &mut input);
        let mut any = false;
        while let Some(event) = end.poll_event() {
            any = true;
            allowed += act(&mut end, event, program.byte());
        }
        assert!(end.open_exchanges() <= EXCHANGES as usize || end.role() == Role::Client);
        while end.poll_transmit(START, &mut out) {}
        if input.len() == before && !any {
            break;
        }
    }
    assert!(input.len() < RECORD, "more than a record is left lying");
    assert!(out.len() <= allowed, "{} bytes for {}", out.len(), wire.len());
    assert!(end.queued() <= wire.len() + KEEP + 4 * RECORD, "what is kept is bounded");
    end.receive_end();
    while end.poll_event().is_some() {}
    assert!(end.is_closed() && end.open_exchanges() == 0 && end.poll_timeout().is_none());
    end.expire(START, true);
    assert!(!end.holds_any());
});

/// The program's answer to an event; how many bytes it may cost.
fn act(end: &mut Connection, event: Event, how: u8) -> usize {
    let _ = match event {
        Event::Hello(_) => end.answer_hello(Some(&psk()), &terms(), 0),
        Event::Established(Some(_)) => {
            for shape in [0, 2 | 8] {
                let _ = end.request(START, &Script::new(&[shape]).request());
            }
            Ok(())
        }
        Event::Request(number, _) if how & 1 == 0 => {
            end.called(START, number);
            let response = Response { status: 200, headers: Headers::new(), length: None };
            let _ = end.respond(START, number, &response);
            let _ = end.send_data(START, number, Bytes::from(vec![how; 64]));
            if how & 2 == 0 { end.end(number, Headers::new()) } else { Ok(()) }
        }
        Event::Resume(number, _) => {
            end.gone(number);
            Ok(())
        }
        Event::Body(number, bytes) | Event::Data(number, bytes, _) if how & 4 == 0 => {
            end.taken(number, bytes.len());
            Ok(())
        }
        Event::Adrift(number) | Event::Gone(number) => {
            end.forget(number);
            Ok(())
        }
        _ => Ok(()),
    };
    RECORD
}
