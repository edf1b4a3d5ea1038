//! A session as its programs see it: exchanges, their inboxes, and who waits for what.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use super::exchange::Exchange;
use crate::proto::{
    Closed, Code, Connection, Error, Event,
    frame::{End, GoAway, Headers, Notice, Request, Response, Stamps},
    tally::Tally,
};

/// What came for an exchange's program.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Client: the head.
    Response(Response),
    /// A piece of the body.
    Piece(Bytes, Option<Stamps>),
    /// Client: the end of the response.
    End(End),
    /// Server: the end of the request body.
    BodyEnd(Headers),
    /// Client: the exchange failed.
    Failed(Notice),
    /// The session is over. Repeating is safe if the server never had all of the request. If it was tried to go on in another one, `back`
    /// says why that failed.
    Closed { why: Closed, unsent: bool, back: Option<String> },
    /// Server: the client cancelled it.
    Cancelled,
}

#[derive(Default)]
pub(super) struct Slot {
    pub(super) inbox: VecDeque<Incoming>,
    /// Something final is in the inbox or was taken from it: dropping the handle cancels nothing.
    pub(super) over: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// Server: when the client's CANCEL was read.
    pub(super) cancelled: Option<Duration>,
    /// Server: what came of it, when its last frame is sealed or its session over.
    pub(super) tally: Option<Tally>,
    /// Server: nobody can come back for it.
    pub(super) settled: bool,
    /// Client: whose it is.
    handle: Weak<Exchange>,
    /// Client: since when it has had no session in which it goes on, and how often one was tried.
    pub(super) adrift: Option<Duration>,
    pub(super) tries: u32,
    /// Client: somebody looks for such a session.
    pub(super) sought: bool,
}

impl Slot {
    /// Nothing more comes, and what came is not wanted.
    pub(super) fn close(&mut self) {
        self.over = true;
        self.inbox.clear();
    }

    /// It has no session in which it goes on. Whoever is to find one is told, once; if it is to be asked `anew`, there is nothing of it at
    /// the server.
    fn set_adrift(&mut self, now: Duration, anew: bool, told: &mut Told) {
        self.adrift.get_or_insert(now);
        if !std::mem::replace(&mut self.sought, true) {
            told.adrift.push((self.handle.clone(), anew));
        }
    }

    pub(super) fn take_wakers(&mut self) -> impl Iterator<Item = Waker> + use<> {
        [self.reader.take(), self.writer.take()].into_iter().flatten()
    }
}

pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) slots: FxHashMap<u32, Slot>,
    pub(super) pump: Option<Waker>,
    /// What the peer said when it ended the session, if it did.
    goaway: Option<GoAway>,
    /// Why it is over, if it is.
    pub(super) closed: Option<Closed>,
    /// Server: why all exchanges were ended, if they were.
    pub(super) cut: Option<Code>,
    /// Client: how many requests that come back wait for a place here ([`Returning`]).
    returning: usize,
}

/// What a look at the core's events found, for those who are told outside the lock.
#[derive(Default)]
pub(super) struct Told {
    /// What concerns the session.
    pub(super) events: Vec<Event>,
    pub(super) wake: Vec<Waker>,
    /// Client: exchanges that do not go on here, and whether they are to be asked anew, because the server had nothing of them.
    pub(super) adrift: Vec<(Weak<Exchange>, bool)>,
    /// Client: exchanges whose server has yet to hear that they are cancelled, and that nobody has any more.
    pub(super) cancels: Vec<u32>,
}

/// A session that a pump runs.
#[derive(Clone)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    pub(super) start: Instant,
    /// Told when a new exchange may be opened, or none ever will. The sessions of a client share it.
    free: Arc<Notify>,
}

struct Shared {
    state: Mutex<State>,
    /// Told the same for one that comes back.
    back: Notify,
}

/// Client: a request that comes back waits for a place in a session. Until this is dropped, none is given to a new one: that can
/// wait, and the server holds this one for so long only.
pub(crate) struct Returning(Session);

impl Returning {
    /// Has the word when there may be a place, or never will be one.
    pub(crate) fn word(&self) -> Notified<'_> {
        self.0.shared.back.notified()
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.returning -= 1;
        self.0.pass_on(&state);
    }
}

