//! Warm sessions, and how requests are spread over them.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::task::TaskTracker;

use super::{
    Builder, Error,
    connect::{Ready, connect},
};

/// Requests under way in a session beyond which the next one opens another: about where one core's sealing becomes the limit.
const SPREAD: usize = 64;

#[derive(Debug)]
pub(super) struct Pool {
    settings: Builder,
    sessions: Mutex<Vec<Ready>>,
    /// One connects at a time, the others wait for what comes of it.
    connecting: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
}

impl Pool {
    pub(super) fn new(settings: Builder) -> Self {
        Self { settings, sessions: Mutex::default(), connecting: tokio::sync::Mutex::default(), tasks: TaskTracker::new() }
    }

    pub(super) const fn settings(&self) -> &Builder {
        &self.settings
    }

    pub(super) const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The least busy session that is up, if another one would not help.
    fn pick(&self) -> Option<Ready> {
        let mut sessions = self.sessions();
        sessions.retain(|ready| !ready.session.is_draining());
        let full = sessions.len() >= self.settings.sessions;
        let (load, least) =
            sessions.iter().map(|ready| (ready.session.open_exchanges(), ready)).min_by_key(|(load, _)| *load)?;
        (full || load < SPREAD).then(|| least.clone())
    }

    /// A session that is up, a new one if need be.
    pub(super) async fn session(&self) -> Result<Ready, Error> {
        if let Some(ready) = self.pick() {
            return Ok(ready);
        }
        let _one = self.connecting.lock().await;
        if let Some(ready) = self.pick() {
            return Ok(ready);
        }
        match connect(&self.settings, &self.tasks).await {
            Ok(ready) => {
                self.sessions().push(ready.clone());
                Ok(ready)
            }
            // A session that is busy is better than none.
            Err(error) => self.sessions().first().cloned().ok_or(error),
        }
    }

    fn go_away(&self) {
        for ready in self.sessions().drain(..) {
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
