//! What is sent, packed with gzip.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// `bytes` packed, in one piece.
pub(crate) fn pack(bytes: &[u8]) -> Bytes {
    let mut packer = Packer::new();
    [packer.piece(bytes), packer.end()].concat().into()
}

/// Packs a stream so that each piece can be unpacked when it arrives.
#[derive(Debug)]
pub(crate) struct Packer(GzEncoder<Vec<u8>>);

impl Packer {
    pub(crate) fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    /// What is to be sent for `bytes`.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> Bytes {
        // Writing to memory cannot fail.
        let _ = self.0.write_all(bytes);
        let _ = self.0.flush();
        self.taken()
    }

    /// What is to be sent behind the last piece.
    pub(crate) fn end(&mut self) -> Bytes {
        let _ = self.0.try_finish();
        self.taken()
    }

    fn taken(&mut self) -> Bytes {
        std::mem::take(self.0.get_mut()).into()
    }
}
