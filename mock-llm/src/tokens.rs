//! Splits text into plausible tokens.

/// Letters in one token at most; what is longer is split, as real tokenizers split rare words.
const LONGEST_WORD: usize = 9;
/// The same for letters outside ASCII, which real vocabularies cover more thinly.
const LONGEST_FOREIGN: usize = 2;
/// Digits in one token at most.
const LONGEST_NUMBER: usize = 3;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Letter,
    Foreign,
    Digit,
    Newline,
    Space,
    Other,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            '\n' | '\r' => Self::Newline,
            _ if c.is_ascii_alphabetic() => Self::Letter,
            _ if c.is_ascii_digit() => Self::Digit,
            _ if c.is_whitespace() => Self::Space,
            _ if c.is_alphanumeric() => Self::Foreign,
            _ => Self::Other,
        }
    }

    fn longest(self) -> usize {
        match self {
            Self::Letter => LONGEST_WORD,
            Self::Foreign => LONGEST_FOREIGN,
            Self::Digit => LONGEST_NUMBER,
            Self::Newline | Self::Space => usize::MAX,
            Self::Other => 1,
        }
    }
}

/// The tokens of `text`: words with the space before them, punctuation apart, long words split.
///
/// Deterministic, and the tokens joined are `text` again. No token is empty.
pub fn split(text: &str) -> Vec<&str> {
    let mut tokens = Vec::with_capacity(text.len() / 4 + 1);
    let mut rest = text;
    while !rest.is_empty() {
        let (token, after) = rest.split_at(first(rest));
        tokens.push(token);
        rest = after;
    }
    tokens
}

/// How many tokens `text` has.
pub(crate) fn count(text: &str) -> usize {
    let mut rest = text;
    let mut tokens = 0;
    while !rest.is_empty() {
        rest = &rest[first(rest)..];
        tokens += 1;
    }
    tokens
}

/// Length of the first token of `text` in bytes; `text` is not empty.
fn first(text: &str) -> usize {
    let mut letters = text.chars().peekable();
    let mut length = 0;
    // One space goes with the word behind it, unless more whitespace follows.
    if letters.next_if_eq(&' ').is_some() {
        length = 1;
        match letters.peek().copied().map(Kind::of) {
            None | Some(Kind::Newline) => return length,
            Some(Kind::Space) => {
                let run = text.chars().take_while(|c| Kind::of(*c) == Kind::Space);
                let spaces: usize = run.map(char::len_utf8).sum();
                // The last of the run belongs to the word behind it.
                let last_is_space = text[..spaces].ends_with(' ');
                let word_follows = spaces < text.len();
                return spaces - usize::from(last_is_space && word_follows);
            }
            Some(_) => {}
        }
    }
    let Some(kind) = letters.peek().copied().map(Kind::of) else {
        return length;
    };
    let word = letters.take_while(|c| Kind::of(*c) == kind).take(kind.longest());
    length += word.map(char::len_utf8).sum::<usize>();
    length
}

#[cfg(test)]
mod tests {
    use super::{count, split};

    #[test]
    fn words_carry_their_space_and_punctuation_stands_apart() {
        assert_eq!(split("Hello, big world!"), ["Hello", ",", " big", " world", "!"]);
        assert_eq!(split("a  b\n\nc 12345"), ["a", " ", " b", "\n\n", "c", " 123", "45"]);
        assert_eq!(split("incomprehensible"), ["incompreh", "ensible"]);
        assert_eq!(split("日本語 é🙂"), ["日本", "語", " é", "🙂"]);
        assert!(split("").is_empty());
    }

    #[test]
    fn tokens_joined_are_the_text_and_none_is_empty() {
        for text in ["", " ", "  ", " \n x ", "\t\ty  z", "a\r\n\r\n  b  ", "\u{a0}\u{a0} q", "…!?"] {
            let tokens = split(text);
            assert_eq!(tokens.concat(), text);
            assert!(tokens.iter().all(|token| !token.is_empty()), "{text:?}");
            assert_eq!(tokens.len(), count(text));
        }
    }
}
