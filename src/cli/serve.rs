//! Serving, until a signal.

use std::{
    error::Error,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tracing::{info, warn};
use xllm_proxy::{
    listen,
    log::Lines,
    server::{Config, Keys, Server, Workers, keys::KeyFolder},
};

use super::{client::add_command, options::key_folder};

/// How often the file of clients is looked at for changes.
const WATCH: Duration = Duration::from_secs(1);

pub(crate) fn serve(config: Config, lines: &Lines) -> Result<(), Box<dyn Error>> {
    let folder = key_folder(&config)?;
    // Before the keys are read: a change while the server starts is then taken up as well.
    let stamp = folder.stamp();
    let (keys, made) = folder.open()?;
    let (clients, keys) = (keys.count(), Arc::new(keys));
    let (address, workers) = (config.listen, Workers::start(config.workers)?);
    let server = Server::new(config, keys.clone())?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = listen::listen(address).map_err(|error| cannot_listen(address, &error))?;
        if made {
            info!(folder = %folder.path().display(), "made the server's key");
        }
        info!(listen = %listener.local_addr()?, clients, "serving");
        if clients == 0 {
            warn!("no client can come in yet; make a key with: {}", add_command(&folder));
        }
        let watch = tokio::spawn(watch_clients(folder, stamp, keys));
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
        server.run_on(workers, listener, stop).await;
        watch.abort();
        Ok(())
    })
}

fn cannot_listen(listen: SocketAddr, error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another program listens there: stop it, or choose another port with --listen",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need rights: choose another with --listen",
        _ => "",
    };
    format!("cannot listen on {listen}: {error}{remedy}")
}

/// Takes up clients that are added or removed while the server runs.
async fn watch_clients(folder: KeyFolder, mut seen: Option<(SystemTime, u64)>, keys: Arc<Keys>) {
    loop {
        tokio::time::sleep(WATCH).await;
        let stamp = folder.stamp();
        if stamp == seen {
            continue;
        }
        match folder.clients() {
            Ok(clients) => {
                info!(clients = clients.len(), "the list of clients has changed");
                keys.replace(clients);
            }
            Err(error) => warn!("the list of clients has changed and is not usable; the old one stays in force: {error}"),
        }
        seen = stamp;
    }
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
