//! The findings on their way out: each line as soon as it is known, or all of them as JSON at the end.

use std::{fmt::Write as _, io};

use super::check::{Check, Row, Status, verdict};
use crate::{
    exit::Exit,
    output::{DIM, Output, RESET},
};

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";

/// Every terminal has as many columns.
const WIDTH: usize = 80;
/// Before the names: two blanks, the longest status, two more.
const MARGIN: usize = 11;
/// A provider can have any name; the columns follow it up to here.
const MAX_NAME: usize = 24;

/// How lines are drawn.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Columns for the names, with the blanks behind.
    names: usize,
    coloured: bool,
    /// Long texts are broken; a file or a pipe gets one line each, to be searched.
    wrapped: bool,
}

/// All that was found so far.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) out: Output,
    look: Look,
    json: bool,
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(out: Output, json: bool) -> Self {
        let look = Look { names: 0, coloured: out.coloured(), wrapped: out.watched() };
        Self { out, look, json, checks: Vec::new() }
    }

    /// Makes the column of names wide enough for these.
    pub(super) fn make_room<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        let longest = names.into_iter().map(|name| name.chars().count()).max().unwrap_or(0);
        self.look.names = self.look.names.max(longest.min(MAX_NAME) + 2);
    }

    /// Waits for a finding, the spinner turning meanwhile.
    pub(super) async fn waiting<F: Future>(&mut self, label: &str, finding: F) -> F::Output {
        self.out.spin(label);
        self.out.waiting(finding).await
    }

    pub(super) fn add(&mut self, check: Check) -> io::Result<()> {
        let shown = if self.json { Ok(()) } else { self.out.lines(&draw(&check, self.look)) };
        self.checks.push(check);
        shown
    }

    /// These cannot be done.
    pub(super) fn skip<'n>(&mut self, names: impl IntoIterator<Item = &'n str>, why: &str) -> io::Result<()> {
        names.into_iter().try_for_each(|name| self.add(Check::skipped(name, why)))
    }

    /// Ends the report; what the command ends with.
    pub(super) fn finish(mut self) -> io::Result<Exit> {
        if self.json {
            let rows: Vec<Row<'_>> = self.checks.iter().map(Check::row).collect();
            let text = serde_json::to_string_pretty(&rows).map_err(io::Error::from)?;
            self.out.lines(&format!("{text}\n"))?;
        }
        self.out.finish()?;
        Ok(verdict(&self.checks))
    }

    /// Ends it before its time. Half an array would be no JSON.
    pub(super) fn break_off(mut self) -> io::Result<()> {
        self.out.finish()
    }
}

/// The lines for a finding.
fn draw(check: &Check, look: Look) -> String {
    let name = &check.name;
    let (names, word) = (look.names, check.status.word());
    let details = fold(&check.detail, MARGIN + names, look.wrapped);
    let mut text = format!("  {word:<9}{name:<names$}");
    if name.chars().count() >= names {
        text.push_str("  ");
    }
    text.push_str(&details);
    let text = text.trim_end();
    let mut text = match check.status {
        _ if !look.coloured => text.to_owned(),
        Status::Ok => paint(text, word, GREEN),
        Status::Warning => paint(text, word, YELLOW),
        Status::Failed(_) => paint(text, word, RED),
        Status::Skipped => format!("{DIM}{text}{RESET}"),
    };
    text.push('\n');
    if let Some(remedy) = &check.remedy {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:MARGIN$}→ {}", "", fold(remedy, MARGIN + 2, look.wrapped));
    }
    text
}

fn paint(text: &str, word: &str, colour: &str) -> String {
    text.replacen(word, &format!("{colour}{word}{RESET}"), 1)
}

/// Hangs the text's further lines under its first, which begins at this column.
fn fold(text: &str, column: usize, wrapped: bool) -> String {
    let room = if wrapped { WIDTH.saturating_sub(column) } else { usize::MAX };
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        // A word that has no room is left whole: it may be there to be copied.
        while let Some(at) = break_at(rest, room) {
            lines.push(rest[..at].trim_end());
            rest = rest[at..].trim_start();
        }
        lines.push(rest);
    }
    lines.join(&format!("\n{:column$}", ""))
}

/// Where a line that is too long is broken: the last blank that has room, else the first.
fn break_at(line: &str, room: usize) -> Option<usize> {
    let (end, _) = line.char_indices().nth(room)?;
    if line[end..].starts_with(' ') {
        return Some(end);
    }
    line[..end].rfind(' ').or_else(|| line[end..].find(' ').map(|at| end + at)).filter(|at| *at > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Failure;

    const BARE: Look = Look { names: 8, coloured: false, wrapped: false };
    const TERMINAL: Look = Look { names: 8, coloured: true, wrapped: true };

    #[test]
    fn columns_are_aligned_and_the_remedy_is_under_the_name() {
        assert_eq!(draw(&Check::ok("proxy", "there"), BARE), "  ok       proxy   there\n");
        let check = Check::failed("clock", Failure::proxy("wrong").remedy("do this,\nthen that"));
        assert_eq!(draw(&check, BARE), "  failed   clock   wrong\n           → do this,\n             then that\n");
        assert_eq!(draw(&Check::skipped("long-name", "why"), BARE), "  skipped  long-name  why\n");
    }

    #[test]
    fn on_a_terminal_no_line_is_longer_than_it() {
        let check = Check::warning("proxy", "word ".repeat(40)).remedy("other ".repeat(40));
        let drawn = draw(&check, Look { coloured: false, ..TERMINAL });
        assert!(drawn.lines().count() > 6 && drawn.lines().all(|line| line.chars().count() <= WIDTH), "{drawn}");
        assert!(drawn.lines().nth(1).is_some_and(|line| line.starts_with(&" ".repeat(MARGIN + 8))), "{drawn}");
        assert_eq!(draw(&check, BARE).lines().count(), 2);
    }

    #[test]
    fn a_word_that_has_no_room_stays_whole() {
        let word = "x".repeat(100);
        assert_eq!(fold(&format!("a {word} b"), 10, true), format!("a\n          {word}\n          b"));
        assert_eq!(fold("", 10, true), "");
    }

    #[test]
    fn a_line_is_broken_at_the_last_blank_that_has_room() {
        assert_eq!(fold("aaa bbb ccc", WIDTH - 7, true).lines().next(), Some("aaa bbb"));
        assert_eq!(fold("aaa bbbb ccc", WIDTH - 7, true).lines().next(), Some("aaa"));
        assert_eq!(fold("éé éé", WIDTH - 5, true), "éé éé");
    }

    #[test]
    fn only_the_status_is_coloured_and_what_was_skipped_is_dim() {
        assert_eq!(draw(&Check::ok("ok", "ok"), TERMINAL), format!("  {GREEN}ok{RESET}       ok      ok\n"));
        assert_eq!(draw(&Check::skipped("x", "y"), TERMINAL), format!("{DIM}  skipped  x       y{RESET}\n"));
    }
}
