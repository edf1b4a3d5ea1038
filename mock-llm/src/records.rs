//! What an instance remembers and counts.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Version;
use http::request::Parts;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::files::Files;
use crate::script::Script;

/// How many requests are remembered; older ones are forgotten, but stay counted.
pub const KEPT_REQUESTS: usize = 4096;
/// How many bytes of each request's body are remembered.
pub const KEPT_BODY: usize = 64 * 1024;
/// How many names of attempts are remembered; beyond, all are forgotten.
const KEPT_ATTEMPTS: usize = 4096;
/// Permits given at once at most, so that no sum of them overflows a semaphore.
const MOST_PERMITS: usize = 1 << 28;

/// Counters of one instance. Control endpoints are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Requests whose head arrived.
    pub requests: u64,
    /// Requests whose body arrived to its end.
    pub uploaded: u64,
    /// Exchanges under way.
    pub open: u64,
    /// Callers that went away before the response body was wholly handed to the transport.
    pub hung_up: u64,
    /// Exchanges that ended as scripted; scripted cuts are among them.
    pub completed: u64,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recorded {
    /// The method, as sent.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The HTTP version.
    pub version: Version,
    /// When its head arrived, since the instance's start.
    pub arrived: Duration,
    /// Headers in the order of their first appearance, repeats of a name together, names in lower
    /// case (the form in which the HTTP library keeps them).
    pub headers: Vec<(String, Vec<u8>)>,
    /// Bytes of the body so far.
    pub body_len: u64,
    /// SHA-256 of the body; zeros until the body ended or broke off.
    pub body_sha256: [u8; 32],
    /// The body, up to [`KEPT_BODY`] bytes; empty until the body ended or broke off.
    pub body: Bytes,
    /// Whether the body arrived to its end.
    pub body_complete: bool,
}

impl Recorded {
    fn new(head: &Parts, arrived: Duration) -> Self {
        Self {
            method: head.method.to_string(),
            path: path(head),
            version: head.version,
            arrived,
            headers: header_list(head),
            body_len: 0,
            body_sha256: [0; 32],
            body: Bytes::new(),
            body_complete: false,
        }
    }

    /// The first value of the header `name` (lower case), if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    }
}

pub(crate) fn path(head: &Parts) -> String {
    head.uri.path_and_query().map_or_else(|| "/".into(), ToString::to_string)
}

pub(crate) fn header_list(head: &Parts) -> Vec<(String, Vec<u8>)> {
    let pairs = head.headers.iter();
    pairs.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// The state that all connections of an instance share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) script: Script,
    /// Cancelled when the instance stops: exchanges cut by that are no hang-ups.
    pub(crate) stop: CancellationToken,
    start: Instant,
    stats: watch::Sender<Stats>,
    ring: Mutex<Ring>,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    attempts: Mutex<HashMap<String, u64>>,
    files: Mutex<Files>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Ring {
    /// Number of the oldest request kept.
    first: u64,
    kept: VecDeque<Recorded>,
}

impl State {
    pub(crate) fn new(script: Script) -> Self {
        Self {
            script,
            stop: CancellationToken::new(),
            start: Instant::now(),
            stats: watch::Sender::default(),
            ring: Mutex::default(),
            gates: Mutex::default(),
            attempts: Mutex::default(),
            files: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        self.stats.send_modify(change);
    }

    pub(crate) fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Stats> {
        self.stats.subscribe()
    }

    /// Remembers a request and gives its number.
    pub(crate) fn record(&self, head: &Parts) -> u64 {
        let recorded = Recorded::new(head, self.start.elapsed());
        let mut ring = lock(&self.ring);
        if ring.kept.len() == KEPT_REQUESTS {
            ring.kept.pop_front();
            ring.first += 1;
        }
        ring.kept.push_back(recorded);
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes the body of request `number`, unless that is forgotten already.
    pub(crate) fn note_body(&self, number: u64, hash: Sha256, length: u64, body: Bytes, end: bool) {
        let digest = hash.finalize().into();
        {
            let mut ring = lock(&self.ring);
            let place = number.checked_sub(ring.first).and_then(|place| usize::try_from(place).ok());
            if let Some(recorded) = place.and_then(|place| ring.kept.get_mut(place)) {
                recorded.body_len = length;
                recorded.body_sha256 = digest;
                recorded.body = body;
                recorded.body_complete = end;
            }
        }
        if end {
            self.count(|stats| stats.uploaded += 1);
        }
    }

    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        lock(&self.ring).kept.iter().cloned().collect()
    }

    /// Counts an attempt under `key`, and gives how many there were before.
    pub(crate) fn attempt(&self, key: &str) -> u64 {
        let mut attempts = lock(&self.attempts);
        if attempts.len() >= KEPT_ATTEMPTS && !attempts.contains_key(key) {
            attempts.clear();
        }
        let count = attempts.entry(key.to_owned()).or_default();
        *count += 1;
        *count - 1
    }

    pub(crate) fn files(&self) -> MutexGuard<'_, Files> {
        lock(&self.files)
    }

    pub(crate) fn gate(&self, name: &str) -> Arc<Semaphore> {
        let mut gates = lock(&self.gates);
        if let Some(gate) = gates.get(name) {
            return gate.clone();
        }
        let gate = Arc::new(Semaphore::new(0));
        gates.insert(name.to_owned(), gate.clone());
        gate
    }

    pub(crate) fn release(&self, gate: &str, permits: usize) {
        self.gate(gate).add_permits(permits.min(MOST_PERMITS));
    }
}

/// A panic elsewhere leaves these maps whole, so it is no reason to fail here as well.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{KEPT_REQUESTS, Script, State};
    use bytes::Bytes;
    use http::Request;
    use sha2::Sha256;

    #[test]
    fn old_requests_are_forgotten_and_their_late_bodies_touch_no_other() {
        let state = State::new(Script::default());
        let record = |path: String| {
            let mut request = Request::new(());
            *request.uri_mut() = path.parse().expect("a path");
            state.record(&request.into_parts().0)
        };
        for i in 0..KEPT_REQUESTS + 2 {
            assert_eq!(record(format!("/{i}")), i as u64);
        }
        let note = |number, body| {
            let body = Bytes::from_static(body);
            state.note_body(number, Sha256::default(), 3, body, true);
        };
        note(1, b"old");
        note(2, b"new");
        let kept = state.recorded();
        assert_eq!(kept.len(), KEPT_REQUESTS);
        assert_eq!((kept[0].path.as_str(), &kept[0].body[..]), ("/2", &b"new"[..]));
        assert!(kept[1..].iter().all(|request| request.body.is_empty()));
        assert_eq!(state.stats().uploaded, 2);
    }
}
