//! Accepting: a task at once, so that no peer makes another wait; and a place in the list of sessions for who proves its key.

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::{Duration, Instant},
};
use tokio_util::{
    sync::{CancellationToken, PollSemaphore},
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::{debug, info, warn};

use super::{
    Server,
    doorway::Waiting,
    guests::{Guest, Taken},
    metrics::{self, Ending, Outcome, Stranger},
    proxy_protocol, relay,
    sessions::{Listed, Open},
    worker::Worker,
};
use crate::{
    driver::{Exchange, Hook, Session, drive, tune},
    proto::{
        AWS_LC, Closed, Code, Connection, Error, Fault, KeyId, Profile, Psk,
        crypto::Secret,
        frame::{GoAway, Notice, Request},
        handshake::ServerHello,
        tally::{Tally, Traffic},
    },
};

/// Pause after an accept that failed, mostly for want of descriptors: sessions that end meanwhile free them.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn accept(
    server: &Arc<Server>,
    workers: &[Arc<Worker>],
    listener: &TcpListener,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    end: &CancellationToken,
) {
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
        let Some(worker) = Worker::choose(workers) else { return };
        let end = end.child_token();
        let peer = proxy_protocol::canonical(peer);
        let force = server.force.load();
        let (limits, is_balancer) = (&force.config.limits, force.config.proxies.contains(peer.ip()));
        // Behind a balancer are many: each counts where it comes from, once that is known.
        let from_one = if is_balancer { limits.unauthenticated } else { limits.unauthenticated_per_address };
        let waiting = server.doorway.enter(peer.ip(), end.clone(), limits.unauthenticated, from_one);
        let mut door = Door { server: server.clone(), peer, waiting, end: end.clone() };
        let (held, stop) = (worker.session(), stop.clone());
        let session = async move {
            let start = Instant::now();
            match tune(&stream).and_then(|()| stream.into_std()).and_then(TcpStream::from_std) {
                Ok(mut stream) => {
                    if !is_balancer || door.hear(&mut stream, start, &stop).await {
                        serve(door, held.worker(), stream, start, &stop).await;
                    }
                }
                Err(error) => debug!(%peer, %error, "the connection ended at once"),
            }
        };
        let mut session = tasks.spawn_on(session, worker.runtime());
        // Beside the session, which would have to look at it each time that it moves a byte.
        worker.runtime().spawn(async move {
            tokio::select! {
                _ = &mut session => {}
                () = end.cancelled() => session.abort(),
            }
        });
    }
}

/// A peer as it comes in.
struct Door {
    server: Arc<Server>,
    peer: SocketAddr,
    waiting: Waiting,
    end: CancellationToken,
}

impl Door {
    /// Hears from a balancer whom it speaks for: that is the peer from now on, and has a place of its own. Whether there is one.
    async fn hear(&mut self, stream: &mut TcpStream, start: Instant, stop: &CancellationToken) -> bool {
        let deadline = start + self.server.force.load().config.limits.hello();
        let Some(peer) = proxy_protocol::source(stream, self.peer, deadline, stop).await else { return false };
        if peer != self.peer {
            let limits = &self.server.force.load().config.limits;
            let (most, from_one) = (limits.unauthenticated, limits.unauthenticated_per_address);
            self.waiting = self.server.doorway.enter(peer.ip(), self.end.clone(), most, from_one);
            self.peer = peer;
        }
        true
    }
}

