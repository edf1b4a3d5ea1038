//! The listener for who runs the proxy: is it well, what does it do, read the configuration anew. Plain HTTP/1.1, without keys: who
//! can connect may ask. It runs beside the accepting of sessions, on none of the threads that carry them.

mod routes;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

pub use self::routes::{RELOAD_HEADER, Reload};
use super::metrics::Metrics;

/// Connections at once. The next waits until one of them ends.
const CONNECTIONS: usize = 64;
/// How long a request's head may take.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a whole connection may, which has one request. Reading keys and configuration anew is part of it.
const TIME: Duration = Duration::from_secs(30);
/// Bytes and fields of a request's head.
const HEAD_BYTES: usize = 8192;
const HEAD_FIELDS: usize = 32;
/// Pause after an accept that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is asked.
#[derive(Clone)]
pub struct Admin {
    /// What the server does.
    pub metrics: Arc<Metrics>,
    /// Reads configuration and keys once more.
    pub reload: Reload,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// Answers for as long as it is polled. Dropping it ends all connections.
pub async fn serve(listener: TcpListener, admin: Admin) -> Infallible {
    let (permits, mut connections) = (Arc::new(Semaphore::new(CONNECTIONS)), JoinSet::new());
    loop {
        // Never closed; and without one nothing more is let in.
        let permit = permits.clone().acquire_owned().await.ok();
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                let admin = admin.clone();
                connections.spawn(async move {
                    match timeout(TIME, answer(stream, admin)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => debug!(%peer, %error, "a connection of the admin listener failed"),
                        Err(_) => debug!(%peer, "a connection of the admin listener took too long"),
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection at the admin listener");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, admin: Admin) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let local: SocketAddr = stream.local_addr()?;
    let service = service_fn(|request| {
        let admin = &admin;
        async move { Ok::<_, io::Error>(routes::route(admin, local, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    Ok(pin!(connection).await?)
}
