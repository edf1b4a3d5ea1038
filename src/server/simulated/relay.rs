//! A request at the server: what the relay does, and the program in the place of its upstream.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{super::holds::Registered, House};
use crate::{
    driver::{Exchange, Incoming},
    proto::{
        Code, Connection, Error, Fault,
        frame::{BodyLength, Mode, Notice, Request, Response},
    },
    simulation::{
        dice,
        plan::{PIECE, body},
        world::World,
    },
};

/// Which request this is.
pub(super) fn asked(url: &str) -> usize {
    url.rsplit('/').next().and_then(|last| last.parse().ok()).expect("its URL says it")
}

/// How an exchange ended without its END.
enum Stop {
    Failed(Notice),
    Abandoned,
}

/// A request and its upstream.
pub(super) struct Relay {
    pub(super) house: Arc<House>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) ask: usize,
}

impl Relay {
    pub(super) async fn run(self, known: Registered, request: Box<Request>) {
        let (exchange, world, ask) = (self.exchange.clone(), self.house.world.clone(), self.ask);
        let working = world.work();
        let result = {
            let attempt = pin!(self.attempt(&request));
            tokio::select! {
                biased;
                _ = exchange.abandoned() => Err(Stop::Abandoned),
                result = attempt => result,
            }
        };
        world.ask(ask, |ask| ask.job.over = Some(Instant::now()));
        world.note("called", ask, result.is_ok().into());
        drop((working, self));
        if let Err(Stop::Failed(notice)) = result {
            let _ = exchange.with(|connection, _, number| connection.fail(number, &notice));
        }
        exchange.finish();
        let tally = exchange.finished().await;
        world.note("finished", ask, tally.frames);
        tokio::spawn(async move {
            exchange.settled().await;
            drop(known);
        });
    }

    async fn attempt(&self, request: &Request) -> Result<(), Stop> {
        let (world, ask) = (&self.house.world, self.ask);
        let plan = &world.plans[ask];
        world.pause(ask, dice::millis(if dice::one_in(2) { 0 } else { 3000 })).await;
        self.exchange.with(Connection::called);
        let called = world.ask(ask, |ask| std::mem::replace(&mut ask.job.called, true));
        assert!(!called, "the upstream of {ask} is called twice");
        world.note("call", ask, 0);
        let is_none = request.body == BodyLength::None;
        world.ask(ask, |ask| ask.job.is_whole = is_none);
        if !is_none {
            let upload = Upload { world: world.clone(), exchange: self.exchange.clone(), ask };
            if plan.early {
                let (world, working) = (world.clone(), world.work());
                tokio::spawn(async move {
                    upload.take().await;
                    world.ask(ask, |ask| ask.job.unread = Some(Instant::now()));
                    drop(working);
                });
            } else if !upload.take().await {
                return Err(Stop::Abandoned);
            }
        }
        self.answer(request.mode).await
    }

    async fn answer(&self, mode: Mode) -> Result<(), Stop> {
        let plan = &self.house.world.plans[self.ask];
        let end = plan.fault.unwrap_or(plan.answer);
        let failed = || Err(Stop::Failed(Notice::new(Code::UpstreamClosed, Fault::Upstream, "as planned")));
        if mode == Mode::Buffered {
            let mut at = 0;
            while at < end {
                at += self.piece(at, end).await.len() as u64;
            }
            if plan.fault.is_some() {
                return failed();
            }
            self.call(|connection, now, number| {
                connection.respond(now, number, &Response { status: 200, headers: Vec::new(), length: Some(end) })
            })?;
            let mut at = 0;
            while at < end {
                let size = PIECE.min(end - at);
                self.send(body(self.ask, at, size)).await?;
                at += size;
            }
        } else {
            let length = Some(plan.answer).filter(|answer| plan.is_known && *answer != u64::MAX);
            self.call(|connection, now, number| {
                connection.respond(now, number, &Response { status: 200, headers: Vec::new(), length })
            })?;
            let mut at = 0;
            while at < end {
                let piece = self.piece(at, end).await;
                at += piece.len() as u64;
                self.send(piece).await?;
            }
            if plan.fault.is_some() {
                return failed();
            }
        }
        self.call(|connection, _, number| connection.end(number, Vec::new()))
    }

    /// The upstream gives a piece.
    async fn piece(&self, at: u64, end: u64) -> Bytes {
        let world = &self.house.world;
        let plan = &world.plans[self.ask];
        world.pause(self.ask, plan.answers.pause()).await;
        body(self.ask, at, (1 + dice::size(plan.piece - 1)).min(end - at))
    }

    fn call<T>(&self, call: impl FnOnce(&mut Connection, Duration, u32) -> Result<T, Error>) -> Result<T, Stop> {
        self.exchange.with(|connection, now, number| {
            call(connection, now, number).map_err(|error| {
                assert!(!connection.is_open(number), "{error}");
                Stop::Abandoned
            })
        })
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Stop> {
        let room = self.call(|connection, now, number| {
            connection.send_data(now, number, bytes)?;
            Ok(connection.has_room(number))
        })?;
        if room || self.exchange.room().await { Ok(()) } else { Err(Stop::Abandoned) }
    }
}

/// The request body, as the upstream's connection takes it.
struct Upload {
    world: Arc<World>,
    exchange: Arc<Exchange>,
    ask: usize,
}

impl Upload {
    /// Says whether all of it came.
    async fn take(self) -> bool {
        let Self { world, exchange, ask } = self;
        let (plan, mut at) = (&world.plans[ask], 0);
        loop {
            match exchange.incoming().await {
                Some(Incoming::Piece(bytes, _)) => {
                    let size = bytes.len() as u64;
                    assert!(plan.upload >= at + size && is_part(ask, at, &bytes), "the upload of {ask} is what was given");
                    at += size;
                    world.ask(ask, |ask| ask.job.uploaded = at);
                    world.note("up", ask, at);
                    world.pause(ask, dice::millis(if dice::one_in(20) { 500 } else { 0 })).await;
                }
                Some(Incoming::BodyEnd(_)) => {
                    assert_eq!(at, plan.upload, "an upload that ends is whole");
                    world.ask(ask, |ask| ask.job.is_whole = true);
                    return true;
                }
                _ => return false,
            }
        }
    }
}

/// Whether these bytes are of the body of this request, from there on.
pub(crate) fn is_part(ask: usize, mut at: u64, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(bytes.len().min(usize::try_from(PIECE).expect("it is small")));
        if body(ask, at, piece.len() as u64) != piece {
            return false;
        }
        (at, bytes) = (at + piece.len() as u64, rest);
    }
    true
}
