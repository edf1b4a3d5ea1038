//! Balancers that say whom they forward for.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use serde::Deserialize;

/// `[proxy_protocol]` as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProxiesFile {
    from: Vec<String>,
}

/// The addresses whose connections begin with a PROXY protocol header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

/// An entry that is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network; write it as in 127.0.0.1, 10.0.0.0/8 or fd00::/8")]
pub struct NotANetwork(String);

impl Proxies {
    /// These addresses and networks.
    ///
    /// # Errors
    /// The first entry that is neither.
    pub fn new(entries: &[String]) -> Result<Self, NotANetwork> {
        let network = |entry: &String| {
            let address = || entry.parse::<IpAddr>().map(IpNet::from);
            entry.parse().or_else(|_| address()).map_err(|_| NotANetwork(entry.clone()))
        };
        entries.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Whether this is one of them. An IPv4 address has to be given as one, not mapped to IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl fmt::Display for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => f.write_str("none"),
            [first, rest @ ..] => {
                write!(f, "{first}")?;
                rest.iter().try_for_each(|network| write!(f, ", {network}"))
            }
        }
    }
}

impl TryFrom<ProxiesFile> for Proxies {
    type Error = NotANetwork;

    fn try_from(file: ProxiesFile) -> Result<Self, NotANetwork> {
        Self::new(&file.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(entries: &[&str]) -> Result<Proxies, NotANetwork> {
        Proxies::new(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn addresses_and_networks_hold_what_they_say() {
        let proxies = proxies(&["127.0.0.1", "10.1.0.0/16", "10.2.3.4/16", "fd00::/8", "::1"]).expect("valid");
        for (address, held) in [
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("10.1.255.255", true),
            ("10.2.255.255", true),
            ("10.3.0.0", false),
            ("fdff::1", true),
            ("fe00::1", false),
            ("::1", true),
            ("::ffff:127.0.0.1", false),
        ] {
            assert_eq!(proxies.contains(address.parse().expect("an address")), held, "{address}");
        }
        assert_eq!(proxies.to_string(), "127.0.0.1/32, 10.1.0.0/16, 10.2.3.4/16, fd00::/8, ::1/128");
        assert!(!Proxies::default().contains([127, 0, 0, 1].into()));
    }

    #[test]
    fn what_is_neither_is_refused_by_name() {
        for entry in ["", "proxy.example", "10.0.0.0/33", "10.0.0/8", "127.0.0.1:80", "10.0.0.0/8,::1"] {
            assert_eq!(proxies(&["::1", entry]).expect_err("refused"), NotANetwork(entry.into()));
        }
    }
}
