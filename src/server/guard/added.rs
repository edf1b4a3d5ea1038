//! Header fields that the server itself adds to what goes to an origin: a provider's key, which then no client needs to hold.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::http::policy::{CREDENTIALS, is_hop_by_hop};

/// A secret that is shorter is no key: answers hold such texts by chance, so it is looked for as a whole value alone.
const SHORT: usize = 8;

/// A header's value, and what of it is secret. Both are wiped when dropped.
#[derive(Default)]
pub struct Value {
    /// All of it.
    pub text: Zeroizing<Vec<u8>>,
    /// What does not stand in the configuration itself.
    pub secrets: Vec<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(…)")
    }
}

/// Fields for one origin. Its `Debug` has names alone.
pub struct Added {
    /// Marked as sensitive. Their memory, which requests share, is wiped with the last of them.
    fields: Vec<(HeaderName, HeaderValue)>,
    secrets: Vec<Zeroizing<Vec<u8>>>,
}

/// A field that cannot be added. Never shows a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddedError {
    /// Not a name.
    #[error("one of the names is no header's name")]
    Name,
    /// A field that ends at each hop.
    #[error("`{0}` is made anew for each connection and cannot be added")]
    HopByHop(String),
    /// A field that is added twice.
    #[error("`{0}` is added twice (capital letters make no difference): leave one")]
    Twice(String),
    /// A value that HTTP forbids.
    #[error("the value of `{0}` has a line break or another character that headers cannot hold")]
    Value(String),
}

impl Added {
    /// Of names and values. Capital letters of names make no difference.
    ///
    /// # Errors
    /// What is no name or value, or is not for us to add.
    pub fn new(fields: Vec<(String, Value)>) -> Result<Self, AddedError> {
        let mut added = Self { fields: Vec::new(), secrets: Vec::new() };
        for (name, Value { text, secrets }) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| AddedError::Name)?;
            if is_hop_by_hop(&name) {
                return Err(AddedError::HopByHop(name.to_string()));
            }
            if added.fields.iter().any(|(other, _)| *other == name) {
                return Err(AddedError::Twice(name.to_string()));
            }
            let written_out = secrets.is_empty() && CREDENTIALS.contains(&name.as_str());
            if written_out {
                // A word may stand before it that says of what kind it is, as `Bearer`.
                added.secrets.extend(text.rsplit(|byte| *byte == b' ').next().map(|key| Zeroizing::new(key.to_vec())));
            }
            if written_out || !secrets.is_empty() {
                added.secrets.push(text.clone());
            }
            added.secrets.extend(secrets);
            let value = HeaderValue::from_maybe_shared(Bytes::from_owner(text));
            let mut value = value.map_err(|_| AddedError::Value(name.to_string()))?;
            value.set_sensitive(true);
            added.fields.push((name, value));
        }
        added.secrets.retain(|secret| !secret.is_empty());
        Ok(added)
    }

    /// Puts them in place of what a request holds of the same names.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.fields {
            headers.insert(name, value.clone());
        }
    }

    /// The names of fields that must not come from a client: any that a key may be in, so that none travels beside ours.
    pub fn replaced(&self) -> impl Iterator<Item = &str> {
        CREDENTIALS.iter().copied().chain(self.names())
    }

    /// The names of what is added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Drops fields of an answer, or of its trailers, that hold what is secret.
    pub fn conceal(&self, headers: &mut HeaderMap) {
        if headers.values().any(|value| self.shows(value)) {
            let kept = headers.iter().filter(|(_, value)| !self.shows(value));
            *headers = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        }
    }

    fn shows(&self, value: &HeaderValue) -> bool {
        let value = value.as_bytes();
        let part_of = |secret: &[u8]| secret.len() >= SHORT && value.windows(secret.len()).any(|part| part == secret);
        self.secrets.iter().any(|secret| value == secret.as_slice() || part_of(secret))
    }
}

