//! A wire-tap: passes bytes between client and relay, and keeps what it saw.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Size of either hello (protocol.md section 3.2).
const HELLO: usize = 256;

/// All bytes of one connection, each direction in order.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    /// From the client.
    pub(super) up: Vec<u8>,
    /// From the relay.
    pub(super) down: Vec<u8>,
}

impl Seen {
    /// Whether these bytes went by in the clear.
    pub(super) fn holds(&self, text: &str) -> bool {
        let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        !text.is_empty() && (holds(&self.up) || holds(&self.down))
    }

    /// Sizes of the records of a direction: the length before each is readable by anybody.
    pub(super) fn records(direction: &[u8]) -> Vec<usize> {
        let mut left = direction.get(HELLO..).unwrap_or_default();
        let mut sizes = Vec::new();
        while let Some((length, rest)) = left.split_first_chunk::<2>() {
            let size = usize::from(u16::from_be_bytes(*length));
            let Some(rest) = rest.get(size..) else { break };
            sizes.push(size + length.len());
            left = rest;
        }
        sizes
    }
}

/// The tap. It serves one connection.
#[derive(Debug)]
pub(super) struct Tap {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Tap {
    /// Sets it before `relay`.
    pub(super) async fn set(relay: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let kept = seen.clone();
        let task = tokio::spawn(async move {
            let Ok((client, _)) = listener.accept().await else { return };
            let Ok(server) = TcpStream::connect(relay).await else { return };
            // Whatever fails here, the client notices.
            let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::join!(
                pass(from_client, to_server, |bytes| lock(&kept).up.extend_from_slice(bytes)),
                pass(from_server, to_client, |bytes| lock(&kept).down.extend_from_slice(bytes)),
            );
        });
        Ok(Self { address, seen, task })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What went by so far.
    pub(super) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, keep: impl Fn(&[u8])) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        keep(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_apart_by_their_lengths() {
        let mut direction = vec![7; HELLO];
        direction.extend([0, 3, 1, 2, 3, 0, 1, 9, 0, 5, 1]);
        assert_eq!(Seen::records(&direction), [5, 3]);
        assert!(Seen::records(&direction[..100]).is_empty());
    }

    #[test]
    fn what_went_by_in_the_clear_is_found_in_either_direction() {
        let seen = Seen { up: b"xx secret yy".to_vec(), down: b"answer".to_vec() };
        assert!(seen.holds("secret") && seen.holds("answer"));
        assert!(!seen.holds("Secret") && !seen.holds(""));
    }
}
