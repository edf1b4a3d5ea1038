//! Response bodies: sent piece by piece, and counted.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

use crate::exchange::Guard;

/// A scripted end of the connection.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut by the script")
    }
}

impl std::error::Error for Cut {}

/// The response of a handler.
pub(crate) type Reply = Response<UnsyncBoxBody<Bytes, Cut>>;

pub(crate) fn full(bytes: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, Cut> {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body out of a stream of frames, each of them flushed before the next is taken.
pub(crate) struct Streamed {
    frames: BoxStream<'static, Result<Frame<Bytes>, Cut>>,
    /// Bytes to come, where `content-length` announces them.
    left: Option<u64>,
    rest: bool,
}

impl Streamed {
    pub(crate) fn boxed(
        frames: impl Stream<Item = Result<Frame<Bytes>, Cut>> + Send + 'static,
        length: Option<u64>,
    ) -> UnsyncBoxBody<Bytes, Cut> {
        Self { frames: Box::pin(frames), left: length, rest: false }.boxed_unsync()
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        // The transport flushes when a body has nothing ready, and would gather frames otherwise.
        // So the body pauses for one turn behind each frame; a cut too comes behind a flush.
        if std::mem::take(&mut self.rest) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = ready!(self.frames.as_mut().poll_next(cx));
        if let Some(Ok(frame)) = &frame {
            self.rest = true;
            let sent = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.left = self.left.map(|left| left.saturating_sub(sent));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body that finishes its exchange when its end is handed on.
#[derive(Debug)]
pub(crate) struct Tracked {
    body: UnsyncBoxBody<Bytes, Cut>,
    guard: Option<Guard>,
}

impl Tracked {
    /// `ended`: nothing of the body will be sent, as with HEAD.
    pub(crate) fn wrap(reply: Reply, guard: Option<Guard>, ended: bool) -> Response<Self> {
        reply.map(|body| {
            let mut tracked = Self { body, guard };
            if ended || tracked.body.is_end_stream() {
                tracked.finish();
            }
            tracked
        })
    }

    fn finish(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.finish();
        }
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.finish();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
