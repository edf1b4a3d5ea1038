//! Sets requests off and waits for their ends: one step after another, on one thread that does nothing else.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
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
    values::ms,
};
use crate::transport::Transport;

/// How often the loop's own lateness is looked at.
const PROBE: Duration = Duration::from_millis(50);

/// Sends that are due and not yet seen to, at most.
const DUE: usize = 1024;

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
    /// How long a request may take in all.
    pub(super) limit: Duration,
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
    let terms = Terms { origin: Instant::now(), patience: settings.patience, limit: settings.limit, stop };
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
                    shared.one(pair, route, position == 0, (scheduled, scheduled)).await;
                }
            }
        });
    }
    while workers.join_next().await.is_some() {}
    false
}

/// Each request at its time, or as soon as there is a place among those under way; one that waits for a place for too long is never
/// sent, so that the step ends. The two of a pair are neighbours on the schedule.
async fn open(shared: &Arc<Shared>, times: impl Iterator<Item = Duration> + Send + 'static) -> bool {
    let permits = Arc::new(Semaphore::new(shared.settings.max_in_flight));
    let mut limited = false;
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
        let (number, route) = (pair.0, pair.1[position]);
        limited |= permits.available_permits() == 0;
        let patience = (scheduled + shared.settings.patience).saturating_sub(shared.terms.origin.elapsed());
        let permit = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            permit = permits.clone().acquire_owned() => permit.ok(),
            () = tokio::time::sleep(patience) => None,
        };
        let Some(permit) = permit else {
            shared.unsent(number, route, position == 0, scheduled);
            continue;
        };
        let ready = shared.terms.origin.elapsed();
        let shared = shared.clone();
        calls.spawn(async move {
            shared.one(number, route, position == 0, (scheduled, ready)).await;
            drop(permit);
        });
    }
    while calls.join_next().await.is_some() {}
    limited
}

/// Tells when each send is due. A thread, because the runtime's timers are a millisecond coarse. It ends with the times, or at
/// the first that nobody waits for; where sends wait, it waits with them, and their times stay what they are.
fn pace(origin: Instant, times: impl Iterator<Item = Duration> + Send + 'static) -> queue::Receiver<Duration> {
    let (due, dues) = queue::channel(DUE);
    thread::spawn(move || {
        for time in times {
            thread::sleep(time.saturating_sub(origin.elapsed()));
            if due.blocking_send(time).is_err() {
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
        let lag = ms(due.elapsed());
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

    /// Makes one request, which was due at this time and had a place among those under way at that.
    async fn one(&self, pair: u64, route: Route, first: bool, (scheduled, ready): (Duration, Duration)) {
        let Some(lane) = self.lanes.iter().find(|lane| lane.route == route) else { return };
        let cancelled = draw(self.settings.seed, pair, self.settings.cancel_share).cancelled;
        let cancel_after = cancelled.then_some(self.settings.cancel_after);
        let Some(prompt) = usize::try_from(pair).ok().and_then(|pair| pair.checked_rem(lane.requests.len())) else { return };
        // What waited for its turn when all was stopped is not sent any more.
        if *self.terms.stop.borrow() {
            return;
        }
        self.progress.sent();
        let ticket = Ticket { pair, route, first, scheduled, ready, cancel_after };
        let request = lane.requests[prompt].of(self.settings.seed, self.settings.phase, pair);
        let record = call(&lane.transport, request, ticket, &self.terms).await;
        self.keep(record);
    }

    /// Counts one as failed that was due and had no place for too long.
    fn unsent(&self, pair: u64, route: Route, first: bool, scheduled: Duration) {
        let now = self.terms.origin.elapsed();
        let record = Record::new(Ticket { pair, route, first, scheduled, ready: now, cancel_after: None }, now);
        self.progress.sent();
        self.keep(Record { end: End::Unsent, ..record });
    }

    fn keep(&self, record: Record) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::result::Arrivals;

    #[tokio::test]
    async fn what_finds_no_place_in_time_is_not_sent_and_counts_and_the_step_ends() {
        let transport = Transport::direct().expect("a client");
        let lane = Lane { route: Route::Direct, transport, requests: Vec::new() };
        let settings = Settings {
            goal: Goal::Requests(3),
            seed: 1,
            phase: 1,
            patience: Duration::from_millis(1),
            limit: Duration::from_secs(1),
            cancel_share: 0.0,
            cancel_after: 1,
            // So that there is never one, however fast the machine is.
            max_in_flight: 0,
        };
        let load = Load::Open { rate: 1000.0, arrivals: Arrivals::Constant };
        let ((_sender, stop), (sink, records)) = (watch::channel(false), mpsc::channel());
        let ran = step(&[Arc::new(lane)], &load, &settings, stop, &Arc::default(), sink).await;
        let found: Vec<_> =
            records.into_iter().map(|record| (record.scheduled.as_millis(), matches!(record.end, End::Unsent))).collect();
        assert_eq!((found, ran.limited), (vec![(0, true), (1, true), (2, true)], true));
    }
}
