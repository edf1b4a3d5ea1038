//! A recorded session is given to a fresh end in other pieces, with a byte changed, and cut short. What is delivered is what
//! was sent, or less of it; never anything else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use xllm_proxy::proto::{
    Closed, Code, Connection, Event, Fault, Role,
    frame::{BodyLength, CancelReason, Headers, Mode, Notice, Request, Response},
    limits::HELLO,
};

#[path = "support/pair.rs"]
mod pair;

use pair::{Pair, UNIX_MS, client_config, get, header, new_client, new_server, ok, post, psk, record_sizes, server_config};

const NOW: Duration = Duration::from_secs(1000);

/// What the program at the client does, once the session is open.
fn program(client: &mut Connection) {
    let first = client.request(NOW, &Request { timings: true, ..post(BodyLength::Known(30)) }).unwrap();
    client.send_body(NOW, first, Bytes::from_static(b"{\"stream\":true,")).unwrap();
    client.request(NOW, &get()).unwrap();
    client.request(NOW, &Request { mode: Mode::Buffered, ..get() }).unwrap();
    client.request(NOW, &get()).unwrap();
    client.request(NOW, &post(BodyLength::Unknown)).unwrap();
}

/// What each end receives in a session of a few exchanges: streaming with stamps and an upload in pieces, one that fails in
/// the middle, a buffered one, one that is cancelled, and one that stays open.
struct Recording {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

fn recording() -> Recording {
    let mut pair = Pair::established();
    program(&mut pair.client);
    pair.quiet();
    for number in 1..=4 {
        let length = (number == 3).then_some(900);
        pair.server.respond(pair.now, number, &Response { length, ..ok() }).unwrap();
    }
    for event in 0..4 {
        pair.now += Duration::from_millis(20);
        pair.data(1, format!("event: delta\ndata: {{\"text\":\"token {event}\"}}\n\n").as_bytes());
        pair.data(2, format!("piece {event}").as_bytes());
        pair.quiet();
    }
    pair.body(1, b"\"messages\":[]}}");
    pair.client.end_body(1, Headers::new()).unwrap();
    pair.body(5, b"of unknown length");
    pair.quiet();
    pair.client.cancel(4, CancelReason::CallerGone);
    pair.quiet();
    pair.server.fail(2, &Notice::new(Code::UpstreamClosed, Fault::Upstream, "closed early")).unwrap();
    pair.data(3, &[b'b'; 900]);
    pair.server.end(3, Headers::new()).unwrap();
    pair.quiet();
    pair.client.end_body(5, vec![header("x-sum", "1")]).unwrap();
    pair.server.end(1, vec![header("x-usage", "17")]).unwrap();
    pair.quiet();
    pair.server.respond(pair.now, 5, &ok()).unwrap();
    pair.quiet();
    assert!(!pair.client.is_closed() && !pair.server.is_closed());
    Recording { to_server: pair.to_server.sent, to_client: pair.to_client.sent }
}

/// A fresh end with the randomness of the recording.
struct Replay {
    end: Connection,
    input: BytesMut,
    events: Vec<Event>,
    /// Bytes that it sent, without the hello.
    said: usize,
}

impl Replay {
    fn new(role: Role) -> Self {
        let end = match role {
            Role::Client => new_client(client_config(), NOW),
            Role::Server => new_server(server_config(), NOW),
        };
        let mut this = Self { end, input: BytesMut::new(), events: Vec::new(), said: 0 };
        if role == Role::Client {
            this.transmit();
            this.said = 0;
        }
        this
    }

    fn transmit(&mut self) {
        let mut out = BytesMut::new();
        while self.end.poll_transmit(NOW, &mut out) {}
        self.said += out.len();
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        loop {
            let before = self.input.len();
            self.end.receive(NOW, &mut self.input);
            while let Some(event) = self.end.poll_event() {
                match event {
                    Event::Hello(_) => {
                        self.end.answer_hello(Some(&psk()), &xllm_proxy::proto::Terms::default(), UNIX_MS).unwrap();
                    }
                    Event::Established(Some(_)) => program(&mut self.end),
                    _ => {}
                }
                self.events.push(event);
            }
            self.transmit();
            if self.input.len() == before {
                return;
            }
        }
    }

    /// The server's hello is alone on the path, because nothing else can follow before the client has spoken.
    fn feed_all(&mut self, bytes: &[u8], mut size: impl FnMut() -> usize) {
        let (hello, rest) = bytes.split_at(HELLO.min(bytes.len()));
        for part in [hello, rest] {
            let mut left = part;
            while !left.is_empty() {
                let (piece, after) = left.split_at(size().clamp(1, left.len()));
                self.feed(piece);
                left = after;
            }
        }
    }
}

fn replay(role: Role, bytes: &[u8]) -> Replay {
    let mut this = Replay::new(role);
    this.feed_all(bytes, || usize::MAX);
    this
}

/// Where each unit (hello, records) ends, and how many events there are by then.
fn milestones(role: Role, bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut this = Replay::new(role);
    let mut at = 0;
    let mut milestones = vec![(0, 0)];
    for size in core::iter::once(HELLO).chain(record_sizes(&bytes[HELLO..])) {
        this.feed(&bytes[at..at + size]);
        at += size;
        milestones.push((at, this.events.len()));
    }
    assert_eq!(at, bytes.len());
    assert!(!this.end.is_closed(), "{:?}", this.events.last());
    milestones
}

fn sessions() -> [(Role, Vec<u8>); 2] {
    let recording = recording();
    let sessions = [(Role::Client, recording.to_client), (Role::Server, recording.to_server)];
    for (role, bytes) in &sessions {
        assert!((1_000..8_000).contains(&bytes.len()), "{role:?}: {}", bytes.len());
    }
    sessions
}

fn complete(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::End(..) | Event::BodyEnd(..) | Event::Failed(..))).count()
}

