//! A mock provider, a server with fresh keys and a client, all over loopback in this process.
#![allow(dead_code, reason = "each test program uses its part of this")]

use std::{num::NonZero, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use mock_llm::MockLlm;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use xllm_proxy::{
    client::{Body, Builder, Client, Error},
    proto::Credential,
    server::{Config, Keys, Metrics, Server, Workers},
};

/// A server that runs: its address, what stops it, its end.
type Serving = (String, oneshot::Sender<()>, JoinHandle<()>);

async fn serve(config: &Config, keys: &Arc<Keys>, address: &str) -> (Arc<Metrics>, Serving) {
    let server = Server::new(config.clone(), keys.clone()).expect("the server can be made");
    let listener = TcpListener::bind(address).await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    // On threads of its own, as the program has it.
    let workers = Workers::start(NonZero::new(2)).expect("the system gives threads");
    let metrics = server.metrics().clone();
    (metrics, (address, stop, tokio::spawn(server.run_on(workers, listener, async move { drop(stopped.await) }))))
}

/// All of it. Dropping it ends everything.
pub(crate) struct Relay {
    pub(crate) mock: Arc<MockLlm>,
    pub(crate) address: String,
    pub(crate) credential: Credential,
    pub(crate) keys: Arc<Keys>,
    pub(crate) metrics: Arc<Metrics>,
    config: Config,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Relay {
    /// With the default limits.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// With this configuration (TOML); the mock is allowed beside what it says.
    pub(crate) async fn with(config: &str) -> Self {
        Self::with_allowed(config, &[]).await
    }

    /// With this upstream beside the mock.
    pub(crate) async fn allowing(origin: &str) -> Self {
        Self::with_allowed("", &[origin]).await
    }

    pub(crate) async fn with_allowed(config: &str, origins: &[&str]) -> Self {
        let mock = Arc::new(MockLlm::start(mock_llm::Config::default()).await.expect("the mock starts"));
        let allow: Vec<_> = origins.iter().map(|&origin| origin.to_owned()).chain([mock.url()]).collect();
        let config = Config::parse(config, "test".as_ref(), &allow).expect("the configuration is valid");
        let (keys, credential) = Keys::ephemeral("test").expect("there is randomness");
        let keys = Arc::new(keys);
        let (metrics, (address, stop, server)) = serve(&config, &keys, "127.0.0.1:0").await;
        Self { mock, address, credential, keys, metrics, config, stop: Some(stop), server }
    }

    /// Stops the server, and starts another at the same address.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Starts a server at the address of the one that was stopped.
    pub(crate) async fn start_again(&mut self) {
        let (metrics, (_, stop, server)) = serve(&self.config, &self.keys, &self.address).await;
        (self.metrics, self.stop, self.server) = (metrics, Some(stop), server);
    }

    pub(crate) fn client(&self) -> Client {
        self.builder(&self.address).build()
    }

    /// For a client that finds the server at this address, with one session.
    pub(crate) fn builder(&self, address: &str) -> Builder {
        Client::builder(address, self.credential.clone()).expect("a proxy URL").sessions(1)
    }

    /// The URL of a path at the mock.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.mock.url())
    }

    /// Drops the server, and leaves its upstream.
    pub(crate) fn cut(self) -> Arc<MockLlm> {
        self.mock.clone()
    }

    /// Asks the server to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        let _ = (&mut self.server).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) fn get(url: &str) -> http::Request<Full<Bytes>> {
    http::Request::get(url).body(Full::default()).expect("a valid request")
}

pub(crate) fn post(url: &str, body: impl Into<Bytes>) -> http::Request<Full<Bytes>> {
    http::Request::post(url).body(Full::new(body.into())).expect("a valid request")
}

pub(crate) async fn whole(body: Body) -> Result<Bytes, Error> {
    Ok(body.collect().await?.to_bytes())
}
