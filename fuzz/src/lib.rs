//! What the targets share: fixed keys, both ends' configurations, a reader of scripts, and a peer that has the right keys and
//! says whatever the fuzzer wants.
//!
//! Inputs are scripts in a plain format of ours, so that `seeds.py` can write them: an operation is a byte, a piece of bytes is
//! a big-endian u16 and so many bytes, cut short by the end of the input.

mod quick;

use core::time::Duration;
use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use snow::Builder;
use xllm_proxy::proto::{
    ClientConfig, Connection, Credential, Event, KeyId, Profile, Psk, Role, ServerConfig, ServerKey, Terms,
    crypto::{Secret, Suite},
    frame::{self, BodyLength, Frame, Header, Mode, Policy, Request, Response},
    handshake::{Initiator, Responder, ServerHello, Traffic},
    limits::{self, HELLO, HELLO_PAYLOAD, LENGTH, RECORD_PLAINTEXT, TAG},
    record::{Opener, Sealer},
};

use quick::QUICK;

/// The moment at which every run begins.
pub const START: Duration = Duration::from_secs(1000);
/// The server's clock.
pub const UNIX_MS: u64 = 1_795_435_200_000;
/// Exchanges that a server of these tests allows at once: few, so that the limit is reached.
pub const EXCHANGES: u32 = 4;
/// A record of the largest size, on the wire.
pub const RECORD: usize = LENGTH + RECORD_PLAINTEXT + TAG;

const PATTERN: &str = "Noise_NKpsk2_25519_AESGCM_SHA256";
const KEY_ID: KeyId = KeyId([1; 16]);

fn psk() -> Psk {
    Secret::new([2; 32])
}

fn server_key() -> ServerKey {
    static KEY: LazyLock<ServerKey> = LazyLock::new(|| ServerKey::new(Secret::new([9; 32])));
    KEY.clone()
}

fn client_ephemeral() -> Secret<32> {
    Secret::new([3; 32])
}

fn server_ephemeral() -> Secret<32> {
    Secret::new([4; 32])
}

fn credential() -> Credential {
    Credential { key_id: KEY_ID, psk: psk(), server: *server_key().public() }
}

/// A client, its hello ready.
pub fn client(profile: Profile) -> Connection {
    let config = ClientConfig {
        credential: credential(),
        profile,
        hello_time: limits::HELLO_TIME,
        keep_alive: limits::CLIENT_KEEP_ALIVE,
    };
    Connection::client(config, client_ephemeral(), START, &QUICK).expect("the credential is usable")
}

/// A server that waits for a hello.
pub fn server() -> Connection {
    let config = ServerConfig {
        keys: [server_key()].into(),
        profile: Profile::Off,
        exchanges: EXCHANGES,
        credit: 32_768,
        buffered: 1 << 20,
        hello_time: limits::HELLO_TIME,
        keep_alive: limits::SERVER_KEEP_ALIVE,
        idle: Duration::from_secs(600),
        node: None,
        instance: [0; 8],
    };
    Connection::server(config, server_ephemeral(), Secret::new([5; 32]), START, &QUICK)
}

/// Gives all of `input` that is usable to this end and takes its events, answering a hello as a server's program does.
pub fn receive(end: &mut Connection, now: Duration, input: &mut BytesMut) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let before = input.len();
        end.receive(now, input);
        let mut answered = false;
        while let Some(event) = end.poll_event() {
            if let Event::Hello(id) = event {
                end.answer_hello((id == KEY_ID).then(psk).as_ref(), &Terms::default(), UNIX_MS).expect("a hello waits");
                answered = true;
            }
            events.push(event);
        }
        if input.len() == before && !answered {
            assert!(input.len() < RECORD, "more than a record is left lying");
            return events;
        }
    }
}

/// A client hello with this payload, which verifies at the server: anyone who has its public key can send one.
pub fn client_hello(payload: &[u8; HELLO_PAYLOAD]) -> [u8; HELLO] {
    let (key, psk) = (server_key(), psk());
    let mut state = builder(client_ephemeral())
        .remote_public_key(key.public())
        .and_then(|builder| builder.psk(2, psk.expose()))
        .and_then(Builder::build_initiator)
        .expect("an initiator");
    let mut hello = [0; HELLO];
    state.write_message(payload, &mut hello).expect("a hello");
    hello
}

/// A server's answer with this payload to a hello of [`client`].
pub fn server_hello(hello: &[u8], payload: &[u8; HELLO_PAYLOAD]) -> [u8; HELLO] {
    let (key, psk) = (server_key(), psk());
    let mut state = builder(server_ephemeral())
        .local_private_key(key.private().expose())
        .and_then(|builder| builder.psk(2, psk.expose()))
        .and_then(Builder::build_responder)
        .expect("a responder");
    state.read_message(hello, &mut [0; HELLO]).expect("an honest hello");
    let mut answer = [0; HELLO];
    state.write_message(payload, &mut answer).expect("a hello");
    answer
}

fn builder<'a>(ephemeral: Secret<32>) -> Builder<'a> {
    let params = PATTERN.parse().expect("a pattern that snow knows");
    Builder::with_resolver(params, QUICK.noise(ephemeral)).prologue(limits::PROLOGUE).expect("a prologue")
}

/// A peer that did an honest handshake.
pub struct Peer {
    role: Role,
    sealer: Sealer,
    opener: Opener,
    heard: BytesMut,
}

