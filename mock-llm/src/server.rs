//! The listener and its connections.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::records::{Recorded, State, Stats};
use crate::route;
use crate::script::Config;

/// Headers of a request at most; the library's own limit of 100 is below what providers take.
const MAX_HEADERS: usize = 1024;
/// The same for HTTP/2, in bytes of a head.
const MAX_HEAD: u32 = 1024 * 1024;
/// Exchanges at a time on one HTTP/2 connection; high, so that the mock is never what a benchmark
/// measures.
const MAX_STREAMS: u32 = 16 * 1024;
/// Pause after a failed accept, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long is waited for counters.
const WAIT: Duration = Duration::from_mins(2);

/// A running stand-in. Dropping it stops it and cuts all its connections.
#[derive(Debug)]
pub struct MockLlm {
    addr: SocketAddr,
    state: Arc<State>,
    tasks: TaskTracker,
    _stop: DropGuard,
}

impl MockLlm {
    /// Binds `config.listen` and serves it in the background, on the current runtime.
    ///
    /// Fails if the address cannot be bound, or if the script holds a value out of range.
    pub async fn start(config: Config) -> io::Result<Self> {
        config.script.check().map_err(|sentence| io::Error::new(io::ErrorKind::InvalidInput, sentence))?;
        let listener = TcpListener::bind(config.listen).await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State::new(config.script));
        let tasks = TaskTracker::new();
        let accepting = accept(listener, state.clone(), tasks.clone());
        tasks.spawn(state.stop.clone().run_until_cancelled_owned(accepting));
        Ok(Self { addr, tasks, _stop: state.stop.clone().drop_guard(), state })
    }

    /// `http://` and the address, without a slash behind.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The address that was bound.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The last [`KEPT_REQUESTS`](crate::KEPT_REQUESTS) requests, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.recorded()
    }

    /// All counters, read at one moment.
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// Callers that went away before the response body was wholly sent.
    pub fn hung_up(&self) -> u64 {
        self.stats().hung_up
    }

    /// Exchanges under way.
    pub fn open(&self) -> u64 {
        self.stats().open
    }

    /// Waits until `condition` holds; it is asked again whenever a counter has moved.
    ///
    /// # Panics
    /// After two minutes: a test that hangs says nothing.
    #[track_caller]
    pub fn wait_until(&self, mut condition: impl FnMut(&Stats) -> bool) -> impl Future<Output = ()> {
        let place = Location::caller();
        let mut watch = self.state.watch();
        async move {
            // Fails only when the sender is gone, which `self` holds.
            let met = tokio::time::timeout(WAIT, watch.wait_for(|stats| condition(stats))).await.is_ok();
            assert!(met, "the counters that are waited for at {place} do not come: {:?}", *watch.borrow());
        }
    }

    /// Lets `permits` more chunks through `gate`, now or as soon as something waits there.
    pub fn release(&self, gate: &str, permits: usize) {
        self.state.release(gate, permits);
    }

    /// Stops listening, cuts all connections, and returns when nothing of the instance runs.
    pub async fn shutdown(&self) {
        self.state.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, tasks: TaskTracker) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let connection = serve(socket, state.clone(), tasks.clone());
        tasks.spawn(state.stop.clone().run_until_cancelled_owned(connection));
    }
}

async fn serve(socket: TcpStream, state: Arc<State>, tasks: TaskTracker) {
    // Without it a small chunk may wait for the acknowledgement of the one before.
    if socket.set_nodelay(true).is_err() {
        return; // the peer is gone already
    }
    let executor = Executor { state: state.clone(), tasks };
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(route::answer(state, request).await) }
    });
    let mut builder = Builder::new(executor);
    builder.http1().max_headers(MAX_HEADERS);
    builder.http2().max_header_list_size(MAX_HEAD).max_concurrent_streams(MAX_STREAMS);
    // Errors here are peers that went away and scripted cuts; the exchanges have counted them.
    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
}

/// Runs the streams of HTTP/2 connections, and stops them with the instance.
#[derive(Clone)]
struct Executor {
    state: Arc<State>,
    tasks: TaskTracker,
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let stop = self.state.stop.clone();
        self.tasks.spawn(stop.run_until_cancelled_owned(future));
    }
}
