//! Where sessions run: on one thread each, with connections to upstreams of its own, so that no piece of an answer ever waits for
//! another thread to wake up, and all that is ready at once leaves in one write (docs/performance.md).

use std::{
    io,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::upstream::{Settings, Upstreams};

/// Threads with a runtime each. Dropping them ends them, and what runs there.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    stop: Option<DropGuard>,
}

impl Workers {
    /// Starts so many; one for each processor by default.
    ///
    /// # Errors
    /// If the system gives no more threads or descriptors.
    pub fn start(count: Option<NonZero<usize>>) -> io::Result<Self> {
        let count = count.map_or_else(thread::available_parallelism, Ok)?;
        let stop = CancellationToken::new();
        let mut workers = Self { handles: Vec::new(), threads: Vec::new(), stop: Some(stop.clone().drop_guard()) };
        for _ in 0..count.get() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.handles.push(runtime.handle().clone());
            let stop = stop.clone();
            let run = move || {
                runtime.block_on(stop.cancelled_owned());
                // A name that is still looked up is not waited for.
                runtime.shutdown_background();
            };
            workers.threads.push(thread::Builder::new().name("xllm-worker".into()).spawn(run)?);
        }
        Ok(workers)
    }

    pub(super) fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            // It has panicked if it fails: then it is over, too.
            let _ = thread.join();
        }
    }
}

/// One of the places where sessions run.
#[derive(Debug)]
pub(super) struct Worker {
    runtime: Handle,
    pub(super) upstreams: Upstreams,
    /// Sessions and exchanges that run here.
    load: AtomicUsize,
}

impl Worker {
    pub(super) fn new(runtime: Handle, settings: &Settings) -> Arc<Self> {
        Arc::new(Self { runtime, upstreams: Upstreams::new(settings), load: AtomicUsize::new(0) })
    }

    /// The one that has least to do.
    pub(super) fn idlest(workers: &[Arc<Self>]) -> Option<&Arc<Self>> {
        workers.iter().min_by_key(|worker| worker.load.load(Relaxed))
    }

    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Something more to do here, until it is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.load.fetch_add(1, Relaxed);
        Busy(self.clone())
    }
}

/// Counts for its worker.
#[derive(Debug)]
pub(super) struct Busy(Arc<Worker>);

impl Busy {
    pub(super) const fn worker(&self) -> &Arc<Worker> {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Relaxed);
    }
}
