//! `session.json`: a whole session, each end in turn a real one.

use core::time::Duration;

use bytes::BytesMut;
use serde_json::{Value, json};
use xllm_proxy::proto::{
    AES_GCM, ClientConfig, Closed, Code, Connection, Event, KeyId, Profile, ServerConfig, ServerKey, Terms,
    crypto::Secret,
    frame::{self, BodyEnd, Frame, Stamps},
    handshake::ServerHello,
    keys::Schedule,
    record::{Opener, Sealer},
};

use crate::{
    fields::{frame_json, normal, request_json, without},
    handshake::said,
    pair::{client_config, secs, server_config},
    reading::{array, bytes, cases, exchange_of, number, secret, vectors},
    records::sealed,
    sequences::act,
};

/// An event as the frame that caused it, without what the event does not carry.
pub(crate) fn event_json(event: &Event) -> Value {
    let json = match event {
        Event::Request(exchange, request) => request_json(*exchange, request),
        Event::Body(exchange, body) => frame_json(*exchange, &Frame::Body(body.clone()), None),
        Event::BodyEnd(exchange, trailers) => {
            frame_json(*exchange, &Frame::BodyEnd(BodyEnd { total: 0, trailers: trailers.clone() }), None)
        }
        Event::Cancelled(exchange, reason) => frame_json(*exchange, &Frame::Cancel(*reason), None),
        Event::Response(exchange, response) => frame_json(*exchange, &Frame::Response(response.clone()), None),
        Event::Data(exchange, bytes, stamps) => frame_json(*exchange, &Frame::Data { seq: 0, payload: bytes.clone() }, *stamps),
        Event::End(exchange, end) => {
            return without(frame_json(*exchange, &Frame::End { seq: 0, end: end.clone() }, None), &["seq"]);
        }
        Event::Failed(exchange, notice) => frame_json(*exchange, &Frame::Error { seq: 0, notice: notice.clone() }, None),
        Event::GoAway(goaway) => frame_json(0, &Frame::GoAway(goaway.clone()), None),
        Event::Resume(exchange, resume) => frame_json(*exchange, &Frame::Resume(*resume), None),
        Event::Resumed(exchange) => json!({ "type": "RESUMED", "exchange": exchange }),
        Event::Gone(exchange) => frame_json(*exchange, &Frame::Gone, None),
        other => panic!("no frame causes {other:?}"),
    };
    without(json, &["seq", "total"])
}

/// The same of a frame in the file.
pub(crate) fn caused(frame: &Value) -> Value {
    let keys: &[_] = match frame["type"].as_str().unwrap() {
        "END" => &["seq"],
        "RESUMED" => &["received", "credit"],
        _ => &["seq", "total"],
    };
    without(normal(frame), keys)
}

pub(crate) fn drain(connection: &mut Connection) -> Vec<Event> {
    core::iter::from_fn(|| connection.poll_event()).collect()
}

/// What one side sent, opened again.
struct Tap {
    opener: Opener,
    frames: Vec<Value>,
}

impl Tap {
    fn new(session: &Value, k: &str) -> Self {
        let schedule = Schedule::new(&array(&session["handshake_hash"]), &secret(&session[k]));
        Self { opener: Opener::new(schedule, &AES_GCM), frames: Vec::new() }
    }

    fn transmit(&mut self, connection: &mut Connection, now: Duration) {
        let mut out = BytesMut::new();
        while connection.poll_transmit(now, &mut out) {}
        while let Some(record) = self.opener.open(&mut out).unwrap() {
            assert!([512, 1024, 2048, 4096, 8192, 16_384].contains(&record.len()), "profile pad");
            let mut at = 0;
            while let Some((exchange, mut frame)) = frame::decode(&record, &mut at, connection.role()).unwrap() {
                let mut stamps = None;
                if let (1, Frame::Data { payload, .. }) = (exchange, &mut frame) {
                    stamps = Some(Stamps::split(payload).unwrap());
                }
                self.frames.push(frame_json(exchange, &frame, stamps));
            }
        }
    }

    /// Frames on this exchange; a receipt only where the file has all of it.
    fn of(frames: &[Value], exchange: u32, kinds: &[&str]) -> Vec<Value> {
        let wanted = |frame: &&Value| frame["exchange"] == exchange && kinds.contains(&frame["type"].as_str().unwrap());
        let loose: &[_] = if exchange == 1 { &[] } else { &["receipt"] };
        frames.iter().filter(wanted).map(|frame| without(frame.clone(), loose)).collect()
    }
}

