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

/// Sessions and exchanges that a worker is given before another is made use of: the more one has at once, the more of it leaves in
/// one write, and the less often a thread has to wake up. At 50 tokens a second, so many streams keep a thread a quarter busy.
const FULL: usize = 512;

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

    /// The one for another session: the first that has room, else the one that has least to do.
    pub(super) fn choose(workers: &[Arc<Self>]) -> Option<&Arc<Self>> {
        let load = |worker: &&Arc<Self>| worker.load.load(Relaxed);
        workers.iter().find(|worker| load(worker) < FULL).or_else(|| workers.iter().min_by_key(load))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::Config;

    #[tokio::test]
    async fn a_worker_is_filled_before_the_next_is_used_and_when_all_are_the_idlest_is() {
        let settings = Settings::new(&Config::default()).expect("this machine has root certificates");
        let workers = [(); 3].map(|()| Worker::new(Handle::current(), &settings));
        let mut held = Vec::new();
        let mut place = || {
            let worker = Worker::choose(&workers).expect("there are some");
            held.push(worker.busy());
            workers.iter().position(|one| Arc::ptr_eq(one, worker)).expect("one of them")
        };
        for worker in 0..3 {
            for _ in 0..FULL {
                assert_eq!(place(), worker);
            }
        }
        assert_eq!([place(), place(), place(), place()], [0, 1, 2, 0]);
        held.retain(|busy| !Arc::ptr_eq(busy.worker(), &workers[1]));
        assert_eq!(Worker::choose(&workers).map(|worker| worker.load.load(Relaxed)), Some(0));
    }
}
