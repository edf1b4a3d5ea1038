//! One exchange: what may come next, in which order, and how much (sections 5.2 to 5.5 and 5.12).

use core::{fmt, time::Duration};
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{
    error::{Code, Error},
    frame::{self, BodyEnd, BodyLength, End, Headers, Mode, Receipt, Response, Stamps, is_bodiless, kind},
    limits::{CREDIT_MAX, FRAME_COST, HEAD, RECORD_PLAINTEXT, SEND_QUEUE},
    tally::Tally,
    wire::{put_varint, varint, varint_len},
};

/// A piece that fits no record is begun in what is left of one only if this much of it fits; else it begins the next.
const SPLIT_MIN: usize = 4096;

/// More than an END's count and receipt ever take, bytes.
const RECEIPT: usize = 128;

/// What waits to be sealed.
enum Out {
    /// A frame without a place in the response.
    Plain(u8, Bytes),
    /// RESPONSE or ERROR: takes the next place.
    Sequenced(u8, Bytes),
    /// A piece of a body, and when it was given to us.
    Piece(Bytes, Duration),
    /// END; its head is made when it is sealed, so that the receipt is true.
    End(Headers),
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

/// What came of the attempt to put a frame into a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// One frame; more wait.
    Some,
    /// One frame, and nothing is left to send for now.
    All,
    /// None: it wants a record of its own.
    NoRoom,
    /// None: the peer has to give credit first.
    NoCredit,
    /// One frame, the last of the exchange.
    Last,
}

/// The sending half.
#[derive(Debug)]
pub(super) struct Outbound {
    queue: VecDeque<Out>,
    /// Cost of the pieces in the queue.
    queued: usize,
    credit: u64,
    seq: u64,
    /// Body bytes that the program gave.
    total: u64,
    /// The program was told to wait, and is owed a word when there is room.
    waiting: bool,
}

impl Outbound {
    const fn new(credit: u64) -> Self {
        Self { queue: VecDeque::new(), queued: 0, credit, seq: 0, total: 0, waiting: false }
    }

    pub(super) fn has_room(&mut self) -> bool {
        self.waiting |= self.queued >= SEND_QUEUE;
        !self.waiting
    }

    /// Whether the program should be told, once, that there is room again.
    pub(super) fn take_room(&mut self) -> bool {
        let room = self.waiting && self.queued <= SEND_QUEUE / 2;
        self.waiting &= !room;
        room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn add_credit(&mut self, amount: u64) -> Result<(), Error> {
        self.credit += amount;
        if self.credit > CREDIT_MAX {
            return Err(Error::Misbehaved(Code::CreditExceeded, "more credit than there can be"));
        }
        Ok(())
    }

    fn push_piece(&mut self, bytes: Bytes, now: Duration) {
        self.queued += bytes.len() + FRAME_COST;
        self.queue.push_back(Out::Piece(bytes, now));
    }

    /// Forgets what was not sealed yet; a REQUEST stays, so that the numbers on the wire have no gap.
    fn clear(&mut self) {
        self.queue.retain(|out| matches!(out, Out::Plain(kind::REQUEST, _)));
        self.queued = 0;
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

    fn step(&mut self, seq: u64) -> Result<(), Error> {
        if seq != self.next {
            return Err(Error::sequence("a gap or a repeat in a response"));
        }
        self.next += 1;
        Ok(())
    }
}

/// One request and its response, at either end.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Exchange {
    pub(super) out: Outbound,
    inbound: Inbound,
    reply: Reply,
    upload: Upload,
    /// Cancelled by us: what still comes is checked and thrown away.
    pub(super) draining: bool,
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
}

fn micros(since: Duration, now: Duration) -> u64 {
    u64::try_from(now.saturating_sub(since).as_micros()).unwrap_or(u64::MAX)
}

impl Exchange {
    /// `out_credit` is what the peer allows us, `window` what we allow the peer.
    pub(super) fn new(request: &frame::Request, out_credit: u64, window: u64, now: Duration) -> Self {
        Self {
            out: Outbound::new(out_credit),
            inbound: Inbound::new(window),
            reply: Reply::Awaited,
            upload: Upload::new(request.body),
            draining: false,
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
        }
    }

    // --- the client's side ---

    pub(super) fn push_request(&mut self, head: Bytes) {
        self.out.queue.push_back(Out::Plain(kind::REQUEST, head));
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
        self.draining = true;
        self.upload = Upload::Done;
        self.out.clear();
        self.out.queue.push_back(Out::Plain(kind::CANCEL, varint(reason.number())));
    }

