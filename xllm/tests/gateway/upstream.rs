//! Upstreams of which the test says every byte.

use tokio::{io::BufReader, net::TcpListener};

use crate::{
    caller::Raw,
    support::{World, soon},
};

/// Answers as the test does.
pub(crate) struct Upstream {
    listener: TcpListener,
    /// Its address and port.
    pub(crate) host: String,
}

impl Upstream {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let host = listener.local_addr().expect("bound").to_string();
        Self { listener, host }
    }

    /// A world whose relay allows it.
    pub(crate) async fn world(&self, config: &str) -> World {
        World::with(config, &[&format!("http://{}", self.host)]).await
    }

    /// `[models.exact]` of the configuration, a provider that speaks as Anthropic does.
    pub(crate) fn config(&self) -> String {
        format!("[models.exact]\napi = \"anthropic\"\nurl = \"http://{}\"\n", self.host)
    }

    /// The next connection, at whose other end is the relay.
    pub(crate) async fn accept(&self) -> Raw {
        Raw(BufReader::new(soon(self.listener.accept()).await.expect("a connection").0))
    }

    /// The next connection, its request's head read.
    pub(crate) async fn called(&self) -> Raw {
        let mut raw = self.accept().await;
        raw.head().await;
        raw
    }

    /// Answers the next request with these bytes, and closes.
    pub(crate) async fn says(&self, bytes: impl AsRef<[u8]>) {
        let mut raw = self.called().await;
        raw.say(bytes).await;
        raw.close().await;
    }
}

/// Head of a stream of events in chunks.
pub(crate) const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

pub(crate) fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

pub(crate) const LAST: &str = "0\r\n\r\n";
