//! Names to addresses that may be called.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr,
};
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::server::guard::address::Reach;

/// Answers that are remembered.
const CACHE: u64 = 1024;
/// How long an answer of a DNS server counts at most, whatever it says; and one that says that there is none.
const FOUND: Duration = Duration::from_mins(5);
const NOT_FOUND: Duration = Duration::from_secs(10);
/// How often a server that does not answer is asked again.
const AGAIN: usize = 1;

/// Who is asked for addresses.
#[derive(Clone, Debug)]
pub(super) enum Dns {
    /// The system.
    System,
    /// DNS servers of the configuration.
    Servers(Arc<TokioResolver>),
}

impl Dns {
    /// These servers, if there are some, which have so long to answer.
    ///
    /// # Errors
    /// If they cannot be asked at all.
    pub(super) fn new(servers: &[SocketAddr], limit: Duration) -> Result<Self, NetError> {
        if servers.is_empty() {
            return Ok(Self::System);
        }
        let server = |address: &SocketAddr| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = address.port();
                connection
            });
            NameServerConfig::new(address.ip(), true, connections.into())
        };
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        options.use_hosts_file = ResolveHosts::Never;
        // One question for each kind of address and server.
        options.num_concurrent_reqs = 1;
        options.attempts = AGAIN;
        options.timeout = limit / 3;
        options.try_tcp_on_error = true;
        options.cache_size = CACHE;
        options.positive_max_ttl = Some(FOUND);
        options.negative_max_ttl = Some(NOT_FOUND);
        Ok(Self::Servers(Arc::new(builder.build()?)))
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let found: Vec<_> = match self {
            Self::System => {
                let found = tokio::net::lookup_host((name, 0)).await;
                found.map_err(|error| ResolveError::Unresolved(Some(error)))?.map(|address| address.ip()).collect()
            }
            Self::Servers(resolver) => {
                let mut name = rr::Name::from_ascii(name).map_err(|_| ResolveError::Unresolved(None))?;
                // It is whole: nothing is to be tried behind it.
                name.set_fqdn(true);
                match resolver.lookup_ip(name).await {
                    Ok(found) => found.iter().collect(),
                    Err(error) if error.is_no_records_found() => Vec::new(),
                    Err(error) => return Err(ResolveError::NoAnswer(error)),
                }
            }
        };
        if found.is_empty() { Err(ResolveError::Unresolved(None)) } else { Ok(found) }
    }
}

/// Resolves names, and gives out only addresses that may be called: so the address that was checked is the one connected to.
///
/// An address that stands in the URL itself does not come here: it is called where that very origin is listed, for no wildcard
/// and no built-in origin is one.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    pub(super) dns: Dns,
    pub(super) reach: Reach,
}

/// A name that cannot be called.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("the name has no address")]
    Unresolved(#[source] Option<io::Error>),
    #[error("the proxy's DNS servers do not say what its address is")]
    NoAnswer(#[source] NetError),
    #[error("the name leads to no address that the proxy may call; who runs the proxy can allow private ones under [[origin]]")]
    NotAllowed,
}

impl Service<Name> for Resolver {
    /// With port 0, which stands for the URL's.
    type Response = vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ResolveError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { dns, reach } = self.clone();
        Box::pin(async move {
            let found = dns.look_up(name.as_str()).await?;
            usable(found, reach).map(Vec::into_iter)
        })
    }
}

/// Those that may be called; an error if there is none.
fn usable(found: Vec<IpAddr>, reach: Reach) -> Result<Vec<SocketAddr>, ResolveError> {
    let allowed = found.into_iter().filter(|address| reach.allows(*address));
    let usable: Vec<_> = allowed.map(|address| SocketAddr::new(address, 0)).collect();
    if usable.is_empty() { Err(ResolveError::NotAllowed) } else { Ok(usable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_of_this_machine_is_found_where_private_addresses_are_allowed() {
        let call = |reach| Resolver { dns: Dns::System, reach }.call("localhost".parse().expect("a name"));
        let found = call(Reach::Private).await.expect("this machine has an address");
        assert!(found.into_iter().all(|address| address.ip().is_loopback() && address.port() == 0));
        assert!(matches!(call(Reach::Public).await, Err(ResolveError::NotAllowed)));
    }

    #[test]
    fn of_several_addresses_those_that_are_allowed_are_used() {
        for (found, reach, expected) in [
            (&["1.1.1.1", "127.0.0.1", "2606:4700::1", "::1"][..], Reach::Public, &["1.1.1.1:0", "[2606:4700::1]:0"][..]),
            (&["169.254.169.254", "10.0.0.1", "::ffff:8.8.8.8"], Reach::Private, &["10.0.0.1:0", "[::ffff:8.8.8.8]:0"]),
            (&["169.254.169.254", "10.0.0.1"], Reach::Public, &[]),
            (&["169.254.169.254", "64:ff9b::7f00:1"], Reach::Private, &[]),
            (&[], Reach::Private, &[]),
        ] {
            let addresses = found.iter().map(|text| text.parse().expect("an address")).collect();
            let usable = usable(addresses, reach).unwrap_or_default();
            assert_eq!(usable.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{found:?}");
        }
    }
}
