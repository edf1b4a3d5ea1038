//! `resumption.json`: exchanges that outlive their session (section 7), both ends real. Each makes exactly the records of the file.

use core::time::Duration;
use std::collections::{HashMap, HashSet};

use bytes::BytesMut;
use serde_json::Value;
use xllm_proxy::proto::{
    AES_GCM, ClientConfig, Connection, Event, Hold, KeyId, Role, Terms, crypto::Secret, frame, keys::Schedule, record::Opener,
};

use crate::{
    fields::{frame_json, normal, without},
    handshake::said,
    pair::{client_config, secs},
    reading::{array, bytes, cases, exchange_of, hex, name, number, role, secret, vectors},
    sequences::act,
    session::{caused, drain, event_json, server_of},
};

/// What the server keeps of an answer: more than the file seals of any but exchange 3 of the first session.
const KEEP: usize = 1500;
/// When the first session was open.
const START: Duration = Duration::from_secs(1000);

fn after(from: Duration, micros: &Value) -> Duration {
    from + Duration::from_micros(number(micros))
}

/// Both ends of a session, and what opens again what they send.
struct Ends {
    client: Connection,
    server: Connection,
    openers: [Opener; 2],
    /// The request IDs of its exchanges.
    ids: HashMap<u32, String>,
}

impl Ends {
    /// After the handshake.
    fn new(file: &Value, session: &Value) -> Self {
        let (what, fields) = (name(session), said(&session["server_fields"]));
        let now = START;
        let credential = file["credential"].as_str().unwrap().parse().unwrap();
        let config = ClientConfig { credential, ..client_config() };
        let mut client = Connection::client(config, secret(&session["client_ephemeral_private"]), now, &AES_GCM).unwrap();
        let config = server_of(file, &fields);
        let ephemeral = secret(&session["server_ephemeral_private"]);
        let mut server = Connection::server(config, ephemeral, Secret::new([5; 32]), now, &AES_GCM);

        let mut hello = BytesMut::new();
        assert!(client.poll_transmit(now, &mut hello));
        assert_eq!(hello, bytes(&session["client_hello"]), "{what}");
        server.receive(now, &mut hello);
        assert_eq!(drain(&mut server)[..], [Event::Hello(KeyId(array(&file["key_id"])))]);
        let hold = Hold { time: secs(fields.hold), keep: KEEP, finish: false };
        let terms = Terms { hold: Some(hold), ..Terms::default() };
        server.answer_hello(Some(&secret(&file["psk"])), &terms, fields.unix_ms).unwrap();
        assert!(server.poll_transmit(now, &mut hello));
        assert_eq!(hello, bytes(&session["server_hello"]), "{what}");
        client.receive(now, &mut hello);
        assert_eq!(drain(&mut client)[..], [Event::Established(Some(fields))]);

        let schedule = |k: &str| Schedule::new(&array(&session["handshake_hash"]), &secret(&session[k]));
        let openers = ["k1", "k2"].map(|k| Opener::new(schedule(k), &AES_GCM));
        let steps = cases(file, "steps").iter().filter(|step| step["session"] == session["name"] && step["from"] == "client");
        let frames = steps.flat_map(|step| cases(step, "frames")).filter(|frame| frame["request_id"].is_string());
        let ids = frames.map(|frame| (exchange_of(frame), frame["request_id"].as_str().unwrap().into())).collect();
        Self { client, server, openers, ids }
    }

    fn end(&mut self, role: Role) -> &mut Connection {
        if role == Role::Client { &mut self.client } else { &mut self.server }
    }

    /// The one record that this end sends now, and its frames.
    fn transmit(&mut self, role: Role, now: Duration) -> (BytesMut, Vec<(u32, frame::Frame)>) {
        let mut out = BytesMut::new();
        while self.end(role).poll_transmit(now, &mut out) {}
        let mut copy = out.clone();
        let record = self.openers[usize::from(role == Role::Server)].open(&mut copy).unwrap().expect("something to send");
        assert!(copy.is_empty(), "one record");
        let mut at = 0;
        (out, core::iter::from_fn(|| frame::decode(&record, &mut at, role).unwrap()).collect())
    }
}

/// Where a request is at one end: its session and its number there.
type Places = HashMap<String, (usize, u32)>;

