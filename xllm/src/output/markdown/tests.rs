use super::*;

fn render<'t>(pieces: impl IntoIterator<Item = &'t str>) -> String {
    let (mut markdown, mut out) = (Markdown::default(), String::new());
    for piece in pieces {
        markdown.feed(piece, &mut out);
    }
    markdown.finish(&mut out);
    out
}

/// What the eye reads: the text without its styles.
fn bare(shown: &str) -> String {
    let mut text = String::new();
    let mut rest = shown;
    while let Some(at) = rest.find('\x1b') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[rest.find('m').expect("a style ends") + 1..];
    }
    text + rest
}

/// Readable in assertions: styles as `<1>`.
fn tagged(text: &str) -> String {
    render([text])
        .replace("\x1b[", "<")
        .replace("1m", "1>")
        .replace("<0m", "<0>")
        .replace("<3m", "<3>")
        .replace("<36m", "<36>")
        .replace("<4m", "<4>")
        .replace("<2m", "<2>")
        .replace("4m", "4>")
        .replace("3m", "3>")
        .replace("9m", "9>")
}

const SAMPLE: &str = "# Title **x**\n\nPlain *it* **bold `c*d`** ~~no~~ __b__ _i_ ***both***.\n- item 2 * 3\n  * sub `a`\n1. one\n> quote *x*\n> > deeper\n\n\
```rust\nfn main() { let x = \"**\"; }\n``` not the end\n  indented\n```\n| a | *b* |\n|---|---|\n---\n[link](http://x.y/a_(b)) [no] [no](a b) \\*esc\\* \\(f\\)\n\
snake_case_name 2*3*4 **open\n`unclosed\n#hash\n####### seven\n* \n+ plus\n~~~\n`x`\n~~~\n日本*語*👩‍👧 `` a`b ``\n*";

#[test]
fn how_the_text_was_cut_makes_no_difference() {
    let whole = render([SAMPLE]);
    for (cut, _) in SAMPLE.char_indices() {
        let (before, after) = SAMPLE.split_at(cut);
        assert_eq!(render([before, after]), whole, "cut at {cut}");
    }
    let letters: Vec<String> = SAMPLE.chars().map(String::from).collect();
    assert_eq!(render(letters.iter().map(String::as_str)), whole);
}

#[test]
fn what_was_shown_is_never_taken_back() {
    let (mut markdown, mut out) = (Markdown::default(), String::new());
    markdown.feed(SAMPLE, &mut out);
    markdown.finish(&mut out);
    let moves = out.match_indices('\x1b').filter(|(at, _)| {
        let end = out[*at..].find(|c: char| c.is_ascii_alphabetic()).expect("a style ends");
        !out[at + end..].starts_with('m')
    });
    assert_eq!((moves.count(), out.contains('\r')), (0, false));
}

#[test]
fn markers_become_styles() {
    for (text, shown) in [
        ("a **b** c", "a <1>b<0> c"),
        ("*i* _i_", "<3>i<0> <3>i<0>"),
        ("~~s~~", "<9>s<0>"),
        ("`c*c*`", "<36>c*c*<0>"),
        ("**a *b* c**", "<1>a <3>b<0><1> c<0>"),
        ("## H `c`\nx", "<1>H <36>c<0><1><0>\nx"),
        ("# T", "<1;4>T<0>"),
        ("- a\n  * b", "• a\n  • b"),
        ("> q", "<2>│<0> q"),
        ("[t](u)", "<4>t<0><2> (u)<0>"),
        ("[u](u)", "<4>u<0>"),
        ("```sh\nls **\n\n```\nx", "<2>```sh<0>\n<36>ls **<0>\n\n<2>```<0>\nx"),
        ("\\*a\\*", "*a*"),
    ] {
        assert_eq!(tagged(text), shown, "{text}");
    }
}

#[test]
fn what_is_no_markup_stays_as_it_is() {
    for text in ["2 * 3 * 4", "2*3*4", "snake_case_name", "**open", "a ` b", "[x] y", "- [ ] task"] {
        let wanted = text.strip_prefix("- ").map_or_else(|| text.to_owned(), |rest| format!("• {rest}"));
        assert_eq!(render([text]), wanted);
    }
    for text in [
        "#hash",
        "####### x",
        "a\\(b\\)",
        "** x **",
        "~x~",
        "[a](b c)",
        "[a]",
        "a*",
        "``",
        "*",
        "__init__x",
        "| *a* |",
        "`",
        "\\",
        "![",
        "~",
        "  ",
    ] {
        assert_eq!(render([text]), text);
    }
}

#[test]
fn no_character_is_lost() {
    let text = bare(&render([SAMPLE]));
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    assert_eq!(letters(&text), letters(SAMPLE));
    assert_eq!(text.lines().count(), SAMPLE.lines().count());
}

#[test]
fn plain_text_is_shown_at_once() {
    let (mut markdown, mut out) = (Markdown::default(), String::new());
    for c in "Hello world, how are you".chars() {
        let before = out.len();
        markdown.feed(&c.to_string(), &mut out);
        assert!(out.len() > before, "{c} was held back");
    }
}

#[test]
fn a_span_that_does_not_close_is_not_held_for_ever() {
    let (mut markdown, mut out) = (Markdown::default(), String::new());
    markdown.feed("**", &mut out);
    markdown.feed(&"word ".repeat(100), &mut out);
    assert!(out.starts_with("**word word") && out.len() > 250);
}

#[test]
fn any_soup_of_markers_keeps_its_letters_however_it_is_cut() {
    // A small generator: the same soups on every run.
    let alphabet: Vec<char> = "ab1 *_`~[]()#->|\\\n:é".chars().collect();
    let mut state = 7_u64;
    for _ in 0..3000 {
        let soup: String = (0..30)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                alphabet[usize::try_from(state >> 33).expect("fits") % alphabet.len()]
            })
            .collect();
        let whole = render([soup.as_str()]);
        let letters: Vec<String> = soup.chars().map(String::from).collect();
        assert_eq!(render(letters.iter().map(String::as_str)), whole, "{soup:?}");
        let count = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
        assert_eq!(count(&bare(&whole)), count(&soup), "{soup:?}");
    }
}
