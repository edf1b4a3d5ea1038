//! A mock provider, a server with fresh keys and a client, all over loopback in this process.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use mock_llm::MockLlm;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use xllm_proxy::{
    client::{Body, Client, Error},
    proto::Credential,
    server::{Config, Keys, Server},
};

/// All of it. Dropping it ends everything.
pub(crate) struct Relay {
    pub(crate) mock: MockLlm,
    pub(crate) address: String,
    pub(crate) credential: Credential,
    pub(crate) keys: Arc<Keys>,
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
        let mock = MockLlm::start(mock_llm::Config::default()).await.expect("the mock starts");
        let config = Config::parse(config, "test".as_ref(), &[mock.url()]).expect("the configuration is valid");
        let (keys, credential) = Keys::ephemeral("test").expect("there is randomness");
        let keys = Arc::new(keys);
        let server = Server::new(config, keys.clone()).expect("the server can be made");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server.run(listener, async move { drop(stopped.await) }));
        Self { mock, address, credential, keys, stop: Some(stop), server }
    }

    pub(crate) fn client(&self) -> Client {
        Client::builder(&self.address, self.credential.clone()).expect("a proxy URL").build()
    }

    /// The URL of a path at the mock.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.mock.url())
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
