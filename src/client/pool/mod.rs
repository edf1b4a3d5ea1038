//! Warm sessions, and how requests are spread over them.

mod back;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::{
    Builder, Error,
    backoff::{BACKOFF, BACKOFF_WAITED_FOR, BACKOFF_WARM, Failures, backoff, jitter},
    connect::{ProxyUrl, Ready, Wires, connect},
};
use crate::driver::Exchange;

/// Requests under way in a session beyond which the next one opens another: about where one core's sealing becomes the
/// limit.
const SPREAD: usize = 64;
/// How long before the server would end an idle session it is given up: a request must not meet the server's word on its
/// way.
const RETIRE: Duration = Duration::from_secs(10);
/// How long after a failure no second session is tried.
const PAUSE: Duration = Duration::from_secs(5);

/// Which session is wanted.
struct Want<'a> {
    /// How long it is waited for.
    patience: Duration,
    /// Where another one is opened, if not where all are.
    route: Option<&'a ProxyUrl>,
    /// Of those that are up, these will do.
    fits: &'a (dyn Fn(&Ready) -> bool + Sync),
    /// And these are better.
    prefers: &'a (dyn Fn(&Ready) -> bool + Sync),
    /// There was one to the server that is meant: what says otherwise without its keys, as the portal of a network does, proves nothing.
    sure: bool,
}

impl Want<'_> {
    /// Any, waited for for so long.
    const fn any(patience: Duration) -> Self {
        Self { patience, route: None, fits: &|_| true, prefers: &|_| true, sure: false }
    }

    /// Whether another attempt may come to something else than this.
    fn outlasts(&self, error: &Error) -> bool {
        !self.patience.is_zero() && (error.may_pass() || (self.sure && !error.is_proven()))
    }
}

/// The sessions of a client and its clones. They end when it is dropped, and so does all that works for it.
#[derive(Debug)]
pub(super) struct Pool(Arc<Inner>);

/// What tasks hold as well.
#[derive(Debug)]
struct Inner {
    settings: Builder,
    known: Mutex<Known>,
    /// One connects at a time, the others wait for what comes of it.
    connecting: tokio::sync::Mutex<()>,
    /// Told when a session opens or ends, and when there will be no more.
    changed: Arc<Notify>,
    /// Told when a session takes another request.
    free: Arc<Notify>,
    /// The moment that all sessions call zero: exchanges go from one to another.
    epoch: Instant,
    /// Ends the tasks that connect.
    over: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Known {
    /// Also those that take nothing new, as long as something is under way there.
    sessions: Vec<Ready>,
    failures: Failures,
    /// There was a session once.
    reached: bool,
    warmer: Option<JoinHandle<Option<()>>>,
    closed: bool,
}

impl Known {
    /// The least busy session that takes requests, and how busy it is.
    fn least_busy(&self, want: &Want<'_>) -> Option<(usize, &Ready)> {
        let usable = self.sessions.iter().filter(|ready| !ready.session.is_draining() && (want.fits)(ready));
        let loads = usable.map(|ready| (ready.session.open_exchanges(), ready));
        loads.min_by_key(|(load, ready)| (!(want.prefers)(ready), *load))
    }

    /// Forgets what is over, and ends what has been idle for nearly as long as the server allows.
    fn tidy(&mut self) {
        self.sessions.retain(|ready| {
            let idle = left(ready).is_zero();
            if idle {
                ready.session.go_away(None, "");
            }
            !idle && ready.session.closed().is_none()
        });
    }

    /// Whether another session would help, and can be had.
    fn wants_another(&self, most: usize) -> bool {
        let Some((load, _)) = self.least_busy(&Want::any(Duration::ZERO)) else { return false };
        let usable = self.sessions.iter().filter(|ready| !ready.session.is_draining()).count();
        let failed_lately = self.failures.last.as_ref().is_some_and(|(when, _)| when.elapsed() < PAUSE);
        load >= SPREAD && usable < most && !failed_lately
    }

