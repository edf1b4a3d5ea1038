//! Spans within a line.

use super::{DIM, HOLD, RESET};

/// Characters that can begin a span.
const SPECIAL: &[char] = &['*', '_', '`', '~', '[', '\\'];
/// What a backslash takes the meaning from. Fewer than markdown has: `\(` is more often
/// the beginning of a formula.
const ESCAPABLE: &[char] = &['*', '_', '`', '~', '#', '|', '>'];

const CODE: &str = "\x1b[36m";
const LINK: &str = "\x1b[4m";

/// What the head of the held text is.
#[derive(Debug, PartialEq, Eq)]
enum Head {
    /// Not decidable yet.
    Wait,
    /// So many bytes as they are.
    Literal(usize),
    /// An escaped character: the backslash goes.
    Escaped,
    /// A span: its markers' length at both ends, its content's end.
    Span { style: &'static str, marker: usize, end: usize },
    /// Code, whose content is not looked into.
    Code { marker: usize, end: usize },
    /// A link: where the text ends, where the whole ends.
    Link { text: usize, end: usize },
}

/// The styles that are on, and the character shown last.
#[derive(Debug, Default)]
pub(super) struct Inline {
    styles: Vec<&'static str>,
    last: Option<char>,
}

impl Inline {
    /// Turns on the style of a whole line.
    pub(super) fn set_base(&mut self, style: &'static str, out: &mut String) {
        self.styles.push(style);
        out.push_str(style);
    }

    pub(super) fn end_line(&mut self, out: &mut String) {
        if !self.styles.is_empty() {
            out.push_str(RESET);
        }
        self.styles.clear();
        self.last = None;
    }

    /// Moves what can be decided from `held` to `out`.
    pub(super) fn drain(&mut self, held: &mut String, complete: bool, out: &mut String) {
        let mut at = 0;
        while at < held.len() {
            let rest = &held[at..];
            let sure = complete || rest.len() > HOLD;
            match head(rest, self.last, sure) {
                Head::Wait => break,
                Head::Literal(length) => {
                    out.push_str(&rest[..length]);
                    self.last = rest[..length].chars().next_back();
                    at += length;
                }
                Head::Escaped => {
                    let c = rest[1..].chars().next().unwrap_or('\\');
                    out.push(c);
                    self.last = Some(c);
                    at += 1 + c.len_utf8();
                }
                Head::Span { style, marker, end } => {
                    self.styled(style, out, |this, out| this.nested(&rest[marker..end], out));
                    at += end + marker;
                    self.last = rest[..end + marker].chars().next_back();
                }
                Head::Code { marker, end } => {
                    self.styled(CODE, out, |_, out| out.push_str(&rest[marker..end]));
                    at += end + marker;
                    self.last = Some('`');
                }
                Head::Link { text, end } => {
                    self.styled(LINK, out, |this, out| this.nested(&rest[1..text], out));
                    let url = &rest[text + 2..end - 1];
                    if url != &rest[1..text] {
                        self.styled(DIM, out, |_, out| {
                            out.push_str(" (");
                            out.push_str(url);
                            out.push(')');
                        });
                    }
                    at += end;
                    self.last = Some(')');
                }
            }
        }
        held.drain(..at);
    }

    fn nested(&mut self, text: &str, out: &mut String) {
        self.last = None;
        self.drain(&mut text.to_owned(), true, out);
    }

