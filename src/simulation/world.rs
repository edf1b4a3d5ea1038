//! What all tasks of a run share: what happened, and what must hold.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    dice,
    net::{CUTS, Wire, pair},
    plan::{Kind, Plan, Rules},
};
use crate::{driver::Session, server::simulated::House};

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    /// All of the answer.
    Whole,
    /// Its upstream failed, as it was to, behind all that came before.
    Failed,
    /// Its caller gave up.
    GivenUp,
    /// It was lost, and its caller told so.
    Lost,
}

/// A request as its upstream has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Job {
    pub(crate) called: bool,
    /// When the server read the REQUEST that it took, unless that came on an older way than the word that there is none.
    pub(crate) read: Option<Instant>,
    /// The call is over, since then.
    pub(crate) over: Option<Instant>,
    pub(crate) uploaded: u64,
    /// Nobody reads the request body any more, since then.
    pub(crate) unread: Option<Instant>,
    /// All of the request came.
    pub(crate) is_whole: bool,
}

/// A request as its caller has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) fate: Option<Fate>,
    pub(crate) ended: Option<Instant>,
    /// The caller was told that it may be repeated.
    pub(crate) retry_safe: bool,
    pub(crate) job: Job,
    /// What its programs have slept, all in all.
    pub(crate) slept: Duration,
}

pub(crate) struct State {
    pub(crate) asks: Vec<Ask>,
    /// Who serves, if anybody does.
    pub(crate) house: Option<Arc<House>>,
    /// All sessions of servers, and those of the client that were seen.
    pub(crate) sessions: Vec<Session>,
    pub(crate) clients: Vec<Session>,
    /// The last session that was told that nothing of a request is there, by its ID.
    pub(crate) gone: BTreeMap<[u8; 16], usize>,
    /// There was a session.
    pub(crate) reached: bool,
    pub(crate) cuts: usize,
    /// What happened when, as one number.
    trace: u64,
    /// The same for people, if they ask for it.
    told: bool,
}

pub(crate) struct World {
    pub(crate) rules: Rules,
    pub(crate) plans: Vec<Plan>,
    pub(crate) start: Instant,
    /// Tasks of callers and upstreams that have not ended.
    pub(crate) working: AtomicUsize,
    state: Mutex<State>,
}

/// Somebody works, until this is dropped.
pub(crate) struct Working(Arc<World>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Relaxed);
    }
}

