//! What may be called, as it is written.

use std::{fmt::Display, sync::Arc};

use http::Method;
use serde::{Deserialize, Deserializer};

use super::{
    ConfigError, EntryError,
    reference::{Variables, value},
    rules::names_and_texts,
};
use crate::{
    http::METHODS,
    server::guard::{
        added::Added,
        address::Reach,
        origins::{Origins, Rule},
        paths::Prefixes,
        pattern::Pattern,
    },
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OriginsFile {
    known: bool,
    pub(super) allow: Vec<String>,
}

impl Default for OriginsFile {
    fn default() -> Self {
        Self { known: true, allow: Vec::new() }
    }
}

/// No `Debug`: the values of `headers` may be secrets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OriginFile {
    at: String,
    methods: Option<Vec<String>>,
    paths: Option<Vec<String>>,
    private: Option<bool>,
    #[serde(default, deserialize_with = "headers")]
    headers: Vec<(String, String)>,
}

fn headers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    let wrong = "`headers` is a table of names and texts, as in: headers = { authorization = \"Bearer ${OPENAI_API_KEY}\" }";
    names_and_texts(from, wrong)
}

/// The allow-list. What headers refer to is looked up now.
pub(super) fn read(file: &OriginsFile, entries: Vec<OriginFile>, variables: Variables<'_>) -> Result<Origins, ConfigError> {
    let listed = file.allow.iter().map(|entry| Pattern::parse(entry)).collect::<Result<_, _>>()?;
    let ruled = entries.into_iter().map(|entry| entry.read(variables)).collect::<Result<_, _>>()?;
    Origins::new(file.known, listed, ruled).map_err(|twice| ConfigError::Entry(twice.0.clone(), twice.into()))
}

impl OriginFile {
    fn read(self, variables: Variables<'_>) -> Result<(Pattern, Rule), ConfigError> {
        let named = |at: &dyn Display| {
            let at = at.to_string();
            move |error| ConfigError::Entry(at, error)
        };
        let pattern = Pattern::parse(&self.at).map_err(|error| named(&"…")(error.into()))?;
        let rule = self.rule(&pattern, variables).map_err(named(&pattern))?;
        Ok((pattern, rule))
    }

    fn rule(self, pattern: &Pattern, variables: Variables<'_>) -> Result<Rule, EntryError> {
        let mut rule = Rule::of(pattern);
        match self.private {
            Some(_) if pattern.is_address() => return Err(EntryError::Address),
            Some(true) => rule.reach = Reach::Private,
            Some(false) => rule.reach = Reach::Public,
            None => {}
        }
        if let Some(names) = self.methods {
            rule.methods = Some(methods(&names)?);
        }
        if let Some(paths) = self.paths {
            rule.paths = Some(Prefixes::parse(&some(paths, "paths")?)?);
        }
        if !self.headers.is_empty() {
            rule.added = Some(Arc::new(added(self.headers, pattern, variables)?));
        }
        Ok(rule)
    }
}

fn some(list: Vec<String>, name: &'static str) -> Result<Vec<String>, EntryError> {
    if list.is_empty() { Err(EntryError::Empty(name)) } else { Ok(list) }
}

fn methods(names: &[String]) -> Result<Vec<Method>, EntryError> {
    if names.is_empty() {
        return Err(EntryError::Empty("methods"));
    }
    let known = |name: &String| METHODS.into_iter().find(|method| method.as_str() == name);
    let found = names.iter().map(known).collect::<Option<_>>();
    found.ok_or_else(|| EntryError::Method(METHODS.map(|method| method.to_string()).join(", ")))
}

fn added(headers: Vec<(String, String)>, pattern: &Pattern, variables: Variables<'_>) -> Result<Added, EntryError> {
    if matches!(pattern, Pattern::Below { .. }) {
        return Err(EntryError::Wildcard);
    }
    if pattern.is_exposed() {
        return Err(EntryError::Exposed);
    }
    let mut fields = Vec::with_capacity(headers.len());
    for (name, text) in headers {
        let value = value(text, variables).map_err(|error| EntryError::Reference(shown(&name), error))?;
        fields.push((name, value));
    }
    Ok(Added::new(fields)?)
}

/// A name as far as it is one: behind that, a value may have been written.
fn shown(name: &str) -> String {
    name.chars().take_while(|letter| letter.is_ascii_alphanumeric() || "-_".contains(*letter)).take(64).collect()
}

#[cfg(test)]
mod tests;
