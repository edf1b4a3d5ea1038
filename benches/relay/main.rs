//! What the relay costs, end to end, with our own programs as processes and CPU time from the operating system:
//!
//! ```text
//! cargo bench -p xllm-proxy --bench relay                          # everything
//! cargo bench -p xllm-proxy --bench relay -- steady --seconds 5    # --help says what there is
//! ```
//!
//! Load and upstream are threads of this process with one clock. The routes are measured in turn, each round in another order, and
//! what counts is one route against another of the same run: no figure by itself says much, least of all on another machine.

mod args;
mod attack;
mod call;
mod calls;
mod clock;
mod cost;
mod event;
mod hostile;
mod idle;
mod line;
mod ours;
mod pacer;
mod report;
mod route;
mod streams;
mod system;
mod table;
mod turns;
mod upstream;
mod verdict;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use args::{Args, Measure};
use clap::{Parser as _, ValueEnum as _};
use cost::Figures;
use line::Line;
use ours::Ours;
use route::Route;
use streams::{Load, Pace};
use tokio::{
    runtime::{self, Handle},
    time::timeout,
};
use turns::turns;
use upstream::Upstream;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// What all measures need.
struct Stand {
    upstream: Upstream,
    /// The runtime of the load.
    load: Handle,
    ours: Vec<Ours>,
}

/// No measure of a route takes so long.
const LIMIT: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    let args = Args::parse();
    if args.test {
        return ExitCode::SUCCESS;
    }
    let done = match (&args.report, args.attack) {
        (Some(file), _) => report::report(file).and_then(|report| say(&report)),
        (None, Some(attack)) => args.target().and_then(|target| attack::run(attack, &target)),
        (None, None) => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress("");
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    // Before the programs are started, which inherit it.
    system::raise_file_limit()?;
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
    let upstream = Upstream::start(args.upstream, &thread()?)?;
    let mut stand = Stand { upstream, load: thread()?, ours: Vec::new() };
    let address = stand.upstream.address;
    let mut measures = args.measures.clone();
    if measures.is_empty() {
        measures = Measure::value_variants().to_vec();
        // It is about nobody else's routes, and long.
        measures.retain(|measure| *measure != Measure::Hostile);
    }
    // Memory first: see there.
    measures.sort_unstable();
    let folders = if args.ours.is_empty() { vec![("ours".to_owned(), built()?)] } else { args.ours.clone() };
    let straight = Route::straight(address)?;
    let mut routes = Vec::new();
    for (name, bin) in folders {
        let ours = Ours::start(&name, &bin, address)?;
        routes.push(Route::new(ours.described())?);
        stand.ours.push(ours);
    }
    if let Some(file) = &args.peers {
        for described in serde_json::from_slice::<Vec<_>>(&std::fs::read(file)?)? {
            routes.push(Route::new(described)?);
        }
    }
    for measure in measures {
        let lines = match measure {
            Measure::Hostile => hostile::rounds(&stand, &straight, args).await?,
            _ => rounds(&mut stand, &straight, &routes, measure, args).await?,
        };
        if !args.json {
            say(&(table::text(&measure.name(), &lines) + "\n"))?;
        }
    }
    Ok(())
}

/// One measure on all routes that have it, and on the straight way, in turn. With `--json` the results are printed as they come.
async fn rounds(stand: &mut Stand, straight: &Route, routes: &[Route], measure: Measure, args: &Args) -> Result<Vec<Line>> {
    let in_pairs = measure.is_beside_straight();
    let among: Vec<&Route> = (!in_pairs).then_some(straight).into_iter().chain(routes).collect();
    let mut lines: Vec<Line> = Vec::new();
    // A process that has held many streams once needs no new memory for as many again.
    let rounds = if measure == Measure::Memory { 1 } else { args.rounds };
    for round in 1..=rounds {
        let mut neighbour = None;
        for route in turns(&among, in_pairs.then_some(straight), round, rounds) {
            let (measure_name, name) = (measure.name(), route.name().to_owned());
            progress(&format!("{measure_name}, round {round} of {rounds}: {name}"));
            let figures = timeout(LIMIT, one(stand, route, measure, args)).await;
            let figures = figures.unwrap_or_else(|_| Err(format!("it was not over within {LIMIT:?}").into()));
            let figures = match figures {
                Ok(None) => continue,
                Ok(Some(figures)) => figures,
                // What a peer cannot carry is a result, too: a row without figures.
                Err(error) if is_peer(stand, route) => {
                    progress("");
                    eprintln!("relay: {measure_name} of {name}: {error}");
                    Figures::new()
                }
                Err(error) => return Err(format!("{measure_name} of {name}: {error}").into()),
            };
            let mut line = Line { measure: measure_name, round, route: name, figures };
            if let Some(straight) = neighbour.take() {
                line.add_what_is_added(&straight);
            } else if in_pairs {
                neighbour = Some(line.clone());
            }
            if args.json {
                say(&(serde_json::to_string(&line)? + "\n"))?;
            }
            lines.push(line);
        }
    }
    progress("");
    Ok(lines)
}

