//! The pieces of a chunked HTTP/1.1 answer go straight to the relay.
//!
//! ```text
//! upstream ─► head ──────────────────► HTTP library
//!             size CRLF data CRLF … ─► relay
//!             0 CRLF trailers CRLF ──► HTTP library
//! ```
//!
//! The HTTP library sends the request, reads the head and judges it, and keeps or closes the connection. A chunk, however, costs it
//! more than all else that is done with a token (docs/performance.md). So it is shown the head and then nothing; the relay takes the
//! chunks as they come; and from the last one on, or the first of another form than a plain size, the library reads again. To it,
//! the body was as short as that. Whatever ends the body, in order or not, is its to judge.

use std::{
    fmt, io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Response, Version, header::TRANSFER_ENCODING, response::Parts};
use http_body::{Frame, SizeHint};
use hyper::{
    body::Incoming,
    rt::{Read, ReadBuf, ReadBufCursor, Write},
};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// Bytes of one read.
const READ: usize = 16 << 10;
/// A head of more bytes is the library's to refuse.
const HEAD: usize = 64 << 10;
/// A size of more digits is the library's to judge.
const DIGITS: usize = 8;

/// A connection as the HTTP library has it.
#[derive(Debug)]
pub(super) struct Tapped<T>(Arc<Mutex<State<T>>>);

/// Where an answer came from: the library puts it among the answer's extensions. It does not keep the connection open.
#[derive(Debug)]
struct Source<T>(Weak<Mutex<State<T>>>);

impl<T> Clone for Source<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct State<T> {
    io: T,
    stage: Stage,
    /// What the library may have next.
    shown: BytesMut,
    /// What was read beyond that.
    ahead: BytesMut,
    /// How much of it holds no end of a head, so that one that comes byte by byte is not searched again and again.
    searched: usize,
    /// What ended the reading, for the library to hear.
    error: Option<io::Error>,
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
    /// It has the head; the relay has the rest, or will let it through.
    Held,
    /// It gets all that comes.
    Through,
}

impl<T> Tapped<T> {
    pub(super) fn new(io: T) -> Self {
        Self(Arc::new(Mutex::new(State {
            io,
            stage: Stage::Head,
            shown: BytesMut::new(),
            ahead: BytesMut::new(),
            searched: 0,
            error: None,
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
    /// Reads what is there behind what is known; 0 at the end.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; READ];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.io).poll_read(cx, read.unfilled()))?;
        self.ahead.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

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
            self.shown.unsplit(head);
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        while self.shown.is_empty() {
            match self.stage {
                Stage::Head => match ready!(self.fill(cx))? {
                    0 => self.stage = Stage::Through,
                    _ => self.show_heads(),
                },
                Stage::Held => {
                    self.library = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Stage::Through if !self.ahead.is_empty() => self.shown = std::mem::take(&mut self.ahead),
                Stage::Through => {
                    return match self.error.take() {
                        Some(error) => Poll::Ready(Err(error)),
                        None => Pin::new(&mut self.io).poll_read(cx, to),
                    };
                }
            }
        }
        let now = self.shown.len().min(to.remaining());
        to.put_slice(&self.shown.split_to(now));
        Poll::Ready(Ok(()))
    }
}

impl<T> State<T> {
    /// From here on, the library reads.
    fn resume(&mut self, stage: Stage) {
        self.stage = stage;
        if let Some(library) = self.library.take() {
            library.wake();
        }
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
        Pin::new(&mut self.lock().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lock().io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().io).poll_shutdown(cx)
    }
}

impl<T: Connection + Send + 'static> Connection for Tapped<T> {
    fn connected(&self) -> Connected {
        let mut state = self.lock();
        let connected = state.io.connected();
        if connected.is_negotiated_h2() {
            state.stage = Stage::Through;
            return connected;
        }
        connected.extra(Source(Arc::downgrade(&self.0)))
    }
}

/// An answer's body: the pieces by the short way, all else from the HTTP library.
#[derive(Debug)]
pub(super) struct Body<T> {
    library: Incoming,
    tap: Option<Tap<T>>,
}

/// A body does not go on as HTTP has it.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// To the library.
    #[error("{0}")]
    Library(#[source] hyper::Error),
    /// To us.
    #[error("{0}")]
    Chunk(#[source] io::Error),
}

impl<T: Read + Unpin> Body<T> {
    /// Parts an answer from its body. `bodiless` is one that has none, whatever its head says.
    pub(super) fn split(mut answer: Response<Incoming>, bodiless: bool) -> (Parts, Self)
    where
        T: Send + 'static,
    {
        let tap = Tap::take(&mut answer, bodiless);
        let (parts, library) = answer.into_parts();
        (parts, Self { library, tap })
    }
}

impl<T: Read + Unpin> http_body::Body for Body<T> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(tap) = &mut this.tap
            && let Some(piece) = ready!(tap.poll_piece(cx))
        {
            return Poll::Ready(Some(piece.map(Frame::data).map_err(BodyError::Chunk)));
        }
        let frame = ready!(Pin::new(&mut this.library).poll_frame(cx));
        if frame.is_none()
            && let Some(tap) = this.tap.take()
        {
            tap.finish();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Library)))
    }

    fn size_hint(&self) -> SizeHint {
        self.library.size_hint()
    }
}

/// What the relay holds of a connection, from an answer's head to its end.
#[derive(Debug)]
struct Tap<T> {
    connection: Arc<Mutex<State<T>>>,
    /// Where the next byte belongs; nothing if the library has it.
    chunk: Option<Chunk>,
}

#[derive(Clone, Copy, Debug)]
enum Chunk {
    Size,
    /// So many bytes of it are to come.
    Data(usize),
    LineEnd,
}

/// What comes next of a chunked body.
enum Next {
    Piece(Bytes),
    /// More has to be read first.
    More,
    /// The library's.
    Other,
    /// Behind a chunk, there is no end of a line.
    Malformed,
}

impl<T: Read + Unpin> Tap<T> {
    /// Of the connection that an answer came over; nothing for HTTP/2. A body that is chunked is taken, any other left to the
    /// library.
    fn take<B>(answer: &mut Response<B>, bodiless: bool) -> Option<Self>
    where
        T: Send + 'static,
    {
        let connection = answer.extensions_mut().remove::<Source<T>>()?.0.upgrade()?;
        let mut tap = Self { connection, chunk: None };
        if bodiless {
            // The library does not look for a body either.
            tap.finish();
            return None;
        }
        let mut codings = answer.headers().get_all(TRANSFER_ENCODING).iter();
        let is_chunked = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        let is_plain = is_chunked && codings.next().is_none() && answer.version() == Version::HTTP_11;
        let mut state = lock(&tap.connection);
        // Where the library was let through before, it has read on.
        if is_plain && state.stage == Stage::Held {
            tap.chunk = Some(Chunk::Size);
        } else {
            state.resume(Stage::Through);
        }
        drop(state);
        Some(tap)
    }

