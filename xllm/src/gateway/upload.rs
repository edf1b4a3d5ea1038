//! The body of a request on its way to the proxy, as it comes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Version, header::EXPECT};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{runtime::Handle, time::timeout};

use super::headers::Headers;

/// How much of a body that nobody wants any more is read, bytes and time. Were it left unread, closing the connection would
/// make the system throw away the answer that says why, before the caller has it.
const UNWANTED: usize = 64 << 20;
const UNWANTED_TIME: Duration = Duration::from_secs(5);

/// A caller's body. Dropped before its end, the rest is read and forgotten, within limits.
#[derive(Debug)]
pub(super) struct Upload {
    /// Until it is dropped.
    body: Option<Incoming>,
    headers: Arc<Headers>,
    /// Of HTTP/1, where the rest cannot be called off.
    http1: bool,
    /// It was read, and is not at its end: the rest comes.
    begun: bool,
    /// Since when its caller waits to be asked for it.
    waits: Option<Instant>,
}

/// Who waits to be asked for a body sends it unasked some time later (RFC 9110 section 10.1.1); widely used is a second.
const ASKED_FOR: Duration = Duration::from_secs(1);

impl Upload {
    pub(super) fn wrap(request: Request<Incoming>, headers: &Arc<Headers>) -> Request<Self> {
        let http1 = request.version() < Version::HTTP_2;
        let waits = request.headers().contains_key(EXPECT).then(Instant::now);
        request.map(|body| Self { body: Some(body), headers: headers.clone(), http1, begun: false, waits })
    }

    fn filtered(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(self.headers.send_trailers(trailers)),
            Err(frame) => frame,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        self.begun = !matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled.map_ok(|frame| self.filtered(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // A caller that waits to be asked is not asked: it sends its next request in place of this body.
        let comes = self.begun || self.waits.is_none_or(|since| since.elapsed() >= ASKED_FOR);
        let rest = self.body.take().filter(|body| self.http1 && comes && !body.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(timeout(UNWANTED_TIME, forget(rest)));
        }
    }
}

async fn forget(mut body: Incoming) {
    let mut left = UNWANTED;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}