#[test]
fn the_recording_holds_what_it_is_said_to_hold() {
    for (role, bytes) in sessions() {
        let events = replay(role, &bytes).events;
        let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
        match role {
            Role::Client => {
                assert_eq!(count(|event| matches!(event, Event::End(..))), 2);
                assert_eq!(count(|event| matches!(event, Event::Failed(..))), 2);
                assert_eq!(count(|event| matches!(event, Event::Data(1, _, Some(_)))), 4);
            }
            Role::Server => {
                assert_eq!(count(|event| matches!(event, Event::Request(..))), 5);
                assert_eq!(count(|event| matches!(event, Event::BodyEnd(..))), 2);
                assert_eq!(count(|event| matches!(event, Event::Cancelled(..))), 1);
            }
        }
    }
}

#[test]
fn the_same_events_come_of_the_same_bytes_in_any_pieces() {
    for (role, bytes) in sessions() {
        let whole = replay(role, &bytes);
        for size in [1, 2, 3, 17, 255, 256, 257] {
            let mut this = Replay::new(role);
            this.feed_all(&bytes, || size);
            assert_eq!(this.events, whole.events, "{role:?} in pieces of {size}");
        }
        let mut state = 1_u64;
        for round in 0..300 {
            let mut this = Replay::new(role);
            this.feed_all(&bytes, || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let most = [3, 40, 600, 3_000][round % 4];
                1 + usize::try_from(state >> 33).unwrap() % most
            });
            assert_eq!(this.events, whole.events, "{role:?} in random cut {round}");
        }
    }
}

#[test]
fn a_changed_byte_delivers_nothing_of_its_record_and_nothing_after_it() {
    for (role, bytes) in sessions() {
        let whole = replay(role, &bytes).events;
        let milestones = milestones(role, &bytes);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let mut this = replay(role, &changed);
            let &(_, good) = milestones.iter().rfind(|(end, _)| *end <= at).unwrap();
            let confirmed = milestones[if role == Role::Client { 1 } else { 2 }].0 <= at;
            let added = this.events.split_off(good);
            assert_eq!(this.events, whole[..good], "{role:?}: byte {at}");
            let said = this.said;
            match &added[..] {
                // A length that became larger: more is awaited, and never comes.
                [] => {
                    this.end.receive_end();
                    let last = this.end.poll_event();
                    assert!(
                        matches!(last, Some(Event::Closed { why: Closed::Lost { .. }, .. })),
                        "{role:?}: byte {at}: {last:?}"
                    );
                }
                [Event::Rejected(_)] => {
                    assert!(role == Role::Server && !confirmed, "byte {at}");
                    assert!(said <= HELLO && !this.end.is_closed(), "byte {at}: silence");
                }
                [Event::Closed { why: Closed::Fault(error), .. }] => {
                    assert_eq!(error.code(), Code::Unauthentic, "{role:?}: byte {at}: {error}");
                    assert!(confirmed || said == 0, "{role:?}: byte {at}");
                }
                other => panic!("{role:?}: byte {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_session_that_is_cut_delivers_what_was_whole_and_completes_nothing_else() {
    for (role, bytes) in sessions() {
        let whole = replay(role, &bytes).events;
        let milestones = milestones(role, &bytes);
        for length in 0..bytes.len() {
            let mut this = replay(role, &bytes[..length]);
            let &(_, good) = milestones.iter().rfind(|(end, _)| *end <= length).unwrap();
            assert_eq!(this.events, whole[..good], "{role:?} cut to {length}");
            assert_eq!(complete(&this.events), complete(&whole[..good]));
            this.end.receive_end();
            let last = this.end.poll_event();
            let in_order = role == Role::Server && this.end.open_exchanges() == 0 && length >= milestones[2].0;
            match last {
                Some(Event::Closed { why: Closed::Lost { .. }, .. }) => {}
                // The server's end, before its first request.
                Some(Event::Closed { why: Closed::Done, .. }) if in_order && !whole[..good].iter().any(is_request) => {}
                other => panic!("{role:?} cut to {length}: {other:?}"),
            }
            assert_eq!(this.end.poll_event(), None);
        }
    }
}

fn is_request(event: &Event) -> bool {
    matches!(event, Event::Request(..))
}
