//! Calling upstreams: pooled clients, under two rules for where names may lead.

pub(super) mod answer;
mod chunks;
pub(super) mod failure;
mod kept;
mod resolver;
mod tap;

use std::{
    error::Error as StdError,
    future::{Future, ready},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{net::TcpStream, time::timeout};
use tower::Service;

use self::{
    kept::Kept,
    resolver::{Dns, Resolver},
    tap::Tapped,
};
use super::{
    config::{Config, ConfigError},
    guard::address::Reach,
    upload::Upload,
    worker::Worker,
};
use crate::{
    http::{HEAD_BYTES, HEAD_FIELDS},
    tls,
};

/// How long an unused connection to an upstream is kept.
const POOL_IDLE: Duration = Duration::from_secs(90);

/// Calls at once through one pool of connections. A pool has one HTTP/2 connection to an origin, and servers offer at least
/// 100 streams on it (RFC 9113 section 6.5.2): beyond that, a call would wait for another to end.
const CALLS: usize = 80;
/// What an upstream may send of one response before it was read, bytes: bounds what a slow reader holds.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for a whole HTTP/2 connection: no limit of its own, or slow readers would stop everyone on the connection.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// An HTTP/2 connection that is silent for so long is asked for a sign of life, and given up without one.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The same below HTTP, for HTTP/1.1 has no such sign: how long, how long for each question, and how many of them.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(15);
const TCP_PROBES: u32 = 3;
/// What was sent and is not acknowledged for so long ends a connection.
#[cfg(any(target_os = "android", target_os = "linux"))]
const TCP_UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How often a request goes out again that an upstream did not see, or refused without looking at it.
const REPEATS: usize = 2;

/// TLS for the upstreams cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// Mostly no root certificates on this machine.
    #[error("cannot set up TLS for the upstreams ({0}); on Debian, install the package ca-certificates")]
    Tls(#[from] rustls::Error),
    /// The configuration was made by hand, and is not valid.
    #[error("the configuration is not valid: {0}")]
    Config(#[from] ConfigError),
    /// The configured DNS servers cannot be asked.
    #[error("cannot set up the DNS servers of the configuration: {0}")]
    Dns(String),
    /// Nothing can be kept secret without it.
    #[error("the operating system gives no randomness")]
    NoRandomness,
}

/// The HTTP clients of all workers, each of which has its own. When this is dropped, so are the connections that wait to be used again,
/// and what they remember of the requests before.
#[derive(Debug)]
pub(super) struct Shared {
    settings: Settings,
    workers: Mutex<Vec<(usize, Arc<Upstreams>)>>,
}

impl Shared {
    pub(super) fn new(config: &Config) -> Result<Arc<Self>, SetUpError> {
        Ok(Arc::new(Self { settings: Settings::new(config)?, workers: Mutex::default() }))
    }

    /// The same without any connection.
    pub(super) fn anew(&self) -> Arc<Self> {
        Arc::new(Self { settings: self.settings.clone(), workers: Mutex::default() })
    }

    /// Those of a worker.
    pub(super) fn of(&self, worker: &Worker) -> Arc<Upstreams> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, upstreams)) = workers.iter().find(|(number, _)| *number == worker.number) {
            return upstreams.clone();
        }
        let upstreams = Arc::new(Upstreams::new(&self.settings));
        workers.push((worker.number, upstreams.clone()));
        upstreams
    }
}

/// The HTTP clients of a worker.
#[derive(Debug)]
pub(super) struct Upstreams {
    /// For names that lead to public addresses alone. None of its connections leads elsewhere.
    public: Pools,
    /// For those that may lead to private ones.
    private: Pools,
}

impl Upstreams {
    fn new(settings: &Settings) -> Self {
        let pools = |reach| Pools { settings: settings.clone(), reach, list: Mutex::default() };
        Self { public: pools(Reach::Public), private: pools(Reach::Private) }
    }

    /// A client for an origin whose name may lead so far, held for one call.
    pub(super) fn lease(&self, reach: Reach) -> Lease {
        match reach {
            Reach::Public => self.public.lease(),
            Reach::Private => self.private.lease(),
        }
    }
}

