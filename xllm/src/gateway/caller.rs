//! A caller's connection, and what the gateway has to know of it: whether all that was written has left this process, and
//! whether a request has come at all.

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{Sleep, sleep},
};

/// What is known of one caller's connection.
#[derive(Debug, Default)]
pub(super) struct Caller {
    /// The caller takes nothing, and the HTTP library holds bytes for it.
    held: AtomicBool,
    taken: Notify,
    /// A request has come, of somebody who may call.
    asked: AtomicBool,
}

impl Caller {
    /// A request of somebody who may call has come over this connection.
    pub(super) fn asked(&self) {
        self.asked.store(true, SeqCst);
    }

    /// Waits until the caller has taken what was held.
    pub(super) async fn taken(&self) {
        loop {
            let mut taken = pin!(self.taken.notified());
            taken.as_mut().enable();
            if !self.held.load(SeqCst) {
                return;
            }
            taken.await;
        }
    }

    fn written<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            self.held.store(true, SeqCst);
        }
        written
    }
}

/// How long a connection may be open before its first request is there, of somebody who may call. The HTTP library's own limit
/// begins with the first bytes, and holds for HTTP/1 alone.
const FIRST_REQUEST: Duration = Duration::from_secs(15);

/// A caller's connection.
#[derive(Debug)]
pub(super) struct Connection {
    io: TokioIo<TcpStream>,
    caller: Arc<Caller>,
    /// Until the first request is there.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, caller: Arc<Caller>) -> Self {
        Self { io: TokioIo::new(stream), caller, deadline: Some(Box::pin(sleep(FIRST_REQUEST))) }
    }

    /// Whether the first request is late.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = &mut self.deadline else { return false };
        if self.caller.asked.load(SeqCst) {
            self.deadline = None;
            return false;
        }
        deadline.as_mut().poll(cx).is_ready()
    }
}

impl Read for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.is_late(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.caller.written(written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.caller.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// The HTTP library flushes when it holds nothing more itself.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if flushed.is_ready() && self.caller.held.swap(false, SeqCst) {
            self.caller.taken.notify_waiters();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper::rt::ReadBuf;
    use tokio::{
        net::TcpListener,
        time::{Instant, advance},
    };

    use super::*;

    async fn read(connection: &mut Connection) -> io::Result<()> {
        let mut bytes = [0; 8];
        poll_fn(|cx| Pin::new(&mut *connection).poll_read(cx, ReadBuf::new(&mut bytes).unfilled())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let _silent = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        let caller = Arc::<Caller>::default();
        let mut connection = Connection::new(listener.accept().await.expect("a caller").0, caller.clone());
        let start = Instant::now();
        let error = read(&mut connection).await.expect_err("nothing comes");
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, FIRST_REQUEST.as_secs()));
        caller.asked();
        tokio::select! {
            biased;
            _ = read(&mut connection) => panic!("nothing comes"),
            () = advance(10 * FIRST_REQUEST) => {}
        }
    }
}
