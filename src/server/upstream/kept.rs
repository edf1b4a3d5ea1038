//! Connections to upstreams that have served a call, and are free for another.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Waker},
    time::Duration,
};

use http::Uri;
use hyper::rt::{Read, ReadBuf};
use tokio::{
    task::unconstrained,
    time::{Instant, sleep},
};

/// How often those that were kept for long enough, or that the upstream has closed, are let go.
const LOOK: Duration = Duration::from_secs(10);

/// Free connections, by origin.
#[derive(Debug)]
pub(super) struct Kept<T> {
    limit: Duration,
    free: Mutex<Free<T>>,
}

#[derive(Debug)]
struct Free<T> {
    connections: HashMap<Uri, Vec<(Box<T>, Instant)>>,
    /// A task looks after them.
    watched: bool,
}

/// Where a connection belongs while it is free. It does not keep the others.
#[derive(Debug)]
pub(super) struct Home<T> {
    kept: Weak<Kept<T>>,
    origin: Uri,
}

impl<T: Read + Send + Unpin + 'static> Kept<T> {
    /// Keeps each for so long.
    pub(super) fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self { limit, free: Mutex::new(Free { connections: HashMap::new(), watched: false }) })
    }

    pub(super) fn home(self: &Arc<Self>, origin: Uri) -> Home<T> {
        Home { kept: Arc::downgrade(self), origin }
    }

    /// The one to this origin that was used last, of those that are open.
    pub(super) fn take(&self, origin: &Uri) -> Option<Box<T>> {
        let (mut free, now) = (self.lock(), Instant::now());
        let connections = free.connections.get_mut(origin)?;
        let mut newest_first = std::iter::from_fn(|| connections.pop());
        newest_first.find_map(|(mut connection, until)| (until > now && is_open(&mut *connection)).then_some(connection))
    }

    fn keep(self: &Arc<Self>, origin: Uri, connection: Box<T>) {
        let mut free = self.lock();
        free.connections.entry(origin).or_default().push((connection, Instant::now() + self.limit));
        if !std::mem::replace(&mut free.watched, true) {
            tokio::spawn(unconstrained(watch(Arc::downgrade(self))));
        }
    }

    /// Whether some are left.
    fn look(&self) -> bool {
        let (mut free, now) = (self.lock(), Instant::now());
        free.connections.retain(|_, connections| {
            connections.retain_mut(|(connection, until)| *until > now && is_open(&mut **connection));
            !connections.is_empty()
        });
        free.watched = !free.connections.is_empty();
        free.watched
    }

    fn lock(&self) -> MutexGuard<'_, Free<T>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Read + Send + Unpin + 'static> Home<T> {
    /// The connection is free.
    pub(super) fn keep(self, connection: Box<T>) {
        if let Some(kept) = self.kept.upgrade() {
            kept.keep(self.origin, connection);
        }
    }
}

/// Looks after free connections as long as there are some.
async fn watch<T: Read + Send + Unpin + 'static>(kept: Weak<Kept<T>>) {
    loop {
        sleep(LOOK).await;
        if !kept.upgrade().is_some_and(|kept| kept.look()) {
            return;
        }
    }
}

/// Whether its other end neither has closed it nor says something that it was not asked for.
fn is_open<T: Read + Unpin>(connection: &mut T) -> bool {
    let mut room = [0; 1];
    let mut room = ReadBuf::new(&mut room);
    Pin::new(connection).poll_read(&mut Context::from_waker(Waker::noop()), room.unfilled()).is_pending()
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(90);

    type Io = TokioIo<DuplexStream>;

    fn origin(text: &'static str) -> Uri {
        Uri::from_static(text)
    }

    /// Free connections, among them a new one to this origin, and its other end.
    fn keep(kept: &Arc<Kept<Io>>, text: &'static str) -> DuplexStream {
        let (near, far) = duplex(64);
        kept.home(origin(text)).keep(Box::new(TokioIo::new(near)));
        far
    }

    fn count(kept: &Kept<Io>) -> usize {
        kept.lock().connections.values().map(Vec::len).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_connection_serves_its_own_origin_once() {
        let kept = Kept::new(LIMIT);
        let _far = keep(&kept, "http://a/");
        assert!(kept.take(&origin("http://b/")).is_none());
        assert!(kept.take(&origin("http://a/")).is_some());
        assert!(kept.take(&origin("http://a/")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_closed_or_says_something_is_passed_over() {
        let kept = Kept::new(LIMIT);
        let _open = keep(&kept, "http://a/");
        let mut speaks = keep(&kept, "http://a/");
        speaks.write_all(b"HTTP/1.1 408 Request Timeout\r\n").await.expect("room");
        drop(keep(&kept, "http://a/"));
        assert!(kept.take(&origin("http://a/")).is_some());
        assert_eq!(count(&kept), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_nobody_needs_are_let_go() {
        let kept = Kept::new(LIMIT);
        let _first = keep(&kept, "http://a/");
        let _second = keep(&kept, "http://b/");
        drop(keep(&kept, "http://b/"));
        sleep(LOOK + LOOK / 2).await;
        assert_eq!(count(&kept), 2, "the one that is closed is gone");
        let _third = keep(&kept, "http://a/");
        sleep(LIMIT).await;
        assert_eq!(count(&kept), 1, "two have waited for long enough");
        sleep(LIMIT).await;
        assert_eq!(count(&kept), 0);
        // Nothing looks after them now; with the next, something does again.
        let _fourth = keep(&kept, "http://a/");
        sleep(LIMIT + 2 * LOOK).await;
        assert_eq!(count(&kept), 0);
    }
}
