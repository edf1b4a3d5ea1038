//! Bounded reading and writing of integers and pieces (section 1).

use bytes::{BufMut, Bytes, BytesMut};

use super::error::Error;

/// Largest value of a varint (section 1.2).
pub const VARINT_MAX: u64 = (1 << 62) - 1;

/// A cursor that only shrinks. Every length is checked against the bytes at hand before it is believed.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// How many bytes are left.
    pub const fn len(&self) -> usize {
        self.left.len()
    }

    /// Whether all has been read.
    pub const fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// All that is left; the reader is empty afterwards.
    pub const fn rest(&mut self) -> &'a [u8] {
        let rest = self.left;
        self.left = &[];
        rest
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.left.split_at_checked(count).ok_or(Error::Malformed("ends too early"))?;
        self.left = tail;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, tail) = self.left.split_first_chunk().ok_or(Error::Malformed("ends too early"))?;
        self.left = tail;
        Ok(*head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A varint in its shortest form (section 1.2); any other form is malformed.
    pub fn varint(&mut self) -> Result<u64, Error> {
        let first = self.u8()?;
        let more = (1_usize << (first >> 6)) - 1;
        let mut value = u64::from(first & 0x3f);
        for &byte in self.take(more)? {
            value = value << 8 | u64::from(byte);
        }
        if varint_len(value) != more + 1 {
            return Err(Error::Malformed("a varint that is not in its shortest form"));
        }
        Ok(value)
    }

    /// A varint that is all there is left.
    pub fn lone_varint(mut self) -> Result<u64, Error> {
        let value = self.varint()?;
        self.finish()?;
        Ok(value)
    }

    /// Checks that everything was read.
    pub const fn finish(self) -> Result<(), Error> {
        if self.is_empty() { Ok(()) } else { Err(Error::Malformed("bytes after the end")) }
    }
}

/// How many bytes the varint of `value` has.
pub const fn varint_len(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

/// Appends `value` as a varint.
///
/// # Panics
/// If `value` is over [`VARINT_MAX`]: no count of this protocol gets there.
#[expect(clippy::cast_possible_truncation, reason = "each arm holds what fits")]
pub fn put_varint(out: &mut BytesMut, value: u64) {
    match varint_len(value) {
        1 => out.put_u8(value as u8),
        2 => out.put_u16(0x4000 | value as u16),
        4 => out.put_u32(0x8000_0000 | value as u32),
        _ => {
            assert!(value <= VARINT_MAX, "a count beyond the varint");
            out.put_u64(0xc000_0000_0000_0000 | value);
        }
    }
}

/// The varint of `value` alone, as some payloads are.
pub fn varint(value: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(varint_len(value));
    put_varint(&mut out, value);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_boundary() {
        for value in [0, 1, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, VARINT_MAX] {
            let mut out = BytesMut::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value));
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(value));
            assert!(reader.is_empty());
            for cut in 0..out.len() {
                assert!(Reader::new(&out[..cut]).varint().is_err(), "{value} cut at {cut}");
            }
        }
    }

    #[test]
    fn longer_forms_are_malformed() {
        for bytes in [&[0x40, 63][..], &[0x80, 0, 0, 1], &[0xc0, 0, 0, 0, 0, 0, 0, 1], &[0x80, 0, 0x3f, 0xff]] {
            assert!(matches!(Reader::new(bytes).varint(), Err(Error::Malformed(_))));
        }
    }

    #[test]
    fn a_reader_never_gives_what_it_does_not_have() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert!(reader.take(4).is_err());
        assert_eq!(reader.take(2), Ok(&[1, 2][..]));
        assert!(reader.array::<2>().is_err());
        assert!(reader.finish().is_err());
        assert_eq!(reader.rest(), &[3]);
        assert!(reader.finish().is_ok());
    }
}
