//! `xllm bench`: the same prompts direct and through the proxy, in turn, and what the proxy adds.
//!
//! ```text
//! mod ─► plan ─► prompts, slo, way         what is meant
//!     ─► engine ─► load ─► call            sends, and keeps raw bytes with their times: the hot path
//!                       ─► schedule        when to send what
//!               ─► reader ─► digest ─► tokens, values     reads what was kept, when nothing is measured
//!               ─► step ─► bootstrap, split, stats        works a step out
//!     ─► live ─► progress                  shows the run while it runs
//!     ─► summary                           says it in words
//!     ─► leave ─► keep, table, csv, report shows what was found, and leaves it in files
//! ```
//!
//! `record` is what was observed, `result` the document that all output is drawn from, `metric` what its names mean, `progress`
//! how far a run is.

mod added;
mod bootstrap;
pub(crate) mod call;
mod cpu;
mod csv;
mod data;
pub(crate) mod digest;
mod engine;
mod keep;
mod leave;
mod live;
mod load;
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
#[cfg(test)]
mod streams;
mod summary;
mod table;
mod tokens;
mod values;
mod warn;
mod way;

use std::{
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
use tokio::sync::{oneshot, watch};

use crate::{
    args::BenchArgs,
    config::Config,
    env::Env,
    exit::{Exit, Failure},
    output::{Output, Show},
    signals::Signals,
    stage::Stage,
};

/// Measures, and shows what was found.
pub(crate) async fn run(args: &BenchArgs, config: &Config, env: &Env) -> Result<Exit, Failure> {
    let stage = if args.demo { Some(Stage::set(plan::script()).await?) } else { None };
    let outcome = on_stage(args, config, env, stage.as_ref()).await;
    if let Some(stage) = stage {
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
    let routes = Plan::routes(args);
    let progress = Arc::new(Progress::default());
    let live = Live::start(progress.clone(), args.quiet, env);
    let (measured, signal) = measure(&plan, &routes, &progress).await?;
    drop(live);
    let results = results(&plan, &routes, measured, signal.is_some());
    leave.all(&results)?;
    match (signal, engine::in_vain(&results.steps)) {
        (Some(signal), _) => Ok(Exit::Signal(signal)),
        (None, Some(reason)) => Err(Failure::api(format!("every request failed: {reason}"))),
        (None, None) => Ok(Exit::Ok),
    }
}

/// Measures on a thread of its own. A signal ends it early; what was measured till then is kept.
async fn measure(plan: &Arc<Plan>, routes: &[Route], progress: &Arc<Progress>) -> Result<(Measured, Option<u8>), Failure> {
    let mut signals = Signals::new();
    let (stop, stopped) = watch::channel(false);
    let (done, mut outcome) = oneshot::channel();
    let (plan, routes, progress) = (plan.clone(), routes.to_vec(), progress.clone());
    thread::Builder::new()
        .name("load".to_owned())
        // If nobody waits for it any more, nobody wants it.
        .spawn(move || drop(done.send(engine::run(&plan, &routes, &stopped, &progress))))
        .map_err(|error| Failure::usage(format!("this system gives no threads: {error}")))?;
    let mut signal = None;
    loop {
        tokio::select! {
            biased;
            outcome = &mut outcome => {
                let outcome = outcome.map_err(|_| Failure::usage("measuring ended for a reason that nobody told"))?;
                return outcome.map(|measured| (measured, signal));
            }
            number = signals.next() => {
                signal = Some(number);
                stop.send_replace(true);
            }
        }
    }
}

fn results(plan: &Plan, routes: &[Route], measured: Measured, interrupted: bool) -> Results {
    let Measured { started, steps, warnings } = measured;
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
