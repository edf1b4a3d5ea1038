//! The event that all loads are made of: 200 bytes as the OpenAI API streams them, with the moment of sending in its ID.

use std::io::Write as _;

/// Bytes of an event, as it is in the body.
pub(crate) const LENGTH: usize = 200;
/// What chunked encoding puts before and behind it.
const BEFORE: &[u8] = b"c8\r\n";
const BEHIND: &[u8] = b"\r\n";
/// Bytes of an event on the wire of HTTP/1.1.
pub(crate) const FRAMED: usize = BEFORE.len() + LENGTH + BEHIND.len();

const HEAD: &[u8] = b"data: {\"id\":\"chatcmpl-";
const TAIL: &[u8] = b"\",\"object\":\"chat.completion.chunk\",\"created\":1795435200,\
    \"choices\":[{\"index\":0,\"delta\":{\"content\":\" relay\"},\"finish_reason\":null}]}";
/// Hexadecimal digits of [`Stamp`]'s fields, in their order.
const DIGITS: [usize; 4] = [16, 8, 4, 8];

/// What an event says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When it was written, on the bench's clock, ns.
    pub(crate) sent: u64,
    /// How much later than it was due, ns, as far as 32 bits go.
    pub(crate) late: u32,
    pub(crate) stream: u16,
    /// Its number in its stream, from 0.
    pub(crate) number: u32,
}

impl Stamp {
    /// When it was to be written, on the bench's clock, ns.
    pub(crate) const fn due(self) -> u64 {
        self.sent.saturating_sub(self.late as u64)
    }
}

/// An event, framed as a chunk, ready to be stamped and written.
#[derive(Debug)]
pub(crate) struct Event([u8; FRAMED]);

impl Event {
    pub(crate) fn new() -> Self {
        let mut bytes = [b' '; FRAMED];
        let mut rest = &mut bytes[..];
        let mut put = |part: &[u8]| rest.write_all(part).expect("the event has room for its parts");
        put(BEFORE);
        put(HEAD);
        put(&[b'0'; DIGITS[0] + DIGITS[1] + DIGITS[2] + DIGITS[3]]);
        put(TAIL);
        let end = BEFORE.len() + LENGTH;
        bytes[end - 2..end].copy_from_slice(b"\n\n");
        bytes[end..].copy_from_slice(BEHIND);
        Self(bytes)
    }

    /// The bytes to write, with this stamp.
    pub(crate) fn stamped(&mut self, stamp: Stamp) -> &[u8; FRAMED] {
        let mut at = BEFORE.len() + HEAD.len();
        let fields = [stamp.sent, stamp.late.into(), stamp.stream.into(), stamp.number.into()];
        for (value, digits) in fields.into_iter().zip(DIGITS) {
            write_hex(value, &mut self.0[at..at + digits]);
            at += digits;
        }
        &self.0
    }
}

/// Reads the stamp of one event of a body; nothing if these bytes are no such event.
pub(crate) fn read(event: &[u8]) -> Option<Stamp> {
    if event.len() != LENGTH || !event.ends_with(b"\n\n") {
        return None;
    }
    let digits = event.strip_prefix(HEAD)?;
    let mut at = 0;
    let mut next = |digits_of: usize| {
        at += digits_of;
        read_hex(digits.get(at - digits_of..at)?)
    };
    let [sent, late, stream, number] = [next(DIGITS[0])?, next(DIGITS[1])?, next(DIGITS[2])?, next(DIGITS[3])?];
    Some(Stamp {
        sent,
        late: u32::try_from(late).ok()?,
        stream: u16::try_from(stream).ok()?,
        number: u32::try_from(number).ok()?,
    })
}

fn write_hex(mut value: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | u64::from(char::from(*digit).to_digit(16)?)))
}
