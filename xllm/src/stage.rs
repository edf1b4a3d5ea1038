//! A mock provider and a relay with fresh keys, both inside this process: what `demo` and `bench --demo` need around a client.

use std::{num::NonZero, sync::Arc, time::Duration};

use mock_llm::{MockLlm, Script};
use tokio::{net::TcpListener, sync::oneshot};
use xllm_proxy::server::{Config, Keys, Server, Stopped, Workers};

use crate::{config::Api, exit::Failure, options::Target, secret::Secret};

/// A load may ask as often as the machine can.
const UNHURRIED: &str = "[client.'*']\nrequests_per_minute = 0";
/// What stands for the user's API key.
pub(crate) const API_KEY: &str = "sk-demo-5f1d2c7a90b84e36";
const MODEL: &str = "demo-model";
/// How long the relay may take to stop.
const STOP: Duration = Duration::from_secs(2);

/// Both of them, running.
#[derive(Debug)]
pub(crate) struct Stage {
    mock: MockLlm,
    /// Where the relay listens, without a scheme.
    pub(crate) relay: std::net::SocketAddr,
    /// What the relay accepts.
    pub(crate) credential: Secret,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<Stopped>,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl Stage {
    /// Starts them; the provider answers by this script.
    pub(crate) async fn set(script: Script) -> Result<Self, Failure> {
        Self::start(script).await.map_err(|error| Failure::proxy(format!("the demonstration cannot be set up: {error}")))
    }

    async fn start(script: Script) -> Result<Self, AnyError> {
        let mock = MockLlm::start(script.into()).await?;
        let config = Config::parse(UNHURRIED, "(demo)".as_ref(), &[mock.url()])?;
        let (keys, credential) = Keys::ephemeral("demo")?;
        let server = Server::new(config, Arc::new(keys))?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let relay = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        // On a thread of its own, as the server has it.
        let workers = Workers::start(Some(NonZero::<usize>::MIN))?;
        let server = tokio::spawn(server.run_on(workers, listener, async move { drop(stopped.await) }));
        Ok(Self { mock, relay, credential: Secret::new(credential.reveal().to_string()), stop, server })
    }

    /// The provider, as a model to ask.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        let url = format!("{}/v1/chat/completions", self.mock.url());
        Ok(Target {
            api: Api::OpenAi,
            provider: "demo".to_owned(),
            url: url.parse().map_err(|_| Failure::proxy("the mock provider has no usable address"))?,
            key: Some(Secret::new(API_KEY.to_owned())),
            key_remedy: String::new(),
            model: MODEL.to_owned(),
            max_tokens: None,
            successor: None,
        })
    }

    /// Stops them.
    pub(crate) async fn strike(self) {
        drop(self.stop);
        let _ = tokio::time::timeout(STOP, self.server).await;
        self.mock.shutdown().await;
    }
}
