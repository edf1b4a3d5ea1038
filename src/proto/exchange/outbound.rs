//! What an exchange has to send, and what it has sent that may not have arrived (sections 5.5 and 7).

use core::{fmt, time::Duration};
use std::collections::VecDeque;

use bytes::Bytes;

use super::super::{
    error::{Code, Error},
    frame::{Headers, kind},
    limits::{CREDIT_MAX, FRAME_COST, SEND_QUEUE},
};

/// What waits to be sealed, or was.
pub(super) enum Out {
    /// A frame without a place in the response.
    Plain(u8, Bytes),
    /// RESPONSE or ERROR: takes the next place.
    Sequenced(u8, Bytes),
    /// A piece of a body, and when it was given to us.
    Piece(Bytes, Duration),
    /// END; its head is made when it is sealed, so that the receipt is true.
    End(Headers),
}

impl Out {
    fn cost(&self) -> usize {
        FRAME_COST
            + match self {
                Self::Plain(_, bytes) | Self::Sequenced(_, bytes) | Self::Piece(bytes, _) => bytes.len(),
                Self::End(_) => 0,
            }
    }

    /// Bytes of a body in it.
    fn body(&self) -> u64 {
        if let Self::Piece(bytes, _) = self { bytes.len() as u64 } else { 0 }
    }
}

/// Shows sizes alone: heads hold keys, and pieces what is said.
impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(kind, bytes) | Self::Sequenced(kind, bytes) => write!(f, "Frame(type {kind}, {} bytes)", bytes.len()),
            Self::Piece(bytes, _) => write!(f, "Piece({} bytes)", bytes.len()),
            Self::End(_) => f.write_str("End"),
        }
    }
}

/// What was sealed and may have to be sealed once more, because its session was cut.
#[derive(Debug)]
struct Kept {
    /// With the number of the PING whose PONG says that it has arrived.
    frames: VecDeque<(u32, Out)>,
    cost: usize,
    /// Cost beyond which the oldest is let go of; 0: nothing is kept.
    limit: usize,
    /// Where the oldest frame begins: its place in the response, or in the bytes of the request body.
    start: u64,
}

impl Kept {
    const fn new(limit: usize) -> Self {
        Self { frames: VecDeque::new(), cost: 0, limit, start: 0 }
    }
}

/// The sending half.
#[derive(Debug)]
pub(in crate::proto) struct Outbound {
    pub(super) queue: VecDeque<Out>,
    /// Cost of the pieces in the queue.
    pub(super) queued: usize,
    pub(super) credit: u64,
    /// Server: the next place in the response.
    pub(super) seq: u64,
    /// Body bytes that the program gave.
    pub(super) total: u64,
    /// The program was told to wait, and is owed a word when there is room.
    waiting: bool,
    kept: Kept,
    /// Each frame is one place in a response. Otherwise (client) bytes of a body are counted.
    places: bool,
    /// Client: a RESUME is in the queue or on its way: nothing behind it goes out before its answer.
    resuming: bool,
}

