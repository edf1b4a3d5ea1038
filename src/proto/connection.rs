//! One end of a session: bytes in, bytes and events and deadlines out (sections 3 to 5, 5.13).

use core::time::Duration;
use std::collections::{HashMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    crypto::{Secret, Suite},
    error::{Code, Error, Fault},
    exchange::{Exchange, Wrote},
    frame::{self, CancelReason, End, Frame, GoAway, Headers, Notice, Ping, Request, Response, Stamps, kind},
    handshake::{Initiator, Responder, ServerHello, Traffic},
    keys::{Credential, KeyId, Psk, ServerKey},
    limits::{self, HELLO, LENGTH, RECORD_PLAINTEXT, TRANSMIT_BATCH},
    profile::Profile,
    record::{Opener, Sealer},
    role::Role,
};

/// What a client brings.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Key and server.
    pub credential: Credential,
    /// Profile asked for.
    pub profile: Profile,
    /// How long the server may take to answer the hello.
    pub hello_time: Duration,
    /// Silence after which a PING goes out, and again after which the session is lost.
    pub keep_alive: Duration,
}

/// What a server brings.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The static key.
    pub key: ServerKey,
    /// The weakest profile that it allows.
    pub profile: Profile,
    /// Exchanges that a client may have open at once.
    pub exchanges: u32,
    /// Initial upload credit of each exchange.
    pub credit: u64,
    /// Largest download credit that it makes use of, or half of what the client offers if that is more.
    pub download_credit: u64,
    /// Largest response in buffered mode.
    pub buffered: u64,
    /// How long an unauthenticated peer may hold the connection.
    pub hello_time: Duration,
    /// Silence after which a PING goes out, and again after which the session is lost.
    pub keep_alive: Duration,
    /// Time without an exchange after which the session ends.
    pub idle: Duration,
}

/// What happened. Each is to be taken with [`Connection::poll_event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Server: a client hello was opened. [`Connection::answer_hello`] is due.
    Hello(KeyId),
    /// Server: what an unauthenticated peer sent was wrong. It gets no byte for it, and a close at the hello deadline.
    Rejected(Error),
    /// The peer has proved that it holds the key. At the client, with what the server's hello said.
    Established(Option<ServerHello>),
    /// Server: an exchange was opened.
    Request(u32, Box<Request>),
    /// Server: a piece of the request body. [`Connection::taken`] is due when the program has taken it.
    Body(u32, Bytes),
    /// Server: the end of the request body.
    BodyEnd(u32, Headers),
    /// Server: the client wants no more of this exchange; it is answered already.
    Cancelled(u32, CancelReason),
    /// Client: the head of a response.
    Response(u32, Response),
    /// Client: a piece of a response. [`Connection::taken`] is due when the program has taken it.
    Data(u32, Bytes, Option<Stamps>),
    /// Client: the end of a response, which is whole.
    End(u32, End),
    /// Client: the exchange failed.
    Failed(u32, Notice),
    /// There is room again for [`Connection::send_body`] or [`Connection::send_data`] on this exchange.
    Room(u32),
    /// Client: no new exchanges here.
    GoAway(GoAway),
    /// The session is over; every exchange with it.
    Closed {
        /// Why.
        why: Closed,
        /// Client: exchanges whose REQUEST was never sealed. Repeating these is safe.
        unsent: Vec<u32>,
    },
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// In order: no exchange was open.
    Done,
    /// The peer broke the protocol, or its bytes were damaged.
    Fault(Error),
    /// The peer says that we did.
    Refused(Notice),
    /// The byte stream ended: in the handshake, or with exchanges open.
    Lost {
        /// Whether the handshake was still going on.
        in_hello: bool,
    },
    /// Silence for too long.
    TimedOut {
        /// Whether the handshake was still going on.
        in_hello: bool,
    },
    /// Client: the server offers a weaker profile than was asked for, or one that this version does not have (section 3.5).
    ProfileRefused(Profile),
}

#[derive(Debug)]
enum Stage {
    /// Client: hello sent.
    HelloSent(Box<Initiator>),
    /// Server: nothing opened yet.
    AwaitingHello,
    /// Server: the program looks the key up.
    AwaitingKey(Box<Responder>),
    /// Server: hello answered, key not proved yet.
    AwaitingFirst,
    /// Both sides proved their keys.
    Open,
    /// Server: the peer is not ours; its bytes are thrown away (section 3.7).
    Discarding,
    /// Over. What is still to be sent is a last word.
    Closed,
}

