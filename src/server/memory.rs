//! What bodies may take of the machine's memory, in all.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::proto::{Code, Fault, frame::Notice};

/// How long a caller is asked to wait, milliseconds: queues empty quickly, or not at all.
const AFTER: u64 = 2000;

/// Counts it. What sessions hold is measured from time to time, for counting each byte of each token would cost more than it is worth;
/// what is taken in whole is counted as it comes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    measured: AtomicUsize,
    counted: AtomicUsize,
}

impl Memory {
    /// What sessions were found to hold.
    pub(super) fn measure(&self, bytes: usize) {
        self.measured.store(bytes, Relaxed);
    }

    /// Bytes that sessions hold, and that are taken in whole.
    pub(super) fn parts(&self) -> (usize, usize) {
        (self.measured.load(Relaxed), self.counted.load(Relaxed))
    }

    /// Bytes that are held, in all.
    fn held(&self) -> usize {
        let (sessions, whole) = self.parts();
        sessions + whole
    }

    /// Whether there is room for more.
    ///
    /// # Errors
    /// What the caller is told if there is none.
    pub(super) fn check(&self, limit: usize) -> Result<(), Notice> {
        if self.held() < limit { Ok(()) } else { Err(full()) }
    }
}

fn full() -> Notice {
    let text = "the proxy holds as much as its memory limit allows; ask again in a moment";
    Notice { after: Some(AFTER), ..Notice::new(Code::Overloaded, Fault::Proxy, text) }
}

/// Counts a body that is taken in whole, until it is dropped.
#[derive(Debug)]
pub(super) struct Whole<'a> {
    memory: &'a Memory,
    /// What all may hold.
    limit: usize,
    bytes: usize,
}

impl<'a> Whole<'a> {
    pub(super) const fn new(memory: &'a Memory, limit: usize) -> Self {
        Self { memory, limit, bytes: 0 }
    }

    /// So many bytes more.
    ///
    /// # Errors
    /// If there is no room for them.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Notice> {
        self.memory.check(self.limit)?;
        self.bytes += bytes;
        self.memory.counted.fetch_add(bytes, Relaxed);
        Ok(())
    }
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        self.memory.counted.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        let memory = Memory::default();
        memory.measure(600);
        let mut whole = Whole::new(&memory, 1000);
        assert_eq!(whole.add(300), Ok(()));
        assert_eq!(whole.add(300), Ok(()), "beyond the limit by a piece at most");
        assert_eq!(memory.held(), 1200);
        let refused = whole.add(1).expect_err("it is full");
        assert_eq!((refused.code, refused.after, refused.retry), (Code::Overloaded, Some(2000), false));
        assert!(memory.check(1000).is_err());
        drop(whole);
        assert_eq!((memory.held(), memory.check(1000)), (600, Ok(())));
    }
}