impl Outbound {
    /// Of a response (`places`) or a request. What was sealed is kept up to a cost of `keep`.
    pub(super) const fn new(credit: u64, places: bool, keep: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            queued: 0,
            credit,
            seq: 0,
            total: 0,
            waiting: false,
            kept: Kept::new(keep),
            places,
            resuming: false,
        }
    }

    pub(in crate::proto) fn has_room(&mut self) -> bool {
        self.waiting |= self.queued >= SEND_QUEUE;
        !self.waiting
    }

    /// Whether a program may go on that has no session: as long as all that was not received is less than `keep`, as cost.
    pub(in crate::proto) const fn has_room_cut(&self, keep: usize) -> bool {
        self.held() < keep
    }

    /// Whether the program should be told, once, that there is room again.
    pub(in crate::proto) fn take_room(&mut self) -> bool {
        let room = self.waiting && self.queued <= SEND_QUEUE / 2;
        self.waiting &= !room;
        room
    }

    /// Takes what is to be sealed next.
    pub(super) fn pop_front(&mut self) -> Option<Out> {
        if self.is_empty() { None } else { self.queue.pop_front() }
    }

    /// Whether nothing can be sealed now.
    pub(in crate::proto) fn is_empty(&self) -> bool {
        match self.queue.front() {
            None => true,
            Some(front) => self.resuming && !matches!(front, Out::Plain(kind::RESUME, _)),
        }
    }

    /// What is queued and what is kept, as cost.
    pub(in crate::proto) const fn held(&self) -> usize {
        self.queued + self.kept.cost
    }

    /// What is kept, as cost.
    pub(in crate::proto) const fn kept(&self) -> usize {
        self.kept.cost
    }

    pub(in crate::proto) fn add_credit(&mut self, amount: u64) -> Result<(), Error> {
        self.credit += amount;
        if self.credit > CREDIT_MAX {
            return Err(Error::Misbehaved(Code::CreditExceeded, "more credit than there can be"));
        }
        Ok(())
    }

    pub(super) fn push_piece(&mut self, bytes: Bytes, now: Duration) {
        self.queued += bytes.len() + FRAME_COST;
        self.queue.push_back(Out::Piece(bytes, now));
    }

    /// Puts one back, or before all others.
    pub(super) fn push_front(&mut self, out: Out) {
        if matches!(out, Out::Piece(..)) {
            self.queued += out.cost();
        }
        self.queue.push_front(out);
    }

    /// Forgets what was not sealed yet, and what was kept; a REQUEST or RESUME stays, so that the numbers on the wire have no gap.
    pub(super) fn clear(&mut self) {
        self.queue.retain(|out| matches!(out, Out::Plain(kind::REQUEST | kind::RESUME, _)));
        self.queued = 0;
        self.kept = Kept::new(0);
    }

    // --- what was sealed ---

    /// Keeps a frame that was sealed before the PING with this number.
    pub(super) fn keep(&mut self, ping: u32, sealed: Out) {
        if self.kept.limit == 0 {
            return;
        }
        self.kept.cost += sealed.cost();
        self.kept.frames.push_back((ping, sealed));
        while self.kept.cost > self.kept.limit {
            self.let_go();
        }
    }

    /// The PONG to this PING has come: all that was sealed before it has arrived.
    pub(in crate::proto) fn arrived(&mut self, ping: u32) {
        while self.kept.frames.front().is_some_and(|(before, _)| *before <= ping) {
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        let Some((_, out)) = self.kept.frames.pop_front() else { return };
        self.kept.cost -= out.cost();
        self.kept.start += if self.places { 1 } else { out.body() };
    }

    /// Whether what comes from there on can still be sent: a place of a response.
    pub(in crate::proto) fn reaches(&self, place: u64) -> bool {
        (self.kept.start..=self.seq).contains(&place)
    }

    /// Whether nothing was let go of.
    pub(super) const fn is_complete(&self) -> bool {
        self.kept.start == 0
    }

    /// Puts what was kept back into the queue.
    fn take_back(&mut self) {
        self.kept.cost = 0;
        while let Some((_, out)) = self.kept.frames.pop_back() {
            self.push_front(out);
        }
    }

    /// Server: goes back to this place of the response, which it [reaches](Self::reaches), with new credit.
    pub(super) fn rewind(&mut self, place: u64, credit: u64) {
        while self.kept.start < place && !self.kept.frames.is_empty() {
            self.let_go();
        }
        self.take_back();
        (self.seq, self.kept.start, self.credit) = (place, place, credit);
        // It looks anew whether there is room.
        self.waiting = false;
    }

    /// Client: all that may not have arrived waits behind `first`: a RESUME, behind whose answer it goes on, or a REQUEST.
    pub(super) fn begin_anew(&mut self, first: Out) {
        self.take_back();
        // Of an attempt before this one.
        self.queue.retain(|out| !matches!(out, Out::Plain(kind::REQUEST | kind::RESUME, _)));
        self.resuming = matches!(first, Out::Plain(kind::RESUME, _));
        self.queue.push_front(first);
    }

    /// Client: whether the answer to a RESUME is awaited.
    pub(super) const fn is_resuming(&self) -> bool {
        self.resuming
    }

    /// Client: the server has so many bytes of the body, and takes so much more.
    pub(super) fn go_on(&mut self, received: u64, credit: u64) -> Result<(), Error> {
        if !(self.kept.start..=self.total).contains(&received) {
            return Err(Error::violation("a server that has less of a request body than it said, or more than there is"));
        }
        while self.kept.start < received
            && let Some(Out::Piece(mut bytes, given)) = self.queue.pop_front()
        {
            self.queued -= bytes.len() + FRAME_COST;
            let there = bytes.len().min(usize::try_from(received - self.kept.start).unwrap_or(usize::MAX));
            let rest = bytes.split_off(there);
            self.kept.start += there as u64;
            if !rest.is_empty() {
                self.push_front(Out::Piece(rest, given));
            }
        }
        (self.resuming, self.credit, self.waiting) = (false, credit, false);
        Ok(())
    }
}
