//! Which models a client may ask. Looked for in the JSON body, and only where a client has such a rule: its bodies are then taken in
//! whole before the upstream is called.

use std::{borrow::Cow, collections::HashSet, fmt};

use super::paths::is_unambiguous;
use http::{HeaderMap, Method, header::CONTENT_ENCODING};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

/// Names of models, or beginnings of names with `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models {
    names: HashSet<String>,
    beginnings: Vec<String>,
}

/// An entry that is no name of a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither the name of a model nor the beginning of one with `*`, as in gpt-4o or claude-*")]
pub struct NotAModel(String);

/// Why a request may not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// It names another one. (What it names is not repeated: it is the caller's text.)
    #[error("this client may not ask the model that the request names; it may ask: {0}")]
    NotAllowed(String),
    /// It names none.
    #[error("this client may ask some models alone, and the request names none that can be found; it may ask: {0}")]
    None(String),
    /// The path cannot be read in one way alone.
    #[error("this client may ask some models alone, and the request's path can be read in several ways")]
    Path,
    /// The body cannot be read.
    #[error("this client may ask some models alone, and the request's body {0}, so the model cannot be found in it")]
    Unreadable(&'static str),
}

impl Models {
    /// These names.
    ///
    /// # Errors
    /// The first that is none.
    pub fn new(list: &[String]) -> Result<Self, NotAModel> {
        let mut models = Self::default();
        for entry in list {
            let name = entry.strip_suffix('*');
            let text = name.unwrap_or(entry);
            if text.is_empty()
                || text.contains('*')
                || text.chars().any(|character| character.is_control() || character.is_whitespace())
            {
                return Err(NotAModel(entry.clone()));
            }
            match name {
                Some(beginning) => models.beginnings.push(beginning.to_owned()),
                None => drop(models.names.insert(entry.clone())),
            }
        }
        Ok(models)
    }

    fn allows(&self, name: &str) -> bool {
        self.names.contains(name) || self.beginnings.iter().any(|beginning| name.starts_with(beginning))
    }

    /// Whether a request may pass.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), ModelError> {
        // What lists models or fetches an answer asks none.
        if body.is_empty() && matches!(*method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        if headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(ModelError::Unreadable("is compressed"));
        }
        if !is_unambiguous(path) {
            return Err(ModelError::Path);
        }
        let in_path = in_path(path);
        let in_body = if body.is_empty() { None } else { in_body(body)? };
        if in_path.is_none() && in_body.is_none() {
            return Err(ModelError::None(self.to_string()));
        }
        // Both have to be allowed where both are there: which of them the upstream goes by is not known here.
        if [in_path, in_body].into_iter().flatten().all(|name| self.allows(&name)) {
            Ok(())
        } else {
            Err(ModelError::NotAllowed(self.to_string()))
        }
    }
}

/// Shows them as a list.
impl fmt::Display for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beginnings = self.beginnings.iter().map(|beginning| format!("{beginning}*"));
        let mut all: Vec<_> = self.names.iter().cloned().chain(beginnings).collect();
        all.sort_unstable();
        f.write_str(&all.join(", "))
    }
}

/// The model that a path names: `…/models/NAME` and `…/models/NAME:verb` (Gemini), `…/deployments/NAME/…` (Azure). The last such
/// place counts, whose name is compared as it stands: one with an escape in it is like no model's.
fn in_path(path: &str) -> Option<Cow<'_, str>> {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let mut segments = path.split('/').rev().peekable();
    while let Some(segment) = segments.next() {
        if segments.peek().is_some_and(|before| matches!(*before, "models" | "deployments")) && !segment.is_empty() {
            return Some(Cow::Borrowed(segment.split_once(':').map_or(segment, |(name, _)| name)));
        }
    }
    None
}

/// The model that a JSON body names at its top.
fn in_body(body: &[u8]) -> Result<Option<Cow<'static, str>>, ModelError> {
    serde_json::from_slice::<Named>(body)
        .map(|named| named.0.map(Cow::Owned))
        .map_err(|_| ModelError::Unreadable("is not one JSON object with one `model` at most, which is a text"))
}

