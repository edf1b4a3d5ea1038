//! One exchange: check, call the upstream, relay its answer as it comes.

mod passed;
mod relayed;

use std::{pin::pin, sync::Arc, time::Duration};

use http::Method;
use tracing::info;

use self::{passed::Passed, relayed::Relayed};
use super::{
    Server,
    guests::{Guest, Taken},
    holds::Registered,
    memory::Whole,
    metrics::{self, Outcome},
    upload::Progress,
    upstream::{answer::Answer, failure::call_failed},
    worker::{Held, Worker},
};
use crate::{
    driver::Exchange,
    http::check_method,
    proto::{
        Code, Connection, Fault,
        frame::{Mode, Notice, Request},
    },
};

/// What the log says of an exchange: never a path, a query, a header or a body.
#[derive(Debug)]
struct Account {
    host: String,
    status: Option<u16>,
    bytes: u64,
    pieces: u64,
    meter: metrics::Exchange,
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

/// Relays one exchange to its end. Its client has it counted, until its last frame is on its way.
pub(super) async fn relay(
    server: Arc<Server>,
    held: Held,
    client: Arc<Guest>,
    (counted, meter): (Taken, metrics::Exchange),
    (exchange, known): (Arc<Exchange>, Registered),
    mut request: Box<Request>,
) {
    let number = exchange.number();
    let mut account = Account { host: String::new(), status: None, bytes: 0, pieces: 0, meter };
    let (result, cancelled) = {
        let attempt = pin!(attempt(&server, held.worker(), &client, &exchange, &mut request, &mut account));
        tokio::select! {
            biased;
            cancelled = exchange.abandoned() => (Err(Stop::Abandoned), cancelled),
            result = held.worker().in_turn(attempt) => (result, None),
        }
    };
    // Here the call of the upstream is gone.
    if let Some(since) = cancelled {
        account.meter.dropped(exchange.now().saturating_sub(since));
    }
    let failed = match result {
        Ok(()) => None,
        Err(Stop::Abandoned) => Some(exchange.cut().unwrap_or(Code::Cancelled)),
        Err(Stop::Failed(notice)) => {
            // If the session is over, there is nobody to tell.
            let _ = exchange.with(|connection, _, number| connection.fail(number, &notice));
            Some(notice.code)
        }
    };
    exchange.finish();
    // Until the client has credit for the rest: what was not sealed did not come through.
    let tally = exchange.finished().await;
    let outcome = match failed {
        None if tally.whole => Outcome::Complete,
        None => Outcome::Failed(exchange.cut().unwrap_or(Code::Cancelled)),
        Some(code) => Outcome::Failed(code),
    };
    let Account { host, status, bytes, pieces, meter } = account;
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (receipt, upload, frames) = (&tally.receipt, tally.uploaded, tally.frames);
    let upstream_ms = receipt.head.zip(receipt.sent).map(|(head, sent)| head.saturating_sub(sent) / 1000);
    let first_ms = receipt.first.map(|first| first / 1000);
    let client = &client.name;
    info!(
        %client, exchange = number, method = %loggable(&request.method), %host, status, upload, bytes, pieces, frames, upstream_ms,
        first_ms, ms = ms(exchange.now().saturating_sub(meter.start())), outcome = outcome.label(), "exchange"
    );
    meter.ended(outcome, &tally);
    drop(counted);
    // Its client may come back for the last of it. This task is large, and would stay so.
    held.worker().runtime().spawn(async move {
        exchange.settled().await;
        drop(known);
    });
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
    let (limits, rule) = (&force.config.limits, force.rule(&client.name));
    server.memory.check(limits.memory_bytes).map_err(Notice::retry_safe)?;
    let held = || Whole::new(&server.memory, limits.memory_bytes);
    let passed = Passed::check(&force.config, rule, exchange, request, held(), account).await?;
    account.meter.calls(&account.host);
    let upstream = force.upstream.of(worker).lease(passed.rule.reach);

    let progress = Arc::new(Progress::default());
    exchange.with(Connection::called);
    let answer = upstream.call(|| passed.call(exchange, &progress));
    let answer = progress.head(answer, limits.head()).await.ok_or_else(|| {
        let text = format!("the upstream gave no answer within {} s", limits.head().as_secs_f64());
        Notice::new(Code::UpstreamTimeout, Fault::Upstream, text)
    })?;
    let upload_failed = || progress.failure().map(|failure| passed::failed_upload(failure, passed.limit));
    let answer = answer
        .map_err(|error| upload_failed().unwrap_or_else(|| call_failed(&error, &account.host, limits.connect()).into()))?;
    account.status = Some(answer.status().as_u16());
    if answer.status().is_informational() {
        let text = "the upstream wants to speak another protocol than HTTP";
        return Err(Notice::new(Code::UpstreamProtocol, Fault::Upstream, text).into());
    }
    let answer = Answer::new(answer, passed.method == Method::HEAD, progress.sent(), limits.stall());
    let relayed = Relayed { exchange, filter: passed.down(), rule: passed.rule };
    // What is not needed while the answer streams is not kept so long.
    let limit = passed.limit;
    drop(passed);
    let relayed = match request.mode {
        Mode::Streaming => relayed.stream(answer, account).await,
        Mode::Buffered => relayed.buffer(answer, limits.buffered_bytes, held(), account).await,
    };
    // An upload that fails takes the call with it: it says why.
    relayed.map_err(|stop| progress.failure().map_or(stop, |failure| passed::failed_upload(failure, limit)))
}
