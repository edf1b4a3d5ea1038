//! Sets requests off and waits for their ends: one step after another, on one thread that does nothing else.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, mpsc as queue, watch},
    task::JoinSet,
};

use super::{
    call::{Terms, Ticket, call},
    cpu,
    progress::{Ended, Goal, Progress},
    prompts::Ready,
    record::{End, Record},
    result::{Load, Outcome, Route},
    schedule::{draw, order, sends},
};
use crate::transport::Transport;

/// How often the loop's own lateness is looked at.
const PROBE: Duration = Duration::from_millis(50);

/// One way to the API.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) route: Route,
    pub(super) transport: Transport,
    /// One for each prompt.
    pub(super) requests: Vec<Ready>,
}

/// What a step is made of.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) goal: Goal,
    pub(super) seed: u64,
    /// 0 for warming up, then the step's number from 1: prompts differ between them.
    pub(super) phase: u64,
    pub(super) patience: Duration,
    pub(super) cancel_share: f64,
    pub(super) cancel_after: usize,
    /// Requests under way at once, in an open loop.
    pub(super) max_in_flight: usize,
}

/// What a step left besides its records.
#[derive(Debug, Default)]
pub(super) struct Ran {
    pub(super) cpu: Option<Duration>,
    /// How late the loop's timer was, in milliseconds.
    pub(super) loop_lag: Vec<f64>,
    /// Whether requests had to wait because so many were under way.
    pub(super) limited: bool,
}

/// All that a step's calls share.
struct Shared {
    lanes: Vec<Arc<Lane>>,
    settings: Settings,
    terms: Terms,
    progress: Arc<Progress>,
    sink: Mutex<mpsc::Sender<Record>>,
    next: AtomicU64,
}

/// Runs one step; each record goes into the sink as its call ends.
pub(super) async fn step(
    lanes: &[Arc<Lane>],
    load: &Load,
    settings: &Settings,
    stop: watch::Receiver<bool>,
    progress: &Arc<Progress>,
    sink: mpsc::Sender<Record>,
) -> Ran {
    let before = cpu::of_thread();
    let terms = Terms { origin: Instant::now(), patience: settings.patience, stop };
    let shared = Arc::new(Shared {
        lanes: lanes.to_vec(),
        settings: settings.clone(),
        terms,
        progress: progress.clone(),
        sink: Mutex::new(sink),
        next: AtomicU64::new(0),
    });
    let lags = Arc::new(Mutex::new(Vec::new()));
    let probe = tokio::spawn(probe(lags.clone()));
    let limited = match load {
        Load::Closed { concurrency } => closed(&shared, *concurrency).await,
        Load::Open { rate, arrivals } => open(&shared, sends(*rate, *arrivals, settings.seed)).await,
    };
    probe.abort();
    let loop_lag = std::mem::take(&mut *lags.lock().unwrap_or_else(PoisonError::into_inner));
    let cpu = cpu::of_thread().zip(before).map(|(after, before)| after.saturating_sub(before));
    Ran { cpu, loop_lag, limited }
}

/// So many workers; each takes the next pair when its last one has ended.
async fn closed(shared: &Arc<Shared>, concurrency: u64) -> bool {
    let mut workers = JoinSet::new();
    for _ in 0..concurrency {
        let shared = shared.clone();
        workers.spawn(async move {
            while let Some(pair) = shared.next_pair() {
                for (position, route) in shared.order(pair).into_iter().enumerate() {
                    let scheduled = shared.terms.origin.elapsed();
                    shared.one(pair, route, position == 0, scheduled).await;
                }
            }
        });
    }
    while workers.join_next().await.is_some() {}
    false
}

