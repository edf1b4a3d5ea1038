//! Query parameters of the endpoints that are not a provider's.

use std::borrow::Cow;
use std::str::FromStr;

use http::request::Parts;

#[derive(Debug)]
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(crate) fn new(head: &'a Parts) -> Self {
        Self(head.uri.query().unwrap_or_default())
    }

    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut pairs = url::form_urlencoded::parse(self.0.as_bytes());
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    }

    /// A number, if it is there; the error is a sentence.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let parse = |text: Cow<'_, str>| {
            let number = text.parse();
            number.map_err(|_| format!("`{name}` is no number in range: `{text}`"))
        };
        self.text(name).map(parse).transpose()
    }
}
