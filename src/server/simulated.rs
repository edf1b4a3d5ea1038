//! A server for the simulation of the drivers (`crate::simulation`): it has the real sessions, pumps and [`Holds`], and programs in the
//! place of upstreams. What its hook and its relays do is what [`hook`](super::hook) and [`relay`](super::relay) do.

mod relay;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{LOOK, holds::Holds, sessions::LAST_WORD};
use crate::{
    driver::{Exchange, Hook, Pump, Session},
    proto::{
        AWS_LC, Closed, Code, Connection, Error, Fault, KeyId, Psk, ServerConfig, ServerKey, Terms,
        crypto::Secret,
        frame::{GoAway, Notice, Request, Resume},
        handshake::ServerHello,
        limits,
    },
    simulation::{dice, net::Wire, world::World},
};

pub(crate) use relay::is_part;
use relay::{Relay, asked};

/// A run of a server.
pub(crate) struct House {
    world: Arc<World>,
    holds: Arc<Holds>,
    instance: [u8; 8],
    epoch: Instant,
    /// Sessions that are open.
    open: Mutex<Vec<Session>>,
    tasks: TaskTracker,
    /// The server stops.
    stop: CancellationToken,
    /// All ends now.
    end: CancellationToken,
}

pub(crate) fn key() -> ServerKey {
    ServerKey::new(Secret::new([9; 32]))
}

pub(crate) fn psk() -> Psk {
    Secret::new([2; 32])
}

impl House {
    /// One that serves, and looks at what it holds until it has ended.
    pub(crate) fn open(world: &Arc<World>) -> Arc<Self> {
        let this = Arc::new(Self {
            world: world.clone(),
            holds: Arc::default(),
            instance: dice::bytes(),
            epoch: Instant::now(),
            open: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            end: CancellationToken::new(),
        });
        this.holds.start();
        let house = Arc::downgrade(&this);
        tokio::spawn(async move {
            while let Some(house) = house.upgrade() {
                house.holds.review(house.world.rules.most, |_| None);
                drop(house);
                sleep(LOOK).await;
            }
        });
        this
    }

    /// Somebody connects.
    pub(crate) fn admit(self: &Arc<Self>, wire: Wire) {
        if self.stop.is_cancelled() {
            return;
        }
        let rules = &self.world.rules;
        let config = ServerConfig {
            keys: [key()].into(),
            profile: rules.profile,
            exchanges: rules.exchanges,
            credit: rules.upload_credit,
            buffered: 1 << 20,
            hello_time: limits::HELLO_TIME,
            keep_alive: limits::SERVER_KEEP_ALIVE,
            idle: rules.idle,
            node: None,
            instance: self.instance,
        };
        let (ephemeral, decoy) = (Secret::new(dice::bytes()), Secret::new(dice::bytes()));
        let connection = Connection::server(config, ephemeral, decoy, self.epoch.elapsed(), &AWS_LC);
        let session = Session::new(connection, self.epoch, Arc::default());
        let number = {
            let mut state = self.world.state();
            state.sessions.push(session.clone());
            state.sessions.len()
        };
        let (house, relays) = (self.clone(), TaskTracker::new());
        let hook = Host { house, session: session.clone(), number, relays, key_id: None, is_in: false };
        let task = self.tasks.spawn(run(Pump::new(wire, session.clone(), hook, || 0)));
        tokio::spawn(attend(task, session, self.stop.clone(), self.end.clone()));
    }

    fn sessions(&self) -> Vec<Session> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|session| session.closed().is_none());
        open.clone()
    }

    /// Some sessions end in order, as idle ones do and those of a key that is replaced.
    pub(crate) fn drain(&self) {
        for session in self.sessions() {
            if dice::one_in(2) {
                session.go_away(dice::one_of(&[None, Some(Code::Idle), Some(Code::ShuttingDown)]), "somewhere else, please");
            }
        }
    }

    /// Sessions end at once, with a word to their requests.
    pub(crate) async fn revoke(&self) {
        for session in self.sessions() {
            session.cut(&Notice::new(Code::KeyRevoked, Fault::Client, "no more"));
        }
        sleep(LAST_WORD).await;
    }

    /// What is under way has some time to finish, and ends then.
    pub(crate) async fn stop(&self, drain: Duration) {
        self.stop.cancel();
        self.tasks.close();
        self.holds.stop();
        if timeout(drain, self.tasks.wait()).await.is_err() {
            for session in self.sessions() {
                session.cut(&Notice::new(Code::ShuttingDown, Fault::Proxy, "it is over"));
            }
            let _ = timeout(LAST_WORD, self.tasks.wait()).await;
        }
        self.kill();
    }

    /// All that is under way is gone.
    pub(crate) fn kill(&self) {
        self.stop.cancel();
        self.end.cancel();
        self.holds.stop();
    }

    /// How many requests it knows.
    pub(crate) fn known(&self) -> usize {
        self.holds.known()
    }

    /// Waits until nothing is left.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        while self.known() > 0 {
            sleep(LOOK).await;
        }
    }
}