    fn styled(&mut self, style: &'static str, out: &mut String, content: impl FnOnce(&mut Self, &mut String)) {
        self.styles.push(style);
        out.push_str(style);
        content(self, out);
        self.styles.pop();
        out.push_str(RESET);
        for outer in &self.styles {
            out.push_str(outer);
        }
    }
}

/// Decides about the head of `text`, which is not empty. `sure`: no more will come.
fn head(text: &str, last: Option<char>, sure: bool) -> Head {
    let Some(first) = text.chars().next() else { return Head::Wait };
    if !SPECIAL.contains(&first) {
        return Head::Literal(text.find(SPECIAL).unwrap_or(text.len()));
    }
    let run = text.len() - text.trim_start_matches(first).len();
    let Some(next) = text[run..].chars().next() else {
        return if sure { Head::Literal(run) } else { Head::Wait };
    };
    match first {
        '\\' if run == 1 => {
            if ESCAPABLE.contains(&next) {
                Head::Escaped
            } else {
                Head::Literal(1)
            }
        }
        '`' => match closing(text, run, '`', sure) {
            Closing::At(end) => Head::Code { marker: run, end },
            Closing::Later => Head::Wait,
            Closing::Never => Head::Literal(run),
        },
        '[' => link(text, sure),
        '*' | '_' | '~' => {
            let Some(style) = style(first, run) else { return Head::Literal(run) };
            // `2 * 3`, `2*3*4` and `snake_case` are no emphasis.
            if next.is_whitespace() || last.is_some_and(|last| last.is_ascii_alphanumeric()) {
                return Head::Literal(run);
            }
            match closing(text, run, first, sure) {
                Closing::At(end) => Head::Span { style, marker: run, end },
                Closing::Later => Head::Wait,
                Closing::Never => Head::Literal(run),
            }
        }
        _ => Head::Literal(run),
    }
}

fn style(mark: char, run: usize) -> Option<&'static str> {
    match (mark, run) {
        ('*' | '_', 1) => Some("\x1b[3m"),
        ('*' | '_', 2) => Some("\x1b[1m"),
        ('*' | '_', 3) => Some("\x1b[1;3m"),
        ('~', 2) => Some("\x1b[9m"),
        _ => None,
    }
}

enum Closing {
    At(usize),
    Later,
    Never,
}

/// Finds the run of exactly `run` marks that closes the span at the head of `text`.
fn closing(text: &str, run: usize, mark: char, sure: bool) -> Closing {
    let not_yet = || if sure { Closing::Never } else { Closing::Later };
    let mut at = run;
    while let Some(c) = text[at..].chars().next() {
        let length = text[at..].len() - text[at..].trim_start_matches(c).len();
        let after = text[at + length..].chars().next();
        if c == mark {
            if after.is_none() && !sure {
                return Closing::Later;
            }
            let before = text[..at].chars().next_back();
            let fits = mark == '`'
                || (before.is_some_and(|before| !before.is_whitespace())
                    && !(mark == '_' && after.is_some_and(|after| after.is_ascii_alphanumeric())));
            if length == run && fits {
                return Closing::At(at);
            }
            at += length;
        } else if mark == '`' {
            at += length;
        } else if c == '\\' {
            at += 1 + after.filter(|_| length == 1).map_or(0, char::len_utf8);
        } else if c == '`' {
            match closing(&text[at..], length, '`', sure) {
                Closing::At(end) => at += end + length,
                Closing::Later => return Closing::Later,
                Closing::Never => at += length,
            }
        } else {
            at += length;
        }
    }
    not_yet()
}

/// `[text](url)`
fn link(text: &str, sure: bool) -> Head {
    let not_yet = if sure { Head::Literal(1) } else { Head::Wait };
    let mut depth = 0_usize;
    let Some(end_of_text) = text.char_indices().find_map(|(at, c)| {
        depth = match c {
            '[' => depth + 1,
            ']' => depth - 1,
            _ => depth,
        };
        (depth == 0).then_some(at)
    }) else {
        return not_yet;
    };
    let behind = &text[end_of_text + 1..];
    if behind.is_empty() {
        return not_yet;
    }
    if !behind.starts_with('(') || end_of_text == 1 {
        return Head::Literal(1);
    }
    for (at, c) in behind.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return Head::Link { text: end_of_text, end: end_of_text + 1 + at + 1 },
            ')' => depth -= 1,
            // A title may follow the address; anything else is prose.
            ' ' if !(behind[at..].starts_with(" \"") || behind[at + 1..].is_empty() || behind[..at].contains('"')) => {
                return Head::Literal(1);
            }
            _ => {}
        }
    }
    not_yet
}
