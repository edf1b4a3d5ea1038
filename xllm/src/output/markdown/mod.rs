//! Markdown on a terminal while it streams.
//!
//! What was shown is never rewritten and no character is lost: a marker is taken out
//! only once its partner is there. So a span (`**bold**`, `[text](url)`) is held until it
//! closes, at most to the end of its line and [`HOLD`] bytes; all else goes out at once.
//! The renderer works character by character, so how the text was cut makes no difference.

mod inline;

use inline::Inline;

/// A span that stays open longer is not one.
const HOLD: usize = 240;

pub(crate) const RESET: &str = "\x1b[0m";
pub(crate) const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const TITLE: &str = "\x1b[1;4m";
const CODE: &str = "\x1b[36m";

/// Where in its line the renderer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// What kind of line it is shows in the characters held.
    Start,
    /// As `Start`, behind a quote's mark.
    Quoted,
    /// In text with spans.
    Text,
    /// In text taken as it is: a table, whose columns would shift.
    Verbatim,
}

/// An open code block.
#[derive(Debug, Clone, Copy)]
struct Fence {
    mark: char,
    length: usize,
}

/// The renderer.
#[derive(Debug)]
pub(crate) struct Markdown {
    line: Line,
    fence: Option<Fence>,
    /// What cannot be decided yet.
    held: String,
    inline: Inline,
}

impl Default for Markdown {
    fn default() -> Self {
        Self { line: Line::Start, fence: None, held: String::new(), inline: Inline::default() }
    }
}

impl Markdown {
    /// Takes the next piece, cut anywhere, and adds what can be shown now.
    pub(crate) fn feed(&mut self, text: &str, out: &mut String) {
        for c in text.chars() {
            if c == '\n' {
                self.end_line(out);
                out.push('\n');
            } else {
                self.held.push(c);
                self.advance(false, out);
            }
        }
    }

    /// Shows what is still held.
    pub(crate) fn finish(&mut self, out: &mut String) {
        self.end_line(out);
    }

    fn end_line(&mut self, out: &mut String) {
        self.advance(true, out);
        self.inline.end_line(out);
        self.line = Line::Start;
    }

    /// Shows as much of what is held as can be decided; all of it if the line is complete.
    fn advance(&mut self, complete: bool, out: &mut String) {
        if let Some(fence) = self.fence {
            self.code(fence, complete, out);
            return;
        }
        while matches!(self.line, Line::Start | Line::Quoted) {
            if !self.start(complete, out) {
                return;
            }
        }
        if self.line == Line::Verbatim {
            out.push_str(&self.held);
            self.held.clear();
        } else if self.line == Line::Text {
            self.inline.drain(&mut self.held, complete, out);
        }
    }

    /// A line of a code block, or its end.
    fn code(&mut self, fence: Fence, complete: bool, out: &mut String) {
        if self.line == Line::Start {
            let mark = self.held.trim_start_matches(' ').trim_end_matches(' ');
            let only_marks = mark.chars().all(|c| c == fence.mark);
            if complete && only_marks && mark.len() >= fence.length {
                self.fence = None;
                self.dim_line(out);
                return;
            }
            if !complete && only_marks && self.held.len() < HOLD {
                return;
            }
            if self.held.is_empty() {
                return;
            }
            self.inline.set_base(CODE, out);
            self.line = Line::Verbatim;
        }
        out.push_str(&self.held);
        self.held.clear();
    }

    fn dim_line(&mut self, out: &mut String) {
        for part in [DIM, &self.held, RESET] {
            out.push_str(part);
        }
        self.held.clear();
    }

    /// Decides what kind of line this is. False if more characters are needed.
    fn start(&mut self, complete: bool, out: &mut String) -> bool {
        let indent = self.held.len() - self.held.trim_start_matches([' ', '\t']).len();
        let rest = &self.held[indent..];
        let undecided = !complete && self.held.len() < HOLD;
        let Some(first) = rest.chars().next() else {
            if complete {
                self.line = Line::Text;
            }
            return complete;
        };
        let run = rest.len() - rest.trim_start_matches(first).len();
        let behind = rest[run..].chars().next();
        match first {
            '#' if behind.is_none() && undecided => return false,
            '#' if run <= 6 && behind == Some(' ') => {
                let skipped = indent + run + 1;
                self.inline.set_base(if run == 1 { TITLE } else { BOLD }, out);
                self.take(skipped);
                self.line = Line::Text;
            }
            '`' | '~' if self.line == Line::Start => {
                let info_is_one = first == '~' || !rest[run..].contains('`');
                let possible = info_is_one && (run >= 3 || behind.is_none());
                if possible && undecided {
                    return false;
                }
                if possible && complete && run >= 3 {
                    self.fence = Some(Fence { mark: first, length: run });
                    self.dim_line(out);
                    self.line = Line::Verbatim;
                } else {
                    self.text(out, indent);
                }
            }
            '-' | '*' | '+' | '_' => {
                let marks = rest.chars().filter(|&c| c == first).count();
                let only_marks = rest.chars().all(|c| c == first || c == ' ');
                if only_marks && undecided {
                    return false;
                }
                if only_marks && marks >= 3 && first != '+' {
                    self.held.clear();
                    for part in [DIM, &"─".repeat(32), RESET] {
                        out.push_str(part);
                    }
                    self.line = Line::Text;
                } else if run == 1 && behind == Some(' ') && first != '_' {
                    out.push_str(&self.held[..indent]);
                    out.push('•');
                    self.take(indent + 1);
                    self.line = Line::Text;
                } else {
                    self.text(out, indent);
                }
            }
            '>' => {
                out.push_str(&self.held[..indent]);
                for part in [DIM, "│", RESET] {
                    out.push_str(part);
                }
                self.take(indent + 1);
                self.line = Line::Quoted;
                return !self.held.is_empty() || complete;
            }
            '|' => self.line = Line::Verbatim,
            _ => self.text(out, indent),
        }
        true
    }

    fn text(&mut self, out: &mut String, indent: usize) {
        out.push_str(&self.held[..indent]);
        self.take(indent);
        self.line = Line::Text;
    }

    fn take(&mut self, bytes: usize) {
        self.held.drain(..bytes);
    }
}

#[cfg(test)]
mod tests;
