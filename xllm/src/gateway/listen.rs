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

use super::{
    outgoing::{Connection, Outgoing},
    relay::Gateway,
};

/// Connections at once: more than any program opens, fewer than a system has file descriptors.
const CONNECTIONS: usize = 4096;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 1000;
/// Header fields of a request, at most: more than the relay carries, so that its own limit decides and says so.
const FIELDS: usize = 512;
/// The same for HTTP/2, in bytes.
const HEAD: u32 = 1 << 16;
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
pub(super) async fn serve(gateway: Arc<Gateway>, listener: TcpListener, stop: impl Future) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(FIELDS)
        // Nothing is added to the provider's answers.
        .auto_date_header(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD)
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
            let (gateway, outgoing) = (gateway.clone(), Arc::<Outgoing>::default());
            let io = Connection::new(stream, outgoing.clone());
            let service = service_fn(move |request| {
                let (gateway, outgoing) = (gateway.clone(), outgoing.clone());
                async move { Ok::<_, Infallible>(gateway.answer(request, outgoing).await) }
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
