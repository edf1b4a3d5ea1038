//! An exchange as its program holds it, in whatever session it goes on.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::session::{Incoming, Session, Slot, State};
use crate::proto::{
    Closed, Code, Connection, Fault, Held,
    frame::{CancelReason, Notice, Resume},
    handshake::ServerHello,
    tally::Tally,
};

/// One exchange, as its program holds it. Dropping it before its end cancels it (client) or fails it (server).
#[derive(Debug)]
pub(crate) struct Exchange {
    home: Mutex<Home>,
    start: Instant,
}

/// How many pieces must wait before small ones are joined: to who keeps up, each comes as it came.
const BEHIND: usize = 32;
/// Pieces below this are joined, bytes…
const SMALL: usize = 1024;
/// …until they are as many.
const JOINED: usize = 16 * 1024;

/// Where an exchange is. Its lock is taken before a session's.
#[derive(Clone, Debug)]
struct Home {
    session: Session,
    number: u32,
}

/// How an exchange lies that has no session in which it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Adrift {
    /// Since when.
    pub(crate) since: Instant,
    /// How often another session was tried.
    pub(crate) tries: u32,
    /// Its session was lost in silence: others from before may be, too.
    pub(crate) silent: bool,
    /// No server has seen anything of it.
    pub(crate) is_new: bool,
    /// The same, and not because the path broke: the server ended the session before.
    pub(crate) refused: bool,
    /// The server that has it.
    pub(crate) server: ServerHello,
}

/// What came of the attempt to go on in another session.
#[derive(Debug)]
pub(crate) enum Moved {
    /// It has been asked for there.
    Yes,
    /// That session opens no exchange now, and may later.
    NotNow,
    /// That session opens no more.
    Never,
    /// There is nothing left to go on with.
    Nothing,
}

impl Exchange {
    pub(super) fn new(session: Session, number: u32) -> Self {
        Self { start: session.start, home: Mutex::new(Home { session, number }) }
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at its session.
    fn locked<T>(&self, look: impl FnOnce(&mut State, u32) -> T) -> T {
        let home = self.home();
        let mut state = home.session.lock();
        look(&mut state, home.number)
    }

    /// Its number in the session where it is.
    pub(crate) fn number(&self) -> u32 {
        self.home().number
    }

    /// The time of the sessions' clock.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Server: when its REQUEST was read; now, if its session has lost it already.
    pub(crate) fn began(&self) -> Duration {
        self.locked(|state, number| state.connection.began(number)).unwrap_or_else(|| self.now())
    }

    /// What comes next; `None` after the last. Where many small pieces wait, they come as one: who is behind would make a write of each.
    pub(crate) fn poll_incoming(&self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.locked(|state, number| {
            let Some(slot) = state.slots.get_mut(&number) else { return Poll::Ready(None) };
            let Some(mut next) = slot.inbox.pop_front() else {
                if slot.over {
                    return Poll::Ready(None);
                }
                keep(&mut slot.reader, cx);
                return Poll::Pending;
            };
            if let Incoming::Piece(bytes, stamps) = &mut next {
                let mut credit = state.connection.taken(number, bytes.len());
                if stamps.is_none() && slot.inbox.len() >= BEHIND {
                    join(bytes, &mut slot.inbox, |size| credit |= state.connection.taken(number, size));
                }
                if credit {
                    state.wake_pump();
                }
            }
            Poll::Ready(Some(next))
        })
    }

    /// What comes next; `None` after the last.
    pub(crate) async fn incoming(&self) -> Option<Incoming> {
        poll_fn(|cx| self.poll_incoming(cx)).await
    }

    /// Ready when another piece may be sent; `false` if the exchange is over.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<bool> {
        self.locked(|state, number| {
            if !(state.connection.is_open(number) || state.connection.holds(number)) {
                return Poll::Ready(false);
            }
            if state.connection.has_room(number) {
                return Poll::Ready(true);
            }
            match state.slots.get_mut(&number) {
                None => Poll::Ready(false),
                Some(slot) => {
                    keep(&mut slot.writer, cx);
                    Poll::Pending
                }
            }
        })
    }

    /// Waits until another piece may be sent; `false` if the exchange is over.
    pub(crate) async fn room(&self) -> bool {
        poll_fn(|cx| self.poll_room(cx)).await
    }

