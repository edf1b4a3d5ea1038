//! Addresses in three classes: where names may lead, where they may lead if a configuration says so, and where they never do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What lies behind an address (RFC 6890, and the registries of IANA that keep it up to date).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The internet.
    Public,
    /// This machine and its network: loopback, RFC 1918, carriers' 100.64.0.0/10, unique local IPv6.
    Private,
    /// Link-local and the clouds' metadata services; and what is no host's address: unspecified, multicast, reserved, documentation,
    /// benchmarking, and tunnels, whose inside cannot be judged.
    Never,
}

/// Where an origin's name may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To public addresses alone.
    Public,
    /// To private ones, too.
    Private,
}

impl Reach {
    /// Whether an address that a name was resolved to may be called.
    pub fn allows(self, address: IpAddr) -> bool {
        match class(address) {
            Class::Public => true,
            Class::Private => self == Self::Private,
            Class::Never => false,
        }
    }
}

/// The class of an address.
pub const fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    }
}

const fn class_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        // Metadata, before the rest: Alibaba's lies in a private range, Azure's in a public one. The others are link-local.
        [100, 100, 100, 200]
        | [168, 63, 129, 16]
        | [0 | 224.., ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Class::Never,
        [10 | 127, ..] | [100, 64..=127, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        _ => Class::Public,
    }
}

const fn class_v6(address: Ipv6Addr) -> Class {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Private,
        // IPv4-mapped and IPv4-compatible: where the IPv4 address leads.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => class_v4(inside(high, low)),
        // NAT64 as DNS64 makes it, on networks that have IPv6 alone. It is for public addresses (RFC 6052 section 3.1).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => match class_v4(inside(high, low)) {
            Class::Public => Class::Public,
            Class::Private | Class::Never => Class::Never,
        },
        // Metadata among the unique local ones: Amazon's services, Oracle's, Scaleway's and Google's. Teredo, benchmarking, ORCHID and
        // the like; 6to4; documentation, twice.
        [0xfd00, 0xec2 | 0xc1 | 0x42, ..]
        | [0xfd20, 0xce, ..]
        | [0x2001, 0..0x0200 | 0x0db8, ..]
        | [0x2002, ..]
        | [0x3fff, 0..0x1000, ..] => Class::Never,
        [0xfc00..=0xfdff, ..] => Class::Private,
        [0x2000..=0x3fff, ..] => Class::Public,
        // Link-local, multicast, discard, NAT64 of networks' own, and what is not given out.
        _ => Class::Never,
    }
}

const fn inside(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "203.0.112.255",
        "223.255.255.255",
        "2000::",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00:1450::1",
        "3fff:1000::",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ];

    const PRIVATE: &[&str] = &[
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.100.100.199",
        "100.127.255.255",
        "127.0.0.0",
        "127.0.0.1",
        "127.255.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:192.168.1.1",
        "::127.0.0.1",
        "fc00::",
        "fd00::1",
        "fd12:3456::1",
        "fdff:ffff::1",
    ];

    const NEVER: &[&str] = &[
        "0.0.0.0",
        "0.255.255.255",
        "100.100.100.200",
        "168.63.129.16",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.255.255",
        "192.0.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::2",
        "::ffff:0.0.0.0",
        "::ffff:169.254.169.254",
        "::ffff:100.100.100.200",
        "::ffff:0:127.0.0.1",
        "::169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::808:808",
        "64:ff9b:1:ffff::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
        "fd20:ce::254",
        "fe00::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ffff::1",
    ];

    #[test]
    fn every_address_is_in_the_class_that_its_registry_says() {
        for (class_of, addresses) in [(Class::Public, PUBLIC), (Class::Private, PRIVATE), (Class::Never, NEVER)] {
            for address in addresses {
                assert_eq!(class(address.parse().expect("an address")), class_of, "{address}");
            }
        }
    }

    #[test]
    fn a_name_never_leads_where_no_configuration_lets_it() {
        for (reach, addresses, allowed) in [
            (Reach::Public, PUBLIC, true),
            (Reach::Public, PRIVATE, false),
            (Reach::Public, NEVER, false),
            (Reach::Private, PUBLIC, true),
            (Reach::Private, PRIVATE, true),
            (Reach::Private, NEVER, false),
        ] {
            for address in addresses {
                assert_eq!(reach.allows(address.parse().expect("an address")), allowed, "{reach:?} {address}");
            }
        }
    }
}
