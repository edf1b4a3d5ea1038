//! Serving, until a signal.

use std::{error::Error, net::SocketAddr, sync::Arc};

use tracing::{info, warn};
use xllm_proxy::{
    listen,
    log::Lines,
    server::{Config, Server, Stopped, Workers, config::Limits},
};

use super::{
    client::add_command,
    options::{Options, key_folder},
    reload::Reload,
};

pub(crate) fn serve(options: &Options, config: Config, lines: &Lines) -> Result<Stopped, Box<dyn Error>> {
    let folder = key_folder(&config)?;
    // Before the keys are read: a change while the server starts is then taken up as well.
    let stamp = folder.stamp();
    let (keys, made) = folder.open()?;
    let clients = keys.names().len();
    let (address, workers) = (config.listen, Workers::start(config.workers)?);
    check_files(&config.limits);
    let server = Server::new(config.clone(), Arc::new(keys))?;
    let reload = Reload::new(options.clone(), config, folder.clone(), server.clone());
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = listen::listen(address).map_err(|error| cannot_listen(address, &error))?;
        if made {
            info!(folder = %folder.path().display(), "made the server's key");
        }
        info!(listen = %listener.local_addr()?, clients, "serving");
        if clients == 0 {
            warn!("no client can come in yet; make a key with: {}", add_command(&folder));
        }
        let stop = async {
            stop_signal().await;
            let lines = lines.clone();
            // Whoever asks a second time does not want to wait for what is under way.
            tokio::spawn(async move {
                stop_signal().await;
                warn!("stopped at once, at the second request");
                lines.settle();
                std::process::exit(1);
            });
        };
        tokio::select! {
            stopped = server.run_on(workers, listener, stop) => Ok(stopped),
            never = reload.watch(stamp) => match never {},
            never = reload.at_signals() => match never {},
        }
    })
}

/// Files that are needed beside those of clients: keys, the log, names being looked up.
const RESERVED: u64 = 64;

/// Takes as many files as the system gives, for each connection is one, those to upstreams as well; and says where it gives fewer than
/// the peers alone may have.
fn check_files(limits: &Limits) {
    let peers = limits.sessions.saturating_add(limits.unauthenticated) as u64;
    let files = listen::allow_files(u64::MAX);
    if files < peers.saturating_add(RESERVED) {
        let text =
            "the system allows fewer open files than [limits] sessions and unauthenticated may take; raise it (ulimit -n)";
        warn!(files, peers, "{text}");
    }
}

fn cannot_listen(listen: SocketAddr, error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another program listens there: stop it, or choose another port with --listen",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need rights: choose another with --listen",
        _ => "",
    };
    format!("cannot listen on {listen}: {error}{remedy}")
}

async fn stop_signal() {
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
