//! A client without the client library: it says what the library would not.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use xllm_proxy::proto::{
    AES_GCM, ClientConfig, Connection, Credential, Event, Profile,
    crypto::Secret,
    frame::{BodyLength, Header, Mode, Policy, Request},
    limits,
};

/// A session over TCP.
pub(crate) struct Raw {
    io: TcpStream,
    pub(crate) connection: Connection,
    input: BytesMut,
}

impl Raw {
    pub(crate) async fn connect(address: &str, credential: &Credential) -> Self {
        let config = ClientConfig {
            credential: credential.clone(),
            profile: Profile::Pad,
            hello_time: limits::HELLO_TIME,
            keep_alive: limits::CLIENT_KEEP_ALIVE,
        };
        let mut ephemeral = [0; 32];
        getrandom::fill(&mut ephemeral).unwrap();
        let connection = Connection::client(config, Secret::new(ephemeral), Duration::ZERO, &AES_GCM).unwrap();
        let io = TcpStream::connect(address).await.unwrap();
        let mut raw = Self { io, connection, input: BytesMut::new() };
        let first = raw.event().await;
        assert!(matches!(first, Event::Established(_)), "{first:?}");
        raw
    }

    /// The next event; what is to be sent is sent meanwhile.
    pub(crate) async fn event(&mut self) -> Event {
        super::within("an event", async {
            loop {
                self.send().await;
                if let Some(event) = self.connection.poll_event() {
                    return event;
                }
                let read = self.io.read_buf(&mut self.input).await.unwrap_or(0);
                if read == 0 {
                    self.connection.receive_end();
                }
                self.connection.receive(Duration::ZERO, &mut self.input);
            }
        })
        .await
    }

    /// Sends what is ready.
    pub(crate) async fn send(&mut self) {
        let mut output = BytesMut::new();
        while self.connection.poll_transmit(Duration::ZERO, &mut output) {}
        let _ = self.io.write_all(&output).await;
    }

    /// Opens an exchange, with an ID of its own.
    pub(crate) fn open(&mut self, request: &Request) -> u32 {
        self.connection.request(Duration::ZERO, &Request { id: fresh_id(), ..request.clone() }).unwrap()
    }
}

/// A request ID that no other request of this program has.
pub(crate) fn fresh_id() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
}

/// A request without a body.
pub(crate) fn request(method: &str, url: &str, headers: &[(&str, &'static [u8])]) -> Request {
    let header = |&(name, value): &(&str, &'static [u8])| Header { name: name.to_owned(), value: value.into() };
    Request {
        id: fresh_id(),
        method: method.to_owned(),
        url: url.to_owned(),
        headers: headers.iter().map(header).collect(),
        mode: Mode::Streaming,
        timings: false,
        policy: Policy::Pass,
        body: BodyLength::None,
        credit: 1 << 20,
    }
}
