//! One exchange: check, call the upstream, relay its answer as it comes.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, timeout};
use tracing::info;
use url::Url;

use super::{
    Server,
    origins::Verdict,
    upstream::{body_failed, call_failed},
};
use crate::{
    driver::{Exchange, Incoming},
    http::{
        check_method, check_url, from_map,
        policy::{self, Direction},
        to_map,
    },
    proto::{
        Code, Connection, Error, Fault,
        frame::{BodyLength, Mode, Notice, Policy, Request, Response},
    },
};

/// What the log says of an exchange: never a path, a query, a header or a body.
#[derive(Debug, Default)]
struct Account {
    host: String,
    status: Option<u16>,
    bytes: u64,
    pieces: u64,
}

/// How an exchange ended without its END.
#[derive(Debug)]
enum Stop {
    /// The client is told.
    Failed(Notice),
    /// The client knows: it cancelled, or its session is over.
    Abandoned,
}

impl From<Notice> for Stop {
    fn from(notice: Notice) -> Self {
        Self::Failed(notice)
    }
}

/// Relays one exchange to its end.
pub(super) async fn relay(server: Arc<Server>, client: Arc<str>, exchange: Exchange, request: Box<Request>) {
    let start = Instant::now();
    let number = exchange.number();
    let exchange = Arc::new(exchange);
    let mut account = Account::default();
    let result = tokio::select! {
        biased;
        () = exchange.abandoned() => Err(Stop::Abandoned),
        result = attempt(&server, &exchange, &request, &mut account) => result,
    };
    let outcome = match result {
        Ok(()) => "complete",
        Err(Stop::Abandoned) => "cancelled",
        Err(Stop::Failed(notice)) => {
            // If the session is over, there is nobody to tell.
            let _ = exchange.with(|connection, _, number| connection.fail(number, &notice));
            notice.code.name()
        }
    };
    exchange.finish();
    let Account { host, status, bytes, pieces } = account;
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    info!(%client, exchange = number, method = %loggable(&request.method), %host, status, bytes, pieces, ms, outcome, "exchange");
}

/// A method is the client's text: only one that travels is shown.
fn loggable(method: &str) -> &str {
    if check_method(method).is_ok() { method } else { "?" }
}

async fn attempt(server: &Server, exchange: &Arc<Exchange>, request: &Request, account: &mut Account) -> Result<(), Stop> {
    let method = check_method(&request.method)?;
    let url = check_url(&request.url)?;
    let headers = to_map(&request.headers)
        .map_err(|error| Notice::new(Code::RequestInvalid, Fault::Client, error.to_string()).retry_safe())?;
    let policy = request.policy.min(server.config.headers);
    let limits = &server.config.limits;
    account.host = url.host_str().unwrap_or_default().to_owned();
    let verdict = server.config.origins.judge(&url);
    let Some(upstream) = server.upstreams.client(verdict) else {
        debug_assert_eq!(verdict, Verdict::Refused, "the others have a client");
        account.host = "(not allowed)".to_owned();
        return Err(not_allowed(&url).into());
    };

    let failure = Arc::new(OnceLock::new());
    let call = build(upstream, &method, url, policy::apply(Direction::Request, policy, &headers), {
        (request.body != BodyLength::None).then(|| Upload {
            exchange: exchange.clone(),
            left: if let BodyLength::Known(length) = request.body { Some(length) } else { None },
            allowed: limits.upload_bytes,
            failure: failure.clone(),
            ended: false,
        })
    });
    if matches!(request.body, BodyLength::Known(length) if length > limits.upload_bytes) {
        return Err(upload_too_large(limits.upload_bytes).retry_safe().into());
    }
    exchange.with(Connection::called);
    let answer = timeout(limits.head(), call.send()).await.map_err(|_| {
        let text = format!("the upstream gave no answer within {} s", limits.head().as_secs_f64());
        Notice::new(Code::UpstreamTimeout, Fault::Upstream, text)
    })?;
    let answer = match (answer, failure.get()) {
        (Ok(answer), _) => answer,
        (Err(_), Some(UploadFailure::TooLarge)) => return Err(upload_too_large(limits.upload_bytes).into()),
        (Err(_), Some(UploadFailure::Abandoned)) => return Err(Stop::Abandoned),
        (Err(error), None) => return Err(call_failed(&error, limits.connect()).into()),
    };
    account.status = Some(answer.status().as_u16());
    if answer.status().is_informational() {
        let text = "the upstream wants to speak another protocol than HTTP";
        return Err(Notice::new(Code::UpstreamProtocol, Fault::Upstream, text).into());
    }
    let relayed = Relayed { exchange, policy, stall: limits.stall(), head: method == Method::HEAD };
    match request.mode {
        Mode::Streaming => relayed.stream(answer.into(), account).await,
        Mode::Buffered => relayed.buffer(answer.into(), limits.buffered_bytes, account).await,
    }
}

