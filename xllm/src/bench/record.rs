//! What was observed of one call: raw bytes and when they came. Nothing is read into them here.

use std::time::Duration;

use bytes::Bytes;
use http::response;
use xllm_proxy::client::{Receipt, Stamps};

use super::result::Route;
use crate::transport;

/// One call. All times are since the step's beginning.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) pair: u64,
    pub(crate) route: Route,
    /// Whether it was the first of its pair.
    pub(crate) first: bool,
    /// When it should have been sent.
    pub(crate) scheduled: Duration,
    /// When there was a place for it among those under way.
    pub(crate) ready: Duration,
    /// When it was.
    pub(crate) sent: Duration,
    pub(crate) head: Option<Head>,
    /// When each piece of the body came. The pieces lie one behind the other in `body`.
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
    /// When it ended, in whichever way.
    pub(crate) ended: Duration,
    /// Where the time went inside the proxy.
    pub(crate) receipt: Option<Receipt>,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) at: Duration,
    /// Of an error, all of it: the error is told by it.
    pub(crate) parts: Box<response::Parts>,
}

/// One piece of a body, as one read gave it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk {
    pub(crate) at: Duration,
    /// Bytes.
    pub(crate) length: usize,
    pub(crate) stamps: Option<Stamps>,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With the end of the body.
    Whole,
    /// Something broke.
    Broken(transport::Error),
    /// Nothing came for too long.
    Silent,
    /// It took too long in all.
    Late,
    /// It was never sent: there was no place for it for too long.
    Unsent,
    /// The answer is larger than any real one.
    TooLarge,
    /// We had enough.
    Cancelled,
}

impl Record {
    /// The pieces of the body with their bytes.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (Chunk, Bytes)> {
        let mut rest = Bytes::copy_from_slice(&self.body);
        self.chunks.iter().map(move |chunk| (*chunk, rest.split_to(chunk.length.min(rest.len()))))
    }

    /// Bytes that it takes up.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.body.capacity() + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// How late it was sent, its wait for a place left out: that is others' doing.
    pub(crate) fn lag(&self) -> Duration {
        self.sent.saturating_sub(self.scheduled.max(self.ready))
    }

    /// From the step's beginning to here, counted from the scheduled send.
    pub(crate) fn since_scheduled(&self, at: Duration) -> Duration {
        at.saturating_sub(self.scheduled)
    }

    /// The same from the send.
    pub(crate) fn since_sent(&self, at: Duration) -> Duration {
        at.saturating_sub(self.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::samples;

    #[test]
    fn a_send_is_late_from_when_it_was_due_and_had_a_place() {
        let ms = Duration::from_millis;
        for (scheduled, ready, sent, lag) in [(5, 5, 7, 2), (5, 90, 91, 1), (5, 0, 6, 1)] {
            let record = samples::record(Route::Direct, 0, &[1.0]);
            let record = Record { scheduled: ms(scheduled), ready: ms(ready), sent: ms(sent), ..record };
            assert_eq!(record.lag(), ms(lag));
        }
    }
}
