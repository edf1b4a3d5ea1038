//! A session as its programs see it: exchanges, their inboxes, and who waits for what.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::{sync::Notify, time::Instant};

use crate::proto::{
    Closed, Code, Connection, Error, Event,
    frame::{CancelReason, End, GoAway, Headers, Notice, Request, Response, Stamps},
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
    /// The session is over. Repeating is safe if the request was never sent.
    Closed { why: Closed, unsent: bool },
    /// Server: the client cancelled it.
    Cancelled,
}

#[derive(Default)]
struct Slot {
    inbox: VecDeque<Incoming>,
    /// Something final is in the inbox or was taken from it: dropping the handle cancels nothing.
    over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Server: when the client's CANCEL was read.
    cancelled: Option<Duration>,
    /// Server: what came of it, when its last frame is sealed or its session over.
    tally: Option<Tally>,
}

impl Slot {
    /// Nothing more comes, and what came is not wanted.
    fn close(&mut self) {
        self.over = true;
        self.inbox.clear();
    }

    fn take_wakers(&mut self) -> impl Iterator<Item = Waker> + use<> {
        [self.reader.take(), self.writer.take()].into_iter().flatten()
    }
}

pub(super) struct State {
    pub(super) connection: Connection,
    slots: FxHashMap<u32, Slot>,
    pub(super) pump: Option<Waker>,
    /// What the peer said when it ended the session, if it did.
    goaway: Option<GoAway>,
    /// Why it is over, if it is.
    closed: Option<Closed>,
    /// Server: why all exchanges were ended, if they were.
    cut: Option<Code>,
}

/// A session that a pump runs.
#[derive(Clone)]
pub(crate) struct Session {
    state: Arc<Mutex<State>>,
    pub(super) start: Instant,
    /// Told when an exchange may be opened, or none ever will. The sessions of a client share it.
    pub(super) free: Arc<Notify>,
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
        let state = State { connection, slots: FxHashMap::default(), pump: None, goaway: None, closed: None, cut: None };
        Self { state: Arc::new(Mutex::new(state)), start, free }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves a core that refuses further input at worst; other exchanges should still end in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Runs `call` on the core and wakes the pump.
    fn with<T>(&self, call: impl FnOnce(&mut Connection, Duration) -> T) -> T {
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

    /// How long no exchange has been open; `None` if one is.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        let now = self.now();
        self.lock().connection.idle_since().map(|since| now.saturating_sub(since))
    }

    /// Client: opens an exchange. Pending if the server allows no more at once: `free` has the word when it does. `None` if the
    /// session will open no more.
    pub(crate) fn request(&self, request: &Request) -> Poll<Option<Result<Exchange, Error>>> {
        let mut state = self.lock();
        if state.connection.is_draining() {
            return Poll::Ready(None);
        }
        if !state.connection.can_open() {
            return Poll::Pending;
        }
        let opened = state.connection.request(self.now(), request);
        state.wake_pump();
        if state.connection.can_open() {
            // The word is passed on: there is room for one more.
            self.free.notify_one();
        }
        Poll::Ready(Some(opened.map(|number| {
            state.slots.insert(number, Slot::default());
            Exchange { session: self.clone(), number }
        })))
    }
}

/// One exchange of a session, as its program holds it. Dropping it before its end cancels it (client) or fails it (server).
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(super) session: Session,
    pub(super) number: u32,
}

impl Exchange {
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// The time of the session's clock.
    pub(crate) fn now(&self) -> Duration {
        self.session.now()
    }

    /// What comes next; `None` after the last.
    pub(crate) fn poll_incoming(&self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        let mut state = self.session.lock();
        let state = &mut *state;
        let Some(slot) = state.slots.get_mut(&self.number) else { return Poll::Ready(None) };
        let Some(next) = slot.inbox.pop_front() else {
            if slot.over {
                return Poll::Ready(None);
            }
            keep(&mut slot.reader, cx);
            return Poll::Pending;
        };
        if let Incoming::Piece(bytes, _) = &next
            && state.connection.taken(self.number, bytes.len())
        {
            state.wake_pump();
        }
        Poll::Ready(Some(next))
    }

    /// What comes next; `None` after the last.
    pub(crate) async fn incoming(&self) -> Option<Incoming> {
        poll_fn(|cx| self.poll_incoming(cx)).await
    }

