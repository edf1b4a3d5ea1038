//! One request: opens an exchange, sends the body, waits for the head.

use std::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use http::{Method, header::CONTENT_LENGTH};
use tokio::time::Instant;
use tracing::debug;

use super::{Body, BoxError, Error, Timings, body::Handle, connect::Ready, pool::Pool};
use crate::{
    driver::{Exchange, Incoming},
    http::{
        from_map,
        policy::{Direction, Filter},
        to_map,
    },
    proto::{
        Closed, Code, Fault,
        frame::{BodyLength, CancelReason, Mode, Notice, Policy, Request, Response, is_bodiless},
        wire::VARINT_MAX,
    },
};

/// Sessions that may turn out to be ending before one takes the request.
const ATTEMPTS: usize = 4;

pub(super) async fn call<B>(pool: Arc<Pool>, request: http::Request<B>) -> Result<http::Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (parts, mut body) = request.into_parts();
    let head = head(&parts, &body, pool.settings().credit)?;
    let arrived = Instant::now();
    let exchange = open(&pool, &head, arrived).await?;
    let handle = Handle::new(exchange.clone());
    if head.body != BodyLength::None && !send_at_once(&exchange, &mut body).await? {
        pool.tasks().spawn(upload(exchange, body));
    }
    let incoming = handle.exchange().incoming().await;
    let response = match incoming {
        Some(Incoming::Response(response)) => response,
        other => return Err(unexpected(other)),
    };
    let parts = assemble(&response).inspect_err(|_| handle.cancel(CancelReason::ResponseRefused))?;
    let length = response.length.filter(|_| !is_bodiless(head.method == "HEAD", response.status));
    let body = Body::new(handle, length, pool.clone());
    let body = if head.mode == Mode::Buffered { body.collect().await? } else { body };
    Ok(http::Response::from_parts(parts, body))
}

/// What ended the exchange instead of a head.
fn unexpected(incoming: Option<Incoming>) -> Error {
    match incoming {
        Some(Incoming::Failed(notice)) => notice.into(),
        Some(Incoming::Closed { why, unsent, back }) => Error::session_over(&why, unsent).because(back),
        _ => Error::new(Code::Internal.name(), Fault::Client, "the exchange ended without a response"),
    }
}

fn head<B: http_body::Body>(parts: &http::request::Parts, body: &B, credit: u64) -> Result<Request, Error> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|_| Error::no_randomness())?;
    if parts.uri.scheme().is_none() || parts.uri.authority().is_none() {
        let text = "the request's URL is not absolute: it needs scheme and host, as in https://api.openai.com/v1/models";
        return Err(Error::new(Code::RequestInvalid.name(), Fault::Client, text).retry_safe_if(true));
    }
    // What belongs to the hop from the caller to here ends here; the rest is the proxy's to judge.
    let headers = from_map(&Filter::new(Direction::Request, Policy::Pass).apply(&parts.headers));
    let takes_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    Ok(Request {
        id,
        method: parts.method.as_str().to_owned(),
        url: parts.uri.to_string(),
        headers,
        mode: parts.extensions.get().copied().unwrap_or_default(),
        timings: parts.extensions.get::<Timings>().is_some(),
        policy: parts.extensions.get().copied().unwrap_or_default(),
        body: match (body.is_end_stream(), body.size_hint().exact()) {
            // A POST without a body still says so: some servers demand a length.
            (true, _) if takes_body => BodyLength::Known(0),
            (true, _) => BodyLength::None,
            (false, Some(length)) if length <= VARINT_MAX => BodyLength::Known(length),
            (false, _) => BodyLength::Unknown,
        },
        credit,
    })
}