impl Peer {
    /// A client of its own will, and the server that it talks to.
    pub fn client(profile: Profile) -> (Self, Connection) {
        let mut subject = server();
        let (initiator, hello) = Initiator::start(&credential(), profile, client_ephemeral(), &QUICK).expect("a hello");
        receive(&mut subject, START, &mut BytesMut::from(&hello[..]));
        let (_, traffic) = initiator.finish(&first(&mut subject)).expect("an honest server's hello");
        (Self::new(Role::Client, traffic), subject)
    }

    /// A server of its own will, and the client that talks to it.
    pub fn server(profile: Profile) -> (Self, Connection) {
        let mut subject = client(profile);
        let responder = Responder::open(&first(&mut subject), &server_key(), server_ephemeral(), &QUICK).expect("opens");
        let said = ServerHello {
            profile,
            exchanges: EXCHANGES,
            credit: 32_768,
            buffered: 1 << 20,
            idle: 600,
            unix_ms: UNIX_MS,
            node: None,
            hold: 0,
            instance: None,
        };
        let (hello, traffic) = responder.answer(&psk(), &said).expect("answers");
        let events = receive(&mut subject, START, &mut BytesMut::from(&hello[..]));
        assert_eq!(events, [Event::Established(Some(said))]);
        (Self::new(Role::Server, traffic), subject)
    }

    fn new(role: Role, traffic: Traffic) -> Self {
        let (ours, theirs) = match role {
            Role::Client => (traffic.client, traffic.server),
            Role::Server => (traffic.server, traffic.client),
        };
        Self { role, sealer: Sealer::new(ours, &QUICK), opener: Opener::new(theirs, &QUICK), heard: BytesMut::new() }
    }

    /// Seals a record with this plaintext; an empty or oversized one is made to fit.
    pub fn seal(&mut self, out: &mut BytesMut, plaintext: &[u8]) {
        let start = Sealer::begin(out);
        let plaintext = if plaintext.is_empty() { &[0] } else { plaintext };
        out.extend_from_slice(&plaintext[..plaintext.len().min(RECORD_PLAINTEXT)]);
        self.sealer.seal(out, start).expect("a plaintext within its limits");
    }

    /// Opens what the subject sent. Whatever was done to it, its own records verify and its frames can be read.
    pub fn hear(&mut self, wire: &[u8]) -> usize {
        self.heard.extend_from_slice(wire);
        let mut frames = 0;
        while let Some(record) = self.opener.open(&mut self.heard).expect("a subject's record verifies") {
            let mut at = 0;
            let mut some = false;
            while let Some((exchange, frame)) =
                frame::decode(&record, &mut at, self.role.peer()).expect("a subject's frame can be read")
            {
                assert!(!matches!(frame, Frame::Resume(_) | Frame::Resumed(_)), "not of this version: {exchange} {frame:?}");
                frames += 1;
                some = true;
            }
            assert!(some, "a record without a frame");
        }
        assert!(self.heard.is_empty(), "a subject sends whole records");
        frames
    }
}

/// The hello that this end sends.
fn first(end: &mut Connection) -> [u8; HELLO] {
    let mut out = BytesMut::new();
    assert!(end.poll_transmit(START, &mut out), "a hello is due");
    out[..].try_into().expect("a hello has one size")
}

/// The fuzzer's bytes, read as a script.
#[derive(Clone, Debug)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; zero at the end.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub fn piece(&mut self) -> &'a [u8] {
        let size = usize::from(self.short()).min(self.0.len());
        let (piece, rest) = self.0.split_at(size);
        self.0 = rest;
        piece
    }

    /// A piece, zero-padded or cut to this size.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let piece = self.piece();
        let mut array = [0; N];
        let size = piece.len().min(N);
        array[..size].copy_from_slice(&piece[..size]);
        array
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }

    pub fn profile(&mut self) -> Profile {
        if self.byte() & 1 == 0 { Profile::Off } else { Profile::Pad }
    }

    /// So many bytes of a body that is easy to check: its first says the rest.
    pub fn body(&mut self) -> Bytes {
        Bytes::from(vec![self.byte(); usize::from(self.short())])
    }

    pub fn request(&mut self) -> Request {
        let shape = self.byte();
        let length = u64::from(self.short());
        Request {
            id: [7; 16],
            method: if shape & 3 == 0 { "GET" } else { "POST" }.into(),
            url: "https://api.example.com/v1/messages".into(),
            headers: vec![Header { name: "accept".into(), value: Bytes::from_static(b"*/*") }],
            mode: if shape & 4 == 0 { Mode::Streaming } else { Mode::Buffered },
            timings: shape & 8 != 0,
            policy: Policy::Neutral,
            body: match shape & 3 {
                0 => BodyLength::None,
                1 => BodyLength::Known(length),
                _ => BodyLength::Unknown,
            },
            credit: if shape & 16 == 0 { 1 << 20 } else { limits::CREDIT_MIN },
        }
    }

    pub fn response(&mut self) -> Response {
        let length = self.short();
        Response {
            status: 200 + u16::from(self.byte()),
            headers: vec![Header { name: "content-type".into(), value: Bytes::from_static(b"text/event-stream") }],
            length: (length & 1 == 1).then_some(u64::from(length >> 1)),
        }
    }
}
