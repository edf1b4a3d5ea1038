//! Tokens and speed.

use std::{fmt::Write as _, time::Instant};

use super::event::Usage;

/// Measures one answer.
#[derive(Debug)]
pub(super) struct Meter {
    began: Instant,
    first: Option<Instant>,
    last: Option<Instant>,
    usage: Usage,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), first: None, last: None, usage: Usage::default() }
    }

    pub(super) fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// A piece of text or thinking came.
    pub(super) fn token(&mut self, text: &str) {
        if !text.is_empty() {
            let now = Instant::now();
            self.first.get_or_insert(now);
            self.last = Some(now);
        }
    }

    pub(super) fn usage(&mut self, newer: Usage) {
        self.usage.update(newer);
    }

    pub(super) fn report(&self) -> String {
        let first = self.first.map(|first| (first - self.began).as_secs_f64());
        let flow = self.first.zip(self.last).map(|(first, last)| (last - first).as_secs_f64());
        report(self.usage, first, flow, self.elapsed())
    }
}

fn report(usage: Usage, first: Option<f64>, flow: Option<f64>, total: f64) -> String {
    let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let mut text = format!("{} tokens in, {} out", count(usage.input), count(usage.output));
    // Writing to a String cannot fail.
    if let Some(first) = first {
        let _ = write!(text, " · first after {first:.2} s");
    }
    // The first token's time is not the flow's; too short a flow says nothing.
    if let (Some(output @ 2..), Some(flow)) = (usage.output, flow.filter(|flow| *flow > 0.01)) {
        #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
        let speed = (output - 1) as f64 / flow;
        let _ = write!(text, " · {speed:.1} tokens/s");
    }
    let _ = write!(text, " · {total:.2} s in all");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_is_known() {
        let usage = Usage { input: Some(12), output: Some(101) };
        assert_eq!(
            report(usage, Some(0.5), Some(2.0), 2.5),
            "12 tokens in, 101 out · first after 0.50 s · 50.0 tokens/s · 2.50 s in all"
        );
        assert_eq!(report(Usage::default(), None, None, 1.0), "? tokens in, ? out · 1.00 s in all");
    }
}