/// The one `model` of an object.
struct Named(Option<String>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Top;
        impl<'de> Visitor<'de> for Top {
            type Value = Named;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
                let mut model = None;
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    if key == "model" {
                        // Readers disagree which of two counts.
                        if model.replace(map.next_value()?).is_some() {
                            return Err(A::Error::duplicate_field("model"));
                        }
                    } else if key.eq_ignore_ascii_case("model") {
                        // Some readers take this for `model`.
                        return Err(A::Error::custom("a field that some take for `model`"));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Named(model))
            }
        }
        from.deserialize_map(Top)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn models() -> Models {
        Models::new(&["gpt-4o".into(), "claude-3-*".into()]).expect("names")
    }

    fn check(path: &str, body: &str) -> Result<(), ModelError> {
        models().check(&Method::POST, path, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn a_request_passes_if_the_model_that_it_names_is_allowed() {
        for (path, body) in [
            ("/v1/chat/completions", r#"{"model":"gpt-4o","messages":[]}"#),
            ("/v1/chat/completions", r#"{"messages":[{"model":"o3"}], "mod\u0065l" : "gpt-4o"}"#),
            ("/v1/messages?beta=true", r#" {"model":"claude-3-haiku-20240307"} "#),
            ("/v1beta/models/claude-3-x:streamGenerateContent?alt=sse", r#"{"contents":[]}"#),
            ("/v1beta/models/gpt-4o:generateContent", r#"{"model":"gpt-4o"}"#),
            ("/openai/deployments/gpt-4o/chat/completions?api-version=1", "{}"),
        ] {
            assert_eq!(check(path, body), Ok(()), "{path} {body}");
        }
        assert_eq!(models().check(&Method::GET, "/v1/models", &HeaderMap::new(), b""), Ok(()));
    }

    #[test]
    fn a_request_does_not_pass_if_it_names_another_model_or_none() {
        let list = || models().to_string();
        assert_eq!(list(), "claude-3-*, gpt-4o");
        for (path, body) in [
            ("/v1/chat/completions", r#"{"model":"gpt-4o-mini"}"#),
            ("/v1/chat/completions", r#"{"model":"GPT-4O"}"#),
            ("/v1/chat/completions", r#"{"model":"claude-3"}"#),
            ("/v1beta/models/o3:generateContent", r#"{"model":"gpt-4o"}"#),
            ("/v1beta/models/gpt-4o:generateContent", r#"{"model":"o3"}"#),
            ("/v1beta/models/gpt%2D4o:generateContent", "{}"),
            ("/models/gpt-4o/models/o3", "{}"),
        ] {
            assert_eq!(check(path, body), Err(ModelError::NotAllowed(list())), "{path} {body}");
        }
        for path in ["/models/gpt-4o/../o3:go", "/models//o3:go", "/models%2fo3:go", "/models/gpt-4o/%2e./o3"] {
            assert_eq!(check(path, r#"{"model":"gpt-4o"}"#), Err(ModelError::Path), "{path}");
        }
        for body in [r"{}", r#"{"messages":[{"model":"gpt-4o"}]}"#, ""] {
            assert_eq!(check("/v1/messages/batches", body), Err(ModelError::None(list())), "{body}");
        }
    }

    #[test]
    fn a_body_that_readers_may_read_in_two_ways_does_not_pass() {
        for body in [
            r#"{"model":"gpt-4o","model":"o3"}"#,
            r#"{"model":"gpt-4o","mod\u0065l":"o3"}"#,
            r#"{"model":"gpt-4o","Model":"o3"}"#,
            r#"{"model":"gpt-4o"}{"model":"o3"}"#,
            r#"{"model":"gpt-4o"} x"#,
            r#"[{"model":"gpt-4o"}]"#,
            r#"{"model":["gpt-4o"]}"#,
            r#"{"model":null}"#,
            r#"{"model":"gpt-4o""#,
            "\u{feff}{\"model\":\"gpt-4o\"}",
            "--boundary\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1",
        ] {
            assert!(matches!(check("/v1/chat/completions", body), Err(ModelError::Unreadable(_))), "{body}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let error = models().check(&Method::POST, "/", &headers, br#"{"model":"gpt-4o"}"#);
        assert_eq!(error, Err(ModelError::Unreadable("is compressed")));
    }

    #[test]
    fn only_names_and_beginnings_of_names_are_entries() {
        for entry in ["", "*", "a*b", "**", "gpt 4", "a\n"] {
            assert_eq!(Models::new(&[entry.into()]), Err(NotAModel(entry.into())), "{entry}");
        }
    }
}