fn build(
    upstream: &reqwest::Client,
    method: &Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Upload>,
) -> reqwest::RequestBuilder {
    let call = upstream.request(method.clone(), url).headers(headers);
    match body {
        Some(body) => call.body(reqwest::Body::wrap(body)),
        None => call,
    }
}

fn not_allowed(url: &Url) -> Notice {
    let origin = url.origin().ascii_serialization();
    let text = format!(
        "the proxy's configuration does not allow {origin}; who runs the proxy can add it under [origins] allow, or with --allow"
    );
    Notice::new(Code::OriginNotAllowed, Fault::Client, text).retry_safe()
}

fn upload_too_large(limit: u64) -> Notice {
    Notice::new(Code::UploadTooLarge, Fault::Client, format!("the request body is over the proxy's limit of {limit} bytes"))
}

/// Relays one answer.
struct Relayed<'a> {
    exchange: &'a Exchange,
    policy: Policy,
    stall: Duration,
    /// The request was HEAD.
    head: bool,
}

impl Relayed<'_> {
    fn response(&self, parts: &http::response::Parts, length: Option<u64>) -> Response {
        let headers = policy::apply(Direction::Response, self.policy, &parts.headers);
        Response { status: parts.status.as_u16(), headers: from_map(&headers), length }
    }

    fn respond(&self, response: &Response) -> Result<(), Stop> {
        self.call(|connection, now, number| connection.respond(now, number, response))
    }

    /// A call of the core. `too-large` is the upstream's fault; an exchange that is over is known to the client.
    fn call(&self, call: impl FnOnce(&mut Connection, Duration, u32) -> Result<(), Error>) -> Result<(), Stop> {
        self.exchange.with(call).map_err(|error| match error {
            Error::Misbehaved(Code::TooLarge, _) => {
                let text = "the upstream's headers are larger than the relay carries (16 000 bytes)";
                Notice::new(Code::HeadTooLarge, Fault::Upstream, text).into()
            }
            _ => Stop::Abandoned,
        })
    }

    async fn next(&self, body: &mut reqwest::Body) -> Result<Option<Frame<Bytes>>, Stop> {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        match timeout(self.stall, frame).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(frame))) => Ok(Some(frame)),
            Ok(Some(Err(error))) => Err(body_failed(&error).into()),
            Err(_) => {
                let text = format!("the upstream was silent for {} s in the middle of its answer", self.stall.as_secs_f64());
                Err(Notice::new(Code::UpstreamStalled, Fault::Upstream, text).into())
            }
        }
    }

    fn trailers(&self, trailers: &HeaderMap) -> HeaderMap {
        policy::apply(Direction::Response, self.policy, trailers)
    }

    async fn send(&self, bytes: Bytes, account: &mut Account) -> Result<(), Stop> {
        // Asked before the upstream is read on: it is read no faster than the client takes.
        account.bytes += bytes.len() as u64;
        account.pieces += 1;
        self.call(|connection, now, number| connection.send_data(now, number, bytes))?;
        if self.exchange.room().await { Ok(()) } else { Err(Stop::Abandoned) }
    }

    fn end(&self, trailers: &HeaderMap) -> Result<(), Stop> {
        self.call(|connection, _, number| connection.end(number, from_map(trailers)))
    }

    /// Each piece at once.
    async fn stream(&self, answer: http::Response<reqwest::Body>, account: &mut Account) -> Result<(), Stop> {
        let (parts, mut body) = answer.into_parts();
        self.respond(&self.response(&parts, declared(&parts.headers)))?;
        let mut trailers = HeaderMap::new();
        while let Some(frame) = self.next(&mut body).await? {
            match frame.into_data() {
                Ok(bytes) => self.send(bytes, account).await?,
                Err(frame) => trailers = frame.into_trailers().map(|found| self.trailers(&found)).unwrap_or_default(),
            }
        }
        self.end(&trailers)
    }

    /// All of it, or an error and no half answer.
    async fn buffer(&self, answer: http::Response<reqwest::Body>, limit: u64, account: &mut Account) -> Result<(), Stop> {
        let (parts, mut body) = answer.into_parts();
        let too_large = || {
            let text = format!("the answer is over the proxy's limit of {limit} bytes for buffered mode; use streaming mode");
            Stop::from(Notice::new(Code::ResponseTooLarge, Fault::Upstream, text))
        };
        let declared = declared(&parts.headers);
        if !self.head && declared.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let (mut pieces, mut total, mut trailers) = (Vec::new(), 0, HeaderMap::new());
        while let Some(frame) = self.next(&mut body).await? {
            match frame.into_data() {
                Ok(bytes) => {
                    total += bytes.len() as u64;
                    if total > limit {
                        return Err(too_large());
                    }
                    pieces.push(bytes);
                }
                Err(frame) => trailers = frame.into_trailers().map(|found| self.trailers(&found)).unwrap_or_default(),
            }
        }
        let bodiless = self.head || matches!(parts.status.as_u16(), 204 | 304);
        self.respond(&self.response(&parts, if bodiless { declared } else { Some(total) }))?;
        for bytes in pieces {
            self.send(bytes, account).await?;
        }
        self.end(&trailers)
    }
}

