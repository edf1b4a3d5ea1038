//! Reaching the proxy: TCP or TLS, then the handshake.

use std::{fmt, io, str::FromStr, sync::Arc, time::Duration};

#[cfg(all(test, feature = "server"))]
use futures::future::BoxFuture;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Notify, oneshot},
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use super::{Builder, Error, ServerHello, error::PROXY_UNREACHABLE};
use crate::{
    driver::{Exchange, Hook, Pump, Session, tune},
    proto::{
        self, AWS_LC, ClientConfig, Closed, Connection, Fault, KeyId, Psk, Terms,
        crypto::Secret,
        frame::{GoAway, Request, Resume},
    },
    tls,
};

const DEFAULT_PORT: u16 = 50051;

/// Where the proxy is, and whether a TLS balancer stands before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUrl {
    tls: bool,
    /// A name or an address; IPv6 without brackets.
    host: String,
    port: u16,
}

/// A proxy URL that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// Not of a form that is known.
    #[error("a proxy URL has the form http://host:port, host:port, or https://host:port where a balancer ends the TLS")]
    Form,
    /// Another scheme.
    #[error(
        "a proxy URL begins with http:// (the relay's own encryption over TCP) or https:// (the same inside TLS), not {0}://"
    )]
    Scheme(String),
}

impl FromStr for ProxyUrl {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(ProxyUrlError::Scheme(scheme.chars().take(16).filter(char::is_ascii_graphic).collect())),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // The host and port of a URL, read by the same rules as any other.
        let url = url::Url::parse(&format!("http://{rest}")).map_err(|_| ProxyUrlError::Form)?;
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let host = match url.host().ok_or(ProxyUrlError::Form)? {
            url::Host::Domain(name) => name.to_owned(),
            url::Host::Ipv4(address) => address.to_string(),
            url::Host::Ipv6(address) => address.to_string(),
        };
        if !plain || !url.username().is_empty() || url.password().is_some() || rest.contains('@') {
            return Err(ProxyUrlError::Form);
        }
        // `Url` forgets an explicit port 80.
        let port = if rest.ends_with(":80") { 80 } else { url.port().unwrap_or(DEFAULT_PORT) };
        Ok(Self { tls, host, port })
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Reaches a proxy by something else than TCP: the simulation's network.
#[cfg(all(test, feature = "server"))]
#[derive(Clone)]
pub(crate) struct Reach(pub(crate) Arc<dyn Fn() -> Reached + Send + Sync>);

/// What comes of it.
#[cfg(all(test, feature = "server"))]
type Reached = BoxFuture<'static, io::Result<Box<dyn Transport>>>;

#[cfg(all(test, feature = "server"))]
impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").finish_non_exhaustive()
    }
}

/// What a session can run over.
#[cfg(all(test, feature = "server"))]
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

/// A session that is up.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) session: Session,
    pub(super) hello: ServerHello,
    pub(super) opened: Instant,
}

/// What a session is connected with in its client.
pub(super) struct Wires<'a> {
    /// Its pump runs among them.
    pub(super) tasks: &'a TaskTracker,
    /// The moment that it calls zero.
    pub(super) epoch: Instant,
    /// Told when the session takes nothing more.
    pub(super) changed: &'a Arc<Notify>,
    /// Told when it takes another request.
    pub(super) free: &'a Arc<Notify>,
    /// Told of exchanges that do not go on in it, and whether they are to be asked anew, because the server had nothing of them.
    pub(super) adrift: Box<dyn Fn(Arc<Exchange>, bool) + Send>,
}

/// Connects to this proxy and shakes hands.
pub(super) async fn connect(settings: &Builder, proxy: &ProxyUrl, wires: Wires<'_>) -> Result<Ready, Error> {
    let unreachable = |why: String| {
        let text = format!("cannot reach the proxy at {proxy}: {why}");
        Error::new(PROXY_UNREACHABLE, Fault::Network, text).retry_safe_if(true).passing_if(true)
    };
    let limit = settings.connect_time;
    #[cfg(all(test, feature = "server"))]
    if let Some(Reach(reach)) = &settings.reach {
        let stream = timeout(limit, reach()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        return shake(stream.map_err(|error| unreachable(explain(&error)))?, settings, proxy, wires).await;
    }
    let reach = async {
        let stream = TcpStream::connect((&*proxy.host, proxy.port)).await?;
        tune(&stream, settings.keep_alive)?;
        Ok(stream)
    };
    let stream = match timeout(limit, reach).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(explain(&error))),
        Err(_) => return Err(unreachable(format!("no connection within {} s", limit.as_secs_f64()))),
    };
    if proxy.tls {
        let secure = async {
            let name = ServerName::try_from(proxy.host.clone()).map_err(io::Error::other)?;
            tls()?.connect(name, stream).await
        };
        match timeout(limit, secure).await {
            Ok(Ok(stream)) => shake(stream, settings, proxy, wires).await,
            Ok(Err(error)) => {
                // A certificate or name that is wrong stays wrong.
                let wrong = matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::Other);
                Err(unreachable(format!("TLS failed: {error}")).passing_if(!wrong))
            }
            Err(_) => Err(unreachable(format!("no TLS within {} s", limit.as_secs_f64()))),
        }
    } else {
        shake(stream, settings, proxy, wires).await
    }
}

