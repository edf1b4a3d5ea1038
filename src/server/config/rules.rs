//! Rules for headers, as they are written.

use serde::{Deserialize, Deserializer, de::Error as _};

use super::ConfigError;
use crate::http::policy::Rules;

/// No `Debug`: the values of `set` may be secrets.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RulesFile {
    keep: Vec<String>,
    drop: Vec<String>,
    #[serde(deserialize_with = "set")]
    set: Vec<(String, String)>,
}

fn set<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    names_and_texts(from, "`set` is a table of names and texts, as in: set = { x-team = \"research\" }")
}

/// A table of texts. What serde says of a value of another type would show it: `wrong` is said instead.
pub(super) fn names_and_texts<'de, D: Deserializer<'de>>(from: D, wrong: &str) -> Result<Vec<(String, String)>, D::Error> {
    let wrong = || D::Error::custom(wrong);
    let toml::Value::Table(table) = toml::Value::deserialize(from)? else { return Err(wrong()) };
    let text = |(name, value)| if let toml::Value::String(text) = value { Ok((name, text)) } else { Err(wrong()) };
    table.into_iter().map(text).collect()
}

impl RulesFile {
    pub(super) fn rules(self, table: &'static str) -> Result<Rules, ConfigError> {
        Rules::new(&self.keep, &self.drop, self.set).map_err(|error| ConfigError::Rules(table, error))
    }
}
