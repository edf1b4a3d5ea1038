//! Which request goes where: `/NAME/…` to a provider, `/x/https/HOST/…` to any origin.
//!
//! Path and query pass byte for byte. Only their beginning is mended, where base URLs are pasted in several forms: with and
//! without the version, with one slash too many, with the version twice because the SDK adds its own.

use http::{HeaderMap, Uri, uri::Authority};
use url::{ParseError, Position, Url};

use super::{
    keys::Key,
    refusal::{Refusal, Shape},
};
use crate::{
    aliases::Catalog,
    config::{Api, canonical},
    endpoint::{base, is_version},
    env::Env,
    exit::Failure,
    options::{api_key, provider_url},
};

/// Google's API, which `xllm` itself does not speak: (origin, version, variable of the key).
const GEMINI: (&str, &str, &str) = ("https://generativelanguage.googleapis.com", "v1beta", "GEMINI_API_KEY");

/// What stands behind the version in the APIs that have other paths, too; there alone a version that is missing is put in.
const ANTHROPIC: &[&str] = &["messages", "models", "complete", "files", "skills", "organizations"];
const GOOGLE: &[&str] = &["models", "files", "cachedContents", "tunedModels", "batches", "interactions", "openai"];

/// The beginning of paths that spell out their host.
const ANY: &str = "x";

/// A provider's way.
#[derive(Debug, Clone)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) key: Key,
    /// The variable that programs read their key from.
    pub(super) key_env: Option<String>,
    origin: String,
    /// What stands before the version: empty, or `/openai`.
    prefix: String,
    version: String,
    /// What the configured address asks with every request.
    query: Option<String>,
}

/// All ways.
#[derive(Debug, Clone, Default)]
pub(super) struct Routes {
    providers: Vec<Provider>,
}

/// Where one request goes.
#[derive(Debug, Clone)]
pub(super) struct Target<'r> {
    pub(super) uri: Uri,
    /// None for `/x/…`.
    pub(super) provider: Option<&'r Provider>,
}

impl Routes {
    /// The configured and the built-in providers; and what is wrong with those that are left out.
    pub(super) fn new(catalog: &Catalog<'_>, env: &Env) -> (Self, Vec<Failure>) {
        let (mut routes, mut faults) = (Self::default(), Vec::new());
        for name in catalog.providers() {
            if name == ANY {
                faults.push(Failure::usage(format!("`/{ANY}/…` leads to other hosts")).remedy("give [models.x] another name"));
                continue;
            }
            match provider(catalog, name, env) {
                Ok(provider) => routes.providers.push(provider),
                Err(failure) => faults.push(failure),
            }
        }
        if catalog.configured("gemini").is_none() {
            let (origin, version, variable) = GEMINI;
            routes.providers.push(Provider {
                name: "gemini".to_owned(),
                shape: Shape::Gemini,
                key: Key::fallback(env.get(variable)),
                key_env: Some(variable.to_owned()),
                origin: origin.to_owned(),
                prefix: String::new(),
                version: version.to_owned(),
                query: None,
            });
        }
        (routes, faults)
    }

    /// The providers' names as callers write them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.iter().map(|provider| spoken(&provider.name))
    }

    pub(super) fn providers(&self) -> &[Provider] {
        &self.providers
    }

    pub(super) fn provider(&self, name: &str) -> Option<&Provider> {
        let name = canonical(name);
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// Callers' keys come before the configuration's.
    pub(super) fn yield_to_callers(&mut self) {
        self.providers.iter_mut().for_each(|provider| provider.key.yield_to_callers());
    }

    /// In whose form a caller is spoken to.
    pub(super) fn shape(&self, uri: &Uri, headers: &HeaderMap) -> Shape {
        let provider = self.provider(split(uri).0);
        provider.map_or_else(|| Shape::of(headers), |provider| provider.shape)
    }

    /// Where a request goes.
    pub(super) fn resolve(&self, uri: &Uri) -> Result<Target<'_>, Refusal> {
        let (name, rest) = split(uri);
        if name == ANY {
            return elsewhere(rest, uri.query());
        }
        let Some(provider) = self.provider(name) else {
            let names: Vec<_> = self.names().collect();
            let text = format!(
                "no such route: the path begins with the provider, as in /openai/v1/…; there are /{}, and /x/https/HOST/…",
                names.join(", /")
            );
            return Err(Refusal::unknown_route(text));
        };
        let query = match (&provider.query, uri.query()) {
            (Some(base), Some(query)) => Some(format!("{base}&{query}")),
            (Some(base), None) => Some(base.clone()),
            (None, query) => query.map(str::to_owned),
        };
        let path = provider.path(rest);
        let uri = target(&provider.origin, &path, query.as_deref())?;
        Ok(Target { uri, provider: Some(provider) })
    }
}