/// What a person makes of a failed connect.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there; is xllm-proxy running?".into(),
        _ => error.to_string(),
    }
}

fn tls() -> io::Result<TlsConnector> {
    Ok(TlsConnector::from(Arc::new(tls::client_config().map_err(io::Error::other)?)))
}

async fn shake<T>(io: T, settings: &Builder, proxy: &ProxyUrl, wires: Wires<'_>) -> Result<Ready, Error>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut ephemeral = Secret::new([0; 32]);
    getrandom::fill(ephemeral.expose_mut()).map_err(|_| Error::no_randomness())?;
    let config = ClientConfig {
        credential: settings.credential.clone(),
        profile: settings.profile,
        hello_time: settings.connect_time,
        keep_alive: settings.keep_alive,
    };
    let start = Instant::now();
    let Wires { tasks, epoch, changed, free, adrift } = wires;
    let connection = Connection::client(config, ephemeral, start - epoch, &AWS_LC).map_err(|error| match error {
        proto::Error::Unauthentic(_) => {
            Error::new("key-refused", Fault::Client, "the key holds a server key that cannot be used")
        }
        other => Error::new("internal", Fault::Client, other.to_string()),
    })?;
    let session = Session::new(connection, epoch, free.clone());
    let (sender, outcome) = oneshot::channel();
    // The server's clock is for the server's end of the core alone.
    let hook = ClientHook { session: session.clone(), outcome: Some(sender), changed: changed.clone(), adrift };
    tasks.spawn(Pump::new(io, session.clone(), hook, || 0).run());
    match outcome.await {
        Ok(Ok(hello)) => {
            debug!(%proxy, profile = %hello.profile, "session open");
            Ok(Ready { session, hello, opened: Instant::now() })
        }
        Ok(Err(why)) => {
            // Who closes at once is stopping, or a balancer with nothing behind it. Who cannot read the hello waits first:
            // closing would tell a prober something.
            let at_once = matches!(why, Closed::Lost { .. }) && start.elapsed() < settings.connect_time / 2;
            Err(Error::no_session(&why, proxy, settings.connect_time).passing_if(at_once))
        }
        Err(_) => Err(Error::no_session(&Closed::Lost { in_hello: true }, proxy, settings.connect_time)),
    }
}

struct ClientHook {
    session: Session,
    /// Who waits for the handshake.
    outcome: Option<oneshot::Sender<Result<ServerHello, Closed>>>,
    changed: Arc<Notify>,
    adrift: Box<dyn Fn(Arc<Exchange>, bool) + Send>,
}

impl ClientHook {
    fn decide(&mut self, outcome: Result<ServerHello, Closed>) {
        if let Some(sender) = self.outcome.take()
            && sender.send(outcome).is_err()
        {
            // Nobody waits for this session any more.
            self.session.go_away(None, "");
        }
    }
}

impl Hook for ClientHook {
    /// Its sessions are all of one user, who loses more by each turn than another session could gain.
    const SLICE: Duration = Duration::MAX;

    fn key(&mut self, _id: KeyId) -> Option<(Psk, Terms)> {
        None
    }

    fn established(&mut self, hello: Option<ServerHello>) {
        if let Some(hello) = hello {
            self.decide(Ok(hello));
        }
    }

    fn rejected(&mut self, _error: proto::Error) {}

    fn request(&mut self, _exchange: Arc<Exchange>, _request: Box<Request>) -> Duration {
        Duration::ZERO
    }

    fn resume(&mut self, _number: u32, _resume: &Resume) {}

    fn adrift(&mut self, exchange: Arc<Exchange>, anew: bool) {
        (self.adrift)(exchange, anew);
    }

    fn going_away(&mut self, goaway: &GoAway) {
        debug!(code = goaway.code.map(proto::Code::name), "the proxy ends the session");
        self.changed.notify_waiters();
    }

    fn closed(&mut self, why: &Closed) {
        debug!(?why, "session closed");
        if self.session.holds_any() {
            info!("the connection to the proxy was cut; its requests go on over another one");
        }
        self.decide(Err(why.clone()));
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(tls: bool, host: &str, port: u16) -> ProxyUrl {
        ProxyUrl { tls, host: host.into(), port }
    }

    #[test]
    fn every_form_of_proxy_url_is_understood() {
        for (text, expected) in [
            ("http://proxy.example:50051", url(false, "proxy.example", 50051)),
            ("http://proxy.example:50051/", url(false, "proxy.example", 50051)),
            ("HTTP://Proxy.Example", url(false, "proxy.example", 50051)),
            ("proxy.example:7000", url(false, "proxy.example", 7000)),
            ("proxy.example", url(false, "proxy.example", 50051)),
            ("proxy.example:80", url(false, "proxy.example", 80)),
            ("127.0.0.1:1", url(false, "127.0.0.1", 1)),
            ("[::1]:50051", url(false, "::1", 50051)),
            (" https://proxy.example:443 ", url(true, "proxy.example", 443)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["", "http://", "http://h/path", "http://h?x", "http://u@h", "h:99999", "ftp://h:1", "a b"] {
            assert!(text.parse::<ProxyUrl>().is_err(), "{text}");
        }
    }
}
