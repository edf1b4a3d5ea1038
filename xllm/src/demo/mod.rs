//! `xllm demo`: a provider, a relay with fresh keys and a wire-tap between, all on this machine; one real answer
//! through them; then what happened, measured, and what an eavesdropper saw.

mod measure;
mod picture;
mod tap;

use std::{io::Write as _, sync::Arc, time::Duration};

use mock_llm::{MockLlm, Script};
use tokio::{net::TcpListener, sync::oneshot};
use xllm_proxy::server::{Config, Keys, Server};

use crate::{
    args::DemoArgs,
    chat,
    config::Api,
    env::Env,
    exit::{Exit, Failure},
    options::{Ask, Plan, Route, Target},
    output::{Output, Show},
    prompt::Part,
    secret::Secret,
    transport::Transport,
};
use picture::Picture;
use tap::Tap;

/// About as fast as a large model speaks.
const TOKENS_PER_S: f64 = 40.0;
/// About as long as a fast model thinks.
const FIRST_TOKEN_MS: u64 = 250;
/// What stands for the user's API key; looked for in what the eavesdropper saw.
const API_KEY: &str = "sk-demo-5f1d2c7a90b84e36";
const MODEL: &str = "demo-model";
/// How long the demonstration's own server may take to stop.
const STOP: Duration = Duration::from_secs(2);

/// Runs it.
pub(crate) async fn run(args: &DemoArgs, env: &Env) -> Result<Exit, Failure> {
    let stage = Stage::set().await.map_err(|error| Failure::proxy(format!("the demonstration cannot be set up: {error}")))?;
    let prompt = if args.prompt.is_empty() { "Hello world".to_owned() } else { args.prompt.join(" ") };
    let plan = stage.plan(&prompt)?;
    let mut out = Output::of_process(plan.show, false, env);
    out.notice("a mock provider, a relay with fresh keys and a wire-tap between, all on this machine; no key, no network");
    let relayed = Transport::proxy(&stage.tap.url(), &stage.credential)?;
    let exit = chat::run(&plan, &relayed, &mut out).await?;
    if exit != Exit::Ok {
        return Ok(exit);
    }
    relayed.settle().await;
    let seen = stage.tap.seen();

    let said = measure::said(&plan).await?;
    let untapped = Transport::proxy(&stage.relay, &stage.credential)?;
    out.spin("measuring: relayed and direct in turn");
    let pairs = out.waiting(measure::pairs(&untapped, &plan)).await?;
    out.finish().map_err(|error| Failure::usage(format!("cannot write: {error}")))?;
    stage.strike().await;

    let picture = Picture { seen: &seen, said: &said, pairs: &pairs, plan: &plan, api_key: API_KEY, prompt: &prompt };
    let text = picture.draw();
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::usage(format!("cannot write: {error}"))),
        _ => Ok(Exit::Ok),
    }
}

/// Everything that the demonstration needs around the client.
struct Stage {
    mock: MockLlm,
    tap: Tap,
    /// Where the relay is, past the tap.
    relay: String,
    credential: Secret,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<()>,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl Stage {
    async fn set() -> Result<Self, AnyError> {
        let script = Script { tokens_per_s: Some(TOKENS_PER_S), first_token_ms: Some(FIRST_TOKEN_MS), ..Script::default() };
        let mock = MockLlm::start(script.into()).await?;
        let config = Config::parse("", "(demo)".as_ref(), &[mock.url()])?;
        let (keys, credential) = Keys::ephemeral("demo")?;
        let server = Server::new(config, Arc::new(keys))?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server.run(listener, async move { drop(stopped.await) }));
        let tap = Tap::set(address).await?;
        Ok(Self {
            mock,
            tap,
            relay: address.to_string(),
            credential: Secret::new(credential.reveal().to_string()),
            stop,
            server,
        })
    }

    fn plan(&self, prompt: &str) -> Result<Plan, Failure> {
        let url = format!("{}/v1/chat/completions", self.mock.url());
        let url = url.parse().map_err(|_| Failure::proxy("the mock provider has no usable address"))?;
        Ok(Plan {
            target: Target {
                api: Api::OpenAi,
                provider: "demo".to_owned(),
                url,
                key: Some(Secret::new(API_KEY.to_owned())),
                key_remedy: String::new(),
                model: MODEL.to_owned(),
                max_tokens: None,
                successor: None,
            },
            route: Route::Proxy { url: self.tap.url(), key: self.credential.clone() },
            ask: Ask {
                system: None,
                parts: vec![Part::Text(prompt.to_owned())],
                extra: Vec::new(),
                stream: true,
                usage: false,
            },
            show: Show { stream: true, json: false, raw: false, usage: false },
            warnings: Vec::new(),
        })
    }

    async fn strike(self) {
        drop(self.stop);
        let _ = tokio::time::timeout(STOP, self.server).await;
        self.mock.shutdown().await;
    }
}
