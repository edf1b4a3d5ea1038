//! The fuzzer's bytes as a script: an operation is a byte, a piece of bytes is a big-endian u16 and so many bytes, cut short by the end
//! of the input. The format is plain, so that `seeds.py` can write it.

use bytes::Bytes;
use xllm_proxy::proto::{
    Profile,
    frame::{BodyLength, Header, Mode, Policy, Request, Response},
    limits,
};

/// The fuzzer's bytes, read as a script.
#[derive(Clone, Debug)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; zero at the end.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub fn piece(&mut self) -> &'a [u8] {
        let size = usize::from(self.short()).min(self.0.len());
        let (piece, rest) = self.0.split_at(size);
        self.0 = rest;
        piece
    }

    /// A piece, zero-padded or cut to this size.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let piece = self.piece();
        let mut array = [0; N];
        let size = piece.len().min(N);
        array[..size].copy_from_slice(&piece[..size]);
        array
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }

    pub fn profile(&mut self) -> Profile {
        if self.byte() & 1 == 0 { Profile::Off } else { Profile::Pad }
    }

    /// So many bytes of a body that is easy to check: its first says the rest.
    pub fn body(&mut self) -> Bytes {
        Bytes::from(vec![self.byte(); usize::from(self.short())])
    }

    pub fn request(&mut self) -> Request {
        let shape = self.byte();
        let length = u64::from(self.short());
        Request {
            id: [7; 16],
            method: if shape & 3 == 0 { "GET" } else { "POST" }.into(),
            url: "https://api.example.com/v1/messages".into(),
            headers: vec![Header { name: "accept".into(), value: Bytes::from_static(b"*/*") }],
            mode: if shape & 4 == 0 { Mode::Streaming } else { Mode::Buffered },
            timings: shape & 8 != 0,
            policy: Policy::Neutral,
            body: match shape & 3 {
                0 => BodyLength::None,
                1 => BodyLength::Known(length),
                _ => BodyLength::Unknown,
            },
            credit: if shape & 16 == 0 { 1 << 20 } else { limits::CREDIT_MIN },
        }
    }

    pub fn response(&mut self) -> Response {
        let length = self.short();
        Response {
            status: 200 + u16::from(self.byte()),
            headers: vec![Header { name: "content-type".into(), value: Bytes::from_static(b"text/event-stream") }],
            length: (length & 1 == 1).then_some(u64::from(length >> 1)),
        }
    }
}
