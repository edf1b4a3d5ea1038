//! The implementation against `tests/vectors/*.json`, which a program made that shares no code with it. Records whose counter
//! does not begin at 0 are checked in `src/proto/record/tests.rs`, where the counter can be set.
#![allow(clippy::unwrap_used, reason = "a vector that cannot be read fails its test")]

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use xllm_proxy::proto::{
    AES_GCM, ClientConfig, Closed, Code, Connection, Credential, Error, Event, KeyId, Profile, Role, ServerConfig, ServerKey,
    crypto::Secret,
    frame::{
        self, BodyEnd, BodyLength, CancelReason, Frame, Header, Headers, Mode, Policy, Receipt, Request, Response, Stamps,
    },
    handshake::{Initiator, Responder, ServerHello},
    keys::{KeyError, Schedule},
    record::{Opener, Sealer},
    wire::{self, Reader},
};

#[path = "support/pair.rs"]
mod pair;

use pair::{Scripted, client_config, secs, server_config, server_hello};

// ------------------------------------------------------------------------------------------ reading the files

macro_rules! vectors {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("vectors/", $name, ".json"))).unwrap()
    };
}

fn cases<'a>(file: &'a Value, list: &str) -> &'a [Value] {
    let cases = file[list].as_array().unwrap();
    assert!(!cases.is_empty(), "{list} is empty");
    cases
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "hex has an even length");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Hex, or a list of runs.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => unhex(text),
        Value::Array(runs) => runs
            .iter()
            .flat_map(|run| unhex(run[0].as_str().unwrap()).repeat(usize::try_from(run[1].as_u64().unwrap()).unwrap()))
            .collect(),
        _ => panic!("neither hex nor runs: {value}"),
    }
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn secret(value: &Value) -> Secret<32> {
    Secret::new(array(value))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn exchange_of(frame: &Value) -> u32 {
    number(&frame["exchange"]).try_into().unwrap()
}

fn role(value: &Value) -> Role {
    match value.as_str().unwrap() {
        "client" => Role::Client,
        "server" => Role::Server,
        other => panic!("no side is called {other}"),
    }
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

// ------------------------------------------------------------------------------------------ frames as the files show them

fn headers_json(headers: &[Header]) -> Value {
    headers.iter().map(|header| json!([header.name, hex(&header.value)])).collect()
}

fn receipt_json(receipt: Receipt) -> Value {
    let mut fields = serde_json::Map::new();
    let Receipt { sent, head, first, last, end, held } = receipt;
    let names = ["called", "head", "first", "last", "sealed", "waited"];
    for (name, value) in names.into_iter().zip([sent, head, first, last, end, held]) {
        if let Some(value) = value {
            fields.insert(name.into(), value.into());
        }
    }
    fields.into()
}

fn request_json(exchange: u32, request: &Request) -> Value {
    let body = match request.body {
        BodyLength::None => json!("none"),
        BodyLength::Known(length) => json!(length),
        BodyLength::Unknown => json!("unknown"),
    };
    json!({
        "type": "REQUEST", "exchange": exchange, "request_id": hex(&request.id), "method": request.method, "url": request.url,
        "headers": headers_json(&request.headers), "mode": request.mode as u64, "timings": request.timings,
        "policy": request.policy as u64, "body": body, "credit": request.credit,
    })
}

fn frame_json(exchange: u32, frame: &Frame, stamps: Option<Stamps>) -> Value {
    let (kind, fields) = match frame {
        Frame::Request(request) => return request_json(exchange, request),
        Frame::Body(body) => ("BODY", json!({ "body": hex(body) })),
        Frame::BodyEnd(end) => ("BODY_END", json!({ "total": end.total, "trailers": headers_json(&end.trailers) })),
        Frame::Response(response) => {
            let headers = headers_json(&response.headers);
            ("RESPONSE", json!({ "seq": 0, "status": response.status, "headers": headers, "length": response.length }))
        }
        Frame::Data { seq, payload } => {
            let stamps = stamps.map(|stamps| json!([stamps.arrived, stamps.held]));
            ("DATA", json!({ "seq": seq, "stamps": stamps, "body": hex(payload) }))
        }
        Frame::End { seq, end } => {
            let (trailers, receipt) = (headers_json(&end.trailers), receipt_json(end.receipt));
            ("END", json!({ "seq": seq, "total": end.total, "trailers": trailers, "receipt": receipt }))
        }
        Frame::Error { seq, notice } => (
            "ERROR",
            json!({ "seq": seq, "code": notice.code.number(), "fault": notice.fault.number(), "retry": notice.retry,
                    "text": notice.text, "after": notice.after }),
        ),
        Frame::Cancel(reason) => ("CANCEL", json!({ "reason": reason.number() })),
        Frame::Credit(amount) => ("CREDIT", json!({ "amount": amount })),
        Frame::Ping(ping) => ("PING", json!({ "token": hex(&ping.token), "silence": ping.silence })),
        Frame::Pong(ping) => ("PONG", json!({ "token": hex(&ping.token), "silence": ping.silence })),
        Frame::GoAway(goaway) => {
            ("GOAWAY", json!({ "code": goaway.code.map_or(0, Code::number), "last": goaway.last, "text": goaway.text }))
        }
        Frame::Resume(resume) => {
            ("RESUME", json!({ "request_id": hex(&resume.id), "next_seq": resume.next, "credit": resume.credit }))
        }
        Frame::Resumed(resumed) => ("RESUMED", json!({ "received": resumed.received, "credit": resumed.credit })),
        Frame::Gone => ("GONE", json!({})),
    };
    let mut fields = fields;
    fields["type"] = kind.into();
    fields["exchange"] = exchange.into();
    fields
}

/// The frame of a file as [`frame_json`] writes it: the implementation does not tell an absent list, text or receipt from an
/// empty one; runs are written out.
fn normal(frame: &Value) -> Value {
    let mut frame = frame.clone();
    for (key, empty) in [("trailers", json!([])), ("receipt", json!({})), ("text", json!(""))] {
        if frame.get(key).is_some_and(Value::is_null) {
            frame[key] = empty;
        }
    }
    for list in ["headers", "trailers"] {
        for field in frame.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            field[1] = hex(&bytes(&field[1])).into();
        }
    }
    if frame["type"] != "REQUEST" && frame.get("body").is_some() {
        frame["body"] = hex(&bytes(&frame["body"])).into();
    }
    frame
}

fn without(mut frame: Value, keys: &[&str]) -> Value {
    for key in keys {
        frame.as_object_mut().unwrap().remove(*key);
    }
    frame
}

fn headers_from(list: &Value) -> Headers {
    let field = |field: &Value| Header { name: field[0].as_str().unwrap().into(), value: bytes(&field[1]).into() };
    list.as_array().map(|list| list.iter().map(field).collect()).unwrap_or_default()
}

fn request_from(frame: &Value) -> Request {
    Request {
        id: array(&frame["request_id"]),
        method: frame["method"].as_str().unwrap().into(),
        url: frame["url"].as_str().unwrap().into(),
        headers: headers_from(&frame["headers"]),
        mode: if frame["mode"] == 1 { Mode::Buffered } else { Mode::Streaming },
        timings: frame["timings"].as_bool().unwrap(),
        policy: [Policy::Neutral, Policy::Sdk, Policy::Pass][usize::try_from(number(&frame["policy"])).unwrap()],
        body: match &frame["body"] {
            Value::Number(length) => BodyLength::Known(length.as_u64().unwrap()),
            Value::String(text) if text == "none" => BodyLength::None,
            _ => BodyLength::Unknown,
        },
        credit: number(&frame["credit"]),
    }
}

fn response_from(frame: &Value) -> Response {
    Response {
        status: number(&frame["status"]).try_into().unwrap(),
        headers: headers_from(&frame["headers"]),
        length: frame["length"].as_u64(),
    }
}

fn notice_from(frame: &Value) -> frame::Notice {
    frame::Notice {
        code: Code::from_number(number(&frame["code"]).try_into().unwrap()),
        fault: xllm_proxy::proto::Fault::from_number(number(&frame["fault"])).unwrap(),
        retry: frame["retry"].as_bool().unwrap(),
        text: frame["text"].as_str().unwrap_or_default().into(),
        after: frame["after"].as_u64(),
    }
}

// ------------------------------------------------------------------------------------------ section 2

#[test]
fn credentials_are_read_and_written_as_the_vectors_say() {
    let file = vectors!("credential");
    for case in cases(&file, "valid") {
        let text = case["text"].as_str().unwrap();
        let credential: Credential = text.parse().unwrap();
        assert_eq!(credential.key_id, KeyId(array(&case["key_id"])), "{}", name(case));
        assert_eq!(credential.psk, secret(&case["psk"]), "{}", name(case));
        assert_eq!(credential.server, array(&case["server_public"]), "{}", name(case));
        assert_eq!(*credential.reveal(), text.trim(), "{}", name(case));
    }
    for case in cases(&file, "invalid") {
        let reason = match case["text"].as_str().unwrap().parse::<Credential>().unwrap_err() {
            KeyError::Prefix => "prefix",
            KeyError::Length { .. } => "length",
            KeyError::Alphabet => "alphabet",
            KeyError::Checksum => "checksum",
        };
        assert_eq!(case["reason"], reason, "{}", name(case));
    }
}

// ------------------------------------------------------------------------------------------ section 3

fn said(fields: &Value) -> ServerHello {
    ServerHello {
        profile: Profile::from_number(number(&fields["profile"])).unwrap(),
        exchanges: number(&fields["max_exchanges"]).try_into().unwrap(),
        credit: number(&fields["upload_credit"]),
        buffered: number(&fields["max_buffered"]),
        idle: number(&fields["idle_seconds"]),
        unix_ms: number(&fields["clock_ms"]),
        node: fields["node"].as_str().map(Into::into),
        hold: number(&fields["hold_seconds"]),
    }
}

#[test]
fn both_sides_of_the_handshake_make_the_bytes_of_the_vectors() {
    let file = vectors!("handshake");
    let (mut clients, mut servers) = (0, 0);
    for case in cases(&file, "cases") {
        let name = name(case);
        let key = ServerKey::new(secret(&case["server_private"]));
        assert_eq!(*key.public(), array(&case["server_public"]), "{name}");
        let hash = array(&case["handshake_hash"]);
        let schedule = |k: &str| Schedule::new(&hash, &secret(&case[k]));
        let key_id = KeyId(array(&case["client_fields"]["key_id"]));
        let profile = Profile::from_number(number(&case["client_fields"]["profile"])).unwrap();
        let credential = Credential { key_id, psk: secret(&case["psk"]), server: *key.public() };
        let hellos = (array(&case["client_hello"]), array(&case["server_hello"]));

        if case["client_plain"] == true {
            let ephemeral = secret(&case["client_ephemeral_private"]);
            let (initiator, hello) = Initiator::start(&credential, profile, ephemeral, &AES_GCM).unwrap();
            assert_eq!(hello, hellos.0, "{name}");
            let (hello, traffic) = initiator.finish(&hellos.1).unwrap();
            assert_eq!(hello, said(&case["server_fields"]), "{name}");
            assert_eq!(traffic.client.key(), schedule("k1").key(), "{name}");
            assert_eq!(traffic.server.key(), schedule("k2").key(), "{name}");
            assert_eq!(traffic.server.iv(), schedule("k2").iv(), "{name}");
            clients += 1;
        }

        let ephemeral = secret(&case["server_ephemeral_private"]);
        let responder = Responder::open(&hellos.0, &key, ephemeral, &AES_GCM).unwrap();
        assert_eq!((responder.hello().key_id, responder.hello().profile), (key_id, profile), "{name}");
        let (answer, traffic) = responder.answer(&credential.psk, &said(&case["server_fields"])).unwrap();
        if case["server_plain"] == true {
            assert_eq!(answer, hellos.1, "{name}");
            assert_eq!(traffic.client.key(), schedule("k1").key(), "{name}");
            assert_eq!(traffic.server.key(), schedule("k2").key(), "{name}");
            servers += 1;
        }
    }
    assert!(clients >= 5 && servers >= 5, "{clients} {servers}");
}

#[test]
fn a_client_hello_that_a_server_must_refuse_gets_no_byte_and_a_close_at_the_deadline() {
    let file = vectors!("handshake");
    for case in cases(&file, "invalid") {
        let config = ServerConfig { key: ServerKey::new(secret(&case["server_private"])), ..server_config() };
        let deadline = config.hello_time;
        let mut server = pair::new_server(config, Duration::ZERO);
        server.receive(Duration::ZERO, &mut BytesMut::from(&bytes(&case["client_hello"])[..]));
        let expected = if case["opens"] == true { Code::Malformed } else { Code::Unauthentic };
        let Some(Event::Rejected(error)) = server.poll_event() else { panic!("accepted: {}", name(case)) };
        assert_eq!(error.code(), expected, "{}", name(case));
        assert!(!server.poll_transmit(Duration::ZERO, &mut BytesMut::new()), "{}", name(case));
        assert!(!server.is_closed(), "{}", name(case));
        assert_eq!(server.poll_timeout(), Some(deadline), "{}", name(case));
        server.handle_timeout(deadline);
        assert!(server.is_closed() && !server.poll_transmit(deadline, &mut BytesMut::new()), "{}", name(case));
    }
}

#[test]
fn a_server_hello_that_a_client_must_refuse_closes_without_a_record() {
    let file = vectors!("handshake");
    for case in cases(&file, "invalid_server") {
        let name = name(case);
        let key_id = KeyId(bytes(&case["client_payload"])[3..19].try_into().unwrap());
        let credential = Credential { key_id, psk: secret(&case["psk"]), server: array(&case["server_public"]) };
        let profile = Profile::from_number(number(&case["asked_profile"])).unwrap();
        let config = ClientConfig { credential, profile, ..client_config() };
        let ephemeral = secret(&case["client_ephemeral_private"]);
        let mut client = Connection::client(config, ephemeral, Duration::ZERO, &AES_GCM).unwrap();
        let mut out = BytesMut::new();
        assert!(client.poll_transmit(Duration::ZERO, &mut out));
        assert_eq!(out, bytes(&case["client_hello"]), "{name}");
        client.receive(Duration::ZERO, &mut BytesMut::from(&bytes(&case["server_hello"])[..]));
        let code = match client.poll_event().unwrap() {
            Event::Closed { why: Closed::ProfileRefused(_), .. } => "profile-refused",
            Event::Closed { why: Closed::Fault(Error::Malformed(_)), .. } => "malformed",
            Event::Closed { why: Closed::Fault(Error::Unauthentic("server hello")), .. } => "key-refused",
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(case["code"], code, "{name}");
        assert!(client.is_closed() && !client.poll_transmit(Duration::ZERO, &mut BytesMut::new()), "{name}");
    }
}

// ------------------------------------------------------------------------------------------ section 4

#[test]
fn the_key_schedule_is_that_of_the_vectors_over_all_epochs() {
    for case in cases(&vectors!("schedule"), "cases") {
        let mut schedule = Schedule::new(&array(&case["h"]), &secret(&case["k"]));
        for (at, epoch) in (0..).zip(case["epochs"].as_array().unwrap()) {
            assert_eq!(number(&epoch["epoch"]), at);
            assert_eq!(schedule.key(), secret(&epoch["key"]), "{} epoch {at}", name(case));
            assert_eq!(*schedule.iv().expose(), array(&epoch["iv"]), "{} epoch {at}", name(case));
            schedule = schedule.next();
        }
    }
}

fn sealed(sealer: &mut Sealer, plaintext: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let start = Sealer::begin(&mut out);
    out.extend_from_slice(plaintext);
    sealer.seal(&mut out, start).unwrap();
    out
}

#[test]
fn first_records_are_sealed_and_opened_as_the_vectors_say() {
    let file = vectors!("records");
    let schedule = || Schedule::new(&array(&file["h"]), &secret(&file["k"]));
    let mut first = 0;
    for case in cases(&file, "valid").iter().filter(|case| case["n"] == 0) {
        let (plaintext, record) = (bytes(&case["plaintext"]), bytes(&case["record"]));
        assert_eq!(sealed(&mut Sealer::new(schedule(), &AES_GCM), &plaintext), record, "{}", name(case));
        let opened = Opener::new(schedule(), &AES_GCM).open(&mut BytesMut::from(&record[..])).unwrap().unwrap();
        assert_eq!(opened, plaintext, "{}", name(case));
        first += 1;
    }
    assert!(first >= 3);
}

// ------------------------------------------------------------------------------------------ section 1.2

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

// ------------------------------------------------------------------------------------------ section 5

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

// ------------------------------------------------------------------------------------------ sequences

/// What the program behind the subject does so that the subject sends this frame. `None` where no program can.
fn act(subject: &mut Connection, now: Duration, frame: &Value) -> Option<Result<(), Error>> {
    let exchange = exchange_of(frame);
    let content = || Bytes::from(bytes(&frame["body"]));
    Some(match frame["type"].as_str().unwrap() {
        "REQUEST" => subject.request(now, &request_from(frame)).map(|number| assert_eq!(number, exchange)),
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

/// Runs a sequence with a real end as the receiver of its last frame. `false` if its program cannot do its part.
fn run(case: &Value, session: &Value) -> bool {
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
                let Some(done) = act(&mut peer.subject, now, &step["frame"]) else { return false };
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
    true
}

#[test]
fn sequences_of_frames_end_as_the_vectors_say() {
    let file = vectors!("frames");
    let skipped: Vec<_> = cases(&file, "sequences").iter().filter(|case| !run(case, &file["session"])).map(name).collect();
    // This version's client never sends RESUME.
    assert_eq!(skipped, ["RESPONSE after GONE", "GONE answers RESUME"]);
}

// ------------------------------------------------------------------------------------------ a whole session

/// An event as the frame that caused it, without what the event does not carry.
fn event_json(event: &Event) -> Value {
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
        other => panic!("no frame causes {other:?}"),
    };
    without(json, &["seq", "total"])
}

/// The same of a frame in the file.
fn caused(frame: &Value) -> Value {
    let keys: &[_] = if frame["type"] == "END" { &["seq"] } else { &["seq", "total"] };
    without(normal(frame), keys)
}

fn drain(connection: &mut Connection) -> Vec<Event> {
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

#[test]
fn a_server_lives_through_the_recorded_session() {
    let session = vectors!("session");
    let fields = said(&session["server_fields"]);
    let config = ServerConfig {
        key: ServerKey::new(secret(&session["server_private"])),
        profile: Profile::Pad,
        exchanges: fields.exchanges,
        credit: fields.credit,
        buffered: fields.buffered,
        idle: secs(fields.idle),
        ..server_config()
    };
    let start = secs(1000);
    let at = |micros: &Value| start + Duration::from_micros(number(micros));
    let ephemeral = secret(&session["server_ephemeral_private"]);
    let mut server = Connection::server(config, ephemeral, Secret::new([5; 32]), start, &AES_GCM);
    server.receive(start, &mut BytesMut::from(&bytes(&session["client_hello"])[..]));
    assert_eq!(drain(&mut server)[..], [Event::Hello(KeyId(array(&session["key_id"])))]);
    server.answer_hello(Some(&secret(&session["psk"])), fields.unix_ms).unwrap();
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