    /// Ready when another piece may be sent; `false` if the exchange is over.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.session.lock();
        let state = &mut *state;
        if !state.connection.is_open(self.number) {
            return Poll::Ready(false);
        }
        if state.connection.has_room(self.number) {
            return Poll::Ready(true);
        }
        match state.slots.get_mut(&self.number) {
            None => Poll::Ready(false),
            Some(slot) => {
                keep(&mut slot.writer, cx);
                Poll::Pending
            }
        }
    }

    /// Waits until another piece may be sent; `false` if the exchange is over.
    pub(crate) async fn room(&self) -> bool {
        poll_fn(|cx| self.poll_room(cx)).await
    }

    /// Runs a call of the core for this exchange and wakes the pump.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Connection, Duration, u32) -> T) -> T {
        self.session.with(|connection, now| call(connection, now, self.number))
    }

    /// Client: whether its last event is there, or was taken.
    pub(crate) fn is_over(&self) -> bool {
        self.session.lock().slots.get(&self.number).is_none_or(|slot| slot.over)
    }

    /// Server: the answer is ended; whoever still reads the request body gets no more.
    pub(crate) fn finish(&self) {
        let mut state = self.session.lock();
        let reader = state.slots.get_mut(&self.number).and_then(|slot| {
            slot.close();
            slot.reader.take()
        });
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Server: why the session's exchanges were all ended, if they were ([`Session::cut`]).
    pub(crate) fn cut(&self) -> Option<Code> {
        self.session.lock().cut
    }

    /// Client: wants no more of this exchange. Whoever reads it finds `last`.
    pub(crate) fn give_up(&self, reason: CancelReason, last: Option<Notice>) {
        let mut state = self.session.lock();
        let wake = match state.slots.get_mut(&self.number) {
            Some(slot) if !slot.over => {
                slot.close();
                slot.inbox.extend(last.map(Incoming::Failed));
                slot.take_wakers()
            }
            _ => return,
        };
        drop(state);
        self.with(|connection, _, number| connection.cancel(number, reason));
        wake.for_each(Waker::wake);
    }

    /// Waits until the exchange is over, whoever ended it. If it was the client's CANCEL, gives when that was read.
    pub(crate) async fn abandoned(&self) -> Option<Duration> {
        poll_fn(|cx| {
            let mut state = self.session.lock();
            match state.slots.get_mut(&self.number) {
                Some(slot) if !slot.over => {
                    keep(&mut slot.writer, cx);
                    Poll::Pending
                }
                slot => Poll::Ready(slot.and_then(|slot| slot.cancelled)),
            }
        })
        .await
    }

    /// Server: waits until the last frame of the exchange is sealed, or its session over.
    pub(crate) async fn finished(&self) -> Tally {
        poll_fn(|cx| {
            let mut state = self.session.lock();
            let over = state.closed.is_some();
            match state.slots.get_mut(&self.number) {
                Some(slot) if slot.tally.is_none() && !over => {
                    keep(&mut slot.writer, cx);
                    Poll::Pending
                }
                slot => Poll::Ready(slot.and_then(|slot| slot.tally).unwrap_or_default()),
            }
        })
        .await
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let over = self.session.lock().slots.remove(&self.number).is_none_or(|slot| slot.over);
        if !over {
            self.with(|connection, _, number| connection.abandon(number));
        }
    }
}

/// Keeps who is to be woken; mostly it is there already.
fn keep(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}

impl State {
    fn wake_pump(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.wake();
        }
    }

    /// Moves what happened to the slots; what concerns the session goes to `session`, who is to be woken to `wake`.
    pub(super) fn dispatch(&mut self, now: Duration, session: &mut Vec<Event>, wake: &mut Vec<Waker>) {
        while let Some(event) = self.connection.poll_event() {
            let (number, incoming, over) = match event {
                Event::Response(number, response) => (number, Incoming::Response(response), false),
                Event::Body(number, bytes) => (number, Incoming::Piece(bytes, None), false),
                Event::Data(number, bytes, stamps) => (number, Incoming::Piece(bytes, stamps), false),
                Event::BodyEnd(number, trailers) => (number, Incoming::BodyEnd(trailers), false),
                Event::End(number, end) => (number, Incoming::End(end), true),
                Event::Failed(number, notice) => (number, Incoming::Failed(notice), true),
                Event::Cancelled(number, _) => (number, Incoming::Cancelled, true),
                Event::Room(number) => {
                    wake.extend(self.slots.get_mut(&number).and_then(|slot| slot.writer.take()));
                    continue;
                }
                Event::Request(number, _) => {
                    self.slots.insert(number, Slot::default());
                    session.push(event);
                    continue;
                }
                Event::Closed { ref why, ref unsent } => {
                    for (number, slot) in &mut self.slots {
                        if !slot.over {
                            let unsent = unsent.contains(number);
                            slot.inbox.push_back(Incoming::Closed { why: why.clone(), unsent });
                            slot.over = true;
                        }
                        wake.extend(slot.take_wakers());
                    }
                    self.closed = Some(why.clone());
                    session.push(event);
                    continue;
                }
                Event::GoAway(ref goaway) => {
                    self.goaway = Some(goaway.clone());
                    session.push(event);
                    continue;
                }
                other => {
                    session.push(other);
                    continue;
                }
            };
            let Some(slot) = self.slots.get_mut(&number) else { continue };
            slot.over |= over;
            if matches!(incoming, Incoming::Cancelled) {
                slot.cancelled = Some(now);
            }
            slot.inbox.push_back(incoming);
            wake.extend(slot.reader.take());
            if over {
                wake.extend(slot.writer.take());
            }
        }
        // Last: an exchange can be over in the turn that it came in.
        for (number, tally) in self.connection.drain_finished() {
            if let Some(slot) = self.slots.get_mut(&number) {
                slot.tally = Some(tally);
                wake.extend(slot.writer.take());
            }
        }
    }
}
