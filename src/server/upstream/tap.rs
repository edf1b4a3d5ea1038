//! Where a chunked HTTP/1.1 answer parts from the HTTP library.
//!
//! ```text
//! upstream ─► head ───────────────────► HTTP library
//!             chunks, last chunk, end ─► relay
//! ```
//!
//! The HTTP library sends the request, reads the head and judges it. A chunk, however, costs it more than all else that is done with
//! a token, and a connection that it has in use holds three times 8 KiB (docs/performance.md). So it is shown the head and then
//! nothing. If the answer is chunked and the request wholly sent, the connection is taken from it, and to the library it is closed.
//! Any other answer is the library's to its end.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, Response, Version,
    header::{CONNECTION, TRANSFER_ENCODING},
    response::Parts,
};
use http_body::{Frame, SizeHint};
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::client::legacy::connect::{Connected, Connection};

use super::{
    chunks::{Chunks, ChunksError, poll_more},
    kept::Home,
};

/// A head of more bytes is the library's to refuse.
const HEAD: usize = 64 << 10;

/// A connection as the HTTP library has it.
#[derive(Debug)]
pub(super) struct Tapped<T>(Shared<T>);

/// What library and relay have of a connection.
type Shared<T> = Arc<Mutex<State<T>>>;

/// Where an answer came from: the library puts it among the answer's extensions. It does not keep the connection open.
#[derive(Debug)]
struct Source<T>(Weak<Mutex<State<T>>>);

impl<T> Clone for Source<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

pub(super) struct State<T> {
    /// Nothing when it was taken.
    io: Option<Box<T>>,
    home: Option<Home<T>>,
    stage: Stage,
    /// What the library may have next.
    shown: BytesMut,
    /// What was read beyond that.
    ahead: BytesMut,
    /// How much of it holds no end of a head, so that one that comes byte by byte is not searched again and again.
    searched: usize,
    /// The library has written, and has not seen yet that all of it left.
    is_writing: bool,
    /// When the head was shown, if the library was not writing then and has not written since: nobody uses the connection but who
    /// has that answer.
    held: Option<Instant>,
    /// The library, if it waits.
    library: Option<Waker>,
}

/// Shows nothing of what passes through it.
impl<T> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("stage", &self.stage).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Of what comes, the library gets one head.
    Head,
    /// It has the head; the relay takes the rest, or will let it through.
    Held,
    /// It gets all that comes.
    Through,
}

