//! The PROXY protocol, versions 1 and 2: a balancer says in front of the first byte who its caller is
//! (<https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt>).
//!
//! It is read from the addresses of the configuration alone, since whoever may send it may call himself anything, and there it has
//! to come. Nothing behind it is read.

use std::{io, net::SocketAddr};

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const WORD: &[u8] = b"PROXY ";
/// Version 2 up to its length, which is the last of it.
const FIXED: usize = 16;
/// Largest header of version 2: addresses take 36 bytes of it, the rest is for TLVs, which are skipped.
const MOST: usize = 2048;
/// Longest line of version 1, by its specification.
const LINE: usize = 107;

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no header of the PROXY protocol")]
    Wrong,
}

/// Whom a balancer speaks for, which may be itself. `None` if the connection is to be closed: at `deadline` or when the server stops, and
/// without a byte, as for any prober.
pub(super) async fn source<T: AsyncRead + Unpin>(
    stream: &mut T,
    balancer: SocketAddr,
    deadline: Instant,
    stop: &CancellationToken,
) -> Option<SocketAddr> {
    let told = async {
        match read(stream).await {
            Ok(source) => return Some(source.map_or(balancer, canonical)),
            Err(Fault::Io(error)) => debug!(peer = %balancer, %error, "closed before its PROXY header was whole"),
            Err(error @ Fault::Wrong) => {
                warn!(peer = %balancer, "refused: {error}, which [proxy_protocol] asks of this address");
                let _ = tokio::io::copy(stream, &mut tokio::io::sink()).await;
            }
        }
        None
    };
    stop.run_until_cancelled(timeout_at(deadline, told)).await?.ok()?
}

/// An IPv4 address as one, however the socket shows it.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Reads a header and not a byte more. `None` if the balancer speaks for itself, or does not say for whom.
async fn read<T: AsyncRead + Unpin>(stream: &mut T) -> Result<Option<SocketAddr>, Fault> {
    // No header is shorter.
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        header.resize(FIXED, 0);
        stream.read_exact(&mut header[SIGNATURE.len()..]).await?;
        let length = FIXED + usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
        if length > MOST {
            return Err(Fault::Wrong);
        }
        header.resize(length, 0);
        stream.read_exact(&mut header[FIXED..]).await?;
    } else if header.starts_with(WORD) {
        while !header.ends_with(b"\r\n") {
            if header.len() == LINE {
                return Err(Fault::Wrong);
            }
            // One by one: what stands behind the line is the session's.
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(Fault::Wrong);
    }
    match ProxyHeader::parse(&header, ParseConfig { include_tlvs: false, ..ParseConfig::default() }) {
        Ok((parsed, length)) if length == header.len() => {
            let of_streams = parsed.proxied_address().filter(|address| address.protocol == Protocol::Stream);
            Ok(of_streams.map(|address| address.source))
        }
        _ => Err(Fault::Wrong),
    }
}

#[cfg(test)]
mod tests;
