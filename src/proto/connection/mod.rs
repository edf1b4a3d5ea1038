//! One end of a session: bytes in, bytes and events and deadlines out (sections 3 to 5, 5.13).

mod arrivals;
mod input;
mod output;
mod resume;
mod timers;

use core::{fmt, time::Duration};
use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use self::arrivals::Arrivals;
pub use self::resume::{Held, Hold, Terms};
use super::{
    crypto::{Secret, Suite},
    error::{Code, Error, Fault},
    exchange::Exchange,
    frame::{CancelReason, End, GoAway, Headers, Notice, Request, Response, Resume, Stamps, kind},
    handshake::{Initiator, Responder, ServerHello},
    keys::{Credential, KeyId, Psk, ServerKey},
    limits::{self, HELLO},
    profile::Profile,
    record::{Opener, Sealer},
    role::Role,
    tally::{Tally, Traffic},
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
    /// Silence after which a PING goes out, and again after which the session is lost. While an exchange is open, half of it.
    pub keep_alive: Duration,
}

/// What a server brings.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The static keys that clients may know it by: the current one, then those that are being replaced. Each costs a hello that
    /// opens under none of those before it some microseconds.
    pub keys: Arc<[ServerKey]>,
    /// The weakest profile that it allows anybody.
    pub profile: Profile,
    /// Exchanges that a client may have open at once.
    pub exchanges: u32,
    /// Initial upload credit of each exchange.
    pub credit: u64,
    /// Largest response in buffered mode.
    pub buffered: u64,
    /// How long an unauthenticated peer may hold the connection.
    pub hello_time: Duration,
    /// Silence after which a PING goes out, and again after which the session is lost.
    pub keep_alive: Duration,
    /// Time without an exchange after which the session ends.
    pub idle: Duration,
    /// Name of this node among several (section 7.5); at most 64 bytes.
    pub node: Option<Arc<str>>,
    /// Random for each run of the server, so that a client knows what it can come back for (section 7.1).
    pub instance: [u8; 8],
}

/// What happened. Each is to be taken with [`Connection::poll_event`].
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// Server: a client hello was opened. [`Connection::answer_hello`] is due.
    Hello(KeyId),
    /// Server: what an unauthenticated peer sent was wrong. It gets no byte for it, and a close at the hello deadline.
    Rejected(Error),
    /// The peer has proved that it holds the key. At the client, with what the server's hello said.
    Established(Option<ServerHello>),
    /// Server: an exchange was opened.
    Request(u32, Box<Request>),
    /// Server: the client comes back for an exchange. [`Connection::adopt`] or [`Connection::gone`] is due.
    Resume(u32, Resume),
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
    /// Client: the exchange goes on here.
    Resumed(u32),
    /// Client: the server has nothing of this exchange; it [is held](Connection::holds), and may be asked anew.
    Gone(u32),
    /// Client: the exchange does not go on in this session; it [is held](Connection::holds), and may be resumed in another.
    Adrift(u32),
    /// There is room again for [`Connection::send_body`] or [`Connection::send_data`] on this exchange.
    Room(u32),
    /// Client: no new exchanges here.
    GoAway(GoAway),
    /// The session is over; every exchange with it that it does not [hold](Connection::holds).
    Closed {
        /// Why.
        why: Closed,
        /// Client: exchanges that ended with it, and of which the server never had all of the request. Repeating these is safe.
        unsent: Vec<u32>,
    },
}

/// Shows of a body its length alone.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(id) => write!(f, "Hello({id})"),
            Self::Rejected(error) => write!(f, "Rejected({error:?})"),
            Self::Established(hello) => write!(f, "Established({hello:?})"),
            Self::Request(number, request) => write!(f, "Request({number}, {request:?})"),
            Self::Resume(number, resume) => write!(f, "Resume({number}, {resume:?})"),
            Self::Resumed(number) => write!(f, "Resumed({number})"),
            Self::Gone(number) => write!(f, "Gone({number})"),
            Self::Adrift(number) => write!(f, "Adrift({number})"),
            Self::Body(number, bytes) => write!(f, "Body({number}, {} bytes)", bytes.len()),
            Self::BodyEnd(number, trailers) => write!(f, "BodyEnd({number}, {trailers:?})"),
            Self::Cancelled(number, reason) => write!(f, "Cancelled({number}, {reason:?})"),
            Self::Response(number, response) => write!(f, "Response({number}, {response:?})"),
            Self::Data(number, bytes, stamps) => write!(f, "Data({number}, {} bytes, {stamps:?})", bytes.len()),
            Self::End(number, end) => write!(f, "End({number}, {end:?})"),
            Self::Failed(number, notice) => write!(f, "Failed({number}, {notice:?})"),
            Self::Room(number) => write!(f, "Room({number})"),
            Self::GoAway(goaway) => goaway.fmt(f),
            Self::Closed { why, unsent } => write!(f, "Closed({why:?}, unsent {unsent:?})"),
        }
    }
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
    AwaitingHello(Box<Fresh>),
    /// Server: the program looks the key up. The PSK stands for those of unknown key IDs.
    AwaitingKey(Box<Responder>, Psk),
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
    Server(ServerConfig),
}