impl<T> Tapped<T> {
    pub(super) fn new(io: Box<T>, home: Home<T>) -> Self {
        Self(Arc::new(Mutex::new(State {
            io: Some(io),
            home: Some(home),
            stage: Stage::Head,
            shown: BytesMut::new(),
            ahead: BytesMut::new(),
            searched: 0,
            is_writing: false,
            held: None,
            library: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.0)
    }
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Read + Unpin> State<T> {
    /// Shows the library the heads that are whole: all that are informational, and the one behind them.
    fn show_heads(&mut self) {
        while self.stage == Stage::Head && !self.ahead.is_empty() {
            let known = self.ahead.len().min(START.len());
            if self.ahead[..known] != START[..known] || self.ahead.len() > HEAD {
                self.stage = Stage::Through;
                return;
            }
            let Some(end) = head_end(&self.ahead, self.searched) else {
                self.searched = self.ahead.len();
                return;
            };
            self.searched = 0;
            let head = self.ahead.split_to(end);
            self.stage = match head.get(STATUS) {
                Some(b"101") => Stage::Through,
                Some([b'1', ..]) => Stage::Head,
                _ => Stage::Held,
            };
            self.held = (!self.is_writing).then(Instant::now);
            self.shown.unsplit(head);
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        while self.shown.is_empty() {
            // Of one that was taken, the library sees the end.
            let Some(io) = &mut self.io else { return Poll::Ready(Ok(())) };
            match self.stage {
                Stage::Head => match ready!(poll_more(&mut **io, &mut self.ahead, cx))? {
                    0 => self.stage = Stage::Through,
                    _ => self.show_heads(),
                },
                Stage::Held => {
                    self.library = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Stage::Through if !self.ahead.is_empty() => self.shown = std::mem::take(&mut self.ahead),
                Stage::Through => return Pin::new(io).poll_read(cx, to),
            }
        }
        let now = self.shown.len().min(to.remaining());
        to.put_slice(&self.shown.split_to(now));
        Poll::Ready(Ok(()))
    }
}

impl<T> State<T> {
    /// Takes the connection from the library, and what was read behind the head; not where the library may still write to it, or has
    /// read on. `sent` is when the library got the last of the request.
    ///
    /// It writes all that it has before it reads again: what it got before it saw the head, it was done with by then.
    fn take(&mut self, sent: Instant) -> Option<(Box<T>, BytesMut)> {
        if self.stage != Stage::Held || self.held.is_none_or(|held| sent >= held) {
            return None;
        }
        self.resume(Stage::Through);
        Some((self.io.take()?, std::mem::take(&mut self.ahead)))
    }

    /// From here on, the library reads.
    fn resume(&mut self, stage: Stage) {
        self.stage = stage;
        if let Some(library) = self.library.take() {
            library.wake();
        }
    }

    /// The answer has ended in order: another may follow on this connection. It may have begun already where this is noticed late;
    /// then it stays the library's.
    fn finish(&mut self) {
        let is_clean = self.held.is_some() && self.shown.is_empty() && self.ahead.is_empty();
        self.resume(if is_clean { Stage::Head } else { Stage::Through });
    }
}

impl<T: Write + Unpin> State<T> {
    /// The library writes: to nothing, if the connection was taken.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.is_writing = true;
        self.held = None;
        if self.stage == Stage::Held {
            // The request goes on while it is answered; or nobody wanted the answer, and this is the next request.
            self.resume(Stage::Through);
        }
        let Some(io) = &mut self.io else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        write(Pin::new(&mut **io), cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(io) = &mut self.io {
            ready!(Pin::new(io).poll_flush(cx))?;
        }
        self.is_writing = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.as_mut().map_or(Poll::Ready(Ok(())), |io| Pin::new(io).poll_shutdown(cx))
    }
}

/// What an answer begins with.
const START: &[u8] = b"HTTP/1.";
/// Where its status code is.
const STATUS: std::ops::Range<usize> = 9..12;

/// The length of the head: to the end of the first empty line, whose ends may lack their CR (RFC 9112 section 2.2). It does not
/// end among the first `searched` bytes.
fn head_end(bytes: &[u8], searched: usize) -> Option<usize> {
    // The line before the empty one may have ended there.
    let from = searched.saturating_sub(b"\n\r".len());
    let ends = bytes.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).find_map(|at| match bytes[at..] {
        [b'\n', ..] => Some(at + 1),
        [b'\r', b'\n', ..] => Some(at + 2),
        _ => None,
    })
}

impl<T: Read + Unpin> Read for Tapped<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_read(cx, to)
    }
}

impl<T: Write + Unpin> Write for Tapped<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().poll_write(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.lock().poll_write(cx, |io, cx| io.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().io.as_ref().is_some_and(Write::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_shutdown(cx)
    }
}

impl<T: Connection + Send + 'static> Connection for Tapped<T> {
    fn connected(&self) -> Connected {
        let mut state = self.lock();
        let connected = state.io.as_ref().map_or_else(Connected::new, |io| io.connected());
        if connected.is_negotiated_h2() {
            state.stage = Stage::Through;
            return connected;
        }
        connected.extra(Source(Arc::downgrade(&self.0)))
    }
}

/// An answer's body.
#[derive(Debug)]
pub(super) enum Body<T> {
    /// From its connection.
    Chunks(Chunks<T>),
    /// From the HTTP library, which has the connection; nothing of that for HTTP/2.
    Library(Incoming, Option<Shared<T>>),
}

/// A body does not go on as HTTP has it.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// To the library.
    #[error("{0}")]
    Library(#[source] hyper::Error),
    /// To us.
    #[error("{0}")]
    Chunks(#[source] ChunksError),
}

impl<T: Read + Send + Unpin + 'static> Body<T> {
    /// Parts an answer from its body. `bodiless` is one that has none, whatever its head says; `sent` is when the library got the
    /// last of the request, if it did.
    pub(super) fn split(mut answer: Response<Incoming>, bodiless: bool, sent: Option<Instant>) -> (Parts, Self) {
        let connection = answer.extensions_mut().remove::<Source<T>>().and_then(|source| source.0.upgrade());
        let is_chunked = !bodiless && is_chunked(&answer);
        let (parts, library) = answer.into_parts();
        let Some(connection) = connection else { return (parts, Self::Library(library, None)) };
        let mut state = lock(&connection);
        if is_chunked
            && let Some(sent) = sent
            && let Some((io, ahead)) = state.take(sent)
        {
            let home = state.home.take().filter(|_| !closes(&parts.headers));
            return (parts, Self::Chunks(Chunks::new(io, ahead, home)));
        }
        if bodiless {
            // The library does not look for a body either.
            state.finish();
        } else {
            state.resume(Stage::Through);
        }
        drop(state);
        (parts, Self::Library(library, Some(connection).filter(|_| !bodiless)))
    }
}

impl<T: Read + Send + Unpin + 'static> http_body::Body for Body<T> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Chunks(chunks) => chunks.poll_frame(cx).map_err(BodyError::Chunks),
            Self::Library(library, connection) => {
                let frame = ready!(Pin::new(library).poll_frame(cx));
                if frame.is_none()
                    && let Some(connection) = connection.take()
                {
                    lock(&connection).finish();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Library)))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Chunks(_) => SizeHint::default(),
            Self::Library(library, _) => library.size_hint(),
        }
    }
}

/// Whether chunks are all that the body is made of.
fn is_chunked<B>(answer: &Response<B>) -> bool {
    let mut codings = answer.headers().get_all(TRANSFER_ENCODING).iter();
    let is_chunked = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    is_chunked && codings.next().is_none() && answer.version() == Version::HTTP_11
}

/// Whether the upstream says that it closes the connection behind this answer.
fn closes(headers: &HeaderMap) -> bool {
    let options = headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    options.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests;
