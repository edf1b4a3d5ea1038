//! What a server calls its error, if that may be repeated. Pure.

/// For an error whose name is none.
const NAMELESS: &str = "an error without a name";
/// Bytes of a name at most.
const LONGEST: usize = 64;
/// Digits of a name at most: `HTTP_404` has some, a key has more.
const DIGITS: usize = 4;

/// The server's word for its error where it is a name, else that it has none. A server may put anything there, and what it puts
/// there ends up in terminals, files and pages: an echoed key or prompt, the sequences that steer a terminal, megabytes.
pub(super) fn named(word: Option<&str>) -> &str {
    word.filter(|word| is_name(word)).unwrap_or(NAMELESS)
}

fn is_name(word: &str) -> bool {
    let count = |of: fn(&u8) -> bool| word.bytes().filter(of).count();
    let plain =
        (1..=LONGEST).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    let digits = count(u8::is_ascii_digit);
    // What is drawn at random has many digits, or some among letters of both cases.
    let random = digits > DIGITS || digits > 0 && count(u8::is_ascii_uppercase) > 0 && count(u8::is_ascii_lowercase) > 0;
    plain && !random && !word.starts_with("sk-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_repeated_and_nothing_else_is() {
        for name in
            ["overloaded_error", "origin-not-allowed", "invalid_request_error", "DataInspectionFailed", "1301", "HTTP_404"]
        {
            assert_eq!(named(Some(name)), name);
        }
        let long = "a".repeat(65);
        for word in [
            "",
            "\u{1b}[2Jgone",
            "two words",
            "Incorrect API key provided: sk-proj-abc",
            "sk-ant-hidden",
            "AIzaSyD9tSrke72PouQMnMX",
            "0a1b2c3d4e5f60718293",
            "naïve",
            &long,
        ] {
            assert_eq!(named(Some(word)), NAMELESS, "{word}");
        }
        assert_eq!(named(None), NAMELESS);
    }
}
