//! Heads: CBOR maps with ascending unsigned keys, read with every bound checked (section 1.3).
//!
//! `ciborium` writes them. It does not read them: what it gives back no longer tells one encoding from another, or `undefined`
//! from `null`, and a head has exactly one encoding here.

use core::ops::RangeInclusive;

use bytes::Bytes;
use ciborium::Value;

use super::{
    error::{Code, Error},
    header::{Header, Headers},
    limits,
    wire::{Reader, VARINT_MAX},
};

/// Major types (RFC 8949 section 3.1).
mod major {
    pub(super) const UINT: u8 = 0;
    pub(super) const NEGATIVE: u8 = 1;
    pub(super) const BYTES: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const ARRAY: u8 = 4;
    pub(super) const MAP: u8 = 5;
    pub(super) const TAG: u8 = 6;
}

/// Simple values.
const FALSE: &[u8] = &[0xf4];
const TRUE: &[u8] = &[0xf5];
const NULL: &[u8] = &[0xf6];

const UNREADABLE: Error = Error::Malformed("a head that is not well-formed CBOR in deterministic encoding");

/// The start of an item: major type, additional information, argument; the latter in its shortest form.
fn initial(reader: &mut Reader<'_>) -> Result<(u8, u8, u64), Error> {
    let first = reader.u8()?;
    let (major, info) = (first >> 5, first & 0x1f);
    let (argument, least) = match info {
        0..24 => (info.into(), 0),
        24 => (reader.u8()?.into(), 24),
        25 => (u16::from_be_bytes(reader.array()?).into(), 1 << 8),
        26 => (u32::from_be_bytes(reader.array()?).into(), 1 << 16),
        27 => (u64::from_be_bytes(reader.array()?), 1 << 32),
        _ => return Err(UNREADABLE),
    };
    if major <= major::TAG && argument < least { Err(UNREADABLE) } else { Ok((major, info, argument)) }
}

/// Checks the next item, inside `depth` others, and gives its encoding. No length is believed: what it claims must be there.
fn item<'a>(reader: &mut Reader<'a>, depth: usize) -> Result<&'a [u8], Error> {
    let mut whole = *reader;
    let (major, info, argument) = initial(reader)?;
    if (major::ARRAY..=major::TAG).contains(&major) && depth == limits::CBOR_DEPTH {
        return Err(Error::Malformed("a head that is nested too deep"));
    }
    match major {
        major::UINT | major::NEGATIVE => {}
        major::BYTES | major::TEXT => {
            let bytes = reader.take(usize::try_from(argument).map_err(|_| UNREADABLE)?)?;
            if major == major::TEXT && core::str::from_utf8(bytes).is_err() {
                return Err(Error::Malformed("text that is not UTF-8"));
            }
        }
        major::ARRAY => {
            for _ in 0..argument {
                item(reader, depth + 1)?;
            }
        }
        major::MAP => {
            let mut last: Option<&[u8]> = None;
            for _ in 0..argument {
                let key = item(reader, depth + 1)?;
                if last.is_some_and(|last| key <= last) {
                    return Err(Error::Malformed("keys that repeat or do not ascend"));
                }
                last = Some(key);
                item(reader, depth + 1)?;
            }
        }
        major::TAG => _ = item(reader, depth + 1)?,
        _ if info == 24 && argument < 32 => return Err(UNREADABLE),
        _ => {}
    }
    let encoding = whole.take(whole.len() - reader.len())?;
    // A float of four or eight bytes.
    if major > major::TAG && info > 25 && !is_shortest(info, argument, encoding) {
        return Err(UNREADABLE);
    }
    Ok(encoding)
}

/// Whether a float of four (`info` 26) or eight bytes has no shorter form of the same value. Of a NaN, its payload counts, which a
/// conversion may change (RFC 8949 section 4.1).
fn is_shortest(info: u8, bits: u64, encoding: &[u8]) -> bool {
    match (info, u32::try_from(bits)) {
        (26, Ok(bits)) if f32::from_bits(bits).is_nan() => bits & 0x1fff != 0,
        (27, _) if f64::from_bits(bits).is_nan() => bits & 0x1fff_ffff != 0,
        _ => ciborium::from_reader(encoding).is_ok_and(|value: Value| encode(&value) == encoding),
    }
}

/// Reads heads. Known keys are taken; others are skipped.
#[derive(Debug)]
pub(super) struct MapReader<'a> {
    /// Keys, and the encodings of their values, which are well-formed and deterministic.
    entries: Vec<(u64, &'a [u8])>,
}

impl<'a> MapReader<'a> {
    /// Reads one map and gives back what follows it.
    pub(super) fn prefix(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        if bytes.len() > limits::HEAD {
            return Err(Error::Misbehaved(Code::TooLarge, "a head over its limit"));
        }
        let mut reader = Reader::new(bytes);
        let map = item(&mut reader, 0)?;
        Ok((Self::defined(map)?, reader.rest()))
    }

    /// A map of this protocol: its keys are unsigned integers. That they ascend was checked.
    fn defined(map: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(map);
        let (major::MAP, _, count) = initial(&mut reader)? else { return Err(Error::Malformed("a value that is not a map")) };
        let mut entries = Vec::new();
        for _ in 0..count {
            let (major::UINT, _, key) = initial(&mut reader)? else {
                return Err(Error::Malformed("a key that is not an unsigned integer"));
            };
            entries.push((key, item(&mut reader, 0)?));
        }
        Ok(Self { entries })
    }

