//! Accepting. Whoever connects is heard on a thread for strangers; who proves its key moves from there to a worker's. So peers without a
//! key, however many and whatever they send, take no turn of those who stream.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    task::JoinHandle,
    time::{Duration, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, warn};

use super::{Server, doorway::Waiting, hook::ServerHook, metrics::Meter, proxy_protocol, worker::Worker};
use crate::{
    driver::{Pump, Session, tune},
    proto::{AWS_LC, Code, Connection, crypto::Secret, limits},
};

/// Pause after an accept that failed, mostly for want of descriptors: sessions that end meanwhile free them.
const PAUSE: Duration = Duration::from_millis(100);

/// What all who connect have in common.
pub(super) struct House {
    pub(super) server: Arc<Server>,
    pub(super) workers: Arc<[Arc<Worker>]>,
    /// Of those who have not proved a key.
    pub(super) meter: Meter,
    /// All connections.
    pub(super) tasks: TaskTracker,
    /// The server stops: what is under way may finish.
    pub(super) stop: CancellationToken,
    /// All ends now.
    pub(super) end: CancellationToken,
    /// The moment that all sessions call zero: exchanges go from one to another.
    pub(super) epoch: Instant,
}

/// Accepts on the runtime of the caller, where who comes stays until it has proved its key. Until this is dropped.
pub(super) async fn accept(house: Arc<House>, listener: TcpListener) {
    let listener = match listener.into_std().and_then(TcpListener::from_std) {
        Ok(listener) => listener,
        Err(error) => return error!(%error, "cannot wait for connections"),
    };
    let server = &house.server;
    loop {
        let most = server.force.load().config.limits.unauthenticated;
        server.doorway.room(most).await;
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let end = house.end.child_token();
        let peer = proxy_protocol::canonical(peer);
        let force = server.force.load();
        let (limits, is_balancer) = (&force.config.limits, force.config.proxies.contains(peer.ip()));
        // Behind a balancer are many: each counts where it comes from, once that is known.
        let from_one = if is_balancer { limits.unauthenticated } else { limits.unauthenticated_per_address };
        let waiting = server.doorway.enter(peer.ip(), end.clone(), limits.unauthenticated, from_one);
        let door = Door { house: house.clone(), peer, waiting, end };
        house.tasks.spawn(door.open(stream, is_balancer));
    }
}

/// A peer as it comes in.
struct Door {
    house: Arc<House>,
    peer: SocketAddr,
    waiting: Waiting,
    end: CancellationToken,
}

/// A session's pump.
type Pumping = Pump<TcpStream, ServerHook>;

impl Door {
    /// Hears who it is. A client moves to where sessions run.
    async fn open(self, stream: TcpStream, is_balancer: bool) {
        let (house, end) = (self.house.clone(), self.end.clone());
        if let Some(Some((runtime, pump, session))) = end.run_until_cancelled(self.greet(stream, is_balancer)).await {
            let task = house.tasks.spawn_on(run(pump), &runtime);
            runtime.spawn(attend(task, session, house.stop.clone(), end));
        }
    }

    /// Serves a stranger until it has proved that it is a client, and says where its session is to run. Nothing if it does not.
    async fn greet(mut self, mut stream: TcpStream, is_balancer: bool) -> Option<(Handle, Pumping, Session)> {
        // From here on the hello time counts.
        let start = Instant::now();
        if is_balancer && !self.hear(&mut stream, start).await {
            return None;
        }
        let Self { house, peer, waiting, end } = self;
        let (mut ephemeral, mut decoy) = (Secret::new([0; 32]), Secret::new([0; 32]));
        if getrandom::fill(ephemeral.expose_mut()).and_then(|()| getrandom::fill(decoy.expose_mut())).is_err() {
            warn!(%peer, "no randomness: the connection is dropped");
            return None;
        }
        let config = house.server.force.load().session(house.server.instance);
        let connection = Connection::server(config, ephemeral, decoy, start - house.epoch, &AWS_LC);
        let session = Session::new(connection, house.epoch, Arc::default());
        let ours = (house.server.clone(), house.workers.clone(), &house.meter);
        let hook = ServerHook::new(ours, session.clone(), end, peer, waiting);
        let mut pump = Pump::new(stream, session.clone(), hook, unix_ms);
        if house.stop.run_until_cancelled(pump.greet()).await.is_none() {
            say_farewell(&session);
            pump.greet().await;
        }
        let Some(runtime) = pump.hook().worker().map(|worker| worker.runtime().clone()) else {
            pump.run().await;
            return None;
        };
        Some((runtime, pump, session))
    }

    /// Hears from a balancer whom it speaks for: that is the peer from now on, and has a place of its own. Whether there is one.
    async fn hear(&mut self, stream: &mut TcpStream, start: Instant) -> bool {
        let server = &self.house.server;
        let deadline = start + server.force.load().config.limits.hello();
        let Some(peer) = proxy_protocol::source(stream, self.peer, deadline, &self.house.stop).await else { return false };
        if peer != self.peer {
            let limits = &server.force.load().config.limits;
            let (most, from_one) = (limits.unauthenticated, limits.unauthenticated_per_address);
            self.waiting = server.doorway.enter(peer.ip(), self.end.clone(), most, from_one);
            self.peer = peer;
        }
        true
    }
}

/// Runs a client's session to its end.
async fn run(pump: Pumping) {
    let relays = pump.hook().relays().clone();
    match pump.move_here(move_here) {
        Ok(pump) => pump.run().await,
        Err(error) => debug!(%error, "a connection ended as its client came in"),
    }
    relays.close();
    relays.wait().await;
}

/// The same connection on the caller's runtime, set up for a session.
fn move_here(stream: TcpStream) -> std::io::Result<TcpStream> {
    tune(&stream, limits::SERVER_KEEP_ALIVE)?;
    TcpStream::from_std(stream.into_std()?)
}

/// Ends a session when it is to end. Beside it, since it would have to look whenever it moves a byte.
async fn attend(mut task: JoinHandle<()>, session: Session, stop: CancellationToken, end: CancellationToken) {
    tokio::select! {
        _ = &mut task => return,
        () = end.cancelled() => return task.abort(),
        () = stop.cancelled() => say_farewell(&session),
    }
    tokio::select! {
        _ = &mut task => {}
        () = end.cancelled() => task.abort(),
    }
}

fn say_farewell(session: &Session) {
    session.go_away(Some(Code::ShuttingDown), "the proxy is stopping");
}

/// Milliseconds since 1970.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}
