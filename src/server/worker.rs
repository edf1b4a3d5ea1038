//! Where sessions run: on one thread each, with connections to upstreams of its own, so that no piece of an answer ever waits for
//! another thread to wake up, and all that is ready at once leaves in one write (docs/performance.md). And where those are who have not
//! proved a key: on a thread that gives way to these (docs/hostile.md).

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io, mem,
    num::NonZero,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::Semaphore,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::metrics::Meter;
use crate::driver::come_back;

/// What a worker is given before another is made use of: the more one has at once, the more of it leaves in one write, and the less
/// often a thread has to wake up. At 50 tokens a second, so many streams keep a thread about half busy.
const FULL: usize = 512;
/// What a session counts, in exchanges: it will have some, and it stays where it was put.
const SESSION: usize = 16;
/// The share of its time beyond which a worker gets no more, however little it has by count: it may be moving large bodies.
const BUSY: f64 = 0.5;
/// How often that share is worked out.
const LOOK: Duration = Duration::from_secs(1);
/// Exchanges that begin before everybody else on the thread has a turn. A client may ask hundreds at once, and to begin one, which may
/// mean to connect, takes as long as some pieces of an answer.
const TURNS: usize = 8;
/// How much less of a processor than a worker's the thread for strangers gets where there is not enough for all, as a nice value: about
/// a tenth. Where there is enough it makes no difference.
const NICE: i32 = 10;

/// Threads with a runtime each: some for sessions, and one for those who have not proved a key. Dropping them ends them, and what runs
/// there.
#[derive(Debug)]
pub struct Workers {
    places: Vec<Place>,
    doorway: Place,
    #[expect(dead_code, reason = "held, and not looked at")]
    threads: Threads,
}

impl Workers {
    /// Starts so many for sessions; one for each processor by default.
    ///
    /// # Errors
    /// If the system gives no more threads or descriptors.
    pub fn start(count: Option<NonZero<usize>>) -> io::Result<Self> {
        let count = count.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZero::<usize>::MIN);
        let mut threads = Threads::default();
        let doorway = threads.start("xllm-doorway", stand_back)?;
        let places = (0..count.get()).map(|_| threads.start("xllm-worker", || {})).collect::<io::Result<_>>()?;
        Ok(Self { places, doorway, threads })
    }

    /// With which to see whether they still take turns.
    pub fn pulse(&self) -> Pulse {
        Pulse(std::iter::once(&self.doorway).chain(&self.places).map(|place| place.runtime.clone()).collect())
    }

    /// Where sessions run.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Where those are who have not proved a key.
    pub(super) const fn doorway(&self) -> &Place {
        &self.doorway
    }
}

/// Has the thread of the caller give way to the others.
fn stand_back() {
    // Of one thread there alone; elsewhere it would be the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "the thread for peers without a key keeps the priority of the others");
    }
}

/// Threads that end with this.
#[derive(Debug, Default)]
struct Threads {
    handles: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Threads {
    fn start(&mut self, name: &str, first: impl FnOnce() + Send + 'static) -> io::Result<Place> {
        let rest = Arc::new(Rest::default());
        let (from, till) = (rest.clone(), rest.clone());
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_all().on_thread_park(move || from.begin()).on_thread_unpark(move || till.end()).build()?;
        let place = Place { runtime: runtime.handle().clone(), rest };
        let stop = self.stop.clone();
        let run = move || {
            first();
            runtime.block_on(stop.cancelled_owned());
            // A name that is still looked up is not waited for.
            runtime.shutdown_background();
        };
        self.handles.push(thread::Builder::new().name(name.into()).spawn(run)?);
        Ok(place)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.handles.drain(..) {
            // It has panicked if it fails: then it is over, too.
            let _ = thread.join();
        }
    }
}

/// The threads of [`Workers`], as somebody who watches over them sees them.
#[derive(Clone, Debug)]
pub struct Pulse(Vec<Handle>);

impl Pulse {
    /// Waits until each of the threads has had a turn. Those that have ended are not waited for.
    pub async fn beat(&self) {
        for thread in &self.0 {
            let _ = thread.spawn(async {}).await;
        }
    }
}

/// A runtime for sessions, and how long its thread has had nothing to do; of the caller's own that is not known.
#[derive(Clone, Debug)]
pub(super) struct Place {
    runtime: Handle,
    rest: Arc<Rest>,
}

impl Place {
    /// The runtime of the caller.
    pub(super) fn here() -> Self {
        Self { runtime: Handle::current(), rest: Arc::default() }
    }

    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

/// How long a thread has had nothing to do. (What the runtime counts of its work is not up to date while that never ends.)
#[derive(Debug)]
struct Rest {
    start: Instant,
    /// Microseconds in all, but for a rest that goes on.
    total: AtomicU64,
    /// When that one began, microseconds after `start`; 0 if there is none.
    since: AtomicU64,
}

impl Default for Rest {
    fn default() -> Self {
        Self { start: Instant::now(), total: AtomicU64::new(0), since: AtomicU64::new(0) }
    }
}

impl Rest {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn begin(&self) {
        self.since.store(self.now().max(1), Relaxed);
    }

