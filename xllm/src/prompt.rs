//! What is asked: the words of the command line, standard input and attached files.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::exit::Failure;

/// Larger than any API takes; keeps a mistaken file from filling the memory.
const MAX_ATTACHMENT: u64 = 32 << 20;

/// One piece of the user's message.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Plain text.
    Text(String),
    /// A picture, in base64.
    Image { media_type: &'static str, data: String },
}

// Prompts stay out of whatever prints a value.
impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Image { media_type, data } => write!(f, "Image({media_type}, {} bytes)", data.len()),
        }
    }
}

/// Reads everything the user gives. The order is files, standard input, prompt:
/// models answer better when the question comes last.
pub(crate) fn read(words: &[String], files: &[impl AsRef<Path>]) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    for path in files {
        parts.push(attachment(path.as_ref())?);
    }
    let prompt = words.join(" ");
    let stdin = io::stdin();
    let wanted = prompt == "-" || !stdin.is_terminal();
    let piped = if wanted { read_all(stdin.lock(), "standard input")? } else { Vec::new() };
    assemble(parts, piped, if prompt == "-" { "" } else { &prompt })
}

fn assemble(mut parts: Vec<Part>, piped: Vec<u8>, prompt: &str) -> Result<Vec<Part>, Failure> {
    let prompt = prompt.trim();
    let mut text = String::new();
    if !piped.is_empty() {
        match classify(piped, "standard input")? {
            Part::Text(piped) => piped.trim_end().clone_into(&mut text),
            image @ Part::Image { .. } => parts.push(image),
        }
    }
    if !text.is_empty() && !prompt.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(prompt);
    if !text.trim().is_empty() {
        parts.push(Part::Text(text));
    }
    if parts.is_empty() {
        return Err(Failure::usage("there is nothing to ask").remedy("xllm \"Hello world\", or see xllm --help"));
    }
    Ok(parts)
}

fn attachment(path: &Path) -> Result<Part, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::usage(format!("cannot open {name}: {error}")))?;
    let part = classify(read_all(file, &name)?, &name)?;
    Ok(match part {
        Part::Text(text) => {
            let name = path.file_name().map_or_else(|| name.clone(), |name| name.to_string_lossy().into_owned());
            let end = if text.ends_with('\n') { "" } else { "\n" };
            Part::Text(format!("<file name=\"{name}\">\n{text}{end}</file>"))
        }
        image @ Part::Image { .. } => image,
    })
}

fn read_all(from: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(MAX_ATTACHMENT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > MAX_ATTACHMENT {
        return Err(Failure::usage(format!("{name} is larger than {} MiB", MAX_ATTACHMENT >> 20)));
    }
    Ok(bytes)
}

/// Tells by the content, never by the name, what a file is.
fn classify(bytes: Vec<u8>, name: &str) -> Result<Part, Failure> {
    if let Some(media_type) = image_type(&bytes) {
        return Ok(Part::Image { media_type, data: STANDARD.encode(&bytes) });
    }
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    text.map(|text| Part::Text(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))).ok_or_else(|| {
        Failure::usage(format!("{name} is neither UTF-8 text nor a PNG, JPEG, GIF or WebP image"))
            .remedy("convert it first, for example with pdftotext or iconv")
    })
}

fn image_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[test]
    fn standard_input_is_the_prompt_or_its_context() {
        for (piped, prompt, whole) in
            [("", "hi", "hi"), ("hi\n", "", "hi"), ("a\nb\n", "sum up", "a\nb\n\nsum up"), (" \n", "hi", "hi")]
        {
            let parts = assemble(Vec::new(), piped.as_bytes().to_vec(), prompt).expect("something to ask");
            assert_eq!(parts, [text(whole)]);
        }
    }

    #[test]
    fn nothing_to_ask_is_an_error() {
        assert!(assemble(Vec::new(), b" \n".to_vec(), " ").is_err());
    }

    #[test]
    fn images_are_told_by_their_content() {
        for (bytes, media_type) in [
            (&b"\x89PNG\r\n\x1a\n.."[..], "image/png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"GIF89a", "image/gif"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        ] {
            let part = classify(bytes.to_vec(), "x.txt").expect("an image");
            assert!(matches!(part, Part::Image { media_type: found, .. } if found == media_type));
        }
    }

    #[test]
    fn other_binaries_are_refused_by_name() {
        for bytes in [&b"%PDF-1.7\0\xff"[..], b"\x7fELF\0", b"\xff\xfeh\0i\0"] {
            let said = classify(bytes.to_vec(), "x.bin").expect_err("binary").to_string();
            assert!(said.starts_with("x.bin is neither"), "{said}");
        }
    }

    #[test]
    fn a_text_file_is_attached_with_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes.md");
        std::fs::write(&path, "\u{feff}one").expect("writable");
        assert_eq!(attachment(&path).expect("text"), text("<file name=\"notes.md\">\none\n</file>"));
    }

    #[test]
    fn debug_shows_no_prompt() {
        assert_eq!(format!("{:?}", text("private")), "Text(7 bytes)");
    }
}