/// The provider's name, and what stands behind it.
fn split(uri: &Uri) -> (&str, &str) {
    let path = uri.path().trim_start_matches('/');
    path.split_once('/').unwrap_or((path, ""))
}

/// A provider as it is called in paths.
fn spoken(name: &str) -> &str {
    if name == "claude" { "anthropic" } else { name }
}

fn provider(catalog: &Catalog<'_>, name: &str, env: &Env) -> Result<Provider, Failure> {
    let (api, url) = provider_url(catalog, name)?;
    let base = base(url, api)?;
    let path = base.path().trim_end_matches('/');
    let (prefix, version) = match path.rsplit_once('/') {
        Some((prefix, last)) if is_version(last) => (prefix, last),
        _ => (path, ""),
    };
    let configured = catalog.configured(name).and_then(|provider| provider.api_key.as_ref()?.known());
    Ok(Provider {
        name: name.to_owned(),
        shape: match api {
            Api::Anthropic => Shape::Anthropic,
            Api::OpenAi => Shape::OpenAi,
        },
        key: match configured {
            Some(key) => Key::configured(key.clone()),
            None => Key::fallback(api_key(catalog, name, env).as_ref().map(crate::secret::Secret::expose)),
        },
        key_env: catalog.built_in(name).map(|built_in| built_in.key_env.clone()),
        origin: base.origin().ascii_serialization(),
        prefix: prefix.to_owned(),
        version: version.to_owned(),
        query: base.query().map(str::to_owned),
    })
}

impl Provider {
    /// The path at the provider for what stood behind the name.
    fn path(&self, rest: &str) -> String {
        let rest = rest.trim_start_matches('/');
        let (first, mut tail) = match rest.split_once('/') {
            Some((first, tail)) => (first, Some(tail)),
            None => (rest, None),
        };
        let Self { prefix, version, .. } = self;
        if is_version(first) {
            while let Some(text) = tail {
                let text = text.trim_start_matches('/');
                tail = match text.split_once('/') {
                    Some((again, more)) if again == first => Some(more),
                    _ if text == first => None,
                    _ => {
                        tail = Some(text);
                        break;
                    }
                };
            }
            return tail.map_or_else(|| format!("{prefix}/{first}"), |tail| format!("{prefix}/{first}/{tail}"));
        }
        let versioned = match self.shape {
            _ if rest.is_empty() || version.is_empty() => false,
            Shape::OpenAi => true,
            Shape::Anthropic => ANTHROPIC.contains(&first),
            // `models/gemini-x:generateContent` and `models` alike.
            Shape::Gemini => GOOGLE.contains(&first),
        };
        if versioned { format!("{prefix}/{version}/{rest}") } else { format!("{prefix}/{rest}") }
    }

    /// The path here that leads to this path there, if there is one.
    fn back(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(&self.prefix).filter(|rest| rest.starts_with('/') && self.query.is_none())?;
        (self.path(rest) == path).then(|| format!("/{}{rest}", spoken(&self.name)))
    }
}

/// Where callers find what an upstream that was `called` names in `location`, if that is at the same origin.
pub(super) fn back(provider: Option<&Provider>, called: &Uri, location: &str) -> Option<String> {
    // What is named from where the caller is leads on from there.
    if !location.starts_with(['/', '\\']) && Url::parse(location) == Err(ParseError::RelativeUrlWithoutBase) {
        return None;
    }
    let called = Url::parse(&called.to_string()).ok()?;
    let there = called.join(location).ok().filter(|there| there.origin() == called.origin())?;
    let path = provider.and_then(|provider| provider.back(there.path()));
    let path = path.unwrap_or_else(|| {
        format!("/{ANY}/{}/{}{}", there.scheme(), &there[Position::BeforeHost..Position::AfterPort], there.path())
    });
    Some(format!("{path}{}", &there[Position::AfterPath..]))
}

