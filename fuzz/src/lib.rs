//! What the targets share: fixed keys, both ends' configurations, suites, a reader of scripts, and a peer that says what it likes.

mod null;
mod peer;
pub mod python;
mod quick;
mod script;

use core::time::Duration;
use std::{
    cell::Cell,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::LazyLock,
};

use bytes::BytesMut;
use snow::Builder;
use xllm_proxy::proto::{
    ClientConfig, Connection, Credential, Event, Hold, KeyId, Profile, Psk, ServerConfig, ServerKey, Terms,
    crypto::{Secret, Suite},
    handshake::ServerHello,
    limits::{self, HELLO, HELLO_PAYLOAD, LENGTH, RECORD_PLAINTEXT, TAG},
};

pub use self::{
    null::NULL,
    peer::{Peer, first},
    quick::QUICK,
    script::Script,
};

/// The moment at which every run begins.
pub const START: Duration = Duration::from_secs(1000);
/// The server's clock.
pub const UNIX_MS: u64 = 1_795_435_200_000;
/// Exchanges that a server of these tests allows at once: few, so that the limit is reached.
pub const EXCHANGES: u32 = 4;
/// Seconds for which a server of these tests holds what was cut.
const HOLD: u64 = 30;
/// What it keeps of an answer: little, so that the limit is reached.
pub const KEEP: usize = 100_000;
/// A record of the largest size, on the wire.
pub const RECORD: usize = LENGTH + RECORD_PLAINTEXT + TAG;

const PATTERN: &str = "Noise_NKpsk2_25519_AESGCM_SHA256";
const KEY_ID: KeyId = KeyId([1; 16]);

thread_local!(static SECRET: Cell<Option<[u8; 32]>> = const { Cell::new(None) });

/// Has this run secrets that no other input has, where the peer must not come by a key: the fuzzer sees what tags are compared with, and
/// would put the right one into its next input. It costs some X25519.
pub fn use_secrets_of(input: Option<&[u8]>) {
    SECRET.set(input.map(key_of));
}

pub fn psk() -> Psk {
    Secret::new(SECRET.get().unwrap_or([2; 32]))
}

pub fn server_key() -> ServerKey {
    static KEY: LazyLock<ServerKey> = LazyLock::new(|| ServerKey::new(Secret::new([9; 32])));
    SECRET.get().map_or_else(|| KEY.clone(), |secret| ServerKey::new(Secret::new(secret)))
}

pub fn client_ephemeral() -> Secret<32> {
    Secret::new([3; 32])
}

pub fn server_ephemeral() -> Secret<32> {
    Secret::new([4; 32])
}

pub fn credential() -> Credential {
    Credential { key_id: KEY_ID, psk: psk(), server: *server_key().public() }
}

/// A key that no other input has.
pub fn key_of(input: &[u8]) -> [u8; 32] {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let mut key = [0; 32];
    key[..8].copy_from_slice(&hasher.finish().to_be_bytes());
    key
}

/// A client, its hello ready.
pub fn client(profile: Profile, now: Duration, suite: &'static dyn Suite) -> Connection {
    let config = ClientConfig {
        credential: credential(),
        profile,
        hello_time: limits::HELLO_TIME,
        keep_alive: limits::CLIENT_KEEP_ALIVE,
    };
    Connection::client(config, client_ephemeral(), now, suite).expect("the credential is usable")
}

/// A server that waits for a hello.
pub fn server(now: Duration, suite: &'static dyn Suite) -> Connection {
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
    Connection::server(config, server_ephemeral(), Secret::new([5; 32]), now, suite)
}

/// What a server of these tests says in its hello.
pub fn hello(profile: Profile) -> ServerHello {
    ServerHello {
        profile,
        exchanges: EXCHANGES,
        credit: 32_768,
        buffered: 1 << 20,
        idle: 600,
        unix_ms: UNIX_MS,
        node: None,
        hold: HOLD,
        instance: Some([0; 8]),
    }
}

/// What it grants a client.
pub fn terms() -> Terms {
    Terms { hold: Some(Hold { time: Duration::from_secs(HOLD), keep: KEEP, finish: false }), ..Terms::default() }
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
                end.answer_hello((id == KEY_ID).then(psk).as_ref(), &terms(), UNIX_MS).expect("a hello waits");
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
