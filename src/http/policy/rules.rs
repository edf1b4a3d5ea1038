//! Rules of a configuration, which change what the table says.

use http::{HeaderName, HeaderValue};

use super::table::{HOP_BY_HOP, matches};

/// Where keys travel. They are one provider's, and not for rules, which hold for all.
pub const CREDENTIALS: &[&str] = &["authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie"];

/// A name, or the beginning of names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: Box<str>,
    /// Written with `*`.
    open: bool,
}

impl Pattern {
    fn new(text: &str) -> Result<Self, RuleError> {
        let text = text.to_ascii_lowercase();
        let start = text.strip_suffix('*');
        let name = start.unwrap_or(&text);
        // `*` is a letter of names as well, as far as HTTP goes.
        let valid = (name.is_empty() && start.is_some())
            || (!name.contains('*') && HeaderName::from_lowercase(name.as_bytes()).is_ok());
        if valid { Ok(Self { text: name.into(), open: start.is_some() }) } else { Err(RuleError::name(&text)) }
    }

    fn all(texts: &[String]) -> Result<Vec<Self>, RuleError> {
        texts.iter().map(|text| Self::new(text)).collect()
    }

    fn written(&self) -> String {
        format!("{}{}", self.text, if self.open { "*" } else { "" })
    }
}

/// Rules that cannot be used. Never shows a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Not a name, nor the beginning of one.
    #[error("the entry that begins with `{0}` is no header name, nor the beginning of one with `*` at its end (as in `x-*`)")]
    Name(String),
    /// A field that ends at each hop.
    #[error("`{0}` is made anew for each connection: it can be neither kept nor set; remove it")]
    HopByHop(String),
    /// Two rules that contradict each other.
    #[error("`{0}` stands in both keep and drop: remove it from one of them")]
    Both(String),
    /// A field that is set twice.
    #[error("`{0}` is set twice (capital letters make no difference): leave one")]
    Twice(String),
    /// A field of keys, which would go to every host.
    #[error(
        "`{0}` cannot be set: a key would go to every host that is called; it belongs to one provider (in the server's [[origin]])"
    )]
    Credential(String),
    /// A value that HTTP forbids.
    #[error("the value that `{0}` is set to has a line break or another character that headers cannot hold")]
    Value(String),
}

impl RuleError {
    /// Shows an entry as far as it is a name: behind that, a value may have been written.
    fn name(text: &str) -> Self {
        let letter = |c: &char| c.is_ascii_alphanumeric() || "-_.*".contains(*c);
        Self::Name(text.chars().take_while(letter).take(64).collect())
    }
}

/// Changes to the table, from a configuration.
///
/// What ends at each hop ends there whatever the rules say. Apart from that, a field that `drop` names goes, one that
/// `keep` names stays, and the policy's table decides of the rest. A name in full counts for more than a pattern with `*`,
/// whichever list it is in; between two patterns, `drop` wins. Last, `set` puts its fields in place of what is there.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    keep: Vec<Pattern>,
    drop: Vec<Pattern>,
    /// Marked as sensitive, so that neither `Debug` here nor that of a message shows them.
    pub(super) set: Vec<(HeaderName, HeaderValue)>,
}

/// What a filter without rules refers to.
pub(super) static NO_RULES: Rules = Rules { keep: Vec::new(), drop: Vec::new(), set: Vec::new() };

