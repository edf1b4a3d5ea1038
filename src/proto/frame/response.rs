//! RESPONSE, and the stamps of DATA (sections 5.3 and 5.6).

use bytes::{Buf, Bytes};

use super::super::{
    cbor::{MapReader, MapWriter, required},
    error::Error,
    header::Headers,
    wire::Reader,
};

/// The head of a response.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status, 200 to 999.
    pub status: u16,
    /// Headers.
    pub headers: Headers,
    /// Length of the body, where the upstream declared it.
    pub length: Option<u64>,
}

/// Shows no header values: they may hold cookies.
impl core::fmt::Debug for Response {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Response").field("status", &self.status).field("length", &self.length).finish_non_exhaustive()
    }
}

/// Whether a response has no body, whatever its head says of a length (RFC 9110 sections 9.3.2, 15.3.5 and 15.4.5).
pub const fn is_bodiless(to_head: bool, status: u16) -> bool {
    to_head || matches!(status, 204 | 304)
}

impl Response {
    pub(super) fn decode(head: &[u8]) -> Result<Self, Error> {
        let mut map = MapReader::new(head)?;
        Ok(Self { status: required(map.ranged(1, 200..=999)?)?, headers: required(map.headers(2)?)?, length: map.uint(3)? })
    }

    /// The encoded head.
    ///
    /// # Errors
    /// `too-large` if it is over its limit.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut map = MapWriter::default();
        map.put(1, self.status).headers(2, &self.headers).put_some(3, self.length).encode_bounded()
    }
}

/// When a piece came to the proxy, and how long it stayed (section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamps {
    /// Microseconds from the REQUEST's arrival to this piece's.
    pub arrived: u64,
    /// Microseconds from its arrival until it was sealed.
    pub held: u64,
}

impl Stamps {
    /// Takes the stamps off the front of a DATA payload.
    pub fn split(payload: &mut Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new(payload);
        let stamps = Self { arrived: reader.varint()?, held: reader.varint()? };
        let used = payload.len() - reader.len();
        if reader.is_empty() {
            return Err(Error::Malformed("a data frame without a byte"));
        }
        payload.advance(used);
        Ok(stamps)
    }
}