#[test]
fn the_recorded_records_are_sealed_and_opened_as_they_were() {
    let session = vectors!("session");
    for (side, k) in [("client", "k1"), ("server", "k2")] {
        let schedule = || Schedule::new(&array(&session["handshake_hash"]), &secret(&session[k]));
        let (mut sealer, mut opener) = (Sealer::new(schedule(), &AES_GCM), Opener::new(schedule(), &AES_GCM));
        for step in cases(&session, "steps").iter().filter(|step| step["from"] == side) {
            let (plaintext, record) = (bytes(&step["plaintext"]), bytes(&step["record"]));
            assert_eq!(sealed(&mut sealer, &plaintext), record, "{}", step["what"]);
            assert_eq!(opener.open(&mut BytesMut::from(&record[..])).unwrap().unwrap(), plaintext, "{}", step["what"]);
        }
    }
}

#[test]
fn a_client_lives_through_the_recorded_session() {
    let session = vectors!("session");
    let credential = session["credential"].as_str().unwrap().parse().unwrap();
    let config = ClientConfig { credential, ..client_config() };
    let now = secs(1000);
    let mut client = Connection::client(config, secret(&session["client_ephemeral_private"]), now, &AES_GCM).unwrap();
    let mut hello = BytesMut::new();
    assert!(client.poll_transmit(now, &mut hello));
    assert_eq!(hello, bytes(&session["client_hello"]));
    client.receive(now, &mut BytesMut::from(&bytes(&session["server_hello"])[..]));
    assert_eq!(drain(&mut client)[..], [Event::Established(Some(said(&session["server_fields"])))]);

    let mut tap = Tap::new(&session, "k1");
    let (mut sent, mut cancelled) = (Vec::new(), Vec::new());
    let steps = cases(&session, "steps");
    for step in steps {
        let frames = step["frames"].as_array().unwrap();
        if step["from"] == "client" {
            for frame in frames {
                match frame["type"].as_str().unwrap() {
                    "CREDIT" | "PING" => {}
                    "PONG" => sent.push(normal(frame)),
                    kind => {
                        // What crossed the end of its exchange cannot be sent any more, and was not to be.
                        if act(&mut client, now, frame).unwrap().is_ok() {
                            sent.push(normal(frame));
                        } else {
                            assert_eq!((kind, exchange_of(frame)), ("BODY", 6));
                        }
                        if kind == "CANCEL" {
                            cancelled.push(frame["exchange"].clone());
                        }
                    }
                }
            }
            tap.transmit(&mut client, now);
        } else {
            client.receive(now, &mut BytesMut::from(&bytes(&step["record"])[..]));
            let expected = frames.iter().filter(|frame| {
                ["RESPONSE", "DATA", "END", "ERROR", "GOAWAY"].contains(&frame["type"].as_str().unwrap())
                    && !cancelled.contains(&frame["exchange"])
            });
            let mut events = drain(&mut client);
            if frames.iter().any(|frame| frame["type"] == "GOAWAY") {
                assert_eq!(events.pop(), Some(Event::Closed { why: Closed::Done, unsent: vec![] }));
            }
            let found: Vec<_> = events.iter().map(event_json).collect();
            assert_eq!(found, expected.map(caused).collect::<Vec<_>>(), "{}", step["what"]);
        }
    }
    assert!(client.is_closed());
    for exchange in 0..=8 {
        let kinds = ["REQUEST", "BODY", "BODY_END", "CANCEL", "PONG"];
        assert_eq!(Tap::of(&tap.frames, exchange, &kinds), Tap::of(&sent, exchange, &kinds), "exchange {exchange}");
    }
}

/// The server of a recorded conversation, that says this in its hello.
pub(crate) fn server_of(file: &Value, said: &ServerHello) -> ServerConfig {
    ServerConfig {
        keys: [ServerKey::new(secret(&file["server_private"]))].into(),
        profile: Profile::Pad,
        exchanges: said.exchanges,
        credit: said.credit,
        buffered: said.buffered,
        idle: secs(said.idle),
        node: None,
        // Of a server that holds nothing, no instance is said.
        instance: said.instance.unwrap_or_default(),
        ..server_config()
    }
}

