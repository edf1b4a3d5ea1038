//! Frames: the typed messages inside records (section 5). One file a group of types; here is the header that all share.

mod control;
mod end;
mod request;
mod response;

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

pub use control::{CancelReason, GoAway, Notice, Ping, Resume, Resumed};
pub use end::{End, Receipt};
pub use request::{BodyEnd, BodyLength, Mode, Policy, Request};
pub use response::{Response, Stamps, is_bodiless};

pub use super::header::{Header, Headers};

use super::{
    error::{Code, Error},
    limits,
    role::Role,
    wire::{Reader, put_varint, varint, varint_len},
};

/// Frame types (section 5.1).
pub mod kind {
    /// The rest of the record is zero.
    pub const PADDING: u8 = 0x00;
    /// Opens an exchange.
    pub const REQUEST: u8 = 0x01;
    /// A piece of the request body.
    pub const BODY: u8 = 0x02;
    /// The end of the request body.
    pub const BODY_END: u8 = 0x03;
    /// The head of the response.
    pub const RESPONSE: u8 = 0x04;
    /// A piece of the response body.
    pub const DATA: u8 = 0x05;
    /// The end of the response.
    pub const END: u8 = 0x06;
    /// A failure of an exchange or of the session.
    pub const ERROR: u8 = 0x07;
    /// Stops an exchange.
    pub const CANCEL: u8 = 0x08;
    /// Allows more bytes.
    pub const CREDIT: u8 = 0x09;
    /// Asks for a sign of life.
    pub const PING: u8 = 0x0a;
    /// Gives it.
    pub const PONG: u8 = 0x0b;
    /// No new exchanges.
    pub const GOAWAY: u8 = 0x0c;
    /// Comes back for a cut exchange.
    pub const RESUME: u8 = 0x0d;
    /// It goes on.
    pub const RESUMED: u8 = 0x0e;
    /// It cannot.
    pub const GONE: u8 = 0x0f;
}

/// A frame without its exchange number.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opens an exchange.
    Request(Box<Request>),
    /// A piece of the request body.
    Body(Bytes),
    /// The end of the request body.
    BodyEnd(BodyEnd),
    /// The head of the response, seq 0.
    Response(Response),
    /// A piece of the response body. `payload` begins with the stamps where the request wanted them:
    /// see [`Stamps::split`].
    Data {
        /// Place in the response, from 1.
        seq: u64,
        /// Stamps, if wanted, and body bytes.
        payload: Bytes,
    },
    /// The end of the response.
    End {
        /// Place in the response.
        seq: u64,
        /// Count, trailers and receipt.
        end: End,
    },
    /// A failure of an exchange, or with exchange 0 of the session.
    Error {
        /// Place in the response; 0 for the session's.
        seq: u64,
        /// What failed.
        notice: Notice,
    },
    /// Stops an exchange.
    Cancel(CancelReason),
    /// So many bytes more may be sent.
    Credit(u64),
    /// Asks for a sign of life.
    Ping(Ping),
    /// Gives it.
    Pong(Ping),
    /// No new exchanges.
    GoAway(GoAway),
    /// Comes back for a cut exchange.
    Resume(Resume),
    /// It goes on.
    Resumed(Resumed),
    /// It cannot.
    Gone,
}

