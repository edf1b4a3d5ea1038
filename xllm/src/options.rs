//! What is meant: command line, environment and configuration made into one plan.

use serde_json::Value;
use url::Url;

use crate::{
    aliases::{Catalog, Choice},
    args::{ChatArgs, ConnectionArgs},
    config::{Api, Config, Provider, Text},
    endpoint::{endpoint, is_exposed},
    env::Env,
    exit::Failure,
    key,
    output::Show,
    prompt::Part,
    secret::Secret,
};

/// What the Anthropic API, which insists on the field, is asked for by default.
const DEFAULT_MAX_TOKENS: u32 = 8192;

/// The model and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) api: Api,
    pub(crate) provider: String,
    pub(crate) url: Url,
    pub(crate) key: Option<Secret>,
    /// How the user can give a key, for errors.
    pub(crate) key_remedy: String,
    pub(crate) model: String,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) successor: Option<String>,
}

/// How requests get there.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    /// Straight to the API.
    Direct,
    /// Through the relay. `nodes`: where each of several proxies can be reached by itself, by its name.
    Proxy { url: String, key: Secret, nodes: Vec<(String, String)> },
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) system: Option<String>,
    pub(crate) parts: Vec<Part>,
    /// Fields of the request that the user sets, whatever we would put there.
    pub(crate) extra: Vec<(String, Value)>,
    pub(crate) stream: bool,
    /// Tokens are to be counted.
    pub(crate) usage: bool,
}

/// A chat, ready to go.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) route: Route,
    pub(crate) ask: Ask,
    pub(crate) show: Show,
    pub(crate) warnings: Vec<String>,
}

impl Plan {
    pub(crate) fn new(args: &ChatArgs, parts: Vec<Part>, config: &Config, env: &Env) -> Result<Self, Failure> {
        let extra = args.option.iter().map(|text| field(text)).collect::<Result<_, _>>()?;
        let route = route(&args.connection, config, env)?;
        let target = target(args, config, env, matches!(route, Route::Proxy { .. }))?;
        let mut warnings = config.warnings.clone();
        warnings.extend(exposed(&target).filter(|_| matches!(route, Route::Direct)));
        let show = Show { stream: !args.no_stream, json: args.json, raw: args.raw, usage: args.usage };
        let ask = Ask { system: args.system.clone(), parts, extra, stream: show.stream, usage: show.usage };
        Ok(Self { target, route, ask, show, warnings })
    }
}

/// What to say of a key that anybody could read on the way, if it went straight.
pub(crate) fn exposed(target: &Target) -> Option<String> {
    let exposed = target.key.is_some() && is_exposed(&target.url);
    exposed.then(|| format!("the API key for {} travels unencrypted: its url begins with http://", target.provider))
}

/// `-o key=value`
pub(crate) fn field(text: &str) -> Result<(String, Value), Failure> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| Failure::usage("-o takes KEY=VALUE").remedy("for example -o temperature=0.2"))?;
    if key == "stream" {
        return Err(Failure::usage("`stream` is not set with -o").remedy("use --no-stream"));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.to_owned(), value))
}

/// Flags come before the environment, that before the file.
/// A proxy that was named but cannot be used is an error: never a silent way around it.
pub(crate) fn route(args: &ConnectionArgs, config: &Config, env: &Env) -> Result<Route, Failure> {
    let Some(url) = proxy_url(args, config, env)? else { return Ok(Route::Direct) };
    match key::find(config, env)? {
        Some((key, _)) => {
            let node = |(name, url): &(String, Text)| Ok((name.clone(), url.get()?.to_owned()));
            let nodes = config.nodes.iter().map(node).collect::<Result<_, Failure>>()?;
            Ok(Route::Proxy { url, key, nodes })
        }
        None => Err(no_proxy_key()),
    }
}

/// There is a proxy and nothing to show it.
pub(crate) fn no_proxy_key() -> Failure {
    Failure::proxy("the proxy needs a key, and there is none").remedy(
        "`xllm-proxy client add NAME` on the server prints one (xllm1_…); then one of\n\
         xllm key set                    keeps it in the system keyring\n\
         export XLLM_PROXY_KEY=xllm1_…\n\
         proxy_key = \"xllm1_…\"           in [global] of the configuration",
    )
}

/// The proxy's address if requests are to go through it.
pub(crate) fn proxy_url(args: &ConnectionArgs, config: &Config, env: &Env) -> Result<Option<String>, Failure> {
    if args.no_proxy {
        return Ok(None);
    }
    if let Some(url) = args.proxy_url.as_deref().or_else(|| env.get("XLLM_PROXY_URL")) {
        return Ok(Some(url.to_owned()));
    }
    match (&config.global.proxy_url, config.global.proxy) {
        (_, Some(false)) | (None, None) => Ok(None),
        (Some(url), _) => Ok(Some(url.get()?.to_owned())),
        (None, Some(true)) => Err(Failure::usage("proxy = true, but no proxy_url is set")
            .remedy("add proxy_url = \"http://HOST:50051\" to [global], or use --proxy-url")),
    }
}

