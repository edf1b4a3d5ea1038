//! What the simulation draws: from a seed, or from bytes that a fuzzer chose.

use core::time::Duration;
use std::collections::VecDeque;

use fastrand::Rng;

pub(crate) struct Dice {
    rng: Rng,
    /// Drawn first.
    bytes: VecDeque<u8>,
}

impl Dice {
    /// All follows from `seed`, behind what these bytes say.
    pub(crate) fn new(seed: u64, bytes: &[u8]) -> Self {
        Self { rng: Rng::with_seed(seed), bytes: bytes.iter().copied().collect() }
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let size = (u64::BITS - (end - 1).leading_zeros()).div_ceil(8) as usize;
        if self.bytes.len() < size.max(1) {
            return self.rng.u64(..end);
        }
        self.bytes.drain(..size).fold(0, |number, byte| number << 8 | u64::from(byte)) % end
    }

    /// One time in so many.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Small numbers more often than large ones, up to `most`.
    pub(crate) fn size(&mut self, most: u64) -> u64 {
        let bits = 64 - u64::from(most.leading_zeros());
        let limit = 1 << self.below(bits + 1);
        self.below(limit + 1).min(most)
    }

    pub(crate) fn millis(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.below(most * 1000 + 1))
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill(&mut bytes);
        bytes
    }
}
