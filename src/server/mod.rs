//! The server: accepts sessions, calls upstreams, relays their answers.
//!
//! ```text
//! run ─► accept ─► hook ─► relay ─► upload, upstream
//!          │  │      │       └─► guard, guests, memory
//!          │  │      ├─► worker ─► upstream
//!          │  │      └─► sessions, holds, guests, refusals
//!          │  └─► doorway, proxy_protocol
//!          └─► force ─► keys, config
//! admin ─► metrics, in which all of them count
//! ```

mod accept;
pub mod admin;
pub mod config;
mod doorway;
mod force;
pub mod guard;
mod guests;
mod holds;
mod hook;
pub mod keys;
mod memory;
pub mod metrics;
mod proxy_protocol;
mod refusals;
mod relay;
mod sessions;
#[cfg(all(test, feature = "client"))]
pub(crate) mod simulated;
mod upload;
mod upstream;
mod worker;

use std::{
    convert::Infallible,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    task::JoinError,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::{info, warn};

pub use config::Config;
pub use keys::Keys;
pub use metrics::Metrics;
pub use upstream::SetUpError;
pub use worker::{Pulse, Workers};

use accept::House;
use metrics::Readiness;
use sessions::Review;
use worker::{Place, Worker};

/// How often the server looks for keys that have expired, and at what its sessions hold.
const LOOK: Duration = Duration::from_millis(500);

/// A server, ready to run.
#[derive(Debug)]
pub struct Server {
    force: ArcSwap<force::Force>,
    doorway: doorway::Doorway,
    sessions: Arc<sessions::Sessions>,
    guests: guests::Guests,
    memory: Arc<memory::Memory>,
    metrics: Arc<Metrics>,
    holds: Arc<holds::Holds>,
    /// Tells this run from every other (protocol.md, section 7.1).
    instance: [u8; 8],
}

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All that was under way had finished.
    Finished,
    /// The time to finish was over, and so many requests were ended.
    Cut(usize),
}

impl Server {
    /// A server with this configuration and these keys.
    ///
    /// # Errors
    /// If TLS for the upstreams cannot be set up on this machine, or the configuration was made by hand and is not valid.
    pub fn new(config: Config, keys: Arc<Keys>) -> Result<Arc<Self>, SetUpError> {
        let upstream = upstream::Shared::new(&config)?;
        let memory = Arc::<memory::Memory>::default();
        let holds = Arc::<holds::Holds>::default();
        let metrics = Metrics::new(&config.limits, memory.clone(), holds.clone());
        let mut instance = [0; 8];
        getrandom::fill(&mut instance).map_err(|_| SetUpError::NoRandomness)?;
        Ok(Arc::new(Self {
            force: ArcSwap::from_pointee(force::Force { config, keys, upstream }),
            doorway: doorway::Doorway::default(),
            sessions: Arc::default(),
            guests: guests::Guests::default(),
            memory,
            metrics,
            holds,
            instance,
        }))
    }

    /// What it does, in numbers.
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Puts this configuration and these keys in the place of those in force, as one. What is under way goes on as it began, but for the
    /// sessions of keys that are not known any more: those are cut. Says how many. What the configuration says of listening and of
    /// threads has no effect on a server that runs.
    ///
    /// # Errors
    /// As [`Server::new`]; then nothing has changed.
    pub fn reload(&self, config: Config, keys: Arc<Keys>) -> Result<usize, SetUpError> {
        let upstream = upstream::Shared::new(&config)?;
        self.metrics.limit(&config.limits);
        self.force.store(Arc::new(force::Force { config, keys, upstream }));
        Ok(self.keys_changed())
    }

    /// As [`Server::reload`], the keys alone.
    pub fn replace_keys(&self, keys: &Arc<Keys>) -> usize {
        self.force.rcu(|force| force::Force {
            config: force.config.clone(),
            keys: keys.clone(),
            // Connections that wait to be used again may remember a client that is no more.
            upstream: force.upstream.anew(),
        });
        self.keys_changed()
    }

