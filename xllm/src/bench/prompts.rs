//! What is asked: lines of a file, or made-up prompts of a length.

use std::path::Path;

use fastrand::Rng;
use serde_json::{Map, Value};

use crate::exit::Failure;

/// Made-up prompts at most; beyond, they repeat.
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
        Ok(Value::String(text)) => return Ok(Prompt { text, fields: Vec::new() }),
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
    Ok(Prompt { text, fields: fields.into_iter().collect() })
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

/// Made-up prompts, each different from its first word on, so that no cache of beginnings serves them.
pub(super) fn made_up((least, most): (usize, usize), wanted: u64, seed: u64) -> Vec<Prompt> {
    let mut rng = Rng::with_seed(seed);
    let mut text = |_| {
        let words = rng.usize(least..=most);
        let mut text = format!("{:08x}:", rng.u32(..));
        for word in 1..words {
            text.push_str(if word == 1 { " Tell a long story about" } else { "" });
            text.push(' ');
            text.push_str(WORDS[rng.usize(..WORDS.len())]);
        }
        Prompt { text, fields: Vec::new() }
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
        let mut beginnings: Vec<&str> = prompts.iter().map(|prompt| &prompt.text[..8]).collect();
        beginnings.sort_unstable();
        beginnings.dedup();
        assert_eq!(beginnings.len(), 50);
        assert!(made_up((1, 1), 1000, 0).len() < 1000);
    }
}
