//! One request: opens an exchange, sends the body, waits for the head.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use bytes::Bytes;
use http::{Method, header::CONTENT_LENGTH};
use tracing::debug;

use super::{Body, BoxError, Error, Timings, body::Handle, pool::Pool};
use crate::{
    driver::{Exchange, Incoming},
    http::{
        from_map,
        policy::{Direction, passes},
        to_map,
    },
    proto::{
        Code, Fault,
        frame::{BodyLength, CancelReason, Mode, Notice, Policy, Request, Response},
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
    let is_head = parts.method == Method::HEAD;
    let exchange = Arc::new(open(&pool, &head).await?);
    let handle = Handle::new(exchange.clone());
    if head.body != BodyLength::None && !send_at_once(&exchange, &mut body).await? {
        pool.tasks().spawn(upload(exchange, body));
    }
    let response = match handle.exchange().incoming().await {
        Some(Incoming::Response(response)) => response,
        other => return Err(unexpected(other)),
    };
    let parts = assemble(&response).inspect_err(|_| handle.cancel(CancelReason::ResponseRefused))?;
    let length = response.length.filter(|_| !is_head && response.status != 304);
    let body = Body::new(handle, length, pool.clone());
    let body = if head.mode == Mode::Buffered { body.collect().await? } else { body };
    Ok(http::Response::from_parts(parts, body))
}

/// What ended the exchange instead of a head.
fn unexpected(incoming: Option<Incoming>) -> Error {
    match incoming {
        Some(Incoming::Failed(notice)) => notice.into(),
        Some(Incoming::Closed { why, unsent }) => Error::session_over(&why, unsent),
        _ => Error::new(Code::Internal.name(), Fault::Client, "the exchange ended without a response"),
    }
}

fn head<B: http_body::Body>(parts: &http::request::Parts, body: &B, credit: u64) -> Result<Request, Error> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|_| Error::new(Code::Internal.name(), Fault::Client, "the operating system gives no randomness"))?;
    if parts.uri.scheme().is_none() || parts.uri.authority().is_none() {
        let text = "the request's URL is not absolute: it needs scheme and host, as in https://api.openai.com/v1/models";
        return Err(Error::new(Code::RequestInvalid.name(), Fault::Client, text).retry_safe_if(true));
    }
    let mut headers = from_map(&parts.headers);
    headers.retain(|header| passes(Direction::Request, Policy::Pass, &header.name) || header.name == "te");
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
            (false, Some(length)) => BodyLength::Known(length),
            (false, None) => BodyLength::Unknown,
        },
        credit,
    })
}

async fn open(pool: &Pool, head: &Request) -> Result<Exchange, Error> {
    for _ in 0..ATTEMPTS {
        let ready = pool.session().await?;
        if let Some(opened) = ready.session.request(head).await {
            return opened.map_err(Error::unsendable);
        }
    }
    let text = "the proxy ends each session before it takes a request; is it stopping?";
    Err(Error::new(Code::ShuttingDown.name(), Fault::Proxy, text).retry_safe_if(true))
}

/// Sends what of the body is there already, so that a short request is one record and needs no task. Says whether that was
/// all of it.
async fn send_at_once<B>(exchange: &Exchange, body: &mut B) -> Result<bool, Error>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    poll_fn(|cx| {
        while exchange.poll_room(cx) == Poll::Ready(true) {
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else { break };
            match send_frame(exchange, frame) {
                Ok(true) => return Poll::Ready(Ok(true)),
                Ok(false) => {}
                Err(error) => return Poll::Ready(Err(error)),
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
        () = send => {}
        // Answered or cancelled: what is left of the body is nobody's.
        () = exchange.abandoned() => {}
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
        Some(Err(error)) => {
            let text = format!("the request's body failed: {}", error.into());
            let notice = Notice::new(Code::UploadFailed, Fault::Client, text);
            exchange.give_up(CancelReason::UploadFailed, Some(notice.clone()));
            return Err(notice.into());
        }
    };
    // An exchange that is over takes nothing more: its answer says why.
    Ok(last || sent.is_err())
}

fn assemble(response: &Response) -> Result<http::response::Parts, Error> {
    let wrong =
        |what: &str| Error::new(Code::UpstreamProtocol.name(), Fault::Upstream, format!("the answer's head is wrong: {what}"));
    let mut headers = to_map(&response.headers).map_err(|error| wrong(&error.to_string()))?;
    if let Some(length) = response.length.filter(|_| response.status != 204) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    let mut built = http::Response::new(());
    *built.status_mut() = response.status.try_into().map_err(|_| wrong("its status"))?;
    *built.headers_mut() = headers;
    Ok(built.into_parts().0)
}