    /// The next piece; nothing from where the library has the rest.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(chunk) = &mut self.chunk else { return Poll::Ready(None) };
        let mut state = lock(&self.connection);
        loop {
            match chunk.next(&mut state.ahead) {
                Next::Piece(piece) => return Poll::Ready(Some(Ok(piece))),
                Next::Malformed => return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into()))),
                Next::More => match ready!(state.fill(cx)) {
                    Ok(1..) => continue,
                    // It finds the end itself.
                    Ok(0) => {}
                    Err(error) => state.error = Some(error),
                },
                Next::Other => {}
            }
            state.resume(Stage::Through);
            self.chunk = None;
            return Poll::Ready(None);
        }
    }

    /// The answer has ended in order: another may follow on this connection.
    fn finish(self) {
        let mut state = lock(&self.connection);
        let is_clean = state.shown.is_empty() && state.ahead.is_empty();
        state.resume(if is_clean { Stage::Head } else { Stage::Through });
    }
}

impl Chunk {
    fn next(&mut self, ahead: &mut BytesMut) -> Next {
        loop {
            match *self {
                Self::Size => {
                    let digits = ahead.iter().take(DIGITS).take_while(|byte| byte.is_ascii_hexdigit()).count();
                    match ahead[digits..] {
                        [] | [b'\r'] => return Next::More,
                        [b'\r', b'\n', ..] => {}
                        _ => return Next::Other,
                    }
                    let size = str::from_utf8(&ahead[..digits]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
                    let Some(size @ 1..) = size else { return Next::Other };
                    ahead.advance(digits + 2);
                    *self = Self::Data(size);
                }
                Self::Data(_) if ahead.is_empty() => return Next::More,
                Self::Data(left) => {
                    let piece = ahead.split_to(left.min(ahead.len())).freeze();
                    *self = if left == piece.len() { Self::LineEnd } else { Self::Data(left - piece.len()) };
                    return Next::Piece(piece);
                }
                Self::LineEnd => match ahead[..] {
                    [] | [b'\r'] => return Next::More,
                    [b'\r', b'\n', ..] => {
                        ahead.advance(2);
                        *self = Self::Size;
                    }
                    _ => return Next::Malformed,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
