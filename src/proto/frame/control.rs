//! ERROR, CANCEL, PING, GOAWAY and the frames of resumption (sections 5.3, 5.7, 7).

use bytes::{BufMut, Bytes, BytesMut};

use super::super::{
    cbor::{MapReader, MapWriter, required},
    error::{Code, Error, Fault},
    limits,
    wire::{Reader, put_varint},
};

/// What an ERROR says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Stable code.
    pub code: Code,
    /// Whose fault it is.
    pub fault: Fault,
    /// Whether repeating is safe: the upstream was certainly not called.
    pub retry: bool,
    /// A sentence for a person; never holds a key, a header value, a body or a query string.
    pub text: String,
    /// Milliseconds to wait before a retry.
    pub after: Option<u64>,
}

impl Notice {
    /// A notice with this code; not safe to repeat unless said otherwise.
    pub fn new(code: Code, fault: Fault, text: impl Into<String>) -> Self {
        Self { code, fault, retry: false, text: text.into(), after: None }
    }

    /// The same, and repeating is safe.
    #[must_use]
    pub fn retry_safe(self) -> Self {
        Self { retry: true, ..self }
    }

    pub(super) fn decode(head: &[u8]) -> Result<Self, Error> {
        let mut map = MapReader::new(head)?;
        Ok(Self {
            code: code(required(map.uint(0)?)?),
            fault: Fault::from_number(required(map.uint(1)?)?).ok_or(Error::Malformed("a number out of its range"))?,
            retry: required(map.bool(2)?)?,
            text: map.text(3, limits::ERROR_TEXT)?.unwrap_or_default(),
            after: map.uint(4)?,
        })
    }

    /// The encoded head; a longer text is cut.
    pub fn encode(&self) -> Bytes {
        let mut map = MapWriter::default();
        map.put(0, self.code.number()).put(1, self.fault.number()).put(2, self.retry);
        map.put_some(3, (!self.text.is_empty()).then(|| cut(&self.text))).put_some(4, self.after);
        map.encode().into()
    }
}

/// The code with this number; one that is larger than any known is just another unknown one (section 8.1).
fn code(number: u64) -> Code {
    Code::from_number(u16::try_from(number).unwrap_or(u16::MAX))
}

/// The text, cut to its limit at a character's boundary.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(limits::ERROR_TEXT)]
}

/// Why an exchange is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelReason {
    /// The caller went away.
    CallerGone,
    /// The request body failed.
    UploadFailed,
    /// The client refused the response.
    ResponseRefused,
}

impl CancelReason {
    /// The number on the wire.
    pub const fn number(self) -> u64 {
        match self {
            Self::CallerGone => 0,
            Self::UploadFailed => 1,
            Self::ResponseRefused => 2,
        }
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, Error> {
        match Reader::new(payload).lone_varint()? {
            0 => Ok(Self::CallerGone),
            1 => Ok(Self::UploadFailed),
            2 => Ok(Self::ResponseRefused),
            _ => Err(Error::Malformed("a number out of its range")),
        }
    }
}

/// PING and PONG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ping {
    /// Comes back as it is.
    pub token: [u8; 8],
    /// Milliseconds since the upstream of this exchange gave its last byte; 0 from clients.
    pub silence: u64,
}

impl Ping {
    pub(super) fn decode(payload: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload);
        let ping = Self { token: reader.array()?, silence: reader.varint()? };
        reader.finish()?;
        Ok(ping)
    }

    /// The encoded payload.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        out.put_slice(&self.token);
        put_varint(&mut out, self.silence);
        out.freeze()
    }
}

/// No new exchanges here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// Why; `None` for no particular reason.
    pub code: Option<Code>,
    /// The last exchange that its sender will serve.
    pub last: u32,
    /// A sentence for a person.
    pub text: String,
    /// Milliseconds to wait before another session.
    pub after: Option<u64>,
}

impl GoAway {
    pub(super) fn decode(head: &[u8]) -> Result<Self, Error> {
        let mut map = MapReader::new(head)?;
        let number = required(map.uint(0)?)?;
        Ok(Self {
            code: (number != 0).then(|| code(number)),
            // A number above all that there can be means all.
            last: u32::try_from(required(map.uint(1)?)?).unwrap_or(u32::MAX).min(limits::EXCHANGE),
            text: map.text(2, limits::ERROR_TEXT)?.unwrap_or_default(),
            after: map.uint(3)?,
        })
    }

    /// What it means for a request that it does not serve.
    pub fn refusal(&self) -> Notice {
        let code = self.code.unwrap_or(Code::ShuttingDown);
        let (fault, text) = match code {
            Code::RateLimited | Code::KeyRevoked => (Fault::Client, &*self.text),
            Code::Overloaded => (Fault::Proxy, &*self.text),
            _ => (Fault::Proxy, "the proxy ended this session before it took the request"),
        };
        Notice { after: self.after, ..Notice::new(code, fault, text) }.retry_safe()
    }

    /// The encoded head; a longer text is cut.
    pub fn encode(&self) -> Bytes {
        let mut map = MapWriter::default();
        map.put(0, self.code.map_or(0, Code::number)).put(1, self.last);
        map.put_some(2, (!self.text.is_empty()).then(|| cut(&self.text))).put_some(3, self.after);
        map.encode().into()
    }
}

/// Comes back for a cut exchange (section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The request's ID.
    pub id: [u8; 16],
    /// The next seq wanted.
    pub next: u64,
    /// Initial download credit.
    pub credit: u64,
    /// Larger than in any RESUME of this request before: one that was under way for long takes nothing from a later one.
    pub attempt: u64,
}

impl Resume {
    pub(super) fn decode(head: &[u8]) -> Result<Self, Error> {
        let mut map = MapReader::new(head)?;
        Ok(Self {
            id: required(map.array(0)?)?,
            next: required(map.uint(1)?)?,
            credit: required(map.ranged(2, limits::CREDIT_MIN..=limits::CREDIT_MAX)?)?,
            attempt: map.uint(3)?.unwrap_or(0),
        })
    }

    /// The encoded head.
    pub fn encode(&self) -> Bytes {
        let mut map = MapWriter::default();
        map.put(0, &self.id[..]).put(1, self.next).put(2, self.credit);
        map.put_some(3, (self.attempt > 0).then_some(self.attempt)).encode().into()
    }
}

/// A cut exchange goes on (section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Bytes of the request body that the server has.
    pub received: u64,
    /// Upload credit that is left.
    pub credit: u64,
}

impl Resumed {
    pub(super) fn decode(head: &[u8]) -> Result<Self, Error> {
        let mut map = MapReader::new(head)?;
        Ok(Self { received: required(map.uint(0)?)?, credit: required(map.ranged(1, 0..=limits::CREDIT_MAX)?)? })
    }

    /// The encoded head.
    pub fn encode(&self) -> Bytes {
        MapWriter::default().put(0, self.received).put(1, self.credit).encode().into()
    }
}
