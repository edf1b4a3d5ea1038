//! Calling upstreams: pooled clients, under two rules for addresses.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    address::Resolver,
    config::{Config, ConfigError},
    origins::Verdict,
};
use crate::{proto::limits::HEADER_FIELDS, tls};

/// How long an unused connection to an upstream is kept.
const POOL_IDLE: Duration = Duration::from_secs(90);

/// Calls at once through one pool of connections. A pool has one HTTP/2 connection to an origin, and servers offer at least
/// 100 streams on it (RFC 9113 section 6.5.2): beyond that, a call would wait for another to end.
const CALLS: usize = 80;
/// What an upstream may send of one response before it was read, bytes: bounds what a slow reader holds.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for a whole HTTP/2 connection: no limit of its own, or slow readers would stop everyone on the connection.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// What HTTP/2 may count for a head, bytes: more than ours can hold, so that our own check decides and says so.
const HEAD_ROOM: u32 = 1 << 16;
/// An HTTP/2 connection that is silent for so long is asked for a sign of life, and given up without one.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// TLS for the upstreams cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// Mostly no root certificates on this machine.
    #[error("cannot set up TLS for the upstreams ({0}); on Debian, install the package ca-certificates")]
    Tls(#[from] rustls::Error),
    /// The configuration was made by hand, and is not valid.
    #[error("the configuration is not valid: {0}")]
    Config(#[from] ConfigError),
    /// The HTTP client refuses its settings.
    #[error("cannot set up the HTTP client for the upstreams: {0}")]
    Http(#[from] reqwest::Error),
}

/// The HTTP clients.
#[derive(Debug)]
pub(super) struct Upstreams {
    /// For built-in origins: public addresses alone.
    public: Pools,
    /// For origins listed by hand: any address.
    listed: Pools,
}

impl Upstreams {
    pub(super) fn new(config: &Config) -> Result<Self, SetUpError> {
        config.limits.check()?;
        let mut tls = tls::client_config()?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let pools = |public_only| {
            let settings = Settings { tls: tls.clone(), public_only, connect: config.limits.connect() };
            let first = Arc::new(Pool { client: settings.client()?, busy: AtomicUsize::new(0) });
            Ok::<_, SetUpError>(Pools { settings, pools: Mutex::new(vec![first]) })
        };
        Ok(Self { public: pools(true)?, listed: pools(false)? })
    }

    /// A client for an origin with this verdict, held for one call.
    pub(super) fn lease(&self, verdict: Verdict) -> Option<Lease> {
        match verdict {
            Verdict::Public => Some(self.public.lease()),
            Verdict::Listed => Some(self.listed.lease()),
            Verdict::Refused => None,
        }
    }
}

/// As many pools of connections as the calls at once need.
#[derive(Debug)]
struct Pools {
    settings: Settings,
    pools: Mutex<Vec<Arc<Pool>>>,
}

#[derive(Debug)]
struct Pool {
    client: reqwest::Client,
    busy: AtomicUsize,
}

/// A client, held for one call.
#[derive(Debug)]
pub(super) struct Lease(Arc<Pool>);

impl Pools {
    /// The first pool that has room, so that few connections serve; a new one if none has.
    fn lease(&self) -> Lease {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let free = pools.iter().find(|pool| pool.busy.load(Relaxed) < CALLS).cloned();
        let pool = free.or_else(|| {
            let pool = Arc::new(Pool { client: self.settings.client().ok()?, busy: AtomicUsize::new(0) });
            pools.push(pool.clone());
            Some(pool)
        });
        // The first was made with the same settings; waiting in it is better than failing.
        let pool = pool.unwrap_or_else(|| pools[0].clone());
        pool.busy.fetch_add(1, Relaxed);
        Lease(pool)
    }
}

impl Lease {
    pub(super) fn client(&self) -> &reqwest::Client {
        &self.0.client
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

#[derive(Debug)]
struct Settings {
    tls: rustls::ClientConfig,
    public_only: bool,
    connect: Duration,
}

impl Settings {
    fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(Arc::new(Resolver { public_only: self.public_only }))
            .connect_timeout(self.connect)
            .pool_idle_timeout(POOL_IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .tcp_nodelay(true)
            // More than may travel: hop-by-hop fields do not count.
            .http1_max_headers(2 * HEADER_FIELDS)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .http2_max_header_list_size(HEAD_ROOM)
            .build()
    }
}