/// Shows nothing of what passes through it.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// `start` is the moment that the connection calls zero.
    pub(crate) fn new(connection: Connection, start: Instant, free: Arc<Notify>) -> Self {
        let state =
            State { connection, slots: FxHashMap::default(), pump: None, goaway: None, closed: None, cut: None, returning: 0 };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), back: Notify::new() }), start, free }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves a core that refuses further input at worst; other exchanges should still end in order.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Runs `call` on the core and wakes the pump.
    pub(super) fn with<T>(&self, call: impl FnOnce(&mut Connection, Duration) -> T) -> T {
        let mut state = self.lock();
        let result = call(&mut state.connection, self.now());
        state.wake_pump();
        result
    }

    /// Allows no new exchanges; the pump ends when those under way have.
    pub(crate) fn go_away(&self, code: Option<Code>, text: &str) {
        self.with(|connection, _| connection.go_away(code, text));
    }

    /// Server: ends every exchange now and allows no new ones ([`Connection::cut`]). Whoever works on them finds them abandoned.
    pub(crate) fn cut(&self, notice: &Notice) {
        let mut state = self.lock();
        let state = &mut *state;
        state.cut.get_or_insert(notice.code);
        state.connection.cut(notice);
        let mut wake = Vec::new();
        for slot in state.slots.values_mut() {
            slot.close();
            wake.extend(slot.take_wakers());
        }
        state.wake_pump();
        wake.into_iter().for_each(Waker::wake);
    }

    /// Server: whether it was cut ([`Session::cut`]).
    pub(crate) fn is_cut(&self) -> bool {
        self.lock().cut.is_some()
    }

    /// Bytes of bodies that wait here, in either direction: for the peer to take them, or for a program of ours.
    pub(crate) fn held(&self) -> usize {
        let state = self.lock();
        let pieces = state.slots.values().flat_map(|slot| &slot.inbox);
        let taken =
            pieces.map(|incoming| if let Incoming::Piece(bytes, _) = incoming { bytes.len() } else { 0 }).sum::<usize>();
        state.connection.queued() + taken
    }

    /// Whether it will ever open another exchange.
    pub(crate) fn is_draining(&self) -> bool {
        self.lock().connection.is_draining()
    }

    /// What the peer said when it ended the session, if it did.
    pub(crate) fn goaway(&self) -> Option<GoAway> {
        self.lock().goaway.clone()
    }

    /// Whether the peer has said that it is about to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.goaway().is_some_and(|goaway| goaway.code == Some(Code::ShuttingDown))
    }

    /// Why it is over, if it is.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lock().closed.clone()
    }

    /// Exchanges that are open.
    pub(crate) fn open_exchanges(&self) -> usize {
        self.lock().connection.open_exchanges()
    }

    /// Exchanges that somebody has a handle of.
    #[cfg(all(test, feature = "client", feature = "server"))]
    pub(crate) fn slots(&self) -> usize {
        self.lock().slots.len()
    }

    /// Whether the other one is a handle of the same session.
    #[cfg(all(test, feature = "client", feature = "server"))]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// How long no exchange has been open; `None` if one is.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        let now = self.now();
        self.lock().connection.idle_since().map(|since| now.saturating_sub(since))
    }

    /// Whether exchanges of it wait for another session.
    pub(crate) fn holds_any(&self) -> bool {
        self.lock().connection.holds_any()
    }

    /// Server: how many exchanges wait for another session.
    pub(crate) fn count_held(&self) -> usize {
        self.lock().connection.held()
    }

    /// Server: each exchange that waits for another session may have so much of its answer here.
    pub(crate) fn share(&self, keep: usize) {
        let mut state = self.lock();
        let wake: Vec<_> = if state.connection.share(keep) {
            state.slots.values_mut().filter_map(|slot| slot.writer.take()).collect()
        } else {
            Vec::new()
        };
        drop(state);
        wake.into_iter().for_each(Waker::wake);
    }

    /// Server: what it holds for others to come back for, or all of it, ends if its time is over.
    pub(crate) fn expire(&self, all: bool) {
        let mut told = Told::default();
        let mut state = self.lock();
        state.connection.expire(self.now(), all);
        state.tell_finished(&mut told);
        drop(state);
        told.wake.into_iter().for_each(Waker::wake);
    }

    /// Server: nothing of an exchange that the client comes back for can be had.
    pub(crate) fn gone(&self, number: u32) {
        self.with(|connection, _| connection.gone(number));
    }

    /// Client: opens an exchange. Pending if the server allows no more at once, or others come back: `free` has the word when there
    /// is a place. `None` if the session will open no more.
    pub(crate) fn request(&self, request: &Request) -> Poll<Option<Result<Arc<Exchange>, Error>>> {
        let mut state = self.lock();
        if state.connection.is_draining() {
            return Poll::Ready(None);
        }
        if state.returning > 0 || !state.connection.can_open() {
            return Poll::Pending;
        }
        let opened = state.connection.request(self.now(), request);
        state.wake_pump();
        self.pass_on(&state);
        Poll::Ready(Some(opened.map(|number| {
            let exchange = Arc::new(Exchange::new(self.clone(), number));
            state.slots.insert(number, Slot { handle: Arc::downgrade(&exchange), ..Slot::default() });
            exchange
        })))
    }

    /// Client: a handle for an exchange that is held to be cancelled elsewhere.
    pub(super) fn cancelled(&self, number: u32) -> Arc<Exchange> {
        let exchange = Arc::new(Exchange::new(self.clone(), number));
        let (handle, adrift) = (Arc::downgrade(&exchange), Some(self.now()));
        self.lock().slots.insert(number, Slot { handle, adrift, sought: true, over: true, ..Slot::default() });
        exchange
    }

    /// Client: takes part in the wait for a place.
    pub(crate) fn returning(&self) -> Returning {
        self.lock().returning += 1;
        Returning(self.clone())
    }

    /// Client: whoever waits for a place has the word, if there is one or never will be.
    pub(super) fn pass_on(&self, state: &State) {
        if state.connection.is_draining() {
            self.end_waiting();
        } else if state.connection.can_open() {
            let next = if state.returning > 0 { &self.shared.back } else { &*self.free };
            next.notify_one();
        }
    }

    /// Client: no more places are to be had here.
    pub(super) fn end_waiting(&self) {
        self.free.notify_waiters();
        self.shared.back.notify_waiters();
    }
}

