//! `xllm demo`: a provider, a relay with fresh keys and a wire-tap between, all on this machine; one real answer
//! through them; then what happened, measured, and what an eavesdropper saw.

mod measure;
mod picture;
mod tap;

use std::io::Write as _;

use mock_llm::Script;

use crate::{
    args::DemoArgs,
    chat,
    env::Env,
    exit::{Exit, Failure},
    options::{Ask, Plan, Route},
    output::{Output, Show},
    prompt::Part,
    stage::{API_KEY, Stage},
    transport::Transport,
};
use picture::Picture;
use tap::Tap;

/// About as fast as a large model speaks.
const TOKENS_PER_S: f64 = 40.0;
/// About as long as a fast model thinks.
const FIRST_TOKEN_MS: u64 = 250;

/// Runs it.
pub(crate) async fn run(args: &DemoArgs, env: &Env) -> Result<Exit, Failure> {
    let script = Script { tokens_per_s: Some(TOKENS_PER_S), first_token_ms: Some(FIRST_TOKEN_MS), ..Script::default() };
    let stage = Stage::set(script).await?;
    let tap =
        Tap::set(stage.relay).await.map_err(|error| Failure::proxy(format!("the demonstration cannot be set up: {error}")))?;
    let prompt = if args.prompt.is_empty() { "Hello world".to_owned() } else { args.prompt.join(" ") };
    let plan = plan(&stage, &tap, &prompt)?;
    let mut out = Output::of_process(plan.show, false, env);
    out.notice("a mock provider, a relay with fresh keys and a wire-tap between, all on this machine; no key, no network");
    let relayed = Transport::proxy(&tap.url(), &stage.credential, &[])?;
    let exit = chat::run(&plan, &relayed, &mut out).await?;
    if exit != Exit::Ok {
        return Ok(exit);
    }
    relayed.settle().await;
    let seen = tap.seen();

    let said = measure::said(&plan).await?;
    let untapped = Transport::proxy(&stage.relay.to_string(), &stage.credential, &[])?;
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

/// What is asked, of the provider on this stage and through the tap.
fn plan(stage: &Stage, tap: &Tap, prompt: &str) -> Result<Plan, Failure> {
    Ok(Plan {
        target: stage.target()?,
        route: Route::Proxy { url: tap.url(), key: stage.credential.clone(), nodes: Vec::new() },
        ask: Ask { system: None, parts: vec![Part::Text(prompt.to_owned())], extra: Vec::new(), stream: true, usage: false },
        show: Show { stream: true, json: false, raw: false, usage: false },
        warnings: Vec::new(),
    })
}