    fn end(&self) {
        let since = self.since.swap(0, Relaxed);
        if since > 0 {
            self.total.fetch_add(self.now().saturating_sub(since), Relaxed);
        }
    }

    fn time(&self) -> Duration {
        let (total, since) = (self.total.load(Relaxed), self.since.load(Relaxed));
        let open = if since > 0 { self.now().saturating_sub(since) } else { 0 };
        Duration::from_micros(total + open)
    }
}

/// One of the places where sessions run.
#[derive(Debug)]
pub(super) struct Worker {
    /// Tells it from the others.
    pub(super) number: usize,
    place: Place,
    pub(super) meter: Meter,
    /// Turns of those who begin something.
    turns: Semaphore,
    /// Sessions and exchanges that run here, as they count.
    load: AtomicUsize,
    /// It was busy for too much of the last second.
    busy: AtomicBool,
}

impl Worker {
    pub(super) fn new(number: usize, place: &Place, meter: Meter) -> Arc<Self> {
        let (load, busy) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { number, place: place.clone(), meter, turns: Semaphore::new(TURNS), load, busy })
    }

    /// The one for another session: the first that has room and time, else the one that has least to do.
    pub(super) fn choose(workers: &[Arc<Self>]) -> Option<&Arc<Self>> {
        let load = |worker: &&Arc<Self>| worker.load.load(Relaxed);
        let busy = |worker: &&Arc<Self>| worker.busy.load(Relaxed);
        let free = workers.iter().find(|worker| load(worker) < FULL && !busy(worker));
        free.or_else(|| workers.iter().min_by_key(|worker| (busy(worker), load(worker))))
    }

    /// Looks, for as long as it is polled, at how busy the workers are.
    pub(super) async fn watch(workers: &[Arc<Self>]) -> Infallible {
        let mut looks = interval(LOOK);
        // The first is at once.
        looks.tick().await;
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen: Vec<_> = workers.iter().map(|worker| (Instant::now(), worker.place.rest.time())).collect();
        loop {
            looks.tick().await;
            for (worker, (when, before)) in workers.iter().zip(&mut seen) {
                let (now, rest) = (Instant::now(), worker.place.rest.time());
                let idle = rest.saturating_sub(*before).as_secs_f64() / (now - *when).as_secs_f64().max(f64::EPSILON);
                worker.busy.store(1.0 - idle > BUSY, Relaxed);
                (*when, *before) = (now, rest);
            }
        }
    }

    pub(super) const fn runtime(&self) -> &Handle {
        self.place.runtime()
    }

    /// Runs what begins here, its beginning in its turn: between so many ([`TURNS`]) and the next, all others on the thread have theirs.
    pub(super) async fn in_turn<T>(&self, mut begins: impl Future<Output = T> + Unpin) -> T {
        let mut turn = self.turns.acquire().await.ok();
        let mut is_first = true;
        poll_fn(|cx| {
            let polled = Pin::new(&mut begins).poll(cx);
            if mem::take(&mut is_first) && polled.is_pending() {
                come_back(cx);
            } else {
                turn = None;
            }
            polled
        })
        .await
    }

    /// A session runs here, until this is dropped.
    pub(super) fn session(self: &Arc<Self>) -> Held {
        self.hold(SESSION)
    }

    /// An exchange runs here, until this is dropped.
    pub(super) fn exchange(self: &Arc<Self>) -> Held {
        self.hold(1)
    }

    fn hold(self: &Arc<Self>, count: usize) -> Held {
        self.load.fetch_add(count, Relaxed);
        Held { worker: self.clone(), count }
    }
}

/// Something that runs on a worker, and counts there.
#[derive(Debug)]
pub(super) struct Held {
    worker: Arc<Worker>,
    count: usize,
}

impl Held {
    pub(super) const fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.worker.load.fetch_sub(self.count, Relaxed);
    }
}

#[cfg(test)]
mod tests;
