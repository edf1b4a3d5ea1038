//! One end of a session against a peer that says anything: bytes that no key made, hellos with any payload, and, after an honest
//! handshake, records with any plaintext, between the calls that its program makes and at any time.
//!
//! Nothing panics; what goes out can be opened and read; and how much goes out is bounded by what came in and what the program
//! gave.
//!
//! Script: who the subject is and how it begins, then operations.
#![no_main]

use core::time::Duration;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use support::{Peer, RECORD, START, Script, client, client_hello, receive, server, server_hello};
use xllm_proxy::proto::{
    Closed, Code, Connection, Event, Fault, Role,
    frame::{CancelReason, Headers, Notice},
    limits::{HELLO, RECORD_PLAINTEXT, TRANSMIT_BATCH},
};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    match script.byte() % 6 {
        0 => raw(server(), script.rest()),
        1 => raw(client(script.profile()), script.rest()),
        2 => {
            let hello = client_hello(&script.array());
            raw(server(), &[&hello[..], script.rest()].concat());
        }
        3 => {
            let mut client = client(script.profile());
            let mut hello = BytesMut::new();
            client.poll_transmit(START, &mut hello);
            let answer = server_hello(&hello, &script.array());
            raw(client, &[&answer[..], script.rest()].concat());
        }
        4 => Session::new(Peer::client(script.profile())).run(script),
        _ => Session::new(Peer::server(script.profile())).run(script),
    }
});

/// Bytes that no key made, to their end.
fn raw(mut end: Connection, bytes: &[u8]) {
    let mut input = BytesMut::from(bytes);
    let events = receive(&mut end, START, &mut input);
    let mut out = BytesMut::new();
    while end.poll_transmit(START, &mut out) {
        assert!(out.len() <= 2 * RECORD, "much is said to a stranger");
    }
    if end.role() == Role::Server {
        assert!(!events.iter().any(|event| matches!(event, Event::Established(_))), "the peer has no key");
        let answered = events.iter().any(|event| matches!(event, Event::Hello(_)));
        let rejected = events.iter().any(|event| matches!(event, Event::Rejected(_)));
        assert!(out.len() <= if answered { HELLO } else { 0 }, "a stranger is answered");
        assert!(!rejected || !end.is_closed(), "a stranger learns from the moment of the close");
    }
    end.receive_end();
    while end.poll_event().is_some() {}
    assert!(end.is_closed());
    assert_eq!(end.poll_timeout(), None);
}

struct Session {
    peer: Peer,
    subject: Connection,
    now: Duration,
    /// What came and is no whole record yet.
    input: BytesMut,
    /// Bytes that may go out.
    allowed: usize,
    sent: usize,
    closed: Option<Closed>,
}

impl Session {
    fn new((peer, subject): (Peer, Connection)) -> Self {
        Self { peer, subject, now: START, input: BytesMut::new(), allowed: RECORD, sent: 0, closed: None }
    }

    fn run(mut self, mut script: Script<'_>) {
        while !script.is_empty() {
            self.operation(&mut script);
            self.events();
        }
        self.transmit();
        self.subject.receive_end();
        self.events();
        assert!(self.closed.is_some(), "every session ends with a word why");
        assert_eq!(self.subject.open_exchanges(), 0);
        assert_eq!(self.subject.poll_timeout(), None);
        self.transmit();
    }

    fn operation(&mut self, script: &mut Script<'_>) {
        // Refusals, pongs and credit answer what a record asks: none of these is much larger than its question.
        self.allowed += 2 * RECORD;
        match script.byte() % 8 {
            0 | 1 => {
                let plaintext = script.piece();
                self.allowed += 16 * plaintext.len();
                self.peer.seal(&mut self.input, plaintext);
                self.receive();
            }
            2 => self.transmit(),
            3 => {
                self.now += Duration::from_millis(u64::from(script.short()));
                self.subject.handle_timeout(self.now);
                assert!(self.subject.poll_timeout().is_none_or(|at| at > self.now), "a deadline that stays due");
            }
            4 if script.byte() == 0xff => {
                self.input.extend_from_slice(script.piece());
                self.receive();
            }
            _ if self.subject.role() == Role::Server => self.serve(script),
            _ => self.ask(script),
        }
    }

    /// A call of the server's program.
    fn serve(&mut self, script: &mut Script<'_>) {
        let (call, exchange) = (script.byte() % 8, u32::from(script.byte() % 8));
        let (now, subject) = (self.now, &mut self.subject);
        // What comes out of order is refused as misuse, and changes nothing.
        let _ = match call {
            0 => subject.respond(now, exchange, &script.response()),
            1 | 2 => {
                let body = script.body();
                self.allowed += 2 * body.len() + RECORD;
                if subject.has_room(exchange) { subject.send_data(now, exchange, body) } else { Ok(()) }
            }
            3 => subject.end(exchange, Headers::new()),
            4 => subject.fail(exchange, &Notice::new(Code::UpstreamClosed, Fault::Upstream, "it closed")),
            5 => {
                subject.called(now, exchange);
                Ok(())
            }
            6 => {
                subject.taken(exchange, usize::from(script.short()));
                Ok(())
            }
            _ => {
                self.leave(script, exchange);
                Ok(())
            }
        };
    }

    /// A call of the client's program.
    fn ask(&mut self, script: &mut Script<'_>) {
        let (call, exchange) = (script.byte() % 6, u32::from(script.byte() % 8));
        let (now, subject) = (self.now, &mut self.subject);
        let _ = match call {
            0 => subject.request(now, &script.request()).map(drop),
            1 => {
                let body = script.body();
                self.allowed += 2 * body.len() + RECORD;
                if subject.has_room(exchange) { subject.send_body(now, exchange, body) } else { Ok(()) }
            }
            2 => subject.end_body(exchange, Headers::new()),
            3 => {
                subject.cancel(exchange, CancelReason::ResponseRefused);
                Ok(())
            }
            4 => {
                subject.taken(exchange, usize::from(script.short()));
                Ok(())
            }
            _ => {
                self.leave(script, exchange);
                Ok(())
            }
        };
    }

    fn leave(&mut self, script: &mut Script<'_>, exchange: u32) {
        match script.byte() {
            0..0x80 => self.subject.abandon(exchange),
            0x80..0xfe => self.subject.go_away(Some(Code::ShuttingDown), "the proxy stops"),
            _ => self.subject.receive_end(),
        }
    }

    fn receive(&mut self) {
        self.subject.receive(self.now, &mut self.input);
        assert!(self.input.len() < RECORD, "more than a record is left lying");
    }

    fn events(&mut self) {
        while let Some(event) = self.subject.poll_event() {
            assert!(self.closed.is_none(), "an event after the close: {event:?}");
            if let Event::Closed { why, .. } = event {
                assert!(!matches!(why, Closed::Fault(xllm_proxy::proto::Error::Misuse(_))), "its own fault: {why:?}");
                self.closed = Some(why);
            }
        }
        assert_eq!(self.closed.is_some(), self.subject.is_closed());
        assert!(self.subject.open_exchanges() <= support::EXCHANGES as usize);
    }

    fn transmit(&mut self) {
        loop {
            let mut out = BytesMut::new();
            let any = self.subject.poll_transmit(self.now, &mut out);
            assert_eq!(any, !out.is_empty());
            if !any {
                return;
            }
            assert!(out.len() < TRANSMIT_BATCH + RECORD_PLAINTEXT + HELLO, "more than a batch");
            self.sent += out.len();
            assert!(self.sent <= self.allowed, "{} bytes went out, {} are plenty", self.sent, self.allowed);
            self.peer.hear(&out);
        }
    }
}
