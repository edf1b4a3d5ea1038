//! `xllm bench`: the same prompts direct and through the proxy, in turn, and what the proxy adds.
//!
//! ```text
//! mod ─► plan ─► prompts, slo, way         what is meant
//!     ─► engine ─► load ─► call            sends, and keeps raw bytes with their times: the hot path
//!                       ─► schedule        when to send what
//!               ─► reader ─► digest ─► tokens, values     reads what was kept, when nothing is measured
//!               ─► step ─► bootstrap, split, stats        works a step out
//!               ─► vain                   whose doing it was if nothing was answered
//!     ─► live ─► progress                  shows the run while it runs
//!     ─► stop ─► progress                  what a signal ends
//!     ─► summary                           says in words what was found
//!     ─► leave ─► keep, table, csv, report shows what was found, and leaves it in files
//! ```
//!
//! `record` is what was observed, `result` the document that all output is drawn from, `metric` what its names mean, `progress`
//! how far a run is; `lookup` finds things in the document, `format` is how figures are shown, `cost` what measuring took, in words.

mod added;
mod bootstrap;
pub(crate) mod call;
mod cost;
mod cpu;
mod csv;
mod data;
pub(crate) mod digest;
mod engine;
mod format;
mod keep;
mod leave;
mod live;
mod load;
mod lookup;
mod machine;
pub(crate) mod metric;
mod named;
mod plan;
pub(crate) mod progress;
mod prompts;
mod reader;
pub(crate) mod record;
mod report;
pub(crate) mod result;
#[cfg(test)]
pub(crate) mod samples;
mod schedule;
mod slo;
mod split;
pub(crate) mod stats;
mod step;
mod stop;
#[cfg(test)]
mod streams;
mod summary;
mod table;
mod tokens;
mod vain;
mod values;
mod warn;
mod way;

use std::{
    fs,
    sync::Arc,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use engine::Measured;
use leave::Leave;
use live::Live;
use plan::Plan;
use progress::Progress;
use result::{Results, Route};
pub(crate) use step::delay;
use stop::Stop;
use tokio::sync::{oneshot, watch};

use crate::{
    args::BenchArgs,
    config::Config,
    env::Env,
    exit::{Exit, Failure},
    output::{Output, Show},
    stage::Stage,
};

/// Measures, and shows what was found.
pub(crate) async fn run(args: &BenchArgs, config: &Config, env: &Env) -> Result<Exit, Failure> {
    let stage = if args.demo { Some(Stage::set(plan::script()).await?) } else { None };
    let outcome = on_stage(args, config, env, stage.as_ref()).await;
    // Who stops the run does not wait for them: they end with the program.
    if let Some(stage) = stage
        && !matches!(outcome, Ok(Exit::Signal(_)))
    {
        stage.strike().await;
    }
    outcome
}

async fn on_stage(args: &BenchArgs, config: &Config, env: &Env, stage: Option<&Stage>) -> Result<Exit, Failure> {
    let plan = Arc::new(Plan::new(args, config, env, stage)?);
    let show = Show { stream: true, json: args.json.is_some(), raw: false, usage: false };
    let mut out = Output::of_process(show, args.connection.verbose, env);
    plan.warnings.iter().for_each(|warning| out.warn(warning));
    let leave = Leave::at(args, out)?;
    let drafts = leave.drafts();
    let (progress, stop) = (Arc::new(Progress::default()), Stop::default());
    let live = Live::start(progress.clone(), args.quiet, env);
    tokio::select! {
        biased;
        signal = stop.heed(&progress) => {
            // Whoever writes them is not waited for. One that is whole has its place by now, and is no draft any more.
            for draft in drafts {
                let _ = fs::remove_file(draft);
            }
            Ok(Exit::Signal(signal))
        }
        outcome = to_the_end(plan, Plan::routes(args), &progress, &stop, live, leave) => outcome,
    }
}

/// All of it, if nobody ends it before.
async fn to_the_end(
    plan: Arc<Plan>,
    routes: Vec<Route>,
    progress: &Arc<Progress>,
    stop: &Stop,
    live: Live,
    leave: Leave,
) -> Result<Exit, Failure> {
    let measured = measure(plan.clone(), routes.clone(), progress.clone(), stop.told()).await?;
    drop(live);
    let early = stop.early();
    // Elsewhere, so that signals are heard meanwhile: a page of many requests takes seconds, and a pipe may never be read.
    let last = move || {
        let vain = measured.ends.in_vain();
        let results = results(&plan, &routes, measured, early.is_some());
        leave.all(&results).map(|()| vain)
    };
    let vain = tokio::task::spawn_blocking(last)
        .await
        .map_err(|error| Failure::usage(format!("the result could not be shown: {error}")))??;
    match (early, vain) {
        (Some(signal), _) => Ok(Exit::Signal(signal)),
        (None, Some(failure)) => Err(failure),
        (None, None) => Ok(Exit::Ok),
    }
}

/// Measures on a thread of its own, until it is over or `stop` turns true; what was measured till then is kept.
async fn measure(
    plan: Arc<Plan>,
    routes: Vec<Route>,
    progress: Arc<Progress>,
    stop: watch::Receiver<bool>,
) -> Result<Measured, Failure> {
    let (done, outcome) = oneshot::channel();
    thread::Builder::new()
        .name("load".to_owned())
        // If nobody waits for it any more, nobody wants it.
        .spawn(move || drop(done.send(engine::run(&plan, &routes, &stop, &progress))))
        .map_err(|error| Failure::usage(format!("this system gives no threads: {error}")))?;
    outcome.await.map_err(|_| Failure::usage("measuring ended for a reason that nobody told"))?
}

fn results(plan: &Plan, routes: &[Route], measured: Measured, interrupted: bool) -> Results {
    let Measured { started, steps, warnings, ends: _ } = measured;
    let (parameters, machine) = (plan.parameters(routes), machine::machine());
    Results {
        schema: result::SCHEMA.to_owned(),
        version: result::VERSION,
        generator: concat!("xllm ", env!("CARGO_PKG_VERSION")).to_owned(),
        started_unix_ms: unix_ms(started),
        interrupted,
        summary: summary::sentences(&parameters, &steps),
        definitions: plan::definitions(),
        warnings: warn::of_run(&parameters, &machine).into_iter().chain(warnings).collect(),
        parameters,
        machine,
        steps,
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
