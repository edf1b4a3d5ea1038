//! The request body, as the upstream's client reads it.

use std::{
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, timeout, timeout_at};

use super::memory::Whole;
use crate::{
    driver::{Exchange, Incoming},
    http::{
        InvalidHeader,
        policy::{Direction, Filter, Rules},
        to_map,
    },
    proto::frame::{BodyLength, Headers, Notice, Policy},
};

/// Why an upload ended early.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Over the limit.
    TooLarge,
    /// Trailers that HTTP does not allow.
    Trailers(InvalidHeader),
    /// It did not go on for so long.
    Stalled(Duration),
    /// The exchange is over.
    Abandoned,
}

/// How an upload goes, for who waits for the answer.
#[derive(Debug)]
pub(super) struct Progress {
    start: Instant,
    /// When the last piece went to the upstream, milliseconds after `start`.
    moved: AtomicU64,
    /// When the client had the last of it. (On the system's clock, beside which the upstream's answer is held.)
    sent: OnceLock<std::time::Instant>,
    failure: OnceLock<Failure>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { start: Instant::now(), moved: AtomicU64::new(0), sent: OnceLock::new(), failure: OnceLock::new() }
    }
}

impl Progress {
    /// Why the upload ended early, if it did.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.get()
    }

    /// When the upstream's client got the last of it, if it did.
    pub(super) fn sent(&self) -> Option<std::time::Instant> {
        self.sent.get().copied()
    }

    fn all_sent(&self) {
        let _ = self.sent.set(std::time::Instant::now());
    }

    fn move_on(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Relaxed);
    }

    /// Waits for an answer's head: at most for `limit` after the upload last moved. `None` if it does not come.
    pub(super) async fn head<T>(&self, answer: impl Future<Output = T>, limit: Duration) -> Option<T> {
        let mut answer = pin!(answer);
        loop {
            let moved = self.moved.load(Relaxed);
            match timeout_at(self.start + Duration::from_millis(moved) + limit, &mut answer).await {
                Ok(answer) => return Some(answer),
                Err(_) if self.moved.load(Relaxed) > moved => {}
                Err(_) => return None,
            }
        }
    }
}

/// The request body of an exchange.
pub(super) struct Upload {
    exchange: Arc<Exchange>,
    /// What was taken from the exchange before.
    ahead: VecDeque<Incoming>,
    /// Bytes to come, where that is known.
    left: Option<u64>,
    /// Bytes that the limit still allows.
    allowed: u64,
    /// What decides of its trailers.
    policy: Policy,
    rules: Rules,
    progress: Arc<Progress>,
    ended: bool,
}

/// A request body that was taken in whole, to be looked at before the upstream is called.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    pub(super) bytes: Bytes,
    trailers: Headers,
    _held: Whole<'a>,
}

impl<'a> Taken<'a> {
    /// Takes one of at most `limit` bytes, whose pieces come within `patience` of each other; `held` counts them.
    pub(super) async fn take(
        exchange: &Exchange,
        limit: u64,
        patience: Duration,
        mut held: Whole<'a>,
    ) -> Result<Result<Self, Failure>, Notice> {
        let mut bytes = BytesMut::new();
        loop {
            let Ok(incoming) = timeout(patience, exchange.incoming()).await else { return Ok(Err(Failure::Stalled(patience))) };
            match incoming {
                Some(Incoming::Piece(piece, _)) if (bytes.len() + piece.len()) as u64 > limit => {
                    return Ok(Err(Failure::TooLarge));
                }
                Some(Incoming::Piece(piece, _)) => {
                    held.add(piece.len())?;
                    bytes.extend_from_slice(&piece);
                }
                Some(Incoming::BodyEnd(trailers)) => return Ok(Ok(Self { bytes: bytes.freeze(), trailers, _held: held })),
                _ => return Ok(Err(Failure::Abandoned)),
            }
        }
    }

    fn incoming(&self) -> VecDeque<Incoming> {
        let piece = (!self.bytes.is_empty()).then(|| Incoming::Piece(self.bytes.clone(), None));
        piece.into_iter().chain([Incoming::BodyEnd(self.trailers.clone())]).collect()
    }
}

/// What the upstream's client is told; the reason is in [`Progress`].
#[derive(Debug, thiserror::Error)]
#[error("the request body ended early")]
pub(super) struct Ended;

impl Upload {
    /// Of at most `limit` bytes.
    pub(super) fn new(
        exchange: Arc<Exchange>,
        length: BodyLength,
        limit: u64,
        (policy, rules): (Policy, Rules),
        progress: Arc<Progress>,
        taken: Option<&Taken<'_>>,
    ) -> Self {
        let left = match length {
            BodyLength::None => Some(0),
            BodyLength::Known(length) => Some(length),
            BodyLength::Unknown => None,
        };
        if left == Some(0) {
            progress.all_sent();
        }
        let ahead = taken.map(Taken::incoming).unwrap_or_default();
        Self { exchange, ahead, left, allowed: limit, policy, rules, progress, ended: length == BodyLength::None }
    }

    fn fail(&mut self, failure: Failure) -> Ended {
        self.ended = true;
        let _ = self.progress.failure.set(failure);
        Ended
    }

    fn piece(&mut self, bytes: Bytes) -> Result<Frame<Bytes>, Ended> {
        let size = bytes.len() as u64;
        let Some(allowed) = self.allowed.checked_sub(size) else { return Err(self.fail(Failure::TooLarge)) };
        self.allowed = allowed;
        self.left = self.left.map(|left| left.saturating_sub(size));
        self.progress.move_on();
        if self.left == Some(0) {
            self.progress.all_sent();
        }
        Ok(Frame::data(bytes))
    }

    fn end(&mut self, trailers: &Headers) -> Option<Result<Frame<Bytes>, Ended>> {
        match to_map(trailers) {
            Ok(trailers) => {
                self.ended = true;
                self.progress.all_sent();
                let kept = Filter::new(Direction::Request, self.policy).with(&self.rules).fields(&trailers);
                (!kept.is_empty()).then(|| Ok(Frame::trailers(kept)))
            }
            Err(error) => Some(Err(self.fail(Failure::Trailers(error)))),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Ended;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Ended>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let incoming = match self.ahead.pop_front() {
            None => ready!(self.exchange.poll_incoming(cx)),
            taken => taken,
        };
        Poll::Ready(match incoming {
            Some(Incoming::Piece(bytes, _)) => Some(self.piece(bytes)),
            Some(Incoming::BodyEnd(trailers)) => self.end(&trailers),
            _ => Some(Err(self.fail(Failure::Abandoned))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_waited_for_so_long_and_no_longer() {
        let progress = Progress::default();
        let start = Instant::now();
        assert_eq!(progress.head(std::future::pending::<()>(), LIMIT).await, None);
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_upload_moves_the_answer_may_take_its_time() {
        let progress = Progress::default();
        let start = Instant::now();
        let upload = async {
            for _ in 0..20 {
                tokio::time::sleep(LIMIT / 2).await;
                progress.move_on();
            }
        };
        let (answer, ()) = tokio::join!(progress.head(std::future::pending::<()>(), LIMIT), upload);
        assert_eq!((answer, start.elapsed()), (None, LIMIT * 11), "10 s after the last piece, not after the first");
    }
}