fn is_peer(stand: &Stand, route: &Route) -> bool {
    !route.described.processes.is_empty() && stand.ours.iter().all(|ours| ours.name != route.name())
}

/// A result. Where nobody reads any more, there is nothing left to measure.
fn say(result: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(result.as_bytes()).and_then(|()| out.flush()).map_err(|error| format!("cannot print: {error}").into())
}

/// Shows what is under way, where somebody may look.
fn progress(what: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    }
}

/// One measure on one route; nothing where it makes no sense.
async fn one(stand: &mut Stand, route: &Route, measure: Measure, args: &Args) -> Result<Option<Figures>> {
    let ours = stand.ours.iter().find(|ours| ours.name == route.name());
    let load = |pace| Load { streams: args.streams, pace, time: Duration::from_secs_f64(args.seconds) };
    let figures = match measure {
        Measure::Hostile => return Ok(None),
        Measure::Memory if route.described.processes.is_empty() => return Ok(None),
        Measure::Memory => match ours.map(|ours| ours.again_for(args.idle)).transpose()? {
            Some(fresh) => idle::memory(stand, &Route::new(fresh.described())?, args.idle).await?,
            None => idle::memory(stand, route, args.idle).await?,
        },
        Measure::Steady => streams::measure(stand, route, load(Pace::Rate(args.rate))).await?,
        Measure::Quarter => streams::measure(stand, route, load(Pace::Rate(args.rate / 4.0))).await?,
        Measure::Flood => streams::measure(stand, route, load(Pace::Rate(args.flood / f64::from(args.streams)))).await?,
        Measure::Saturation => streams::measure(stand, route, load(Pace::Window(args.window))).await?,
        Measure::Cancel => idle::cancel(stand, route).await?,
        Measure::Bulk => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "so many bytes, about")]
            let bytes = (args.bulk * 1e9) as u64;
            stand.load.spawn(calls::bulk(route.clone(), bytes)).await??
        }
        Measure::First => {
            let straight = Route::straight(stand.upstream.address)?;
            stand.load.spawn(calls::first(route.clone(), straight)).await??
        }
        Measure::Short => stand.load.spawn(calls::short(route.clone())).await??,
        Measure::Handshake => {
            if let Some(ours) = ours {
                let (proxy, credential) = (ours.proxy.to_string(), ours.credential.clone());
                stand.load.spawn(calls::handshake_ours(route.clone(), proxy, credential)).await??
            } else if route.described.certificate.is_some() {
                stand.load.spawn(calls::handshake_tls(route.clone())).await??
            } else {
                return Ok(None);
            }
        }
    };
    Ok(Some(figures))
}

/// A runtime on a thread of its own, for as long as the process lives.
fn thread() -> Result<Handle> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(handle)
}

/// The folder of our programs, built as users build them: what cargo builds for a bench has the features that tests need, too.
fn built() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    build.args(["build", "--release", "-p", "xllm-proxy", "-p", "xllm"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !build.status()?.success() {
        return Err("our programs cannot be built; --ours names the folder of ready ones".into());
    }
    // This one lies in its folder `deps`.
    let bench = std::env::current_exe()?;
    Ok(bench.ancestors().nth(2).ok_or("the bench lies in no folder of a build")?.to_owned())
}