impl World {
    pub(crate) fn new(kind: Kind, told: bool) -> Arc<Self> {
        let rules = Rules::draw(kind);
        let plans = rules.plans();
        let state = State {
            asks: vec![Ask::default(); plans.len()],
            house: None,
            sessions: Vec::new(),
            clients: Vec::new(),
            gone: BTreeMap::new(),
            reached: false,
            cuts: 0,
            trace: 0,
            told,
        };
        let world = Self { rules, plans, start: Instant::now(), working: AtomicUsize::new(0), state: Mutex::new(state) };
        if told {
            println!("{:#?}\n{:#?}", world.rules, world.plans);
        }
        Arc::new(world)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A check that fails is found at once, whoever made it.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn work(self: &Arc<Self>) -> Working {
        self.working.fetch_add(1, Relaxed);
        Working(self.clone())
    }

    pub(crate) fn ask<T>(&self, ask: usize, change: impl FnOnce(&mut Ask) -> T) -> T {
        change(&mut self.state().asks[ask])
    }

    /// A program has nothing to do for so long.
    pub(crate) async fn pause(&self, ask: usize, time: Duration) {
        if time > Duration::ZERO {
            self.ask(ask, |ask| ask.slept += time + Duration::from_millis(1));
            sleep(time).await;
        }
    }

    pub(crate) fn note(&self, what: &str, ask: usize, number: u64) {
        let at = self.start.elapsed();
        let mut state = self.state();
        let at_number = u64::try_from(at.as_micros()).expect("it is not long");
        for number in what.bytes().map(u64::from).chain([at_number, ask as u64, number]) {
            state.trace = (state.trace.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        if state.told {
            println!("{:10.3} {what} {ask} {number}", at.as_secs_f64());
        }
    }

    /// How often it was cut, and all that happened.
    pub(crate) fn came_of(&self) -> (usize, u64) {
        let state = self.state();
        (state.cuts, state.trace)
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.start.elapsed() >= self.rules.weather.calm
    }

    /// A client connects.
    pub(crate) async fn dial(self: Arc<Self>) -> io::Result<Wire> {
        sleep(self.rules.weather.latency * 2).await;
        let weather = self.rules.weather;
        let (harm, house) = {
            let state = self.state();
            (state.reached && !self.is_calm(), state.house.clone())
        };
        if harm && dice::one_in(10) {
            // Nobody answers.
            sleep(dice::millis(30_000)).await;
        }
        let Some(house) = house.filter(|_| !harm || !dice::one_in(10)) else {
            self.note("refused", 0, 0);
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let at = (harm && dice::one_in(2)).then(|| (fastrand::usize(..2), dice::size(100_000)));
        let ([near, far], scissors) = pair(weather, at, self.start);
        self.note("connected", 0, 0);
        house.admit(far);
        let world = Arc::downgrade(&self);
        tokio::spawn(async move {
            loop {
                let Some(time) = world.upgrade().map(|world| dice::millis(world.rules.cuts * 2)) else { return };
                sleep(time).await;
                let Some(world) = world.upgrade().filter(|world| !world.is_calm()) else { return };
                if world.state().reached {
                    if !scissors.cut(dice::one_of(&CUTS)) {
                        return;
                    }
                    world.note("cut", 0, 0);
                    world.state().cuts += 1;
                }
            }
        });
        Ok(near)
    }

    /// What must hold all along.
    pub(crate) fn check(&self) {
        let state = self.state();
        let keep = self.rules.hold.map_or(0, |hold| hold.keep);
        let all = self.plans.len();
        let credit = usize::try_from(self.rules.credit.max(self.rules.upload_credit)).expect("it is small");
        for session in state.sessions.iter().chain(&state.clients) {
            let (held, slots) = (session.held(), session.slots());
            // What was held of a request comes with it into the session where it goes on.
            let each = 300_000 + credit + keep;
            let bound = crate::proto::limits::UNARRIVED + (slots.min(all) + 1) * each;
            assert!(held <= bound, "a session with {slots} requests holds {held} of {bound} bytes");
        }
    }

    /// What must hold when all callers and upstreams have ended.
    pub(crate) fn check_ends(&self) {
        let state = self.state();
        let calm = self.start + self.rules.weather.calm;
        // They may wait for each other.
        let others = if self.rules.exchanges < 100 { state.asks.iter().map(|ask| ask.slept).sum() } else { Duration::ZERO };
        // The requests share what the network carries.
        let all = self.plans.iter().map(Plan::bytes).sum::<u64>();
        let shared = u32::try_from(all / self.rules.weather.room as u64).expect("it is small");
        for (number, (ask, plan)) in state.asks.iter().zip(&self.plans).enumerate() {
            let (fate, ended) = (ask.fate.expect("it has ended"), ask.ended.expect("it has ended"));
            if ask.retry_safe {
                assert!(!ask.job.is_whole, "request {number} may be repeated, and its upstream had all of it");
            }
            let started = self.start + plan.starts;
            let trips = u32::try_from(20 + plan.bytes() / 4096).expect("it is small");
            let latency = self.rules.weather.latency + Duration::from_millis(2);
            let network = latency * (2 * trips + shared);
            match self.rules.kind {
                Kind::Smooth => {
                    if let (Some(over), Some(unread)) = (ask.job.over, ask.job.unread) {
                        let after = unread.saturating_duration_since(over);
                        assert!(after <= Duration::from_secs(1), "the upload of {number} is waited for {after:?} too long");
                    }
                    let took = ended - started;
                    let budget = ask.slept + network + Duration::from_secs(1);
                    assert!(fate == Fate::GivenUp || took <= budget, "request {number} took {took:?} of {budget:?}");
                    if let (Fate::GivenUp, Some(over)) = (fate, ask.job.over) {
                        let after = over.saturating_duration_since(ended);
                        assert!(
                            after <= Duration::from_secs(1),
                            "its upstream heard {after:?} later that {number} was given up"
                        );
                    }
                }
                Kind::Strict => {
                    let budget = ask.slept + others + network * 3 + Duration::from_mins(4);
                    let took = ended.saturating_duration_since(calm.max(started));
                    assert!(
                        fate == Fate::GivenUp || took <= budget,
                        "request {number} took {took:?} of {budget:?} without harm"
                    );
                    // Of one that arrives behind the word that it did not, the client may know nothing.
                    let known = ask.job.read.is_some_and(|read| read <= ended);
                    if let (Fate::GivenUp, Some(over), true) = (fate, ask.job.over, known) {
                        let after = over.saturating_duration_since(ended.max(calm));
                        assert!(
                            after <= Duration::from_mins(4),
                            "its upstream heard {after:?} later that {number} was given up"
                        );
                    }
                }
                Kind::Harsh => {}
            }
        }
    }

    /// How many came to each end: in the order of [`Fate`].
    pub(crate) fn fates(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for ask in &self.state().asks {
            let name = match ask.fate {
                Some(Fate::Whole) => "whole",
                Some(Fate::Failed) => "failed",
                Some(Fate::GivenUp) => "given up",
                Some(Fate::Lost) => "lost",
                None => "open",
            };
            *counts.entry(name).or_default() += 1;
        }
        counts
    }
}
