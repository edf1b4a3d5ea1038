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
    server::{
        Config, Keys, Metrics, Server, Workers,
        admin::{self, Admin, Reload},
        keys::KeyFolder,
    },
};

use super::{admin::listen as listen_admin, client::add_command, options::key_folder};

/// How often the file of clients is looked at for changes.
const WATCH: Duration = Duration::from_secs(1);

pub(crate) fn serve(config: Config, lines: &Lines) -> Result<(), Box<dyn Error>> {
    let folder = key_folder(&config)?;
    // Before the keys are read: a change while the server starts is then taken up as well.
    let stamp = folder.stamp();
    let (keys, made) = folder.open()?;
    let (clients, keys) = (keys.count(), Arc::new(keys));
    let (address, at, workers) = (config.listen, config.admin, Workers::start(config.workers)?);
    let server = Server::new(config, keys.clone())?;
    let metrics = server.metrics().clone();
    metrics.watch_log(lines.clone());
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = listen::listen(address).map_err(|error| cannot_listen(address, &error))?;
        let admin = listen_admin(at)?;
        if made {
            info!(folder = %folder.path().display(), "made the server's key");
        }
        info!(listen = %listener.local_addr()?, clients, "serving");
        if clients == 0 {
            warn!("no client can come in yet; make a key with: {}", add_command(&folder));
        }
        let reload = reload_hook(folder.clone(), keys.clone(), metrics.clone());
        let admin = admin.map(|listener| tokio::spawn(admin::serve(listener, Admin { metrics: metrics.clone(), reload })));
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
        #[cfg(feature = "otlp")]
        let push = push(metrics)?;
        server.run_on(workers, listener, stop).await;
        #[cfg(feature = "otlp")]
        push.end().await;
        watch.abort();
        if let Some(admin) = admin {
            admin.abort();
        }
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

/// What `POST /reload` does: the file of clients is read once more.
fn reload_hook(folder: KeyFolder, keys: Arc<Keys>, metrics: Arc<Metrics>) -> Reload {
    Arc::new(move || {
        let clients = folder.clients();
        metrics.reloaded(clients.is_ok());
        let clients = clients.map_err(|error| format!("not reloaded, the clients of before stay in force: {error}"))?;
        let count = clients.len();
        keys.replace(clients);
        info!(clients = count, "reloaded");
        Ok(format!("reloaded: {count} clients"))
    })
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

/// Pushes the metrics to a collector, if the environment names one.
#[cfg(feature = "otlp")]
fn push(metrics: Arc<Metrics>) -> Result<Push, Box<dyn Error>> {
    use xllm_proxy::server::metrics::otlp;
    let Some(settings) = otlp::Settings::new(|name| std::env::var(name).ok())? else { return Ok(Push(None)) };
    info!(otlp = ?settings, "pushing the metrics");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let pushing = async move {
        if let Err(error) = otlp::push(metrics, settings, async { drop(stopped.await) }).await {
            warn!("cannot push the metrics: {error}");
        }
    };
    Ok(Push(Some((stop, tokio::spawn(pushing)))))
}

/// What pushes the metrics, if anything does.
#[cfg(feature = "otlp")]
struct Push(Option<(tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<()>)>);

#[cfg(feature = "otlp")]
impl Push {
    /// Pushes a last time.
    async fn end(self) {
        if let Some((stop, pushing)) = self.0 {
            drop(stop);
            // It has a limit of its own.
            let _ = pushing.await;
        }
    }
}
