//! What the simulation draws from its seed.

use core::time::Duration;

use fastrand::Rng;

pub(crate) struct Dice(Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.u64(..end)
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
        self.0.fill(&mut bytes);
        bytes
    }
}