#[derive(Debug)]
enum Config {
    Client(ClientConfig),
    Server(ServerConfig, /* ephemeral */ Secret<32>, /* for unknown IDs */ Psk),
}

/// One end of a session.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    suite: &'static dyn Suite,
    stage: Stage,
    hello: Option<[u8; HELLO]>,
    keys: Option<(Sealer, Opener)>,
    profile: Profile,
    /// What the server's hello allows the client.
    upload_credit: u64,
    exchanges_max: u32,
    exchanges: HashMap<u32, Exchange>,
    /// The newest exchange number that was opened.
    newest: u32,
    /// Exchanges with something to send, in turn.
    ready: VecDeque<u32>,
    /// Exchanges that owe the peer credit.
    crediting: VecDeque<u32>,
    /// Frames about the session, and answers to exchanges that were refused at once.
    control: VecDeque<(u8, u32, Option<u64>, Bytes)>,
    pongs: VecDeque<(u32, [u8; 8])>,
    events: VecDeque<Event>,
    /// The client owes the record that proves its key (section 3.9).
    confirm: bool,
    /// The last number that either GOAWAY allows.
    draining: Option<u32>,
    heard: Duration,
    pinged: bool,
    hello_deadline: Duration,
    idle_since: Duration,
}

/// Refused exchanges whose answer the peer has not taken: a peer that floods beyond this breaks its session.
const REFUSED_MAX: usize = 1024;

impl Connection {
    /// A client's end. `ephemeral` must be 32 fresh random bytes.
    ///
    /// # Errors
    /// If the credential's server key is unusable.
    pub fn client(
        config: ClientConfig,
        ephemeral: Secret<32>,
        now: Duration,
        suite: &'static dyn Suite,
    ) -> Result<Self, Error> {
        let (initiator, hello) = Initiator::start(&config.credential, config.profile, ephemeral, suite)?;
        let deadline = now + config.hello_time;
        let mut this = Self::new(Config::Client(config), Stage::HelloSent(Box::new(initiator)), now, deadline, suite);
        this.hello = Some(hello);
        Ok(this)
    }

    /// A server's end. `ephemeral` and `decoy` must be 64 fresh random bytes; the decoy stands for the PSK of unknown IDs.
    pub fn server(config: ServerConfig, ephemeral: Secret<32>, decoy: Psk, now: Duration, suite: &'static dyn Suite) -> Self {
        let deadline = now + config.hello_time;
        let exchanges_max = config.exchanges;
        let mut this = Self::new(Config::Server(config, ephemeral, decoy), Stage::AwaitingHello, now, deadline, suite);
        this.exchanges_max = exchanges_max;
        this
    }

    fn new(config: Config, stage: Stage, now: Duration, hello_deadline: Duration, suite: &'static dyn Suite) -> Self {
        Self {
            config,
            suite,
            stage,
            hello: None,
            keys: None,
            profile: Profile::default(),
            upload_credit: 0,
            exchanges_max: 0,
            exchanges: HashMap::new(),
            newest: 0,
            ready: VecDeque::new(),
            crediting: VecDeque::new(),
            control: VecDeque::new(),
            pongs: VecDeque::new(),
            events: VecDeque::new(),
            confirm: false,
            draining: None,
            heard: now,
            pinged: false,
            hello_deadline,
            idle_since: now,
        }
    }

    /// Which end this is.
    pub const fn role(&self) -> Role {
        match self.config {
            Config::Client(_) => Role::Client,
            Config::Server(..) => Role::Server,
        }
    }

    const fn is_server(&self) -> bool {
        matches!(self.role(), Role::Server)
    }

