//! The log goes to stderr on a thread of its own, so that whoever reads it late, or not at all, holds up no token.
//!
//! ```text
//! Lines ─► Queue: is there room? ─► tracing-appender's thread ─► Out ─► stderr
//! ```
//!
//! What waits to be written is bounded. When it is too much, lines are dropped until all of it is written; then a line says how many
//! there were so far. So gaps are few, and each is told where it ends.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, filter::Directive, fmt::MakeWriter};

/// Lines that may wait: those of a second in which thousands of requests end.
const LINES: usize = 4096;
/// Bytes of lines beyond which no more are taken: a part of a line is a peer's text, a host's name of many thousand bytes.
const BYTES: usize = 1 << 20;
/// How long the thread rests when all is written. Whoever logs meanwhile has not to wake it, which costs more than the line, and what
/// they log is written together.
const REST: Duration = Duration::from_millis(10);
/// How long whoever needs the log to be written waits for its reader.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lines of this module pass every filter.
const LOSSES: &str = concat!(module_path!(), "=warn");

/// The thread that writes. Dropping it waits for what is not written yet, two seconds at most.
#[derive(Debug)]
pub struct Log {
    lines: Lines,
    // Told to end only when all is written: the line that tells of a gap would come too late otherwise.
    _thread: WorkerGuard,
}

impl Log {
    /// Starts it.
    ///
    /// # Panics
    /// If the system gives no more threads.
    pub fn start() -> Self {
        let queue = Arc::<Queue>::default();
        // One more place than lines take, for the farewell: that it found none would be printed, to stdout.
        let builder = NonBlockingBuilder::default().buffered_lines_limit(LINES + 1).thread_name("xllm-log");
        let (way, thread) = builder.finish(Out(queue.clone()));
        Self { lines: Lines { queue, way }, _thread: thread }
    }

    /// Where a subscriber writes.
    pub const fn lines(&self) -> &Lines {
        &self.lines
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.settle();
    }
}

/// A filter that also lets pass what is said of lost lines: a log with a gap must not look whole.
pub fn with_losses(filter: EnvFilter) -> EnvFilter {
    match LOSSES.parse::<Directive>() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    }
}

/// Takes the lines of a subscriber, one a call, and never waits.
#[derive(Clone, Debug)]
pub struct Lines {
    queue: Arc<Queue>,
    way: NonBlocking,
}

impl Lines {
    /// Waits until all lines are written, for a second at most.
    pub fn settle(&self) {
        self.queue.settle();
    }

    /// Lines that were dropped so far, because too many waited.
    pub fn lost(&self) -> u64 {
        self.queue.lock().lost
    }

    /// Bytes of the lines that wait to be written.
    pub fn waiting(&self) -> usize {
        self.queue.lock().bytes
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.take(line.len()) { self.way.write(line) } else { Ok(line.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What is known of the lines under way.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    empty: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Taken and not written yet.
    lines: usize,
    bytes: usize,
    /// Lines are being dropped. Only while others wait: the last of these ends it.
    gap: bool,
    /// Lines that were dropped, in all.
    lost: u64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line of this length, if there is room.
    fn take(&self, length: usize) -> bool {
        let mut state = self.lock();
        state.gap |= state.lines >= LINES || state.bytes >= BYTES;
        if state.gap {
            state.lost += 1;
        } else {
            state.lines += 1;
            state.bytes += length;
        }
        !state.gap
    }

    /// A line of this length is written.
    fn wrote(&self, length: usize) {
        let mut state = self.lock();
        if state.lines == 1 && state.gap {
            state.gap = false;
            let lost = state.lost;
            drop(state);
            // A line as any other: behind this one, and behind what other threads log in this moment.
            tracing::warn!(lost_in_all = lost, "lines are missing here: the log was not read in time");
            state = self.lock();
        }
        state.lines -= 1;
        state.bytes -= length;
        if state.lines == 0 {
            self.empty.notify_all();
        }
    }

    fn settle(&self) {
        let waits = |state: &mut State| state.lines > 0;
        drop(self.empty.wait_timeout_while(self.lock(), PATIENCE, waits));
    }
}

/// Where the thread writes.
#[derive(Debug)]
struct Out(Arc<Queue>);

impl Write for Out {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Without stderr there is nobody to tell.
        let _ = io::stderr().write_all(line);
        self.0.wrote(line.len());
        Ok(line.len())
    }

    /// Called when nothing is left to write.
    fn flush(&mut self) -> io::Result<()> {
        thread::sleep(REST);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_bytes_that_wait_are_bounded_and_the_others_counted() {
        for (length, room) in [(1, LINES), (1000, BYTES.div_ceil(1000)), (2 * BYTES, 1)] {
            let queue = Queue::default();
            let taken = (0..2 * LINES).filter(|_| queue.take(length)).count();
            assert_eq!((taken, queue.lock().lost), (room, (2 * LINES - room) as u64), "{length}");
        }
    }

    #[test]
    fn a_gap_lasts_until_all_that_waits_is_written() {
        let queue = Queue::default();
        let waiting = (0..=LINES).filter(|_| queue.take(100)).count();
        for _ in 1..waiting {
            queue.wrote(100);
            assert!(!queue.take(100));
        }
        queue.wrote(100);
        assert!(queue.take(100));
    }

    #[test]
    fn what_is_said_of_lost_lines_passes_every_filter() {
        let filter = with_losses(EnvFilter::new("off"));
        assert_eq!(filter.to_string(), "xllm_proxy::log=warn,off");
    }
}
