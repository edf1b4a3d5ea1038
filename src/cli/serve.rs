//! Serving, until a signal.

use std::{
    error::Error,
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::net::TcpListener;
use tracing::{info, warn};
use xllm_proxy::{
    listen,
    server::{Config, Keys, Server, Stopped, Workers, keys::KeyFolder},
};

use super::{
    client::add_command,
    options::{Options, config_file, key_folder, start_logging},
    sandbox, systemd,
};

/// The exit code of a server that had to cut requests.
const CUT: u8 = 3;

/// How often the file of clients is looked at for changes.
const WATCH: Duration = Duration::from_secs(1);

pub(crate) fn serve(config: Config, options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let folder = key_folder(&config)?;
    // Before the keys are read: a change while the server starts is then taken up as well.
    let stamp = folder.stamp();
    let (keys, made) = folder.open()?;
    let (clients, keys) = (keys.count(), Arc::new(keys));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (listener, passed) = runtime.block_on(async { listener(config.listen) })?;
    // Before there is another thread, the log's, which would stay as free as it is.
    let locked = sandbox::lock(options.sandbox, &sandbox::Needs::new(&config, config_file(options), folder.path()))?;
    let log = start_logging(options)?;
    let workers = Workers::start(config.workers)?;
    let server = Server::new(config, keys.clone())?;
    let stopped = runtime.block_on(async {
        locked.log();
        if passed {
            info!("the socket is the service manager's; `listen` is not used");
        }
        if made {
            info!(folder = %folder.path().display(), "made the server's key");
        }
        let address = listener.local_addr()?;
        info!(listen = %address, clients, "serving");
        if clients == 0 {
            warn!("no client can come in yet; make a key with: {}", add_command(&folder));
        }
        let watch = tokio::spawn(watch_clients(folder, stamp, keys));
        let watchdog = tokio::spawn(systemd::watchdog(workers.pulse()));
        systemd::ready(&format!("listening on {address}"));
        let stop = async {
            stop_signal().await;
            systemd::stopping("requests under way may finish");
            let lines = log.lines().clone();
            // Whoever asks a second time does not want to wait for what is under way.
            tokio::spawn(async move {
                stop_signal().await;
                warn!("stopped at once, at the second request");
                lines.settle();
                std::process::exit(CUT.into());
            });
        };
        let stopped = server.run_on(workers, listener, stop).await;
        watch.abort();
        watchdog.abort();
        Ok::<_, Box<dyn Error>>(stopped)
    })?;
    Ok(match stopped {
        Stopped::Finished => ExitCode::SUCCESS,
        Stopped::Cut(_) => CUT.into(),
    })
}

/// The socket that the service manager has passed, or one at this address; and whether it was passed.
fn listener(address: SocketAddr) -> Result<(TcpListener, bool), Box<dyn Error>> {
    let passed =
        systemd::socket().map_err(|error| format!("the socket that was passed (LISTEN_FDS) cannot be used: {error}"))?;
    if let Some(passed) = passed {
        passed.set_nonblocking(true)?;
        return Ok((TcpListener::from_std(passed)?, true));
    }
    Ok((listen::listen(address).map_err(|error| cannot_listen(address, &error))?, false))
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
