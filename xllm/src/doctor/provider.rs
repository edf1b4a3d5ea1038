//! The providers: whether a request gets there, and whether the key is taken. Only lists of models are asked
//! for, which cost nothing.

use std::time::{Duration, Instant};

use http::{StatusCode, header::CONTENT_TYPE};
use tokio::time::timeout;

use super::{check::Check, span::span};
use crate::{
    aliases::Catalog,
    chat::{PROXY_ERROR, request},
    endpoint::{is_exposed, models, shown},
    env::Env,
    exit::Failure,
    options::{Target, key_variable, provider_of, wants_key},
    transport::{Error, Transport},
};

/// What is to be done about a provider.
#[derive(Debug)]
pub(super) enum Visit {
    /// Nothing: this is known without a request.
    Known(Check),
    /// A request.
    Ask(Box<Ask>),
}

/// A request to a provider.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) target: Target,
    /// Where the key comes from, or why there is none.
    key: Result<String, String>,
    /// It can be read on the way.
    exposed: bool,
    /// The way there is through the proxy.
    proxied: bool,
}

/// What came of it.
enum Answer {
    /// A first byte; whether the relay itself gave it, and whether a web page follows.
    Head {
        status: StatusCode,
        refused: bool,
        page: bool,
    },
    Failed(Error),
    /// Nothing in this time.
    Nothing(Duration),
}

/// All providers in the order of the configuration, the built-in ones last.
pub(super) fn plan(catalog: &Catalog<'_>, env: &Env, proxied: bool) -> Vec<Visit> {
    let targets: Vec<_> = catalog.providers().into_iter().map(|name| (name, provider_of(catalog, name, env))).collect();
    let usable = |name: &str, target: &Target| target.key.is_some() || !wants_key(catalog, name);
    let any = targets.iter().any(|(name, target)| target.as_ref().is_ok_and(|target| usable(name, target)));
    targets.into_iter().map(|(name, target)| visit(catalog, name, target, proxied, any)).collect()
}

/// `any`: some provider can be used.
fn visit(catalog: &Catalog<'_>, name: &str, target: Result<Target, Failure>, proxied: bool, any: bool) -> Visit {
    let target = match target {
        Ok(target) => target,
        Err(failure) => return Visit::Known(Check::failed(name, failure)),
    };
    let key = key_of(catalog, &target);
    if let (None, Err(why)) = (catalog.configured(name), &key) {
        // Nobody asked for it, unless there is nothing else.
        let why = format!("no key: {why}");
        let check = if any { Check::skipped(name, why) } else { Check::warning(name, why).remedy(target.key_remedy) };
        return Visit::Known(check);
    }
    let exposed = !proxied && target.key.is_some() && is_exposed(&target.url);
    Visit::Ask(Box::new(Ask { target, key, exposed, proxied }))
}

/// Where the key comes from, or why there is none.
fn key_of(catalog: &Catalog<'_>, target: &Target) -> Result<String, String> {
    let name = target.provider.as_str();
    let configured =
        catalog.configured(name).and_then(|provider| provider.api_key.as_ref()).filter(|key| key.known().is_some());
    match (&target.key, configured, catalog.built_in(name)) {
        (None, ..) => Err(key_variable(catalog, name)
            .map_or_else(|| "none is configured".to_owned(), |variable| format!("{variable} is not set"))),
        (Some(_), Some(key), _) if key.literal => Ok("from the configuration".to_owned()),
        (Some(_), None, Some(built_in)) => Ok(format!("from {}", built_in.key_env)),
        (Some(_), ..) => Ok("from the environment".to_owned()),
    }
}

impl Visit {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Known(check) => &check.name,
            Self::Ask(ask) => &ask.target.provider,
        }
    }

    /// The address that is asked, if one is.
    pub(super) fn address(&self) -> Option<String> {
        match self {
            Self::Known(_) => None,
            Self::Ask(ask) => Some(shown(&models(&ask.target.url, ask.target.api))),
        }
    }

    /// What is said without asking: a request that cannot be made changes nothing of what is known.
    pub(super) fn skipped(self, why: &str) -> Check {
        match self {
            Self::Known(check) => check,
            Self::Ask(ask) => Check::skipped(&ask.target.provider, why),
        }
    }

    pub(super) async fn make(self, transport: &Transport, patience: Duration) -> Check {
        match self {
            Self::Known(check) => check,
            Self::Ask(ask) => ask.make(transport, patience).await,
        }
    }
}

