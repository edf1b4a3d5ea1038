//! What the relay costs, end to end, with our own programs as processes and CPU time from the operating system:
//!
//! ```text
//! cargo build --release -p xllm-proxy -p xllm
//! cargo bench -p xllm-proxy --bench relay                          # everything
//! cargo bench -p xllm-proxy --bench relay -- steady --seconds 5    # --help says what there is
//! ```
//!
//! Load and upstream are threads of this process with one clock. The routes are measured in turn, round by round, and what counts
//! is one route against another of the same run: no figure by itself says much, least of all on another machine.

mod args;
mod call;
mod clock;
mod event;
mod line;
mod ours;
mod pacer;
mod route;
mod streams;
mod table;
mod upstream;
mod usage;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use args::{Args, Measure};
use clap::{Parser as _, ValueEnum as _};
use line::Line;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ours::Ours;
use route::Route;
use streams::{Load, Pace};
use tokio::runtime::{self, Handle};
use upstream::Upstream;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// What all measures need.
struct Stand {
    upstream: Upstream,
    /// The runtime of the load.
    load: Handle,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.test {
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    // Before the programs are started, which inherit it.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            done = measure(args) => done,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            _ = terminate.recv() => Err("terminated".into()),
        }
    })
}

async fn measure(args: &Args) -> Result<()> {
    let upstream = Upstream::start(args.upstream, &thread()?).await?;
    let mut stand = Stand { upstream, load: thread()? };
    let address = stand.upstream.address;
    let folders = if args.ours.is_empty() { vec![("ours".to_owned(), beside()?)] } else { args.ours.clone() };
    let ours: Vec<Ours> =
        folders.iter().map(|(name, bin)| Ours::start(name, bin, address, args.streams.into())).collect::<Result<_>>()?;
    let mut routes = vec![Route::straight(address)?];
    for ours in &ours {
        routes.push(Route::new(ours.described())?);
    }
    if let Some(file) = &args.peers {
        for described in serde_json::from_slice::<Vec<_>>(&std::fs::read(file)?)? {
            routes.push(Route::new(described)?);
        }
    }
    let measures = if args.measures.is_empty() { Measure::value_variants() } else { &args.measures };
    for measure in measures {
        let mut lines = Vec::new();
        for round in 1..=args.rounds {
            let mut of_round: Vec<Line> = Vec::new();
            for route in &routes {
                eprint!("\r\x1b[K{}, round {round} of {}: {} ", measure.name(), args.rounds, route.name());
                let figures = one(&mut stand, route, *measure, args).await;
                let figures = figures.map_err(|error| format!("{} of {}: {error}", measure.name(), route.name()))?;
                let mut line = Line { measure: measure.name(), round, route: route.name().to_owned(), figures };
                if let Some(straight) = of_round.first() {
                    line.add_what_is_added(straight);
                }
                if args.json {
                    println!("{}", serde_json::to_string(&line)?);
                }
                of_round.push(line);
            }
            lines.append(&mut of_round);
        }
        eprint!("\r\x1b[K");
        if !args.json {
            println!("{}", table::text(&measure.name(), &lines));
        }
    }
    Ok(())
}

async fn one(
    stand: &mut Stand,
    route: &Route,
    measure: Measure,
    args: &Args,
) -> Result<std::collections::BTreeMap<String, f64>> {
    let load = |pace| Load { streams: args.streams, pace, time: Duration::from_secs_f64(args.seconds) };
    match measure {
        Measure::Steady => streams::measure(stand, route, load(Pace::Rate(args.rate))).await,
        Measure::Quarter => streams::measure(stand, route, load(Pace::Rate(args.rate / 4.0))).await,
        Measure::Saturation => streams::measure(stand, route, load(Pace::Window(args.window))).await,
    }
}

/// A runtime on a thread of its own, for as long as the process lives.
fn thread() -> Result<Handle> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(handle)
}

/// The folder of the programs that were built with this one, which is in its folder `deps`.
fn beside() -> Result<PathBuf> {
    let bench = std::env::current_exe()?;
    Ok(bench.ancestors().nth(2).ok_or("the bench lies in no folder of a build")?.to_owned())
}
