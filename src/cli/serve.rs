//! Serving, until a signal.

use std::{error::Error, net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};
use xllm_proxy::{
    listen,
    server::{
        Config, Server, Stopped, Workers,
        admin::{self, Admin},
        config::Limits,
    },
};

use super::{
    admin::listen as listen_admin,
    client::add_command,
    options::{Options, config_file, key_folder, start_logging},
    reload::Reload,
    sandbox, systemd,
};
use crate::CUT;

pub(crate) fn serve(options: &Options, config: Config) -> Result<Stopped, Box<dyn Error>> {
    let folder = key_folder(config.data_dir.as_deref())?;
    // Before the keys are read: a change while the server starts is then taken up as well.
    let stamp = folder.stamp();
    let (keys, made) = folder.open()?;
    let clients = keys.names().len();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (listener, passed) = runtime.block_on(async { listener(config.listen) })?;
    let admin = runtime.block_on(async { listen_admin(config.admin) })?;
    // Before there is another thread, the log's, which would stay as free as it is.
    let locked = sandbox::lock(options.sandbox, &sandbox::Needs::new(&config, config_file(options), folder.path()))?;
    // Dropped before what goes wrong is said by `main`: behind all that was logged.
    let log = start_logging(options)?;
    let workers = Workers::start(config.workers)?;
    let (files, limits) = (listen::allow_files(u64::MAX), config.limits.clone());
    let server = Server::new(config.clone(), Arc::new(keys))?;
    let reload = Arc::new(Reload::new(options.clone(), config, folder.clone(), server.clone()));
    let metrics = server.metrics().clone();
    metrics.watch_log(log.lines().clone());
    runtime.block_on(async {
        locked.log();
        check_files(files, &limits);
        if passed {
            info!("the socket is the service manager's; `listen` is not used");
        }
        if made {
            info!(folder = %folder.path().display(), "made the server's key");
        }
        // Its line is there before the one that says that all is ready.
        let again = reload.clone();
        let admin = admin.log().map(|listener| {
            let hooks = Admin { metrics: metrics.clone(), reload: Arc::new(move || again.all()) };
            AbortOnDropHandle::new(tokio::spawn(admin::serve(listener, hooks)))
        });
        let address = listener.local_addr()?;
        info!(listen = %address, clients, "serving");
        if clients == 0 {
            warn!("no client can come in yet; make a key with: {}", add_command(&folder));
        }
        let watchdog = systemd::watchdog(workers.pulse());
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
        #[cfg(feature = "otlp")]
        let push = super::push::push(metrics)?;
        let stopped = tokio::select! {
            stopped = server.run_on(workers, listener, stop) => stopped,
            never = reload.watch(stamp) => match never {},
            never = reload.at_signals() => match never {},
            never = watchdog => match never {},
        };
        #[cfg(feature = "otlp")]
        push.end().await;
        drop(admin);
        Ok(stopped)
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

/// Files that are needed beside those of clients: keys, the log, names being looked up.
const RESERVED: u64 = 64;

/// Says where the system gives fewer files than the peers alone may take: each connection is one, those to upstreams as well.
fn check_files(files: u64, limits: &Limits) {
    let peers = limits.sessions.saturating_add(limits.unauthenticated) as u64;
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
