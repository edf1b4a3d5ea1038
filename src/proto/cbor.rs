//! Heads: CBOR maps with ascending unsigned keys, read with every bound checked (section 1.3).

use bytes::Bytes;
use ciborium::Value;

use super::{
    error::{Code, Error},
    frame::{Header, Headers},
    limits,
    wire::VARINT_MAX,
};

/// Reads heads. Known keys are taken in ascending order; others are skipped.
#[derive(Debug)]
pub(super) struct MapReader {
    entries: Vec<(u64, Value)>,
}

impl MapReader {
    /// Reads one map and gives back what follows it.
    pub(super) fn prefix(mut bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        if bytes.len() > limits::HEAD {
            return Err(Error::Misbehaved(Code::TooLarge, "a head over its limit"));
        }
        let whole = bytes;
        let value: Value = ciborium::de::from_reader_with_recursion_limit(&mut bytes, limits::CBOR_DEPTH)
            .map_err(|_| Error::Malformed("a head that is not well-formed CBOR or is nested too deep"))?;
        if encode(&value) != whole[..whole.len() - bytes.len()] {
            return Err(Error::Malformed("a head that is not in deterministic encoding"));
        }
        let Value::Map(pairs) = value else { return Err(Error::Malformed("a head that is not a map")) };
        Ok((Self::ascending(pairs)?, bytes))
    }

    fn ascending(pairs: Vec<(Value, Value)>) -> Result<Self, Error> {
        let mut entries = Vec::with_capacity(pairs.len());
        let mut next = Some(0);
        for (key, value) in pairs {
            let key = uint(key).ok_or(Error::Malformed("a key that is not an unsigned integer"))?;
            if next.is_none_or(|next| key < next) {
                return Err(Error::Malformed("keys that repeat or do not ascend"));
            }
            next = key.checked_add(1);
            entries.push((key, value));
        }
        Ok(Self { entries })
    }

    /// Reads a head that fills `bytes`.
    pub(super) fn new(bytes: &[u8]) -> Result<Self, Error> {
        let (map, rest) = Self::prefix(bytes)?;
        if rest.is_empty() { Ok(map) } else { Err(Error::Malformed("bytes after a head")) }
    }

    fn take(&mut self, key: u64) -> Option<Value> {
        let at = self.entries.iter().position(|(found, _)| *found == key)?;
        Some(self.entries.swap_remove(at).1)
    }

    pub(super) fn uint(&mut self, key: u64) -> Result<Option<u64>, Error> {
        self.take(key).map(|value| uint(value).ok_or(Error::Malformed("a value that is not an unsigned integer"))).transpose()
    }

    /// An unsigned integer within `range`.
    pub(super) fn ranged(&mut self, key: u64, range: core::ops::RangeInclusive<u64>) -> Result<Option<u64>, Error> {
        let value = self.uint(key)?;
        if value.is_some_and(|value| !range.contains(&value)) {
            return Err(Error::Malformed("a number out of its range"));
        }
        Ok(value)
    }

    /// An unsigned integer or null: `Some(None)` is null.
    pub(super) fn uint_or_null(&mut self, key: u64) -> Result<Option<Option<u64>>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => {
                uint(value).map(|value| Some(Some(value))).ok_or(Error::Malformed("a value that is neither number nor null"))
            }
        }
    }

    pub(super) fn bool(&mut self, key: u64) -> Result<Option<bool>, Error> {
        self.take(key).map(|value| value.as_bool().ok_or(Error::Malformed("a value that is not a boolean"))).transpose()
    }

    pub(super) fn text(&mut self, key: u64, most: usize) -> Result<Option<String>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Text(text)) if text.len() <= most => Ok(Some(text)),
            Some(Value::Text(_)) => Err(Error::Misbehaved(Code::TooLarge, "a text over its limit")),
            Some(_) => Err(Error::Malformed("a value that is not text")),
        }
    }

    pub(super) fn array<const N: usize>(&mut self, key: u64) -> Result<Option<[u8; N]>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bytes(bytes)) => {
                bytes.try_into().map(Some).map_err(|_| Error::Malformed("a byte string of the wrong length"))
            }
            Some(_) => Err(Error::Malformed("a value that is not a byte string")),
        }
    }

    /// A map inside the head.
    pub(super) fn map(&mut self, key: u64) -> Result<Option<Self>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Map(pairs)) => Self::ascending(pairs).map(Some),
            Some(_) => Err(Error::Malformed("a value that is not a map")),
        }
    }

    pub(super) fn headers(&mut self, key: u64) -> Result<Option<Headers>, Error> {
        let list = match self.take(key) {
            None => return Ok(None),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(Error::Malformed("a header list that is not an array")),
        };
        if list.len() % 2 != 0 {
            return Err(Error::Malformed("a header list of odd length"));
        }
        if list.len() / 2 > limits::HEADER_FIELDS {
            return Err(Error::Misbehaved(Code::TooLarge, "more header fields than allowed"));
        }
        let mut headers = Vec::with_capacity(list.len() / 2);
        let mut list = list.into_iter();
        while let (Some(name), Some(value)) = (list.next(), list.next()) {
            let (Value::Text(name), Value::Bytes(value)) = (name, value) else {
                return Err(Error::Malformed("a header that is not text and bytes"));
            };
            headers.push(Header { name, value: Bytes::from(value) });
        }
        Ok(Some(headers))
    }
}

