//! Text from elsewhere must not drive the terminal.

use std::borrow::Cow;

/// Makes control characters visible instead of letting them act: escape sequences
/// could repaint the screen, set the title or type for the user. Line feeds and tabs
/// stay; carriage returns, which overwrite lines, go. Works character by character, so
/// a sequence cut in two is caught as well.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match c {
        '\r' => None,
        c if harmless(c) => Some(c),
        '\x7f' => Some('\u{2421}'),
        c => Some(char::from_u32(0x2400 + u32::from(c)).filter(|_| u32::from(c) < 0x20).unwrap_or('\u{fffd}')),
    };
    Cow::Owned(text.chars().filter_map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_never_act() {
        assert_eq!(clean("a\x1b]0;title\x07b\u{9b}2J\x7f\r\n\tc"), "a␛]0;title␇b\u{fffd}2J␡\n\tc");
    }

    #[test]
    fn other_text_is_left_alone() {
        let text = "héllo 👩‍👩‍👧 שלום\n\t中文";
        assert!(matches!(clean(text), Cow::Borrowed(same) if same == text));
    }
}
