//! An upstream's answer: its head, its body frame by frame, and a watch on its silence.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::{Stream, failure::body_failed, tap};
use crate::proto::{
    Code, Fault,
    frame::{Notice, is_bodiless},
};

/// An upstream's answer.
pub(in crate::server) struct Answer {
    pub(in crate::server) status: StatusCode,
    headers: HeaderMap,
    body: tap::Body<Stream>,
    pub(in crate::server) trailers: HeaderMap,
    /// It has no body, whatever its head says of a length.
    pub(in crate::server) bodiless: bool,
    stall: Stall,
}

impl Answer {
    pub(in crate::server) fn new(
        answer: http::Response<Incoming>,
        to_head: bool,
        sent: Option<std::time::Instant>,
        stall: Duration,
    ) -> Self {
        let bodiless = is_bodiless(to_head, answer.status().as_u16());
        let (parts, body) = tap::Body::split(answer, bodiless, sent);
        let (status, headers) = (parts.status, parts.headers);
        Self { status, headers, body, trailers: HeaderMap::new(), bodiless, stall: Stall::new(stall) }
    }

    /// The next frame of the body, unless the upstream is silent for too long.
    pub(in crate::server) async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Notice> {
        self.stall.begin();
        let frame = poll_fn(|cx| match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => self.stall.poll(cx).map(Err),
        });
        frame.await?.transpose().map_err(|error| body_failed(&error))
    }

    /// The headers, once: they hold the memory that they came in, 8 KiB, which a silent stream shall not keep.
    pub(in crate::server) fn take_headers(&mut self) -> HeaderMap {
        std::mem::take(&mut self.headers)
    }

    /// Whether it is one that comes piece by piece, as far as its head says: server-sent events, or no length.
    pub(in crate::server) fn is_streamed(&self) -> bool {
        let events = |value: &http::HeaderValue| value.as_bytes().starts_with(b"text/event-stream");
        !self.bodiless && (self.length().is_none() || self.headers.get(CONTENT_TYPE).is_some_and(events))
    }

    /// The length that it declared: what the framing says, beside which a header may say something else.
    pub(in crate::server) fn length(&self) -> Option<u64> {
        if self.bodiless { declared(&self.headers) } else { self.body.size_hint().exact() }
    }
}

/// The length that the upstream declared.
fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Watches for silence. One timer, which is moved when it rings too early: setting a new one for every piece would cost more than
/// the piece.
struct Stall {
    limit: Duration,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Stall {
    fn new(limit: Duration) -> Self {
        Self { limit, since: Instant::now(), timer: Box::pin(sleep(limit)) }
    }

    /// Silence counts from now.
    fn begin(&mut self) {
        self.since = Instant::now();
    }

    /// Ready when it has lasted too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Notice> {
        let until = self.since + self.limit;
        while self.timer.deadline() < until {
            ready!(self.timer.as_mut().poll(cx));
            self.timer.as_mut().reset(until);
        }
        ready!(self.timer.as_mut().poll(cx));
        let text = format!("the upstream was silent for {} s in the middle of its answer", self.limit.as_secs_f64());
        Poll::Ready(Notice::new(Code::UpstreamStalled, Fault::Upstream, text))
    }
}
