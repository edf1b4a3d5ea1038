//! Where the admin listener is.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// Where the admin listener is. It has no keys: who can connect may ask (docs/operations.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdminListen {
    /// At [`AdminListen::DEFAULT`], if that is free: nobody asked for it.
    #[default]
    Default,
    /// At this address, or the server does not start.
    At(SocketAddr),
    /// There is none.
    Off,
}

impl AdminListen {
    /// The address unless another is configured: this machine alone.
    pub const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 50052);

    /// Its address, if there is to be one.
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Default => Some(Self::DEFAULT),
            Self::At(address) => Some(address),
            Self::Off => None,
        }
    }
}

impl fmt::Display for AdminListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// Neither an address nor `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address and a port, as in 127.0.0.1:50052, or off")]
pub struct NotAnAddress;

impl FromStr for AdminListen {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::At).map_err(|_| NotAnAddress) }
    }
}

/// The table of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AdminFile {
    #[serde(deserialize_with = "listen")]
    pub(super) listen: AdminListen,
}

fn listen<'de, D: Deserializer<'de>>(from: D) -> Result<AdminListen, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}
