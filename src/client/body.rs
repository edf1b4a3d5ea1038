//! A response's body, as it comes.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::{Error, pool::Pool};
use crate::{
    driver::{Exchange, Incoming},
    http::{
        policy::{Direction, Filter},
        to_map,
    },
    proto::{
        Code, Fault,
        frame::{CancelReason, Policy, Receipt, Stamps},
    },
};

/// Holds an exchange; dropping it stops the upstream call.
#[derive(Debug)]
pub(super) struct Handle(Arc<Exchange>);

impl Handle {
    pub(super) const fn new(exchange: Arc<Exchange>) -> Self {
        Self(exchange)
    }

    pub(super) fn exchange(&self) -> &Exchange {
        &self.0
    }

    pub(super) fn cancel(&self, reason: CancelReason) {
        self.0.give_up(reason, None);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.cancel(CancelReason::CallerGone);
    }
}

enum Source {
    /// As it comes. The pool is kept: sessions live as long as somebody uses them.
    Live(Handle, #[expect(dead_code, reason = "kept alive")] Arc<Pool>),
    /// All there.
    Whole(VecDeque<Bytes>),
    /// Ended, in one way or another.
    Over,
}

/// Shows sizes alone.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Live(..) => "live".to_owned(),
            Source::Whole(pieces) => format!("{} bytes", pieces.iter().map(Bytes::len).sum::<usize>()),
            Source::Over => "over".to_owned(),
        };
        f.debug_struct("Body").field("source", &source).field("left", &self.left).finish_non_exhaustive()
    }
}

/// A response's body: data as the upstream wrote it, then trailers. It ends with `None` only if it is complete; anything
/// else is an error. Dropping it stops the upstream call.
pub struct Body {
    source: Source,
    /// Bytes to come, where that is known.
    left: Option<u64>,
    trailers: Option<HeaderMap>,
    receipt: Option<Receipt>,
    stamps: Option<Stamps>,
}

impl Body {
    pub(super) const fn new(handle: Handle, left: Option<u64>, pool: Arc<Pool>) -> Self {
        Self { source: Source::Live(handle, pool), left, trailers: None, receipt: None, stamps: None }
    }

    /// Where the time went, as the proxy measured it; there once the body has ended.
    pub const fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// The stamps of the piece that came last, if the request asked for [`Timings`](super::Timings).
    pub const fn stamps(&self) -> Option<&Stamps> {
        self.stamps.as_ref()
    }

    /// Takes the whole body in.
    pub(super) async fn collect(mut self) -> Result<Self, Error> {
        let (mut pieces, left) = (VecDeque::new(), self.left);
        while let Some(piece) = std::future::poll_fn(|cx| self.poll_piece(cx)).await? {
            pieces.push_back(piece);
        }
        (self.source, self.left) = (Source::Whole(pieces), left);
        Ok(self)
    }

    /// The bytes of a body that was taken in whole.
    pub(super) fn into_whole(self) -> Bytes {
        let Source::Whole(mut pieces) = self.source else { return Bytes::new() };
        if pieces.len() == 1 {
            return pieces.pop_front().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
        for piece in &pieces {
            whole.extend_from_slice(piece);
        }
        whole.freeze()
    }

    /// The next piece; `None` at the end of a complete body.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let handle = match &mut self.source {
            Source::Live(handle, _) => handle,
            Source::Whole(pieces) => {
                let piece = pieces.pop_front();
                return Poll::Ready(Ok(self.left_after(piece)));
            }
            Source::Over => return Poll::Ready(Ok(None)),
        };
        let incoming = ready!(handle.exchange().poll_incoming(cx));
        if let Some(Incoming::Piece(bytes, stamps)) = incoming {
            self.stamps = stamps;
            return Poll::Ready(Ok(self.left_after(Some(bytes))));
        }
        self.source = Source::Over;
        Poll::Ready(match incoming {
            Some(Incoming::End(end)) => {
                self.receipt = Some(end.receipt);
                match to_map(&end.trailers) {
                    Ok(trailers) => {
                        let trailers = Filter::new(Direction::Response, Policy::Pass).fields(&trailers);
                        self.trailers = (!trailers.is_empty()).then_some(trailers);
                        Ok(None)
                    }
                    Err(error) => Err(Error::new(
                        Code::UpstreamProtocol.name(),
                        Fault::Upstream,
                        format!("the answer's trailers are wrong: {error}"),
                    )),
                }
            }
            Some(Incoming::Failed(notice)) => Err(notice.into()),
            Some(Incoming::Closed { why, unsent, back }) => Err(Error::session_over(&why, unsent).because(back)),
            _ => Err(Error::new("session-lost", Fault::Client, "the request was given up")),
        })
    }

    fn left_after(&mut self, piece: Option<Bytes>) -> Option<Bytes> {
        if let Some(piece) = &piece {
            self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        }
        piece
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(match ready!(self.poll_piece(cx)) {
            Ok(Some(bytes)) => Some(Ok(Frame::data(bytes))),
            Ok(None) => self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        let over = match &self.source {
            Source::Live(..) => false,
            Source::Whole(pieces) => pieces.is_empty(),
            Source::Over => true,
        };
        over && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
