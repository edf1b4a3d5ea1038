//! Rules about paths, on the bytes that are sent.

/// Beginnings of paths that may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixes(Vec<Box<str>>);

/// An entry that no path can be held against.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no beginning of a path: write it as it is sent, as in /v1/, without dot segments, `//`, `%`, `;`, `?` and `#`"
)]
pub struct NotAPrefix(String);

impl Prefixes {
    /// Beginnings of paths: at the end of a segment, or inside it where they end in `/`, which is at the end of one as well.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse(entries: &[String]) -> Result<Self, NotAPrefix> {
        let plain = |entry: &str| {
            entry.starts_with('/')
                && entry.bytes().all(|byte| byte.is_ascii_graphic() && !b"%;?#\\".contains(&byte))
                && is_unambiguous(entry)
        };
        match entries.iter().find(|entry| !plain(entry)) {
            Some(entry) => Err(NotAPrefix(entry.clone())),
            None => Ok(Self(entries.iter().map(|entry| entry.as_str().into()).collect())),
        }
    }

    /// Whether a path, as it is sent, begins so, and every upstream takes it for what stands there. Capital letters count.
    pub fn allow(&self, path: &str) -> bool {
        let begins = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
        };
        self.0.iter().any(|prefix| begins(prefix)) && is_unambiguous(path)
    }

    /// As they are written.
    pub fn list(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// Whether no reader could take a path for another one: it has no dot segment, empty segment or backslash, and nothing that becomes
/// one when it is decoded, be it twice; no escape that is cut short, overlong or of a control character.
pub(super) fn is_unambiguous(path: &str) -> bool {
    let segments = path.split('/').count();
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let parts: Vec<_> = bytes.split(|byte| *byte == b'/').collect();
        let empty = parts.iter().skip(1).rev().skip(1).any(|segment| segment.is_empty());
        let dots = |segment: &&[u8]| segment.split(|byte| *byte == b';').any(|part| matches!(part, b"." | b".."));
        // 0xc0 and 0xc1 begin no character: they begin overlong forms, as of `.` and `/`, that some readers take.
        let odd = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'\\' | 0xc0 | 0xc1);
        if parts.len() != segments || empty || parts.iter().any(dots) || bytes.iter().any(odd) {
            return false;
        }
        match decode(&bytes) {
            Some(decoded) if decoded == bytes => return true,
            // It is shorter: this ends.
            Some(decoded) => bytes = decoded,
            None => return false,
        }
    }
}

/// Its escapes decoded once; `None` if one is no escape.
fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, behind @ ..] = rest {
        rest = behind;
        let mut byte = *first;
        if byte == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            let digits = digits.iter().all(u8::is_ascii_hexdigit).then(|| str::from_utf8(digits).ok())??;
            (byte, rest) = (u8::from_str_radix(digits, 16).ok()?, behind);
        }
        decoded.push(byte);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(entries: &[&str]) -> Prefixes {
        Prefixes::parse(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>()).expect("prefixes")
    }

    #[test]
    fn a_path_passes_at_the_end_of_a_segment() {
        let rules = prefixes(&["/v1/", "/v2beta", "/exact/chat"]);
        for path in [
            "/v1/",
            "/v1/chat/completions",
            "/v1/models/a.b..c:generate",
            "/v1/files/.hidden",
            "/v1/...",
            "/v1/a%20b",
            "/v1/größe",
            "/v1/a;b=c",
            "/v1/models/",
            "/v2beta",
            "/v2beta/",
            "/v2beta/models",
            "/exact/chat",
        ] {
            assert!(rules.allow(path), "{path}");
        }
        for path in [
            "/",
            "",
            "/v1",
            "/V1/chat",
            "/v1x/",
            "/v2betax",
            "/v2beta;x",
            "/v2bet",
            "/exact/chats",
            "/exact/Chat",
            "/x/v1/",
            "/%761/chat",
            "v1/",
            "*",
        ] {
            assert!(!rules.allow(path), "{path}");
        }
    }

    #[test]
    fn no_spelling_of_another_path_passes() {
        let rules = prefixes(&["/v1/", "/v2"]);
        for path in [
            "/v1/../admin",
            "/v1/..",
            "/v1/.",
            "/v1/./x",
            "/v1/%2e%2e/admin",
            "/v1/%2E%2e/admin",
            "/v1/.%2E/admin",
            "/v1/%2e./admin",
            "/v1/%2e",
            "/v1/..;/admin",
            "/v1/..;x=y/admin",
            "/v1/;../admin",
            "/v1/a;/../admin",
            "/v1/%2e%2e;/admin",
            "/v1/..%3b/admin",
            "/v1/%252e%252e/admin",
            "/v1/%25252e%25252e/admin",
            "/v1/%2%65%2%65/admin",
            "/v1/..%2fadmin",
            "/v1/..%2Fadmin",
            "/v1/a%2fb",
            "/v1/a%252fb",
            "/v1/..%5cadmin",
            "/v1/..%5Cadmin",
            "/v1/..\\admin",
            "/v1/a%255cb",
            "/v1//admin",
            "//v1/admin",
            "/v1/a//b",
            "/v2//",
            "/v1/%c0%ae%c0%ae/admin",
            "/v1/%c0%afadmin",
            "/v1/%u002e%u002e/admin",
            "/v1/%",
            "/v1/%2",
            "/v1/%zz",
            "/v1/%+1",
            "/v1/%00",
            "/v1/x%0d%0ay",
            "/v1/%09",
            "/v1/%7f",
            "/v2/../v1/x",
        ] {
            assert!(!rules.allow(path), "{path}");
        }
    }

    #[test]
    fn a_rule_that_no_path_can_be_held_against_is_refused() {
        for entry in ["", "v1", "/v1/../x", "/./", "//", "/v1//", "/v%31/", "/v1?x", "/v1#", "/a b", "/a;b", "/ä", "/a\\b"] {
            assert!(Prefixes::parse(&[entry.to_owned()]).is_err(), "{entry}");
        }
        assert_eq!(prefixes(&["/", "/v1"]).list().collect::<Vec<_>>(), ["/", "/v1"]);
    }
}