struct World<'a> {
    file: &'a Value,
    ends: Vec<Ends>,
    client: Places,
    server: Places,
    /// When the REQUEST arrived.
    begun: HashMap<String, Duration>,
    /// What the programs have given already, by request: it is sealed anew by itself.
    given: HashSet<(String, String)>,
    uploaded: HashMap<String, String>,
    status: HashMap<String, u64>,
    body: HashMap<String, String>,
    whole: HashSet<String>,
}

impl World<'_> {
    /// The receipt that the file has for this request in the end.
    fn receipt(&self, id: &str) -> &Value {
        let frames = cases(self.file, "steps").iter().filter(|step| step["lost"] == false).flat_map(|step| {
            let ids = &self.ends[self.session(step)].ids;
            cases(step, "frames").iter().filter(|frame| ids.get(&exchange_of(frame)).is_some_and(|of| of == id))
        });
        frames.map(|frame| &frame["receipt"]).find(|receipt| receipt.is_object()).unwrap_or(&Value::Null)
    }

    fn session(&self, step: &Value) -> usize {
        cases(self.file, "sessions").iter().position(|session| session["name"] == step["session"]).unwrap()
    }

    /// What the client's program does so that this frame is sent.
    fn ask(&mut self, at: usize, frame: &Value, now: Duration) {
        let exchange = exchange_of(frame);
        let opens = ["REQUEST", "RESUME"].contains(&frame["type"].as_str().unwrap());
        if opens {
            let id = frame["request_id"].as_str().unwrap().to_owned();
            if let Some((before, number)) = self.client.insert(id, (at, exchange)) {
                let held = self.ends[before].client.take(number).expect("it is held");
                let client = &mut self.ends[at].client;
                let again = if frame["type"] == "RESUME" { client.resume(held) } else { client.ask_again(held) };
                assert_eq!(again.expect("it can be opened"), exchange);
                return;
            }
        }
        if self.is_new(at, frame) {
            act(&mut self.ends[at].client, now, frame).unwrap().unwrap();
        }
    }

    /// What the server's program does so that this frame is sent. Answers to RESUME are given when that comes.
    fn answer(&mut self, at: usize, frame: &Value, now: Duration) {
        let kind = frame["type"].as_str().unwrap();
        if !["RESPONSE", "DATA", "END"].contains(&kind) || !self.is_new(at, frame) {
            return;
        }
        let exchange = exchange_of(frame);
        let id = self.ends[at].ids[&exchange].clone();
        let (begun, receipt) = (self.begun[&id], self.receipt(&id).clone());
        let server = &mut self.ends[at].server;
        let mut when = now;
        if kind == "RESPONSE" && receipt.is_object() {
            server.called(after(begun, &receipt["called"]), exchange);
            when = after(begun, &receipt["head"]);
        } else if kind == "DATA" && frame["stamps"].is_array() {
            when = after(begun, &frame["stamps"][0]);
        }
        act(server, when, frame).unwrap().unwrap();
    }

    fn is_new(&mut self, at: usize, frame: &Value) -> bool {
        let id = self.ends[at].ids.get(&exchange_of(frame)).cloned().unwrap_or_default();
        self.given.insert((id, without(frame.clone(), &["exchange", "stamps", "receipt"]).to_string()))
    }

    /// What its program does when this has come.
    fn take(&mut self, at: usize, event: &Event, now: Duration) {
        let id = |exchange: &u32| self.ends[at].ids[exchange].clone();
        match event {
            Event::Request(exchange, _) => {
                self.begun.insert(id(exchange), now);
                self.server.insert(id(exchange), (at, *exchange));
            }
            Event::Resume(exchange, resume) => {
                let id = id(exchange);
                let there = self.server.get(&id).copied();
                match there.filter(|&(before, number)| self.ends[before].server.can_resume(number, resume)) {
                    Some((before, number)) => {
                        let held = self.ends[before].server.take(number).unwrap();
                        self.ends[at].server.adopt(*exchange, held, resume);
                        self.server.insert(id, (at, *exchange));
                    }
                    None => self.ends[at].server.gone(*exchange),
                }
            }
            Event::Body(exchange, bytes) => *self.uploaded.entry(id(exchange)).or_default() += &hex(bytes),
            Event::Response(exchange, response) => {
                assert_eq!(self.status.insert(id(exchange), response.status.into()), None);
            }
            Event::Data(exchange, bytes, _) => *self.body.entry(id(exchange)).or_default() += &hex(bytes),
            Event::End(exchange, _) => assert!(self.whole.insert(id(exchange))),
            _ => {}
        }
    }

    fn record(&mut self, step: &Value) {
        let (what, at, from, now) = (&step["what"], self.session(step), role(&step["from"]), after(START, &step["at"]));
        let frames = cases(step, "frames");
        for frame in frames {
            if from == Role::Client { self.ask(at, frame, now) } else { self.answer(at, frame, now) }
        }
        let (record, sent) = self.ends[at].transmit(from, now);
        // Texts are ours to choose.
        if frames.iter().all(|frame| frame.get("text").is_none_or(Value::is_null)) {
            assert_eq!(hex(&record), hex(&bytes(&step["record"])), "{what}");
        } else {
            let sent: Vec<_> =
                sent.iter().map(|(exchange, frame)| without(frame_json(*exchange, frame, None), &["text"])).collect();
            assert_eq!(sent, frames.iter().map(|frame| without(normal(frame), &["text"])).collect::<Vec<_>>(), "{what}");
        }
        if step["lost"] == true {
            return;
        }
        let to = self.ends[at].end(from.peer());
        to.receive(now, &mut BytesMut::from(&bytes(&step["record"])[..]));
        let mut events = drain(to);
        if events.first() == Some(&Event::Established(None)) {
            events.remove(0);
        }
        for event in &events {
            self.take(at, event, now);
        }
        if from == Role::Client && self.ends[at].server.is_closed() {
            assert!(matches!(events.pop(), Some(Event::Closed { .. })), "{what}");
        }
        // The server says nothing of a GOAWAY, and nothing of an end of a body that it has had.
        let told = |frame: &&Value| {
            frame["type"] != "GOAWAY" && !(frame["type"] == "BODY_END" && what.as_str().unwrap().contains("once more"))
        };
        let found: Vec<_> = events.iter().map(event_json).collect();
        assert_eq!(found, frames.iter().filter(told).map(caused).collect::<Vec<_>>(), "{what}");
    }

    fn cut(&mut self, step: &Value) {
        let at = self.session(step);
        for side in cases(step, "cut") {
            let end = self.ends[at].end(role(side));
            end.receive_end();
            assert!(end.is_closed(), "{}", step["what"]);
            drain(end);
        }
    }
}

