//! The one pump: moves bytes between a transport and a [`Connection`], and what happened to the tasks that wait for it.
//!
//! One task per session runs [`drive`]. Everyone else holds an [`Exchange`] and calls the core under the session's lock; a call
//! that leaves something to send wakes the pump, which seals all that is ready into one record and writes it.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::{Instant, Sleep},
};

use crate::proto::{
    Closed, Code, Connection, Error, Event, KeyId, Psk,
    frame::{CancelReason, End, GoAway, Headers, Notice, Request, Response, Stamps},
    handshake::ServerHello,
    limits::{HELLO, LENGTH, RECORD_PLAINTEXT, TAG},
};

/// Bytes to have room for before a read: one record, so that a full-speed stream is read in whole records.
const READ: usize = LENGTH + RECORD_PLAINTEXT + TAG;
/// Bytes that may wait for a key look-up: beyond this the peer is not read.
const UNREAD: usize = HELLO + 2 * READ;
/// Bytes that the kernel may hold unsent before it takes more.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "macos"))]
const UNSENT: u32 = 128 * 1024;
/// How long a peer may take for what is left to say when the session is over.
const STUCK: Duration = Duration::from_secs(20);
/// How long the peer may take to close after the last word.
const LINGER: Duration = Duration::from_secs(1);

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

/// What happens to a session as a whole. Called by the pump, outside the lock.
pub(crate) trait Hook: Send {
    /// Server: the key of this client, if it may come in.
    fn key(&mut self, id: KeyId) -> Option<Psk>;
    /// The peer proved its key.
    fn established(&mut self, hello: Option<ServerHello>);
    /// Server: what came before that was wrong.
    fn rejected(&mut self, error: Error);
    /// Server: an exchange was opened.
    fn request(&mut self, exchange: Exchange, request: Box<Request>);
    /// Client: no new exchanges.
    fn going_away(&mut self, goaway: &GoAway);
    /// It is over.
    fn closed(&mut self, why: &Closed);
}

