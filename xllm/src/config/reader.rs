//! Reading TOML strictly: whatever was not asked for is an error that names file,
//! line and the nearest key. What keys there are is thus written once, where they
//! are read.

use toml::de::{DeTable, DeValue};

use crate::{env::Env, exit::Failure, secret::Secret};

/// A key with its value and the line it stands on.
pub(crate) type Entry<'a> = (String, usize, DeValue<'a>);

/// The text of a file, for telling lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
    pub(crate) env: &'a Env,
}

impl Source<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.get(..offset).unwrap_or(self.text).matches('\n').count()
    }

    /// An error of the file at this line. Never quotes the line: it may hold a secret.
    pub(crate) fn fault(&self, line: usize, what: &str) -> Failure {
        Failure::usage(format!("{}:{line}: {what}", self.name))
    }
}

/// A string of the file after `${NAME}` was put in. A variable that is not set is
/// an error only once the value is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    value: Result<Secret, String>,
    /// Stands in the file itself rather than in the environment.
    pub(crate) literal: bool,
    place: String,
}

impl Text {
    fn expand(raw: &str, source: &Source<'_>, line: usize) -> Result<Self, Failure> {
        let place = format!("{}:{line}", source.name);
        let (mut value, mut rest, mut literal) = (String::new(), raw, true);
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                value.push_str(before);
                value.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            let name_on = &rest[at + 2..];
            let end = name_on
                .find('}')
                .ok_or_else(|| source.fault(line, "`${` without `}` (write `$${` for the characters themselves)"))?;
            let name = &name_on[..end];
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(source.fault(line, "`${…}` must hold the name of an environment variable"));
            }
            literal = false;
            let Some(found) = source.env.get(name) else {
                return Ok(Self { value: Err(name.to_owned()), literal, place });
            };
            value.push_str(&rest[..at]);
            value.push_str(found);
            rest = &name_on[end + 1..];
        }
        value.push_str(rest);
        Ok(Self { value: Ok(Secret::new(value.trim())), literal, place })
    }

    /// The value, if it is there and not empty.
    pub(crate) fn known(&self) -> Option<&Secret> {
        self.value.as_ref().ok().filter(|value| !value.expose().is_empty())
    }

    /// The value; an error if its variable is not set.
    pub(crate) fn get(&self) -> Result<&str, Failure> {
        match &self.value {
            Ok(value) => Ok(value.expose()),
            Err(variable) => Err(Failure::usage(format!("{}: the environment variable {variable} is not set", self.place))
                .remedy(format!("export {variable}=…, or write the value into the file"))),
        }
    }

    /// The variable that would have to be set.
    pub(crate) fn missing_variable(&self) -> Option<&str> {
        self.value.as_ref().err().map(String::as_str)
    }
}

/// One table, read key by key.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    pub(crate) source: Source<'a>,
    path: String,
    entries: Vec<Entry<'a>>,
    asked: Vec<String>,
}

impl<'a> Table<'a> {
    /// The file's root table.
    pub(crate) fn parse(source: Source<'a>) -> Result<Self, Failure> {
        let table = DeTable::parse(source.text).map_err(|error| {
            let line = error.span().map_or(1, |span| source.line(span.start));
            source.fault(line, error.message().lines().next().unwrap_or("not valid TOML"))
        })?;
        Ok(Self::new(source, String::new(), table.into_inner()))
    }

    /// A value known to be a table, as a reader of its own.
    pub(crate) fn of(source: Source<'a>, path: String, line: usize, value: DeValue<'a>) -> Result<Self, Failure> {
        match value {
            DeValue::Table(table) => Ok(Self::new(source, path, table)),
            other => Err(source.fault(line, &format!("`{path}` must be a table, not {}", article(other.type_str())))),
        }
    }

    fn new(source: Source<'a>, path: String, table: DeTable<'a>) -> Self {
        let mut entries: Vec<_> = table
            .into_iter()
            .map(|(key, value)| (source.line(key.span().start), key.into_inner().into_owned(), value.into_inner()))
            .map(|(line, key, value)| (key, line, value))
            .collect();
        entries.sort_by_key(|entry| entry.1);
        Self { source, path, entries, asked: Vec::new() }
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &str) -> Option<(usize, DeValue<'a>)> {
        self.asked.push(key.to_owned());
        let at = self.entries.iter().position(|entry| entry.0 == key)?;
        let (_, line, value) = self.entries.remove(at);
        Some((line, value))
    }

