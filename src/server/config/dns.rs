//! Where names are looked up.

use std::net::SocketAddr;

use serde::Deserialize;

use super::ConfigError;

/// More servers than any look-up would get to.
const SERVERS_MAX: usize = 8;

/// Where names are looked up.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// The DNS servers to ask, and no others; none: the system's resolver.
    pub servers: Vec<SocketAddr>,
}

impl Dns {
    pub(super) fn check(self) -> Result<Self, ConfigError> {
        let fine = self.servers.len() <= SERVERS_MAX && self.servers.iter().all(|server| server.port() != 0);
        if fine {
            Ok(self)
        } else {
            Err(ConfigError::Range("dns.servers", "at most 8 addresses with a port, as in 127.0.0.1:53"))
        }
    }
}
