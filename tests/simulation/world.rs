//! All of it: what there is, what is due, and what must hold.

use core::time::Duration;
use std::sync::Arc;

use bytes::BytesMut;
use xllm_proxy::proto::{
    ClientConfig, Connection, Credential, Hold, KeyId, Profile, Psk, ServerConfig, ServerKey, Terms,
    crypto::{Secret, Suite},
    frame::{BodyLength, Mode, Policy, Request},
    limits,
};

use super::{client::Client, dice::Dice, net::Pipe, server::Server};

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All of the answer.
    Whole,
    /// Its upstream failed, as it was to, behind all that came before.
    Failed,
    /// Its caller gave up.
    Cancelled,
    /// The connection was lost for good.
    Lost,
}

/// What a request uploads and gets, the same for whoever looks.
pub(crate) struct Plan {
    pub(crate) request: Request,
    pub(crate) upload: u64,
    pub(crate) answer: u64,
    /// Where the upstream fails, if it does.
    pub(crate) fault: Option<u64>,
    pub(crate) starts: Duration,
    pub(crate) gives_up: Option<Duration>,
}

/// The byte at this place of the body of request `ask`, either way.
pub(crate) const fn byte(ask: usize, at: u64) -> u8 {
    (at.wrapping_mul(31) as u8).wrapping_add(ask as u8).wrapping_add((at >> 8) as u8)
}

pub(crate) fn body(ask: usize, from: u64, size: u64) -> Vec<u8> {
    (from..from + size).map(|at| byte(ask, at)).collect()
}

/// A connection with its two ends.
pub(crate) struct Session {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    latency: Duration,
    /// When it is cut.
    cut: Option<Duration>,
    /// The client has its hello.
    pub(crate) is_up: bool,
}

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) now: Duration,
    pub(crate) plans: Vec<Plan>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) terms: Terms,
    /// Nothing may be lost.
    pub(crate) strict: bool,
    pub(crate) cuts: usize,
    /// From then on the network does no harm.
    calm: Duration,
    restarts: Vec<Duration>,
    key: ServerKey,
    suite: &'static dyn Suite,
}

const LIMIT: Duration = Duration::from_hours(4);

fn psk() -> Psk {
    Secret::new([2; 32])
}

impl World {
    pub(crate) fn new(mut dice: Dice, strict: bool, suite: &'static dyn Suite) -> Self {
        let calm = Duration::from_secs(1000 + dice.below(300));
        let plans: Vec<_> = (0..=dice.below(6)).map(|_| plan(&mut dice)).collect();
        let restarts = if strict { 0 } else { dice.below(3) };
        let restarts = (0..restarts).map(|_| Duration::from_secs(1000 + dice.below(100))).collect();
        let hold = Hold {
            time: if strict { Duration::from_hours(1) } else { Duration::from_secs(5 + dice.below(60)) },
            keep: if strict || dice.one_in(2) { limits::KEEP } else { 64 * 1024 },
            finish: dice.one_in(4),
        };
        let client = Client::new(plans.len());
        Self {
            dice,
            now: Duration::from_secs(1000),
            plans,
            sessions: Vec::new(),
            client,
            server: Server::default(),
            terms: Terms { hold: Some(hold), ..Terms::default() },
            strict,
            cuts: 0,
            calm,
            restarts,
            key: ServerKey::new(Secret::new([9; 32])),
            suite,
        }
    }

    pub(crate) fn answer_hello(&mut self, session: usize) {
        let terms = self.terms;
        self.sessions[session].server.answer_hello(Some(&psk()), &terms, 0).unwrap();
    }

    /// The client connects.
    pub(crate) fn connect(&mut self) -> usize {
        let credential = Credential { key_id: KeyId([1; 16]), psk: psk(), server: *self.key.public() };
        let client = ClientConfig {
            credential,
            profile: Profile::Off,
            hello_time: limits::HELLO_TIME,
            keep_alive: limits::CLIENT_KEEP_ALIVE,
        };
        let server = ServerConfig {
            keys: Arc::new([ServerKey::new(Secret::new([9; 32]))]),
            profile: Profile::Off,
            exchanges: 4,
            credit: [limits::CREDIT_MIN, 100_000, 1 << 20][self.dice.below(3) as usize],
            buffered: 1 << 20,
            hello_time: limits::HELLO_TIME,
            keep_alive: limits::SERVER_KEEP_ALIVE,
            idle: Duration::from_mins(10),
            node: None,
            instance: self.server.instance.to_be_bytes(),
        };
        let (dice, now) = (&mut self.dice, self.now);
        let life = dice.size(16_000);
        let session = Session {
            client: Connection::client(client, Secret::new(dice.bytes()), now, self.suite).unwrap(),
            server: Connection::server(server, Secret::new(dice.bytes()), Secret::new(dice.bytes()), now, self.suite),
            up: Pipe::default(),
            down: Pipe::default(),
            latency: dice.millis(100),
            cut: (now < self.calm && !dice.one_in(8)).then(|| now + Duration::from_millis(life)),
            is_up: false,
        };
        self.sessions.push(session);
        self.sessions.len() - 1
    }