    /// Reads a head that fills `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let (map, rest) = Self::prefix(bytes)?;
        if rest.is_empty() { Ok(map) } else { Err(Error::Malformed("bytes after a head")) }
    }

    fn take(&mut self, key: u64) -> Option<&'a [u8]> {
        let at = self.entries.iter().position(|(found, _)| *found == key)?;
        Some(self.entries.swap_remove(at).1)
    }

    pub(super) fn uint(&mut self, key: u64) -> Result<Option<u64>, Error> {
        self.take(key).map(|value| uint(value).ok_or(Error::Malformed("a value that is not an unsigned integer"))).transpose()
    }

    /// An unsigned integer within `range`.
    pub(super) fn ranged<T: TryFrom<u64>>(&mut self, key: u64, range: RangeInclusive<u64>) -> Result<Option<T>, Error> {
        let out_of_range = Error::Malformed("a number out of its range");
        let checked =
            |value| if range.contains(&value) { T::try_from(value).map_err(|_| out_of_range) } else { Err(out_of_range) };
        self.uint(key)?.map(checked).transpose()
    }

    /// An unsigned integer or null: `Some(None)` is null.
    #[expect(clippy::option_option, reason = "absent, null and a number are three things")]
    pub(super) fn uint_or_null(&mut self, key: u64) -> Result<Option<Option<u64>>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(NULL) => Ok(Some(None)),
            Some(value) => {
                uint(value).map(|value| Some(Some(value))).ok_or(Error::Malformed("a value that is neither number nor null"))
            }
        }
    }

    pub(super) fn bool(&mut self, key: u64) -> Result<Option<bool>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(FALSE) => Ok(Some(false)),
            Some(TRUE) => Ok(Some(true)),
            Some(_) => Err(Error::Malformed("a value that is not a boolean")),
        }
    }

    /// Text of at most `most` bytes.
    pub(super) fn text(&mut self, key: u64, most: usize) -> Result<Option<String>, Error> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let text = text(value).ok_or(Error::Malformed("a value that is not text"))?;
        if text.len() > most { Err(Error::Malformed("a text over its limit")) } else { Ok(Some(text.into())) }
    }

    pub(super) fn array<const N: usize>(&mut self, key: u64) -> Result<Option<[u8; N]>, Error> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let bytes = string(value, major::BYTES).ok_or(Error::Malformed("a value that is not a byte string"))?;
        bytes.try_into().map(Some).map_err(|_| Error::Malformed("a byte string of the wrong length"))
    }

    /// A map inside the head.
    pub(super) fn map(&mut self, key: u64) -> Result<Option<Self>, Error> {
        self.take(key).map(Self::defined).transpose()
    }

    pub(super) fn headers(&mut self, key: u64) -> Result<Option<Headers>, Error> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let mut reader = Reader::new(value);
        let (major::ARRAY, _, count) = initial(&mut reader)? else {
            return Err(Error::Malformed("a header list that is not an array"));
        };
        if count % 2 != 0 {
            return Err(Error::Malformed("a header list of odd length"));
        }
        if count / 2 > limits::HEADER_FIELDS as u64 {
            return Err(Error::Misbehaved(Code::TooLarge, "more header fields than allowed"));
        }
        let mut headers = Vec::new();
        for _ in 0..count / 2 {
            let (name, value) = (item(&mut reader, 0)?, item(&mut reader, 0)?);
            let (Some(name), Some(value)) = (text(name), string(value, major::BYTES)) else {
                return Err(Error::Malformed("a header that is not text and bytes"));
            };
            headers.push(Header { name: name.into(), value: Bytes::copy_from_slice(value) });
        }
        Ok(Some(headers))
    }
}

fn uint(value: &[u8]) -> Option<u64> {
    match initial(&mut Reader::new(value)) {
        Ok((major::UINT, _, value)) if value <= VARINT_MAX => Some(value),
        _ => None,
    }
}

/// The content of a string of this major type.
fn string(value: &[u8], major: u8) -> Option<&[u8]> {
    let mut reader = Reader::new(value);
    let (found, ..) = initial(&mut reader).ok()?;
    (found == major).then(|| reader.rest())
}

fn text(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(string(value, major::TEXT)?).ok()
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
    /// A header list had more fields than it may.
    overfull: bool,
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
        self.overfull |= headers.len() > limits::HEADER_FIELDS;
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

    /// The encoding, if it is within a head's limit (section 5.3).
    pub(super) fn encode_bounded(&mut self) -> Result<Bytes, Error> {
        let head = self.encode();
        if head.len() > limits::HEAD || self.overfull {
            return Err(Error::Misbehaved(Code::TooLarge, "a head or header list over its limit"));
        }
        Ok(Bytes::from(head))
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
    fn a_number_that_is_cut_is_malformed() {
        for number in [&[0x18, 0x20][..], &[0x19, 1, 0], &[0x1a, 0, 1, 0, 0], &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0]] {
            let whole = [&[0xa1, 0x01], number].concat();
            assert!(MapReader::new(&whole).is_ok());
            for cut in 2..whole.len() {
                assert!(matches!(MapReader::new(&whole[..cut]), Err(Error::Malformed(_))), "{whole:x?} cut at {cut}");
            }
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
