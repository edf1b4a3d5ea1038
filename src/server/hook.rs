//! What happens to a server's session: who its client is, its place, its requests.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use tokio::time::{Duration, Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::{
    Server,
    doorway::Waiting,
    guests::{Guest, Taken},
    metrics::{self, Ending, Meter, Outcome, Stranger},
    refusals::Refusals,
    relay,
    sessions::{Listed, Open},
    worker::{Held, Worker},
};
use crate::{
    driver::{Exchange, Hook, Session},
    proto::{
        Closed, Code, Error, Fault, KeyId, Psk, Terms,
        frame::{GoAway, Notice, Request, Resume},
        handshake::ServerHello,
        tally::{Tally, Traffic},
    },
};

/// A session's, from the moment that somebody connects.
pub(super) struct ServerHook {
    server: Arc<Server>,
    workers: Arc<[Arc<Worker>]>,
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

/// Where a session counts.
enum Place {
    /// Among those that have not proved their key. One that is refused stays there until it has gone.
    Doorway(#[expect(dead_code, reason = "held, and not looked at")] Waiting),
    /// Among the sessions, those of its client, and those of a worker.
    Inside(#[expect(dead_code, reason = "as well")] (Listed, Taken), Held),
}

impl ServerHook {
    /// That of somebody who waits in the doorway.
    pub(super) fn new(
        (server, workers, meter): (Arc<Server>, Arc<[Arc<Worker>]>, &Meter),
        session: Session,
        end: CancellationToken,
        peer: SocketAddr,
        waiting: Waiting,
    ) -> Self {
        Self {
            server,
            workers,
            session,
            end,
            peer,
            key_id: None,
            client: None,
            place: Place::Doorway(waiting),
            relays: TaskTracker::new(),
            meter: meter.session(),
            refusals: Refusals::default(),
        }
    }

    /// Where a client's session runs. Nothing for a stranger, and for a client that may not come in.
    pub(super) fn worker(&self) -> Option<&Arc<Worker>> {
        match &self.place {
            Place::Doorway(_) => None,
            Place::Inside(_, held) => Some(held.worker()),
        }
    }

    /// The tasks of its requests.
    pub(super) const fn relays(&self) -> &TaskTracker {
        &self.relays
    }

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
        if self.server.force.load().objection(key_id, SystemTime::now()).is_some() {
            return Err(Notice::new(Code::KeyRevoked, Fault::Client, "this client's key was revoked or has expired"));
        }
        let worker = Worker::choose(&self.workers);
        let worker = worker.ok_or_else(|| Notice::new(Code::Internal, Fault::Proxy, "a server without a thread"))?;
        Ok(Place::Inside((listed, taken), worker.session()))
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
    /// About as long as a hello takes. Large bodies come through tens of records in that time; of requests that are all refused, it is one.
    const SLICE: Duration = Duration::from_micros(200);

    fn key(&mut self, id: KeyId) -> Option<(Psk, Terms)> {
        self.key_id = Some(id);
        let force = self.server.force.load();
        let key = force.keys.find(id).filter(|key| !key.has_expired(SystemTime::now()))?;
        self.client = Some(self.server.guests.of(&key.name));
        Some((key.psk().clone(), force.terms(&key.name)))
    }

    fn established(&mut self, _hello: Option<ServerHello>) {
        match self.come_in() {
            Ok(place) => {
                self.place = place;
                info!(peer = %self.peer, client = %self.client(), "session opened");
                if let (Place::Inside(_, held), Some(client)) = (&self.place, &self.client) {
                    self.meter.opened(&held.worker().meter, &client.name);
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

    fn request(&mut self, exchange: Arc<Exchange>, request: Box<Request>) -> Duration {
        // A session that was refused has ended it already.
        let (Place::Inside(_, held), Some(client), Some(key_id)) = (&self.place, &self.client, self.key_id) else {
            return Duration::ZERO;
        };
        let meter = self.meter.exchange(exchange.began());
        // Here, and not in a task of its own: of a client that floods, hundreds would be ready at once, before anybody else's.
        let taken = client.exchange(self.server.force.load().rule(&client.name));
        let known = taken.and_then(|taken| Ok((taken, self.server.holds.register((key_id, request.id), &exchange)?)));
        match known {
            Ok((counted, known)) => {
                let worker = held.worker();
                let (held, counted) = (worker.exchange(), (counted, meter));
                let relay = relay::relay(self.server.clone(), held, client.clone(), counted, (exchange, known), request);
                self.relays.spawn_on(relay, worker.runtime());
                Duration::ZERO
            }
            Err(notice) => {
                // If the session is over, there is nobody to tell.
                let _ = exchange.with(|connection, _, number| connection.fail(number, &notice));
                exchange.finish();
                meter.ended(Outcome::Failed(notice.code), &Tally::default());
                let now = Instant::now();
                let rest = self.refusals.count(now);
                if let Some(refused_in_all) = self.refusals.told(now) {
                    info!(client = %client.name, code = %notice.code, refused_in_all, "requests refused: {}", notice.text);
                }
                rest
            }
        }
    }

    fn resume(&mut self, number: u32, resume: &Resume) {
        let found = self.key_id.and_then(|key_id| self.server.holds.find((key_id, resume.id)));
        let resumed = found.is_some_and(|exchange| exchange.resume_in(&self.session, number, resume));
        self.server.holds.came_back(resumed);
        if !resumed {
            self.session.gone(number);
        }
        debug!(client = %self.client(), exchange = number, resumed, "a client came back for a request");
    }

    fn adrift(&mut self, _exchange: Arc<Exchange>, _anew: bool) {}

    fn going_away(&mut self, _goaway: &GoAway) {}

    fn moved(&mut self, traffic: &Traffic) {
        self.meter.moved(traffic);
    }

    fn closed(&mut self, why: &Closed) {
        self.count(why);
        let holds = self.session.holds_any();
        if let (true, Some(key_id)) = (holds, self.key_id) {
            let most = self.server.force.load().config.limits.hold_bytes;
            self.server.holds.cut(key_id, &self.session, most);
        }
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
            (Closed::Lost { .. }, ..) => warn!(%peer, %client, held = holds, "session lost with requests under way"),
            (Closed::TimedOut { .. }, ..) => warn!(%peer, %client, held = holds, "session lost: no sign of life"),
            (Closed::Fault(error), ..) => warn!(%peer, %client, code = %error.code(), "session ended: {error}"),
            (Closed::Refused(notice), ..) => {
                warn!(%peer, %client, code = %notice.code, "session ended: the client found our bytes wrong or damaged");
            }
            (Closed::ProfileRefused(_), ..) => warn!(%peer, %client, "session ended over its profile"),
        }
    }
}