/// Each request at its time, however many are under way. The two of a pair are neighbours on the schedule.
async fn open(shared: &Arc<Shared>, times: impl Iterator<Item = Duration> + Send + 'static) -> bool {
    let permits = Arc::new(Semaphore::new(shared.settings.max_in_flight));
    let limited = Arc::new(AtomicBool::new(false));
    let routes = shared.lanes.len();
    let end = match shared.settings.goal {
        Goal::Duration(duration) => duration,
        _ => Duration::MAX,
    };
    let most = match shared.settings.goal {
        Goal::Requests(count) => usize::try_from(count).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let mut due = pace(shared.terms.origin, times.take(most).take_while(move |time| *time < end));
    let mut calls = JoinSet::new();
    let mut stop = shared.terms.stop.clone();
    let mut pair = (0, Vec::new());
    let mut numbers = 0_usize..;
    loop {
        let scheduled = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            scheduled = due.recv() => scheduled,
            _ = calls.join_next(), if !calls.is_empty() => continue,
        };
        let (Some(scheduled), Some(number)) = (scheduled, numbers.next()) else { break };
        let position = number % routes;
        if position == 0 {
            let number = (number / routes) as u64;
            pair = (number, shared.order(number));
        }
        let (shared, permits, limited) = (shared.clone(), permits.clone(), limited.clone());
        let (number, route) = (pair.0, pair.1[position]);
        calls.spawn(async move {
            let permit = permits.clone().try_acquire_owned();
            if permit.is_err() {
                limited.store(true, Ordering::Relaxed);
            }
            // It is never closed; and with or without a permit, the request is due.
            let _permit = match permit {
                Ok(permit) => Some(permit),
                Err(_) => permits.acquire_owned().await.ok(),
            };
            shared.one(number, route, position == 0, scheduled).await;
        });
    }
    while calls.join_next().await.is_some() {}
    limited.load(Ordering::Relaxed)
}

/// Tells when each send is due. A thread, because the runtime's timers are a millisecond coarse. It ends with the times, or at
/// the first that nobody waits for.
fn pace(origin: Instant, times: impl Iterator<Item = Duration> + Send + 'static) -> queue::UnboundedReceiver<Duration> {
    let (due, dues) = queue::unbounded_channel();
    thread::spawn(move || {
        for time in times {
            thread::sleep(time.saturating_sub(origin.elapsed()));
            if due.send(time).is_err() {
                return;
            }
        }
    });
    dues
}

/// Notes how late a timer of this loop is, above the millisecond that timers are coarse.
async fn probe(lags: Arc<Mutex<Vec<f64>>>) {
    loop {
        let due = Instant::now() + PROBE;
        tokio::time::sleep_until(due.into()).await;
        let lag = due.elapsed().as_secs_f64() * 1e3;
        lags.lock().unwrap_or_else(PoisonError::into_inner).push((lag - 1.0).max(0.0));
    }
}

impl Shared {
    /// The next pair of a closed loop, while there is time and nobody stops it.
    fn next_pair(&self) -> Option<u64> {
        let pair = self.next.fetch_add(1, Ordering::Relaxed);
        let more = match self.settings.goal {
            Goal::Requests(count) => pair < count.div_ceil(self.lanes.len().max(1) as u64),
            Goal::Duration(duration) => self.terms.origin.elapsed() < duration,
            Goal::Unknown => false,
        };
        (more && !*self.terms.stop.borrow()).then_some(pair)
    }

    fn order(&self, pair: u64) -> Vec<Route> {
        let routes: Vec<Route> = self.lanes.iter().map(|lane| lane.route).collect();
        order(&routes, draw(self.settings.seed, pair, self.settings.cancel_share))
    }

    async fn one(&self, pair: u64, route: Route, first: bool, scheduled: Duration) {
        let Some(lane) = self.lanes.iter().find(|lane| lane.route == route) else { return };
        let cancelled = draw(self.settings.seed, pair, self.settings.cancel_share).cancelled;
        let cancel_after = cancelled.then_some(self.settings.cancel_after);
        let Some(prompt) = usize::try_from(pair).ok().and_then(|pair| pair.checked_rem(lane.requests.len())) else { return };
        // What waited for its turn when all was stopped is not sent any more.
        if *self.terms.stop.borrow() {
            return;
        }
        self.progress.sent();
        let ticket = Ticket { pair, route, first, scheduled, cancel_after };
        let request = lane.requests[prompt].of(self.settings.seed, self.settings.phase, pair);
        let record = call(&lane.transport, request, ticket, &self.terms).await;
        self.progress.ended(ended(&record));
        // The reader is there as long as the step is.
        let _ = self.sink.lock().unwrap_or_else(PoisonError::into_inner).send(record);
    }
}

/// What can be told of a record without reading its body.
fn ended(record: &Record) -> Ended {
    let success = record.head.as_ref().is_some_and(|head| head.parts.status.is_success());
    Ended {
        route: record.route,
        outcome: match record.end {
            End::Cancelled => Outcome::Cancelled,
            End::Whole if success => Outcome::Done,
            _ => Outcome::Failed,
        },
        chunks: record.chunks.len() as u64,
        first: record.chunks.first().map(|chunk| record.since_scheduled(chunk.at)),
        end: record.since_scheduled(record.ended),
    }
}