/// The server's randomness, until the handshake has used it: kept longer, it would undo the ratchet.
#[derive(Debug)]
struct Fresh {
    ephemeral: Secret<32>,
    /// Stands for the PSK of unknown key IDs.
    decoy: Psk,
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
    /// How many exchanges may be open at once.
    exchanges_max: u32,
    /// The server's hello.
    said: Option<ServerHello>,
    /// Server: what it grants.
    hold: Option<Hold>,
    /// Numbers come one after another, so nobody can choose ones that collide.
    exchanges: FxHashMap<u32, Exchange>,
    /// Server: their last frame is sealed, and may not have arrived.
    settling: FxHashMap<u32, Exchange>,
    /// They may go on in another session: this one is over, or (client) has nothing of them.
    held: FxHashMap<u32, Exchange>,
    arrivals: Arrivals,
    /// What is kept of all that was sealed, as cost; not less, and exact when a PONG has come.
    unarrived: usize,
    /// What each held exchange may have, as cost.
    share: usize,
    /// Server: when the session was over.
    cut_at: Option<Duration>,
    /// The newest exchange number that was opened.
    newest: u32,
    /// Exchanges with something to send, in turn.
    ready: VecDeque<u32>,
    /// Server: exchanges that failed before anything of an answer was queued.
    failed: VecDeque<u32>,
    /// Exchanges that owe the peer credit.
    crediting: VecDeque<u32>,
    /// Frames about the session, and answers to exchanges that were refused at once.
    control: VecDeque<(u8, u32, Option<u64>, Bytes)>,
    pongs: VecDeque<(u32, [u8; 8])>,
    events: VecDeque<Event>,
    /// Server: exchanges that are over, until somebody asks.
    finished: Vec<(u32, Tally)>,
    /// Server: exchanges that nobody can come back for, until somebody asks.
    settled: Vec<u32>,
    traffic: Traffic,
    /// The client owes the record that proves its key (section 3.9).
    confirm: bool,
    /// The last number that either GOAWAY allows.
    draining: Option<u32>,
    heard: Duration,
    /// When a sign of life was asked for that has not come.
    pinged: Option<Duration>,
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
        let stage = Stage::AwaitingHello(Box::new(Fresh { ephemeral, decoy }));
        let mut this = Self::new(Config::Server(config), stage, now, deadline, suite);
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
            exchanges_max: 0,
            said: None,
            hold: None,
            exchanges: FxHashMap::default(),
            settling: FxHashMap::default(),
            held: FxHashMap::default(),
            arrivals: Arrivals::default(),
            unarrived: 0,
            share: usize::MAX,
            cut_at: None,
            newest: 0,
            ready: VecDeque::new(),
            failed: VecDeque::new(),
            crediting: VecDeque::new(),
            control: VecDeque::new(),
            pongs: VecDeque::new(),
            events: VecDeque::new(),
            finished: Vec::new(),
            settled: Vec::new(),
            traffic: Traffic::default(),
            confirm: false,
            draining: None,
            heard: now,
            pinged: None,
            hello_deadline,
            idle_since: now,
        }
    }

    /// Which end this is.
    pub const fn role(&self) -> Role {
        match self.config {
            Config::Client(_) => Role::Client,
            Config::Server(_) => Role::Server,
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

    /// Since when no exchange is open; `None` if one is.
    pub fn idle_since(&self) -> Option<Duration> {
        self.exchanges.is_empty().then_some(self.idle_since)
    }

    /// Whether the exchange is open here.
    pub fn is_open(&self, exchange: u32) -> bool {
        self.exchanges.contains_key(&exchange)
    }

    /// Client: opens an exchange and gives its number.
    ///
    /// # Errors
    /// [`Error::Misuse`] if none can be opened now ([`Connection::can_open`]); `too-large` if head or URL are.
    pub fn request(&mut self, now: Duration, request: &Request) -> Result<u32, Error> {
        if self.is_server() || !self.can_open() {
            return Err(Error::Misuse("no exchange can be opened now"));
        }
        let head = request.encode()?;
        let mut exchange = Exchange::new(Role::Client, request, (self.upload_credit(), request.credit), self.keep(), now);
        exchange.push_request(head);
        Ok(self.open_next(exchange))
    }

    /// Client: gives the exchange the next number.
    fn open_next(&mut self, exchange: Exchange) -> u32 {
        self.newest += 1;
        self.exchanges.insert(self.newest, exchange);
        self.list(self.newest);
        self.newest
    }

    /// Client: what the server's hello allows for a start.
    fn upload_credit(&self) -> u64 {
        self.said.as_ref().map_or(0, |said| said.credit)
    }

    fn exchange(&mut self, exchange: u32) -> Result<&mut Exchange, Error> {
        let found = match self.exchanges.get_mut(&exchange) {
            None => self.held.get_mut(&exchange),
            open => open,
        };
        found.filter(|open| !open.is_cancelled()).ok_or(Error::Misuse("the exchange is not open"))
    }

    /// Whether the exchange takes another piece now. If not, [`Event::Room`] follows.
    pub fn has_room(&mut self, exchange: u32) -> bool {
        let server = self.is_server();
        match (self.exchanges.get_mut(&exchange), self.held.get_mut(&exchange)) {
            (Some(open), _) => open.out.has_room(),
            // A server reads an upstream on; what a client uploads waits as it does behind a slow path.
            (None, Some(held)) => {
                if server {
                    held.out.has_room_cut(self.share)
                } else {
                    held.out.has_room()
                }
            }
            (None, None) => false,
        }
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

    /// Client: wants no more of this exchange. Nothing more of it is reported. If its session is cut before the server has heard of it,
    /// it [is held](Self::holds) to say so in another one; but one that no server has seen is over at once.
    pub fn cancel(&mut self, exchange: u32, reason: CancelReason) {
        if self.is_new(exchange) {
            self.held.remove(&exchange);
        } else if let Ok(open) = self.exchange(exchange) {
            open.push_cancel(reason);
            self.list(exchange);
        }
    }

    /// The program took a piece of this many body bytes: credit goes back to the peer in time.
    /// Says whether there is now something to send.
    pub fn taken(&mut self, exchange: u32, bytes: usize) -> bool {
        let Some(open) = self.exchanges.get_mut(&exchange) else {
            if let Some(held) = self.held.get_mut(&exchange) {
                held.taken(bytes);
            }
            return false;
        };
        open.taken(bytes);
        let due = open.begins_crediting();
        if due {
            self.crediting.push_back(exchange);
        }
        due
    }

    /// Server: when its REQUEST was read, if the exchange is still here. What its receipt says counts from then.
    pub fn began(&self, exchange: u32) -> Option<Duration> {
        self.any(exchange).map(Exchange::began)
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
        self.exchange(exchange)?.push_response(response, now)?;
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

    /// Server: the exchange failed. What is queued of its answer goes out before. If that is nothing, a PONG to what the client sends
    /// on it from now on comes behind.
    ///
    /// # Errors
    /// [`Error::Misuse`] after its end.
    pub fn fail(&mut self, exchange: u32, notice: &Notice) -> Result<(), Error> {
        let open = self.exchange(exchange)?;
        let is_refused = open.out.is_empty();
        open.push_error(notice.encode(), false)?;
        if is_refused {
            // It is that one frame; nothing comes behind it.
            open.listed = true;
            self.failed.push_back(exchange);
        } else {
            self.list(exchange);
        }
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

    /// Server: ends every exchange now, in place of what is queued for it, and allows no new ones: the session is over when the client
    /// has the word. Repeating is safe for those alone whose upstream was not called, whatever `notice` says.
    pub fn cut(&mut self, notice: &Notice) {
        self.farewell(Some(notice.code), &notice.text, notice.after);
        let mut open: Vec<_> = self.exchanges.keys().copied().collect();
        open.sort_unstable();
        for number in open {
            let Ok(exchange) = self.exchange(number) else { continue };
            // Of one that has ended already, this upstream may not be the only one: it may be a duplicate.
            let notice = Notice { retry: !exchange.was_called() && !exchange.has_ended(), ..notice.clone() };
            exchange.end_with_session();
            let cut = exchange.push_error(notice.encode(), true);
            debug_assert_eq!(cut, Ok(()), "at once is always in time");
            self.list(number);
        }
    }

    /// Bytes of bodies that were given and are not sealed yet, or may not have arrived, with what each piece costs beside.
    pub fn queued(&self) -> usize {
        let all = self.exchanges.values().chain(self.settling.values()).chain(self.held.values());
        all.map(|exchange| exchange.out.held()).sum()
    }

    /// Allows no new exchanges; the session ends when those under way have. One that is not open yet ends at once.
    pub fn go_away(&mut self, code: Option<Code>, text: &str) {
        self.farewell(code, text, None);
    }

    fn farewell(&mut self, code: Option<Code>, text: &str, after: Option<u64>) {
        match self.stage {
            Stage::Closed => {}
            Stage::Open if self.draining.is_some() => {}
            Stage::Open => {
                // A client says up to where it has seen the end of all, if there is nothing else to say.
                let last = if self.is_server() || self.exchanges.is_empty() { self.newest } else { 0 };
                self.draining = Some(self.newest);
                self.control.push_back((kind::GOAWAY, 0, None, GoAway { code, last, text: text.into(), after }.encode()));
            }
            _ => self.close(Closed::Done),
        }
    }

    /// Server: the exchanges that are over since this was called last, and what came of each.
    pub fn drain_finished(&mut self) -> impl Iterator<Item = (u32, Tally)> + '_ {
        self.finished.drain(..)
    }

    /// What this end has moved since this was called last.
    pub fn take_traffic(&mut self) -> Traffic {
        core::mem::take(&mut self.traffic)
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
