//! One exchange: what may come next, in which order, and how much (sections 5.2 to 5.5 and 5.12).

mod outbound;

use core::{fmt, time::Duration};

use bytes::{Bytes, BytesMut};

use self::outbound::{Out, Outbound};
use super::{
    error::{Code, Error},
    frame::{
        self, BodyEnd, BodyLength, End, Headers, Mode, Notice, Receipt, Response, Resume, Resumed, Stamps, is_bodiless, kind,
    },
    limits::{CREDIT_MAX, CREDIT_MIN, FRAME_COST, HEAD, RECORD_PLAINTEXT},
    role::Role,
    tally::Tally,
    wire::{put_varint, varint, varint_len},
};

/// A piece that fits no record is begun in what is left of one only if this much of it fits; else it begins the next.
const SPLIT_MIN: usize = 4096;

/// More than an END's count and receipt ever take, bytes.
const RECEIPT: usize = 128;

/// What came of the attempt to put a frame into a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// One frame; more wait.
    Some,
    /// One frame, and nothing is left to send for now.
    All,
    /// None: it wants a record of its own.
    NoRoom,
    /// None: the peer has to say something first, mostly to give credit.
    Stopped,
    /// One frame, the last of the exchange.
    Last,
}

/// Where a frame goes that is put into a record.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) out: &'a mut BytesMut,
    /// Plaintext bytes that are left of the record.
    pub(super) room: usize,
    /// The next PING whose PONG will say that it has arrived.
    pub(super) ping: u32,
    /// Whether a piece of a body may go out.
    pub(super) pieces: bool,
    pub(super) now: Duration,
}

/// An encoded head. It holds keys, and shows nothing of itself.
#[derive(Clone)]
struct Head(Bytes);

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({} bytes)", self.0.len())
    }
}

/// How far the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// No head yet.
    Awaited,
    /// The head is through; DATA follows.
    Body,
    /// END or ERROR is queued (server).
    Ended,
}

/// How far the request body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    /// More follows; how much in all, if known.
    Open(Option<u64>),
    /// Nothing follows.
    Done,
}

impl Upload {
    const fn new(length: BodyLength) -> Self {
        match length {
            BodyLength::None => Self::Done,
            BodyLength::Known(length) => Self::Open(Some(length)),
            BodyLength::Unknown => Self::Open(None),
        }
    }
}

/// The receiving half: what the peer may still send, and what came.
#[derive(Debug)]
struct Inbound {
    /// What the peer may still send, as cost.
    credit: u64,
    window: u64,
    /// Cost that the program took and that was not given back yet.
    owed: u64,
    next: u64,
    total: u64,
}

impl Inbound {
    const fn new(window: u64) -> Self {
        Self { credit: window, window, owed: 0, next: 0, total: 0 }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Error> {
        let over = Error::Misbehaved(Code::CreditExceeded, "more bytes than the credit allows");
        self.credit = self.credit.checked_sub((bytes + FRAME_COST) as u64).ok_or(over)?;
        self.total += bytes as u64;
        Ok(())
    }

    fn check(&self, seq: u64) -> Result<(), Error> {
        if seq == self.next { Ok(()) } else { Err(Error::sequence("a gap or a repeat in a response")) }
    }

    fn step(&mut self, seq: u64) -> Result<(), Error> {
        self.check(seq)?;
        self.next += 1;
        Ok(())
    }
}

/// One request and its response, at either end.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Exchange {
    /// Names it beyond its session.
    id: [u8; 16],
    role: Role,
    pub(super) out: Outbound,
    inbound: Inbound,
    reply: Reply,
    upload: Upload,
    /// Cancelled by us: what still comes is checked and thrown away.
    cancelled: Option<frame::CancelReason>,
    /// Whether it is in the connection's list of those with something to send.
    pub(super) listed: bool,
    /// Whether it is in the connection's list of those that owe credit.
    pub(super) crediting: bool,
    timings: bool,
    /// The response has no body whatever its head says (HEAD; later also 204 and 304).
    bodiless: bool,
    buffered: bool,
    declared: Option<u64>,
    started: Duration,
    /// When the upstream gave its last byte, or was called.
    pub(super) spoke: Duration,
    receipt: Receipt,
    /// END is sealed.
    whole: bool,
    /// DATA or BODY frames that were sealed, and the bytes of bodies in them.
    frames: u64,
    pub(super) sealed: u64,
    /// Whether it can go on in another session.
    resumable: bool,
    /// How often a client has come back for it, by its own count.
    attempt: u64,
    /// Server: it came from another session; the end of its upload may come once more.
    resumed: bool,
    /// Client: the head of its REQUEST, until the server is known to have it.
    head: Option<Head>,
    /// Client: it was asked anew, in another session.
    again: bool,
    /// Client: its REQUEST was sealed, and all of the request.
    sent: bool,
    asked: bool,
}