/// As many pools of connections as the calls at once need.
#[derive(Debug)]
struct Pools {
    settings: Settings,
    reach: Reach,
    list: Mutex<Vec<Arc<Pool>>>,
}

#[derive(Debug)]
struct Pool {
    /// Bodies are boxed: a connection has room for 32 requests, of which it uses one.
    client: Client<Connector, Box<Upload>>,
    busy: AtomicUsize,
}

/// A client, held for one call.
#[derive(Debug)]
pub(super) struct Lease(Arc<Pool>);

impl Pools {
    /// The first pool that has room, so that few connections serve; a new one if none has.
    fn lease(&self) -> Lease {
        let mut pools = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let free = pools.iter().find(|pool| pool.busy.load(Relaxed) < CALLS).cloned();
        let pool = free.unwrap_or_else(|| {
            let pool = Arc::new(Pool { client: self.settings.client(self.reach), busy: AtomicUsize::new(0) });
            pools.push(pool.clone());
            pool
        });
        pool.busy.fetch_add(1, Relaxed);
        Lease(pool)
    }
}

impl Lease {
    /// Makes a request until it is answered or fails: once, but for what an upstream did not see, or refuses unseen.
    ///
    /// What was given to a kept connection that turned out to be closed before any of it was written goes out again. (The client
    /// itself does that only with those that it keeps.) Beyond that, only what the upstream says it did not process is repeated, and
    /// only without a body: pieces of one are gone when they are sent.
    pub(super) async fn call(&self, request: impl Fn() -> Request<Box<Upload>>) -> Result<Response<Incoming>, Error> {
        for _ in 0..REPEATS {
            let request = request();
            let bodiless = request.body().is_end_stream();
            match self.0.client.request(request).await {
                Err(error) if failure::is_unsent(&error) || (bodiless && failure::is_refusal(&error)) => {}
                result => return result,
            }
        }
        self.0.client.request(request()).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

/// What the clients of all workers have in common.
#[derive(Clone, Debug)]
struct Settings {
    tls: Arc<rustls::ClientConfig>,
    dns: Dns,
    connect: Duration,
}

impl Settings {
    fn new(config: &Config) -> Result<Self, SetUpError> {
        config.limits.check()?;
        let mut tls = tls::client_config()?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connect = config.limits.connect();
        let dns = Dns::new(&config.dns.servers, connect).map_err(|error| SetUpError::Dns(error.to_string()))?;
        Ok(Self { tls: Arc::new(tls), dns, connect })
    }

    /// It follows no redirects, knows of no proxies, and adds no header but `host`.
    fn client(&self, reach: Reach) -> Client<Connector, Box<Upload>> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver { dns: self.dns.clone(), reach });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(TCP_KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(TCP_PROBES));
        #[cfg(any(target_os = "android", target_os = "linux"))]
        tcp.set_tcp_user_timeout(Some(TCP_UNACKNOWLEDGED));
        // Shared by a name's addresses, so that one that is dead leaves time for the next.
        tcp.set_connect_timeout(Some(self.connect));
        let fresh = (tcp, self.tls.clone()).into();
        let connector = Connector { fresh, limit: self.connect, kept: Kept::new(POOL_IDLE) };
        Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .http1_max_headers(HEAD_FIELDS)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .http2_max_header_list_size(HEAD_BYTES)
            .build(connector)
    }
}

/// A connection to an upstream.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Connects within a time that name, TCP and TLS share, where no connection is free.
#[derive(Clone, Debug)]
struct Connector {
    fresh: HttpsConnector<HttpConnector<Resolver>>,
    limit: Duration,
    kept: Arc<Kept<Stream>>,
}

impl Service<Uri> for Connector {
    type Response = Tapped<Stream>;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.fresh.poll_ready(cx)
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        let home = self.kept.home(origin.clone());
        if let Some(connection) = self.kept.take(&origin) {
            return Box::pin(ready(Ok(Tapped::new(connection, home))));
        }
        let connection = timeout(self.limit, self.fresh.call(origin));
        Box::pin(async {
            let connection = connection.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            Ok(Tapped::new(Box::new(connection?), home))
        })
    }
}
