//! The task that moves a session's bytes.

use std::{
    future::{Future, poll_fn},
    io, mem,
    ops::Deref,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::yield_now,
    time::{Sleep, sleep_until},
};

use super::{
    exchange::Exchange,
    session::{Session, Told},
};
use crate::proto::{
    Closed, Error, Event, KeyId, Psk, Terms,
    frame::{GoAway, Request, Resume},
    handshake::ServerHello,
    limits::{HELLO, LENGTH, RECORD_PLAINTEXT, TAG, TRANSMIT_BATCH},
    tally::Traffic,
};

/// Bytes that a read makes room for in all: one record, so that a full-speed stream is read in whole records.
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

/// What happens to a session as a whole. Called by the pump, outside the lock.
pub(crate) trait Hook: Send {
    /// How long a session works on what comes without a pause before it lets the others of its thread have their turn.
    const SLICE: Duration;
    /// Server: the key of this client, if it may come in, and what it is granted.
    fn key(&mut self, id: KeyId) -> Option<(Psk, Terms)>;
    /// The peer proved its key.
    fn established(&mut self, hello: Option<ServerHello>);
    /// Server: what came before that was wrong.
    fn rejected(&mut self, error: Error);
    /// Server: an exchange was opened. Gives how long the peer is not to be read for it: it asks for more than it may have.
    fn request(&mut self, exchange: Arc<Exchange>, request: Box<Request>) -> Duration;
    /// Server: the client comes back for an exchange, to go on with this number.
    fn resume(&mut self, number: u32, resume: &Resume);
    /// Client: an exchange does not go on here. Whether it is to be asked `anew`, because the server had nothing of it.
    fn adrift(&mut self, exchange: Arc<Exchange>, anew: bool);
    /// Client: no new exchanges.
    fn going_away(&mut self, goaway: &GoAway);
    /// It is over.
    fn closed(&mut self, why: &Closed);
    /// What it has moved since the last time.
    fn moved(&mut self, _traffic: &Traffic) {}
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// The peer has proved its key. This comes once.
    Established,
    /// It is over. What was sealed before may still be to be written.
    Over,
}

/// Moves the bytes of a session.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Pump<T, H> {
    io: T,
    session: Pumped,
    hook: H,
    input: BytesMut,
    output: BytesMut,
    /// What exchanges gave waits until the network has been looked at.
    deferred: bool,
    /// There may be more to seal when the output is written.
    more: bool,
    /// The output was written, but not flushed (TLS buffers).
    unflushed: bool,
    /// The peer has proved its key, and nobody was told yet.
    established: bool,
    timer: Pin<Box<Sleep>>,
    /// When the newest turn began.
    now: Duration,
    /// Until when the peer is not read, if it is not.
    rest: Option<Duration>,
    told: Told,
    /// Of the kernel's clock; the core is told its own.
    unix_ms: fn() -> u64,
}