/// Reads the next frame of a record's plaintext at `*at`, and moves `*at` behind it. Gives `None` at the end or the padding,
/// which it checks (section 4.4).
///
/// Large body pieces share the record's memory, others are copied, so that a small piece that is kept does not keep a large
/// buffer.
///
/// `from` is the side that sent it; the order of the checks is that of section 5.1.
pub fn decode(record: &Bytes, at: &mut usize, from: Role) -> Result<Option<(u32, Frame)>, Error> {
    let mut reader = Reader::new(&record[*at..]);
    if reader.is_empty() {
        return Ok(None);
    }
    let kind = reader.u8()?;
    if kind == kind::PADDING {
        // All of it at once, not up to the first that is wrong: so it takes whole vectors.
        let found = reader.rest().iter().fold(0, |found, byte| found | byte);
        *at = record.len();
        return if found == 0 { Ok(None) } else { Err(Error::Malformed("padding that is not zero")) };
    }
    if kind > kind::GONE {
        return Err(Error::Misbehaved(Code::UnknownFrame, "a frame of unknown type"));
    }
    let exchange = reader.varint()?;
    let size = reader.varint()?;
    let size = usize::try_from(size).map_err(|_| Error::Malformed("a frame that reaches past its record"))?;
    let start = record.len() - reader.len();
    let payload = reader.take(size).map_err(|_| Error::Malformed("a frame that reaches past its record"))?;
    *at = start + size;
    let exchange = u32::try_from(exchange)
        .ok()
        .filter(|&number| number <= limits::EXCHANGE)
        .ok_or(Error::violation("an exchange number over its limit"))?;
    check_place(kind, exchange, from)?;
    // The bytes from `used` on of this payload, as memory that may be kept.
    let share = |used: usize| {
        let body = &payload[used..];
        if body.len() >= limits::SHARE_MIN { record.slice(start + used..start + size) } else { Bytes::copy_from_slice(body) }
    };
    let frame = match kind {
        kind::REQUEST => Frame::Request(Box::new(Request::decode(payload)?)),
        kind::BODY if payload.is_empty() => return Err(Error::Malformed("a body frame without a byte")),
        kind::BODY => Frame::Body(share(0)),
        kind::BODY_END => Frame::BodyEnd(BodyEnd::decode(payload)?),
        kind::RESPONSE => {
            let (seq, head) = sequenced(payload)?;
            let response = Response::decode(head)?;
            if seq != 0 {
                return Err(Error::sequence("a response head that is not the first frame"));
            }
            Frame::Response(response)
        }
        kind::DATA => {
            let (seq, body) = sequenced(payload)?;
            if body.is_empty() {
                return Err(Error::Malformed("a data frame without a byte"));
            }
            Frame::Data { seq, payload: share(size - body.len()) }
        }
        kind::END => {
            let (seq, head) = sequenced(payload)?;
            Frame::End { seq, end: End::decode(head)? }
        }
        kind::ERROR => {
            let (seq, head) = sequenced(payload)?;
            Frame::Error { seq, notice: Notice::decode(head)? }
        }
        kind::CANCEL => Frame::Cancel(CancelReason::decode(payload)?),
        kind::CREDIT => {
            let amount = Reader::new(payload).lone_varint()?;
            if !(1..=limits::CREDIT_MAX).contains(&amount) {
                return Err(Error::Malformed("a number out of its range"));
            }
            Frame::Credit(amount)
        }
        kind::PING => Frame::Ping(Ping::decode(payload)?),
        kind::PONG => Frame::Pong(Ping::decode(payload)?),
        kind::GOAWAY => Frame::GoAway(GoAway::decode(payload)?),
        kind::RESUME => Frame::Resume(Resume::decode(payload)?),
        kind::RESUMED => Frame::Resumed(Resumed::decode(payload)?),
        _ if payload.is_empty() => Frame::Gone,
        _ => return Err(Error::Malformed("bytes in an empty frame")),
    };
    Ok(Some((exchange, frame)))
}

/// Which side sends it, and whether on an exchange (section 5.1).
fn check_place(kind: u8, exchange: u32, from: Role) -> Result<(), Error> {
    use kind::{BODY, BODY_END, CANCEL, DATA, END, ERROR, GOAWAY, GONE, PING, PONG, REQUEST, RESPONSE, RESUME, RESUMED};
    let right_side = match kind {
        REQUEST | BODY | BODY_END | CANCEL | RESUME => from == Role::Client,
        RESPONSE | DATA | END | RESUMED | GONE => from == Role::Server,
        _ => true,
    };
    let right_exchange = match kind {
        PING | PONG => true,
        GOAWAY => exchange == 0,
        ERROR => exchange == 0 || from == Role::Server,
        _ => exchange != 0,
    };
    match (right_side, right_exchange) {
        (false, _) => Err(Error::violation("a frame from the wrong side")),
        (_, false) => Err(Error::violation("a session's frame on an exchange, or the other way round")),
        _ => Ok(()),
    }
}