impl fmt::Debug for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, secrets: &[&str]) -> Value {
        let wiped = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        Value { text: wiped(text), secrets: secrets.iter().map(|&secret| wiped(secret)).collect() }
    }

    fn added(fields: &[(&str, &str, &[&str])]) -> Result<Added, AddedError> {
        Added::new(fields.iter().map(|&(name, text, secrets)| (name.to_owned(), value(text, secrets))).collect())
    }

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII"))).collect()
    }

    #[test]
    fn what_is_added_stands_in_place_of_what_was_there() {
        let added =
            added(&[("X-Team", "research", &[]), ("authorization", "Bearer sk-12345678", &["sk-12345678"])]).expect("valid");
        let mut headers = map(&[("x-team", "a"), ("accept", "*/*"), ("x-team", "b")]);
        added.apply(&mut headers);
        assert_eq!(lines(&headers), ["x-team: research", "accept: */*", "authorization: Bearer sk-12345678"]);
        assert!(headers["authorization"].is_sensitive());
        let replaced: Vec<_> = added.replaced().collect();
        for name in ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "x-team"] {
            assert!(replaced.contains(&name), "{name}");
        }
    }

    #[test]
    fn fields_of_answers_that_hold_what_is_secret_are_dropped() {
        let added = added(&[
            ("authorization", "Bearer sk-12345678", &["sk-12345678"]),
            ("x-api-key", "written-out", &[]),
            ("api-key", "Key in-words-1", &[]),
            ("x-org", "tiny", &["tiny"]),
            ("x-region", "eu-central-1", &[]),
            ("x-words", "12345678 in-plain-words", &["12345678"]),
        ])
        .expect("valid");
        let kept = [("a", "sk-1234567"), ("a", "tiny tot"), ("date", ""), ("a", "eu-central-1"), ("a", "in-plain-words")];
        let shown = [
            ("a", "{\"key\":\"sk-12345678\"}"),
            ("x-echo", "Bearer sk-12345678"),
            ("location", "https://x.example/?key=written-out#"),
            ("x-key", "in-words-1"),
            ("x-org", "tiny"),
        ];
        let mut headers = map(&[kept.as_slice(), &shown].concat());
        added.conceal(&mut headers);
        assert_eq!(lines(&headers), lines(&map(&kept)));
    }

    #[test]
    fn what_cannot_be_added_is_refused_and_no_value_is_shown() {
        for (fields, expected) in [
            (&[("a b", "secret", &[][..])][..], "no header's name"),
            (&[("", "secret", &[])], "no header's name"),
            (&[("authorization: secret", "", &[])], "no header's name"),
            (&[("Host", "secret", &[])], "`host` is made anew"),
            (&[("content-length", "secret", &[])], "`content-length` is made anew"),
            (&[("Connection", "secret", &[])], "`connection` is made anew"),
            (&[("proxy-authorization", "secret", &[])], "`proxy-authorization` is made anew"),
            (&[("transfer-encoding", "secret", &[])], "`transfer-encoding` is made anew"),
            (&[("te", "secret", &[])], "`te` is made anew"),
            (&[("x-a", "secret", &[]), ("X-A", "secret", &[])], "`x-a` is added twice"),
            (&[("x-a", "secret\r\nx: y", &[])], "`x-a` has a line break"),
            (&[("x-a", "secret\0", &[])], "`x-a` has a line break"),
        ] {
            let error = added(fields).expect_err(expected);
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(expected) && !shown.contains("secret"), "{shown}");
        }
        let valid = added(&[("authorization", "Bearer sk-secret", &["sk-secret"])]).expect("valid");
        let mut headers = HeaderMap::new();
        valid.apply(&mut headers);
        let shown = format!("{valid:?} {headers:?}");
        assert!(!shown.contains("secret") && shown.contains("authorization"), "{shown}");
    }

    #[test]
    fn what_a_request_holds_is_the_memory_that_is_wiped() {
        let text = Zeroizing::new(b"Bearer sk-12345678".to_vec());
        let place = text.as_ptr();
        let added = Added::new(vec![("authorization".into(), Value { text, secrets: Vec::new() })]).expect("valid");
        let mut headers = HeaderMap::new();
        added.apply(&mut headers);
        assert_eq!(headers["authorization"].as_bytes().as_ptr(), place, "no copy of it was made");
    }
}
