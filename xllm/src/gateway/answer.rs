//! The body of an answer on its way to the caller: every piece at once and unchanged, a comment into long silence where that
//! is wanted, and no end that looks whole where something is missing.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use xllm_proxy::client;

use super::{
    account::{Account, Outcome},
    caller::Caller,
    events::Events,
    headers::Headers,
    refusal::{Refusal, Shape},
};

/// What is written into silence (a comment: <https://html.spec.whatwg.org/multipage/server-sent-events.html>, section 9.2.5).
const HEARTBEAT: Bytes = Bytes::from_static(b": ping\n");

/// How long the HTTP library has to begin with writing the last bytes, before an answer is broken off: it drops those that it
/// has not written yet. With HTTP/2, what the caller's window has no room for is dropped as well.
const LINGER: Duration = Duration::from_millis(50);

/// What callers get.
#[derive(Debug)]
pub(super) enum Answer {
    /// Of the relay itself.
    Own(Option<Bytes>),
    /// Of the provider.
    Relayed(Box<Relayed>),
}

/// A provider's answer.
#[derive(Debug)]
pub(super) struct Relayed {
    body: client::Body,
    headers: Arc<Headers>,
    stream: Option<Stream>,
    caller: Arc<Caller>,
    /// The last bytes of a body of known length, until its end is certain.
    last: Option<Frame<Bytes>>,
    trailers: Option<Frame<Bytes>>,
    failing: Option<Failing>,
    account: Account,
}

/// What is known of a stream of events.
#[derive(Debug)]
pub(super) struct Stream {
    shape: Shape,
    events: Events,
    heartbeat: Option<(Duration, Pin<Box<Sleep>>)>,
}

/// An answer that is about to be broken off.
struct Failing {
    error: client::Error,
    until: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Failing {
    /// When the caller has all that came before.
    fn new(error: client::Error, caller: Arc<Caller>) -> Self {
        let until = async move {
            sleep(LINGER).await;
            caller.taken().await;
        };
        Self { error, until: Box::pin(until) }
    }
}

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failing").field("error", &self.error).finish_non_exhaustive()
    }
}

impl Stream {
    /// The stream that an answer with this head is, if it is one to which something can be added: not one that is packed, nor
    /// one of known length, which would then end before its own last bytes, and look whole where those are missing.
    pub(super) fn of(shape: Shape, headers: &HeaderMap, heartbeat: Option<Duration>) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.as_bytes().split(|byte| *byte == b';').next()?;
        let is_stream = kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream");
        let heartbeat = heartbeat.map(|every| (every, Box::pin(sleep(every))));
        let is_open = !headers.contains_key(CONTENT_ENCODING) && !headers.contains_key(CONTENT_LENGTH);
        (is_stream && is_open).then_some(Self { shape, events: Events::default(), heartbeat })
    }

    fn see(&mut self, bytes: &[u8]) {
        self.events.see(bytes);
        self.rest();
    }

    fn rest(&mut self) {
        if let Some((every, due)) = &mut self.heartbeat {
            due.as_mut().reset(Instant::now() + *every);
        }
    }

    /// Ready when the stream has been silent for long enough; a silence inside an event is left alone.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let Some((_, due)) = &mut self.heartbeat else { return Poll::Pending };
        ready!(due.as_mut().poll(cx));
        self.rest();
        if let Some((_, due)) = &mut self.heartbeat {
            // Registers the new deadline.
            let _ = due.as_mut().poll(cx);
        }
        if self.events.between() { Poll::Ready(HEARTBEAT) } else { Poll::Pending }
    }
}

impl Relayed {
    pub(super) fn new(
        body: client::Body,
        headers: Arc<Headers>,
        stream: Option<Stream>,
        caller: Arc<Caller>,
        account: Account,
    ) -> Self {
        Self { body, headers, stream, caller, last: None, trailers: None, failing: None, account }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, client::Error>>> {
        if let Some(failing) = &mut self.failing {
            ready!(failing.until.as_mut().poll(cx));
            return Poll::Ready(Some(Err(failing.error.clone())));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(trailers)));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {
                // The HTTP library will not ask again after these.
                self.account.end(Outcome::Complete);
                let trailers = frame.into_trailers().unwrap_or_default();
                let frame = Frame::trailers(self.headers.receive_trailers(trailers));
                let first = match self.last.take() {
                    Some(last) => {
                        self.trailers = Some(frame);
                        last
                    }
                    None => frame,
                };
                Poll::Ready(Some(Ok(first)))
            }
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    self.account.count(bytes.len());
                    if let Some(stream) = &mut self.stream {
                        stream.see(bytes);
                    }
                }
                if self.body.size_hint().exact() == Some(0) {
                    // The HTTP library will not ask again after these, and the proxy's word that all is well would be lost:
                    // to it, the caller would have left. That word comes with them, or a moment later.
                    self.last = Some(frame);
                    return self.poll(cx);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.fail(error, cx),
            Poll::Ready(None) => {
                self.account.end(Outcome::Complete);
                Poll::Ready(self.last.take().map(Ok))
            }
            Poll::Pending => match &mut self.stream {
                Some(stream) => stream.poll_heartbeat(cx).map(|comment| Some(Ok(Frame::data(comment)))),
                None => Poll::Pending,
            },
        }
    }

    /// The caller hears of it in its provider's form, where that can be said between two events. Half an event is left as
    /// it is: nothing may make it look whole.
    fn fail(&mut self, error: client::Error, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, client::Error>>> {
        self.account.end(Outcome::BrokenOff(&error));
        let stream = self.stream.as_ref().filter(|stream| stream.events.between());
        let event = stream.map(|stream| Refusal::from(&error).shaped(stream.shape).event());
        self.failing = Some(Failing::new(error, self.caller.clone()));
        match event {
            Some(event) => Poll::Ready(Some(Ok(Frame::data(event)))),
            None => self.poll(cx),
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = client::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, client::Error>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relayed(relayed) => relayed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Relayed(relayed) => {
                let Relayed { body, last, trailers, failing, .. } = &**relayed;
                failing.is_none() && last.is_none() && trailers.is_none() && body.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Relayed(relayed) => match (relayed.last.as_ref().and_then(Frame::data_ref), relayed.body.size_hint().exact())
            {
                (Some(last), _) => SizeHint::with_exact(last.len() as u64),
                (None, Some(left)) => SizeHint::with_exact(left),
                (None, None) => SizeHint::default(),
            },
        }
    }
}
