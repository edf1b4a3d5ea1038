//! Exchanges that outlive their session (section 7).

use core::time::Duration;

use bytes::Bytes;

use super::{
    super::{
        error::{Code, Error, Fault},
        exchange::Exchange,
        frame::{Notice, Resume, kind},
        handshake::ServerHello,
        limits::UNARRIVED,
        profile::Profile,
    },
    Closed, Config, Connection, Stage,
};

/// What a server grants a client, when it knows who that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The weakest profile that it may use, beside the server's.
    pub profile: Profile,
    /// How its exchanges are held when their session is cut; `None`: they end with it.
    pub hold: Option<Hold>,
}

impl Default for Terms {
    /// Any profile, and nothing is held.
    fn default() -> Self {
        Self { profile: Profile::Off, hold: None }
    }
}

/// How the exchanges of a cut session are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// For how long from the cut on.
    pub time: Duration,
    /// What is kept of a response, as cost: bytes, and 64 for each frame.
    pub keep: usize,
    /// Whether an answer that is still on its way is waited for, and held for that time from its end on.
    pub finish: bool,
}

/// An exchange between two sessions.
#[derive(Debug)]
pub struct Held(Box<Exchange>);

impl Closed {
    /// Whether it was the path that ended the session, and not one of its ends: its exchanges may go on in another.
    pub const fn is_cut(&self) -> bool {
        match self {
            Self::Lost { in_hello } | Self::TimedOut { in_hello } => !*in_hello,
            Self::Fault(error) => matches!(error, Error::Unauthentic(_)),
            Self::Refused(notice) => matches!(notice.code, Code::Unauthentic),
            Self::Done | Self::ProfileRefused(_) => false,
        }
    }
}

impl Connection {
    /// Client: what the server said of itself; `None` before the handshake.
    pub const fn said(&self) -> Option<&ServerHello> {
        self.said.as_ref()
    }

    /// Whether exchanges of this session wait for another one.
    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether this exchange waits for another session.
    pub fn holds(&self, exchange: u32) -> bool {
        self.held.contains_key(&exchange)
    }