fn target(args: &ChatArgs, config: &Config, env: &Env, through_proxy: bool) -> Result<Target, Failure> {
    let catalog = Catalog::new(config)?;
    let choice = match args.model.as_deref().or_else(|| env.get("XLLM_MODEL")) {
        Some(name) => catalog.resolve(name)?,
        None => default_model(&catalog, config, env, through_proxy)?,
    };
    let provider = choice.provider.as_str();
    let found = provider_of(&catalog, provider, env)?;
    // A proxy may hold the provider's key itself.
    if found.key.is_none() && wants_key(&catalog, provider) && !through_proxy {
        let why = key_variable(&catalog, provider).map_or_else(String::new, |variable| format!(": {variable} is not set"));
        return Err(Failure::usage(format!("there is no API key for {provider}{why}")).remedy(found.key_remedy));
    }
    let max_tokens = args
        .max_tokens
        .or_else(|| catalog.configured(provider).and_then(|configured| configured.max_tokens))
        .or(choice.max_tokens)
        .or((found.api == Api::Anthropic).then_some(DEFAULT_MAX_TOKENS));
    Ok(Target { max_tokens, model: choice.model, successor: choice.successor, ..found })
}

/// A provider before a model of it is chosen: where it is, and the key for it.
pub(crate) fn provider_of(catalog: &Catalog<'_>, provider: &str, env: &Env) -> Result<Target, Failure> {
    let (api, url) = provider_url(catalog, provider)?;
    let key_remedy = match catalog.built_in(provider) {
        Some(built_in) => format!("export {}=…, or set api_key in [models.{provider}]", built_in.key_env),
        None => format!("set api_key in [models.{provider}] of the configuration"),
    };
    Ok(Target {
        api,
        url: endpoint(url, api)?,
        key: api_key(catalog, provider, env),
        key_remedy,
        max_tokens: None,
        provider: provider.to_owned(),
        model: String::new(),
        successor: None,
    })
}

/// How a provider is spoken to, and its address: the configuration's, else the built-in one.
pub(crate) fn provider_url<'c>(catalog: &'c Catalog<'_>, provider: &str) -> Result<(Api, &'c str), Failure> {
    let configured = catalog.configured(provider);
    match (configured.and_then(|configured| Some((configured.api, configured.url.as_ref()?))), catalog.built_in(provider)) {
        (Some((api, url)), _) => Ok((api, url.get()?)),
        (None, Some(built_in)) => Ok((built_in.api, &built_in.url)),
        (None, None) => Err(Failure::usage(format!("[models.{provider}] needs a `url`"))),
    }
}

/// Whether a provider is no use without a key; a server of one's own may need none.
pub(crate) fn wants_key(catalog: &Catalog<'_>, provider: &str) -> bool {
    catalog.configured(provider).is_none_or(|configured| configured.url.is_none() || configured.api_key.is_some())
}

/// The variable that would hold a provider's key.
pub(crate) fn key_variable<'c>(catalog: &'c Catalog<'_>, provider: &str) -> Option<&'c str> {
    match catalog.configured(provider) {
        Some(Provider { api_key: Some(key), .. }) => key.missing_variable(),
        // The environment's key goes to the provider's own address alone.
        Some(Provider { url: Some(_), .. }) => None,
        _ => catalog.built_in(provider).map(|built_in| built_in.key_env.as_str()),
    }
}

/// The key for a provider. One that only stands in the environment goes to the
/// provider's own address alone: a configuration that names another must name the key too.
pub(crate) fn api_key(catalog: &Catalog<'_>, provider: &str, env: &Env) -> Option<Secret> {
    let configured = catalog.configured(provider);
    if let Some(key) = configured.and_then(|configured| configured.api_key.as_ref()?.known()) {
        return Some(key.clone());
    }
    let own_address = configured.is_none_or(|configured| configured.url.is_none());
    let variable = &catalog.built_in(provider).filter(|_| own_address)?.key_env;
    env.get(variable).map(Secret::new)
}

/// The model when nobody names one: the file's, else that of the first provider
/// that could answer.
pub(crate) fn default_model(catalog: &Catalog<'_>, config: &Config, env: &Env, through_proxy: bool) -> Result<Choice, Failure> {
    if let Some(model) = &config.global.model {
        return catalog.resolve(model.get()?);
    }
    let usable = |provider: &str| api_key(catalog, provider, env).is_some();
    let names_model = |provider: &str| catalog.configured(provider).is_some_and(|provider| provider.model.is_some());
    let providers = catalog.providers();
    let best = providers
        .iter()
        .find(|name| names_model(name) && usable(name))
        .or_else(|| providers.iter().find(|name| usable(name) && (names_model(name) || catalog.built_in(name).is_some())))
        .or_else(|| providers.iter().find(|name| names_model(name)))
        .or_else(|| providers.first().filter(|_| through_proxy));
    match best {
        Some(provider) => catalog.default_of(provider),
        None => Err(Failure::usage("there is no API key yet")
            .remedy("export ANTHROPIC_API_KEY=… or OPENAI_API_KEY=…, or write a configuration with xllm --init")),
    }
}

#[cfg(test)]
mod tests;