#[test]
fn a_server_lives_through_the_recorded_session() {
    let session = vectors!("session");
    let fields = said(&session["server_fields"]);
    let config = server_of(&session, &fields);
    let start = secs(1000);
    let at = |micros: &Value| start + Duration::from_micros(number(micros));
    let ephemeral = secret(&session["server_ephemeral_private"]);
    let mut server = Connection::server(config, ephemeral, Secret::new([5; 32]), start, &AES_GCM);
    server.receive(start, &mut BytesMut::from(&bytes(&session["client_hello"])[..]));
    assert_eq!(drain(&mut server)[..], [Event::Hello(KeyId(array(&session["key_id"])))]);
    server.answer_hello(Some(&secret(&session["psk"])), &Terms::default(), fields.unix_ms).unwrap();
    let mut hello = BytesMut::new();
    assert!(server.poll_transmit(start, &mut hello));
    assert_eq!(hello, bytes(&session["server_hello"]));

    let steps = cases(&session, "steps");
    let recorded: Vec<_> = steps.iter().flat_map(|step| step["frames"].as_array().unwrap()).collect();
    let receipt = &recorded.iter().find(|frame| frame["type"] == "END" && frame["exchange"] == 1).unwrap()["receipt"];
    let (mut tap, mut sent) = (Tap::new(&session, "k2"), Vec::new());
    let (mut now, mut established) = (start, false);
    for step in steps {
        let frames = step["frames"].as_array().unwrap();
        if step["from"] == "client" {
            if step["what"].as_str().unwrap().contains("PING on 1") {
                now = start + Duration::from_micros(766_112 + 64_000);
            }
            server.receive(now, &mut BytesMut::from(&bytes(&step["record"])[..]));
            let mut events = drain(&mut server);
            if !core::mem::replace(&mut established, true) {
                assert_eq!(events.remove(0), Event::Established(None));
            }
            let crossed = step["what"].as_str().unwrap().contains("crosses the END");
            let expected = frames.iter().filter(|frame| {
                ["REQUEST", "BODY", "BODY_END", "CANCEL"].contains(&frame["type"].as_str().unwrap()) && !crossed
            });
            let found: Vec<_> = events.iter().map(event_json).collect();
            assert_eq!(found, expected.map(caused).collect::<Vec<_>>(), "{}", step["what"]);
        } else {
            for frame in frames {
                let exchange = exchange_of(frame);
                match (frame["type"].as_str().unwrap(), exchange) {
                    ("CREDIT" | "PING", _) => continue,
                    ("PONG", _) => {}
                    // It was cancelled: the connection itself has answered.
                    ("DATA" | "ERROR", 4) if !server.is_open(4) || act(&mut server, now, frame).unwrap().is_err() => continue,
                    (_, 4) if frame["type"] == "DATA" => {}
                    ("RESPONSE", 1) => {
                        server.called(at(&receipt["called"]), 1);
                        act(&mut server, at(&receipt["head"]), frame).unwrap().unwrap();
                    }
                    ("DATA", 1) => act(&mut server, at(&frame["stamps"][0]), frame).unwrap().unwrap(),
                    _ => act(&mut server, now, frame).unwrap().unwrap(),
                }
                if let Some(stamps) = frame["stamps"].as_array() {
                    now = at(&stamps[0]) + Duration::from_micros(number(&stamps[1]));
                }
                sent.push(normal(frame));
            }
            tap.transmit(&mut server, now);
        }
    }
    assert_eq!(drain(&mut server)[..], [Event::Closed { why: Closed::Done, unsent: vec![] }]);
    for exchange in (0..=8).filter(|exchange| *exchange != 4) {
        let kinds = ["RESPONSE", "DATA", "END", "ERROR", "PONG", "GOAWAY"];
        assert_eq!(Tap::of(&tap.frames, exchange, &kinds), Tap::of(&sent, exchange, &kinds), "exchange {exchange}");
    }
    let last = tap.frames.iter().rfind(|frame| frame["exchange"] == 4).unwrap();
    assert_eq!((&last["type"], &last["code"]), (&json!("ERROR"), &json!(Code::Cancelled.number())));
}
