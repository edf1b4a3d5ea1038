//! Whose key a request carries: the caller's, or the configuration's in its place.

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

use super::refusal::Shape;
use crate::secret::Secret;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// Of Azure.
const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// The fields in which callers send credentials.
pub(super) const CREDENTIALS: [HeaderName; 4] = [AUTHORIZATION, X_API_KEY, X_GOOG_API_KEY, API_KEY];

/// How tokens of Anthropic's subscriptions begin; they are sent as bearer tokens alone.
const ANTHROPIC_TOKEN: &str = "sk-ant-oat";

/// The key that the gateway has for a provider.
#[derive(Debug, Clone, Default)]
pub(super) struct Key {
    own: Option<Secret>,
    /// Stands in for whatever the caller sends; else only for nothing at all.
    replaces: bool,
}

impl Key {
    /// Of the configuration: callers may send anything.
    pub(super) const fn configured(key: Secret) -> Self {
        Self { own: Some(key), replaces: true }
    }

    /// Of the environment: for callers that send none.
    pub(super) fn fallback(key: Option<&str>) -> Self {
        Self { own: key.map(Secret::new), replaces: false }
    }

    /// Whether callers may send anything.
    pub(super) const fn replaces(&self) -> bool {
        self.replaces
    }

    /// Callers' keys come first.
    pub(super) const fn yield_to_callers(&mut self) {
        self.replaces = false;
    }

    /// Puts the key into a request in the form that the provider reads. A key in the query counts as the caller's.
    pub(super) fn apply(&self, shape: Shape, headers: &mut HeaderMap, in_query: bool) {
        let sent = in_query || CREDENTIALS.iter().any(|name| headers.contains_key(name));
        let Some(key) = self.own.as_ref().filter(|_| self.replaces || !sent).map(Secret::expose) else { return };
        let bearer = || HeaderValue::try_from(format!("Bearer {key}"));
        let (name, value) = match shape {
            Shape::Anthropic if !key.starts_with(ANTHROPIC_TOKEN) => (X_API_KEY, HeaderValue::try_from(key)),
            Shape::Gemini => (X_GOOG_API_KEY, HeaderValue::try_from(key)),
            Shape::OpenAi if headers.contains_key(API_KEY) => (API_KEY, HeaderValue::try_from(key)),
            Shape::OpenAi | Shape::Anthropic => (AUTHORIZATION, bearer()),
        };
        for name in &CREDENTIALS {
            headers.remove(name);
        }
        // A key that no header can hold is no key; the provider says so.
        if let Ok(mut value) = value {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(key: &Key, shape: Shape, fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        key.apply(shape, &mut headers, false);
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII"))).collect()
    }

    #[test]
    fn a_configured_key_replaces_whatever_the_caller_sends_in_the_providers_form() {
        let key = Key::configured(Secret::new("real"));
        for sent in [&[][..], &[("x-api-key", "any")], &[("authorization", "Bearer any"), ("x-api-key", "any")]] {
            assert_eq!(after(&key, Shape::Anthropic, sent), ["x-api-key: real"]);
            assert_eq!(after(&key, Shape::OpenAi, sent), ["authorization: Bearer real"]);
            assert_eq!(after(&key, Shape::Gemini, sent), ["x-goog-api-key: real"]);
        }
        assert_eq!(after(&key, Shape::OpenAi, &[("api-key", "any")]), ["api-key: real"], "Azure's form");
        let token = Key::configured(Secret::new("sk-ant-oat01-x"));
        assert_eq!(after(&token, Shape::Anthropic, &[("x-api-key", "any")]), ["authorization: Bearer sk-ant-oat01-x"]);
    }

    #[test]
    fn a_key_of_the_environment_serves_only_callers_that_send_none() {
        let key = Key::fallback(Some("real"));
        assert_eq!(after(&key, Shape::OpenAi, &[]), ["authorization: Bearer real"]);
        for form in [("x-api-key", "own"), ("authorization", "Bearer own")] {
            assert_eq!(after(&key, Shape::Anthropic, &[form]), [format!("{}: {}", form.0, form.1)]);
        }
    }

    #[test]
    fn callers_keys_come_first_when_asked_for() {
        let mut key = Key::configured(Secret::new("real"));
        key.yield_to_callers();
        assert_eq!(after(&key, Shape::Anthropic, &[("x-api-key", "own")]), ["x-api-key: own"]);
        assert_eq!(after(&key, Shape::Anthropic, &[]), ["x-api-key: real"]);
    }

    #[test]
    fn without_a_key_the_callers_pass_in_either_form() {
        for fields in [[("x-api-key", "own")], [("authorization", "Bearer own")]] {
            assert_eq!(after(&Key::default(), Shape::Anthropic, &fields).len(), 1);
        }
    }
}