    fn mismatch<T>(&self, key: &str, line: usize, wanted: &str, value: &DeValue<'_>) -> Result<T, Failure> {
        let what = format!("`{}` must be {wanted}, not {}", self.name(key), article(value.type_str()));
        Err(self.source.fault(line, &what))
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<Text>, Failure> {
        match self.take(key) {
            None => Ok(None),
            Some((line, DeValue::String(raw))) => Text::expand(&raw, &self.source, line).map(Some),
            Some((line, other)) => self.mismatch(key, line, "a string", &other),
        }
    }

    /// A list of strings.
    pub(crate) fn texts(&mut self, key: &str) -> Result<Vec<Text>, Failure> {
        let Some((line, value)) = self.take(key) else { return Ok(Vec::new()) };
        let DeValue::Array(values) = value else { return self.mismatch(key, line, "a list of strings", &value) };
        values
            .into_iter()
            .map(|value| match value.into_inner() {
                DeValue::String(raw) => Text::expand(&raw, &self.source, line),
                other => self.mismatch(key, line, "a list of strings", &other),
            })
            .collect()
    }

    /// A table of strings whose keys are the user's to name.
    pub(crate) fn map(&mut self, key: &str) -> Result<Vec<(String, Text)>, Failure> {
        let Some(table) = self.table(key)? else { return Ok(Vec::new()) };
        let (source, path) = (table.source, table.path.clone());
        let entry = |(name, line, value): Entry<'a>| match value {
            DeValue::String(raw) => Ok((name, Text::expand(&raw, &source, line)?)),
            other => Err(source.fault(line, &format!("`{path}.{name}` must be a string, not {}", article(other.type_str())))),
        };
        table.into_entries().into_iter().map(entry).collect()
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, Failure> {
        match self.take(key) {
            None => Ok(None),
            Some((_, DeValue::Boolean(value))) => Ok(Some(value)),
            Some((line, other)) => self.mismatch(key, line, "true or false", &other),
        }
    }

    /// A count above zero.
    pub(crate) fn count(&mut self, key: &str) -> Result<Option<u32>, Failure> {
        self.number(key, 1)
    }

    /// A number that is not below `least`.
    pub(crate) fn number(&mut self, key: &str, least: u32) -> Result<Option<u32>, Failure> {
        match self.take(key) {
            None => Ok(None),
            Some((line, DeValue::Integer(value))) => match u32::from_str_radix(value.as_str(), value.radix()) {
                Ok(value) if value >= least => Ok(Some(value)),
                _ => Err(self.source.fault(line, &format!("`{}` must be between {least} and {}", self.name(key), u32::MAX))),
            },
            Some((line, other)) => self.mismatch(key, line, "a number", &other),
        }
    }

    pub(crate) fn table(&mut self, key: &str) -> Result<Option<Table<'a>>, Failure> {
        let path = self.name(key);
        self.take(key).map(|(line, value)| Self::of(self.source, path, line, value)).transpose()
    }

    /// Whether the file has this key, without taking it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.0 == key)
    }

    /// Whether `finish` would refuse.
    pub(crate) fn has_unknown(&self) -> bool {
        !self.entries.is_empty()
    }

    /// All entries in the file's order, for tables whose keys are the user's to name.
    pub(crate) fn into_entries(self) -> Vec<Entry<'a>> {
        self.entries
    }

    /// Refuses what was not asked for.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Some((key, line, _)) = self.entries.first() else { return Ok(()) };
        let place = if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) };
        let failure = self.source.fault(*line, &format!("unknown key `{key}`{place}"));
        let known: Vec<&str> = self.asked.iter().map(String::as_str).collect();
        Err(failure.remedy(match nearest(key, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys here: {}", known.join(", ")),
        }))
    }
}

fn article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

/// The known word that was probably meant.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    /// Below this two words have too little in common to suggest one for the other.
    const ALIKE: f64 = 0.75;
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), *candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