/// Serves who has connected at `start`, from which the hello time counts.
async fn serve(door: Door, worker: &Arc<Worker>, stream: TcpStream, start: Instant, stop: &CancellationToken) {
    let Door { server, peer, waiting, end } = door;
    let (mut ephemeral, mut decoy) = (Secret::new([0; 32]), Secret::new([0; 32]));
    if getrandom::fill(ephemeral.expose_mut()).and_then(|()| getrandom::fill(decoy.expose_mut())).is_err() {
        return warn!(%peer, "no randomness: the connection is dropped");
    }
    let connection = Connection::server(server.force.load().session(), ephemeral, decoy, Duration::ZERO, &AWS_LC);
    let session = Session::new(connection, start, Arc::default());
    let hook = ServerHook {
        server,
        worker: worker.clone(),
        hellos: worker.hellos(),
        session: session.clone(),
        end,
        peer,
        key_id: None,
        client: None,
        place: Place::Doorway(waiting),
        relays: TaskTracker::new(),
        meter: worker.meter.session(),
        refusals: Refusals::default(),
    };
    let relays = hook.relays.clone();
    let farewell = {
        let (session, stop) = (session.clone(), stop.clone());
        async move {
            stop.cancelled().await;
            session.go_away(Some(Code::ShuttingDown), "the proxy is stopping");
        }
    };
    // Beside the pump as well.
    let farewell = AbortOnDropHandle::new(tokio::spawn(farewell));
    drive(stream, session, hook, unix_ms).await;
    drop(farewell);
    relays.close();
    relays.wait().await;
}

/// Milliseconds since 1970.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}

struct ServerHook {
    server: Arc<Server>,
    worker: Arc<Worker>,
    hellos: PollSemaphore,
    session: Session,
    /// Ends the session without a word.
    end: CancellationToken,
    peer: SocketAddr,
    /// What the client hello named, if one was opened.
    key_id: Option<KeyId>,
    /// Who that is.
    client: Option<Arc<Guest>>,
    place: Place,
    relays: TaskTracker,
    meter: metrics::Session,
    refusals: Refusals,
}

/// What a session's client was refused because it asks too much. It may do so thousands of times a second; of that, the log has a line a
/// second.
#[derive(Default)]
struct Refusals {
    count: u64,
    told: Option<Instant>,
}

impl Refusals {
    fn count(&mut self, client: &str, notice: &Notice) {
        self.count += 1;
        let now = Instant::now();
        if self.told.is_none_or(|told| now - told >= Duration::from_secs(1)) {
            self.told = Some(now);
            info!(%client, code = %notice.code, refused_in_all = self.count, "requests refused: {}", notice.text);
        }
    }
}

/// Where a session counts.
#[expect(dead_code, reason = "held, and not looked at")]
enum Place {
    /// Among those that have not proved their key. One that is refused stays there until it has gone.
    Doorway(Waiting),
    /// Among the sessions, those of its client too.
    Inside(Listed, Taken),
}

impl ServerHook {
    fn client(&self) -> &str {
        self.client.as_ref().map_or("?", |client| &client.name)
    }

    /// Takes a place among the sessions.
    fn come_in(&self) -> Result<Place, Notice> {
        let (Some(client), Some(key_id)) = (&self.client, self.key_id) else {
            return Err(Notice::new(Code::Internal, Fault::Proxy, "a session without a client"));
        };
        let force = self.server.force.load();
        let taken = client.session(force.rule(&client.name))?;
        let open = Open { session: self.session.clone(), key_id, end: self.end.clone() };
        let listed = self.server.sessions.add(open, force.config.limits.sessions)?;
        // Whoever revoked the key since it was looked up could not know of this session.
        match self.server.force.load().objection(key_id, SystemTime::now()) {
            None => Ok(Place::Inside(listed, taken)),
            Some(_) => Err(Notice::new(Code::KeyRevoked, Fault::Client, "this client's key was revoked or has expired")),
        }
    }

    /// What a peer is that is let down after its hello was opened.
    fn stranger(&self) -> Option<Stranger> {
        self.key_id.map(|_| if self.client.is_some() { Stranger::Unproved } else { Stranger::UnknownKey })
    }

    fn count(&mut self, why: &Closed) {
        self.meter.ended(match why {
            Closed::Done => Ending::Done,
            Closed::Lost { .. } => Ending::Lost,
            Closed::TimedOut { .. } => Ending::TimedOut,
            Closed::Fault(_) => Ending::Fault,
            Closed::Refused(_) | Closed::ProfileRefused(_) => Ending::Refused,
        });
        match why {
            Closed::Lost { in_hello: true } => self.meter.refused(self.stranger().unwrap_or(Stranger::Lost)),
            Closed::TimedOut { in_hello: true } => self.meter.refused(self.stranger().unwrap_or(Stranger::TimedOut)),
            _ => {}
        }
    }
}

