//! How far a run is: written by the load, read by whoever shows it.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    result::{Load, Outcome, Route},
    stats::{known, quantile},
};

/// Requests that the running percentiles are of.
const RECENT: usize = 512;

/// Shared between the load and a renderer, which takes a [`Snapshot`] as often as it likes (10 times a second is enough).
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    step: usize,
    steps: usize,
    load: Option<Load>,
    goal: Goal,
    began: Option<Instant>,
    done: u64,
    failed: u64,
    cancelled: u64,
    in_flight: u64,
    chunks: u64,
    routes: Vec<Recent>,
}

/// The last requests of a route.
#[derive(Debug, Clone)]
struct Recent {
    route: Route,
    requests: u64,
    first: VecDeque<Duration>,
    end: VecDeque<Duration>,
}

/// How far the run is at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) phase: Phase,
    /// Step under way, from 0, and how many there are.
    pub(crate) step: usize,
    pub(crate) steps: usize,
    /// Absent before the first step.
    pub(crate) load: Option<Load>,
    /// What ends the phase.
    pub(crate) goal: Goal,
    /// Since the phase began.
    pub(crate) elapsed: Duration,
    /// Requests of this phase, both routes together.
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) in_flight: u64,
    /// Pieces of bodies in this phase.
    pub(crate) chunks: u64,
    /// Of the recent requests of each route; empty before the first.
    pub(crate) routes: Vec<Running>,
}

/// What is going on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connections and servers are set up.
    #[default]
    SettingUp,
    /// Requests that are not measured.
    WarmUp,
    Measuring,
    /// All is sent and received; answers are read and figures worked out.
    WorkingOut,
    Over,
}

/// What ends a phase.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Goal {
    #[default]
    Unknown,
    /// So many requests, both routes together.
    Requests(u64),
    /// So long; requests under way are then waited for.
    Duration(Duration),
}

/// Percentiles of the last few hundred requests of one route. Bodies are not read while they come, so the first token is
/// here the first piece of the body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Running {
    pub(crate) route: Route,
    pub(crate) requests: u64,
    /// p50 and p99 of the time to the first piece; absent if there are too few for it.
    pub(crate) first: [Option<Duration>; 2],
    /// The same of the time to the end.
    pub(crate) end: [Option<Duration>; 2],
}

/// A request that ended, as far as progress goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) route: Route,
    pub(crate) outcome: Outcome,
    pub(crate) chunks: u64,
    /// From the scheduled send to the first piece.
    pub(crate) first: Option<Duration>,
    /// From the scheduled send to the end.
    pub(crate) end: Duration,
}

impl Progress {
    /// So many steps there will be.
    pub(crate) fn steps(&self, steps: usize) {
        self.with(|state| state.steps = steps);
    }

    /// A phase begins; counts begin at zero with it.
    pub(crate) fn enter(&self, phase: Phase, step: usize, load: Option<Load>, goal: Goal) {
        self.with(|state| {
            let steps = state.steps;
            *state = State { phase, step, steps, load, goal, began: Some(Instant::now()), ..State::default() };
        });
    }

    /// Whether nothing is left to be measured: of the last step, too, all is sent and received.
    pub(crate) fn is_measured(&self) -> bool {
        self.with(|state| match state.phase {
            Phase::SettingUp | Phase::WarmUp | Phase::Measuring => false,
            Phase::WorkingOut => state.step + 1 >= state.steps,
            Phase::Over => true,
        })
    }

    /// A request was sent.
    pub(crate) fn sent(&self) {
        self.with(|state| state.in_flight += 1);
    }

    /// A request that was sent has ended.
    pub(crate) fn ended(&self, ended: Ended) {
        self.with(|state| {
            state.in_flight = state.in_flight.saturating_sub(1);
            state.chunks += ended.chunks;
            match ended.outcome {
                Outcome::Done => state.done += 1,
                Outcome::Failed => return state.failed += 1,
                Outcome::Cancelled => return state.cancelled += 1,
            }
            let at = state.routes.iter().position(|recent| recent.route == ended.route).unwrap_or_else(|| {
                let (first, end) = (VecDeque::new(), VecDeque::new());
                state.routes.push(Recent { route: ended.route, requests: 0, first, end });
                state.routes.len() - 1
            });
            let recent = &mut state.routes[at];
            recent.requests += 1;
            for (times, time) in [(&mut recent.first, ended.first), (&mut recent.end, Some(ended.end))] {
                times.extend(time);
                if times.len() > RECENT {
                    times.pop_front();
                }
            }
        });
    }

