//! Accepting: a permit before the accept, a task at once, so that no peer makes another wait.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Duration, Instant},
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::{debug, info, warn};

use super::{
    Server,
    metrics::{self, Ending, Stranger},
    relay,
    worker::Worker,
};
use crate::{
    driver::{Exchange, Hook, Session, drive, tune},
    proto::{
        AWS_LC, Closed, Code, Connection, Error, KeyId, Psk,
        crypto::Secret,
        frame::{GoAway, Request},
        handshake::ServerHello,
        tally::Traffic,
    },
};

/// Pause after an accept that failed, mostly for want of descriptors: sessions that end meanwhile free them.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn accept(
    server: &Arc<Server>,
    workers: &[Arc<Worker>],
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    sessions: &TaskTracker,
    stop: &CancellationToken,
    cut: &CancellationToken,
) {
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(worker) = Worker::choose(workers) else { return };
        let (server, held, stop, cut) = (server.clone(), worker.session(), stop.clone(), cut.clone());
        let session = async move {
            match tune(&stream).and_then(|()| stream.into_std()).and_then(TcpStream::from_std) {
                Ok(stream) => serve(&server, held.worker(), stream, peer, &stop).await,
                Err(error) => debug!(%peer, %error, "the connection ended at once"),
            }
            drop(permit);
        };
        let mut session = sessions.spawn_on(session, worker.runtime());
        // Beside the session, which would have to look at it each time that it moves a byte.
        worker.runtime().spawn(async move {
            tokio::select! {
                _ = &mut session => {}
                () = cut.cancelled() => session.abort(),
            }
        });
    }
}

async fn serve(server: &Arc<Server>, worker: &Arc<Worker>, stream: TcpStream, peer: SocketAddr, stop: &CancellationToken) {
    let (mut ephemeral, mut decoy) = (Secret::new([0; 32]), Secret::new([0; 32]));
    if getrandom::fill(ephemeral.expose_mut()).and_then(|()| getrandom::fill(decoy.expose_mut())).is_err() {
        return warn!(%peer, "no randomness: the connection is dropped");
    }
    let start = Instant::now();
    let connection = Connection::server(server.session_config(), ephemeral, decoy, Duration::ZERO, &AWS_LC);
    let session = Session::new(connection, start, Arc::default());
    let hook = ServerHook {
        server: server.clone(),
        worker: worker.clone(),
        peer,
        key_id: None,
        client: None,
        relays: TaskTracker::new(),
        meter: worker.meter.session(),
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
    peer: SocketAddr,
    /// What the client hello named, if one was opened.
    key_id: Option<KeyId>,
    /// Who that is.
    client: Option<Arc<str>>,
    relays: TaskTracker,
    meter: metrics::Session,
}

impl ServerHook {
    fn client(&self) -> Arc<str> {
        self.client.clone().unwrap_or_else(|| "?".into())
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
    fn key(&mut self, id: KeyId) -> Option<Psk> {
        self.key_id = Some(id);
        let (name, psk) = self.server.keys.find(id)?;
        self.client = Some(name);
        Some(psk)
    }

    fn established(&mut self, _hello: Option<ServerHello>) {
        self.meter.opened(&self.client());
        info!(peer = %self.peer, client = %self.client(), "session opened");
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
        let meter = self.meter.exchange(exchange.now());
        self.relays.spawn(relay::relay(self.server.clone(), self.worker.exchange(), self.client(), meter, exchange, request));
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