fn micros(since: Duration, now: Duration) -> u64 {
    u64::try_from(now.saturating_sub(since).as_micros()).unwrap_or(u64::MAX)
}

impl Exchange {
    /// `out_credit` is what the peer allows us, `window` what we allow the peer. What was sealed is kept up to a cost of `keep`, for
    /// another session; 0: it ends with this one.
    pub(super) fn new(
        role: Role,
        request: &frame::Request,
        (out_credit, window): (u64, u64),
        keep: usize,
        now: Duration,
    ) -> Self {
        Self {
            id: request.id,
            role,
            out: Outbound::new(out_credit, role == Role::Server, keep),
            inbound: Inbound::new(window),
            reply: Reply::Awaited,
            upload: Upload::new(request.body),
            cancelled: None,
            listed: false,
            crediting: false,
            timings: request.timings,
            bodiless: request.method == "HEAD",
            buffered: request.mode == Mode::Buffered,
            declared: None,
            started: now,
            spoke: now,
            receipt: Receipt::default(),
            whole: false,
            frames: 0,
            sealed: 0,
            resumable: keep > 0,
            attempt: 0,
            resumed: false,
            head: None,
            again: false,
            sent: false,
            asked: false,
        }
    }

    /// Whether it can go on in another session.
    pub(super) const fn is_resumable(&self) -> bool {
        self.resumable && self.cancelled.is_none()
    }

    /// Client: whether it was cancelled, and is there only until the server has heard of it.
    pub(super) const fn is_cancelled(&self) -> bool {
        self.cancelled.is_some()
    }

    /// Client: whether the server may go on with it because it has not heard that it was cancelled.
    pub(super) const fn owes_cancel(&self) -> bool {
        self.cancelled.is_some() && self.resumable && self.sent
    }

    /// It will not go on in another session.
    pub(super) const fn end_with_session(&mut self) {
        self.resumable = false;
    }

    // --- the client's side ---

    pub(super) fn push_request(&mut self, head: Bytes) {
        self.head = self.resumable.then(|| Head(head.clone()));
        self.out.queue.push_back(Out::Plain(kind::REQUEST, head));
    }

    /// Comes back for it in another session. What was not received is sent when the server has said what it has.
    pub(super) fn push_resume(&mut self) {
        // What came of the peer's frames counts, and so does what we gave it to send.
        let credit = (self.inbound.credit + core::mem::take(&mut self.inbound.owed)).clamp(CREDIT_MIN, CREDIT_MAX);
        self.inbound.credit = credit;
        self.enter_session();
        self.attempt += 1;
        let resume = Resume { id: self.id, next: self.inbound.next, credit, attempt: self.attempt };
        self.out.begin_anew(Out::Plain(kind::RESUME, resume.encode()));
        if let Some(reason) = self.cancelled {
            self.push_cancel(reason);
        }
    }

    /// Asks anew in another session, where the server has nothing of it.
    pub(super) fn push_request_again(&mut self, credit: u64) {
        let Some(Head(head)) = self.head.clone() else { return };
        self.out.credit = credit;
        self.again = self.sent;
        self.enter_session();
        self.out.begin_anew(Out::Plain(kind::REQUEST, head));
    }

    /// Whether all of the request is still here, and nothing of an answer has come.
    pub(super) const fn can_ask_again(&self) -> bool {
        self.head.is_some() && self.inbound.next == 0 && self.out.is_complete() && self.cancelled.is_none()
    }

    /// Whether all of the request was sealed once. If not, the upstream cannot have had all of it.
    pub(super) const fn is_asked(&self) -> bool {
        self.asked
    }

