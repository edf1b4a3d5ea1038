//! The way to the API: straight, or through the relay. Both carry `http` requests and
//! answer with a streaming body; dropping that body cancels the upstream call.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use tower::ServiceExt as _;
use xllm_proxy::client::{self, Client, Fault, Mode, Receipt, Stamps};

use crate::{
    credential,
    exit::{Exit, Failure},
    secret::Secret,
};

/// A host that takes longer to accept a connection is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a cancel may take to leave.
const CANCEL_TIME: Duration = Duration::from_millis(200);

/// What the API sees us as.
const USER_AGENT: &str = concat!("xllm/", env!("CARGO_PKG_VERSION"));

/// A way to the API.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Straight.
    Direct(reqwest::Client),
    /// Through the relay.
    Proxy(Client),
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Body(Source);

/// Where a body comes from.
#[derive(Debug)]
enum Source {
    /// Straight from the API.
    Direct(UnsyncBoxBody<Bytes, Error>),
    /// Through the relay, which tells more of it.
    Proxy(Box<client::Body>),
}

/// Why nothing, or no more, came.
#[derive(Debug, Clone)]
pub(crate) struct Error {
    message: String,
    /// The relay's name for it.
    code: Option<&'static str>,
    /// Whether the API's side broke off, rather than the proxy or the network.
    upstream: bool,
    remedy: Option<String>,
}

impl Transport {
    pub(crate) fn direct() -> Result<Self, Failure> {
        // Redirects are not followed: they would carry the key elsewhere.
        reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map(Self::Direct)
            .map_err(|error| Failure::proxy(format!("TLS cannot be set up: {}", reason(&error))))
    }

    pub(crate) fn proxy(url: &str, key: &Secret, nodes: &[(String, String)]) -> Result<Self, Failure> {
        Ok(Self::Proxy(builder(url, key, nodes)?.build()))
    }

    /// Sends a request. `buffered` asks for the whole answer or an error.
    pub(crate) async fn send(&self, mut request: Request<Bytes>, buffered: bool) -> Result<Response<Body>, Error> {
        match self {
            Self::Direct(client) => {
                let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
                let request = request.map(|bytes| reqwest::Body::wrap(Full::new(bytes)));
                let request = reqwest::Request::try_from(request).map_err(|error| Error::network(&error, &host))?;
                let response = client.execute(request).await.map_err(|error| Error::network(&error, &host))?;
                let response = Response::<reqwest::Body>::from(response);
                Ok(response
                    .map(|body| Body(Source::Direct(body.map_err(move |error| Error::network(&error, &host)).boxed_unsync()))))
            }
            Self::Proxy(client) => {
                if buffered {
                    request.extensions_mut().insert(Mode::Buffered);
                }
                let response = client.clone().oneshot(request.map(Full::new)).await?;
                Ok(response.map(|body| Body(Source::Proxy(Box::new(body)))))
            }
        }
    }

    /// Gives a cancelled call a moment to be told so. Bounded.
    pub(crate) async fn settle(&self) {
        match self {
            // The connection's task sees that the body was dropped, and closes.
            Self::Direct(_) => tokio::task::yield_now().await,
            Self::Proxy(client) => client.close(CANCEL_TIME).await,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.0 {
            Source::Direct(body) => Pin::new(body).poll_frame(cx),
            Source::Proxy(body) => Pin::new(body).poll_frame(cx).map_err(Error::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Direct(body) => body.is_end_stream(),
            Source::Proxy(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match &self.0 {
            Source::Direct(body) => body.size_hint(),
            Source::Proxy(body) => body.size_hint(),
        }
    }
}

impl Body {
    /// When the relay had the piece that came last, if the request asked for [`client::Timings`].
    pub(crate) fn stamps(&self) -> Option<Stamps> {
        match &self.0 {
            Source::Direct(_) => None,
            Source::Proxy(body) => body.stamps().copied(),
        }
    }

    /// Where the time went inside the relay; there once the body has ended.
    pub(crate) fn receipt(&self) -> Option<Receipt> {
        match &self.0 {
            Source::Direct(_) => None,
            Source::Proxy(body) => body.receipt().copied(),
        }
    }

    /// A body in memory, cut into these pieces.
    #[cfg(test)]
    pub(crate) fn of(pieces: Vec<Bytes>) -> Self {
        let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
        Self(Source::Direct(http_body_util::StreamBody::new(futures::stream::iter(frames)).boxed_unsync()))
    }
}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Self {
        let upstream = error.blame() == Fault::Upstream;
        let remedy = error.retry_after().map(|wait| format!("ask again after {} s", wait.as_secs_f64().ceil()));
        Self { message: format!("{error} ({})", error.code()), code: Some(error.code()), upstream, remedy }
    }
}

impl Error {
    fn network(error: &reqwest::Error, host: &str) -> Self {
        let what = if error.is_timeout() {
            format!("{host} did not answer in time")
        } else if error.is_connect() {
            format!("cannot connect to {host}")
        } else if error.is_body() || error.is_decode() {
            format!("the connection to {host} broke")
        } else {
            format!("the request to {host} failed")
        };
        let message = format!("{what}: {}", reason(error));
        Self { message, code: None, upstream: false, remedy: None }
    }

    /// An error of the network that says this.
    #[cfg(test)]
    pub(crate) fn of(message: &str) -> Self {
        Self { message: message.to_owned(), code: None, upstream: false, remedy: None }
    }

    /// The relay's name for it, where it came that way.
    pub(crate) fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// Whose doing it is: what a command ends with that has no other error.
    pub(crate) fn exit(&self) -> Exit {
        if self.upstream { Exit::Api } else { Exit::Proxy }
    }

    /// As the error that ends the command.
    pub(crate) fn into_failure(self, before: &str) -> Failure {
        let mut failure = match self.exit() {
            Exit::Api => Failure::api(format!("{before}{}", self.message)),
            _ => Failure::proxy(format!("{before}{}", self.message)),
        };
        if let Some(remedy) = self.remedy {
            failure = failure.remedy(remedy);
        }
        failure
    }
}

/// Settings of a client of the proxy at `url`. `nodes`: where each of several proxies can be reached by itself.
pub(crate) fn builder(url: &str, key: &Secret, nodes: &[(String, String)]) -> Result<client::Builder, Failure> {
    let builder = Client::builder(url, credential::parse(key)?).map_err(|error| Failure::usage(error.to_string()))?;
    nodes.iter().try_fold(builder, |builder, (name, url)| {
        builder.node(name, url).map_err(|error| Failure::usage(format!("[nodes] {name}: {error}")))
    })
}

/// The innermost cause: the outer ones repeat it or hold the URL.
fn reason(error: &dyn StdError) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {}
