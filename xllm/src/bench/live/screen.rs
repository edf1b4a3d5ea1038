//! The picture on a terminal: a bar, what flows, and a line a route.

use std::fmt::Write as _;

use console::truncate_str;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::words::{self, Rates};
use crate::{bench::progress::Snapshot, output::RESET};

const BOLD: &str = "\x1b[1m";
const BLUE: &str = "\x1b[34m";
/// Columns of the bar.
const BAR: usize = 24;

/// At the end of a line: Ctrl-C is echoed there, and must not begin a line that nobody takes away.
const MARGIN: usize = 3;

/// The lines, which indicatif puts in place of those before.
#[derive(Debug)]
pub(super) struct Screen {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
    rates: Rates,
    coloured: bool,
}

impl Screen {
    pub(super) fn new(target: ProgressDrawTarget, coloured: bool) -> Self {
        let all = MultiProgress::with_draw_target(target);
        Self { all, lines: Vec::new(), rates: Rates::default(), coloured }
    }

    /// Draws this moment on a terminal of so many columns, which may have changed.
    pub(super) fn show(&mut self, snapshot: &Snapshot, columns: usize) {
        let rates = self.rates.now(snapshot);
        let mut texts = vec![self.head(snapshot), words::flow(snapshot, rates)];
        texts.extend(snapshot.routes.iter().map(words::route));
        while self.lines.len() < texts.len() {
            let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            self.lines.push(self.all.add(ProgressBar::no_length().with_style(style)));
        }
        // A new phase has no requests yet, and then no lines for them.
        for gone in self.lines.drain(texts.len()..) {
            self.all.remove(&gone);
        }
        for (line, text) in self.lines.iter().zip(texts) {
            line.set_message(truncate_str(&text, columns.saturating_sub(MARGIN), "").into_owned());
        }
    }

    /// What is going on, and how far it is.
    fn head(&self, snapshot: &Snapshot) -> String {
        let (bold, blue, reset) = if self.coloured { (BOLD, BLUE, RESET) } else { ("", "", "") };
        let mut head = format!("{bold}{}{reset}", words::phase(snapshot));
        if let Some(share) = words::share(snapshot) {
            // Of one width whatever the terminal's: a line that fills the terminal breaks when that is made smaller.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "0 to 24")]
            let full = (share * BAR as f64) as usize;
            let (over, left) = ("━".repeat(full), "─".repeat(BAR - full));
            // Writing to a String cannot fail.
            let _ = write!(head, "  {blue}{over}{reset}{left}  {}", words::position(snapshot));
        }
        head
    }

    /// Takes the picture away.
    pub(super) fn clear(&self) {
        // Without stderr there is nothing to take away.
        let _ = self.all.clear();
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;
    use crate::bench::{live::samples, progress::Goal};

    fn screen(columns: u16) -> (Screen, InMemoryTerm) {
        let terminal = InMemoryTerm::new(20, columns);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        (Screen::new(target, false), terminal)
    }

    #[test]
    fn a_moment_is_four_lines_and_the_next_takes_their_place() {
        let (mut screen, terminal) = screen(100);
        for done in [100, 200] {
            screen.show(&samples::snapshot(Goal::Requests(400), done), 100);
        }
        let shown = terminal.contents().replace('\u{a0}', " ");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 4, "{shown}");
        assert!(
            lines[0].starts_with("measuring 2/4  ━━━━━━━━━━━━────────────  ") && lines[0].ends_with("200 of 400, 10 s left"),
            "{shown}"
        );
        assert!(lines[1].ends_with("under way  4 requests at once"), "{shown}");
        assert_eq!(lines[3], "proxied  first piece p50 21.5 ms p99 33.0 ms   whole p50  430 ms p99  660 ms");
        screen.clear();
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn a_narrow_terminal_cuts_lines_and_never_wraps_them() {
        for columns in [1, 10, 30, 60] {
            let (mut screen, terminal) = screen(columns);
            for done in 0..5 {
                screen.show(&samples::snapshot(Goal::Requests(4), done), columns.into());
            }
            let shown = terminal.contents();
            let longest = shown.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(shown.lines().count() <= 4 && longest + MARGIN <= usize::from(columns).max(MARGIN), "{columns}: {shown}");
        }
    }

    #[test]
    fn colour_is_there_if_it_is_wanted_alone() {
        let (mut screen, _) = screen(100);
        let moment = samples::snapshot(Goal::Requests(400), 100);
        assert!(!screen.head(&moment).contains('\x1b'));
        screen.coloured = true;
        assert!(screen.head(&moment).starts_with("\x1b[1mmeasuring 2/4\x1b[0m  \x1b[34m━━━━━━\x1b[0m─"));
    }

    #[test]
    fn a_phase_without_requests_has_no_lines_for_them() {
        let (mut screen, terminal) = screen(100);
        screen.show(&samples::snapshot(Goal::Requests(400), 10), 100);
        screen.show(&Snapshot { routes: Vec::new(), ..samples::snapshot(Goal::Unknown, 0) }, 100);
        assert_eq!(terminal.contents().lines().count(), 2, "{}", terminal.contents());
    }
}
