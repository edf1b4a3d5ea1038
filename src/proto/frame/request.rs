//! REQUEST and BODY_END (section 5.3).

use bytes::Bytes;

use super::super::{
    cbor::{MapReader, MapWriter, required},
    error::{Code, Error},
    header::Headers,
    limits,
};

/// How the answer is delivered (section 5.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Each piece as it comes.
    #[default]
    Streaming,
    /// All of it in one message, or an error.
    Buffered,
}

/// Which headers pass (`http::policy` has the table).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// The program sees an answer that does not name its provider.
    #[default]
    Neutral,
    /// An unmodified SDK behaves as it does against the provider.
    Sdk,
    /// All but hop-by-hop headers.
    Pass,
}

/// What of a request body follows (REQUEST key 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyLength {
    /// No body, and no BODY_END.
    None,
    /// So many bytes.
    Known(u64),
    /// Unknown until BODY_END.
    Unknown,
}

/// Opens an exchange.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Random, unique per request.
    pub id: [u8; 16],
    /// Method, upper case.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Headers.
    pub headers: Headers,
    /// How the answer is delivered.
    pub mode: Mode,
    /// Whether DATA carries stamps.
    pub timings: bool,
    /// Which headers pass.
    pub policy: Policy,
    /// What of a body follows.
    pub body: BodyLength,
    /// Initial download credit.
    pub credit: u64,
}

/// Shows neither URL nor headers: they hold keys.
impl core::fmt::Debug for Request {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("mode", &self.mode)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl Request {
    pub(super) fn decode(head: &[u8]) -> Result<Self, Error> {
        let mut map = MapReader::new(head)?;
        let this = Self {
            id: required(map.array(0)?)?,
            method: required(map.text(1, limits::HEAD)?)?,
            url: required(map.text(2, limits::HEAD)?)?,
            headers: required(map.headers(3)?)?,
            mode: match map.ranged::<u8>(4, 0..=1)? {
                None | Some(0) => Mode::Streaming,
                Some(_) => Mode::Buffered,
            },
            timings: map.bool(5)?.unwrap_or(false),
            policy: match map.ranged::<u8>(6, 0..=2)? {
                None | Some(0) => Policy::Neutral,
                Some(1) => Policy::Sdk,
                Some(_) => Policy::Pass,
            },
            body: match map.uint_or_null(7)? {
                None => BodyLength::None,
                Some(Some(length)) => BodyLength::Known(length),
                Some(None) => BodyLength::Unknown,
            },
            credit: required(map.ranged(8, limits::CREDIT_MIN..=limits::CREDIT_MAX)?)?,
        };
        if this.url.len() > limits::URL {
            return Err(Error::Misbehaved(Code::TooLarge, "a URL over its limit"));
        }
        Ok(this)
    }

    /// The encoded head.
    ///
    /// # Errors
    /// `too-large` if URL or head are over their limits.
    pub fn encode(&self) -> Result<Bytes, Error> {
        if self.url.len() > limits::URL {
            return Err(Error::Misbehaved(Code::TooLarge, "a URL over its limit"));
        }
        let mut map = MapWriter::default();
        map.put(0, &self.id[..]).put(1, &*self.method).put(2, &*self.url).headers(3, &self.headers);
        map.put_some(4, (self.mode == Mode::Buffered).then_some(1_u64));
        map.put_some(5, self.timings.then_some(true));
        map.put_some(6, (self.policy != Policy::Neutral).then_some(self.policy as u64));
        match self.body {
            BodyLength::None => {}
            BodyLength::Known(length) => _ = map.put(7, length),
            BodyLength::Unknown => _ = map.put(7, ciborium::Value::Null),
        }
        map.put(8, self.credit).encode_bounded()
    }
}

/// The end of a request body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyEnd {
    /// Bytes of the whole body.
    pub total: u64,
    /// Trailers, mostly none.
    pub trailers: Headers,
}

impl BodyEnd {
    pub(super) fn decode(head: &[u8]) -> Result<Self, Error> {
        let mut map = MapReader::new(head)?;
        Ok(Self { total: required(map.uint(0)?)?, trailers: map.headers(1)?.unwrap_or_default() })
    }

    /// The encoded head.
    ///
    /// # Errors
    /// `too-large` if the trailers are.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut map = MapWriter::default();
        map.put(0, self.total).headers_unless_empty(1, &self.trailers).encode_bounded()
    }
}
