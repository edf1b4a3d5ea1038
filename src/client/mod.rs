//! The client: an HTTP service whose requests travel through the relay.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use http_body_util::{BodyExt, Full};
//! use tower::Service;
//! use xllm_proxy::{client::Client, proto::Credential};
//!
//! let credential: Credential = std::env::var("XLLM_PROXY_KEY")?.parse()?;
//! let mut client = Client::builder("http://proxy.example:50051", credential)?.build();
//! let request = http::Request::post("https://api.openai.com/v1/chat/completions")
//!     .header("authorization", "Bearer …")
//!     .header("content-type", "application/json")
//!     .body(Full::from(r#"{"model":"gpt-5-mini","stream":true,"messages":[…]}"#))?;
//! let mut response = client.call(request).await?;
//! while let Some(frame) = response.body_mut().frame().await {
//!     // Each piece, as the provider wrote it. Dropping the body stops the upstream call.
//!     if let Ok(data) = frame?.into_data() { /* … */ }
//! }
//! # Ok(()) }
//! ```

mod backoff;
mod body;
mod call;
mod connect;
mod error;
mod pool;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

pub use body::Body;
pub use connect::{ProxyUrl, ProxyUrlError};
#[cfg(all(test, feature = "server"))]
pub(crate) use connect::{Reach, Transport};
pub use error::{BoxError, Error};

use crate::proto::{Credential, Profile, limits};
pub use crate::proto::{
    Fault,
    frame::{Mode, Policy, Receipt, Stamps},
    handshake::ServerHello,
};

/// Put into a request's extensions: DATA then carries stamps, which [`Body::stamps`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings;

/// Settings of a client.
#[derive(Clone, Debug)]
pub struct Builder {
    proxy: ProxyUrl,
    credential: Credential,
    profile: Profile,
    connect_time: Duration,
    sessions: usize,
    credit: u64,
    patience: Duration,
    warm: bool,
    keep_alive: Duration,
    nodes: Vec<(String, ProxyUrl)>,
    #[cfg(all(test, feature = "server"))]
    reach: Option<Reach>,
}

impl Builder {
    /// Traffic profile to ask for. Default: `pad`.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// How long each step to a session may take: reaching the proxy, TLS where there is one, the handshake. Default: 10 s.
    #[must_use]
    pub fn connect_time(self, connect_time: Duration) -> Self {
        Self { connect_time, ..self }
    }

    /// Most sessions to keep. A second is opened when the first has 64 requests under way. Default: 2; at least 1.
    #[must_use]
    pub fn sessions(self, sessions: usize) -> Self {
        Self { sessions: sessions.max(1), ..self }
    }

    /// Bytes of a response that may come ahead of what the program takes, per request: memory. 16 448 to 2^30, brought into
    /// that range. Default: 1 MiB.
    #[must_use]
    pub fn credit(self, credit: u64) -> Self {
        Self { credit: credit.clamp(limits::CREDIT_MIN, limits::CREDIT_MAX), ..self }
    }

    /// How long a request, or [`Client::connect`], may wait for a session while the proxy cannot be reached, is stopping,
    /// or closes at once what is opened. Attempts are made meanwhile, one at a time for all who wait, with growing pauses
    /// of up to 5 s; none is begun after that time, and one that is under way is waited for. Other failures, such as a key
    /// that is refused, are told at once. Default: zero, one attempt.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Whether to keep a session up from the first request or [`Client::connect`] on: one that ends is replaced, with
    /// growing pauses of up to 30 s while that fails. It costs a connection that stays open, with a PING every 20 s.
    /// Default: no.
    #[must_use]
    pub fn warm(self, warm: bool) -> Self {
        Self { warm, ..self }
    }

    /// Silence after which the proxy is asked for a sign of life, and again after which the connection is given up; while a request is
    /// under way, half of it. Longer than what a firewall or balancer on the way takes a connection for dead is too long. Default: 20 s;
    /// at least 1 s.
    #[must_use]
    pub fn keep_alive(self, keep_alive: Duration) -> Self {
        Self { keep_alive: keep_alive.max(Duration::from_secs(1)), ..self }
    }

    /// Where one of several proxies behind the proxy URL can be reached by itself: the one that calls itself `name`. A request whose
    /// connection was cut goes on there, for only that one has it. The URL is of the same forms. Default: none, the proxy URL leads to it.
    ///
    /// # Errors
    /// If the URL is not one of these.
    pub fn node(mut self, name: &str, proxy_url: &str) -> Result<Self, ProxyUrlError> {
        self.nodes.push((name.to_owned(), proxy_url.parse()?));
        Ok(self)
    }

    fn route(&self, node: &str) -> Option<&ProxyUrl> {
        self.nodes.iter().find(|(name, _)| name == node).map(|(_, url)| url)
    }

    /// How proxies are reached.
    #[cfg(all(test, feature = "server"))]
    pub(crate) fn reach(self, reach: Reach) -> Self {
        Self { reach: Some(reach), ..self }
    }

    /// The client. Nothing is connected until the first request, or [`Client::connect`].
    pub fn build(self) -> Client {
        Client { pool: Arc::new(pool::Pool::new(self)) }
    }
}

/// A client of one proxy. Cheap to clone; clones share their sessions.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Arc<pool::Pool>,
}

impl Client {
    /// Begins to build a client. The URL may be `http://host:port` (our protocol over TCP), `host:port`, or
    /// `https://host:port` (the same inside TLS, for a balancer that ends the TLS). Without a port it is 50051.
    ///
    /// # Errors
    /// If the URL is not one of these.
    pub fn builder(proxy_url: &str, credential: Credential) -> Result<Builder, ProxyUrlError> {
        Ok(Builder {
            proxy: proxy_url.parse()?,
            credential,
            profile: Profile::default(),
            connect_time: limits::HELLO_TIME,
            sessions: 2,
            credit: 1 << 20,
            patience: Duration::ZERO,
            warm: false,
            keep_alive: limits::CLIENT_KEEP_ALIVE,
            nodes: Vec::new(),
            #[cfg(all(test, feature = "server"))]
            reach: None,
        })
    }

    /// Makes sure that a session is up, so that the first request need not wait for the handshake. Gives what the server
    /// said of itself.
    ///
    /// # Errors
    /// If the proxy cannot be reached or does not accept the key.
    pub async fn connect(&self) -> Result<ServerHello, Error> {
        self.pool.session(Instant::now()).await.map(|ready| ready.hello)
    }

    /// A request whose answer comes whole or not at all.
    ///
    /// # Errors
    /// Whatever kept the answer from being complete.
    pub async fn buffered<B>(&self, mut request: http::Request<B>) -> Result<http::Response<Bytes>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        request.extensions_mut().insert(Mode::Buffered);
        let response = call::call(self.pool.clone(), request).await?;
        let (parts, body) = response.into_parts();
        Ok(http::Response::from_parts(parts, body.into_whole()))
    }

    /// Those that are known.
    #[cfg(all(test, feature = "server"))]
    pub(crate) fn sessions(&self) -> Vec<crate::driver::Session> {
        self.pool.sessions()
    }

    /// Ends all sessions when their requests have finished, and waits for that, at most `limit`. It closes all clones of this
    /// client: requests that come later fail.
    pub async fn close(&self, limit: Duration) {
        self.pool.close(limit).await;
    }
}

impl<B> tower::Service<http::Request<B>> for Client
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(call::call(self.pool.clone(), request))
    }
}