impl Rules {
    /// Rules that keep and drop fields of these names, or names that begin so if they end in `*`, and set others. Capital
    /// letters make no difference.
    ///
    /// # Errors
    /// What is no name or value, ends at each hop, or contradicts another rule.
    pub fn new(keep: &[String], drop: &[String], set: impl IntoIterator<Item = (String, String)>) -> Result<Self, RuleError> {
        let mut rules = Self { keep: Pattern::all(keep)?, drop: Pattern::all(drop)?, set: Vec::new() };
        if let Some(both) = rules.keep.iter().find(|pattern| rules.drop.contains(pattern)) {
            return Err(RuleError::Both(both.written()));
        }
        if let Some(hop) = rules.keep.iter().map(Pattern::written).find(|name| matches(HOP_BY_HOP, name)) {
            return Err(RuleError::HopByHop(hop));
        }
        for (name, value) in set {
            let Pattern { text, open: false } = Pattern::new(&name)? else { return Err(RuleError::name(&name)) };
            if matches(HOP_BY_HOP, &text) {
                return Err(RuleError::HopByHop(text.into()));
            }
            if matches(CREDENTIALS, &text) {
                return Err(RuleError::Credential(text.into()));
            }
            let name = HeaderName::from_lowercase(text.as_bytes()).map_err(|_| RuleError::name(&text))?;
            if rules.set.iter().any(|(other, _)| *other == name) {
                return Err(RuleError::Twice(text.into()));
            }
            let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| RuleError::Value(text.into()))?;
            value.set_sensitive(true);
            rules.set.push((name, value));
        }
        Ok(rules)
    }

    /// The same, and fields of these names go whatever else is said of them.
    #[must_use]
    pub fn dropping<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut rules = self.clone();
        rules.drop.extend(names.into_iter().map(|name| Pattern { text: name.into(), open: false }));
        rules
    }

    /// Whether they change nothing.
    pub const fn is_empty(&self) -> bool {
        self.keep.is_empty() && self.drop.is_empty() && self.set.is_empty()
    }

    /// Whether a field stays, if they say anything of it.
    pub(super) fn verdict(&self, name: &str) -> Option<bool> {
        let names = |list: &[Pattern]| list.iter().any(|pattern| !pattern.open && *pattern.text == *name);
        let covers = |list: &[Pattern]| list.iter().any(|pattern| pattern.open && name.starts_with(&*pattern.text));
        if names(&self.drop) {
            Some(false)
        } else if names(&self.keep) {
            Some(true)
        } else if covers(&self.drop) {
            Some(false)
        } else {
            covers(&self.keep).then_some(true)
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::http::policy) fn rules(keep: &[&str], drop: &[&str], set: &[(&str, &str)]) -> Result<Rules, RuleError> {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Rules::new(&owned(keep), &owned(drop), set.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())))
    }

    #[test]
    fn rules_that_cannot_be_used_are_refused_with_the_reason() {
        for (keep, drop, set, expected) in [
            (&["a b"][..], &[][..], &[][..], "begins with `a`"),
            (&[""], &[], &[], "is no header name"),
            (&[], &["x-*-y"], &[], "begins with `x-*-y`"),
            (&[], &["**"], &[], "is no header name"),
            (&["Connection"], &[], &[], "`connection` is made anew"),
            (&["proxy-*"], &[], &[], "`proxy-*` is made anew"),
            (&["host"], &[], &[], "neither kept nor set"),
            (&[], &[], &[("Content-Length", "1")], "`content-length` is made anew"),
            (&[], &[], &[("x-*", "1")], "begins with `x-*`"),
            (&[], &[], &[("Authorization", "secret")], "`authorization` cannot be set"),
            (&[], &[], &[("x-a", "1\n2")], "`x-a` is set to has a line break"),
            (&[], &[], &[("x-a", "1"), ("X-A", "2")], "`x-a` is set twice"),
            (&["X-A"], &["x-a"], &[], "`x-a` stands in both"),
            (&["*"], &["*"], &[], "`*` stands in both"),
        ] {
            let error = rules(keep, drop, set).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(rules(&[], &["connection", "host"], &[]).is_ok(), "dropping them is nothing new");
    }

    #[test]
    fn what_is_dropped_on_top_goes_whatever_the_rules_keep() {
        let rules = rules(&["x-api-key", "x-*"], &[], &[]).expect("valid").dropping(["x-api-key", "cookie"]);
        assert_eq!(["x-api-key", "cookie", "x-other"].map(|name| rules.verdict(name)), [Some(false), Some(false), Some(true)]);
    }

    #[test]
    fn rules_say_whether_they_do_anything() {
        let none = Rules::default();
        assert!(none.is_empty());
        let (keep, drop) = (rules(&["a"], &[], &[]).expect("valid"), rules(&[], &["a"], &[]).expect("valid"));
        assert!(!keep.is_empty() && !drop.is_empty());
        assert!(!rules(&[], &[], &[("a", "")]).expect("valid").is_empty());
    }
}
