//! The local endpoint: HTTP/1.1 and HTTP/2 with prior knowledge, as many callers as come.

use std::{convert::Infallible, future::Future, io, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::{debug, warn};
use xllm_proxy::{
    http::{HEAD_BYTES, HEAD_FIELDS},
    listen::allow_files,
};

use super::{
    caller::{Caller, Connection},
    relay::Gateway,
};

/// Connections at once, at most: more than programs open.
const CONNECTIONS: u64 = 4096;
/// File descriptors that are needed beside those of callers: sessions, names being looked up, terminals.
const RESERVED: u64 = 64;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 1000;
/// What is read ahead of one HTTP/1 caller, and held for it, bytes.
const BUFFER: usize = 1 << 16;
/// An HTTP/2 connection that is silent for so long is asked for a sign of life, and given up without one.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// What a caller may send ahead of what the proxy takes, per request and per connection, bytes: HTTP/2 alone has such a limit.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 24;
/// How long a connection may be open without a whole head. Long: SDKs keep connections for their next request.
const HEAD_TIME: Duration = Duration::from_mins(10);
/// Pause after a failed accept, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long requests under way have when the gateway stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until `stop`, then lets what is under way finish for a while.
pub(super) async fn serve(gateway: Arc<Gateway>, listener: TcpListener, connections: usize, stop: impl Future) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(connections));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEAD_FIELDS)
        .max_buf_size(BUFFER)
        // A token and its frame are three pieces, which are cheaper copied together than written apart.
        .writev(false)
        // Nothing is added to the provider's answers.
        .auto_date_header(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let accept = async {
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            let stream = match accept(&listener).await {
                Ok(stream) => stream,
                Err(error) => {
                    warn!("cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (gateway, caller) = (gateway.clone(), Arc::<Caller>::default());
            let io = Connection::new(stream, caller.clone());
            let service = service_fn(move |request| {
                let (gateway, caller) = (gateway.clone(), caller.clone());
                async move { Ok::<_, Infallible>(gateway.answer(request, caller).await) }
            });
            let connection = graceful.watch(builder.serve_connection(io, service).into_owned());
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    // A caller that left, or an answer that was broken off: the request's own line says it.
                    debug!("connection: {error}");
                }
                drop(permit);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stop => {}
    }
    drop(listener);
    let _ = timeout(DRAIN, graceful.shutdown()).await;
}

async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    // Each piece of an answer leaves at once.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connections for a program and what it runs itself.
pub(super) const FOR_A_PROGRAM: usize = 256;

/// How many connections this process can hold: as many as it may, its limit of files raised as far as the system lets it. Not
/// for a process that runs a program: that would inherit the limit.
pub(super) fn connections() -> usize {
    let files = allow_files(CONNECTIONS + RESERVED);
    usize::try_from(files.saturating_sub(RESERVED).clamp(1, CONNECTIONS)).unwrap_or(1)
}
