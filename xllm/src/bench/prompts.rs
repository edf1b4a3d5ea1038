//! What is asked: lines of a file, or made-up prompts of a length.

use std::{ops::Range, path::Path};

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use http::Request;
use serde_json::{Map, Value};

use crate::exit::Failure;

/// Made-up prompts at most; beyond, all but their first words repeat.
const MADE_UP: u64 = 256;
/// Words of a made-up prompt at most.
const MAX_WORDS: usize = 200_000;
const WORDS: [&str; 24] = [
    "river", "lantern", "winter", "harbour", "copper", "garden", "signal", "mountain", "paper", "thunder", "window", "orchard",
    "bridge", "velvet", "compass", "island", "meadow", "engine", "shadow", "candle", "forest", "marble", "anchor", "violet",
];

/// One prompt, and further fields of the API's request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prompt {
    pub(super) text: String,
    pub(super) fields: Vec<(String, Value)>,
    /// Of a made-up prompt, its first word, in place of which each pair has one of its own.
    pub(super) first: Option<String>,
}

/// A request that is made ready but for its prompt's first word.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) request: Request<Bytes>,
    /// Where in the body that word is.
    first: Option<Range<usize>>,
}

impl Ready {
    pub(super) fn new(request: Request<Bytes>, first: Option<&str>) -> Self {
        let place = first.and_then(|word| {
            let begin = request.body().windows(word.len()).position(|bytes| bytes == word.as_bytes())?;
            Some(begin..begin + word.len())
        });
        Self { request, first: place }
    }

    /// The request of this pair in this phase of a run: both routes ask the same, and no other pair, phase or seed asks what begins
    /// alike, so that no cache of beginnings serves it.
    pub(super) fn of(&self, seed: u64, phase: u64, pair: u64) -> Request<Bytes> {
        let mut request = self.request.clone();
        if let Some(place) = &self.first {
            let mut body = BytesMut::from(request.body().as_ref());
            body[place.clone()].copy_from_slice(word(seed, phase, pair).as_bytes());
            *request.body_mut() = body.freeze();
        }
        request
    }
}

/// Sixteen hexadecimal digits.
fn word(seed: u64, phase: u64, pair: u64) -> String {
    let mut word = seed;
    for part in [phase, pair] {
        word = Rng::with_seed(word ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)).u64(..);
    }
    format!("{word:016x}")
}

/// The prompts of a file: one JSON value a line, empty lines left out.
pub(super) fn file(path: &Path) -> Result<Vec<Prompt>, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("the prompts in {name} cannot be read: {error}")))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let prompts =
        lines.map(|(at, line)| line_of(line).map_err(|what| wrong(&name, at + 1, what))).collect::<Result<Vec<_>, _>>()?;
    if prompts.is_empty() {
        return Err(Failure::usage(format!("{name} holds no prompts")).remedy("one a line: \"a JSON string\""));
    }
    Ok(prompts)
}

fn wrong(name: &impl std::fmt::Display, line: usize, what: &str) -> Failure {
    Failure::usage(format!("{name}, line {line}: {what}")).remedy(
        "each line is a JSON string, or an object such as {\"prompt\": \"…\", \"temperature\": 0} or {\"messages\": […]}",
    )
}

fn line_of(line: &str) -> Result<Prompt, &'static str> {
    let mut fields: Map<String, Value> = match serde_json::from_str(line) {
        Ok(Value::String(text)) => return Ok(Prompt { text, fields: Vec::new(), first: None }),
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err("neither a string nor an object"),
        Err(_) => return Err("this is not JSON"),
    };
    if fields.contains_key("stream") {
        return Err("`stream` cannot be set: every request is streamed");
    }
    let text = match fields.remove("prompt") {
        Some(Value::String(text)) => text,
        Some(_) => return Err("`prompt` is not a string"),
        None if fields.get("messages").is_some_and(Value::is_array) => String::new(),
        None => return Err("neither `prompt` nor `messages`"),
    };
    Ok(Prompt { text, fields: fields.into_iter().collect(), first: None })
}

