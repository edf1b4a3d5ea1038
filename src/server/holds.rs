//! Requests by their IDs: each reaches its upstream once, and its client can come back for it from another session (protocol.md,
//! section 7).

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use rustc_hash::FxHashSet;
use tokio::time::{Duration, Instant};

use super::sessions::Objection;
use crate::{
    driver::{Exchange, Session},
    proto::{Code, Fault, KeyId, frame::Notice},
};

/// How long an ID is remembered at least after its request, unless as many as [`REMEMBERED`] come meanwhile. Nobody comes back for one
/// as late.
const MEMORY: Duration = Duration::from_mins(5);
/// What each request that is held may have of its answer in any case, bytes.
const SHARE_MIN: usize = 64 * 1024;
/// How many IDs are remembered at least. Each takes some 10 to 20 bytes, of twice as many.
const REMEMBERED: usize = 1 << 19;

/// A client's key, and the ID that it gave a request.
pub(super) type Id = (KeyId, [u8; 16]);

/// The requests that are known.
#[derive(Debug, Default)]
pub(super) struct Holds {
    state: Mutex<State>,
    hasher: RandomState,
    counts: Counts,
}

/// For the metrics.
#[derive(Debug, Default)]
struct Counts {
    /// Requests that went on in another session.
    resumed: AtomicU64,
    /// Requests of which a client that came back could have nothing.
    gone: AtomicU64,
    /// Requests that are held without a session, and the cost of what is held of them.
    exchanges: AtomicUsize,
    held: AtomicUsize,
}

#[derive(Debug)]
struct State {
    /// Those for which somebody may come back, or whose answer is on its way.
    known: HashMap<Id, Weak<Exchange>>,
    /// Hashes of the IDs of those that were here. At random, one in 2^44 new ones is taken for an old one.
    seen: FxHashSet<u64>,
    /// Those before them.
    seen_before: FxHashSet<u64>,
    /// When `seen` was begun.
    since: Instant,
    /// Sessions that are over and of which something is held, the oldest first.
    cut: VecDeque<(KeyId, Session)>,
    /// Nothing is held any more.
    stopped: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            known: HashMap::default(),
            seen: FxHashSet::default(),
            seen_before: FxHashSet::default(),
            since: Instant::now(),
            cut: VecDeque::default(),
            stopped: false,
        }
    }
}

impl State {
    /// Forgets the oldest IDs, if it is time to.
    fn turn(&mut self, now: Instant) {
        if now.duration_since(self.since) >= MEMORY || self.seen.len() >= REMEMBERED {
            self.seen_before = std::mem::take(&mut self.seen);
            self.since = now;
        }
    }
}

impl Holds {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins, and is known until what is given is dropped.
    ///
    /// # Errors
    /// If one with this ID was here before: the upstream is not called twice for it.
    pub(super) fn register(self: &Arc<Self>, id: Id, exchange: &Arc<Exchange>) -> Result<Registered, Notice> {
        let hash = self.hasher.hash_one(id);
        let mut state = self.lock();
        state.turn(Instant::now());
        if state.known.contains_key(&id) || state.seen.contains(&hash) || state.seen_before.contains(&hash) {
            let text = "a request with this ID was here before; its answer can be had with RESUME, if at all";
            return Err(Notice::new(Code::DuplicateRequest, Fault::Client, text));
        }
        state.known.insert(id, Arc::downgrade(exchange));
        Ok(Registered { holds: self.clone(), id, hash })
    }

    /// The request with this ID, if it is known.
    pub(super) fn find(&self, id: Id) -> Option<Arc<Exchange>> {
        self.lock().known.get(&id)?.upgrade()
    }

    /// A client came back; whether it goes on.
    pub(super) fn came_back(&self, resumed: bool) {
        let count = if resumed { &self.counts.resumed } else { &self.counts.gone };
        count.fetch_add(1, Relaxed);
    }

    /// A session is over. What is held of it is held from now on for as long as it may be, within `most` bytes for all.
    pub(super) fn cut(&self, key_id: KeyId, session: &Session, most: usize) {
        let stopped = {
            let mut state = self.lock();
            if !state.stopped {
                state.cut.push_back((key_id, session.clone()));
            }
            state.stopped
        };
        session.expire(stopped);
        // The others have theirs at the next review: after an outage there may be many, one after another.
        let mine = session.count_held();
        session.share(share(most, self.counts.exchanges.fetch_add(mine, Relaxed) + mine));
    }

    /// Looks at all that is held, in at most so many bytes: ends what has been for long enough, what `objection` has something against, and
    /// the oldest of what is too much.
    pub(super) fn review(&self, most: usize, mut objection: impl FnMut(KeyId) -> Option<Objection>) {
        let cut: Vec<_> = self.lock().cut.iter().cloned().collect();
        let mut held = Vec::new();
        for (key_id, session) in cut {
            session.expire(objection(key_id).is_some());
            held.push((session.held(), session));
        }
        let count = held.iter().map(|(_, session)| session.count_held()).sum();
        self.counts.exchanges.store(count, Relaxed);
        for (_, session) in &held {
            session.share(share(most, count));
        }
        let mut sum: usize = held.iter().map(|(bytes, _)| bytes).sum();
        for (bytes, session) in held {
            if sum <= most {
                break;
            }
            session.expire(true);
            sum -= bytes;
        }
        self.counts.held.store(sum, Relaxed);
        self.lock().cut.retain(|(_, session)| session.holds_any());
    }

    /// The server begins to serve.
    pub(super) fn start(&self) {
        self.lock().stopped = false;
    }

    /// Nobody comes back any more: the server stops.
    pub(super) fn stop(&self) {
        let cut = {
            let mut state = self.lock();
            state.stopped = true;
            std::mem::take(&mut state.cut)
        };
        for (_, session) in cut {
            session.expire(true);
        }
        self.counts.held.store(0, Relaxed);
    }

    /// Cost of what is held of requests without a session, when it was looked at last.
    pub(super) fn held(&self) -> usize {
        self.counts.held.load(Relaxed)
    }

    /// How many requests are known.
    #[cfg(all(test, feature = "client"))]
    pub(super) fn known(&self) -> usize {
        self.lock().known.len()
    }

    /// How often a client came back for a request: and went on with it, and could not.
    pub(super) fn returns(&self) -> (u64, u64) {
        (self.counts.resumed.load(Relaxed), self.counts.gone.load(Relaxed))
    }
}

/// What each of so many requests that are held may have of so many bytes: then none has to end because there is too much.
fn share(most: usize, count: usize) -> usize {
    (most / count.max(1)).max(SHARE_MIN)
}

/// A request that is known.
#[derive(Debug)]
pub(super) struct Registered {
    holds: Arc<Holds>,
    id: Id,
    /// That by which it is remembered.
    hash: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.holds.lock();
        state.known.remove(&self.id);
        state.seen.insert(self.hash);
    }
}