    /// Ends the sessions of keys that are gone, and says how many; and forgets their clients.
    fn keys_changed(&self) -> usize {
        let ended = self.review();
        let force = self.force.load_full();
        let names = force.keys.names();
        self.guests.tidy(|name| names.contains(name));
        ended
    }

    /// Looks at all sessions: what they hold, and whether their keys are still taken. Those whose are not end. Says how many.
    fn review(&self) -> usize {
        let (force, now) = (self.force.load_full(), SystemTime::now());
        let Review { held, ended } = self.sessions.review(|id| force.objection(id, now));
        self.holds.review(force.config.limits.hold_bytes, |id| force.objection(id, now));
        self.memory.measure(held + self.holds.held());
        if ended > 0 {
            warn!(sessions = ended, "sessions end: their keys were revoked or have expired");
        }
        ended
    }

    /// Serves on the caller's runtime until `shutdown`, then lets what is under way finish for the configured time.
    pub async fn run(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Stopped {
        let here = Place::here();
        self.serve(listener, shutdown, &here, std::slice::from_ref(&here)).await
    }

    /// As [`Server::run`], the sessions on threads of their own, which end with it.
    pub async fn run_on(
        self: Arc<Self>,
        workers: Workers,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Stopped {
        let stopped = self.serve(listener, shutdown, workers.doorway(), workers.places()).await;
        // It waits for them.
        let _ = tokio::task::spawn_blocking(move || drop(workers)).await;
        stopped
    }

    async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        doorway: &Place,
        places: &[Place],
    ) -> Stopped {
        let workers: Arc<[_]> =
            (0..).zip(places).map(|(number, place)| Worker::new(number, place, self.metrics.meter())).collect();
        self.holds.start();
        // The second ends all at once: at the end of the time to finish, or when this future is dropped.
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());
        let guard = end.clone().drop_guard();
        let tasks = TaskTracker::new();
        let tend = async {
            tokio::select! {
                never = self.tend() => match never {},
                never = Worker::watch(&workers) => match never {},
            }
        };
        tokio::pin!(tend);
        let house = House {
            server: self.clone(),
            workers: workers.clone(),
            meter: self.metrics.meter(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            end,
            epoch: Instant::now(),
        };
        let mut accepting = AbortOnDropHandle::new(doorway.runtime().spawn(accept::accept(Arc::new(house), listener)));
        self.metrics.is(Readiness::Accepting);
        let ended = tokio::select! {
            ended = &mut accepting => Some(ended),
            () = &mut tend => None,
            () = shutdown => None,
        };
        self.metrics.is(Readiness::Draining);
        let ended = if let Some(ended) = ended {
            ended
        } else {
            // The port is free before anything else is waited for.
            accepting.abort();
            accepting.await
        };
        if let Some(panic) = ended.err().filter(JoinError::is_panic) {
            std::panic::resume_unwind(panic.into_panic());
        }
        stop.cancel();
        tasks.close();
        // Nobody can come back any more: what no session waits for ends.
        self.holds.stop();
        let open = self.sessions.count();
        if open > 0 {
            info!(sessions = open, "stopping: requests under way may finish");
        }
        let drain = self.force.load().config.limits.drain();
        let in_time = tokio::select! {
            in_time = timeout(drain, tasks.wait()) => in_time,
            // Keys are revoked in these seconds as well.
            () = &mut tend => Ok(()),
        };
        if in_time.is_ok() {
            return Stopped::Finished;
        }
        let requests = self.sessions.cut_all();
        warn!(requests, "stopped before all requests were finished");
        let _ = timeout(sessions::LAST_WORD, tasks.wait()).await;
        drop(guard);
        tasks.wait().await;
        Stopped::Cut(requests)
    }

    /// Looks at the sessions, for as long as it is polled.
    async fn tend(&self) -> Infallible {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.review();
        }
    }
}
