//! What the simulation draws. All of it comes from the generator of this thread, which each run seeds anew, and so do the pauses of the
//! pool: one seed is one run.

use std::time::Duration;

pub(crate) fn below(end: u64) -> u64 {
    fastrand::u64(..end)
}

/// One time in so many.
pub(crate) fn one_in(times: u64) -> bool {
    below(times) == 0
}

/// Small numbers more often than large ones, up to `most`.
pub(crate) fn size(most: u64) -> u64 {
    let bits = 64 - u64::from(most.leading_zeros());
    let limit = 1 << below(bits + 1);
    below(limit + 1).min(most)
}

pub(crate) fn millis(most: u64) -> Duration {
    Duration::from_micros(below(most * 1000 + 1))
}

pub(crate) fn secs(from: u64, most: u64) -> Duration {
    Duration::from_secs(from) + millis((most - from) * 1000)
}

pub(crate) fn one_of<T: Copy>(all: &[T]) -> T {
    all[fastrand::usize(..all.len())]
}

pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fastrand::fill(&mut bytes);
    bytes
}
