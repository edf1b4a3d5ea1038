//! Warm sessions, and how requests are spread over them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::{
    Builder, Error,
    connect::{Ready, connect},
};

/// Requests under way in a session beyond which the next one opens another: about where one core's sealing becomes the limit.
const SPREAD: usize = 64;
/// How long before the server would end an idle session it is given up: a request must not meet the server's word on its way.
const RETIRE: Duration = Duration::from_secs(10);
/// How long after a failure no second session is tried.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Pool {
    settings: Builder,
    known: Mutex<Known>,
    /// One connects at a time, the others wait for what comes of it.
    connecting: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Known {
    /// Also those that take nothing new, as long as something is under way there.
    sessions: Vec<Ready>,
    /// How many attempts to connect have failed, and the last of them.
    failures: (u64, Option<(Instant, Error)>),
    closed: bool,
}

impl Known {
    /// The least busy session that takes requests, and how busy it is.
    fn least_busy(&self) -> Option<(usize, &Ready)> {
        let usable = self.sessions.iter().filter(|ready| !ready.session.is_draining());
        usable.map(|ready| (ready.session.open_exchanges(), ready)).min_by_key(|(load, _)| *load)
    }

    /// Forgets what is over, and ends what has been idle for nearly as long as the server allows.
    fn tidy(&mut self) {
        self.sessions.retain(|ready| {
            let allowed = Duration::from_secs(ready.hello.idle);
            let allowed = allowed.saturating_sub(RETIRE.min(allowed / 2));
            let idle = ready.session.idle_for().is_some_and(|idle| idle >= allowed);
            if idle {
                ready.session.go_away(None, "");
            }
            !idle && ready.session.closed().is_none()
        });
    }

    /// Whether another session would help, and can be had.
    fn wants_another(&self, load: usize, most: usize) -> bool {
        let usable = self.sessions.iter().filter(|ready| !ready.session.is_draining()).count();
        let failed_lately = self.failures.1.as_ref().is_some_and(|(when, _)| when.elapsed() < PAUSE);
        load >= SPREAD && usable < most && !failed_lately
    }

    fn fail(&mut self, error: Error) -> Error {
        let stopping = self.sessions.iter().any(|ready| ready.session.is_stopping());
        let error = if stopping { Error::stopping() } else { error };
        self.failures = (self.failures.0 + 1, Some((Instant::now(), error.clone())));
        error
    }
}

impl Pool {
    pub(super) fn new(settings: Builder) -> Self {
        Self { settings, known: Mutex::default(), connecting: tokio::sync::Mutex::default(), tasks: TaskTracker::new() }
    }

    pub(super) const fn settings(&self) -> &Builder {
        &self.settings
    }

    pub(super) const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session that is up, a new one if there is none. Where there is one that is busy, it serves, while another is opened
    /// beside it.
    pub(super) async fn session(self: &Arc<Self>) -> Result<Ready, Error> {
        if let Some(ready) = self.pick()? {
            return Ok(ready);
        }
        let before = self.known().failures.0;
        let _one = self.connecting.lock().await;
        if let Some(ready) = self.pick()? {
            return Ok(ready);
        }
        if let (after, Some((_, error))) = &self.known().failures
            && *after != before
        {
            return Err(error.clone());
        }
        self.connect().await
    }

    fn pick(self: &Arc<Self>) -> Result<Option<Ready>, Error> {
        let mut known = self.known();
        if known.closed {
            return Err(Error::closed());
        }
        known.tidy();
        let Some((load, ready)) = known.least_busy() else { return Ok(None) };
        let ready = ready.clone();
        if known.wants_another(load, self.settings.sessions) {
            let pool = self.clone();
            self.tasks.spawn(async move {
                // Whoever connects already does it for all.
                if let Ok(_one) = pool.connecting.try_lock() {
                    let _ = pool.connect().await;
                }
            });
        }
        Ok(Some(ready))
    }

    /// Opens a session. `connecting` must be held.
    async fn connect(&self) -> Result<Ready, Error> {
        let outcome = connect(&self.settings, &self.tasks).await;
        let mut known = self.known();
        match outcome {
            Ok(ready) if known.closed => {
                ready.session.go_away(None, "");
                Err(Error::closed())
            }
            Ok(ready) => {
                known.sessions.push(ready.clone());
                Ok(ready)
            }
            Err(error) => Err(known.fail(error)),
        }
    }

    fn go_away(&self) {
        let mut known = self.known();
        known.closed = true;
        for ready in known.sessions.drain(..) {
            ready.session.go_away(None, "");
        }
    }

    pub(super) async fn close(&self, limit: Duration) {
        self.go_away();
        self.tasks.close();
        let _ = tokio::time::timeout(limit, self.tasks.wait()).await;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.go_away();
    }
}