impl<T, H> Pump<T, H>
where
    T: AsyncRead + AsyncWrite + Unpin,
    H: Hook,
{
    /// A pump at its beginning, for the runtime of the caller.
    pub(crate) fn new(io: T, session: Session, hook: H, unix_ms: fn() -> u64) -> Self {
        Self {
            io,
            timer: Box::pin(sleep_until(session.start)),
            session: Pumped(session),
            hook,
            input: BytesMut::new(),
            output: BytesMut::new(),
            deferred: false,
            more: false,
            unflushed: false,
            established: false,
            now: Duration::ZERO,
            rest: None,
            told: Told::default(),
            unix_ms,
        }
    }

    /// Who is told what happens.
    pub(crate) const fn hook(&self) -> &H {
        &self.hook
    }

    /// Runs the session until its peer has proved its key, or it is over.
    pub(crate) async fn greet(&mut self) -> Reached {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Runs the session until it is over.
    pub(crate) async fn run(mut self) {
        while self.greet().await == Reached::Established {}
        self.linger().await;
    }

    /// The same on the runtime of the caller, to which `change` brings the transport.
    ///
    /// # Errors
    /// Those of `change`; then the session is lost.
    pub(crate) fn move_here(mut self, change: impl FnOnce(T) -> io::Result<T>) -> io::Result<Self> {
        match change(self.io) {
            Ok(io) => Ok(Self { io, timer: Box::pin(sleep_until(self.session.start)), ..self }),
            Err(error) => {
                let mut told = Told::default();
                let mut state = self.session.lock();
                state.connection.receive_end();
                state.dispatch(self.now, &mut told);
                drop(state);
                told.wake.into_iter().for_each(Waker::wake);
                for event in told.events {
                    if let Event::Closed { why, .. } = event {
                        self.hook.closed(&why);
                    }
                }
                Err(error)
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reached> {
        if self.defer(cx) {
            return Poll::Pending;
        }
        // Whoever has woken it may have something to send.
        let mut again = true;
        let mut began = None;
        loop {
            let is_full = self.is_full();
            let read = !is_full && self.poll_read(cx);
            if !(read || again) {
                return Poll::Pending;
            }
            let (deadline, closed) = self.turn(cx);
            if closed {
                return Poll::Ready(Reached::Over);
            }
            let wrote = self.poll_write(cx);
            if mem::take(&mut self.established) {
                return Poll::Ready(Reached::Established);
            }
            let due = deadline.into_iter().chain(self.rest).min().is_some_and(|due| self.poll_due(cx, due));
            again = wrote || due || (is_full && !self.is_full());
            if self.now >= began.get_or_insert(self.now).saturating_add(H::SLICE) {
                come_back(cx);
                return Poll::Pending;
            }
        }
    }

    /// Whether to come back when the network has been looked at: what an exchange gives does not leave before that, so that what has
    /// come meanwhile leaves with it. Nobody sleeps for it.
    fn defer(&mut self, cx: &mut Context<'_>) -> bool {
        let called = self.session.lock().pump.is_none();
        self.deferred = called && !self.deferred;
        if self.deferred {
            come_back(cx);
        }
        self.deferred
    }

    /// Whether nothing more is read: so much waits to be used, or the peer asks for more than it may have.
    fn is_full(&self) -> bool {
        self.rest.is_some() || self.input.len() >= UNREAD
    }

    /// One turn of the core: input in, output and events out. Gives the next deadline, and whether it is over.
    fn turn(&mut self, cx: &mut Context<'_>) -> (Option<Duration>, bool) {
        loop {
            let now = self.session.now();
            self.now = now;
            let mut state = self.session.lock();
            if !self.input.is_empty() {
                state.connection.receive(now, &mut self.input);
            }
            self.more = !self.output.is_empty() || {
                let sealed = state.connection.poll_transmit(now, &mut self.output);
                self.unflushed |= sealed;
                self.output.len() >= TRANSMIT_BATCH
            };
            state.dispatch(now, &mut self.told);
            let traffic = state.connection.take_traffic();
            self.session.pass_on(&state);
            if !state.pump.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.pump = Some(cx.waker().clone());
            }
            let (deadline, closed) = (state.connection.poll_timeout(), state.connection.is_closed());
            drop(state);
            self.told.wake.drain(..).for_each(Waker::wake);
            let quiet = self.told.events.is_empty() && self.told.adrift.is_empty() && self.told.cancels.is_empty();
            self.tell_hook();
            // Whose session it is was told before, even if what came with that moved something already.
            if traffic != Traffic::default() {
                self.hook.moved(&traffic);
            }
            if quiet {
                return (deadline, closed);
            }
        }
    }

    fn tell_hook(&mut self) {
        for event in self.told.events.drain(..) {
            match event {
                Event::Hello(id) => {
                    let (psk, terms) = self.hook.key(id).unzip();
                    let terms = terms.unwrap_or_default();
                    let answer = self.session.lock().connection.answer_hello(psk.as_ref(), &terms, (self.unix_ms)());
                    debug_assert_eq!(answer, Ok(()), "a hello waits for its answer");
                }
                Event::Established(hello) => {
                    self.established = true;
                    self.hook.established(hello);
                }
                Event::Rejected(error) => self.hook.rejected(error),
                Event::Request(number, request) => {
                    let rest = self.hook.request(Arc::new(Exchange::new(self.session.clone(), number)), request);
                    if rest > Duration::ZERO {
                        self.rest = self.rest.max(Some(self.now.saturating_add(rest)));
                    }
                }
                Event::Resume(number, resume) => self.hook.resume(number, &resume),
                Event::GoAway(goaway) => self.hook.going_away(&goaway),
                Event::Closed { why, .. } => self.hook.closed(&why),
                _ => {}
            }
        }
        for (exchange, anew) in self.told.adrift.drain(..) {
            // One that nobody has any more is needed no more.
            if let Some(exchange) = exchange.upgrade() {
                self.hook.adrift(exchange, anew);
            }
        }
        for number in self.told.cancels.drain(..) {
            self.hook.adrift(self.session.cancelled(number), false);
        }
    }

    /// Writes what is sealed; whether it is all written, and there may be more to seal.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
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
                Poll::Ready(Err(_)) => {
                    self.lost();
                    return true;
                }
                Poll::Pending => {}
            }
        }
        self.more
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        // While a key look-up is due, more than one record may wait.
        self.input.reserve(READ.saturating_sub(self.input.len()).max(HELLO));
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

    /// Whether this moment has passed; then what was due was done.
    fn poll_due(&mut self, cx: &mut Context<'_>, due: Duration) -> bool {
        // One beyond what the clock can say never comes.
        let Some(at) = self.session.start.checked_add(due) else { return false };
        // With every byte that comes the deadline moves on. The timer is moved where it would ring too late alone; ringing too
        // early, it is set anew.
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() >= at {
                let now = self.session.now();
                self.rest = self.rest.filter(|rest| now < *rest);
                self.session.lock().connection.handle_timeout(now);
                return true;
            }
            self.timer.as_mut().reset(at);
        }
        false
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
            let (more, traffic) = {
                let connection = &mut self.session.lock().connection;
                (connection.poll_transmit(now, &mut self.output), connection.take_traffic())
            };
            self.hook.moved(&traffic);
            if !more {
                return self.io.flush().await;
            }
        }
    }

    /// Ends the stream so that the peer gets the last word: closing with unread bytes would reset the connection, and what
    /// the peer had not read yet would be lost.
    async fn linger(mut self) {
        // What has come in is not needed any more, and may hold what was asked.
        self.input = BytesMut::new();
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

/// A session that a pump runs.
struct Pumped(Session);

impl Deref for Pumped {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Drop for Pumped {
    /// Whoever waits for something learns that there will be nothing, however the pump came to its end.
    fn drop(&mut self) {
        let mut told = Told::default();
        let mut state = self.lock();
        if !state.connection.is_closed() {
            // Nobody was told of what would be held.
            state.connection.receive_end();
            state.connection.expire(self.now(), true);
        }
        state.dispatch(self.now(), &mut told);
        drop(state);
        self.end_waiting();
        told.wake.into_iter().for_each(Waker::wake);
    }
}

/// Settings of a TCP connection that carries tokens. It is given up when what was sent is not acknowledged for so long: of a path that
/// is gone, the system would else try for a quarter of an hour (RFC 5482).
///
/// # Errors
/// If the connection is gone already.
pub(crate) fn tune(stream: &TcpStream, unacknowledged: Duration) -> io::Result<()> {
    // Without it, Nagle's algorithm holds a token back until the one before is acknowledged.
    stream.set_nodelay(true)?;
    // What the kernel has taken and not yet sent can be overtaken by nothing: on a slow link, a PING or CANCEL would wait behind
    // megabytes.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "macos"))]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(unacknowledged))?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = unacknowledged;
    Ok(())
}

/// Has this task polled again when the others have been, and the network has been looked at.
pub(crate) fn come_back(cx: &mut Context<'_>) {
    // It wakes this task and is not needed again.
    let _ = pin!(yield_now()).poll(cx);
}

/// Reads what is there into the spare room of `buffer`.
fn poll_read_buf<T: AsyncRead + Unpin>(io: &mut T, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
    pin!(io.read_buf(buffer)).poll(cx)
}

#[cfg(all(test, feature = "client", feature = "server"))]
mod tests;
