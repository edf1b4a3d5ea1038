//! Origins as a configuration writes them: exact ones, and all below a name.

use std::{cmp::Reverse, collections::HashMap, fmt};

use url::{Host, Url};

use super::address::{Class, class};

/// An origin, or all whose names end alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Scheme, host and port in the URL parser's spelling, without a default port or a final dot.
    Exact(Url),
    /// `https://*.suffix`: names with one or more labels before the suffix, never the suffix itself.
    Below {
        /// Two labels or more, without a dot at either end.
        suffix: String,
        /// The port, also where it is 443.
        port: u16,
    },
}

/// An entry that is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnOrigin {
    /// More or less than an origin.
    #[error(
        "`{0}` is not an origin; write scheme, host and port alone, as in https://llm.example.com or http://127.0.0.1:11434"
    )]
    Malformed(String),
    /// A `*` where none can be.
    #[error("`{0}`: a `*` stands for names below a domain of two labels or more, over https, as in https://*.example.com")]
    Wildcard(String),
}

impl Pattern {
    /// Reads an entry: an origin, or `https://*.suffix`, both with or without a port.
    ///
    /// # Errors
    /// What is neither. The text does not show what stands where a password would.
    pub fn parse(entry: &str) -> Result<Self, NotAnOrigin> {
        let shown = || entry.rsplit('@').next().unwrap_or_default().to_owned();
        let wildcard = || NotAnOrigin::Wildcard(shown());
        if let Some(rest) = entry.strip_prefix("https://*.") {
            let url = exact(&format!("https://{rest}")).ok_or_else(wildcard)?;
            let Some(Host::Domain(suffix)) = url.host() else { return Err(wildcard()) };
            let port = url.port_or_known_default().unwrap_or_default();
            return if suffix.contains('.') && well_formed(suffix) {
                Ok(Self::Below { suffix: suffix.to_owned(), port })
            } else {
                Err(wildcard())
            };
        }
        match exact(entry) {
            Some(url) => Ok(Self::Exact(url)),
            None if entry.contains('*') => Err(wildcard()),
            None => Err(NotAnOrigin::Malformed(shown())),
        }
    }

    /// Whether it names one address, for which no name is looked up.
    pub fn is_address(&self) -> bool {
        matches!(self, Self::Exact(url) if matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_))))
    }

    /// Whether it is plain http beyond this machine and its network: what is sent there may be read on the way.
    pub fn is_exposed(&self) -> bool {
        let Self::Exact(url) = self else { return false };
        let near = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => class(address.into()) == Class::Private,
            Some(Host::Ipv6(address)) => class(address.into()) == Class::Private,
            None => false,
        };
        url.scheme() == "http" && !near
    }

    /// Whether this URL's name lies below.
    fn has_below(&self, url: &Url) -> bool {
        let Self::Below { suffix, port } = self else { return false };
        let name = url.domain().map(|name| name.strip_suffix('.').unwrap_or(name));
        let labels = name.and_then(|name| name.strip_suffix(suffix.as_str())?.strip_suffix('.'));
        url.scheme() == "https" && url.port_or_known_default() == Some(*port) && labels.is_some_and(well_formed)
    }

    /// The length of what names end in.
    fn depth(&self) -> usize {
        if let Self::Below { suffix, .. } = self { suffix.len() } else { usize::MAX }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(url) => f.write_str(&spelled(url)),
            Self::Below { suffix, port: 443 } => write!(f, "https://*.{suffix}"),
            Self::Below { suffix, port } => write!(f, "https://*.{suffix}:{port}"),
        }
    }
}

/// An entry that is an origin and no more, a final dot of its name taken off.
fn exact(entry: &str) -> Option<Url> {
    let mut url = Url::parse(entry).ok()?;
    let plain = matches!(url.scheme(), "https" | "http")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && entry.bytes().all(|byte| byte > b' ' && !b"@\\\x7f".contains(&byte))
        && !url.host_str()?.contains('*');
    if let Some(name) = url.domain().and_then(|name| name.strip_suffix('.')).map(str::to_owned) {
        url.set_host(Some(&name)).ok()?;
    }
    plain.then_some(url)
}

/// Whether no label of a name is empty.
fn well_formed(labels: &str) -> bool {
    labels.split('.').all(|label| !label.is_empty())
}

/// Scheme, host and port in one spelling: a final dot of the name makes no difference.
fn spelled(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host);
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{host}{port}", url.scheme())
}

/// Something for each of some patterns. The most exact one counts: an origin before what ends alike, a longer end before a
/// shorter.
#[derive(Clone, Debug)]
pub struct PatternMap<T> {
    exact: HashMap<String, T>,
    /// Longest suffix first.
    below: Vec<(Pattern, T)>,
}

impl<T> Default for PatternMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: Vec::new() }
    }
}

impl<T> PatternMap<T> {
    /// Adds one, in place of what was there for the same pattern, which it gives back.
    pub fn insert(&mut self, pattern: Pattern, value: T) -> Option<T> {
        if let Pattern::Exact(url) = &pattern {
            return self.exact.insert(spelled(url), value);
        }
        if let Some((_, old)) = self.below.iter_mut().find(|(other, _)| *other == pattern) {
            return Some(std::mem::replace(old, value));
        }
        self.below.push((pattern, value));
        self.below.sort_by_key(|(pattern, _)| Reverse(pattern.depth()));
        None
    }

    /// What counts for this URL's origin.
    pub fn get(&self, url: &Url) -> Option<&T> {
        let below = || self.below.iter().find(|(pattern, _)| pattern.has_below(url)).map(|(_, value)| value);
        self.exact.get(&spelled(url)).or_else(below)
    }

    /// Each pattern, as it is written, and what is there for it; sorted.
    pub fn list(&self) -> Vec<(String, &T)> {
        let exact = self.exact.iter().map(|(origin, value)| (origin.clone(), value));
        let below = self.below.iter().map(|(pattern, value)| (pattern.to_string(), value));
        let mut all: Vec<_> = exact.chain(below).collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty()
    }
}

/// A list of patterns: which of what the server may call something else may call, too.
#[derive(Clone, Debug, Default)]
pub struct Patterns(PatternMap<()>);

impl Patterns {
    /// Reads a list, as `origins = ["https://api.openai.com", "https://*.example.com"]` has it.
    ///
    /// # Errors
    /// The first entry that is not an origin or a pattern of them.
    pub fn parse(entries: &[String]) -> Result<Self, NotAnOrigin> {
        let mut patterns = PatternMap::default();
        for entry in entries {
            patterns.insert(Pattern::parse(entry)?, ());
        }
        Ok(Self(patterns))
    }

    /// Whether one of them is for this URL's origin.
    pub fn contains(&self, url: &Url) -> bool {
        self.0.get(url).is_some()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, as they are written, sorted.
    pub fn list(&self) -> Vec<String> {
        self.0.list().into_iter().map(|(pattern, ())| pattern).collect()
    }
}

#[cfg(test)]
mod tests;
