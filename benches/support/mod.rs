//! The two ends of a session, as every bench of the core sets them up.

use std::time::Duration;

use xllm_proxy::proto::{
    ClientConfig, Connection, Credential, KeyId, Profile, Psk, ServerConfig, ServerKey,
    crypto::{Secret, Suite},
    limits,
};

pub(crate) fn psk() -> Psk {
    Secret::new([2; 32])
}

pub(crate) fn server_key() -> ServerKey {
    ServerKey::new(Secret::new([9; 32]))
}

pub(crate) fn credential(key: &ServerKey) -> Credential {
    Credential { key_id: KeyId([1; 16]), psk: psk(), server: *key.public() }
}

pub(crate) fn configs() -> (ClientConfig, ServerConfig) {
    let key = server_key();
    let client = ClientConfig {
        credential: credential(&key),
        profile: Profile::Pad,
        hello_time: limits::HELLO_TIME,
        keep_alive: limits::CLIENT_KEEP_ALIVE,
    };
    let server = ServerConfig {
        keys: [key].into(),
        profile: Profile::Off,
        exchanges: 256,
        credit: 1 << 20,
        buffered: 1 << 23,
        hello_time: limits::HELLO_TIME,
        keep_alive: limits::SERVER_KEEP_ALIVE,
        idle: Duration::from_mins(10),
        node: None,
        instance: [0; 8],
    };
    (client, server)
}

/// The client, before its hello.
pub(crate) fn client(config: ClientConfig, now: Duration, suite: &'static dyn Suite) -> Connection {
    Connection::client(config, Secret::new([3; 32]), now, suite).expect("a usable credential")
}

/// The server, before it has heard anything.
pub(crate) fn server(config: ServerConfig, now: Duration, suite: &'static dyn Suite) -> Connection {
    Connection::server(config, Secret::new([4; 32]), Secret::new([5; 32]), now, suite)
}
