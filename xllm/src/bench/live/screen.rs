//! The picture on a terminal: a bar, what flows, and a line a route. Pure: text out.
//!
//! The cursor rests below the picture, where a terminal's echo of Ctrl-C does no harm: the next picture takes it away, too.

use console::{measure_text_width, truncate_str};

use super::words::{self, Rates};
use crate::{bench::progress::Snapshot, output::RESET};

const BOLD: &str = "\x1b[1m";
const BLUE: &str = "\x1b[34m";
/// Columns of the bar at most, and at least if there is one.
const BAR: (usize, usize) = (24, 6);
/// Columns that the words around it take, about: they matter more.
const WORDS: usize = 44;

/// What is on the terminal.
#[derive(Debug)]
pub(super) struct Screen {
    /// How wide each line was drawn.
    drawn: Vec<usize>,
    rates: Rates,
    coloured: bool,
}

impl Screen {
    pub(super) fn new(coloured: bool) -> Self {
        Self { drawn: Vec::new(), rates: Rates::default(), coloured }
    }

    /// Puts this moment in place of the last, on a terminal that now has so many columns.
    pub(super) fn show(&mut self, snapshot: &Snapshot, columns: usize) -> String {
        let rates = self.rates.now(snapshot);
        let mut lines = vec![self.head(snapshot, columns), words::flow(snapshot, rates)];
        lines.extend(snapshot.routes.iter().map(words::route));
        let mut picture = self.clear(columns);
        for line in &lines {
            // The last column stays free: some terminals begin a new line as soon as it is written.
            let line = truncate_str(line, columns.saturating_sub(1), "");
            self.drawn.push(measure_text_width(&line));
            picture.push_str(&line);
            picture.push('\n');
        }
        picture
    }

    /// Takes the picture away.
    pub(super) fn clear(&mut self, columns: usize) -> String {
        // What was drawn on a wider terminal takes more rows now.
        let rows: usize = self.drawn.drain(..).map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\r\x1b[{rows}A\x1b[J") }
    }

    /// What is going on, and how far it is.
    fn head(&self, snapshot: &Snapshot, columns: usize) -> String {
        let (bold, blue, reset) = if self.coloured { (BOLD, BLUE, RESET) } else { ("", "", "") };
        let phase = words::phase(snapshot);
        let Some(share) = words::share(snapshot) else { return format!("{bold}{phase}{reset}") };
        let position = words::position(snapshot);
        let room = columns.saturating_sub(WORDS).min(BAR.0);
        if room < BAR.1 {
            return format!("{bold}{phase}{reset}  {position}");
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "0 to 24")]
        let full = (share * room as f64) as usize;
        let (over, left) = ("━".repeat(full), "─".repeat(room - full));
        format!("{bold}{phase}{reset}  {blue}{over}{reset}{left}  {position}")
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::bench::{live::samples, progress::Goal};

    /// What a terminal shows of a text.
    struct Terminal(vt100::Parser);

    impl Terminal {
        fn new(columns: u16) -> Self {
            let size = |size| NonZeroU16::new(size).expect("not zero");
            let mut terminal = Self(vt100::Parser::new(size(20), size(columns), 0));
            terminal.write("$ xllm bench\n");
            terminal
        }

        fn write(&mut self, text: &str) {
            // As the terminal's driver does it.
            self.0.process(text.replace('\n', "\r\n").as_bytes());
        }

        fn shown(&self) -> Vec<String> {
            self.0.screen().contents().replace('\u{a0}', " ").lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn a_moment_is_four_lines_and_the_next_takes_their_place() {
        let (mut screen, mut terminal) = (Screen::new(true), Terminal::new(100));
        for done in [100, 200] {
            terminal.write(&screen.show(&samples::snapshot(Goal::Requests(400), done), 100));
        }
        let shown = terminal.shown();
        assert_eq!(shown.len(), 5, "{shown:?}");
        assert_eq!(shown[1], "measuring 2/4  ━━━━━━━━━━━━────────────  200 of 400, 10 s left");
        assert!(shown[2].ends_with("under way  concurrency 4"), "{shown:?}");
        assert_eq!(shown[4], "proxied  first piece p50 21.5 ms p99 33.0 ms   whole p50  430 ms p99  660 ms");
        terminal.write(&screen.clear(100));
        assert_eq!(terminal.shown(), ["$ xllm bench"]);
        assert_eq!(screen.clear(100), "");
    }

    #[test]
    fn the_echo_of_ctrl_c_goes_with_the_picture() {
        let (mut screen, mut terminal) = (Screen::new(false), Terminal::new(60));
        terminal.write(&screen.show(&samples::snapshot(Goal::Unknown, 9), 60));
        terminal.write("^C");
        terminal.write(&screen.clear(60));
        assert_eq!(terminal.shown(), ["$ xllm bench"]);
    }

    #[test]
    fn a_narrow_terminal_cuts_lines_and_never_wraps_them() {
        for columns in [13_u16, 34, 60] {
            let (mut screen, mut terminal) = (Screen::new(true), Terminal::new(columns));
            for done in 0..5 {
                terminal.write(&screen.show(&samples::snapshot(Goal::Requests(4), done), columns.into()));
            }
            assert_eq!(terminal.shown().len(), 5, "{columns}: {:?}", terminal.shown());
            // The bar makes room for the words.
            assert!(columns == 13 || terminal.shown()[1].ends_with("4 of 4, 0 s left"), "{:?}", terminal.shown());
        }
        for columns in [0, 1] {
            assert!(Screen::new(false).show(&samples::snapshot(Goal::Unknown, 1), columns).trim().is_empty());
        }
    }

    #[test]
    fn lines_that_a_smaller_terminal_has_broken_are_taken_away_whole() {
        let mut screen = Screen::new(false);
        let wide = screen.show(&samples::snapshot(Goal::Requests(400), 100), 200);
        let rows: usize = wide.lines().map(|line| line.chars().count().div_ceil(30)).sum();
        assert!(rows > 8, "{wide}");
        assert_eq!(screen.clear(30), format!("\r\x1b[{rows}A\x1b[J"));
    }

    #[test]
    fn colour_is_there_if_it_is_wanted_alone() {
        let moment = samples::snapshot(Goal::Requests(400), 100);
        assert!(!Screen::new(false).show(&moment, 99).contains('\x1b'));
        let head = "\x1b[1mmeasuring 2/4\x1b[0m  \x1b[34m━━━━━━\x1b[0m─";
        assert!(Screen::new(true).show(&moment, 99).starts_with(head));
    }

    #[test]
    fn a_phase_without_requests_has_no_lines_for_them() {
        let (mut screen, mut terminal) = (Screen::new(false), Terminal::new(100));
        terminal.write(&screen.show(&samples::snapshot(Goal::Requests(400), 10), 100));
        terminal.write(&screen.show(&Snapshot { routes: Vec::new(), ..samples::snapshot(Goal::Unknown, 0) }, 100));
        assert_eq!(terminal.shown().len(), 3, "{:?}", terminal.shown());
    }
}
