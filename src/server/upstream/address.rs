//! Names to addresses, and which addresses may be called.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

/// Resolves names, and gives out only addresses that may be called: so the address that was checked is the one connected to.
///
/// An address that stands in the URL itself does not come here: it is called where it is listed by hand, and built-in
/// origins have names.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    /// For names on the built-in list: they never lead to private addresses.
    pub(super) public_only: bool,
}

/// A name that cannot be called.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("the name has no address")]
    Unresolved(#[source] Option<io::Error>),
    #[error("the name resolves to an address that the proxy may not call")]
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
        let public_only = self.public_only;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found: Vec<SocketAddr> = found.map_err(|error| ResolveError::Unresolved(Some(error)))?.collect();
            if found.is_empty() {
                return Err(ResolveError::Unresolved(None));
            }
            let usable: Vec<_> = found.into_iter().filter(|address| !public_only || is_public(address.ip())).collect();
            if usable.is_empty() { Err(ResolveError::NotAllowed) } else { Ok(usable.into_iter()) }
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