    pub(super) fn on_resumed(&mut self, resumed: &Resumed) -> Result<(), Error> {
        if !self.is_resuming() {
            return Err(Error::violation("an answer to a RESUME that was not sent"));
        }
        self.head = None;
        // One that was cancelled meanwhile has nothing to go on with.
        let received = if self.is_cancelled() { 0 } else { resumed.received };
        self.out.go_on(received, resumed.credit)
    }

    /// Whether the answer to a RESUME is awaited.
    pub(super) const fn is_resuming(&self) -> bool {
        self.out.is_resuming()
    }

    pub(super) fn on_gone(&self) -> Result<(), Error> {
        if self.is_resuming() { Ok(()) } else { Err(Error::violation("an answer to a RESUME that was not sent")) }
    }

    /// Whether it was begun in another session: what this one refuses may go on elsewhere.
    pub(super) const fn is_from_elsewhere(&self) -> bool {
        self.is_resuming() || self.again
    }

    /// Whether this refuses it here alone.
    pub(super) fn is_refused_here(&mut self, notice: &Notice) -> bool {
        let of_session = matches!(notice.code, Code::DuplicateRequest | Code::ShuttingDown | Code::TooManyExchanges);
        let anew = self.again && (self.can_ask_again() || self.is_cancelled());
        if anew && notice.code == Code::DuplicateRequest {
            // The server has had it. To ask for a third time would lead here again.
            self.head = None;
        }
        self.is_resuming() || (anew && of_session) || (notice.code == Code::ShuttingDown && notice.retry && self.renew())
    }

    /// The server has not taken it and never will, in this session. Whether it can be asked elsewhere as if it were new.
    pub(super) const fn renew(&mut self) -> bool {
        let can = !self.again && self.can_ask_again() && self.is_resumable();
        if can {
            (self.sent, self.asked) = (false, false);
        }
        can
    }

    /// Client: whether no server has seen anything of it: it can be asked wherever.
    pub(super) const fn is_new(&self) -> bool {
        self.head.is_some() && !self.sent
    }

    /// A frame that does not answer a RESUME may come now.
    pub(super) fn check_answered(&self) -> Result<(), Error> {
        if self.is_resuming() { Err(Error::sequence("a frame before the answer to a RESUME")) } else { Ok(()) }
    }

    pub(super) fn push_body(&mut self, bytes: Bytes, now: Duration) -> Result<(), Error> {
        let Upload::Open(declared) = self.upload else { return Err(Error::Misuse("a body after its end")) };
        if declared.is_some_and(|length| self.out.total + bytes.len() as u64 > length) {
            return Err(Error::Misuse("a body longer than was said"));
        }
        self.out.total += bytes.len() as u64;
        self.out.push_piece(bytes, now);
        Ok(())
    }

    pub(super) fn push_body_end(&mut self, trailers: Headers) -> Result<(), Error> {
        let total = self.out.total;
        match self.upload {
            Upload::Open(None) => {}
            Upload::Open(Some(length)) if length == total => {}
            Upload::Open(_) => return Err(Error::Misuse("a body of another length than was said")),
            Upload::Done => return Err(Error::Misuse("a second end of a body")),
        }
        let head = BodyEnd { total, trailers }.encode()?;
        self.upload = Upload::Done;
        self.out.queue.push_back(Out::Plain(kind::BODY_END, head));
        Ok(())
    }

    pub(super) fn push_cancel(&mut self, reason: frame::CancelReason) {
        self.cancelled = Some(reason);
        self.upload = Upload::Done;
        self.out.clear();
        self.out.queue.push_back(Out::Plain(kind::CANCEL, varint(reason.number())));
    }