    /// Goes on until every request has come to its end at both ends.
    pub(crate) fn run(&mut self) {
        for _ in 0..1_000_000 {
            self.harm();
            self.client_acts();
            self.server_acts();
            self.transmit();
            self.check();
            if self.client.asks.iter().all(|ask| ask.fate.is_some()) && self.server.is_idle() {
                // Which would be long after: by then, an upstream has said all, or has been told that nobody wants it.
                assert!(!self.strict || self.server.jobs.iter().all(|job| job.ended), "an upstream that ended with its hold");
                return;
            }
            let next = self.next();
            assert!(next < LIMIT, "it never ends: {}", self.what_is_left());
            self.now = next.max(self.now);
            self.deliver();
        }
        panic!("it goes on and on");
    }

    /// What the network and the operator do.
    fn harm(&mut self) {
        let now = self.now;
        for session in &mut self.sessions {
            if session.cut.is_some_and(|cut| cut <= now) {
                session.cut = None;
                self.cuts += 1;
                session.up.cut(now, &mut self.dice);
                session.down.cut(now, &mut self.dice);
            }
        }
        if self.restarts.iter().any(|at| *at <= now) {
            self.restarts.retain(|at| *at > now);
            self.restart();
        }
    }

    /// The server is killed, and another one is there.
    fn restart(&mut self) {
        self.server.restart();
        for session in &mut self.sessions {
            if !session.server.is_closed() {
                session.server.receive_end();
            }
            session.server.expire(self.now, true);
            session.cut = None;
            session.down.cut(self.now, &mut self.dice);
            session.up.silent = true;
            while session.server.poll_event().is_some() {}
        }
    }

    fn transmit(&mut self) {
        let (now, dice) = (self.now, &mut self.dice);
        for session in &mut self.sessions {
            let mut out = BytesMut::new();
            while session.client.poll_transmit(now, &mut out) {}
            session.up.send(now, out, session.latency, dice);
            let mut out = BytesMut::new();
            while session.server.poll_transmit(now, &mut out) {}
            session.down.send(now, out, session.latency, dice);
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        for number in 0..self.sessions.len() {
            let session = &mut self.sessions[number];
            for (connection, pipe) in [(&mut session.server, &mut session.up), (&mut session.client, &mut session.down)] {
                if pipe.arrive(now) {
                    connection.receive(now, &mut pipe.input);
                }
                if pipe.has_ended(now) {
                    pipe.end = None;
                    pipe.silent = true;
                    connection.receive_end();
                }
                if connection.poll_timeout().is_some_and(|at| at <= now) {
                    connection.handle_timeout(now);
                }
            }
            self.server_hears(number);
            self.client_hears(number);
            // A hello that was answered lets what came behind it be read.
            let session = &mut self.sessions[number];
            session.server.receive(now, &mut session.up.input);
            self.server_hears(number);
            // An end that has gone in order ends the other.
            let session = &mut self.sessions[number];
            for (over, pipe) in [(session.server.is_closed(), &mut session.down), (session.client.is_closed(), &mut session.up)]
            {
                if over && !pipe.silent && pipe.end.is_none() {
                    pipe.end = Some(pipe.next().unwrap_or(now).max(now) + Duration::from_secs(3));
                }
            }
        }
    }

    fn next(&self) -> Duration {
        let of_sessions = self.sessions.iter().flat_map(|session| {
            [session.client.poll_timeout(), session.server.poll_timeout(), session.up.next(), session.down.next(), session.cut]
        });
        let mine = [self.client.next(self), self.server.next(self.now)];
        of_sessions.chain(mine).chain(self.restarts.iter().copied().map(Some)).flatten().min().unwrap_or(LIMIT)
    }

    fn what_is_left(&self) -> String {
        let asks = self.client.asks.iter().filter(|ask| ask.fate.is_none()).map(|ask| format!("{ask:?}"));
        let jobs = self.server.jobs.iter().filter(|job| !job.over).map(|job| format!("{job:?}"));
        asks.chain(jobs).collect::<Vec<_>>().join("; ")
    }

    fn check(&self) {
        for (number, session) in self.sessions.iter().enumerate() {
            let jobs = self.server.jobs.iter().filter(|job| job.home.0 == number && !job.over).count();
            let keep = self.terms.hold.unwrap().keep;
            let bound =
                if session.server.is_closed() { jobs * (keep + 150_000) } else { limits::UNARRIVED + (jobs + 1) * 150_000 };
            assert!(session.server.queued() <= bound, "session {number} holds {} of {bound}", session.server.queued());
        }
    }
}

fn plan(dice: &mut Dice) -> Plan {
    let upload = if dice.one_in(2) { dice.size(200_000) } else { 0 };
    let most = if dice.one_in(10) { 3_000_000 } else { 60_000 };
    let answer = dice.size(most);
    let starts = Duration::from_secs(1000) + dice.millis(60_000);
    Plan {
        request: Request {
            id: dice.bytes(),
            method: "POST".into(),
            url: "https://api.example/v1".into(),
            headers: Vec::new(),
            mode: Mode::Streaming,
            timings: dice.one_in(3),
            policy: Policy::Neutral,
            body: match dice.below(2) {
                0 if upload == 0 => BodyLength::None,
                0 => BodyLength::Known(upload),
                _ => BodyLength::Unknown,
            },
            credit: [limits::CREDIT_MIN, 100_000, 1 << 20][dice.below(3) as usize],
        },
        upload,
        answer,
        fault: dice.one_in(8).then(|| dice.below(answer + 1)),
        starts,
        gives_up: dice.one_in(8).then(|| starts + dice.millis(60_000)),
    }
}
