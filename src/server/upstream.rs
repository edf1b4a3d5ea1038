//! Calling upstreams: one pooled client, two rules for addresses, and what its failures mean.

use std::{
    error::Error as StdError,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{config::Config, origins::Verdict};
use crate::proto::{Code, Fault, frame::Notice};

/// How long an unused connection to an upstream is kept.
const POOL_IDLE: Duration = Duration::from_secs(90);

/// TLS for the upstreams cannot be set up: mostly no root certificates on this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS for the upstreams ({0}); on Debian, install the package ca-certificates")]
pub struct SetUpError(reqwest::Error);

/// The HTTP clients.
#[derive(Debug)]
pub(super) struct Upstreams {
    /// For built-in origins: public addresses alone.
    public: reqwest::Client,
    /// For origins listed by hand: any address.
    listed: reqwest::Client,
}

impl Upstreams {
    pub(super) fn new(config: &Config) -> Result<Self, SetUpError> {
        let client = |public_only| {
            reqwest::Client::builder()
                .dns_resolver(Arc::new(Resolver { public_only }))
                .connect_timeout(config.limits.connect())
                .pool_idle_timeout(POOL_IDLE)
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .tcp_nodelay(true)
                .build()
                .map_err(SetUpError)
        };
        Ok(Self { public: client(true)?, listed: client(false)? })
    }

    /// The client for an origin with this verdict.
    pub(super) const fn client(&self, verdict: Verdict) -> Option<&reqwest::Client> {
        match verdict {
            Verdict::Public => Some(&self.public),
            Verdict::Listed => Some(&self.listed),
            Verdict::Refused => None,
        }
    }
}

/// Resolves names, and gives out only addresses that may be called: so the address that was checked is the one connected to.
struct Resolver {
    public_only: bool,
}

#[derive(Debug, thiserror::Error)]
enum ResolveError {
    #[error("the name has no address")]
    Unresolved(#[source] Option<io::Error>),
    #[error("the name resolves to an address that the proxy may not call")]
    NotAllowed,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let public_only = self.public_only;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found: Vec<SocketAddr> = found.map_err(|error| ResolveError::Unresolved(Some(error)))?.collect();
            if found.is_empty() {
                return Err(ResolveError::Unresolved(None).into());
            }
            let usable: Vec<_> = found.into_iter().filter(|address| !public_only || is_public(address.ip())).collect();
            if usable.is_empty() {
                return Err(ResolveError::NotAllowed.into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is a public one: none that leads to this machine, its network, or nowhere (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.segments() {
            // IPv4-mapped, IPv4-compatible, NAT64, and 6to4: what counts is the IPv4 address inside.
            [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                inside(high, low)
            }
            // Global unicast is 2000::/3; documentation and benchmarking are not for use.
            [0x2001, 0..0x0200 | 0x0db8, ..] | [0x3fff, 0..0x1000, ..] => false,
            [first, ..] => first & 0xe000 == 0x2000,
        },
    }
}

fn inside(high: u16, low: u16) -> bool {
    let address = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low).to_ipv4_mapped();
    address.is_some_and(is_public_v4)
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224.., ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

/// The first error of this type in the chain.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // The `source` of an `io::Error` skips the error that it wraps.
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// What a failure before the response head means.
pub(super) fn call_failed(error: &reqwest::Error, connect: Duration) -> Notice {
    if let Some(resolve) = find::<ResolveError>(error) {
        let (code, fault) = match resolve {
            ResolveError::Unresolved(_) => (Code::UpstreamUnresolved, Fault::Upstream),
            ResolveError::NotAllowed => (Code::AddressNotAllowed, Fault::Proxy),
        };
        return Notice::new(code, fault, resolve.to_string()).retry_safe();
    }
    if error.is_connect() {
        if let Some(tls) = find::<rustls::Error>(error) {
            return Notice::new(Code::UpstreamTls, Fault::Upstream, format!("TLS with the upstream failed: {tls}"))
                .retry_safe();
        }
        let why = if error.is_timeout() {
            format!("no connection within {} s", connect.as_secs_f64())
        } else {
            find::<io::Error>(error).map_or_else(|| "no connection".to_owned(), describe_io)
        };
        return Notice::new(Code::UpstreamUnreachable, Fault::Upstream, format!("the upstream cannot be reached: {why}"))
            .retry_safe();
    }
    broke(error, "before its answer began")
}

fn describe_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "it refused the connection".into(),
        io::ErrorKind::ConnectionReset => "it reset the connection".into(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "there is no route to it".into(),
        kind => kind.to_string(),
    }
}

/// What a failure in the middle of the response body means.
pub(super) fn body_failed(error: &reqwest::Error) -> Notice {
    broke(error, "in the middle of its answer")
}

fn broke(error: &reqwest::Error, when: &str) -> Notice {
    let parse = find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse);
    // What is wrong inside a chunked body comes as one of these.
    let chunks = find::<io::Error>(error).map(io::Error::kind);
    if parse || matches!(chunks, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)) {
        Notice::new(Code::UpstreamProtocol, Fault::Upstream, format!("the upstream sent what is not HTTP {when}"))
    } else {
        Notice::new(Code::UpstreamClosed, Fault::Upstream, format!("the upstream closed the connection {when}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_special_and_embedded_addresses_are_not_public() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
        for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
    }
}