    /// Whether the REQUEST was not sealed yet.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(self.out.queue.front(), Some(Out::Plain(kind::REQUEST, _)))
    }

    pub(super) fn on_response(&mut self, response: &Response) -> Result<(), Error> {
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
        if self.reply != Reply::Body {
            return Err(Error::sequence("an end before its head"));
        }
        self.inbound.step(seq)?;
        if end.total != self.inbound.total || self.declared.is_some_and(|length| length != end.total) {
            return Err(Error::sequence("an end whose count is not what came"));
        }
        Ok(())
    }

    pub(super) fn on_error(&mut self, seq: u64) -> Result<(), Error> {
        self.inbound.step(seq)
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

    pub(super) fn on_body_end(&mut self, end: &BodyEnd) -> Result<(), Error> {
        let Upload::Open(declared) = self.upload else { return Err(Error::violation("a second end of a body")) };
        if end.total != self.inbound.total || declared.is_some_and(|length| length != end.total) {
            return Err(Error::violation("a body whose count is not what came"));
        }
        self.upload = Upload::Done;
        Ok(())
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

    /// The program took a piece of this many bytes. Says whether credit should go back now (section 5.5).
    pub(super) fn taken(&mut self, bytes: usize) -> bool {
        self.inbound.owed += (bytes + FRAME_COST) as u64;
        !self.draining && self.inbound.owed >= self.inbound.window / 4
    }

    /// The credit to give back now.
    pub(super) const fn take_owed(&mut self) -> u64 {
        let owed = self.inbound.owed;
        self.inbound.owed = 0;
        self.inbound.credit += owed;
        owed
    }

    /// Puts the next frame into a record of which `used` plaintext bytes are taken.
    pub(super) fn write(
        &mut self,
        number: u32,
        out: &mut BytesMut,
        used: usize,
        server: bool,
        now: Duration,
    ) -> Result<Wrote, Error> {
        let room = RECORD_PLAINTEXT - used;
        let Some(next) = self.out.queue.pop_front() else { return Ok(Wrote::All) };
        let last = match next {
            Out::Plain(kind, payload) => {
                if frame::framed_len(number, payload.len()) > room {
                    self.out.queue.push_front(Out::Plain(kind, payload));
                    return Ok(Wrote::NoRoom);
                }
                frame::put(out, kind, number, None, &payload);
                false
            }
            Out::Sequenced(kind, payload) => {
                if frame::framed_len(number, varint_len(self.out.seq) + payload.len()) > room {
                    self.out.queue.push_front(Out::Sequenced(kind, payload));
                    return Ok(Wrote::NoRoom);
                }
                frame::put(out, kind, number, Some(self.out.seq), &payload);
                self.out.seq += 1;
                kind == kind::ERROR
            }
            Out::Piece(bytes, arrived) => return Ok(self.write_piece(bytes, arrived, number, out, room, server, now)),
            Out::End(trailers) => {
                let receipt = Receipt { end: Some(micros(self.started, now)), ..self.receipt };
                let end = End { total: self.out.total, trailers, receipt };
                let head = end.encode()?;
                if frame::framed_len(number, varint_len(self.out.seq) + head.len()) > room {
                    self.out.queue.push_front(Out::End(end.trailers));
                    return Ok(Wrote::NoRoom);
                }
                frame::put(out, kind::END, number, Some(self.out.seq), &head);
                (self.whole, self.receipt) = (true, receipt);
                true
            }
        };
        Ok(if last {
            Wrote::Last
        } else if self.out.is_empty() {
            Wrote::All
        } else {
            Wrote::Some
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the hot path takes its context by value")]
    fn write_piece(
        &mut self,
        mut bytes: Bytes,
        arrived: Duration,
        number: u32,
        out: &mut BytesMut,
        room: usize,
        server: bool,
        now: Duration,
    ) -> Wrote {
        let stamps =
            (server && self.timings).then(|| Stamps { arrived: micros(self.started, arrived), held: micros(arrived, now) });
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
            Some(Wrote::NoCredit)
        } else {
            None
        };
        if let Some(wait) = wait {
            self.out.queue.push_front(Out::Piece(bytes, arrived));
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
            let held = micros(arrived, now);
            self.receipt.held = Some(self.receipt.held.map_or(held, |longest| longest.max(held)));
        } else {
            frame::put_header(out, kind::BODY, number, take);
        }
        out.extend_from_slice(&piece);
        if !bytes.is_empty() {
            self.out.queue.push_front(Out::Piece(bytes, arrived));
        }
        if self.out.is_empty() { Wrote::All } else { Wrote::Some }
    }
}