/// How many words made-up prompts have: `N` or `MIN-MAX`.
pub(super) fn words(text: &str) -> Result<(usize, usize), Failure> {
    let number = |text: &str| text.trim().parse().ok().filter(|number| (1..=MAX_WORDS).contains(number));
    let range = match text.split_once('-') {
        Some((least, most)) => number(least).zip(number(most)),
        None => number(text).map(|words| (words, words)),
    };
    range.filter(|(least, most)| least <= most).ok_or_else(|| {
        Failure::usage(format!("--prompt-words takes N or MIN-MAX, 1 to {MAX_WORDS}, not {text}")).remedy("for example 20-200")
    })
}

/// Made-up prompts, each of so many words.
pub(super) fn made_up((least, most): (usize, usize), wanted: u64, seed: u64) -> Vec<Prompt> {
    let mut rng = Rng::with_seed(seed);
    let mut text = |number| {
        let words = rng.usize(least..=most);
        let first = word(seed, 0, number);
        let mut text = format!("{first}:");
        for word in 1..words {
            text.push_str(if word == 1 { " Tell a long story about" } else { "" });
            text.push(' ');
            text.push_str(WORDS[rng.usize(..WORDS.len())]);
        }
        Prompt { text, fields: Vec::new(), first: Some(first) }
    };
    (0..wanted.clamp(1, MADE_UP)).map(&mut text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_string_or_an_object_with_further_fields() {
        assert_eq!(line_of("\"hi\"").map(|prompt| prompt.text), Ok("hi".to_owned()));
        let prompt = line_of(r#"{"prompt": "hi", "temperature": 0}"#).expect("valid");
        assert_eq!((prompt.text.as_str(), prompt.fields), ("hi", vec![("temperature".to_owned(), 0.into())]));
        assert!(line_of(r#"{"messages": [{"role": "user", "content": "hi"}]}"#).is_ok());
        for (line, why) in [
            ("hi", "not JSON"),
            ("7", "neither a string"),
            ("{}", "neither `prompt`"),
            (r#"{"prompt": 7}"#, "not a string"),
            (r#"{"prompt": "x", "stream": false}"#, "`stream`"),
        ] {
            assert!(line_of(line).expect_err("refused").contains(why), "{line}");
        }
    }

    #[test]
    fn lengths_are_a_number_or_a_range() {
        assert_eq!((words("7").ok(), words("2-9").ok()), (Some((7, 7)), Some((2, 9))));
        for text in ["", "0", "9-2", "x", "1-", "1-999999999"] {
            assert!(words(text).is_err(), "{text}");
        }
    }

    #[test]
    fn made_up_prompts_follow_the_seed_and_differ_at_once() {
        let prompts = made_up((3, 9), 50, 4);
        assert_eq!(prompts, made_up((3, 9), 50, 4));
        assert_ne!(prompts, made_up((3, 9), 50, 5));
        assert!(made_up((1, 1), 1000, 0).len() < 1000);
    }

    #[test]
    fn no_two_pairs_phases_or_seeds_ask_what_begins_alike() {
        let prompt = made_up((5, 5), 1, 4).remove(0);
        let request = Request::new(Bytes::from(format!("{{\"content\":\"{}\"}}", prompt.text)));
        let ready = Ready::new(request, prompt.first.as_deref());
        let body = |seed, phase, pair| ready.of(seed, phase, pair).into_body();
        assert_eq!(body(1, 2, 3), body(1, 2, 3));
        let mut bodies = std::collections::BTreeSet::new();
        for (seed, phase) in (0..5).flat_map(|seed| (0..5).map(move |phase| (seed, phase))) {
            bodies.extend((0..100).map(|pair| body(seed, phase, pair)));
        }
        assert_eq!(bodies.len(), 2500);
        let plain = ready.request.body();
        assert!(bodies.iter().all(|body| body.len() == plain.len() && body[28..] == plain[28..]));
        let file = Ready::new(Request::new(Bytes::from_static(b"{}")), None);
        assert_eq!(file.of(1, 2, 3).body(), "{}");
    }
}