#[derive(Default)]
struct Slot {
    inbox: VecDeque<Incoming>,
    /// Something final is in the inbox or was taken from it: dropping the handle cancels nothing.
    over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

struct State {
    connection: Connection,
    slots: HashMap<u32, Slot>,
    pump: Option<Waker>,
    /// What the peer said when it ended the session, if it did.
    goaway: Option<GoAway>,
    /// Why it is over, if it is.
    closed: Option<Closed>,
}

/// A session that a pump runs.
#[derive(Clone)]
pub(crate) struct Session {
    state: Arc<Mutex<State>>,
    start: Instant,
    /// Told when an exchange may be opened, or none ever will.
    free: Arc<Notify>,
}

/// Shows nothing of what passes through it.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// `start` is the moment that the connection calls zero.
    pub(crate) fn new(connection: Connection, start: Instant) -> Self {
        let state = State { connection, slots: HashMap::new(), pump: None, goaway: None, closed: None };
        Self { state: Arc::new(Mutex::new(state)), start, free: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves a core that refuses further input at worst; other exchanges should still end in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
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

    /// Whether it will ever open another exchange.
    pub(crate) fn is_draining(&self) -> bool {
        self.lock().connection.is_draining()
    }

    /// Whether the peer has said that it is about to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().goaway.as_ref().is_some_and(|goaway| goaway.code == Some(Code::ShuttingDown))
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

    /// Client: opens an exchange, when the server allows one more. `None` if the session will open no more.
    pub(crate) async fn request(&self, request: &Request) -> Option<Result<Exchange, Error>> {
        loop {
            let mut free = pin!(self.free.notified());
            // From here on no word is missed.
            free.as_mut().enable();
            if let Poll::Ready(outcome) = self.try_request(request) {
                return outcome;
            }
            free.await;
        }
    }

    /// As [`Session::request`]; pending if it has to wait for a free exchange.
    fn try_request(&self, request: &Request) -> Poll<Option<Result<Exchange, Error>>> {
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
    session: Session,
    number: u32,
}

impl Exchange {
    pub(crate) const fn number(&self) -> u32 {
        self.number
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
            slot.reader = Some(cx.waker().clone());
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
                slot.writer = Some(cx.waker().clone());
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
            slot.over = true;
            slot.inbox.clear();
            slot.reader.take()
        });
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Client: wants no more of this exchange. Whoever reads it finds `last`.
    pub(crate) fn give_up(&self, reason: CancelReason, last: Option<Notice>) {
        let mut state = self.session.lock();
        let wake = match state.slots.get_mut(&self.number) {
            Some(slot) if !slot.over => {
                slot.over = true;
                slot.inbox.clear();
                slot.inbox.extend(last.map(Incoming::Failed));
                [slot.reader.take(), slot.writer.take()]
            }
            _ => return,
        };
        drop(state);
        self.with(|connection, _, number| connection.cancel(number, reason));
        wake.into_iter().flatten().for_each(Waker::wake);
    }

    /// Waits until the exchange is over, whoever ended it.
    pub(crate) async fn abandoned(&self) {
        poll_fn(|cx| {
            let mut state = self.session.lock();
            match state.slots.get_mut(&self.number) {
                Some(slot) if !slot.over => {
                    slot.writer = Some(cx.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
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

impl State {
    fn wake_pump(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.wake();
        }
    }

    /// Moves what happened to the slots; what concerns the session goes to `session`, who is to be woken to `wake`.
    fn dispatch(&mut self, session: &mut Vec<Event>, wake: &mut Vec<Waker>) {
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
                        wake.extend(slot.reader.take());
                        wake.extend(slot.writer.take());
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
            slot.inbox.push_back(incoming);
            wake.extend(slot.reader.take());
            if over {
                wake.extend(slot.writer.take());
            }
        }
    }
}

struct Pump<T, H> {
    io: T,
    session: Session,
    hook: H,
    input: BytesMut,
    output: BytesMut,
    /// The output was written, but not flushed (TLS buffers).
    unflushed: bool,
    timer: Pin<Box<Sleep>>,
    events: Vec<Event>,
    wake: Vec<Waker>,
    /// Of the kernel's clock; the core is told its own.
    unix_ms: fn() -> u64,
}

/// Runs a session until it is over.
pub(crate) async fn drive<T, H>(io: T, session: Session, hook: H, unix_ms: fn() -> u64)
where
    T: AsyncRead + AsyncWrite + Unpin,
    H: Hook,
{
    let mut pump = Pump {
        io,
        timer: Box::pin(tokio::time::sleep_until(session.start)),
        session,
        hook,
        input: BytesMut::new(),
        output: BytesMut::new(),
        unflushed: false,
        events: Vec::new(),
        wake: Vec::new(),
        unix_ms,
    };
    poll_fn(|cx| pump.poll(cx)).await;
    pump.linger().await;
}

impl<T, H> Pump<T, H>
where
    T: AsyncRead + AsyncWrite + Unpin,
    H: Hook,
{
    /// Ready when the session is over. What was sealed before may still be to be written.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let (deadline, closed) = self.turn(cx);
            if closed {
                return Poll::Ready(());
            }
            let wrote = self.poll_write(cx);
            let read = self.poll_read(cx);
            let due = deadline.is_some_and(|deadline| self.poll_deadline(cx, deadline));
            if !(wrote || read || due) {
                return Poll::Pending;
            }
        }
    }

    /// One turn of the core: input in, output and events out. Gives the next deadline, and whether it is over.
    fn turn(&mut self, cx: &Context<'_>) -> (Option<Duration>, bool) {
        loop {
            let now = self.session.now();
            let mut state = self.session.lock();
            if !self.input.is_empty() {
                state.connection.receive(now, &mut self.input);
            }
            if self.output.is_empty() {
                self.unflushed |= state.connection.poll_transmit(now, &mut self.output);
            }
            state.dispatch(&mut self.events, &mut self.wake);
            if state.connection.is_draining() {
                self.session.free.notify_waiters();
            } else if state.connection.can_open() {
                self.session.free.notify_one();
            }
            if !state.pump.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.pump = Some(cx.waker().clone());
            }
            let (deadline, closed) = (state.connection.poll_timeout(), state.connection.is_closed());
            drop(state);
            self.wake.drain(..).for_each(Waker::wake);
            if self.events.is_empty() {
                return (deadline, closed);
            }
            self.tell_hook();
        }
    }

    fn tell_hook(&mut self) {
        for event in self.events.drain(..) {
            match event {
                Event::Hello(id) => {
                    let psk = self.hook.key(id);
                    let answer = self.session.lock().connection.answer_hello(psk.as_ref(), (self.unix_ms)());
                    debug_assert_eq!(answer, Ok(()), "a hello waits for its answer");
                }
                Event::Established(hello) => self.hook.established(hello),
                Event::Rejected(error) => self.hook.rejected(error),
                Event::Request(number, request) => {
                    self.hook.request(Exchange { session: self.session.clone(), number }, request);
                }
                Event::GoAway(goaway) => self.hook.going_away(&goaway),
                Event::Closed { why, .. } => self.hook.closed(&why),
                _ => {}
            }
        }
    }

    /// Writes what is sealed; whether it is all written, and there may be more to seal.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let before = self.output.len();
        while !self.output.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &self.output) {
                Poll::Ready(Ok(written)) if written > 0 => self.output.advance(written),
                Poll::Ready(_) => {
                    self.lost();
                    return true;
                }
                Poll::Pending => return false,
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(_)) => self.lost(),
                Poll::Pending => {}
            }
        }
        before > 0
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        if self.input.len() >= UNREAD {
            return false;
        }
        self.input.reserve(READ);
        match poll_read_buf(&mut self.io, cx, &mut self.input) {
            Poll::Ready(Ok(read)) if read > 0 => true,
            Poll::Ready(_) => {
                self.lost();
                true
            }
            Poll::Pending => false,
        }
    }