impl State {
    pub(super) fn wake_pump(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.wake();
        }
    }

    /// Client: whether the server took nothing of this exchange, and the path was not why: it ended the session before.
    pub(super) fn was_refused(&self, number: u32) -> bool {
        self.connection.is_new(number) && !self.closed.as_ref().is_some_and(Closed::is_cut)
    }

    /// Moves what happened to the slots.
    pub(super) fn dispatch(&mut self, now: Duration, told: &mut Told) {
        while let Some(event) = self.connection.poll_event() {
            let (number, incoming, over) = match event {
                Event::Response(number, response) => (number, Incoming::Response(response), false),
                Event::Body(number, bytes) => (number, Incoming::Piece(bytes, None), false),
                Event::Data(number, bytes, stamps) => (number, Incoming::Piece(bytes, stamps), false),
                Event::BodyEnd(number, trailers) => (number, Incoming::BodyEnd(trailers), false),
                Event::End(number, end) => (number, Incoming::End(end), true),
                Event::Failed(number, notice) => (number, Incoming::Failed(notice), true),
                Event::Cancelled(number, _) => (number, Incoming::Cancelled, true),
                Event::Resumed(number) => {
                    if let Some(slot) = self.slots.get_mut(&number) {
                        (slot.adrift, slot.tries) = (None, 0);
                        told.wake.extend(slot.writer.take());
                    }
                    continue;
                }
                Event::Gone(number) | Event::Adrift(number) => {
                    let anew = matches!(event, Event::Gone(_)) || self.connection.is_new(number);
                    if let Some(slot) = self.slots.get_mut(&number) {
                        slot.set_adrift(now, anew, told);
                    } else if self.connection.holds(number) {
                        // Nobody has a handle of it any more: it is there to be cancelled.
                        told.cancels.push(number);
                    }
                    continue;
                }
                Event::Room(number) => {
                    told.wake.extend(self.slots.get_mut(&number).and_then(|slot| slot.writer.take()));
                    continue;
                }
                Event::Request(number, _) => {
                    self.slots.insert(number, Slot::default());
                    told.events.push(event);
                    continue;
                }
                Event::Closed { ref why, ref unsent } => {
                    for (number, slot) in &mut self.slots {
                        if self.connection.holds(*number) {
                            let is_new = self.connection.is_new(*number);
                            slot.set_adrift(now, is_new, told);
                        } else if !slot.over {
                            let unsent = unsent.contains(number);
                            slot.inbox.push_back(Incoming::Closed { why: why.clone(), unsent, back: None });
                            slot.over = true;
                        }
                        told.wake.extend(slot.take_wakers());
                    }
                    // And of these, too, nobody has one.
                    told.cancels.extend(self.connection.cancels().filter(|number| !self.slots.contains_key(number)));
                    self.closed = Some(why.clone());
                    told.events.push(event);
                    continue;
                }
                Event::GoAway(ref goaway) => {
                    self.goaway = Some(goaway.clone());
                    told.events.push(event);
                    continue;
                }
                other => {
                    told.events.push(other);
                    continue;
                }
            };
            let Some(slot) = self.slots.get_mut(&number) else { continue };
            slot.over |= over;
            if matches!(incoming, Incoming::Cancelled) {
                slot.cancelled = Some(now);
            }
            slot.inbox.push_back(incoming);
            told.wake.extend(slot.reader.take());
            if over {
                told.wake.extend(slot.writer.take());
            }
        }
        // Last: an exchange can be over in the turn that it came in.
        self.tell_finished(told);
    }

    fn tell_finished(&mut self, told: &mut Told) {
        for (number, tally) in self.connection.drain_finished() {
            if let Some(slot) = self.slots.get_mut(&number) {
                slot.tally = Some(tally);
                told.wake.extend(slot.writer.take());
            }
        }
        for number in self.connection.drain_settled() {
            if let Some(slot) = self.slots.get_mut(&number) {
                slot.settled = true;
                if !slot.over {
                    slot.close();
                }
                told.wake.extend(slot.take_wakers());
            }
        }
    }
}
