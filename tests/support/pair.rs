//! Two ends of a session on a virtual clock, and a scripted peer that says what no real one would.
#![allow(dead_code, reason = "each test program uses its part of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use core::time::Duration;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use xllm_proxy::proto::{
    AES_GCM, ClientConfig, Closed, Connection, Credential, Event, KeyId, Profile, Psk, Role, ServerConfig, ServerKey, Terms,
    crypto::Secret,
    frame::{self, BodyLength, End, Frame, Header, Headers, Mode, Policy, Request, Response},
    handshake::{Initiator, Responder, ServerHello},
    limits,
    record::{Opener, Sealer},
};

pub(crate) const UNIX_MS: u64 = 1_795_435_200_000;

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn server_key() -> ServerKey {
    ServerKey::new(Secret::new([9; 32]))
}

pub(crate) fn psk() -> Psk {
    Secret::new([2; 32])
}

pub(crate) fn credential() -> Credential {
    Credential { key_id: KeyId([1; 16]), psk: psk(), server: *server_key().public() }
}

pub(crate) fn client_config() -> ClientConfig {
    ClientConfig {
        credential: credential(),
        profile: Profile::Pad,
        hello_time: limits::HELLO_TIME,
        keep_alive: limits::CLIENT_KEEP_ALIVE,
    }
}

pub(crate) fn server_config() -> ServerConfig {
    ServerConfig {
        keys: [server_key()].into(),
        profile: Profile::Off,
        exchanges: 256,
        credit: 1 << 20,
        buffered: 1 << 20,
        hello_time: limits::HELLO_TIME,
        keep_alive: limits::SERVER_KEEP_ALIVE,
        idle: secs(600),
        node: None,
        instance: [0; 8],
    }
}

pub(crate) fn server_hello(profile: Profile) -> ServerHello {
    ServerHello {
        profile,
        exchanges: 4,
        credit: 32_768,
        buffered: 1 << 20,
        idle: 600,
        unix_ms: UNIX_MS,
        node: None,
        hold: 0,
        instance: None,
    }
}

pub(crate) fn header(name: &str, value: &str) -> Header {
    Header { name: name.into(), value: Bytes::copy_from_slice(value.as_bytes()) }
}

pub(crate) fn get() -> Request {
    Request {
        id: [7; 16],
        method: "GET".into(),
        url: "https://api.example.com/v1/models".into(),
        headers: vec![header("accept", "application/json")],
        mode: Mode::Streaming,
        timings: false,
        policy: Policy::Neutral,
        body: BodyLength::None,
        credit: 1 << 20,
    }
}

pub(crate) fn post(body: BodyLength) -> Request {
    Request { method: "POST".into(), body, ..get() }
}

pub(crate) fn ok() -> Response {
    Response { status: 200, headers: vec![header("content-type", "text/event-stream")], length: None }
}

/// A new client, with its fixed ephemeral key.
pub(crate) fn new_client(config: ClientConfig, now: Duration) -> Connection {
    Connection::client(config, Secret::new([3; 32]), now, &AES_GCM).unwrap()
}

/// A new server, with its fixed ephemeral key.
pub(crate) fn new_server(config: ServerConfig, now: Duration) -> Connection {
    Connection::server(config, Secret::new([4; 32]), Secret::new([5; 32]), now, &AES_GCM)
}

/// One direction of the path.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// What is under way, and when it arrives. A test may meddle with it.
    pub(crate) under_way: VecDeque<(Duration, BytesMut)>,
    /// What arrived and was not used yet.
    input: BytesMut,
    /// All that was ever sent.
    pub(crate) sent: Vec<u8>,
    /// The sizes of what was sent, write by write.
    pub(crate) writes: Vec<usize>,
    /// Takes everything and delivers nothing.
    pub(crate) cut: bool,
}

/// A client and a server, with a path between them.
pub(crate) struct Pair {
    pub(crate) now: Duration,
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    pub(crate) to_server: Link,
    pub(crate) to_client: Link,
    pub(crate) latency: Duration,
    /// Bytes arrive in pieces of this size, each followed by a look at the events.
    pub(crate) chop: Option<usize>,
    /// The keys that the server knows.
    pub(crate) keys: Vec<(KeyId, Psk)>,
    /// What it grants.
    pub(crate) terms: Terms,
    client_events: Vec<Event>,
    server_events: Vec<Event>,
}

