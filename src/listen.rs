//! The listeners of both programs, and the files that their callers take.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted; the system allows fewer where it is set so. A program that starts opens hundreds at
/// once, and of what is too much, Linux lets some wait for a second and resets others.
const BACKLOG: u32 = 4096;

/// Listens on `address`.
///
/// # Errors
/// Those of the system: the address is in use, is not this machine's, or needs rights.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Without it, what a program that has ended accepted keeps the address for minutes. On Windows, which needs it not, others could
    // take the address away with it.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Lets this process have so many files open, connections among them, or as many of them as the system allows, and says how many it
/// may have: often far fewer than the system would give (1024). Not for a process that runs a program, which would inherit it.
#[cfg(unix)]
pub fn allow_files(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_some_and(|current| current < raised) {
        // Where it may not be raised, what there is has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Other systems count no files.
#[cfg(not(unix))]
pub fn allow_files(_wanted: u64) -> u64 {
    u64::MAX
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, net::TcpStream, time::Duration};

    use super::*;

    #[tokio::test]
    async fn hundreds_may_come_before_one_is_accepted() {
        let most = fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|most| most.trim().parse().ok());
        let count = most.unwrap_or(128_usize).min(400);
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let come = |_| TcpStream::connect_timeout(&address, Duration::from_secs(30));
        let callers = (0..count).map(come).collect::<io::Result<Vec<_>>>().expect("all are let in");
        // Each is here, not only on its way: what the system has no room for it does not say to the caller at once.
        for _ in callers {
            listener.accept().await.expect("it is here");
        }
    }
}
