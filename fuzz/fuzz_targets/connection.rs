//! One end of a session against a peer that says anything: bytes that no key made, hellos with any payload, and, after an honest
//! handshake, records with any plaintext, between the calls that its program makes and at any time. Sessions are cut, and what is held
//! of them goes on in the next one, or is asked for by a peer that has no right to it.
//!
//! Nothing panics; what goes out can be opened and read; and how much goes out is bounded by what came in and what the program
//! gave.
//!
//! Script: who the subject is and how it begins, then operations.
#![no_main]

use core::time::Duration;
use std::collections::HashMap;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use support::{KEEP, Peer, QUICK, RECORD, START, Script, client, client_hello, receive, server, server_hello, use_secrets_of};
use xllm_proxy::proto::{
    Closed, Code, Connection, Event, Fault, Profile, Role,
    frame::{CancelReason, Headers, Notice, Resume},
    limits::{HELLO, RECORD_PLAINTEXT, TRANSMIT_BATCH},
};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let shape = script.byte() % 6;
    use_secrets_of((shape < 4).then_some(input));
    match shape {
        0 => raw(server(START, &QUICK), script.rest()),
        1 => raw(client(script.profile(), START, &QUICK), script.rest()),
        2 => {
            let hello = client_hello(&script.array());
            raw(server(START, &QUICK), &[&hello[..], script.rest()].concat());
        }
        3 => {
            let mut client = client(script.profile(), START, &QUICK);
            let mut hello = BytesMut::new();
            client.poll_transmit(START, &mut hello);
            let answer = server_hello(&hello, &script.array());
            raw(client, &[&answer[..], script.rest()].concat());
        }
        4 => Session::new(Role::Client, script.profile()).run(script),
        _ => Session::new(Role::Server, script.profile()).run(script),
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

/// Sessions that are over and hold something; older ones are let go.
const PAST: usize = 3;

struct Session {
    profile: Profile,
    peer: Peer,
    subject: Connection,
    now: Duration,
    /// What came and is no whole record yet.
    input: BytesMut,
    /// Bytes that may go out.
    allowed: usize,
    sent: usize,
    closed: Option<Closed>,
    /// By their number, from 0 on.
    past: HashMap<usize, Connection>,
    number: usize,
    /// Server: where a request is, by its ID: number of the session, and number of the exchange there.
    homes: HashMap<[u8; 16], (usize, u32)>,
}

fn begin(peer: Role, profile: Profile, now: Duration) -> (Peer, Connection) {
    match peer {
        Role::Client => Peer::client(profile, now),
        Role::Server => Peer::server(profile, now),
    }
}

impl Session {
    fn new(peer: Role, profile: Profile) -> Self {
        let (peer, subject) = begin(peer, profile, START);
        Self {
            profile,
            peer,
            subject,
            now: START,
            input: BytesMut::new(),
            allowed: RECORD,
            sent: 0,
            closed: None,
            past: HashMap::new(),
            number: 0,
            homes: HashMap::new(),
        }
    }

    fn run(mut self, mut script: Script<'_>) {
        while !script.is_empty() {
            self.operation(&mut script);
            self.events();
        }
        self.end();
        for old in self.past.values_mut().chain([&mut self.subject]) {
            old.expire(self.now, true);
            assert!(!old.holds_any() && old.queued() == 0, "nothing is kept for ever");
        }
    }

    /// Cuts the session.
    fn end(&mut self) {
        self.transmit();
        self.subject.receive_end();
        self.events();
        assert!(self.closed.is_some(), "every session ends with a word why");
        assert_eq!(self.subject.open_exchanges(), 0);
        assert_eq!(self.subject.poll_timeout(), None);
        self.transmit();
    }

    /// Cuts the session and begins the next one.
    fn reconnect(&mut self, script: &mut Script<'_>) {
        self.end();
        let (peer, subject) = begin(self.subject.role().peer(), self.profile, self.now);
        self.peer = peer;
        let mut old = core::mem::replace(&mut self.subject, subject);
        old.expire(self.now, false);
        if self.subject.role() == Role::Client {
            for number in 1..8 {
                self.go_on(&mut old, number, script.byte());
            }
        }
        self.past.remove(&self.number.wrapping_sub(PAST));
        self.past.insert(self.number, old);
        self.number += 1;
        self.input.clear();
        self.closed = None;
    }

    /// Client: an exchange that was cut goes on in this session.
    fn go_on(&mut self, old: &mut Connection, number: u32, how: u8) {
        if how & 3 == 0 {
            return;
        }
        let Some(held) = old.take(number) else { return };
        // Its request, and what the server has not taken of its body.
        self.allowed += old.queued() + KEEP + 4 * RECORD;
        let entered = if how & 4 == 0 { self.subject.resume(held) } else { self.subject.ask_again(held) };
        if let Err(held) = entered {
            old.put_back(number, held);
        }
    }

    /// Server: a client comes back.
    fn come_back(&mut self, number: u32, resume: &Resume) {
        let home = self.homes.get(&resume.id).copied();
        let found = home.filter(|_| self.subject.can_adopt()).and_then(|(session, exchange)| {
            let home = if session == self.number { Some(&mut self.subject) } else { self.past.get_mut(&session) }?;
            home.can_resume(exchange, resume).then(|| home.take(exchange))?
        });
        match found {
            Some(held) => {
                self.subject.adopt(number, held, resume);
                self.homes.insert(resume.id, (self.number, number));
                self.allowed += KEEP + 4 * RECORD;
            }
            None => self.subject.gone(number),
        }
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
            5 if script.byte() == 0xff => self.reconnect(script),
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
            4 if script.byte() & 1 == 0 => {
                subject.forget(exchange);
                Ok(())
            }
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
            match event {
                Event::Closed { why, .. } => {
                    assert!(!matches!(why, Closed::Fault(xllm_proxy::proto::Error::Misuse(_))), "its own fault: {why:?}");
                    self.closed = Some(why);
                }
                Event::Request(number, request) => _ = self.homes.insert(request.id, (self.number, number)),
                Event::Resume(number, resume) if !self.subject.is_closed() => self.come_back(number, &resume),
                _ => {}
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
