//! What is counted in: plain memory of one worker, of which a scrape reads what is there. Nobody waits for anybody.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Only rises.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        // Most of what a turn of a session reports is zero.
        if more > 0 {
            self.0.fetch_add(more, Relaxed);
        }
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Rises and falls; never below zero, for who adds takes away.
#[derive(Debug, Default)]
pub(super) struct Level(AtomicU64);

impl Level {
    pub(super) fn rise(&self, by: u64) {
        self.0.fetch_add(by, Relaxed);
    }

    pub(super) fn fall(&self, by: u64) {
        self.0.fetch_sub(by, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Bounds of a histogram's buckets, microseconds.
pub(super) type Bounds = [u64; BOUNDS];
const BOUNDS: usize = 14;

/// Times, in buckets.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static Bounds,
    /// One for each bound, and one for what is beyond the last.
    buckets: [AtomicU64; BOUNDS + 1],
    /// Microseconds.
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static Bounds) -> Self {
        Self { bounds, buckets: array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }

    /// Of so many microseconds.
    pub(super) fn observe(&self, micros: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(micros, Relaxed);
    }

    pub(super) fn read(&self) -> Buckets {
        Buckets {
            bounds: self.bounds,
            counts: array::from_fn(|bucket| self.buckets[bucket].load(Relaxed)),
            micros: self.sum.load(Relaxed),
        }
    }
}

/// What a histogram held when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Buckets {
    pub(super) bounds: &'static Bounds,
    /// Of each bucket alone, the last without bound.
    pub(super) counts: [u64; BOUNDS + 1],
    pub(super) micros: u64,
}

impl Buckets {
    pub(super) const fn empty(bounds: &'static Bounds) -> Self {
        Self { bounds, counts: [0; BOUNDS + 1], micros: 0 }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.micros += other.micros;
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_pass() {
        static BOUNDS: Bounds = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 40, 50];
        let histogram = Histogram::new(&BOUNDS);
        for micros in [0, 1, 2, 50, 51, u64::from(u32::MAX)] {
            histogram.observe(micros);
        }
        let mut read = histogram.read();
        assert_eq!(read.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(read.micros, 104 + u64::from(u32::MAX));
        read.add(&histogram.read());
        assert_eq!(read.count(), 12);
    }
}