    fn fail(&mut self, error: Error) -> Error {
        let stopping = error.may_pass() && self.sessions.iter().any(|ready| ready.session.is_stopping());
        let error = if stopping { Error::stopping() } else { error };
        // Where there was a proxy before, silence is an outage, and not another program.
        let passing = error.may_pass() || (self.reached && error.is_silence());
        let error = error.passing_if(passing);
        self.failures.add(error.clone());
        error
    }
}

/// How much longer a session may be idle; not zero for one that is not.
fn left(ready: &Ready) -> Duration {
    let allowed = Duration::from_secs(ready.hello.idle);
    let allowed = allowed.saturating_sub(RETIRE.min(allowed / 2));
    ready.session.idle_for().map_or(allowed.max(BACKOFF), |idle| allowed.saturating_sub(idle))
}

impl Pool {
    pub(super) fn new(settings: Builder) -> Self {
        Self(Arc::new(Inner {
            settings,
            known: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            changed: Arc::default(),
            free: Arc::default(),
            epoch: Instant::now(),
            over: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    pub(super) fn settings(&self) -> &Builder {
        &self.0.settings
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Has the word when a session takes another request, or one has come or gone.
    pub(super) fn free(&self) -> &Notify {
        &self.0.free
    }

    #[cfg(all(test, feature = "server"))]
    pub(super) fn sessions(&self) -> Vec<crate::driver::Session> {
        self.0.known().sessions.iter().map(|ready| ready.session.clone()).collect()
    }

    /// A session that is up, a new one if there is none, for somebody who has waited since `arrived`. Where there is one
    /// that is busy, it serves, while another is opened beside it.
    pub(super) async fn session(&self, arrived: Instant) -> Result<Ready, Error> {
        self.0.keep_warm();
        self.0.session(arrived, &Want::any(self.0.settings.patience)).await
    }

    pub(super) async fn close(&self, limit: Duration) {
        self.0.go_away();
        self.0.tasks.close();
        let _ = timeout(limit, self.0.tasks.wait()).await;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.go_away();
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn session(self: &Arc<Self>, arrived: Instant, want: &Want<'_>) -> Result<Ready, Error> {
        // A moment beyond what the clock can say never comes.
        let deadline = arrived.checked_add(want.patience);
        let in_time = |moment: Instant| deadline.is_none_or(|deadline| moment < deadline);
        loop {
            if let Some(ready) = self.pick(want)? {
                return Ok(ready);
            }
            let (before, pause) = {
                let failures = &self.known().failures;
                (failures.count, failures.pause().filter(|(_, error)| want.outlasts(error)))
            };
            if let Some((due, error)) = pause {
                let until = if in_time(due) { due } else { deadline.unwrap_or(due) };
                if let Some(ready) = self.up_by(until, want).await? {
                    return Ok(ready);
                }
                if !in_time(due) {
                    return Err(self.waited(error, arrived));
                }
            }
            match self.attempt(before, want).await {
                Err(error) if !want.outlasts(&error) => return Err(error),
                Err(error) if !in_time(Instant::now()) => return Err(self.waited(error, arrived)),
                Err(_) => {}
                ready => return ready,
            }
        }
    }

    fn waited(&self, error: Error, arrived: Instant) -> Error {
        error.after_waiting(arrived.elapsed(), backoff(self.known().failures.row, BACKOFF_WAITED_FOR))
    }

    /// A session that comes up until then.
    async fn up_by(self: &Arc<Self>, until: Instant, want: &Want<'_>) -> Result<Option<Ready>, Error> {
        loop {
            // From here on no word is missed.
            let change = self.changed.notified();
            if let Some(ready) = self.pick(want)? {
                return Ok(Some(ready));
            }
            if timeout_at(until, change).await.is_err() {
                return Ok(None);
            }
        }
    }

    fn pick(self: &Arc<Self>, want: &Want<'_>) -> Result<Option<Ready>, Error> {
        let mut known = self.known();
        if known.closed {
            return Err(Error::closed());
        }
        known.tidy();
        let Some((_, ready)) = known.least_busy(want) else { return Ok(None) };
        let ready = ready.clone();
        if known.wants_another(self.settings.sessions) {
            let pool = self.clone();
            self.tasks.spawn(self.over.clone().run_until_cancelled_owned(async move {
                // Whoever connects already does it for all, and may have done it since.
                if let Ok(_one) = pool.connecting.try_lock()
                    && pool.known().wants_another(pool.settings.sessions)
                {
                    let _ = pool.connect(None).await;
                }
            }));
        }
        Ok(Some(ready))
    }

    /// What came of the attempt that ended since there were `before` failures, or comes of the one under way, or of a new
    /// one.
    async fn attempt(self: &Arc<Self>, before: u64, want: &Want<'_>) -> Result<Ready, Error> {
        let _one = self.connecting.lock().await;
        if let Some(ready) = self.pick(want)? {
            return Ok(ready);
        }
        if let Some(error) = self.known().failures.since(before) {
            return Err(error);
        }
        self.connect(want.route).await
    }

    /// Opens a session, there or where all are. `connecting` must be held.
    async fn connect(self: &Arc<Self>, route: Option<&ProxyUrl>) -> Result<Ready, Error> {
        let pool = Arc::downgrade(self);
        let wires = Wires {
            tasks: &self.tasks,
            epoch: self.epoch,
            changed: &self.changed,
            free: &self.free,
            adrift: Box::new(move |exchange, anew| match pool.upgrade() {
                Some(pool) => pool.bring_back(exchange, anew),
                None => _ = exchange.lose("this client was dropped".into()),
            }),
        };
        let outcome = connect(&self.settings, route.unwrap_or(&self.settings.proxy), wires).await;
        let mut known = self.known();
        match outcome {
            Ok(ready) if known.closed => {
                ready.session.go_away(None, "");
                Err(Error::closed())
            }
            Ok(ready) => {
                known.failures.row = 0;
                known.reached = true;
                known.sessions.push(ready.clone());
                drop(known);
                self.changed.notify_waiters();
                // Its own word came before it was known.
                self.free.notify_one();
                Ok(ready)
            }
            Err(error) => Err(known.fail(error)),
        }
    }

    /// Has an exchange go on whose session is over, or has nothing of it: then by asking `anew`.
    fn bring_back(self: &Arc<Self>, exchange: Arc<Exchange>, anew: bool) {
        let task = back::bring_back(self.clone(), exchange, anew);
        self.tasks.spawn(self.over.clone().run_until_cancelled_owned(task));
    }

    /// Starts the task that keeps a session up, if one is wanted and does not run. It could not be started earlier: a
    /// client may be made before there is a runtime, and used in another one later.
    fn keep_warm(self: &Arc<Self>) {
        if !self.settings.warm {
            return;
        }
        let mut known = self.known();
        if !known.closed && known.warmer.as_ref().is_none_or(JoinHandle::is_finished) {
            let task = self.over.clone().run_until_cancelled_owned(self.clone().warm());
            known.warmer = Some(self.tasks.spawn(task));
        }
    }

    /// Keeps a session up.
    async fn warm(self: Arc<Self>) {
        let (mut failed, mut away) = (0, false);
        loop {
            let (since, mut up) = (Instant::now(), false);
            loop {
                let change = self.changed.notified();
                let Some(rest) = self.rest() else { break };
                up = true;
                if std::mem::take(&mut away) {
                    info!(proxy = %self.settings.proxy, "the proxy is back");
                }
                let _ = timeout(rest, change).await;
            }
            if up {
                failed = if since.elapsed() < BACKOFF_WARM { failed + 1 } else { 0 };
            }
            if failed > 0 {
                let due = Instant::now() + jitter(backoff(failed, BACKOFF_WARM));
                // A request may open one meanwhile.
                loop {
                    let change = self.changed.notified();
                    if self.rest().is_some() || timeout_at(due, change).await.is_err() {
                        break;
                    }
                }
            }
            let before = self.known().failures.count;
            if let Err(error) = self.attempt(before, &Want::any(Duration::ZERO)).await {
                if self.over.is_cancelled() {
                    return;
                }
                failed += 1;
                if away {
                    debug!(proxy = %self.settings.proxy, %error, "still no session");
                } else {
                    away = true;
                    warn!(proxy = %self.settings.proxy, "no session to the proxy, which is tried again: {error}");
                }
            }
        }
    }

    /// How long nothing needs to be done, if a session is up.
    fn rest(&self) -> Option<Duration> {
        let mut known = self.known();
        known.tidy();
        known.sessions.iter().filter(|ready| !ready.session.is_draining()).map(left).min()
    }

    fn go_away(&self) {
        // First: a task that keeps a session up must not take the end of it for a failure.
        self.over.cancel();
        let mut known = self.known();
        known.closed = true;
        for ready in known.sessions.drain(..) {
            ready.session.go_away(None, "");
        }
        drop(known);
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;

    use super::*;
    use crate::{
        client::Client,
        proto::{Credential, KeyId, ServerKey, crypto::Secret},
    };

    /// Of a client whose proxy is away: the port is taken, and nobody listens there.
    fn away(settings: impl FnOnce(Builder) -> Builder) -> (Pool, TcpSocket) {
        let port = TcpSocket::new_v4().expect("a socket");
        port.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let credential = Credential {
            server: *ServerKey::new(Secret::new([1; 32])).public(),
            key_id: KeyId([2; 16]),
            psk: Secret::new([3; 32]),
        };
        let address = port.local_addr().expect("an address").to_string();
        (Pool::new(settings(Client::builder(&address, credential).expect("a proxy URL"))), port)
    }

    fn attempts(pool: &Pool) -> u64 {
        pool.0.known().failures.count
    }

    #[tokio::test(start_paused = true)]
    async fn without_patience_a_request_fails_at_once() {
        let start = Instant::now();
        let (pool, _port) = away(|builder| builder);
        let error = pool.session(start).await.expect_err("away");
        assert_eq!((error.code(), error.retry_after(), attempts(&pool)), ("proxy-unreachable", None, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_with_the_last_error_and_the_time_waited() {
        let (pool, _port) = away(|builder| builder.patience(Duration::from_secs(20)));
        let start = Instant::now();
        let error = pool.session(start).await.expect_err("away");
        assert!(start.elapsed() >= Duration::from_secs(20), "{:?}", start.elapsed());
        assert_eq!((error.code(), error.retry_safe()), ("proxy-unreachable", true));
        let text = error.to_string();
        assert!(text.contains("is xllm-proxy running? (waited 2") && text.ends_with(" s)"), "{text}");
        let after = error.retry_after().expect("it is known");
        assert!(after >= Duration::from_secs(1) && after <= BACKOFF_WAITED_FOR, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_in_the_pause_waits_for_the_next_attempt_with_those_who_wait() {
        let (pool, _port) = away(|builder| builder.patience(Duration::from_mins(1)));
        let pool = Arc::new(pool);
        let mut waiting = tokio::task::JoinSet::new();
        for late in 0..100 {
            let pool = pool.clone();
            waiting.spawn(async move {
                tokio::time::sleep(Duration::from_millis(late * 50)).await;
                pool.session(Instant::now()).await.map(|_| ())
            });
        }
        assert!(waiting.join_all().await.iter().all(Result::is_err));
        // Were they not shared, there were thousands. Pauses are 2.5 s on the average; one in a thousand is under 5 ms.
        let attempts = attempts(&pool);
        assert!((5..200).contains(&attempts), "{attempts}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_dropped_or_closed_while_it_tries_leaves_nothing_behind() {
        for closed in [false, true] {
            let (pool, _port) = away(|builder| builder.warm(true));
            let inner = Arc::downgrade(&pool.0);
            assert!(pool.session(Instant::now()).await.is_err());
            // For ever, and with pauses: this would not return otherwise.
            tokio::time::sleep(Duration::from_hours(24)).await;
            let attempts = attempts(&pool);
            assert!((1000..200_000).contains(&attempts), "{attempts}");
            if closed {
                pool.close(Duration::from_secs(1)).await;
            }
            drop(pool);
            while inner.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}