    /// Client: the exchanges that wait for another session only to be cancelled there.
    pub fn cancels(&self) -> impl Iterator<Item = u32> + '_ {
        self.held.iter().filter(|(_, held)| held.is_cancelled()).map(|(&number, _)| number)
    }

    /// Client: whether this exchange waits for another session, and (`anew`) can be asked there once more: all of the request is here, and
    /// nothing of an answer has come, or it is there to be cancelled.
    pub fn can_go_on(&self, exchange: u32, anew: bool) -> bool {
        self.held.get(&exchange).is_some_and(|held| !anew || held.can_ask_again() || held.owes_cancel())
    }

    /// Client: whether this exchange waits for another session, and no server has seen anything of it.
    pub fn is_new(&self, exchange: u32) -> bool {
        self.held.get(&exchange).is_some_and(Exchange::is_new)
    }

    /// Client: whether all of the request was sealed once. If not, the upstream cannot have had all of it.
    pub fn was_asked(&self, exchange: u32) -> bool {
        self.any(exchange).is_none_or(Exchange::is_asked)
    }

    /// The exchange, wherever it is. One whose last frame is sealed may still be there as well.
    pub(super) fn any(&self, exchange: u32) -> Option<&Exchange> {
        self.held.get(&exchange).or_else(|| self.exchanges.get(&exchange)).or_else(|| self.settling.get(&exchange))
    }

    /// Server: whether what this asks for can be had of the exchange.
    pub fn can_resume(&self, exchange: u32, resume: &Resume) -> bool {
        self.any(exchange).is_some_and(|found| found.can_resume(resume))
    }

    /// Server: whether an exchange of another session can go on in this one.
    pub fn can_adopt(&self) -> bool {
        matches!(self.stage, Stage::Open) && self.exchanges.len() < self.exchanges_max as usize
    }

    /// Takes an exchange out, to go on in another session. If this one is still up, its client is told that it lost it.
    pub fn take(&mut self, exchange: u32) -> Option<Held> {
        if let Some(found) = self.remove_kept(exchange) {
            return Some(Held(found.into()));
        }
        let found = self.exchanges.remove(&exchange)?;
        let text = "this request was taken over by another session of its client";
        let notice = Notice::new(Code::Superseded, Fault::Client, text);
        self.control.push_back((kind::ERROR, exchange, Some(found.next_place()), notice.encode()));
        Some(Held(found.into()))
    }

    /// Undoes [`Connection::take`], for an exchange that was held.
    pub fn put_back(&mut self, exchange: u32, held: Held) {
        self.held.insert(exchange, *held.0);
    }

    /// Server: answers [`Event::Resume`](super::Event::Resume): the exchange goes on here, from the place that the client asked for.
    pub fn adopt(&mut self, number: u32, held: Held, resume: &Resume) {
        let Held(mut exchange) = held;
        let resumed = exchange.resume(resume);
        if matches!(self.stage, Stage::Closed) {
            self.held.insert(number, *exchange);
            return;
        }
        self.control.push_back((kind::RESUMED, number, None, resumed.encode()));
        self.exchanges.insert(number, *exchange);
        self.list(number);
    }

    /// Server: answers [`Event::Resume`](super::Event::Resume): nothing of it can be had.
    pub fn gone(&mut self, number: u32) {
        self.control.push_back((kind::GONE, number, None, Bytes::new()));
    }

    /// Client: comes back for an exchange of another session. Gives its number here, and [`Event::Resumed`](super::Event::Resumed) or
    /// [`Event::Gone`](super::Event::Gone) follows.
    ///
    /// # Errors
    /// Gives it back if none can be opened now ([`Connection::can_open`]).
    pub fn resume(&mut self, held: Held) -> Result<u32, Held> {
        self.enter(held, Exchange::push_resume)
    }

    /// Client: asks anew, with the same request ID, where the server had nothing of it. For one that was cancelled since, it comes back
    /// once more instead: its REQUEST may have arrived after all.
    ///
    /// # Errors
    /// Gives it back if none can be opened now ([`Connection::can_open`]), or it cannot be asked anew ([`Connection::can_go_on`]).
    pub fn ask_again(&mut self, held: Held) -> Result<u32, Held> {
        let credit = self.upload_credit();
        if held.0.can_ask_again() {
            self.enter(held, |exchange| exchange.push_request_again(credit))
        } else if held.0.owes_cancel() {
            self.enter(held, Exchange::push_resume)
        } else {
            Err(held)
        }
    }

    fn enter(&mut self, held: Held, enter: impl FnOnce(&mut Exchange)) -> Result<u32, Held> {
        if self.is_server() || !self.can_open() {
            return Err(held);
        }
        let Held(mut exchange) = held;
        enter(&mut exchange);
        Ok(self.open_next(*exchange))
    }

    /// Ends what is held here and has been for long enough, or all of it. To be called when the session is over, and from then on as
    /// time goes by: the first call begins the time. What ended is told by [`Connection::drain_finished`] and
    /// [`Connection::drain_settled`].
    pub fn expire(&mut self, now: Duration, all: bool) {
        let cut = *self.cut_at.get_or_insert(now);
        let (hold, share) = (self.hold, self.share);
        let is_due = |exchange: &Exchange| {
            let Some(Hold { time, finish, .. }) = hold else { return true };
            // What nobody sends the rest of does not end, nor does what there is no room for.
            let waits = finish && exchange.has_upload() && !exchange.has_ended() && exchange.out.has_room_cut(share);
            let since = if finish && exchange.has_ended() { cut.max(exchange.spoke) } else { cut };
            !waits && now >= since + time
        };
        let mut due: Vec<_> =
            self.held.iter().filter(|(_, exchange)| all || is_due(exchange)).map(|(&number, _)| number).collect();
        due.sort_unstable();
        for number in due {
            self.forget(number);
        }
    }

    /// Server: how many exchanges wait for another session.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Server: each exchange that waits for another session may have so much of its answer here, as cost, if it may have that by its
    /// [`Hold`]. Says whether there is more room now than there was.
    pub fn share(&mut self, keep: usize) -> bool {
        let keep = keep.min(self.keep());
        keep > core::mem::replace(&mut self.share, keep)
    }

    /// Drops an exchange that is held, or whose last frame may not have arrived; one that is open ends with this session at the latest.
    pub fn forget(&mut self, exchange: u32) {
        // What was cancelled may have to be said once more.
        if let Some(open) = self.exchanges.get_mut(&exchange).filter(|open| !open.is_cancelled()) {
            open.end_with_session();
        }
        if let Some(found) = self.remove_kept(exchange)
            && self.is_server()
        {
            self.finished.push((exchange, found.tally()));
            self.settled.push(exchange);
        }
    }

    /// Takes out an exchange that is in no session, or whose last frame is sealed.
    fn remove_kept(&mut self, exchange: u32) -> Option<Exchange> {
        self.held.remove(&exchange).or_else(|| self.settling.remove(&exchange))
    }

    /// Server: the exchanges since this was called last that nobody can come back for.
    pub fn drain_settled(&mut self) -> impl Iterator<Item = u32> + '_ {
        self.settled.drain(..)
    }

    /// The PONG to this PING has come: what was sealed before it has arrived.
    pub(super) fn arrived(&mut self, ping: u32) {
        for exchange in self.exchanges.values_mut() {
            exchange.out.arrived(ping);
        }
        let settled = &mut self.settled;
        self.settling.retain(|&number, exchange| {
            exchange.out.arrived(ping);
            let waits = exchange.out.kept() > 0;
            if !waits {
                settled.push(number);
            }
            waits
        });
        let kept = self.exchanges.values().chain(self.settling.values()).map(|exchange| exchange.out.kept()).sum();
        let stopped = core::mem::replace(&mut self.unarrived, kept) >= UNARRIVED;
        if stopped {
            let mut open: Vec<_> = self.exchanges.keys().copied().collect();
            open.sort_unstable();
            for exchange in open {
                self.list(exchange);
            }
        }
    }

    /// The client has seen the end of every exchange up to this one (section 7.4).
    pub(super) fn all_seen(&mut self, last: u32) {
        let settled = &mut self.settled;
        self.settling.retain(|&number, _| {
            if number <= last {
                settled.push(number);
            }
            number > last
        });
    }

    /// What is kept of a response, as cost.
    pub(super) fn keep(&self) -> usize {
        match &self.config {
            Config::Server(_) => self.hold.map_or(0, |hold| hold.keep),
            // What the server takes ahead bounds it; and what was never taken goes elsewhere whether or not the server holds anything.
            Config::Client(_) => usize::MAX,
        }
    }

    /// Whether exchanges outlive the session, if that is cut.
    pub(super) fn holds_cut(&self) -> bool {
        match &self.config {
            Config::Server(_) => self.hold.is_some(),
            Config::Client(_) => self.said.as_ref().is_some_and(|said| said.hold > 0),
        }
    }
}