    /// Whether exchanges can be opened now (client).
    pub fn can_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
            && self.draining.is_none()
            && self.exchanges.len() < self.exchanges_max as usize
            && self.newest < limits::EXCHANGE
    }

    /// Whether this session will ever open another exchange (client).
    pub const fn is_draining(&self) -> bool {
        self.draining.is_some() || matches!(self.stage, Stage::Closed) || self.newest >= limits::EXCHANGE
    }

    /// Whether the session is over. A last word may still be to be sent.
    pub const fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    /// How many exchanges are open.
    pub fn open_exchanges(&self) -> usize {
        self.exchanges.len()
    }

    /// Whether the exchange is open.
    pub fn is_open(&self, exchange: u32) -> bool {
        self.exchanges.contains_key(&exchange)
    }

    // ------------------------------------------------------------------------------------------ input

    /// Takes all that can be used of the bytes that arrived; what is left belongs to a unit that is not whole yet (at most
    /// one record, unless a key look-up is due).
    pub fn receive(&mut self, now: Duration, input: &mut BytesMut) {
        loop {
            match self.stage {
                Stage::Closed | Stage::Discarding => return input.clear(),
                Stage::AwaitingKey(_) => return,
                Stage::AwaitingHello | Stage::HelloSent(_) => {
                    let Some(&hello) = input.first_chunk::<HELLO>() else { return };
                    let _ = input.split_to(HELLO);
                    self.heard = now;
                    self.receive_hello(now, &hello);
                }
                Stage::AwaitingFirst | Stage::Open => {
                    let Some((_, opener)) = &mut self.keys else { return };
                    match opener.open(input) {
                        Ok(None) => return,
                        Ok(Some(record)) => self.receive_record(now, &record),
                        Err(error) => self.fault(error),
                    }
                }
            }
        }
    }

    fn receive_hello(&mut self, now: Duration, hello: &[u8; HELLO]) {
        match (core::mem::replace(&mut self.stage, Stage::Closed), &self.config) {
            (Stage::HelloSent(initiator), Config::Client(config)) => match initiator.finish(hello) {
                Ok((said, _)) if said.profile < config.profile || said.profile > Profile::STRICTEST => {
                    self.close(Closed::ProfileRefused(said.profile));
                }
                Ok((said, traffic)) => {
                    self.set_keys(traffic);
                    self.profile = said.profile;
                    self.upload_credit = said.credit;
                    self.exchanges_max = said.exchanges;
                    self.confirm = true;
                    self.open(now, Some(said));
                }
                Err(error) => self.close(Closed::Fault(error)),
            },
            (_, Config::Server(config, ephemeral, _)) => {
                match Responder::open(hello, &config.key, ephemeral.clone(), self.suite) {
                    Ok(responder) => {
                        self.events.push_back(Event::Hello(responder.hello().key_id));
                        self.stage = Stage::AwaitingKey(Box::new(responder));
                    }
                    Err(error) => self.reject(error),
                }
            }
            (_, Config::Client(_)) => {}
        }
    }

    /// Server: gives the PSK of the key ID that [`Event::Hello`] named, `None` if there is none (section 3.6). `profile` is
    /// the weakest that this client is allowed.
    ///
    /// # Errors
    /// [`Error::Misuse`] if no hello waits.
    pub fn answer_hello(&mut self, psk: Option<&Psk>, unix_ms: u64) -> Result<(), Error> {
        let (Stage::AwaitingKey(_), Config::Server(config, _, decoy)) = (&self.stage, &self.config) else {
            return Err(Error::Misuse("no hello waits for an answer"));
        };
        let (psk, hello_exchanges) = (psk.unwrap_or(decoy).clone(), config.exchanges);
        let Stage::AwaitingKey(responder) = core::mem::replace(&mut self.stage, Stage::AwaitingFirst) else {
            return Err(Error::Misuse("no hello waits for an answer"));
        };
        let asked = responder.hello().profile;
        let said = ServerHello {
            profile: asked.max(config.profile).min(Profile::STRICTEST),
            exchanges: hello_exchanges,
            credit: config.credit,
            buffered: config.buffered,
            idle: config.idle.as_secs(),
            unix_ms,
            node: None,
            hold: 0,
        };
        match responder.answer(&psk, &said) {
            Ok((hello, traffic)) => {
                self.hello = Some(hello);
                self.profile = said.profile;
                self.set_keys(traffic);
            }
            Err(error) => self.reject(error),
        }
        Ok(())
    }

    fn set_keys(&mut self, traffic: Traffic) {
        let (ours, theirs) = match self.role() {
            Role::Client => (traffic.client, traffic.server),
            Role::Server => (traffic.server, traffic.client),
        };
        self.keys = Some((Sealer::new(ours, self.suite), Opener::new(theirs, self.suite)));
    }

    fn open(&mut self, now: Duration, hello: Option<ServerHello>) {
        self.stage = Stage::Open;
        self.idle_since = now;
        self.events.push_back(Event::Established(hello));
    }

    fn receive_record(&mut self, now: Duration, record: &Bytes) {
        self.heard = now;
        self.pinged = false;
        if matches!(self.stage, Stage::AwaitingFirst) {
            self.open(now, None);
        }
        let mut at = 0;
        while !self.is_closed() {
            match frame::decode(record, &mut at, self.role().peer()) {
                Ok(None) => break,
                Ok(Some((exchange, frame))) => {
                    if let Err(error) = self.receive_frame(now, exchange, frame) {
                        self.fault(error);
                    }
                }
                Err(error) => self.fault(error),
            }
        }
        self.finish_drain();
    }

    fn receive_frame(&mut self, now: Duration, exchange: u32, frame: Frame) -> Result<(), Error> {
        match frame {
            Frame::Error { seq: 0, notice } if exchange == 0 => {
                self.close(Closed::Refused(notice));
                Ok(())
            }
            Frame::Error { .. } if exchange == 0 => Err(Error::sequence("a session's error with a place in a response")),
            Frame::Ping(_) | Frame::Pong(_) if exchange != 0 && !self.is_open(exchange) => self.check_past(exchange),
            Frame::Ping(ping) => {
                if self.pongs.len() == limits::PINGS {
                    self.pongs.pop_front();
                }
                self.pongs.push_back((exchange, ping.token));
                Ok(())
            }
            Frame::Pong(_) => Ok(()),
            Frame::GoAway(goaway) => {
                self.receive_goaway(goaway);
                Ok(())
            }
            Frame::Credit(amount) => match self.exchanges.get_mut(&exchange) {
                Some(open) => {
                    open.out.add_credit(amount)?;
                    self.list(exchange);
                    Ok(())
                }
                None => self.check_past(exchange),
            },
            frame if self.is_server() => self.receive_at_server(now, exchange, frame),
            frame => self.receive_at_client(exchange, frame),
        }
    }

    /// A frame for an exchange that is not open crossed its end on the way, or never had one (section 5.2).
    fn check_past(&self, exchange: u32) -> Result<(), Error> {
        let unserved = self.draining.is_some_and(|last| exchange > last);
        if exchange <= self.newest && (self.is_server() || unserved) {
            Ok(())
        } else {
            Err(Error::sequence("a frame on an exchange that is not open"))
        }
    }

    fn receive_at_server(&mut self, now: Duration, exchange: u32, frame: Frame) -> Result<(), Error> {
        match frame {
            Frame::Request(request) => self.receive_request(now, exchange, request),
            Frame::Resume(_) => {
                self.check_new(exchange)?;
                self.refuse((kind::GONE, exchange, None, Bytes::new()))
            }
            Frame::Body(bytes) => {
                let Some(open) = self.exchanges.get_mut(&exchange) else { return self.check_past(exchange) };
                if !open.has_ended() {
                    open.on_body(&bytes)?;
                    self.events.push_back(Event::Body(exchange, bytes));
                }
                Ok(())
            }
            Frame::BodyEnd(end) => {
                let Some(open) = self.exchanges.get_mut(&exchange) else { return self.check_past(exchange) };
                if !open.has_ended() {
                    open.on_body_end(&end)?;
                    self.events.push_back(Event::BodyEnd(exchange, end.trailers));
                }
                Ok(())
            }
            Frame::Cancel(reason) => {
                let Some(open) = self.exchanges.get_mut(&exchange) else { return self.check_past(exchange) };
                let notice = Notice::new(Code::Cancelled, Fault::Client, "the exchange was cancelled");
                let known = !open.has_ended();
                open.push_error(notice.encode(), true)?;
                self.list(exchange);
                if known {
                    self.events.push_back(Event::Cancelled(exchange, reason));
                }
                Ok(())
            }
            _ => Err(Error::Misuse("a frame that the decoder lets through from the wrong side")),
        }
    }

    fn check_new(&mut self, exchange: u32) -> Result<(), Error> {
        if exchange != self.newest + 1 {
            return Err(Error::violation("an exchange number out of turn"));
        }
        self.newest = exchange;
        Ok(())
    }

    fn refuse(&mut self, answer: (u8, u32, Option<u64>, Bytes)) -> Result<(), Error> {
        if self.control.len() >= REFUSED_MAX {
            return Err(Error::violation("a flood of exchanges that cannot be served"));
        }
        self.control.push_back(answer);
        Ok(())
    }

    fn receive_request(&mut self, now: Duration, exchange: u32, request: Box<Request>) -> Result<(), Error> {
        self.check_new(exchange)?;
        let Config::Server(config, ..) = &self.config else { return Err(Error::Misuse("a client serves nothing")) };
        let refusal = if self.draining.is_some_and(|last| exchange > last) {
            Some(Notice::new(Code::ShuttingDown, Fault::Proxy, "the proxy ends this session; use a new one"))
        } else if self.exchanges.len() >= self.exchanges_max as usize {
            Some(Notice::new(Code::TooManyExchanges, Fault::Client, "too many requests at once in this session"))
        } else {
            None
        };
        if let Some(notice) = refusal {
            return self.refuse((kind::ERROR, exchange, Some(0), notice.retry_safe().encode()));
        }
        // Not less than half: the client gives credit back in steps of a quarter of what it offered (section 5.5), and a
        // server that used less than a step would wait for ever.
        let credit = request.credit.min(config.download_credit.max(request.credit / 2));
        self.exchanges.insert(exchange, Exchange::new(&request, credit, config.credit, now));
        self.events.push_back(Event::Request(exchange, request));
        Ok(())
    }

    fn receive_at_client(&mut self, exchange: u32, frame: Frame) -> Result<(), Error> {
        let Some(open) = self.exchanges.get_mut(&exchange) else { return self.check_past(exchange) };
        let quiet = open.draining;
        let event = match frame {
            Frame::Response(response) => {
                open.on_response(&response)?;
                Event::Response(exchange, response)
            }
            Frame::Data { seq, payload } => {
                let (bytes, stamps) = open.on_data(seq, payload)?;
                Event::Data(exchange, bytes, stamps)
            }
            Frame::End { seq, end } => {
                open.on_end(seq, &end)?;
                self.exchanges.remove(&exchange);
                Event::End(exchange, end)
            }
            Frame::Error { seq, notice } => {
                open.on_error(seq)?;
                self.exchanges.remove(&exchange);
                Event::Failed(exchange, notice)
            }
            Frame::Gone | Frame::Resumed(_) => return Err(Error::violation("an answer to a RESUME that was not sent")),
            _ => return Err(Error::Misuse("a frame that the decoder lets through from the wrong side")),
        };
        if !quiet {
            self.events.push_back(event);
        }
        Ok(())
    }

    fn receive_goaway(&mut self, goaway: GoAway) {
        self.draining = Some(goaway.last);
        if !self.is_server() {
            let mut unserved: Vec<_> = self.exchanges.keys().copied().filter(|&number| number > goaway.last).collect();
            unserved.sort_unstable();
            for number in unserved {
                let quiet = self.exchanges.remove(&number).is_none_or(|exchange| exchange.draining);
                let code = goaway.code.unwrap_or(Code::ShuttingDown);
                let notice = Notice::new(code, Fault::Proxy, "the proxy ended this session before it took the request");
                if !quiet {
                    self.events.push_back(Event::Failed(number, notice.retry_safe()));
                }
            }
            self.events.push_back(Event::GoAway(goaway));
        }
    }

    /// The byte stream ended.
    pub fn receive_end(&mut self) {
        match self.stage {
            Stage::Closed => {}
            Stage::HelloSent(_) | Stage::AwaitingHello | Stage::AwaitingKey(_) | Stage::AwaitingFirst => {
                self.close(Closed::Lost { in_hello: true });
            }
            Stage::Discarding => self.close(Closed::Done),
            Stage::Open if self.exchanges.is_empty() => self.close(Closed::Done),
            Stage::Open => self.close(Closed::Lost { in_hello: false }),
        }
    }

    /// The peer broke the session: say so, and close (section 8.2).
    fn fault(&mut self, error: Error) {
        if matches!(self.stage, Stage::AwaitingFirst) {
            return self.reject(error);
        }
        let fault = match (error, self.role()) {
            (Error::Unauthentic(_), _) => Fault::Network,
            (_, Role::Client) => Fault::Proxy,
            (_, Role::Server) => Fault::Client,
        };
        let notice = Notice::new(error.code(), fault, error.to_string());
        self.close(Closed::Fault(error));
        self.control.push_back((kind::ERROR, 0, Some(0), notice.encode()));
    }

    fn reject(&mut self, error: Error) {
        self.stage = Stage::Discarding;
        self.hello = None;
        self.keys = None;
        self.events.push_back(Event::Rejected(error));
    }

    fn close(&mut self, why: Closed) {
        self.stage = Stage::Closed;
        let unsent = self.exchanges.drain().filter(|(_, exchange)| exchange.is_unsent()).map(|(number, _)| number);
        let mut unsent: Vec<_> = unsent.collect();
        unsent.sort_unstable();
        self.ready.clear();
        self.crediting.clear();
        self.control.clear();
        self.pongs.clear();
        self.confirm = false;
        self.events.push_back(Event::Closed { why, unsent });
    }

    fn finish_drain(&mut self) {
        let drained = self.draining.is_some() && self.exchanges.is_empty() && self.control.is_empty();
        if drained && matches!(self.stage, Stage::Open) {
            self.close(Closed::Done);
        }
    }

    // ------------------------------------------------------------------------------------------ the program's calls

    /// Client: opens an exchange and gives its number.
    ///
    /// # Errors
    /// [`Error::Misuse`] if none can be opened now ([`Connection::can_open`]); `too-large` if head or URL are.
    pub fn request(&mut self, now: Duration, request: &Request) -> Result<u32, Error> {
        if self.is_server() || !self.can_open() {
            return Err(Error::Misuse("no exchange can be opened now"));
        }
        let head = request.encode()?;
        let number = self.newest + 1;
        let mut exchange = Exchange::new(request, self.upload_credit, request.credit, now);
        exchange.push_request(head);
        self.newest = number;
        self.exchanges.insert(number, exchange);
        self.list(number);
        Ok(number)
    }

    fn exchange(&mut self, exchange: u32) -> Result<&mut Exchange, Error> {
        self.exchanges.get_mut(&exchange).filter(|open| !open.draining).ok_or(Error::Misuse("the exchange is not open"))
    }

    /// Whether the exchange takes another piece now. If not, [`Event::Room`] follows.
    pub fn has_room(&mut self, exchange: u32) -> bool {
        self.exchanges.get_mut(&exchange).is_some_and(|open| open.out.has_room())
    }

    /// Client: a piece of the request body.
    ///
    /// # Errors
    /// [`Error::Misuse`] out of order.
    pub fn send_body(&mut self, now: Duration, exchange: u32, bytes: Bytes) -> Result<(), Error> {
        if !bytes.is_empty() {
            self.exchange(exchange)?.push_body(bytes, now)?;
            self.list(exchange);
        }
        Ok(())
    }

    /// Client: the end of the request body.
    ///
    /// # Errors
    /// [`Error::Misuse`] out of order, or if the length is not what was said.
    pub fn end_body(&mut self, exchange: u32, trailers: Headers) -> Result<(), Error> {
        self.exchange(exchange)?.push_body_end(trailers)?;
        self.list(exchange);
        Ok(())
    }

    /// Client: wants no more of this exchange. Nothing more of it is reported.
    pub fn cancel(&mut self, exchange: u32, reason: CancelReason) {
        if let Ok(open) = self.exchange(exchange) {
            open.push_cancel(reason);
            self.list(exchange);
        }
    }

    /// The program took a piece of this many body bytes: credit goes back to the peer in time.
    /// Says whether there is now something to send.
    pub fn taken(&mut self, exchange: u32, bytes: usize) -> bool {
        let Some(open) = self.exchanges.get_mut(&exchange) else { return false };
        let due = open.taken(bytes) && !core::mem::replace(&mut open.crediting, true);
        if due {
            self.crediting.push_back(exchange);
        }
        due
    }

    /// Server: the upstream is being called.
    pub fn called(&mut self, now: Duration, exchange: u32) {
        if let Ok(open) = self.exchange(exchange) {
            open.called(now);
        }
    }

    /// Server: the head of the response.
    ///
    /// # Errors
    /// [`Error::Misuse`] out of order; `too-large` if the head is.
    pub fn respond(&mut self, now: Duration, exchange: u32, response: &Response) -> Result<(), Error> {
        let head = response.encode()?;
        self.exchange(exchange)?.push_response(head, now)?;
        self.list(exchange);
        Ok(())
    }

    /// Server: a piece of the response body.
    ///
    /// # Errors
    /// [`Error::Misuse`] out of order.
    pub fn send_data(&mut self, now: Duration, exchange: u32, bytes: Bytes) -> Result<(), Error> {
        if !bytes.is_empty() {
            self.exchange(exchange)?.push_data(bytes, now)?;
            self.list(exchange);
        }
        Ok(())
    }

    /// Server: the end of the response.
    ///
    /// # Errors
    /// [`Error::Misuse`] out of order; `too-large` if the trailers are.
    pub fn end(&mut self, exchange: u32, trailers: Headers) -> Result<(), Error> {
        self.exchange(exchange)?.push_end(trailers)?;
        self.list(exchange);
        Ok(())
    }

    /// Server: the exchange failed. What is queued goes out before.
    ///
    /// # Errors
    /// [`Error::Misuse`] after its end.
    pub fn fail(&mut self, exchange: u32, notice: &Notice) -> Result<(), Error> {
        self.exchange(exchange)?.push_error(notice.encode(), false)?;
        self.list(exchange);
        Ok(())
    }

    /// The program dropped the exchange before its end: the client cancels it, the server fails it.
    pub fn abandon(&mut self, exchange: u32) {
        if self.is_server() {
            let _ = self.fail(exchange, &Notice::new(Code::Internal, Fault::Proxy, "the proxy gave up on this request"));
        } else {
            self.cancel(exchange, CancelReason::CallerGone);
        }
    }

    /// Allows no new exchanges; the session ends when those under way have.
    pub fn go_away(&mut self, code: Option<Code>, text: &str) {
        if matches!(self.stage, Stage::Open) && self.draining.is_none() {
            let last = if self.is_server() { self.newest } else { 0 };
            self.draining = Some(self.newest);
            self.control.push_back((kind::GOAWAY, 0, None, GoAway { code, last, text: text.into() }.encode()));
        }
    }

    // ------------------------------------------------------------------------------------------ output

    fn list(&mut self, exchange: u32) {
        if let Some(open) = self.exchanges.get_mut(&exchange)
            && !open.out.is_empty()
            && !core::mem::replace(&mut open.listed, true)
        {
            self.ready.push_back(exchange);
        }
    }

    /// Appends what is to be sent now, about 64 KiB at most; `false` if there is nothing. Call it again when this is written.
    pub fn poll_transmit(&mut self, now: Duration, out: &mut BytesMut) -> bool {
        let before = out.len();
        if let Some(hello) = self.hello.take() {
            out.put_slice(&hello);
        }
        while out.len() - before < TRANSMIT_BATCH && self.keys.is_some() {
            let start = Sealer::begin(out);
            if let Err(error) = self.fill(now, out, start + LENGTH) {
                // A frame of our own that cannot be encoded: the session cannot go on.
                out.truncate(start);
                self.close(Closed::Fault(error));
                break;
            }
            let used = out.len() - start - LENGTH;
            if used == 0 {
                out.truncate(start);
                break;
            }
            out.put_bytes(0, self.profile.padded(used) - used);
            let sealed = self.keys.as_mut().map(|(sealer, _)| sealer.seal(out, start));
            if let Some(Err(error)) = sealed {
                out.truncate(start);
                self.close(Closed::Fault(error));
                break;
            }
        }
        self.finish_drain();
        out.len() > before
    }

    /// Puts all frames that are ready and fit into the record that begins at `text`.
    fn fill(&mut self, now: Duration, out: &mut BytesMut, text: usize) -> Result<(), Error> {
        let server = self.is_server();
        while let Some((exchange, token)) = self.pongs.front().copied() {
            let open = self.exchanges.get(&exchange);
            let silence = open.filter(|_| server).map_or(0, |open| open.silence(now));
            if (exchange == 0 || open.is_some())
                && !put_small(out, text, kind::PONG, exchange, None, &Ping { token, silence }.encode())
            {
                return Ok(());
            }
            self.pongs.pop_front();
        }
        if !self.fill_control(out, text) {
            return Ok(());
        }
        // Half of a record at most, so that credit, which costs its peer nothing, holds up no body.
        while out.len() - text <= RECORD_PLAINTEXT / 2
            && let Some(exchange) = self.crediting.pop_front()
        {
            let Some(open) = self.exchanges.get_mut(&exchange) else { continue };
            let mut amount = BytesMut::new();
            super::wire::put_varint(&mut amount, open.take_owed());
            open.crediting = false;
            let _fits = put_small(out, text, kind::CREDIT, exchange, None, &amount);
        }
        while let Some(number) = self.ready.pop_front() {
            let Some(open) = self.exchanges.get_mut(&number) else { continue };
            let wrote = open.write(number, out, out.len() - text, server, now)?;
            self.confirm = false;
            match wrote {
                Wrote::NoRoom => {
                    self.ready.push_front(number);
                    break;
                }
                Wrote::Some => self.ready.push_back(number),
                Wrote::All | Wrote::NoCredit => open.listed = false,
                Wrote::Last => {
                    self.exchanges.remove(&number);
                    self.idle_since = now;
                    continue;
                }
            }
            if open.out.take_room() {
                self.events.push_back(Event::Room(number));
            }
        }
        self.fill_control(out, text);
        if core::mem::take(&mut self.confirm) {
            let _ = put_small(out, text, kind::PING, 0, None, &Ping { token: [0; 8], silence: 0 }.encode());
        }
        Ok(())
    }

    /// Puts what is about the session, and says whether all of it fitted. Our own GOAWAY does not overtake a REQUEST that was
    /// made before it: its receiver may close at once.
    fn fill_control(&mut self, out: &mut BytesMut, text: usize) -> bool {
        while let Some((kind, exchange, seq, payload)) = self.control.front() {
            if *kind == kind::GOAWAY && self.exchanges.values().any(Exchange::is_unsent) {
                break;
            }
            if !put_small(out, text, *kind, *exchange, *seq, payload) {
                return false;
            }
            self.control.pop_front();
        }
        true
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    // ------------------------------------------------------------------------------------------ time

    const fn keep_alive(&self) -> Duration {
        match &self.config {
            Config::Client(config) => config.keep_alive,
            Config::Server(config, ..) => config.keep_alive,
        }
    }

    fn idle_deadline(&self) -> Option<Duration> {
        match &self.config {
            Config::Server(config, ..) if self.exchanges.is_empty() && self.draining.is_none() => {
                Some(self.idle_since + config.idle)
            }
            _ => None,
        }
    }

    /// When [`Connection::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.stage {
            Stage::Closed => None,
            Stage::Open => {
                let alive = self.heard + self.keep_alive() * if self.pinged { 2 } else { 1 };
                Some(self.idle_deadline().map_or(alive, |idle| idle.min(alive)))
            }
            _ => Some(self.hello_deadline),
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        match self.stage {
            Stage::Closed => {}
            Stage::Open => {
                if self.idle_deadline().is_some_and(|deadline| now >= deadline) {
                    self.go_away(Some(Code::Idle), "no request for a long time");
                }
                let keep_alive = self.keep_alive();
                if now >= self.heard + keep_alive * 2 && self.pinged {
                    self.close(Closed::TimedOut { in_hello: false });
                } else if now >= self.heard + keep_alive && !self.pinged {
                    self.pinged = true;
                    self.control.push_back((kind::PING, 0, None, Ping { token: [1; 8], silence: 0 }.encode()));
                }
            }
            Stage::Discarding if now >= self.hello_deadline => self.close(Closed::Done),
            _ if now >= self.hello_deadline => self.close(Closed::TimedOut { in_hello: true }),
            _ => {}
        }
    }
}

/// Puts a frame into the record that begins at `text`, if it fits.
fn put_small(out: &mut BytesMut, text: usize, kind: u8, exchange: u32, seq: Option<u64>, payload: &[u8]) -> bool {
    let size = seq.map_or(0, super::wire::varint_len) + payload.len();
    let fits = out.len() - text + frame::framed_len(exchange, size) <= RECORD_PLAINTEXT;
    if fits {
        frame::put(out, kind, exchange, seq, payload);
    }
    fits
}
