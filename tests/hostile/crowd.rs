//! Connections from many addresses of this machine: all of 127.0.0.0/8 is its own.

use std::net::{Ipv4Addr, SocketAddr};

use futures::{StreamExt, stream};
use tokio::net::{TcpSocket, TcpStream};

/// Attempts at once: what the listener's backlog takes.
const AT_ONCE: usize = 256;

/// The address of a party by its number.
pub(crate) fn address(party: usize) -> Ipv4Addr {
    let [_, _, high, low] = u32::try_from(party).unwrap().to_be_bytes();
    Ipv4Addr::new(127, 77, high, low)
}

/// A connection from this party.
pub(crate) async fn connect(party: usize, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((address(party), 0).into())?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// So many connections, the party of each as `party` says. Those that the server ends at once are among them.
pub(crate) async fn many(count: usize, party: impl Fn(usize) -> usize, server: SocketAddr) -> Vec<TcpStream> {
    let attempts = stream::iter((0..count).map(|number| connect(party(number), server)));
    attempts.buffer_unordered(AT_ONCE).map(Result::unwrap).collect().await
}