/// Runs a session, from who is a stranger to its end.
async fn run(mut pump: Pump<Wire, Host>) {
    pump.greet().await;
    let relays = pump.hook().relays.clone();
    pump.move_here(Ok).expect("it stays where it is").run().await;
    relays.close();
    relays.wait().await;
}

async fn attend(mut task: JoinHandle<()>, session: Session, stop: CancellationToken, end: CancellationToken) {
    tokio::select! {
        biased;
        _ = &mut task => return,
        () = end.cancelled() => return task.abort(),
        () = stop.cancelled() => session.go_away(Some(Code::ShuttingDown), "the proxy is stopping"),
    }
    tokio::select! {
        biased;
        _ = &mut task => {}
        () = end.cancelled() => task.abort(),
    }
}

/// What happens to a session.
struct Host {
    house: Arc<House>,
    session: Session,
    /// Of all sessions.
    number: usize,
    relays: TaskTracker,
    key_id: Option<KeyId>,
    is_in: bool,
}

impl Hook for Host {
    const SLICE: Duration = Duration::from_micros(200);

    fn key(&mut self, id: KeyId) -> Option<(Psk, Terms)> {
        self.key_id = Some(id);
        Some((psk(), Terms { hold: self.house.world.rules.hold, ..Terms::default() }))
    }

    fn established(&mut self, _hello: Option<ServerHello>) {
        self.is_in = true;
        self.house.world.state().reached = true;
        self.house.open.lock().unwrap_or_else(PoisonError::into_inner).push(self.session.clone());
    }

    fn rejected(&mut self, error: Error) {
        // The first record may be damaged on the way.
        assert!(matches!(error, Error::Unauthentic("record" | "record length")), "{error}");
    }

    fn request(&mut self, exchange: Arc<Exchange>, request: Box<Request>) -> Duration {
        assert!(self.is_in, "nobody asks who has not proved a key");
        let id = (self.key_id.expect("it is in"), request.id);
        match self.house.holds.register(id, &exchange) {
            Ok(known) => {
                let ask = asked(&request.url);
                let is_late = self.house.world.state().gone.get(&request.id).is_some_and(|&told| self.number < told);
                self.house.world.ask(ask, |ask| ask.job.read = (!is_late).then(Instant::now));
                let relay = Relay { house: self.house.clone(), exchange, ask };
                self.relays.spawn(relay.run(known, request));
                Duration::ZERO
            }
            Err(notice) => {
                let _ = exchange.with(|connection, _, number| connection.fail(number, &notice));
                exchange.finish();
                dice::millis(50)
            }
        }
    }

    fn resume(&mut self, number: u32, resume: &Resume) {
        let found = self.key_id.and_then(|key_id| self.house.holds.find((key_id, resume.id)));
        let resumed = found.is_some_and(|exchange| exchange.resume_in(&self.session, number, resume));
        self.house.holds.came_back(resumed);
        if !resumed {
            self.session.gone(number);
            self.house.world.state().gone.insert(resume.id, self.number);
        }
        self.house.world.note(if resumed { "resumed" } else { "gone" }, 0, number.into());
    }

    fn adrift(&mut self, _exchange: Arc<Exchange>, _anew: bool) {}

    fn going_away(&mut self, _goaway: &GoAway) {}

    fn closed(&mut self, why: &Closed) {
        assert!(!matches!(why, Closed::Fault(Error::Misbehaved(..) | Error::Misuse(_))), "{why:?}");
        self.house.world.note("closed", 0, self.session.count_held() as u64);
        if let (true, Some(key_id)) = (self.session.holds_any(), self.key_id) {
            self.house.holds.cut(key_id, &self.session, self.house.world.rules.most);
        }
    }
}
