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
    server::{Config, Keys, Server, Stopped, Workers},
};

async fn serve(server: Arc<Server>, address: &str) -> (String, oneshot::Sender<()>, JoinHandle<Stopped>) {
    let listener = TcpListener::bind(address).await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    // On threads of its own, as the program has it.
    let workers = Workers::start(NonZero::new(2)).expect("the system gives threads");
    (address, stop, tokio::spawn(server.run_on(workers, listener, async move { drop(stopped.await) })))
}

fn make(config: &Config, keys: &Keys) -> Arc<Server> {
    Server::new(config.clone(), Arc::new(keys.clone())).expect("the server can be made")
}

/// All of it. Dropping it ends everything.
pub(crate) struct Relay {
    pub(crate) mock: Arc<MockLlm>,
    pub(crate) address: String,
    pub(crate) credential: Credential,
    /// The server that runs, or did.
    pub(crate) server: Arc<Server>,
    keys: Keys,
    config: Config,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Stopped>,
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
        Self::serving(mock, config, keys, credential).await
    }

    /// Another server with the same keys and upstream.
    pub(crate) async fn replica(&self, config: &str) -> Self {
        let config = Config::parse(config, "test".as_ref(), &[self.mock.url()]).expect("the configuration is valid");
        Self::serving(self.mock.clone(), config, self.keys.clone(), self.credential.clone()).await
    }

    async fn serving(mock: Arc<MockLlm>, config: Config, keys: Keys, credential: Credential) -> Self {
        let server = make(&config, &keys);
        let (address, stop, running) = serve(server.clone(), "127.0.0.1:0").await;
        Self { mock, address, credential, server, keys, config, stop: Some(stop), running }
    }

    /// Stops the server, and starts another at the same address.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Starts a server at the address of the one that was stopped.
    pub(crate) async fn start_again(&mut self) {
        self.server = make(&self.config, &self.keys);
        let (_, stop, running) = serve(self.server.clone(), &self.address).await;
        (self.stop, self.running) = (Some(stop), running);
    }

    /// Changes the keys of the server while it runs.
    pub(crate) fn change_keys<T>(&mut self, change: impl FnOnce(&mut Keys) -> T) -> T {
        let result = change(&mut self.keys);
        self.server.replace_keys(&Arc::new(self.keys.clone()));
        result
    }

    /// Adds a client, and gives its credential.
    pub(crate) fn add(&mut self, name: &str) -> Credential {
        self.change_keys(|keys| keys.add(name, None)).expect("there is randomness")
    }

    /// Puts this configuration (TOML) in the place of the server's while it runs.
    pub(crate) fn reload(&mut self, config: &str) {
        self.config = Config::parse(config, "test".as_ref(), &[self.mock.url()]).expect("the configuration is valid");
        self.server.reload(self.config.clone(), Arc::new(self.keys.clone())).expect("it can be put in force");
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
    pub(crate) async fn stop(&mut self) -> Stopped {
        drop(self.stop.take());
        (&mut self.running).await.expect("it does not panic")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.running.abort();
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
