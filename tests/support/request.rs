//! Requests, their bodies, and what comes of them.

use bytes::Bytes;
use futures::{Stream, StreamExt, channel::mpsc};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use mock_llm::MockLlm;
use tower::Service;
use xllm_proxy::client::{Body, BoxError, Client, Error, Fault};

use super::within;

pub(crate) type Request = http::Request<UnsyncBoxBody<Bytes, BoxError>>;
pub(crate) type Piece = Result<Frame<Bytes>, BoxError>;

/// A request with secrets wherever one can be, apart from the path.
pub(crate) fn request(method: &str, url: &str, body: impl Into<Bytes>) -> Request {
    with_body(method, url, Full::new(body.into()).map_err(|never| match never {}).boxed_unsync())
}

pub(crate) fn get(url: &str) -> Request {
    request("GET", url, "")
}

/// A request whose body is of unknown length.
pub(crate) fn streaming(method: &str, url: &str, pieces: impl Stream<Item = Piece> + Send + 'static) -> Request {
    with_body(method, url, StreamBody::new(pieces).boxed_unsync())
}

fn with_body(method: &str, url: &str, body: UnsyncBoxBody<Bytes, BoxError>) -> Request {
    http::Request::builder()
        .method(method)
        .uri(url)
        .header("authorization", "Bearer sk-secret-key")
        .header("x-note", "secret-header")
        .body(body)
        .unwrap()
}

/// A body that is fed by hand.
pub(crate) fn channel() -> (mpsc::UnboundedSender<Piece>, impl Stream<Item = Piece> + Send + 'static) {
    mpsc::unbounded()
}

/// A body without end, in pieces of `size` bytes.
pub(crate) fn endless(size: usize) -> impl Stream<Item = Piece> + Send + 'static {
    futures::stream::repeat(Bytes::from(vec![b'u'; size])).map(|bytes| Ok(Frame::data(bytes)))
}

pub(crate) async fn call(client: &Client, request: Request) -> Result<http::Response<Body>, Error> {
    within("the response's head", client.clone().call(request)).await
}

/// The whole answer.
pub(crate) async fn whole(client: &Client, request: Request) -> Result<http::Response<Bytes>, Error> {
    let (parts, body) = call(client, request).await?.into_parts();
    Ok(http::Response::from_parts(parts, within("the response's body", body.collect()).await?.to_bytes()))
}

/// The next chunk of a body; `None` at its end.
pub(crate) async fn chunk(body: &mut Body) -> Option<Bytes> {
    let frame = within("a chunk", body.frame()).await?;
    Some(frame.expect("the body goes on").into_data().expect("data"))
}

/// What a caller must be told.
#[track_caller]
pub(crate) fn assert_error(error: &Error, code: &str, blame: Fault, retry_safe: bool) {
    assert_eq!((error.code(), error.blame(), error.retry_safe()), (code, blame, retry_safe), "{error}");
    let text = error.to_string();
    assert!(text.len() > 20 && text.contains(' ') && !text.contains(char::is_control), "not a sentence: {text:?}");
    assert_clean(&text);
}

/// Nothing that must not be in errors and logs.
#[track_caller]
pub(crate) fn assert_clean(text: &str) {
    for secret in ["secret", "/raw/", "xllm1_"] {
        assert!(!text.contains(secret), "`{secret}` in: {text}");
    }
}

/// An exchange that streams while something else fails.
pub(crate) struct Bystander {
    body: Body,
    gate: String,
}

impl Bystander {
    const CHUNKS: u64 = 4;

    pub(crate) async fn start(client: &Client, mock: &MockLlm, gate: &str) -> Self {
        Self::start_at(client, mock, &mock.url(), gate).await
    }

    /// The same; the mock is found at this origin.
    pub(crate) async fn start_at(client: &Client, mock: &MockLlm, origin: &str, gate: &str) -> Self {
        let url = format!("{origin}/raw/gated?gate={gate}&chunks={}&size=100", Self::CHUNKS);
        let mut body = call(client, get(&url)).await.expect("the bystander starts").into_body();
        mock.release(gate, 1);
        assert!(chunk(&mut body).await.is_some());
        Self { body, gate: gate.to_owned() }
    }

    /// Goes on to its end, as if nothing had been.
    pub(crate) async fn finish(mut self, mock: &MockLlm) {
        for number in 1..Self::CHUNKS {
            mock.release(&self.gate, 1);
            let chunk = chunk(&mut self.body).await.expect("the bystander goes on");
            assert_eq!(chunk[..8], number.to_be_bytes());
        }
        assert!(chunk(&mut self.body).await.is_none());
    }
}