impl Ask {
    async fn make(&self, transport: &Transport, patience: Duration) -> Check {
        let request = match request::models(&self.target) {
            Ok(request) => request,
            Err(failure) => return Check::failed(&self.target.provider, failure),
        };
        let began = Instant::now();
        // The body is not read: dropping it ends the request.
        let answer = match timeout(patience, transport.send(request, false)).await {
            Ok(Ok(response)) => {
                let headers = response.headers();
                let page = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
                Answer::Head { status: response.status(), refused: headers.contains_key(PROXY_ERROR), page }
            }
            Ok(Err(error)) => Answer::Failed(error),
            Err(_) => Answer::Nothing(patience),
        };
        self.judge(answer, began.elapsed())
    }

    fn judge(&self, answer: Answer, took: Duration) -> Check {
        let name = &self.target.provider;
        match answer {
            Answer::Head { status, refused: false, page } => self.judge_head(status, page, took),
            Answer::Head { status, .. } => {
                let failure = Failure::proxy(format!("HTTP {}: a proxy on the way refuses the request", status.as_u16()));
                Check::failed(name, failure).remedy(format!("see the log of what listens at {}", self.origin()))
            }
            Answer::Failed(error) if error.code() == Some("origin-not-allowed") => {
                let origin = self.origin();
                let failure = Failure::proxy(format!("the proxy does not allow {origin}"));
                Check::failed(name, failure)
                    .remedy(format!("whoever runs the proxy adds it to its configuration:\n[origins] allow = [\"{origin}\"]"))
            }
            Answer::Failed(error) => Check::failed(name, error.into_failure("")).remedy(if self.proxied {
                "try again; whoever runs the proxy finds more in its log".to_owned()
            } else {
                format!("check the network, and the url in [models.{name}] if there is one")
            }),
            Answer::Nothing(patience) => {
                let what = format!("{} gave no answer within {} s", self.origin(), patience.as_secs());
                Check::failed(name, Failure::api(what)).remedy("try again later, or with more patience: --timeout SECONDS")
            }
        }
    }

    fn judge_head(&self, status: StatusCode, page: bool, took: Duration) -> Check {
        let (name, code) = (&self.target.provider, status.as_u16());
        let key = self.key.as_ref().map_or_else(|why| format!("no key: {why}"), |from| format!("key {from}"));
        let detail = format!("HTTP {code} in {}, {key}", span(took));
        let failed = |what: &str| Check::failed(name, Failure::api(format!("HTTP {code}: {what}")));
        let list = || shown(&models(&self.target.url, self.target.api));
        let check_url = || format!("check the url in [models.{name}]: {} was asked", list());
        match (code, &self.key) {
            (200..=299, _) if page => failed("a web page answers").remedy(check_url()),
            (200..=299, _) if self.exposed => {
                let detail = format!("{detail}\nthe API key travels unencrypted: the url begins with http://");
                Check::warning(name, detail).remedy("use https://, or the proxy")
            }
            (200..=299, _) => Check::ok(name, detail),
            (401, Ok(from)) => failed(&format!("the provider refuses the key {from}"))
                .remedy(format!("check the key; {}", self.target.key_remedy)),
            // A restricted key may chat and yet not list models.
            (403, Ok(_)) => Check::warning(name, detail)
                .remedy("the key may not list models, or the account or the proxy's region is refused; a chat will tell"),
            (401 | 403, Err(_)) => Check::warning(name, detail).remedy(&self.target.key_remedy),
            (404 | 405, _) => Check::warning(name, detail)
                .remedy(format!("the provider is there, its list of models is not; {}", check_url())),
            (429, _) => Check::warning(name, detail).remedy("too much was asked in a short time, or the account is empty"),
            (300..=399, _) => failed("the API is elsewhere").remedy(check_url()),
            (500.., _) => failed("the provider has trouble").remedy("try again later"),
            _ => Check::warning(name, detail).remedy(check_url()),
        }
    }

    fn origin(&self) -> String {
        self.target.url.origin().ascii_serialization()
    }
}

#[cfg(test)]
mod tests;