    /// Runs a call of the core for this exchange and wakes the pump.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Connection, Duration, u32) -> T) -> T {
        let now = self.now();
        self.locked(|state, number| {
            let result = call(&mut state.connection, now, number);
            state.wake_pump();
            result
        })
    }

    /// Client: whether its last event is there, or was taken.
    pub(crate) fn is_over(&self) -> bool {
        self.locked(|state, number| state.slots.get(&number).is_none_or(|slot| slot.over))
    }

    /// Server: the answer is ended; whoever still reads the request body gets no more.
    pub(crate) fn finish(&self) {
        let reader = self.locked(|state, number| {
            let slot = state.slots.get_mut(&number)?;
            slot.close();
            slot.reader.take()
        });
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Server: why the session's exchanges were all ended, if they were ([`Session::cut`]).
    pub(crate) fn cut(&self) -> Option<Code> {
        self.locked(|state, _| state.cut)
    }

    /// Client: wants no more of this exchange. Whoever reads it finds `last`.
    pub(crate) fn give_up(&self, reason: CancelReason, last: Option<Notice>) {
        let wake = self.locked(|state, number| {
            let slot = state.slots.get_mut(&number).filter(|slot| !slot.over)?;
            slot.close();
            slot.inbox.extend(last.map(Incoming::Failed));
            let wake = slot.take_wakers();
            state.connection.cancel(number, reason);
            state.wake_pump();
            Some(wake)
        });
        wake.into_iter().flatten().for_each(Waker::wake);
    }

    /// Waits until the exchange is over, whoever ended it. If it was the client's CANCEL, gives when that was read.
    pub(crate) async fn abandoned(&self) -> Option<Duration> {
        poll_fn(|cx| {
            self.locked(|state, number| match state.slots.get_mut(&number) {
                Some(slot) if !slot.over => {
                    keep(&mut slot.writer, cx);
                    Poll::Pending
                }
                slot => Poll::Ready(slot.and_then(|slot| slot.cancelled)),
            })
        })
        .await
    }

    /// Server: waits until the last frame of the exchange is sealed, or it is over in another way.
    pub(crate) async fn finished(&self) -> Tally {
        poll_fn(|cx| {
            self.locked(|state, number| {
                let over = state.closed.is_some() && !state.connection.holds(number);
                match state.slots.get_mut(&number) {
                    Some(slot) if slot.tally.is_none() && !over => {
                        keep(&mut slot.writer, cx);
                        Poll::Pending
                    }
                    slot => Poll::Ready(slot.and_then(|slot| slot.tally).unwrap_or_default()),
                }
            })
        })
        .await
    }

    /// Server: waits until nobody can come back for it.
    pub(crate) async fn settled(&self) {
        poll_fn(|cx| {
            self.locked(|state, number| match state.slots.get_mut(&number) {
                Some(slot) if !slot.settled => {
                    keep(&mut slot.writer, cx);
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            })
        })
        .await;
    }

    // --- from session to session ---

    /// Server: goes on as exchange `number` of `to`, from where the client asks for it. Says whether it does; if not, nothing has
    /// changed.
    pub(crate) fn resume_in(&self, to: &Session, number: u32, resume: &Resume) -> bool {
        let mut home = self.home();
        // Nobody else opens exchanges there: this is its pump's word.
        if !to.lock().connection.can_adopt() {
            return false;
        }
        let Some((held, slot)) = take(&home, |connection, number| connection.can_resume(number, resume)) else {
            return false;
        };
        let mut state = to.lock();
        state.connection.adopt(number, held, resume);
        state.wake_pump();
        let wake = enter(&mut home, to, state, number, slot);
        wake.for_each(Waker::wake);
        true
    }

    /// Client: asks for it in `to`: for the rest of it or, where the server had nothing of it, `anew`.
    pub(crate) fn move_to(&self, to: &Session, anew: bool) -> Moved {
        let mut home = self.home();
        {
            let state = to.lock();
            if state.connection.is_draining() {
                return Moved::Never;
            }
            if !state.connection.can_open() {
                return Moved::NotNow;
            }
        }
        let Some((held, mut slot)) = take(&home, |connection, number| connection.can_go_on(number, anew)) else {
            return Moved::Nothing;
        };
        slot.tries = slot.tries.saturating_add(1);
        slot.sought = false;
        if anew {
            // The time of this one begins when it is cut.
            slot.adrift = None;
        }
        let mut state = to.lock();
        let entered = if anew { state.connection.ask_again(held) } else { state.connection.resume(held) };
        match entered {
            Ok(number) => {
                to.pass_on(&state);
                state.wake_pump();
                enter(&mut home, to, state, number, slot).for_each(Waker::wake);
                Moved::Yes
            }
            // It was open a moment ago.
            Err(held) => {
                drop(state);
                let mut state = home.session.lock();
                state.connection.put_back(home.number, held);
                (slot.tries, slot.sought) = (slot.tries - 1, true);
                slot.adrift.get_or_insert(self.now());
                state.slots.insert(home.number, slot);
                Moved::NotNow
            }
        }
    }

    /// Client: how it lies, if it has no session in which it goes on.
    pub(crate) fn adrift(&self) -> Option<Adrift> {
        self.locked(|state, number| {
            let slot = state.slots.get(&number).filter(|_| state.connection.holds(number))?;
            Some(Adrift {
                since: self.start + slot.adrift?,
                tries: slot.tries,
                silent: matches!(state.closed, Some(Closed::TimedOut { .. })),
                is_new: state.connection.is_new(number),
                refused: state.was_refused(number),
                server: state.connection.said()?.clone(),
            })
        })
    }

    /// Client: it does not go on, `because`. Whoever reads it finds that; repeating is safe if the server never had all of the request.
    /// Says whether somebody does.
    pub(crate) fn lose(&self, because: String) -> bool {
        let wake = self.locked(|state, number| {
            let unsent = !state.connection.was_asked(number);
            let refused = state.was_refused(number);
            state.connection.forget(number);
            let slot = state.slots.get_mut(&number).filter(|slot| !slot.over)?;
            slot.inbox.push_back(if refused {
                let text =
                    format!("the proxy ended the session before it took the request, and another was not to be had: {because}");
                Incoming::Failed(Notice::new(Code::ShuttingDown, Fault::Proxy, text).retry_safe())
            } else {
                let why = state.closed.clone().unwrap_or(Closed::Lost { in_hello: false });
                Incoming::Closed { why, unsent, back: Some(because) }
            });
            slot.over = true;
            Some(slot.take_wakers())
        });
        let is_wanted = wake.is_some();
        wake.into_iter().flatten().for_each(Waker::wake);
        is_wanted
    }
}

/// Takes what is to go on elsewhere out of its session, if `may`.
fn take(home: &Home, may: impl FnOnce(&Connection, u32) -> bool) -> Option<(Held, Slot)> {
    let mut state = home.session.lock();
    if !may(&state.connection, home.number) {
        return None;
    }
    let held = state.connection.take(home.number)?;
    let slot = state.slots.remove(&home.number).unwrap_or_default();
    // If the session is still up, it has something to say.
    state.wake_pump();
    Some((held, slot))
}

/// Has it live in `to` from now on. Whoever waits looks anew at what there is.
fn enter(
    home: &mut Home,
    to: &Session,
    mut state: MutexGuard<'_, State>,
    number: u32,
    mut slot: Slot,
) -> impl Iterator<Item = Waker> + use<> {
    let wake = slot.take_wakers();
    state.slots.insert(number, slot);
    drop(state);
    *home = Home { session: to.clone(), number };
    wake
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.locked(|state, number| {
            let over = state.slots.remove(&number).is_none_or(|slot| slot.over);
            state.connection.forget(number);
            if !over {
                state.connection.abandon(number);
                state.wake_pump();
            }
        });
    }
}

