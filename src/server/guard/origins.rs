//! The allow-list: which origins may be called (section 8 of the protocol's errors, `origin-not-allowed`).

use std::collections::HashSet;

use url::{Host, Url};

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

/// Whether an origin may be called, and where it may resolve to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// On the built-in list: public addresses alone.
    Public,
    /// Listed by hand: any address.
    Listed,
    /// Not on the list.
    Refused,
}

/// The allow-list.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    known: HashSet<String>,
    listed: HashSet<String>,
}

/// An entry that is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin; write scheme, host and port alone, as in https://llm.example.com or http://127.0.0.1:11434")]
pub struct NotAnOrigin(String);

impl Origins {
    /// The built-in list, if wanted, and these.
    ///
    /// # Errors
    /// The first entry that is not an origin.
    pub fn new(known: bool, listed: &[String]) -> Result<Self, NotAnOrigin> {
        let known = if known { KNOWN } else { &[] };
        Ok(Self {
            known: known.iter().map(|&origin| origin.to_owned()).collect(),
            listed: listed.iter().map(|entry| parse(entry)).collect::<Result<_, _>>()?,
        })
    }

    /// Whether this URL may be called.
    pub fn judge(&self, url: &Url) -> Verdict {
        let origin = origin(url);
        if self.listed.contains(&origin) {
            Verdict::Listed
        } else if self.known.contains(&origin) {
            Verdict::Public
        } else {
            Verdict::Refused
        }
    }

    /// All of them, sorted.
    pub fn list(&self) -> Vec<&str> {
        let mut all: Vec<_> = self.known.iter().chain(&self.listed).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn parse(entry: &str) -> Result<String, NotAnOrigin> {
    let error = || NotAnOrigin(entry.to_owned());
    let url = Url::parse(entry).map_err(|_| error())?;
    let plain = matches!(url.scheme(), "https" | "http")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain && url.has_host() { Ok(origin(&url)) } else { Err(error()) }
}

/// Scheme, host and port in one spelling: a final dot of the name makes no difference.
fn origin(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    let default = matches!((url.scheme(), port), ("https", 443) | ("http", 80));
    let port = if default { String::new() } else { format!(":{port}") };
    let host = match url.host() {
        Some(Host::Domain(name)) => name.strip_suffix('.').unwrap_or(name).to_owned(),
        Some(address) => address.to_string(),
        None => String::new(),
    };
    format!("{}://{host}{port}", url.scheme())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(origins: &Origins, url: &str) -> Verdict {
        origins.judge(&Url::parse(url).expect("a URL"))
    }

    #[test]
    fn only_listed_origins_pass_in_any_spelling() {
        let origins = Origins::new(true, &["http://127.0.0.1:8080".into(), "https://LLM.example.com".into()]).expect("origins");
        for (url, verdict) in [
            ("https://api.openai.com/v1/models", Verdict::Public),
            ("https://API.OpenAI.com:443/v1", Verdict::Public),
            ("https://api.openai.com./v1", Verdict::Public),
            ("http://api.openai.com/v1", Verdict::Refused),
            ("https://api.openai.com:444/v1", Verdict::Refused),
            ("https://api.openai.com.evil.example/", Verdict::Refused),
            ("https://openai.com/", Verdict::Refused),
            ("https://llm.example.com/x", Verdict::Listed),
            ("http://127.0.0.1:8080/x", Verdict::Listed),
            ("http://0x7f.1:8080/x", Verdict::Listed),
            ("http://127.0.0.1/x", Verdict::Refused),
            ("http://localhost:8080/x", Verdict::Refused),
            ("http://169.254.169.254/latest/meta-data", Verdict::Refused),
            ("http://[::1]:8080/", Verdict::Refused),
        ] {
            assert_eq!(judge(&origins, url), verdict, "{url}");
        }
    }

    #[test]
    fn the_built_in_list_can_be_left_out() {
        let origins = Origins::new(false, &[]).expect("origins");
        assert_eq!(judge(&origins, "https://api.openai.com/"), Verdict::Refused);
    }

    #[test]
    fn entries_that_are_more_or_less_than_an_origin_are_refused() {
        for entry in ["api.openai.com", "https://x.example/v1", "https://u@x.example", "ftp://x.example", "https://", "*"] {
            assert!(Origins::new(true, &[entry.into()]).is_err(), "{entry}");
        }
    }

    #[test]
    fn every_known_origin_is_https_and_well_formed() {
        for origin in KNOWN {
            assert!(origin.starts_with("https://"));
            assert_eq!(parse(origin).as_deref(), Ok(*origin));
        }
    }
}
