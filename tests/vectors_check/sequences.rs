//! The sequences of `frames.json`, with a real end as the receiver.

use core::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use xllm_proxy::proto::{
    ClientConfig, Closed, Code, Connection, Error, Event, Held, Profile, Role, ServerConfig,
    frame::{CancelReason, Frame, Request},
    handshake::ServerHello,
};

use crate::{
    fields::{frame_json, headers_from, normal, notice_from, request_from, response_from, without},
    pair::{Scripted, client_config, get, ok, server_config, server_hello},
    reading::{array, bytes, cases, exchange_of, name, number, role, vectors},
};

/// An exchange whose session was cut when the client had so much of it that it comes back with this RESUME.
fn cut_off(resume: &Value) -> Held {
    let mut peer = Scripted::server(client_config(), &ServerHello { hold: 60, ..server_hello(Profile::Pad) });
    let request = Request { id: array(&resume["request_id"]), credit: number(&resume["credit"]), ..get() };
    let exchange = peer.subject.request(peer.now, &request).unwrap();
    peer.hear();
    match number(&resume["next_seq"]) {
        0 => {}
        1 => peer.frame(exchange, &Frame::Response(ok())),
        more => panic!("{more} frames of an answer"),
    }
    peer.subject.receive_end();
    peer.subject.take(exchange).unwrap()
}

/// What the program behind the subject does so that the subject sends this frame. `None` where no program can.
pub(crate) fn act(subject: &mut Connection, now: Duration, frame: &Value) -> Option<Result<(), Error>> {
    let exchange = exchange_of(frame);
    let content = || Bytes::from(bytes(&frame["body"]));
    Some(match frame["type"].as_str().unwrap() {
        "REQUEST" => subject.request(now, &request_from(frame)).map(|number| assert_eq!(number, exchange)),
        "RESUME" => {
            let again = subject.resume(cut_off(frame)).map_err(|_| Error::Misuse("it cannot be resumed now"));
            again.map(|number| assert_eq!(number, exchange))
        }
        "BODY" => subject.send_body(now, exchange, content()),
        "BODY_END" => subject.end_body(exchange, headers_from(&frame["trailers"])),
        "CANCEL" => {
            subject.cancel(exchange, CancelReason::CallerGone);
            Ok(())
        }
        "RESPONSE" => subject.respond(now, exchange, &response_from(frame)),
        "DATA" => subject.send_data(now, exchange, content()),
        "END" => subject.end(exchange, headers_from(&frame["trailers"])),
        "ERROR" if exchange != 0 => subject.fail(exchange, &notice_from(frame)),
        "GOAWAY" => {
            let code = Code::from_number(number(&frame["code"]).try_into().unwrap());
            subject.go_away(Some(code), frame["text"].as_str().unwrap_or_default());
            Ok(())
        }
        // Of what the peer sent, all but the cost of the last frame's header.
        "CREDIT" => {
            subject.taken(exchange, usize::try_from(number(&frame["amount"])).unwrap() - 64);
            Ok(())
        }
        _ => return None,
    })
}

/// Runs a sequence with a real end as the receiver of its last frame.
fn run(case: &Value, session: &Value) {
    let name = name(case);
    let steps = case["steps"].as_array().unwrap();
    let last = steps.last().unwrap();
    let side = role(&last["from"]).peer();
    let (exchanges, credit) = (u32::try_from(number(&session["max_exchanges"])).unwrap(), number(&session["upload_credit"]));
    let mut peer = match side {
        Role::Server => Scripted::established_client(ServerConfig { exchanges, credit, ..server_config() }),
        Role::Client => {
            let config = ClientConfig { profile: Profile::Off, ..client_config() };
            let mut peer = Scripted::server(config, &ServerHello { exchanges, credit, ..server_hello(Profile::Off) });
            peer.events();
            peer.hear();
            peer
        }
    };
    for step in &steps[..steps.len() - 1] {
        for _ in 0..step["repeat"].as_u64().unwrap_or(1) {
            if role(&step["from"]) == side {
                let now = peer.now;
                let done = act(&mut peer.subject, now, &step["frame"]).expect(name);
                done.unwrap_or_else(|error| panic!("{name}: {error}"));
                let [(exchange, frame)] = &peer.hear()[..] else { panic!("{name}: not one frame") };
                let loose = ["receipt", "text", "stamps"];
                let expected = without(normal(&step["frame"]), &loose);
                assert_eq!(without(frame_json(*exchange, frame, None), &loose), expected, "{name}");
            } else {
                peer.say(&bytes(&step["bytes"]));
                assert!(!peer.subject.is_closed(), "{name}: {:?}", peer.events());
                peer.hear();
            }
        }
    }
    peer.events();
    peer.say(&bytes(&last["bytes"]));
    let (events, heard) = (peer.events(), peer.hear());
    let kind = last["frame"]["type"].as_str().unwrap();
    match case["outcome"].as_str().unwrap() {
        "ok" => {
            assert!(!peer.subject.is_closed(), "{name}: {events:?}");
            let told = !["CREDIT", "PING", "PONG", "RESUME"].contains(&kind)
                && !steps.iter().any(|step| step["frame"]["type"] == "CANCEL");
            assert_eq!(!events.is_empty(), told, "{name}: {events:?}");
        }
        "ignored" => {
            assert!(!peer.subject.is_closed() && events.is_empty() && heard.is_empty(), "{name}: {events:?} {heard:?}");
        }
        code @ ("too-many-exchanges" | "shutting-down") => {
            assert!(!peer.subject.is_closed() && events.is_empty(), "{name}: {events:?}");
            let [(exchange, Frame::Error { seq: 0, notice })] = &heard[..] else { panic!("{name}: {heard:?}") };
            assert_eq!((*exchange, notice.code.name(), notice.retry), (exchange_of(&last["frame"]), code, true), "{name}");
        }
        code => {
            let [Event::Closed { why: Closed::Fault(error), .. }] = &events[..] else { panic!("{name}: {events:?}") };
            assert_eq!(error.code().name(), code, "{name}");
            let [(0, Frame::Error { seq: 0, notice })] = &heard[..] else { panic!("{name}: {heard:?}") };
            assert_eq!(notice.code.name(), code, "{name}");
        }
    }
}

#[test]
fn sequences_of_frames_end_as_the_vectors_say() {
    let file = vectors!("frames");
    for case in cases(&file, "sequences") {
        run(case, &file["session"]);
    }
}
