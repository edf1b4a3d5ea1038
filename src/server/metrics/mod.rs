//! What the server does, in numbers.
//!
//! ```text
//! accept, relay ─► meter ─► shard, one for each worker ─► cells
//!                             │
//! scrape, push ─► text, otlp ─► families ─► sums, over all shards; process
//! ```
//!
//! Counting takes no lock and touches no memory of another thread: for a token it is a handful of additions. All else is done when
//! somebody asks.

mod cells;
mod families;
mod family;
mod meter;
mod names;
#[cfg(feature = "otlp")]
pub mod otlp;
#[cfg(target_os = "linux")]
mod process;
mod shard;
mod sums;
mod text;

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

pub(super) use self::{
    meter::{Exchange, Meter, Session},
    shard::{Ending, Outcome, Stranger},
};
pub use text::Format;

use self::{
    cells::Count,
    names::Names,
    shard::{CLIENTS, HOSTS, Shard},
};
use super::{config::Limits, holds::Holds, memory::Memory};
use crate::log::Lines;

/// Whether the server takes sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet.
    Starting,
    /// It does.
    Accepting,
    /// No more: it lets finish what is under way.
    Draining,
}

/// All that is counted of one server.
#[derive(Debug)]
pub struct Metrics {
    /// When counting began.
    #[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "Prometheus has no use for it"))]
    started: SystemTime,
    shards: Mutex<Vec<Arc<Shard>>>,
    hosts: Names,
    clients: Names,
    readiness: AtomicU8,
    sessions_max: AtomicU64,
    exchanges_max: AtomicU64,
    reloads: Count,
    failed_reloads: Count,
    /// When the configuration that is in force was read, milliseconds since 1970.
    reloaded: AtomicU64,
    memory: Arc<Memory>,
    holds: Arc<Holds>,
    log: OnceLock<Lines>,
}

impl Metrics {
    pub(super) fn new(limits: &Limits, memory: Arc<Memory>, holds: Arc<Holds>) -> Arc<Self> {
        let metrics = Self {
            started: SystemTime::now(),
            shards: Mutex::default(),
            hosts: Names::new(HOSTS),
            clients: Names::new(CLIENTS),
            readiness: AtomicU8::new(Readiness::Starting as u8),
            sessions_max: AtomicU64::new(0),
            exchanges_max: AtomicU64::new(0),
            reloads: Count::default(),
            failed_reloads: Count::default(),
            reloaded: AtomicU64::new(unix_ms(SystemTime::now())),
            memory,
            holds,
            log: OnceLock::new(),
        };
        metrics.limit(limits);
        Arc::new(metrics)
    }

    /// These limits are in force.
    pub fn limit(&self, limits: &Limits) {
        self.sessions_max.store(limits.sessions as u64, Relaxed);
        self.exchanges_max.store(limits.exchanges.into(), Relaxed);
    }

    /// Configuration and keys were read once more, and are in force or, if something is wrong with them, are not.
    pub fn reloaded(&self, ok: bool) {
        if ok {
            self.reloads.add(1);
            self.reloaded.store(unix_ms(SystemTime::now()), Relaxed);
        } else {
            self.failed_reloads.add(1);
        }
    }

    /// The log whose lines are counted. Only the first counts.
    pub fn watch_log(&self, lines: Lines) {
        // The other one is there already.
        let _ = self.log.set(lines);
    }

    /// Whether the server takes sessions.
    pub fn readiness(&self) -> Readiness {
        let now = self.readiness.load(Relaxed);
        [Readiness::Starting, Readiness::Accepting].into_iter().find(|known| *known as u8 == now).unwrap_or(Readiness::Draining)
    }

    pub(super) fn is(&self, readiness: Readiness) {
        self.readiness.store(readiness as u8, Relaxed);
    }

    /// What another worker counts with.
    pub(super) fn meter(self: &Arc<Self>) -> Meter {
        let shard = Arc::<Shard>::default();
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).push(shard.clone());
        Meter::new(self.clone(), shard)
    }

    fn shards(&self) -> Vec<Arc<Shard>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
