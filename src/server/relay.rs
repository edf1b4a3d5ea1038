//! One exchange: check, call the upstream, relay its answer as it comes.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use tokio::time::Instant;
use tracing::info;
use url::Url;

use super::{
    Server,
    guard::origins::Verdict,
    guests::{self, Guest},
    memory::Whole,
    upload::{Failure, Progress, Taken, Upload},
    upstream::{
        answer::Answer,
        failure::{call_failed, head_too_large},
    },
    worker::{Held, Worker},
};
use crate::{
    driver::Exchange,
    http::{
        check_method, check_url, from_map,
        policy::{Direction, Filter},
        to_map,
    },
    proto::{
        Code, Connection, Error, Fault,
        frame::{BodyLength, Mode, Notice, Request, Response},
        wire::VARINT_MAX,
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

/// Relays one exchange to its end. Its client has it counted.
pub(super) async fn relay(
    server: Arc<Server>,
    held: Held,
    client: Arc<Guest>,
    _counted: guests::Taken,
    exchange: Exchange,
    mut request: Box<Request>,
) {
    let start = Instant::now();
    let number = exchange.number();
    let exchange = Arc::new(exchange);
    let mut account = Account::default();
    let result = tokio::select! {
        biased;
        () = exchange.abandoned() => Err(Stop::Abandoned),
        result = attempt(&server, held.worker(), &client, &exchange, &mut request, &mut account) => result,
    };
    let outcome = match result {
        Ok(()) => "complete",
        Err(Stop::Abandoned) => exchange.cut().map_or("cancelled", Code::name),
        Err(Stop::Failed(notice)) => {
            // If the session is over, there is nobody to tell.
            let _ = exchange.with(|connection, _, number| connection.fail(number, &notice));
            notice.code.name()
        }
    };
    exchange.finish();
    let Account { host, status, bytes, pieces } = account;
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let client = &client.name;
    info!(%client, exchange = number, method = %loggable(&request.method), %host, status, bytes, pieces, ms, outcome, "exchange");
}

/// A method is the client's text: only one that travels is shown.
fn loggable(method: &str) -> &str {
    if check_method(method).is_ok() { method } else { "?" }
}

async fn attempt(
    server: &Server,
    worker: &Worker,
    client: &Arc<Guest>,
    exchange: &Arc<Exchange>,
    request: &mut Request,
    account: &mut Account,
) -> Result<(), Stop> {
    let force = server.force.load_full();
    let (config, rule) = (&force.config, force.rule(&client.name));
    server.memory.check(config.limits.memory_bytes).map_err(Notice::retry_safe)?;
    let method = check_method(&request.method)?;
    let target = check_url(&request.url)?;
    // What is not needed while the answer streams is not kept so long.
    let headers = to_map(&std::mem::take(&mut request.headers))
        .map_err(|error| Notice::new(Code::RequestInvalid, Fault::Client, error.to_string()).retry_safe())?;
    let policy = request.policy.min(config.headers);
    let up = Filter::new(Direction::Request, policy).with(&config.request_headers);
    let down = Filter::new(Direction::Response, policy).with(&config.response_headers);
    let limits = &config.limits;
    account.host = target.host().to_owned();
    let verdict = config.origins.judge(target.origin());
    let for_client = rule.origins.as_ref().is_none_or(|origins| origins.judge(target.origin()) != Verdict::Refused);
    let Some(upstream) = worker.upstreams(&force.upstream).lease(verdict).filter(|_| for_client) else {
        return Err(not_allowed(target.origin()).into());
    };

    let limit = limits.upload_bytes.min(rule.upload_bytes);
    if matches!(request.body, BodyLength::Known(length) if length > limit) {
        return Err(upload_too_large(limit).retry_safe().into());
    }
    let headers = up.apply(&headers);
    let mut whole = Whole::new(&server.memory);
    let mut count = |bytes| whole.add(bytes, limits.memory_bytes);
    let taken = match &rule.models {
        None => None,
        Some(models) => {
            let limit = limit.min(limits.inspect_bytes);
            let taken = match request.body {
                BodyLength::None => None,
                _ => Some(Taken::take(exchange, limit, &mut count).await?.map_err(|failure| failed_upload(&failure, limit))?),
            };
            let (path, body) = (target.uri().path(), taken.as_ref().map_or(&[][..], |taken| &taken.bytes));
            models
                .check(&method, path, &headers, body)
                .map_err(|error| Notice::new(Code::NotAllowed, Fault::Client, error.to_string()).retry_safe())?;
            taken
        }
    };
    let progress = Arc::new(Progress::default());
    let call = || {
        let filter = (policy, config.request_headers.clone());
        let body = Upload::new(exchange.clone(), request.body, limit, filter, progress.clone(), taken.as_ref());
        let mut call = http::Request::new(Box::new(body));
        *call.method_mut() = method.clone();
        *call.uri_mut() = target.uri().clone();
        *call.headers_mut() = headers.clone();
        call
    };
    exchange.with(Connection::called);
    let answer = progress.head(upstream.call(call), limits.head()).await.ok_or_else(|| {
        let text = format!("the upstream gave no answer within {} s", limits.head().as_secs_f64());
        Notice::new(Code::UpstreamTimeout, Fault::Upstream, text)
    })?;
    let upload_failed = || progress.failure().map(|failure| failed_upload(failure, limit));
    let answer = answer
        .map_err(|error| upload_failed().unwrap_or_else(|| call_failed(&error, &account.host, limits.connect()).into()))?;
    drop(headers);
    account.status = Some(answer.status().as_u16());
    if answer.status().is_informational() {
        let text = "the upstream wants to speak another protocol than HTTP";
        return Err(Notice::new(Code::UpstreamProtocol, Fault::Upstream, text).into());
    }
    let answer = Answer::new(answer, method == Method::HEAD, progress.sent(), limits.stall());
    let relayed = Relayed { exchange, filter: down };
    let relayed = match request.mode {
        Mode::Streaming => relayed.stream(answer, account).await,
        Mode::Buffered => relayed.buffer(answer, limits.buffered_bytes, &mut count, account).await,
    };
    // An upload that fails takes the call with it: it says why.
    relayed.map_err(|stop| upload_failed().unwrap_or(stop))
}

/// What a failed upload means for the exchange.
fn failed_upload(failure: &Failure, limit: u64) -> Stop {
    match failure {
        Failure::TooLarge => upload_too_large(limit).into(),
        Failure::Trailers(error) => {
            Notice::new(Code::RequestInvalid, Fault::Client, format!("in the trailers, {error}")).into()
        }
        Failure::Abandoned => Stop::Abandoned,
    }
}

fn not_allowed(origin: &Url) -> Notice {
    let origin = origin.origin().ascii_serialization();
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
    filter: Filter<'a>,
}

impl Relayed<'_> {
    fn respond(&self, answer: &mut Answer, length: Option<u64>) -> Result<(), Stop> {
        let headers = self.filter.apply(&answer.take_headers());
        // A larger one than the protocol has is no length of anything.
        let length = length.filter(|length| *length <= VARINT_MAX);
        let response = Response { status: answer.status.as_u16(), headers: from_map(&headers), length };
        self.call(|connection, now, number| connection.respond(now, number, &response))
    }

    /// A call of the core. `too-large` is the upstream's fault; an exchange that is over is known to the client.
    fn call<T>(&self, call: impl FnOnce(&mut Connection, Duration, u32) -> Result<T, Error>) -> Result<T, Stop> {
        self.exchange.with(|connection, now, number| {
            call(connection, now, number).map_err(|error| match error {
                Error::Misbehaved(Code::TooLarge, _) => head_too_large().into(),
                // A slip of ours: the client has to hear of it.
                error if connection.is_open(number) => Notice::new(Code::Internal, Fault::Proxy, error.to_string()).into(),
                _ => Stop::Abandoned,
            })
        })
    }

    /// The next piece of an answer's body; its trailers are kept when they come.
    async fn next(&self, answer: &mut Answer) -> Result<Option<Bytes>, Stop> {
        while !answer.bodiless {
            let Some(frame) = answer.frame().await? else { break };
            match frame.into_data() {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(frame) => {
                    let found = frame.into_trailers().unwrap_or_default();
                    answer.trailers = self.filter.fields(&found);
                }
            }
        }
        Ok(None)
    }

    /// Gives on a piece, and waits until there is room for another: the upstream is read no faster than the client takes.
    async fn send(&self, bytes: Bytes, account: &mut Account) -> Result<(), Stop> {
        account.bytes += bytes.len() as u64;
        account.pieces += u64::from(!bytes.is_empty());
        let room = self.call(|connection, now, number| {
            connection.send_data(now, number, bytes)?;
            Ok(connection.has_room(number))
        })?;
        if room || self.exchange.room().await { Ok(()) } else { Err(Stop::Abandoned) }
    }

    fn end(&self, trailers: &HeaderMap) -> Result<(), Stop> {
        self.call(|connection, _, number| connection.end(number, from_map(trailers)))
    }

    /// Each piece at once.
    async fn stream(&self, mut answer: Answer, account: &mut Account) -> Result<(), Stop> {
        let length = answer.length();
        self.respond(&mut answer, length)?;
        while let Some(bytes) = self.next(&mut answer).await? {
            self.send(bytes, account).await?;
        }
        self.end(&answer.trailers)
    }

    /// All of it, or an error and no half answer.
    async fn buffer(
        &self,
        mut answer: Answer,
        limit: u64,
        mut count: impl FnMut(usize) -> Result<(), Notice>,
        account: &mut Account,
    ) -> Result<(), Stop> {
        let too_large = || {
            let text = format!("the answer is over the proxy's limit of {limit} bytes for buffered mode; use streaming mode");
            Notice::new(Code::ResponseTooLarge, Fault::Upstream, text)
        };
        if !answer.bodiless && answer.length().is_some_and(|length| length > limit) {
            return Err(too_large().into());
        }
        // One piece of memory: many small pieces would cost many times their size.
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.next(&mut answer).await? {
            if (whole.len() + bytes.len()) as u64 > limit {
                return Err(too_large().into());
            }
            count(bytes.len())?;
            whole.extend_from_slice(&bytes);
        }
        let length = if answer.bodiless { answer.length() } else { Some(whole.len() as u64) };
        self.respond(&mut answer, length)?;
        self.send(whole.freeze(), account).await?;
        self.end(&answer.trailers)
    }
}