fn uint(value: Value) -> Option<u64> {
    u64::try_from(value.into_integer().ok()?).ok().filter(|&value| value <= VARINT_MAX)
}

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    ciborium::into_writer(value, &mut out).expect("a vector takes every byte, and every value can be encoded");
    out
}

/// A required key.
pub(super) fn required<T>(value: Option<T>) -> Result<T, Error> {
    value.ok_or(Error::Malformed("a head that lacks a required key"))
}

/// Writes heads in deterministic encoding; keys must be given in ascending order.
#[derive(Debug, Default)]
pub(super) struct MapWriter {
    pairs: Vec<(Value, Value)>,
}

impl MapWriter {
    pub(super) fn put(&mut self, key: u64, value: impl Into<Value>) -> &mut Self {
        self.pairs.push((key.into(), value.into()));
        self
    }

    pub(super) fn put_some(&mut self, key: u64, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(value) = value {
            self.put(key, value);
        }
        self
    }

    pub(super) fn headers(&mut self, key: u64, headers: &[Header]) -> &mut Self {
        let list =
            headers.iter().flat_map(|header| [Value::from(&*header.name), Value::from(&*header.value)]).collect::<Vec<_>>();
        self.put(key, list)
    }

    pub(super) fn headers_unless_empty(&mut self, key: u64, headers: &[Header]) -> &mut Self {
        if headers.is_empty() { self } else { self.headers(key, headers) }
    }

    pub(super) fn map(&mut self, key: u64, pairs: &[(u64, u64)]) -> &mut Self {
        self.put(key, Value::Map(pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect()))
    }

    pub(super) fn encode(&mut self) -> Vec<u8> {
        encode(&Value::Map(core::mem::take(&mut self.pairs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> bool {
        MapReader::new(bytes).is_err()
    }

    #[test]
    fn heads_that_are_not_one_map_with_ascending_unsigned_keys_are_malformed() {
        assert!(MapReader::new(&[0xa0]).is_ok());
        assert!(refused(&[]), "nothing");
        assert!(refused(&[0x80]), "an array");
        assert!(refused(&[0xa0, 0x00]), "bytes after the map");
        assert!(refused(&[0xa1, 0x20, 0x00]), "a negative key");
        assert!(refused(&[0xa1, 0x61, 0x61, 0x00]), "a text key");
        assert!(refused(&[0xa2, 0x01, 0x00, 0x01, 0x00]), "a repeated key");
        assert!(refused(&[0xa2, 0x02, 0x00, 0x01, 0x00]), "a descending key");
    }

    #[test]
    fn a_claimed_length_is_never_believed() {
        // A byte string, a text, an array and a map of 2^62 elements each, with nothing behind them.
        for major in [0x5b_u8, 0x7b, 0x9b, 0xbb] {
            let mut bytes = vec![0xa1, 0x01, major];
            bytes.extend((1_u64 << 62).to_be_bytes());
            assert!(refused(&bytes));
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_unknown_keys_are_skipped() {
        let nested = |depth: usize| {
            let mut bytes = vec![0xa1, 0x18, 0x63];
            bytes.extend(core::iter::repeat_n(0x81, depth));
            bytes.push(0x00);
            bytes
        };
        assert!(!refused(&nested(limits::CBOR_DEPTH - 1)));
        assert!(refused(&nested(limits::CBOR_DEPTH)));
        assert!(refused(&nested(10_000)));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let headers = vec![
            Header { name: "a".into(), value: Bytes::from_static(b"1") },
            Header { name: "a".into(), value: Bytes::from_static(&[0xff]) },
        ];
        let mut writer = MapWriter::default();
        writer.put(0, 7_u64).put_some(1, None::<u64>).headers(2, &headers).map(3, &[(0, 5)]);
        let bytes = writer.encode();
        let mut map = MapReader::new(&bytes).expect("our own head");
        assert_eq!(map.uint(0), Ok(Some(7)));
        assert_eq!(map.uint(1), Ok(None));
        assert_eq!(map.headers(2), Ok(Some(headers)));
        assert_eq!(map.map(3).expect("a map").expect("is there").uint(0), Ok(Some(5)));
    }
}