impl Pair {
    pub(crate) fn with(client: ClientConfig, server: ServerConfig) -> Self {
        let now = secs(1000);
        Self {
            now,
            client: new_client(client, now),
            server: new_server(server, now),
            to_server: Link::default(),
            to_client: Link::default(),
            latency: Duration::ZERO,
            chop: None,
            keys: vec![(KeyId([1; 16]), psk())],
            terms: Terms::default(),
            client_events: Vec::new(),
            server_events: Vec::new(),
        }
    }

    pub(crate) fn new() -> Self {
        Self::with(client_config(), server_config())
    }

    /// A pair whose handshake is done and whose events about it are taken.
    pub(crate) fn established() -> Self {
        Self::new().establish()
    }

    pub(crate) fn establish(mut self) -> Self {
        self.quiet();
        let (client, server) = (self.events(Role::Client), self.events(Role::Server));
        assert!(matches!(client[..], [Event::Established(Some(_))]), "{client:?}");
        assert!(matches!(server[..], [Event::Hello(_), Event::Established(None)]), "{server:?}");
        self
    }

    pub(crate) fn end(&mut self, role: Role) -> &mut Connection {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    /// The path to this end.
    pub(crate) fn link(&mut self, to: Role) -> &mut Link {
        match to {
            Role::Client => &mut self.to_client,
            Role::Server => &mut self.to_server,
        }
    }

    /// Events of this end that were not taken yet.
    pub(crate) fn events(&mut self, role: Role) -> Vec<Event> {
        self.collect(role);
        core::mem::take(match role {
            Role::Client => &mut self.client_events,
            Role::Server => &mut self.server_events,
        })
    }

    fn collect(&mut self, role: Role) {
        while let Some(event) = self.end(role).poll_event() {
            if let Event::Hello(id) = event {
                let psk = self.keys.iter().find(|(known, _)| *known == id).map(|(_, psk)| psk.clone());
                self.server.answer_hello(psk.as_ref(), &self.terms, UNIX_MS).unwrap();
            }
            match role {
                Role::Client => self.client_events.push(event),
                Role::Server => self.server_events.push(event),
            }
        }
    }

    /// Puts what both ends have to send on its way. Says whether there was anything.
    pub(crate) fn flush(&mut self) -> bool {
        let mut any = false;
        for from in [Role::Client, Role::Server] {
            let (now, at) = (self.now, self.now + self.latency);
            loop {
                let mut out = BytesMut::new();
                if !self.end(from).poll_transmit(now, &mut out) {
                    break;
                }
                any = true;
                let link = self.link(from.peer());
                link.sent.extend_from_slice(&out);
                link.writes.push(out.len());
                if !link.cut {
                    link.under_way.push_back((at, out));
                }
            }
            self.collect(from);
        }
        any
    }

    /// Delivers what has arrived by now. Says whether there was anything.
    pub(crate) fn deliver(&mut self) -> bool {
        let mut any = false;
        for to in [Role::Client, Role::Server] {
            let now = self.now;
            while self.link(to).under_way.front().is_some_and(|(at, _)| *at <= now) {
                any = true;
                let (_, mut bytes) = self.link(to).under_way.pop_front().unwrap();
                while !bytes.is_empty() {
                    let size = self.chop.unwrap_or(bytes.len()).min(bytes.len());
                    let piece = bytes.split_to(size);
                    self.link(to).input.extend_from_slice(&piece);
                    self.pump(to);
                }
            }
        }
        any
    }

    fn pump(&mut self, to: Role) {
        let now = self.now;
        loop {
            let mut input = core::mem::take(&mut self.link(to).input);
            let before = input.len();
            self.end(to).receive(now, &mut input);
            let used = before != input.len();
            self.link(to).input = input;
            self.collect(to);
            if !used {
                return;
            }
        }
    }

    /// Goes on until nothing is to be sent and nothing is under way; the clock moves by the latency as needed.
    pub(crate) fn quiet(&mut self) {
        for _ in 0..1_000_000 {
            let moved = self.flush() | self.deliver();
            if !moved {
                match self.next_arrival() {
                    Some(at) => self.now = at,
                    None => return,
                }
            }
        }
        panic!("it never gets quiet");
    }

    fn next_arrival(&self) -> Option<Duration> {
        let first = |link: &Link| link.under_way.front().map(|(at, _)| *at);
        [first(&self.to_client), first(&self.to_server)].into_iter().flatten().min()
    }

    /// Lets this much time pass, with all deadlines and arrivals on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let mut next = end;
            self.flush();
            for at in [self.next_arrival(), self.client.poll_timeout(), self.server.poll_timeout()].into_iter().flatten() {
                next = next.min(at.max(self.now));
            }
            self.now = next;
            let moved = self.deliver();
            for role in [Role::Client, Role::Server] {
                if self.end(role).poll_timeout().is_some_and(|at| at <= next) {
                    self.end(role).handle_timeout(next);
                    self.collect(role);
                }
            }
            if self.now >= end && !self.flush() && !moved {
                return;
            }
        }
    }

    /// The client opens an exchange; the server sees it.
    pub(crate) fn open(&mut self, request: &Request) -> u32 {
        let number = self.client.request(self.now, request).unwrap();
        self.quiet();
        let events = self.events(Role::Server);
        assert_eq!(events[..], [Event::Request(number, Box::new(request.clone()))]);
        number
    }

    /// The server answers with a head; the client sees it.
    pub(crate) fn respond(&mut self, exchange: u32, response: &Response) {
        self.server.respond(self.now, exchange, response).unwrap();
        self.quiet();
        assert_eq!(self.events(Role::Client)[..], [Event::Response(exchange, response.clone())]);
    }

    pub(crate) fn data(&mut self, exchange: u32, bytes: &[u8]) {
        self.server.send_data(self.now, exchange, Bytes::copy_from_slice(bytes)).unwrap();
    }

    pub(crate) fn body(&mut self, exchange: u32, bytes: &[u8]) {
        self.client.send_body(self.now, exchange, Bytes::copy_from_slice(bytes)).unwrap();
    }

    /// The server ends the exchange; the client sees it.
    pub(crate) fn finish(&mut self, exchange: u32, total: u64) {
        self.server.end(exchange, Headers::new()).unwrap();
        self.quiet();
        let events = self.events(Role::Client);
        assert!(
            matches!(&events[..], [Event::End(number, End { total: found, .. })]
            if *number == exchange && *found == total),
            "{events:?}"
        );
    }
}

