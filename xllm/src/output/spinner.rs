//! A sign of life on stderr while nothing has come yet.

use std::time::{Duration, Instant};

/// How often it moves.
pub(super) const PERIOD: Duration = Duration::from_millis(100);
/// A quick answer needs none.
const DELAY: Duration = Duration::from_millis(250);
const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
pub(super) const ERASE: &str = "\r\x1b[K";

/// The spinner's state.
#[derive(Debug)]
pub(super) struct Spinner {
    label: String,
    began: Instant,
    step: usize,
    pub(super) visible: bool,
}

impl Spinner {
    pub(super) fn new(label: &str) -> Self {
        Self { label: label.to_owned(), began: Instant::now(), step: 0, visible: false }
    }

    /// The next picture, if it is time for one.
    pub(super) fn frame(&mut self) -> Option<String> {
        let elapsed = self.began.elapsed();
        if elapsed < DELAY {
            return None;
        }
        let frame = FRAMES[self.step % FRAMES.len()];
        self.step += 1;
        self.visible = true;
        let seconds = elapsed.as_secs();
        let clock = if seconds < 3 { String::new() } else { format!(" {seconds} s") };
        Some(format!("{ERASE}{frame} {}{clock}", self.label))
    }
}
