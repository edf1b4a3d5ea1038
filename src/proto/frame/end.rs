//! END: the proof that nothing is missing (section 5.3).

use bytes::Bytes;

use super::super::{
    cbor::{MapReader, MapWriter, required},
    error::Error,
    header::Headers,
};

/// The end of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Bytes of all DATA.
    pub total: u64,
    /// Trailers, mostly none.
    pub trailers: Headers,
    /// Where the time went.
    pub receipt: Receipt,
}

/// Where the time went, in microseconds since the server had read the REQUEST. What has no meaning for an exchange is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The request went to the upstream.
    pub sent: Option<u64>,
    /// The upstream's head came.
    pub head: Option<u64>,
    /// Its first piece came.
    pub first: Option<u64>,
    /// Its last piece came.
    pub last: Option<u64>,
    /// END was sealed.
    pub end: Option<u64>,
    /// The longest time that a piece waited inside the proxy.
    pub held: Option<u64>,
}

impl Receipt {
    fn fields(self) -> [Option<u64>; 6] {
        [self.sent, self.head, self.first, self.last, self.end, self.held]
    }
}

impl End {
    pub(super) fn decode(head: &[u8]) -> Result<Self, Error> {
        let mut map = MapReader::new(head)?;
        let total = required(map.uint(0)?)?;
        let trailers = map.headers(1)?.unwrap_or_default();
        let receipt = match map.map(2)? {
            None => Receipt::default(),
            Some(mut map) => Receipt {
                sent: map.uint(0)?,
                head: map.uint(1)?,
                first: map.uint(2)?,
                last: map.uint(3)?,
                end: map.uint(4)?,
                held: map.uint(5)?,
            },
        };
        Ok(Self { total, trailers, receipt })
    }

    /// The encoded head.
    ///
    /// # Errors
    /// `too-large` if the trailers are.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut map = MapWriter::default();
        map.put(0, self.total).headers_unless_empty(1, &self.trailers);
        let pairs: Vec<_> = (0..).zip(self.receipt.fields()).filter_map(|(key, value)| Some((key, value?))).collect();
        if !pairs.is_empty() {
            map.map(2, &pairs);
        }
        map.encode_bounded()
    }
}