    /// The transport ended or failed: nothing more can be read or written.
    fn lost(&mut self) {
        self.output.clear();
        self.unflushed = false;
        self.session.lock().connection.receive_end();
    }

    /// Whether the deadline has passed; the core was told.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Duration) -> bool {
        // A deadline beyond what the clock can say never comes.
        let Some(at) = self.session.start.checked_add(deadline) else { return false };
        if self.timer.deadline() != at {
            self.timer.as_mut().reset(at);
        }
        let due = self.timer.as_mut().poll(cx).is_ready();
        if due {
            let now = self.session.now();
            self.session.lock().connection.handle_timeout(now);
        }
        due
    }

    /// Writes what is left.
    async fn last_words(&mut self) -> io::Result<()> {
        loop {
            while !self.output.is_empty() {
                if self.io.write_buf(&mut self.output).await? == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
            }
            let now = self.session.now();
            if !self.session.lock().connection.poll_transmit(now, &mut self.output) {
                return self.io.flush().await;
            }
        }
    }

    /// Ends the stream so that the peer gets the last word: closing with unread bytes would reset the connection, and what
    /// the peer had not read yet would be lost.
    async fn linger(mut self) {
        if !matches!(tokio::time::timeout(STUCK, self.last_words()).await, Ok(Ok(()))) {
            return;
        }
        let _ = tokio::time::timeout(LINGER, async {
            if self.io.shutdown().await.is_ok() {
                let mut sink = [0; 4096];
                while matches!(self.io.read(&mut sink).await, Ok(read) if read > 0) {}
            }
        })
        .await;
    }
}

impl<T, H> Drop for Pump<T, H> {
    /// Whoever waits for something learns that there will be nothing, however the pump came to its end.
    fn drop(&mut self) {
        let mut state = self.session.lock();
        state.connection.receive_end();
        let mut wake = Vec::new();
        state.dispatch(&mut Vec::new(), &mut wake);
        drop(state);
        self.session.free.notify_waiters();
        wake.into_iter().for_each(Waker::wake);
    }
}

/// Settings of a TCP connection that carries tokens.
///
/// # Errors
/// If the connection is gone already.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    // Without it, Nagle's algorithm holds a token back until the one before is acknowledged.
    stream.set_nodelay(true)?;
    // What the kernel has taken and not yet sent can be overtaken by nothing: on a slow link, a PING or CANCEL would wait behind
    // megabytes.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "macos"))]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

/// Reads what is there into the spare room of `buffer`.
fn poll_read_buf<T: AsyncRead + Unpin>(io: &mut T, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
    pin!(io.read_buf(buffer)).poll(cx)
}

#[cfg(all(test, feature = "client", feature = "server"))]
mod tests;
