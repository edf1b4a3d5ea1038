//! The allow-list: which origins may be called, and what holds for each (section 8 of the protocol's errors,
//! `origin-not-allowed` and `not-allowed`).

use std::{borrow::Cow, collections::HashSet, fmt, sync::Arc};

use http::{HeaderMap, Method};

use super::{
    added::Added,
    address::Reach,
    paths::Prefixes,
    pattern::{Pattern, PatternMap},
};
use crate::http::{Target, policy::Rules};

/// The LLM APIs that are allowed unless the configuration says otherwise: https alone, public addresses alone.
pub const KNOWN: &[&str] = &[
    "https://api.anthropic.com",
    "https://api.openai.com",
    "https://generativelanguage.googleapis.com",
    "https://api.mistral.ai",
    "https://api.groq.com",
    "https://api.deepseek.com",
    "https://api.x.ai",
    "https://api.cohere.com",
    "https://api.perplexity.ai",
    "https://api.together.xyz",
    "https://api.fireworks.ai",
    "https://api.cerebras.ai",
    "https://openrouter.ai",
];

/// What holds for an origin.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where its name may lead. (One that is an address is called there: no name is looked up.)
    pub reach: Reach,
    /// The methods that it may be called by; `None`: all that travel.
    pub methods: Option<Vec<Method>>,
    /// What paths begin with; `None`: anything.
    pub paths: Option<Prefixes>,
    /// What goes with each request.
    pub added: Option<Arc<Added>>,
}

/// Why something may not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The origin is not on the list.
    Origin,
    /// It is, but not for this method.
    Method,
    /// It is, but not for this path.
    Path,
}

impl Rule {
    /// What holds for a pattern that nothing more is said of. A name in full that is listed by hand may lead to private addresses;
    /// a built-in one may not, whoever lists it.
    pub fn of(pattern: &Pattern) -> Self {
        let by_hand = matches!(pattern, Pattern::Exact(_)) && !KNOWN.contains(&pattern.to_string().as_str());
        let reach = if by_hand { Reach::Private } else { Reach::Public };
        Self { reach, methods: None, paths: None, added: None }
    }

    /// The rules for what clients send there: where the server adds a key, no other one travels beside it.
    pub fn for_requests<'a>(&self, rules: &'a Rules) -> Cow<'a, Rules> {
        match &self.added {
            Some(added) => Cow::Owned(rules.dropping(added.replaced())),
            None => Cow::Borrowed(rules),
        }
    }

    /// Adds to a request what is to be added.
    pub fn add(&self, headers: &mut HeaderMap) {
        if let Some(added) = &self.added {
            added.apply(headers);
        }
    }

    /// Drops the fields of an answer, or of its trailers, that hold what was added.
    #[must_use]
    pub fn conceal(&self, mut headers: HeaderMap) -> HeaderMap {
        if let Some(added) = &self.added {
            added.conceal(&mut headers);
        }
        headers
    }
}

impl fmt::Display for Rule {
    /// What is not so for every origin. No value of a header is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = self.methods.iter().map(|methods| methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", "));
        let paths = self.paths.iter().map(|paths| paths.list().collect::<Vec<_>>().join(", "));
        let added = self.added.iter().map(|added| format!("adds {}", added.names().collect::<Vec<_>>().join(", ")));
        let private = (self.reach == Reach::Private).then(|| "private addresses, too".to_owned());
        f.write_str(&methods.chain(paths).chain(private).chain(added).collect::<Vec<_>>().join("; "))
    }
}

/// The allow-list.
#[derive(Clone, Debug, Default)]
pub struct Origins(PatternMap<Rule>);

/// Two entries for one origin, which it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is another entry for {0}; leave one (what stands in [[origin]] need not stand in allow)")]
pub struct Twice(pub String);

impl Origins {
    /// The built-in list, if wanted, these, and those with rules of their own.
    ///
    /// # Errors
    /// Two entries for one origin, unless both only allow it.
    pub fn new(known: bool, listed: Vec<Pattern>, with_rules: Vec<(Pattern, Rule)>) -> Result<Self, Twice> {
        let known = if known { KNOWN } else { &[] };
        let known = known.iter().filter_map(|origin| Pattern::parse(origin).ok());
        let mut by_hand: HashSet<_> = listed.iter().map(Pattern::to_string).collect();
        let mut origins = PatternMap::default();
        for pattern in known.chain(listed) {
            let rule = Rule::of(&pattern);
            origins.insert(pattern, rule);
        }
        for (pattern, rule) in with_rules {
            if !by_hand.insert(pattern.to_string()) {
                return Err(Twice(pattern.to_string()));
            }
            origins.insert(pattern, rule);
        }
        Ok(Self(origins))
    }

    /// What holds for a call, if it may be made.
    ///
    /// # Errors
    /// Why it may not.
    pub fn judge(&self, method: &Method, target: &Target) -> Result<&Rule, Refused> {
        let rule = self.0.get(target.origin()).ok_or(Refused::Origin)?;
        if rule.methods.as_ref().is_some_and(|methods| !methods.contains(method)) {
            return Err(Refused::Method);
        }
        if rule.paths.as_ref().is_some_and(|paths| !paths.allow(target.uri().path())) {
            return Err(Refused::Path);
        }
        Ok(rule)
    }

    /// All of them, as they are written, with what holds for each; sorted.
    pub fn list(&self) -> Vec<(String, &Rule)> {
        self.0.list()
    }
}

#[cfg(test)]
mod tests;
