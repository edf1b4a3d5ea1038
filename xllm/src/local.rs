//! Whether a host is this machine.

use std::net::IpAddr;

/// `localhost`, `localhost.`, `app.localhost`, `127.0.0.1`, `[::1]`, `::ffff:127.0.0.1`; without a port.
pub(crate) fn is_local(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_in_every_spelling() {
        for host in ["localhost", "LocalHost.", "a.localhost", "127.9.9.9", "::1", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "localhost.example", "127.0.0.1.example", "10.0.0.1", "[2001:db8::1]", "0.0.0.0"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