/// Puts small pieces that wait behind a small one at its end, and tells the size of each.
fn join(first: &mut Bytes, inbox: &mut VecDeque<Incoming>, mut took: impl FnMut(usize)) {
    let mut joined = BytesMut::new();
    while let Some(Incoming::Piece(more, None)) = inbox.front()
        && first.len() < SMALL
        && more.len() < SMALL
        && joined.len() < JOINED
    {
        if joined.is_empty() {
            joined.extend_from_slice(first);
        }
        joined.extend_from_slice(more);
        took(more.len());
        inbox.pop_front();
    }
    if !joined.is_empty() {
        *first = joined.freeze();
    }
}

/// Keeps who is to be woken; mostly it is there already.
fn keep(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::frame::Stamps;

    fn piece(size: usize) -> Incoming {
        Incoming::Piece(vec![b'x'; size].into(), None)
    }

    fn joined(first: usize, waiting: impl IntoIterator<Item = Incoming>) -> (usize, usize) {
        let mut sum = first;
        let mut first = Bytes::from(vec![b'x'; first]);
        let mut inbox = waiting.into_iter().collect();
        join(&mut first, &mut inbox, |size| sum += size);
        assert_eq!(first.len(), sum, "each is told of");
        (first.len(), inbox.len())
    }

    #[test]
    fn small_pieces_that_wait_come_as_one_and_large_ones_as_they_are() {
        assert_eq!(joined(10, [piece(20), piece(30)]), (60, 0));
        assert_eq!(joined(10, [piece(20), piece(SMALL), piece(30)]), (30, 2));
        assert_eq!(joined(SMALL, [piece(20)]), (SMALL, 1));
        let stamped = Incoming::Piece(Bytes::from_static(b"x"), Some(Stamps { arrived: 0, held: 0 }));
        assert_eq!(joined(10, [stamped, piece(20)]), (10, 2), "its stamps are its own");
        assert_eq!(joined(10, [Incoming::Cancelled, piece(20)]), (10, 2));
        let (size, left) = joined(1000, (0..100).map(|_| piece(1000)));
        assert!(size < JOINED + SMALL && left > 80, "no more than is good for a write");
    }
}