#[test]
fn requests_outlive_two_sessions_with_exactly_the_recorded_bytes_and_each_piece_comes_once() {
    let file = vectors!("resumption");
    let ends = cases(&file, "sessions").iter().map(|session| Ends::new(&file, session)).collect();
    let mut world = World {
        file: &file,
        ends,
        client: Places::new(),
        server: Places::new(),
        begun: HashMap::new(),
        given: HashSet::new(),
        uploaded: HashMap::new(),
        status: HashMap::new(),
        body: HashMap::new(),
        whole: HashSet::new(),
    };
    for step in cases(&file, "steps") {
        if step["cut"].is_array() { world.cut(step) } else { world.record(step) }
    }
    for case in cases(&file, "answers") {
        let (id, ok) = (case["request_id"].as_str().unwrap(), case["outcome"] == "ok");
        let had = |of: &HashMap<String, String>| of.get(id).cloned().unwrap_or_default();
        assert_eq!(had(&world.body), case["body"].as_str().unwrap(), "{}", name(case));
        assert_eq!(had(&world.uploaded), case["uploaded"].as_str().unwrap(), "{}", name(case));
        assert_eq!(world.status.get(id).copied(), case["status"].as_u64(), "{}", name(case));
        assert_eq!(world.whole.contains(id), ok, "{}", name(case));
        let (at, exchange) = world.client[id];
        // One that is gone can be asked anew only while nothing of its answer has come.
        assert_eq!(world.ends[at].client.holds(exchange), !ok, "{}", name(case));
        assert!(!world.ends[at].client.can_go_on(exchange, true), "{}", name(case));
    }
    assert!(world.ends.iter_mut().all(|ends| ends.client.is_closed() && ends.server.is_closed()));
}