    /// How far it is now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (snapshot, recent) = self.with(|state| {
            let elapsed = state.began.map_or(Duration::ZERO, |began| began.elapsed());
            let snapshot = Snapshot {
                phase: state.phase,
                step: state.step,
                steps: state.steps,
                load: state.load.clone(),
                goal: state.goal,
                elapsed,
                done: state.done,
                failed: state.failed,
                cancelled: state.cancelled,
                in_flight: state.in_flight,
                chunks: state.chunks,
                routes: Vec::new(),
            };
            (snapshot, state.routes.clone())
        });
        // Sorted without the lock, for which the load would wait.
        let mut routes: Vec<_> = recent.iter().map(Recent::running).collect();
        routes.sort_by_key(|running| running.route);
        Snapshot { routes, ..snapshot }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Recent {
    fn running(&self) -> Running {
        let two = |times: &VecDeque<Duration>| {
            let mut sorted: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
            sorted.sort_by(f64::total_cmp);
            [0.5, 0.99].map(|share| {
                let time = quantile(&sorted, share).map(Duration::from_secs_f64);
                known(share, sorted.len() as u64, time).flatten()
            })
        };
        Running { route: self.route, requests: self.requests, first: two(&self.first), end: two(&self.end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_phase_and_failures_have_no_times() {
        let progress = Progress::default();
        progress.steps(2);
        progress.enter(Phase::WarmUp, 0, None, Goal::Requests(1));
        progress.sent();
        let ended = |outcome, millis| Ended {
            route: Route::Proxied,
            outcome,
            chunks: 3,
            first: Some(Duration::from_millis(1)),
            end: Duration::from_millis(millis),
        };
        progress.ended(ended(Outcome::Done, 9));
        progress.enter(Phase::Measuring, 1, Some(Load::Closed { concurrency: 4 }), Goal::Requests(4));
        (0..4).for_each(|_| progress.sent());
        progress.ended(ended(Outcome::Done, 2));
        progress.ended(ended(Outcome::Failed, 100));
        progress.ended(ended(Outcome::Cancelled, 100));
        let snapshot = progress.snapshot();
        assert_eq!((snapshot.phase, snapshot.step, snapshot.steps), (Phase::Measuring, 1, 2));
        assert_eq!((snapshot.done, snapshot.failed, snapshot.cancelled, snapshot.in_flight), (1, 1, 1, 1));
        assert_eq!(snapshot.chunks, 9);
        assert_eq!(snapshot.routes.len(), 1);
        assert_eq!(snapshot.routes[0].end, [Some(Duration::from_millis(2)), None]);
    }

    #[test]
    fn all_is_measured_when_the_last_step_is_worked_out() {
        let progress = Progress::default();
        assert!(!progress.is_measured());
        progress.steps(2);
        let phases =
            [(Phase::WarmUp, 0), (Phase::Measuring, 0), (Phase::WorkingOut, 0), (Phase::Measuring, 1), (Phase::WorkingOut, 1)];
        let measured = phases.map(|(phase, step)| {
            progress.enter(phase, step, None, Goal::Unknown);
            progress.is_measured()
        });
        assert_eq!(measured, [false, false, false, false, true]);
        progress.enter(Phase::Over, 2, None, Goal::Unknown);
        assert!(progress.is_measured());
    }

    #[test]
    fn running_percentiles_forget_what_is_old() {
        let progress = Progress::default();
        for millis in 0..1000 {
            let end = Duration::from_millis(if millis < 600 { 1 } else { 5 });
            progress.ended(Ended { route: Route::Direct, outcome: Outcome::Done, chunks: 0, first: None, end });
        }
        let running = &progress.snapshot().routes[0];
        assert_eq!((running.requests, running.end[0]), (1000, Some(Duration::from_millis(5))));
        assert_eq!(running.first, [None; 2]);
    }
}
