//! What the user sees: the answer on stdout, all else on stderr.

mod clean;
mod markdown;
mod spinner;

use std::{
    fmt,
    future::Future,
    io::{self, IsTerminal as _, Write},
    pin::pin,
};

pub(crate) use clean::clean;
use markdown::Markdown;
pub(crate) use markdown::{DIM, RESET};
use spinner::{ERASE, PERIOD, Spinner};

use crate::env::Env;

/// What the user wants to see.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "one field a flag")]
pub(crate) struct Show {
    pub(crate) stream: bool,
    pub(crate) json: bool,
    pub(crate) raw: bool,
    pub(crate) usage: bool,
}

/// How text goes to stdout.
#[derive(Debug)]
enum Style {
    /// Byte for byte, to a pipe or a file.
    Bare,
    /// To a terminal, which it must not drive.
    Plain,
    /// To a terminal, with its markdown rendered.
    Rendered(Box<Markdown>),
}

/// What there is on stderr.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stderr {
    pub(crate) terminal: bool,
    pub(crate) colour: bool,
    pub(crate) verbose: bool,
}

/// The two streams.
pub(crate) struct Output {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    style: Style,
    stderr: Stderr,
    spinner: Option<Spinner>,
    /// Line feeds at the text's end, which wait to see whether text follows.
    line_feeds: usize,
    at_line_start: bool,
    /// Thinking was shown last and its line is open.
    thinking: bool,
    /// What is to be said once the answer's line is over.
    later: Vec<String>,
}

impl Output {
    /// The process's own streams.
    pub(crate) fn of_process(show: Show, verbose: bool, env: &Env) -> Self {
        let smart = env.get("TERM") != Some("dumb");
        let colour = smart && env.get("NO_COLOR").is_none();
        let style = match io::stdout().is_terminal() {
            false => Style::Bare,
            true if show.raw || show.json || !colour => Style::Plain,
            true => Style::Rendered(Box::default()),
        };
        let stderr = Stderr { terminal: io::stderr().is_terminal() && smart, colour, verbose };
        Self::new(Box::new(io::stdout()), Box::new(io::stderr()), style, stderr)
    }

    fn new(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, style: Style, stderr: Stderr) -> Self {
        Self { out, err, style, stderr, spinner: None, line_feeds: 0, at_line_start: true, thinking: false, later: Vec::new() }
    }

    /// Shows a spinner until something comes.
    pub(crate) fn spin(&mut self, label: &str) {
        if self.stderr.terminal && !self.stderr.verbose {
            self.spinner = Some(Spinner::new(&clean(label)));
        }
    }

    /// Waits, the spinner turning meanwhile.
    pub(crate) async fn waiting<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                output = &mut future => return output,
                () = tokio::time::sleep(PERIOD), if self.spinner.is_some() => {
                    if let Some(frame) = self.spinner.as_mut().and_then(Spinner::frame) {
                        self.say(&frame);
                    }
                }
            }
        }
    }

    /// Whether stdout is a terminal.
    pub(crate) fn watched(&self) -> bool {
        !matches!(self.style, Style::Bare)
    }

    /// Whether stdout shows colours.
    pub(crate) fn coloured(&self) -> bool {
        matches!(self.style, Style::Rendered(_))
    }

    /// Whole lines of our own making, colours and all. What in them came from elsewhere is clean already.
    pub(crate) fn lines(&mut self, text: &str) -> io::Result<()> {
        self.stop_spinner();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// A piece of the answer, shown at once. All of it ends with exactly one line feed,
    /// so further ones wait until text follows.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        let body = text.trim_end_matches('\n');
        let mut due = String::new();
        if !body.is_empty() {
            self.stop_spinner();
            self.end_thinking();
            due.extend(std::iter::repeat_n('\n', std::mem::take(&mut self.line_feeds)));
            due.push_str(body);
            self.at_line_start = false;
        }
        self.line_feeds += text.len() - body.len();
        if self.line_feeds > 0 && !self.at_line_start {
            self.line_feeds -= 1;
            self.at_line_start = true;
            due.push('\n');
        }
        self.show(&due)
    }

    fn show(&mut self, text: &str) -> io::Result<()> {
        match &mut self.style {
            Style::Bare => self.out.write_all(text.as_bytes())?,
            Style::Plain => self.out.write_all(clean(text).as_bytes())?,
            Style::Rendered(markdown) => {
                let mut shown = String::new();
                markdown.feed(&clean(text), &mut shown);
                self.out.write_all(shown.as_bytes())?;
            }
        }
        self.out.flush()
    }

    /// A piece of the model's thinking: only where somebody watches.
    pub(crate) fn thinking(&mut self, text: &str) {
        if !self.stderr.terminal || text.is_empty() {
            return;
        }
        self.stop_spinner();
        let text = clean(text);
        self.thinking = true;
        if self.stderr.colour {
            self.say(&format!("{DIM}{text}{RESET}"));
        } else {
            self.say(&text);
        }
    }

    fn end_thinking(&mut self) {
        if std::mem::take(&mut self.thinking) {
            self.say("\n\n");
        }
    }

    /// Something the user must know, whoever watches; after the answer if one is under way.
    pub(crate) fn warn(&mut self, text: &str) {
        if self.at_line_start && !self.thinking {
            self.line(text);
        } else {
            self.later.push(text.to_owned());
        }
    }

    /// Something that is nice to know: only where somebody watches.
    pub(crate) fn notice(&mut self, text: &str) {
        if self.stderr.terminal || self.stderr.verbose {
            self.warn(text);
        }
    }

    /// What is being done, under `-v`.
    pub(crate) fn trace(&mut self, text: &str) {
        if self.stderr.verbose {
            self.warn(text);
        }
    }

    fn line(&mut self, text: &str) {
        self.stop_spinner_for_now();
        let text = format!("xllm: {}\n", clean(text));
        self.say(&text);
    }

    /// Ends the answer's last line and says what waited for that.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.stop_spinner();
        if std::mem::take(&mut self.thinking) {
            self.say("\n");
        }
        let mut result = Ok(());
        if let Style::Rendered(markdown) = &mut self.style {
            let mut shown = String::new();
            markdown.finish(&mut shown);
            result = self.out.write_all(shown.as_bytes());
        }
        if !self.at_line_start {
            self.at_line_start = true;
            result = result.and_then(|()| self.out.write_all(b"\n"));
        }
        result = result.and_then(|()| self.out.flush());
        self.line_feeds = 0;
        for text in std::mem::take(&mut self.later) {
            self.line(&text);
        }
        result
    }

    fn stop_spinner(&mut self) {
        self.stop_spinner_for_now();
        self.spinner = None;
    }

    fn stop_spinner_for_now(&mut self) {
        if self.spinner.as_mut().is_some_and(|spinner| std::mem::take(&mut spinner.visible)) {
            self.say(ERASE);
        }
    }

    /// Nobody is left to be told that stderr is gone.
    fn say(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("style", &self.style).field("stderr", &self.stderr).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