/// The length that the upstream declared.
fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Why an upload ended early.
#[derive(Clone, Copy, Debug)]
enum UploadFailure {
    TooLarge,
    Abandoned,
}

/// The request body, as the upstream's client reads it.
struct Upload {
    exchange: Arc<Exchange>,
    /// Bytes to come, where that is known.
    left: Option<u64>,
    /// Bytes that the limit still allows.
    allowed: u64,
    failure: Arc<OnceLock<UploadFailure>>,
    ended: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the request body ended early")]
struct UploadEnded;

impl Upload {
    fn fail(&mut self, failure: UploadFailure) -> UploadEnded {
        self.ended = true;
        let _ = self.failure.set(failure);
        UploadEnded
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadEnded;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadEnded>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let incoming = ready!(self.exchange.poll_incoming(cx));
        Poll::Ready(match incoming {
            Some(Incoming::Piece(bytes, _)) => {
                let size = bytes.len() as u64;
                if size > self.allowed {
                    return Poll::Ready(Some(Err(self.fail(UploadFailure::TooLarge))));
                }
                self.allowed -= size;
                self.left = self.left.map(|left| left.saturating_sub(size));
                Some(Ok(Frame::data(bytes)))
            }
            Some(Incoming::BodyEnd(trailers)) => {
                self.ended = true;
                // Names that HTTP does not allow are dropped: the body itself is whole.
                let trailers = to_map(&trailers).unwrap_or_default();
                (!trailers.is_empty()).then_some(Ok(Frame::trailers(trailers)))
            }
            _ => Some(Err(self.fail(UploadFailure::Abandoned))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