    /// Whether what opens it in this session is still to be sealed.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(self.out.queue.front(), Some(Out::Plain(kind::REQUEST | kind::RESUME, _)))
    }

    pub(super) fn on_response(&mut self, response: &Response) -> Result<(), Error> {
        self.check_answered()?;
        self.head = None;
        if self.reply != Reply::Awaited {
            return Err(Error::sequence("a second response head"));
        }
        self.inbound.step(0)?;
        self.reply = Reply::Body;
        self.bodiless = is_bodiless(self.bodiless, response.status);
        self.declared = response.length.filter(|_| !self.bodiless);
        if self.buffered && !self.bodiless && self.declared.is_none() {
            return Err(Error::violation("a buffered response without its length"));
        }
        Ok(())
    }

    pub(super) fn on_data(&mut self, seq: u64, mut payload: Bytes) -> Result<(Bytes, Option<Stamps>), Error> {
        let stamps = if self.timings { Some(Stamps::split(&mut payload)?) } else { None };
        self.check_answered()?;
        if self.reply != Reply::Body {
            return Err(Error::sequence("data before its head"));
        }
        self.inbound.step(seq)?;
        if self.bodiless {
            return Err(Error::violation("data in a response that has none"));
        }
        self.inbound.spend(payload.len())?;
        Ok((payload, stamps))
    }

    pub(super) fn on_end(&mut self, seq: u64, end: &End) -> Result<(), Error> {
        self.check_answered()?;
        if self.reply != Reply::Body {
            return Err(Error::sequence("an end before its head"));
        }
        self.inbound.step(seq)?;
        if end.total != self.inbound.total || self.declared.is_some_and(|length| length != end.total) {
            return Err(Error::sequence("an end whose count is not what came"));
        }
        Ok(())
    }

    /// The next frame of the response has this place.
    pub(super) fn check_place(&self, seq: u64) -> Result<(), Error> {
        self.check_answered()?;
        self.inbound.check(seq)
    }

    /// Gives what its caller is told.
    pub(super) fn on_error(&mut self, seq: u64, notice: Notice) -> Result<Notice, Error> {
        self.check_answered()?;
        self.inbound.step(seq)?;
        // The server speaks of the REQUEST that it refuses. Of one that was made anew, the first may have got further.
        Ok(Notice { retry: notice.retry && !self.again, ..notice })
    }

    // --- the server's side ---

    pub(super) fn on_body(&mut self, bytes: &Bytes) -> Result<(), Error> {
        let Upload::Open(declared) = self.upload else { return Err(Error::violation("a body after its end")) };
        self.inbound.spend(bytes.len())?;
        if declared.is_some_and(|length| self.inbound.total > length) {
            return Err(Error::violation("a body longer than was said"));
        }
        Ok(())
    }

    /// Says whether it is news.
    pub(super) fn on_body_end(&mut self, end: &BodyEnd) -> Result<bool, Error> {
        let (declared, is_news) = match self.upload {
            Upload::Open(declared) => (declared, true),
            // What the client does not know to have arrived comes once more.
            Upload::Done if self.resumed => (None, false),
            Upload::Done => return Err(Error::violation("a second end of a body")),
        };
        self.resumed = false;
        if end.total != self.inbound.total || declared.is_some_and(|length| length != end.total) {
            return Err(Error::violation("a body whose count is not what came"));
        }
        self.upload = Upload::Done;
        Ok(is_news)
    }

    /// When its head came.
    pub(super) const fn began(&self) -> Duration {
        self.started
    }

    pub(super) fn called(&mut self, now: Duration) {
        self.spoke = now;
        self.receipt.sent = Some(micros(self.started, now));
    }

    /// Whether the upstream was called, or is about to be.
    pub(super) const fn was_called(&self) -> bool {
        self.receipt.sent.is_some()
    }

    pub(super) fn push_response(&mut self, response: &Response, now: Duration) -> Result<(), Error> {
        if self.reply != Reply::Awaited {
            return Err(Error::Misuse("a second response head"));
        }
        let bodiless = is_bodiless(self.bodiless, response.status);
        if self.buffered && !bodiless && response.length.is_none() {
            return Err(Error::Misuse("a buffered response without its length"));
        }
        let head = response.encode()?;
        self.bodiless = bodiless;
        self.declared = response.length.filter(|_| !bodiless);
        self.reply = Reply::Body;
        self.spoke = now;
        self.receipt.head = Some(micros(self.started, now));
        self.out.queue.push_back(Out::Sequenced(kind::RESPONSE, head));
        Ok(())
    }

    pub(super) fn push_data(&mut self, bytes: Bytes, now: Duration) -> Result<(), Error> {
        if self.reply != Reply::Body || self.bodiless {
            return Err(Error::Misuse("data outside a response's body"));
        }
        let total = self.out.total + bytes.len() as u64;
        if self.declared.is_some_and(|length| total > length) {
            return Err(Error::Misuse("a response longer than was said"));
        }
        self.out.total = total;
        self.spoke = now;
        let at = micros(self.started, now);
        self.receipt.first.get_or_insert(at);
        self.receipt.last = Some(at);
        self.out.push_piece(bytes, now);
        Ok(())
    }

    pub(super) fn push_end(&mut self, trailers: Headers) -> Result<(), Error> {
        if self.reply != Reply::Body {
            return Err(Error::Misuse("an end outside a response's body"));
        }
        if self.declared.is_some_and(|length| length != self.out.total) {
            return Err(Error::Misuse("a response shorter than was said"));
        }
        // Refused here, where the program can still say so, with room for the receipt.
        if !trailers.is_empty() && (BodyEnd { total: 0, trailers: trailers.clone() }).encode()?.len() > HEAD - RECEIPT {
            return Err(Error::Misbehaved(Code::TooLarge, "trailers over their limit"));
        }
        self.reply = Reply::Ended;
        self.out.queue.push_back(Out::End(trailers));
        Ok(())
    }

    /// ERROR, behind what is already queued; with `at_once`, in place of it.
    pub(super) fn push_error(&mut self, head: Bytes, at_once: bool) -> Result<(), Error> {
        if self.reply == Reply::Ended && !at_once {
            return Err(Error::Misuse("an error after the end"));
        }
        if at_once {
            self.out.clear();
        }
        self.reply = Reply::Ended;
        self.out.queue.push_back(Out::Sequenced(kind::ERROR, head));
        Ok(())
    }

    /// Whether the last frame is queued: what the client still sends crossed it on the way.
    pub(super) fn has_ended(&self) -> bool {
        self.reply == Reply::Ended
    }

    /// What came of it so far.
    pub(super) const fn tally(&self) -> Tally {
        Tally { whole: self.whole, frames: self.frames, uploaded: self.inbound.total, receipt: self.receipt }
    }

    /// Milliseconds since the upstream gave its last byte.
    pub(super) fn silence(&self, now: Duration) -> u64 {
        u64::try_from(now.saturating_sub(self.spoke).as_millis()).unwrap_or(u64::MAX)
    }

    // --- both ---

    /// The program took a piece of this many bytes.
    pub(super) const fn taken(&mut self, bytes: usize) {
        self.inbound.owed += (bytes + FRAME_COST) as u64;
    }

    /// Whether credit should go back now (section 5.5), which it was not yet. Before a RESUME is answered, none counts.
    pub(super) fn begins_crediting(&mut self) -> bool {
        let due = self.inbound.owed >= self.inbound.window / 4 && self.cancelled.is_none() && !self.is_resuming();
        due && !core::mem::replace(&mut self.crediting, true)
    }

    /// The credit to give back now.
    pub(super) const fn take_owed(&mut self) -> u64 {
        let owed = self.inbound.owed;
        self.inbound.owed = 0;
        self.inbound.credit += owed;
        owed
    }

    /// The session that it is in now has seen nothing of it.
    const fn enter_session(&mut self) {
        (self.listed, self.crediting) = (false, false);
    }

    /// Server: whether all of the request body is there.
    pub(super) fn has_upload(&self) -> bool {
        self.upload == Upload::Done
    }

    /// Server: the place in the response that the next frame has.
    pub(super) const fn next_place(&self) -> u64 {
        self.out.seq
    }

    /// Server: whether this can be had: all from its place of the response on, and no later attempt was made before.
    pub(super) fn can_resume(&self, resume: &Resume) -> bool {
        self.resumable && resume.attempt >= self.attempt && self.out.reaches(resume.next)
    }

    /// Server: goes on in another session, from this place of the response. Gives what the client has to know of its upload.
    pub(super) fn resume(&mut self, resume: &Resume) -> Resumed {
        self.enter_session();
        self.out.rewind(resume.next, resume.credit);
        (self.resumed, self.attempt) = (true, resume.attempt);
        self.inbound.credit += core::mem::take(&mut self.inbound.owed);
        Resumed { received: self.inbound.total, credit: self.inbound.credit }
    }

    /// Puts the next frame into a record.
    pub(super) fn write(&mut self, number: u32, place: Place<'_>) -> Result<Wrote, Error> {
        let next = match self.out.pop_front() {
            None => return Ok(Wrote::Stopped),
            Some(Out::Piece(bytes, given)) if place.pieces => return Ok(self.write_piece(bytes, given, number, place)),
            Some(next) => next,
        };
        let seq = self.out.seq;
        let fits = |size: usize| frame::framed_len(number, size) <= place.room;
        let last = match &next {
            Out::Plain(_, payload) if !fits(payload.len()) => None,
            Out::Plain(kind, payload) => {
                frame::put(place.out, *kind, number, None, payload);
                self.sent |= *kind == kind::REQUEST;
                self.asked |= *kind == kind::BODY_END || (*kind == kind::REQUEST && self.upload == Upload::Done);
                Some(false)
            }
            Out::Sequenced(_, payload) if !fits(varint_len(seq) + payload.len()) => None,
            Out::Sequenced(kind, payload) => {
                frame::put(place.out, *kind, number, Some(seq), payload);
                Some(*kind == kind::ERROR)
            }
            Out::Piece(..) => {
                self.out.queue.push_front(next);
                return Ok(Wrote::Stopped);
            }
            Out::End(trailers) => {
                let receipt = Receipt { end: Some(micros(self.started, place.now)), ..self.receipt };
                let head = End { total: self.out.total, trailers: trailers.clone(), receipt }.encode()?;
                if fits(varint_len(seq) + head.len()) {
                    frame::put(place.out, kind::END, number, Some(seq), &head);
                    (self.whole, self.receipt) = (true, receipt);
                    Some(true)
                } else {
                    None
                }
            }
        };
        let Some(last) = last else {
            self.out.queue.push_front(next);
            return Ok(Wrote::NoRoom);
        };
        if self.role == Role::Server {
            self.out.seq += 1;
        }
        // What opens an exchange is made anew in another session.
        if !matches!(next, Out::Plain(kind::REQUEST | kind::RESUME | kind::CANCEL, _)) {
            self.out.keep(place.ping, next);
        }
        Ok(if last {
            Wrote::Last
        } else if self.out.is_empty() {
            Wrote::All
        } else {
            Wrote::Some
        })
    }

    fn write_piece(&mut self, mut bytes: Bytes, given: Duration, number: u32, place: Place<'_>) -> Wrote {
        let Place { out, room, ping, now, .. } = place;
        let server = self.role == Role::Server;
        let stamps =
            (server && self.timings).then(|| Stamps { arrived: micros(self.started, given), held: micros(given, now) });
        let before = if server {
            varint_len(self.out.seq) + stamps.map_or(0, |stamps| varint_len(stamps.arrived) + varint_len(stamps.held))
        } else {
            0
        };
        // A frame's size is below 2^14: two bytes hold it.
        let overhead = 1 + varint_len(number.into()) + 2 + before;
        let fits = room.saturating_sub(overhead);
        let allowed = usize::try_from(self.out.credit.saturating_sub(FRAME_COST as u64)).unwrap_or(usize::MAX);
        // What fits whole into an empty record is not split to fill one up (section 4.5). Credit that is short splits only what
        // is large: the peer gives credit back well before it falls that low (section 5.5).
        let whole = bytes.len() + overhead <= RECORD_PLAINTEXT;
        let wait = if fits < if whole { bytes.len() } else { SPLIT_MIN } {
            Some(Wrote::NoRoom)
        } else if allowed < bytes.len().min(SPLIT_MIN) {
            Some(Wrote::Stopped)
        } else {
            None
        };
        if let Some(wait) = wait {
            self.out.queue.push_front(Out::Piece(bytes, given));
            return wait;
        }
        let take = bytes.len().min(fits).min(allowed);
        let piece = bytes.split_to(take);
        self.out.credit -= (take + FRAME_COST) as u64;
        self.out.queued -= take + if bytes.is_empty() { FRAME_COST } else { 0 };
        self.frames += 1;
        self.sealed += take as u64;
        if server {
            frame::put_header(out, kind::DATA, number, before + take);
            put_varint(out, self.out.seq);
            if let Some(stamps) = stamps {
                put_varint(out, stamps.arrived);
                put_varint(out, stamps.held);
            }
            self.out.seq += 1;
            let held = micros(given, now);
            self.receipt.held = Some(self.receipt.held.map_or(held, |longest| longest.max(held)));
        } else {
            frame::put_header(out, kind::BODY, number, take);
        }
        out.extend_from_slice(&piece);
        self.out.keep(ping, Out::Piece(piece, given));
        if !bytes.is_empty() {
            self.out.queue.push_front(Out::Piece(bytes, given));
        }
        if self.out.is_empty() { Wrote::All } else { Wrote::Some }
    }
}