/// `/x/https/HOST/…`
fn elsewhere(rest: &str, query: Option<&str>) -> Result<Target<'static>, Refusal> {
    let wrong = || {
        let text = "write /x/https/HOST/PATH (or /x/http/HOST:PORT/PATH), as in /x/https/api.mistral.ai/v1/models";
        Refusal::invalid(text)
    };
    let (scheme, rest) = rest.split_once('/').ok_or_else(wrong)?;
    if !matches!(scheme, "https" | "http") {
        return Err(wrong());
    }
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let authority: Authority = host.parse().map_err(|_| wrong())?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(wrong());
    }
    let uri = target(&format!("{scheme}://{authority}"), path, query)?;
    Ok(Target { uri, provider: None })
}

fn target(origin: &str, path: &str, query: Option<&str>) -> Result<Uri, Refusal> {
    let text = query.map_or_else(|| format!("{origin}{path}"), |query| format!("{origin}{path}?{query}"));
    text.parse().map_err(|_| Refusal::invalid("path and query do not make a valid URL"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const CONFIG: &str = "[models.groq]\nurl = \"https://api.groq.com/openai/v1\"\n\
                          [models.local]\nurl = \"http://127.0.0.1:11434\"\n\
                          [models.deep]\napi = \"anthropic\"\nurl = \"https://d.example/anthropic\"\n\
                          [models.azure]\nurl = \"https://z.example/openai/v1?api-version=1\"\n\
                          [models.gone]\nurl = \"https://${UNSET}/v1\"\n\
                          [models.x]\nurl = \"https://x.example\"\n";

    fn routes() -> Routes {
        let config = Config::parse("c.toml", CONFIG, &Env::default()).expect("valid");
        let (routes, faults) = Routes::new(&Catalog::new(&config).expect("valid"), &Env::default());
        assert_eq!(faults.len(), 2, "a variable that is not set, and a name that is taken");
        routes
    }

    fn to(path: &str) -> String {
        match routes().resolve(&path.parse().expect("a URI")) {
            Ok(target) => target.uri.to_string(),
            Err(refusal) => refusal.code().to_owned(),
        }
    }

    #[test]
    fn every_form_of_base_url_that_people_paste_leads_to_the_same_place() {
        for (path, expected) in [
            ("/openai/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
            ("/openai/chat/completions", "https://api.openai.com/v1/chat/completions"),
            ("/openai/v1//chat/completions", "https://api.openai.com/v1/chat/completions"),
            ("/openai//v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
            ("//openai/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
            ("/openai/v1/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
            ("/anthropic/v1/messages", "https://api.anthropic.com/v1/messages"),
            ("/anthropic/messages", "https://api.anthropic.com/v1/messages"),
            ("/anthropic//v1/messages", "https://api.anthropic.com/v1/messages"),
            ("/anthropic/v1/v1/messages", "https://api.anthropic.com/v1/messages"),
            ("/anthropic/v1//v1/messages", "https://api.anthropic.com/v1/messages"),
            ("/claude/v1/messages?beta=true", "https://api.anthropic.com/v1/messages?beta=true"),
            (
                "/gemini/v1beta/models/g:streamGenerateContent?alt=sse",
                "https://generativelanguage.googleapis.com/v1beta/models/g:streamGenerateContent?alt=sse",
            ),
            ("/gemini/models/g:generateContent", "https://generativelanguage.googleapis.com/v1beta/models/g:generateContent"),
            ("/gemini/v1alpha/models", "https://generativelanguage.googleapis.com/v1alpha/models"),
            ("/groq/v1/models", "https://api.groq.com/openai/v1/models"),
            ("/groq/models", "https://api.groq.com/openai/v1/models"),
            ("/local/v1/models", "http://127.0.0.1:11434/v1/models"),
            ("/deep/v1/messages", "https://d.example/anthropic/v1/messages"),
            ("/azure/responses?x=1", "https://z.example/openai/v1/responses?api-version=1&x=1"),
        ] {
            assert_eq!(to(path), expected, "{path}");
        }
    }

    #[test]
    fn what_follows_passes_byte_for_byte() {
        for tail in ["models/", "files/a%2Fb%20c", "a//b", "a/../b/./c", "x?q=%7B'a'%7D&q=&=", "models?", "a/v1/v1", "%2e%2e/x"]
        {
            assert_eq!(to(&format!("/openai/v1/{tail}")), format!("https://api.openai.com/v1/{tail}"));
        }
        assert_eq!(to("/anthropic/api/hello"), "https://api.anthropic.com/api/hello");
        assert_eq!(to("/gemini/upload/v1beta/files"), "https://generativelanguage.googleapis.com/upload/v1beta/files");
    }

    #[test]
    fn a_bare_base_url_is_the_root() {
        assert_eq!(to("/anthropic"), "https://api.anthropic.com/");
        assert_eq!(to("/anthropic/"), "https://api.anthropic.com/");
        assert_eq!(to("/openai/v1"), "https://api.openai.com/v1");
        assert_eq!(to("/openai/v1/"), "https://api.openai.com/v1/");
    }

    #[test]
    fn any_origin_can_be_spelled_out() {
        for (path, expected) in [
            ("/x/https/api.mistral.ai/v1/models/", "https://api.mistral.ai/v1/models/"),
            ("/x/https/api.mistral.ai//v1?a", "https://api.mistral.ai//v1?a"),
            ("/x/http/127.0.0.1:11434/api/chat", "http://127.0.0.1:11434/api/chat"),
            ("/x/http/[::1]:1/a", "http://[::1]:1/a"),
            ("/x/https/host.example", "https://host.example/"),
        ] {
            assert_eq!(to(path), expected, "{path}");
        }
        for path in ["/x", "/x/", "/x/ftp/h/", "/x/https/", "/x/https//p", "/x/https/me@h/", "/x/https:/h/"] {
            assert_eq!(to(path), "request-invalid", "{path}");
        }
    }

    #[test]
    fn unknown_routes_are_refused_with_those_that_exist() {
        for path in ["/v1/chat/completions", "/", "/gone/v1/models", "/OPENAI/v1"] {
            assert_eq!(to(path), "unknown-route", "{path}");
        }
        let uri = "/v1/messages".parse().expect("a URI");
        let refusal = routes().resolve(&uri).expect_err("refused");
        assert!(refusal.message().contains("/anthropic") && refusal.message().contains("/groq"), "{refusal:?}");
    }

    #[test]
    fn redirects_to_the_same_origin_stay_in_the_relay() {
        let routes = routes();
        let led =
            |name: &str, called: &'static str, location: &str| back(routes.provider(name), &Uri::from_static(called), location);
        let openai = "https://api.openai.com/v1/a/b";
        for (location, expected) in [
            ("https://api.openai.com/v1/x?y", "/openai/v1/x?y"),
            ("HTTPS://API.openai.com:443/v1/x", "/openai/v1/x"),
            ("//api.openai.com/v1/x", "/openai/v1/x"),
            ("https:\\\\api.openai.com\\v1/x", "/openai/v1/x"),
            ("/v1/x", "/openai/v1/x"),
            ("/login", "/x/https/api.openai.com/login"),
        ] {
            assert_eq!(led("openai", openai, location).as_deref(), Some(expected), "{location}");
        }
        assert_eq!(led("claude", "https://api.anthropic.com/v1/y", "/v1/x").as_deref(), Some("/anthropic/v1/x"));
        assert_eq!(led("groq", "https://api.groq.com/openai/v1/y", "/openai/v1/x").as_deref(), Some("/groq/v1/x"));
        assert_eq!(led("groq", "https://api.groq.com/openai/v1/y", "/z").as_deref(), Some("/x/https/api.groq.com/z"));
        assert_eq!(
            led("azure", "https://z.example/openai/v1/y", "/openai/v1/x?a").as_deref(),
            Some("/x/https/z.example/openai/v1/x?a")
        );
        assert_eq!(led("x", "http://h.example:81/y", "/z").as_deref(), Some("/x/http/h.example:81/z"));
        for elsewhere in
            ["https://api.openai.com.evil.example/v1", "https://other.example/v1", "//other.example/", "http://api.openai.com/"]
        {
            assert_eq!(led("openai", openai, elsewhere), None, "{elsewhere}");
        }
    }
}