/// Why the session is over, if these events say so.
pub(crate) fn closed(events: &[Event]) -> Option<&Closed> {
    events.iter().find_map(|event| match event {
        Event::Closed { why, .. } => Some(why),
        _ => None,
    })
}

/// The pieces of an exchange in these events, and their sizes.
pub(crate) fn pieces(events: &[Event], exchange: u32) -> Vec<Bytes> {
    let of = |event: &Event| match event {
        Event::Data(number, bytes, _) | Event::Body(number, bytes) if *number == exchange => Some(bytes.clone()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// The sizes of the records in a stream of them.
pub(crate) fn record_sizes(mut wire: &[u8]) -> Vec<usize> {
    let mut sizes = Vec::new();
    while let Some((length, _)) = wire.split_first_chunk::<2>() {
        let size = 2 + usize::from(u16::from_be_bytes(*length));
        sizes.push(size);
        wire = &wire[size..];
    }
    sizes
}

/// One frame's bytes.
pub(crate) fn encoded(exchange: u32, frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    frame.encode(exchange, &mut out).unwrap();
    out
}

/// A real end, the subject, and a peer that has its keys and says whatever a test wants.
pub(crate) struct Scripted {
    pub(crate) now: Duration,
    pub(crate) subject: Connection,
    sealer: Sealer,
    opener: Opener,
    heard: BytesMut,
}

impl Scripted {
    /// A scripted client against a real server. The server has answered the hello and has seen no record yet.
    pub(crate) fn client(config: ServerConfig) -> Self {
        Self::client_with(config, &Terms::default())
    }

    /// The same, of a client that is granted this.
    pub(crate) fn client_with(config: ServerConfig, terms: &Terms) -> Self {
        let now = secs(1000);
        let (initiator, hello) = Initiator::start(&credential(), Profile::Off, Secret::new([3; 32]), &AES_GCM).unwrap();
        let mut subject = new_server(config, now);
        subject.receive(now, &mut BytesMut::from(&hello[..]));
        assert_eq!(subject.poll_event(), Some(Event::Hello(KeyId([1; 16]))));
        subject.answer_hello(Some(&psk()), terms, UNIX_MS).unwrap();
        let mut answer = BytesMut::new();
        assert!(subject.poll_transmit(now, &mut answer));
        let (_, traffic) = initiator.finish(answer[..].try_into().unwrap()).unwrap();
        let (sealer, opener) = (Sealer::new(traffic.client, &AES_GCM), Opener::new(traffic.server, &AES_GCM));
        Self { now, subject, sealer, opener, heard: BytesMut::new() }
    }

    /// The same, after a first record of padding.
    pub(crate) fn established_client(config: ServerConfig) -> Self {
        let mut this = Self::client(config);
        this.say(&[0]);
        assert_eq!(this.events()[..], [Event::Established(None)]);
        this
    }

    /// A scripted server that says this in its hello, against a real client.
    pub(crate) fn server(config: ClientConfig, said: &ServerHello) -> Self {
        let now = secs(1000);
        let mut subject = new_client(config, now);
        let mut hello = BytesMut::new();
        assert!(subject.poll_transmit(now, &mut hello));
        let responder = Responder::open(hello[..].try_into().unwrap(), &server_key(), Secret::new([4; 32]), &AES_GCM).unwrap();
        let (answer, traffic) = responder.answer(&psk(), said).unwrap();
        subject.receive(now, &mut BytesMut::from(&answer[..]));
        let (sealer, opener) = (Sealer::new(traffic.server, &AES_GCM), Opener::new(traffic.client, &AES_GCM));
        Self { now, subject, sealer, opener, heard: BytesMut::new() }
    }

    /// The same with profile `off`, after the client's first record.
    pub(crate) fn established_server() -> Self {
        let config = ClientConfig { profile: Profile::Off, ..client_config() };
        let mut this = Self::server(config, &server_hello(Profile::Off));
        assert!(matches!(this.events()[..], [Event::Established(Some(_))]));
        assert!(matches!(this.hear()[..], [(0, Frame::Ping(_))]));
        this
    }

    /// Seals a record with this plaintext.
    pub(crate) fn seal(&mut self, plaintext: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        let start = Sealer::begin(&mut out);
        out.extend_from_slice(plaintext);
        self.sealer.seal(&mut out, start).unwrap();
        out
    }

    /// Gives these bytes to the subject.
    pub(crate) fn feed(&mut self, wire: &[u8]) {
        self.heard.extend_from_slice(wire);
        self.subject.receive(self.now, &mut self.heard);
    }

    /// Seals a record with this plaintext and gives it to the subject.
    pub(crate) fn say(&mut self, plaintext: &[u8]) {
        let record = self.seal(plaintext);
        self.feed(&record);
    }

    pub(crate) fn frame(&mut self, exchange: u32, frame: &Frame) {
        self.say(&encoded(exchange, frame));
    }

    /// What the subject has to say, frame by frame.
    pub(crate) fn hear(&mut self) -> Vec<(u32, Frame)> {
        let mut wire = BytesMut::new();
        while self.subject.poll_transmit(self.now, &mut wire) {}
        let mut frames = Vec::new();
        while let Some(record) = self.opener.open(&mut wire).unwrap() {
            let mut at = 0;
            while let Some(frame) = frame::decode(&record, &mut at, self.subject.role()).unwrap() {
                frames.push(frame);
            }
        }
        assert!(wire.is_empty(), "a subject sends whole records");
        frames
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.subject.poll_event()).collect()
    }
}
