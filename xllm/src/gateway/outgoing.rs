//! Whether all that was written to a caller has left this process.

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Notify};

/// What waits to be written to one caller.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The caller takes nothing, and the HTTP library holds bytes for it.
    held: AtomicBool,
    left: Notify,
}

impl Outgoing {
    /// Waits until the caller has taken what was held.
    pub(super) async fn left(&self) {
        loop {
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            if !self.held.load(SeqCst) {
                return;
            }
            left.await;
        }
    }

    fn written<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            self.held.store(true, SeqCst);
        }
        written
    }
}

/// A caller's connection.
#[derive(Debug)]
pub(super) struct Connection {
    io: TokioIo<TcpStream>,
    outgoing: Arc<Outgoing>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, outgoing: Arc<Outgoing>) -> Self {
        Self { io: TokioIo::new(stream), outgoing }
    }
}

impl Read for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.outgoing.written(written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.outgoing.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// The HTTP library flushes when it holds nothing more itself.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if flushed.is_ready() && self.outgoing.held.swap(false, SeqCst) {
            self.outgoing.left.notify_waiters();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