fn sequenced(payload: &[u8]) -> Result<(u64, &[u8]), Error> {
    let mut reader = Reader::new(payload);
    let seq = reader.varint()?;
    Ok((seq, reader.rest()))
}

/// How many bytes a frame has whose payload has `size`.
pub const fn framed_len(exchange: u32, size: usize) -> usize {
    1 + varint_len(exchange as u64) + varint_len(size as u64) + size
}

/// Appends a frame's header.
pub fn put_header(out: &mut BytesMut, kind: u8, exchange: u32, size: usize) {
    out.put_u8(kind);
    put_varint(out, exchange.into());
    put_varint(out, size as u64);
}

/// Appends a whole frame: `seq` where its type has one, and the rest of its payload.
pub fn put(out: &mut BytesMut, kind: u8, exchange: u32, seq: Option<u64>, payload: &[u8]) {
    put_header(out, kind, exchange, seq.map_or(0, varint_len) + payload.len());
    if let Some(seq) = seq {
        put_varint(out, seq);
    }
    out.put_slice(payload);
}

/// Shows of a body its length alone.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => request.fmt(f),
            Self::Body(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Self::BodyEnd(end) => end.fmt(f),
            Self::Response(response) => response.fmt(f),
            Self::Data { seq, payload } => write!(f, "Data({seq}, {} bytes)", payload.len()),
            Self::End { seq, end } => write!(f, "End({seq}, {end:?})"),
            Self::Error { seq, notice } => write!(f, "Error({seq}, {notice:?})"),
            Self::Cancel(reason) => write!(f, "Cancel({reason:?})"),
            Self::Credit(amount) => write!(f, "Credit({amount})"),
            Self::Ping(ping) => write!(f, "Ping({ping:?})"),
            Self::Pong(ping) => write!(f, "Pong({ping:?})"),
            Self::GoAway(goaway) => goaway.fmt(f),
            Self::Resume(resume) => resume.fmt(f),
            Self::Resumed(resumed) => resumed.fmt(f),
            Self::Gone => f.write_str("Gone"),
        }
    }
}

impl Frame {
    /// Appends this frame. The hot path writes DATA without building a `Frame`; this serves the rest, and tests.
    pub fn encode(&self, exchange: u32, out: &mut BytesMut) -> Result<(), Error> {
        let (kind, seq, payload) = match self {
            Self::Request(request) => (kind::REQUEST, None, request.encode()?),
            Self::Body(body) => (kind::BODY, None, body.clone()),
            Self::BodyEnd(end) => (kind::BODY_END, None, end.encode()?),
            Self::Response(response) => (kind::RESPONSE, Some(0), response.encode()?),
            Self::Data { seq, payload } => (kind::DATA, Some(*seq), payload.clone()),
            Self::End { seq, end } => (kind::END, Some(*seq), end.encode()?),
            Self::Error { seq, notice } => (kind::ERROR, Some(*seq), notice.encode()),
            Self::Cancel(reason) => (kind::CANCEL, None, varint(reason.number())),
            Self::Credit(amount) => (kind::CREDIT, None, varint(*amount)),
            Self::Ping(ping) => (kind::PING, None, ping.encode()),
            Self::Pong(ping) => (kind::PONG, None, ping.encode()),
            Self::GoAway(goaway) => (kind::GOAWAY, None, goaway.encode()),
            Self::Resume(resume) => (kind::RESUME, None, resume.encode()),
            Self::Resumed(resumed) => (kind::RESUMED, None, resumed.encode()),
            Self::Gone => (kind::GONE, None, Bytes::new()),
        };
        put(out, kind, exchange, seq, &payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