/// Opens an exchange on the session that has least to do. Where all have as many as the server allows, it waits for the first that
/// takes another, also for one that is not up yet.
async fn open(pool: &Pool, head: &Request, arrived: Instant) -> Result<Arc<Exchange>, Error> {
    let mut ending = 0;
    loop {
        let mut free = pin!(pool.free().notified());
        // From here on no word is missed.
        free.as_mut().enable();
        let Ready { session, .. } = pool.session(arrived).await?;
        match session.request(head) {
            Poll::Ready(Some(opened)) => return opened.map_err(Error::unsendable),
            Poll::Pending => free.await,
            Poll::Ready(None) => ending += 1,
        }
        // Another session would fare no better.
        if let Some(error) = session.goaway().as_ref().and_then(Error::sent_away) {
            return Err(error);
        }
        if ending == ATTEMPTS {
            return Err(match session.closed() {
                _ if session.is_stopping() => Error::stopping(),
                why => Error::session_over(&why.unwrap_or(Closed::Done), true),
            });
        }
    }
}

/// Sends what of the body is there already, so that a short request is one record and needs no task. Says whether that was all of it.
async fn send_at_once<B>(exchange: &Exchange, body: &mut B) -> Result<bool, Error>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    poll_fn(|cx| {
        while exchange.poll_room(cx) == Poll::Ready(true) {
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else { break };
            match send_frame(exchange, frame) {
                Ok(false) if !body.is_end_stream() => {}
                // A large body in one piece ends here as well: its end needs no room.
                Ok(false) => {
                    return Poll::Ready(send_frame::<Infallible>(exchange, None));
                }
                last => return Poll::Ready(last),
            }
        }
        Poll::Ready(Ok(false))
    })
    .await
}

/// Sends the rest of a body as its pieces come and the proxy takes them.
async fn upload<B>(exchange: Arc<Exchange>, mut body: B)
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let send = async {
        while exchange.room().await {
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            match send_frame(&exchange, frame) {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => return debug!(%error, "the upload failed"),
            }
        }
    };
    tokio::select! {
        biased;
        // Answered or cancelled: what is left of the body is nobody's.
        _ = exchange.abandoned() => {}
        () = send => {}
    }
}

/// One step of a body; whether it was the last.
fn send_frame<E: Into<BoxError>>(
    exchange: &Exchange,
    frame: Option<Result<http_body::Frame<Bytes>, E>>,
) -> Result<bool, Error> {
    let (sent, last) = match frame {
        Some(Ok(frame)) => match frame.into_data() {
            Ok(bytes) => (exchange.with(|connection, now, number| connection.send_body(now, number, bytes)), false),
            Err(frame) => {
                let trailers = frame.into_trailers().map(|trailers| from_map(&trailers)).unwrap_or_default();
                (exchange.with(|connection, _, number| connection.end_body(number, trailers)), true)
            }
        },
        None => (exchange.with(|connection, _, number| connection.end_body(number, Vec::new())), true),
        Some(Err(error)) => return Err(body_failed(exchange, &error.into())),
    };
    match sent {
        Ok(()) => Ok(last),
        // It takes nothing more: its answer says why.
        Err(_) if exchange.is_over() => Ok(true),
        // A body of another length than it said, or trailers that do not fit.
        Err(error) => Err(body_failed(exchange, &error)),
    }
}

fn body_failed(exchange: &Exchange, why: &dyn fmt::Display) -> Error {
    let notice = Notice::new(Code::UploadFailed, Fault::Client, format!("the request's body failed: {why}"));
    exchange.give_up(CancelReason::UploadFailed, Some(notice.clone()));
    notice.into()
}

fn assemble(response: &Response) -> Result<http::response::Parts, Error> {
    let wrong =
        |what: &str| Error::new(Code::UpstreamProtocol.name(), Fault::Upstream, format!("the answer's head is wrong: {what}"));
    let headers = to_map(&response.headers).map_err(|error| wrong(&error.to_string()))?;
    // What does not travel is dropped here as well (section 1.4): the framing is ours.
    let mut headers = Filter::new(Direction::Response, Policy::Pass).fields(&headers);
    if let Some(length) = response.length.filter(|_| response.status != 204) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    let mut built = http::Response::new(());
    *built.status_mut() = response.status.try_into().map_err(|_| wrong("its status"))?;
    *built.headers_mut() = headers;
    Ok(built.into_parts().0)
}
