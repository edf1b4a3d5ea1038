//! What changes while the server runs: configuration and keys, at a signal; the key files alone as soon as they change.

use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use tracing::{error, info, warn};
use xllm_proxy::server::{
    Config, Server,
    keys::{KeyFolder, Stamp},
};

use super::options::{Options, load};

/// How often the key files are looked at.
const WATCH: Duration = Duration::from_secs(1);

/// Reads again what a running server goes by.
#[derive(Debug)]
pub(crate) struct Reload {
    options: Options,
    /// As it was at the start: of what it says of listening, threads and folders, nothing changes.
    first: Config,
    folder: KeyFolder,
    server: Arc<Server>,
}

impl Reload {
    pub(crate) fn new(options: Options, first: Config, folder: KeyFolder, server: Arc<Server>) -> Self {
        Self { options, first, folder, server }
    }

    /// All of it, or nothing where something cannot be used. Says what is in force then, or why nothing has changed.
    pub(crate) fn all(&self) -> Result<String, String> {
        let attempt = || -> Result<String, Box<dyn Error>> {
            let config = load(&self.options)?;
            let fixed = self.fixed(&config);
            let (keys, _) = self.folder.open()?;
            let clients = keys.names().len();
            let cut = self.server.reload(config, Arc::new(keys))?;
            Ok(format!("configuration and keys are in force: {clients} clients, {cut} sessions ended{fixed}"))
        };
        let outcome = attempt().map_err(|error| format!("nothing has changed: {error}"));
        self.server.metrics().reloaded(outcome.is_ok());
        match &outcome {
            Ok(done) => info!("reloaded: {done}"),
            Err(why) => error!("not reloaded: {why}"),
        }
        outcome
    }

    /// Which settings differ that a running server does not change.
    fn fixed(&self, config: &Config) -> String {
        let (first, differ) = (&self.first, |name, differs| if differs { Some(name) } else { None });
        let names: Vec<_> = [
            differ("listen", first.listen != config.listen),
            differ("admin", first.admin != config.admin),
            differ("data_dir", first.data_dir != config.data_dir),
            differ("workers", first.workers != config.workers),
        ]
        .into_iter()
        .flatten()
        .collect();
        if names.is_empty() { String::new() } else { format!("; takes effect at the next start: {}", names.join(", ")) }
    }

    /// Takes up the key files as they change.
    pub(crate) async fn watch(&self, mut seen: Stamp) -> Infallible {
        loop {
            tokio::time::sleep(WATCH).await;
            let stamp = self.folder.stamp();
            if stamp == seen {
                continue;
            }
            seen = stamp;
            match self.folder.open() {
                Ok((keys, _)) => {
                    let clients = keys.names().len();
                    let ended = self.server.replace_keys(&Arc::new(keys));
                    info!(clients, ended, "the keys have changed");
                }
                Err(error) => warn!("the keys have changed and are not usable; the old ones stay in force: {error}"),
            }
        }
    }

    /// Does it at each SIGHUP.
    pub(crate) async fn at_signals(&self) -> Infallible {
        #[cfg(unix)]
        if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
            while signal.recv().await.is_some() {
                // What goes wrong is logged.
                let _ = self.all();
            }
        }
        std::future::pending().await
    }
}
