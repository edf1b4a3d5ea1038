use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tape {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("UTF-8")
    }
}

const WATCHED: Stderr = Stderr { terminal: true, colour: true, verbose: false };

fn output(style: Style, stderr: Stderr) -> (Output, Tape, Tape) {
    let (out, err) = (Tape::default(), Tape::default());
    (Output::new(Box::new(out.clone()), Box::new(err.clone()), style, stderr), out, err)
}

fn shown(style: Style, pieces: &[&str]) -> String {
    let (mut output, out, _) = output(style, Stderr::default());
    for piece in pieces {
        output.text(piece).expect("a tape takes all");
    }
    output.finish().expect("a tape takes all");
    out.text()
}

#[test]
fn the_answer_ends_with_one_line_feed() {
    for pieces in [&["a"][..], &["a\n"], &["a\n\n\n"], &["a", "\n", "\n"]] {
        assert_eq!(shown(Style::Bare, pieces), "a\n");
    }
    assert_eq!(shown(Style::Bare, &[]), "");
}

#[test]
fn line_feeds_inside_are_all_kept() {
    assert_eq!(shown(Style::Bare, &["\n\na\n\n", "\n", "b\n", "c"]), "\n\na\n\n\nb\nc\n");
}

#[test]
fn a_line_goes_out_when_it_ends() {
    let (mut output, out, _) = output(Style::Bare, Stderr::default());
    output.text("a\n\n").expect("a tape takes all");
    assert_eq!(out.text(), "a\n");
}

#[test]
fn escape_sequences_reach_pipes_alone() {
    let pieces = ["a\x1b", "[2Jb"];
    assert_eq!(shown(Style::Bare, &pieces), "a\x1b[2Jb\n");
    assert_eq!(shown(Style::Plain, &pieces), "a␛[2Jb\n");
    assert_eq!(shown(Style::Rendered(Box::default()), &pieces), "a␛[2Jb\n");
}

#[test]
fn markdown_is_finished_before_the_last_line_ends() {
    assert_eq!(shown(Style::Rendered(Box::default()), &["a **b**"]), "a \x1b[1mb\x1b[0m\n");
    assert_eq!(shown(Style::Rendered(Box::default()), &["a **b"]), "a **b\n");
}

#[test]
fn thinking_is_shown_where_somebody_watches_alone() {
    for (stderr, wanted) in [(WATCHED, "\x1b[2mhm\x1b[0m\n\n"), (Stderr::default(), "")] {
        let (mut output, out, err) = output(Style::Bare, stderr);
        output.thinking("hm");
        output.text("yes").expect("a tape takes all");
        output.finish().expect("a tape takes all");
        assert_eq!((out.text().as_str(), err.text().as_str()), ("yes\n", wanted));
    }
}

#[test]
fn a_warning_waits_for_the_answers_line() {
    let (mut output, _, err) = output(Style::Bare, Stderr::default());
    output.warn("first");
    output.text("a").expect("a tape takes all");
    output.warn("second");
    assert_eq!(err.text(), "xllm: first\n");
    output.finish().expect("a tape takes all");
    assert_eq!(err.text(), "xllm: first\nxllm: second\n");
}

#[tokio::test]
async fn the_spinner_is_gone_before_the_answer() {
    let (mut output, _, err) = output(Style::Bare, WATCHED);
    output.spin("haiku");
    output.waiting(tokio::time::sleep(std::time::Duration::from_millis(500))).await;
    output.text("a").expect("a tape takes all");
    assert!(err.text().contains("⠋ haiku") && err.text().ends_with(ERASE), "{:?}", err.text());
}
