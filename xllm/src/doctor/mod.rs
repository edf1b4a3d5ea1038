//! `xllm doctor`: what is wrong, found out step by step, from what is on this machine to the providers.
//!
//! ```text
//! mod ─► setup, relay, clock, provider   find out, each finding a check::Check
//!     ─► report                          prints them
//! ```
//!
//! A step that needs an earlier one is skipped where that failed. No prompt is sent and nothing costs anything.

mod check;
mod clock;
mod provider;
mod relay;
mod report;
mod setup;
mod span;

use std::{io, time::Duration};

use check::Check;
use clock::CLOCK;
use futures::{StreamExt as _, stream::FuturesOrdered};
use provider::Visit;
use relay::{HANDSHAKE, PROXY, ROUND_TRIP};
use report::Report;
use setup::{CONFIGURATION, CREDENTIAL};

use crate::{
    aliases::Catalog,
    args::DoctorArgs,
    config::{Config, load},
    env::Env,
    exit::{Exit, Failure},
    options::proxy_url,
    output::{Output, Show},
    signals::Signals,
    transport::Transport,
};

/// What stands for the providers where nobody knows them.
const PROVIDERS: &str = "providers";
/// Everything that needs a proxy that accepts us.
const SESSION: [&str; 3] = [HANDSHAKE, ROUND_TRIP, CLOCK];

/// Examines everything and reports it.
pub(crate) async fn run(args: &DoctorArgs, env: &Env) -> Result<Exit, Failure> {
    let mut signals = Signals::new();
    let show = Show { stream: true, json: args.json, raw: false, usage: false };
    let mut report = Report::new(Output::of_process(show, args.connection.verbose, env), args.json);
    report.make_room([CONFIGURATION, CREDENTIAL, PROXY, ROUND_TRIP]);
    let mut transport = None;
    let stopped = tokio::select! {
        biased;
        signal = signals.next() => Ok(Some(signal)),
        examined = examine(args, env, &mut report, &mut transport) => examined.map(|()| None),
    };
    // Requests under way were dropped with the examination; this lets the other side know.
    if let Some(transport) = &transport {
        transport.settle().await;
    }
    let exit = match stopped {
        Ok(None) => report.finish(),
        Ok(Some(signal)) => report.break_off().map(|()| Exit::Signal(signal)),
        Err(error) => Err(error),
    };
    match exit {
        Ok(exit) => Ok(exit),
        // Whoever read our output has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        Err(error) => Err(Failure::usage(format!("cannot write: {error}"))),
    }
}

async fn examine(args: &DoctorArgs, env: &Env, report: &mut Report, transport: &mut Option<Transport>) -> io::Result<()> {
    let config = match load(args.connection.config.as_deref(), env) {
        Ok(config) => config,
        Err(failure) => return unconfigured(failure, report),
    };
    let catalog = match Catalog::new(&config) {
        Ok(catalog) => catalog,
        Err(failure) => return unconfigured(failure, report),
    };
    report.make_room(catalog.providers());
    report.add(setup::configuration(&config, &catalog, env))?;

    let patience = Duration::from_secs(args.timeout.into());
    let url = proxy_url(&args.connection, &config, env);
    let direct = matches!(url, Ok(None));
    if direct {
        report.skip([CREDENTIAL], "none is needed without a proxy")?;
        report.add(
            Check::warning(PROXY, "none: requests go straight to the APIs")
                .remedy("xllm then encrypts nothing beyond TLS; proxy_url in [global] names a proxy"),
        )?;
        report.skip(SESSION, "needs a proxy")?;
        match Transport::direct() {
            Ok(way) => *transport = Some(way),
            Err(failure) => report.add(Check::failed("TLS", failure))?,
        }
    } else {
        *transport = session(url, &config, env, patience, report).await?;
    }

    let visits = provider::plan(&catalog, env, !direct);
    if let Some(transport) = transport {
        return providers(visits, transport, patience, report).await;
    }
    let why = if direct { "needs TLS" } else { "needs the proxy" };
    visits.into_iter().try_for_each(|visit| report.add(visit.skipped(why)))
}

/// Without a configuration nothing else is known.
fn unconfigured(failure: Failure, report: &mut Report) -> io::Result<()> {
    report.add(Check::failed(CONFIGURATION, failure))?;
    report.skip([CREDENTIAL, PROXY].into_iter().chain(SESSION).chain([PROVIDERS]), "needs the configuration")
}

/// All about the proxy; the way through it, if there is one.
async fn session(
    url: Result<Option<String>, Failure>,
    config: &Config,
    env: &Env,
    patience: Duration,
    report: &mut Report,
) -> io::Result<Option<Transport>> {
    let (check, key) = report.waiting("looking for the credential", setup::credential(config, env)).await;
    report.add(check)?;
    let url = match url {
        Ok(url) => url.unwrap_or_default(),
        Err(failure) => {
            report.add(Check::failed(PROXY, failure))?;
            return report.skip(SESSION, "needs the proxy").map(|()| None);
        }
    };
    let (check, reached) = report.waiting("connecting to the proxy", relay::reach(&url, patience)).await;
    report.add(check)?;
    let Some(key) = key.filter(|_| reached) else {
        return report.skip(SESSION, if reached { "needs the credential" } else { "needs the proxy" }).map(|()| None);
    };
    let (check, greeted) = report.waiting("shaking hands", relay::greet(&url, &key, patience)).await;
    report.add(check)?;
    let Some(greeted) = greeted else {
        return report.skip([ROUND_TRIP, CLOCK], "needs the handshake").map(|()| None);
    };
    let (check, round_trip) = report.waiting("measuring round trips", relay::round_trips(&greeted.client, patience)).await;
    report.add(check)?;
    report.add(clock::compare(&greeted, round_trip))?;
    Ok(Some(Transport::Proxy(greeted.client)))
}

/// Asks all at the same time, and reports in order.
async fn providers(visits: Vec<Visit>, transport: &Transport, patience: Duration, report: &mut Report) -> io::Result<()> {
    visits.iter().filter_map(Visit::address).for_each(|address| report.out.trace(&format!("GET {address}")));
    let names: Vec<_> = visits.iter().map(|visit| visit.name().to_owned()).collect();
    let mut findings: FuturesOrdered<_> = visits.into_iter().map(|visit| visit.make(transport, patience)).collect();
    for name in names {
        if let Some(check) = report.waiting(&format!("asking {name}"), findings.next()).await {
            report.add(check)?;
        }
    }
    Ok(())
}
