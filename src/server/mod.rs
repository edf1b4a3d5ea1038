//! The server: accepts sessions, calls upstreams, relays their answers.
//!
//! ```text
//! run ─► accept ─► relay ─► upload, upstream
//!          │  │      └─► guard
//!          │  └─► worker ─► upstream
//!          └─► keys, config
//! admin ─► metrics, in which all of them count
//! ```

mod accept;
pub mod admin;
pub mod config;
pub mod guard;
pub mod keys;
pub mod metrics;
mod relay;
mod upload;
mod upstream;
mod worker;

use std::{future::Future, sync::Arc};

use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::Config;
pub use keys::Keys;
pub use metrics::Metrics;
pub use worker::Workers;

use crate::proto::{ServerConfig, limits};
use metrics::Readiness;
use worker::{Place, Worker};

/// A server, ready to run.
#[derive(Debug)]
pub struct Server {
    config: Config,
    keys: Arc<Keys>,
    upstream: upstream::Settings,
    metrics: Arc<Metrics>,
}

impl Server {
    /// A server with this configuration and these keys.
    ///
    /// # Errors
    /// If TLS for the upstreams cannot be set up on this machine, or the configuration was made by hand and is not valid.
    pub fn new(config: Config, keys: Arc<Keys>) -> Result<Arc<Self>, upstream::SetUpError> {
        let upstream = upstream::Settings::new(&config)?;
        let metrics = Metrics::new(&config.limits);
        Ok(Arc::new(Self { config, keys, upstream, metrics }))
    }

    /// What it does, in numbers.
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Serves on the caller's runtime until `shutdown`, then lets what is under way finish for the configured time.
    pub async fn run(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        self.serve(listener, shutdown, &[Place::here()]).await;
    }

    /// As [`Server::run`], the sessions on threads of their own, which end with it.
    pub async fn run_on(self: Arc<Self>, workers: Workers, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        self.serve(listener, shutdown, workers.places()).await;
        // It waits for them.
        let _ = tokio::task::spawn_blocking(move || drop(workers)).await;
    }

    async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>, places: &[Place]) {
        let workers: Vec<_> = places.iter().map(|place| Worker::new(place, &self.upstream, self.metrics.meter())).collect();
        // The second ends all at once: at the end of the time to finish, or when this future is dropped.
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let guard = cut.clone().drop_guard();
        let sessions = TaskTracker::new();
        let permits = Arc::new(Semaphore::new(self.config.limits.sessions));
        self.metrics.is(Readiness::Accepting);
        tokio::select! {
            () = accept::accept(&self, &workers, &listener, &permits, &sessions, &stop, &cut) => {}
            _ = Worker::watch(&workers) => {}
            () = shutdown => {}
        }
        self.metrics.is(Readiness::Draining);
        drop(listener);
        stop.cancel();
        sessions.close();
        let open = sessions.len();
        if open > 0 {
            tracing::info!(sessions = open, "stopping: requests under way may finish");
        }
        if tokio::time::timeout(self.config.limits.drain(), sessions.wait()).await.is_err() {
            tracing::warn!(sessions = sessions.len(), "stopped before all requests were finished");
            drop(guard);
            sessions.wait().await;
        }
    }

    fn session_config(&self) -> ServerConfig {
        let limits = &self.config.limits;
        ServerConfig {
            key: self.keys.server().clone(),
            profile: self.config.profile,
            exchanges: limits.exchanges,
            credit: limits.upload_credit,
            buffered: limits.buffered_bytes,
            hello_time: limits.hello(),
            keep_alive: limits::SERVER_KEEP_ALIVE,
            idle: limits.idle(),
        }
    }
}