impl Hook for ServerHook {
    type Turn = Option<OwnedSemaphorePermit>;

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Self::Turn> {
        self.hellos.poll_acquire(cx)
    }

    fn key(&mut self, id: KeyId) -> Option<(Psk, Profile)> {
        self.key_id = Some(id);
        let force = self.server.force.load();
        let key = force.keys.find(id).filter(|key| !key.has_expired(SystemTime::now()))?;
        self.client = Some(self.server.guests.of(&key.name));
        Some((key.psk().clone(), force.rule(&key.name).profile))
    }

    fn established(&mut self, _hello: Option<ServerHello>) {
        match self.come_in() {
            Ok(place) => {
                self.place = place;
                info!(peer = %self.peer, client = %self.client(), "session opened");
                if let Some(client) = &self.client {
                    self.meter.opened(&client.name);
                }
            }
            Err(notice) => {
                warn!(peer = %self.peer, client = %self.client(), code = %notice.code, "session refused: {}", notice.text);
                self.session.cut(&notice);
            }
        }
    }

    fn rejected(&mut self, error: Error) {
        self.meter.refused(self.stranger().unwrap_or(Stranger::Garbage));
        let peer = self.peer;
        match self.key_id {
            None => warn!(%peer, "refused: not a client of this proxy ({error})"),
            Some(key_id) => warn!(%peer, %key_id, "refused: the first record is wrong ({error})"),
        }
    }

    fn request(&mut self, exchange: Exchange, request: Box<Request>) {
        // A session that was refused has ended it already.
        let (Place::Inside(..), Some(client)) = (&self.place, &self.client) else { return };
        let meter = self.meter.exchange(exchange.now());
        // Here, and not in a task of its own: of a client that floods, hundreds would be ready at once, before anybody else's.
        match client.exchange(self.server.force.load().rule(&client.name)) {
            Ok(counted) => {
                let held = self.worker.exchange();
                let counted = (counted, meter);
                self.relays.spawn(relay::relay(self.server.clone(), held, client.clone(), counted, exchange, request));
            }
            Err(notice) => {
                // If the session is over, there is nobody to tell.
                let _ = exchange.with(|connection, _, number| connection.fail(number, &notice));
                exchange.finish();
                meter.ended(Outcome::Failed(notice.code), &Tally::default());
                self.refusals.count(&client.name, &notice);
            }
        }
    }

    fn going_away(&mut self, _goaway: &GoAway) {}

    fn moved(&mut self, traffic: &Traffic) {
        self.meter.moved(traffic);
    }

    fn closed(&mut self, why: &Closed) {
        self.count(why);
        let (peer, client) = (self.peer, self.client());
        match (why, self.key_id, &self.client) {
            (Closed::Lost { in_hello: true } | Closed::TimedOut { in_hello: true }, Some(key_id), None) => {
                warn!(%peer, %key_id, "refused: unknown key ID; `xllm-proxy client list` shows those that are known");
            }
            (Closed::Lost { in_hello: true } | Closed::TimedOut { in_hello: true }, Some(key_id), Some(_)) => {
                warn!(%peer, %client, %key_id, "refused: the client did not prove its key; it may be a wrong or replaced one");
            }
            (Closed::Lost { in_hello: true } | Closed::TimedOut { in_hello: true } | Closed::Done, _, None) => {
                debug!(%peer, "closed without a session");
            }
            (Closed::Done, ..) => info!(%peer, %client, "session closed"),
            (Closed::Lost { .. }, ..) => warn!(%peer, %client, "session lost with requests under way"),
            (Closed::TimedOut { .. }, ..) => warn!(%peer, %client, "session lost: no sign of life"),
            (Closed::Fault(error), ..) => warn!(%peer, %client, code = %error.code(), "session ended: {error}"),
            (Closed::Refused(notice), ..) => {
                warn!(%peer, %client, code = %notice.code, "session ended: the client found our bytes wrong or damaged");
            }
            (Closed::ProfileRefused(_), ..) => warn!(%peer, %client, "session ended over its profile"),
        }
    }
}
