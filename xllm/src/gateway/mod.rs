//! `xllm gateway`: a local HTTP endpoint that carries any SDK through the encrypted relay.
//!
//! ```text
//! run ─► settings      flags, environment and configuration made into one
//!     ─► listen ─► relay ─► guard, route, keys, headers      what happens to a request
//!     │                └──► answer ─► events, caller       what happens to its answer
//!     └─► child        the program that is run with the base URLs set
//! ```
//!
//! `refusal` is what callers get when the relay has something to say, `account` what the log does.

mod account;
mod answer;
mod caller;
mod child;
mod events;
mod guard;
mod headers;
mod keys;
mod listen;
mod refusal;
mod relay;
mod route;
mod settings;
mod upload;

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::oneshot, time::timeout};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use xllm_proxy::{
    client::Client,
    log::{self, Log},
};

use crate::{
    args::GatewayArgs,
    config::Config,
    env::Env,
    exit::{Exit, Failure},
    signals::Signals,
    transport,
};
use guard::Guard;
use relay::Gateway;
use settings::Settings;

/// How long the start waits for the first session; after that the gateway serves, and requests wait for it.
const FIRST: Duration = Duration::from_secs(2);
/// How long the proxy may take to be told that the gateway ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// Variables by which programs send their requests to an HTTP proxy.
const HTTP_PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Runs it until it is told to stop, or until its program ends. The log is left to the caller: what ends with the runtime is
/// logged, too.
pub(crate) async fn run(args: &GatewayArgs, config: &Config, env: &Env, log: &mut Option<Log>) -> Result<Exit, Failure> {
    let settings = Settings::new(args, config, env)?;
    let log = log.insert(start_log(args, env));
    settings.remarks.iter().for_each(|remark| warn!("{remark}"));
    let client = transport::builder(&settings.proxy_url, &settings.proxy_key, &settings.nodes)?;
    let client = client.patience(settings.wait).warm(true).build();
    let listener = bind(settings.listen)?;
    let address = listener.local_addr().map_err(|error| Failure::usage(format!("cannot listen: {error}")))?;
    greet(&client, &settings.proxy_url).await?;
    // Before the screen is written to in another way, or is the program's.
    log.lines().settle();
    let (links, placeholders) = (settings.links(address), settings.placeholders(env));
    let page = page(&links, &settings.others());
    if args.command.is_empty() {
        announce(address, &settings, &[links.clone(), placeholders.clone()].concat())?;
    }
    let Settings { guard, headers, heartbeat, routes, .. } = settings;
    let gateway = Gateway { client: client.clone(), routes, guard, headers: Arc::new(headers), heartbeat, page: page.into() };
    let exit = if args.command.is_empty() {
        let mut signals = Signals::new();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(listen::serve(Arc::new(gateway), listener, listen::connections(), stopped));
        signals.next().await;
        info!("stopping: requests under way may finish; once more ends them");
        drop(stop);
        tokio::select! {
            _ = serving => {}
            _ = signals.next() => {}
        }
        Exit::Ok
    } else {
        let forever = std::future::pending::<()>();
        let serving = tokio::spawn(listen::serve(Arc::new(gateway), listener, listen::FOR_A_PROGRAM, forever));
        let exit = child::run(&args.command, &surroundings(env, links, placeholders)).await;
        serving.abort();
        exit?
    };
    client.close(FAREWELL).await;
    Ok(exit)
}

fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    xllm_proxy::listen::listen(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Failure::usage(format!("{address} is in use already, perhaps by another gateway"))
            .remedy("use that one, or choose another port with --listen 127.0.0.1:PORT"),
        _ => Failure::usage(format!("cannot listen on {address}: {error}")),
    })
}

/// Learns whether the proxy is there and takes the key. That it is away may pass; that it refuses will not.
async fn greet(client: &Client, proxy: &str) -> Result<(), Failure> {
    match timeout(FIRST, client.connect()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if matches!(error.code(), "key-refused" | "profile-refused") => {
            Err(Failure::proxy(error.to_string()).remedy("`xllm doctor` looks at everything on the way"))
        }
        Ok(Err(error)) => {
            warn!("{error}; serving all the same, requests wait for it");
            Ok(())
        }
        Err(_) => {
            warn!("the proxy at {proxy} has not answered yet; serving all the same, requests wait for it");
            Ok(())
        }
    }
}

/// The lines to paste go to stdout, all else to stderr.
fn announce(address: SocketAddr, settings: &Settings, variables: &[(String, String)]) -> Result<(), Failure> {
    let said = format!(
        "gateway on http://{address}, through the proxy {}\n      to send a program's API calls through it, set in its shell:\n",
        settings.proxy_url
    );
    // Without stderr there is nobody to tell.
    let _ = writeln!(io::stderr(), "xllm: {said}");
    match io::stdout().write_all(exports("", variables).as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::usage(format!("cannot write: {error}")));
        }
        _ => {}
    }
    let token = if matches!(settings.guard, Guard::Token(_)) {
        "\n      callers present the token as their API key, or in the header x-xllm-token"
    } else {
        ""
    };
    let _ = writeln!(io::stderr(), "\n      other routes: {}{token}\n      Ctrl-C stops it", settings.others());
    Ok(())
}

/// What is shown at `/`.
fn page(links: &[(String, String)], others: &str) -> String {
    let exports = exports("  ", links);
    format!("xllm gateway: carries requests to LLM APIs through an encrypted relay.\n\n{exports}\nOther routes: {others}\n")
}

/// Lines for a shell.
fn exports(indent: &str, variables: &[(String, String)]) -> String {
    variables.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{indent}export {name}={value}");
        text
    })
}

/// What a program finds in its environment beside what is there.
fn surroundings(env: &Env, links: Vec<(String, String)>, placeholders: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut variables = links;
    // Older names of the same.
    if let Some((_, url)) = variables.iter().find(|(name, _)| name == "OPENAI_BASE_URL") {
        variables.push(("OPENAI_API_BASE".to_owned(), url.clone()));
    }
    variables.extend(placeholders);
    if HTTP_PROXIES.iter().any(|name| env.get(name).is_some()) {
        // Programs read one or the other: both say the same.
        let names = ["NO_PROXY", "no_proxy"];
        let mut listed: Vec<&str> = names.iter().filter_map(|name| env.get(name)).collect();
        listed.dedup();
        let listed = [&listed[..], &["127.0.0.1,localhost"]].concat().join(",");
        variables.extend(names.map(|name| (name.to_owned(), listed.clone())));
    }
    variables
}

/// The log goes to stderr: failures, with `-v` every request. While a program runs it is the program's screen.
fn start_log(args: &GatewayArgs, env: &Env) -> Log {
    let default = match (args.connection.verbose, args.command.is_empty()) {
        (true, _) => "info",
        (false, true) => "warn,xllm_proxy=info",
        (false, false) => "off",
    };
    let filter = env.get("XLLM_LOG").unwrap_or(default);
    let ansi = io::stderr().is_terminal() && env.get("NO_COLOR").is_none();
    let filter = log::with_losses(EnvFilter::new(filter));
    let log = Log::start();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    // In a test another may be set.
    let _ = subscriber.with_ansi(ansi).with_writer(log.lines().clone()).try_init();
    log
}
