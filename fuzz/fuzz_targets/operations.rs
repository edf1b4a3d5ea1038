//! Two honest ends and a path that cuts and delays: whatever their programs do, in any order, neither finds fault with the
//! other, and every body arrives as it was sent.
#![no_main]

use core::time::Duration;
use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use support::{QUICK, START, Script, client, receive, server};
use xllm_proxy::proto::{
    Closed, Code, Connection, Event, Fault,
    frame::{CancelReason, Headers, Notice},
};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let mut path = Path::new(client(script.profile(), START, &QUICK));
    path.settle();
    while !script.is_empty() {
        path.operation(&mut script);
    }
    path.settle();
    path.check();
});

/// What a program sent and what the other one got, exchange by exchange.
#[derive(Default)]
struct Bodies {
    sent: HashMap<u32, Vec<u8>>,
    got: HashMap<u32, Vec<u8>>,
    /// Those whose end the receiver saw.
    whole: Vec<u32>,
}

impl Bodies {
    fn send(&mut self, exchange: u32, bytes: &Bytes) {
        self.sent.entry(exchange).or_default().extend_from_slice(bytes);
    }

    fn get(&mut self, exchange: u32, bytes: &Bytes) {
        self.got.entry(exchange).or_default().extend_from_slice(bytes);
    }
}

struct End {
    connection: Connection,
    /// What is under way to it.
    wire: BytesMut,
    input: BytesMut,
    /// Pieces that its program has not taken.
    held: Vec<(u32, usize)>,
    closed: Option<Closed>,
}

impl End {
    fn new(connection: Connection) -> Self {
        Self { connection, wire: BytesMut::new(), input: BytesMut::new(), held: Vec::new(), closed: None }
    }
}

struct Path {
    now: Duration,
    client: End,
    server: End,
    uploads: Bodies,
    downloads: Bodies,
}

impl Path {
    fn new(connection: Connection) -> Self {
        Self {
            now: START,
            client: End::new(connection),
            server: End::new(server(START, &QUICK)),
            uploads: Bodies::default(),
            downloads: Bodies::default(),
        }
    }

    fn operation(&mut self, script: &mut Script<'_>) {
        let (call, exchange) = (script.byte() % 16, u32::from(script.byte() % 8));
        let (now, client, server) = (self.now, &mut self.client.connection, &mut self.server.connection);
        let _ = match call {
            0 | 1 => client.request(now, &script.request()).map(drop),
            2 | 3 => {
                let bytes = script.body();
                if client.has_room(exchange) && client.send_body(now, exchange, bytes.clone()).is_ok() {
                    self.uploads.send(exchange, &bytes);
                }
                Ok(())
            }
            4 => client.end_body(exchange, Headers::new()),
            5 if script.byte() & 7 == 0 => {
                client.cancel(exchange, CancelReason::CallerGone);
                Ok(())
            }
            6 => server.respond(now, exchange, &script.response()),
            7..=9 => {
                let bytes = script.body();
                if server.has_room(exchange) && server.send_data(now, exchange, bytes.clone()).is_ok() {
                    self.downloads.send(exchange, &bytes);
                }
                Ok(())
            }
            10 => server.end(exchange, Headers::new()),
            11 if script.byte() & 7 == 0 => server.fail(exchange, &Notice::new(Code::UpstreamStalled, Fault::Upstream, "")),
            12 if script.byte() & 31 == 0 => {
                let end = if script.byte() & 1 == 0 { client } else { server };
                end.go_away(None, "enough");
                Ok(())
            }
            13 => {
                let to_server = exchange & 1 == 0;
                let count = usize::from(script.short());
                self.flush();
                self.deliver(to_server, count);
                Ok(())
            }
            14 => {
                self.take(exchange & 1 == 0);
                Ok(())
            }
            _ => {
                self.now += Duration::from_millis(u64::from(script.short()) / 16);
                Ok(())
            }
        };
        self.look();
    }

    /// Puts what both ends have to send on its way.
    fn flush(&mut self) {
        while self.client.connection.poll_transmit(self.now, &mut self.server.wire) {}
        while self.server.connection.poll_transmit(self.now, &mut self.client.wire) {}
    }

    fn deliver(&mut self, to_server: bool, count: usize) {
        let end = if to_server { &mut self.server } else { &mut self.client };
        let piece = end.wire.split_to(count.min(end.wire.len()));
        end.input.extend_from_slice(&piece);
        let events = receive(&mut end.connection, self.now, &mut end.input);
        for event in events {
            self.saw(to_server, event);
        }
    }

    /// Events that no delivery caused.
    fn look(&mut self) {
        for at_server in [false, true] {
            while let Some(event) = self.end(at_server).connection.poll_event() {
                self.saw(at_server, event);
            }
        }
    }

    fn end(&mut self, server: bool) -> &mut End {
        if server { &mut self.server } else { &mut self.client }
    }

    fn saw(&mut self, at_server: bool, event: Event) {
        assert!(self.end(at_server).closed.is_none(), "an event after the close: {event:?}");
        match event {
            Event::Body(exchange, bytes) => {
                self.uploads.get(exchange, &bytes);
                self.server.held.push((exchange, bytes.len()));
            }
            Event::BodyEnd(exchange, _) => self.uploads.whole.push(exchange),
            Event::Data(exchange, bytes, _) => {
                self.downloads.get(exchange, &bytes);
                self.client.held.push((exchange, bytes.len()));
            }
            Event::End(exchange, end) => {
                let got = self.downloads.got.get(&exchange).map_or(0, Vec::len);
                assert_eq!(end.total, got as u64);
                self.downloads.whole.push(exchange);
            }
            Event::Rejected(error) => panic!("an honest client is rejected: {error}"),
            Event::Closed { why, .. } => {
                assert!(matches!(why, Closed::Done), "honest ends fall out: {why:?}");
                self.end(at_server).closed = Some(why);
            }
            _ => {}
        }
    }

    /// The program takes all that it got.
    fn take(&mut self, at_server: bool) {
        let end = self.end(at_server);
        for (exchange, bytes) in end.held.drain(..) {
            end.connection.taken(exchange, bytes);
        }
    }

    /// Goes on until nothing moves.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.flush();
            if self.server.wire.is_empty() && self.client.wire.is_empty() {
                return;
            }
            for to_server in [true, false] {
                self.deliver(to_server, usize::MAX);
                self.take(to_server);
                self.look();
            }
        }
        panic!("it never gets quiet");
    }

    fn check(&mut self) {
        for (server, bodies) in [(true, &self.uploads), (false, &self.downloads)] {
            for (exchange, got) in &bodies.got {
                let sent = bodies.sent.get(exchange).map_or(&[][..], |sent| sent);
                assert!(sent.starts_with(got), "exchange {exchange}: not what was sent (server: {server})");
            }
            for exchange in &bodies.whole {
                let none = Vec::new();
                let (sent, got) = (bodies.sent.get(exchange).unwrap_or(&none), bodies.got.get(exchange).unwrap_or(&none));
                assert_eq!(sent, got, "exchange {exchange}: an end before the end (server: {server})");
            }
        }
    }
}
