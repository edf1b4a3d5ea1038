//! The configuration file: what it may say. `find` looks for it.

mod find;
mod reader;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub(crate) use find::{default_path, load};
use reader::{Source, Table};
pub(crate) use reader::{Text, nearest};
use toml::de::DeValue;

use crate::{env::Env, exit::Failure};

/// How a provider wants to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Api {
    /// `/v1/messages`
    Anthropic,
    /// `/v1/chat/completions`
    OpenAi,
}

impl Api {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "anthropic" => Some(Self::Anthropic),
            "openai" => Some(Self::OpenAi),
            _ => None,
        }
    }
}

/// `[global]`
#[derive(Debug, Default, Clone)]
pub(crate) struct Global {
    pub(crate) proxy: Option<bool>,
    pub(crate) proxy_url: Option<Text>,
    pub(crate) proxy_key: Option<Text>,
    pub(crate) model: Option<Text>,
}

/// `[gateway]`
#[derive(Debug, Default, Clone)]
pub(crate) struct Gateway {
    pub(crate) listen: Option<Text>,
    pub(crate) token: Option<Text>,
    pub(crate) headers: Option<Text>,
    /// Seconds.
    pub(crate) heartbeat: Option<u32>,
    /// Seconds.
    pub(crate) wait: Option<u32>,
    pub(crate) caller_keys: Option<bool>,
    pub(crate) request_headers: HeaderRules,
    pub(crate) response_headers: HeaderRules,
}

/// `[gateway.request_headers]`, `[gateway.response_headers]`
#[derive(Debug, Default, Clone)]
pub(crate) struct HeaderRules {
    pub(crate) keep: Vec<Text>,
    pub(crate) drop: Vec<Text>,
    pub(crate) set: Vec<(String, Text)>,
}

/// `[models.NAME]`
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) api: Api,
    pub(crate) api_key: Option<Text>,
    pub(crate) url: Option<Text>,
    pub(crate) model: Option<Text>,
    pub(crate) max_tokens: Option<u32>,
}

/// One line of `[aliases]`.
#[derive(Debug, Clone)]
pub(crate) struct Alias {
    pub(crate) name: String,
    pub(crate) meaning: Meaning,
}

/// What an alias stands for.
#[derive(Debug, Clone)]
pub(crate) enum Meaning {
    /// Another name, as `-m` would take it.
    Name(String),
    /// A model spelled out.
    Model { provider: String, model: String, max_tokens: Option<u32> },
}

/// All of the file.
#[derive(Debug, Default, Clone)]
pub(crate) struct Config {
    /// Where it came from; none if there is no file.
    pub(crate) path: Option<PathBuf>,
    /// What `-v` and a terminal should hear about the search for it.
    pub(crate) remarks: Vec<String>,
    /// What everybody should hear.
    pub(crate) warnings: Vec<String>,
    pub(crate) global: Global,
    pub(crate) gateway: Gateway,
    /// `[nodes]`: of several proxies behind `proxy_url`, where each can be reached by itself.
    pub(crate) nodes: Vec<(String, Text)>,
    pub(crate) providers: Vec<Provider>,
    pub(crate) aliases: Vec<Alias>,
}

/// The provider's one name, whatever it was called.
pub(crate) fn canonical(provider: &str) -> &str {
    if provider == "anthropic" { "claude" } else { provider }
}

impl Config {
    /// Reads the text of a file. `name` is how errors call it.
    pub(crate) fn parse(name: &str, text: &str, env: &Env) -> Result<Self, Failure> {
        Self::read(Table::parse(Source { name, text, env })?)
    }

    fn read(mut root: Table<'_>) -> Result<Self, Failure> {
        let mut config = Self::default();
        if let Some(mut table) = root.table("global")? {
            config.global = Global {
                proxy: table.flag("proxy")?,
                proxy_url: table.text("proxy_url")?,
                proxy_key: table.text("proxy_key")?,
                model: table.text("model")?,
            };
            table.finish()?;
        }
        if let Some(table) = root.table("gateway")? {
            config.gateway = gateway(table)?;
        }
        config.nodes = root.map("nodes")?;
        if let Some(table) = root.table("models")? {
            let source = table.source;
            for (name, line, value) in table.into_entries() {
                let table = Table::of(source, format!("models.{name}"), line, value)?;
                config.providers.push(provider(&name, line, table)?);
            }
        }
        if let Some(table) = root.table("aliases")? {
            let source = table.source;
            for (name, line, value) in table.into_entries() {
                config.aliases.push(alias(source, name, line, value)?);
            }
        }
        root.finish()?;
        Ok(config)
    }

    /// Whether the file itself holds a key.
    fn holds_secrets(&self) -> bool {
        let keys = self.providers.iter().map(|provider| &provider.api_key);
        let rules = [&self.gateway.request_headers, &self.gateway.response_headers];
        keys.chain([&self.global.proxy_key, &self.gateway.token])
            .flatten()
            .chain(rules.iter().flat_map(|rules| rules.set.iter().map(|(_, value)| value)))
            .any(|key| key.literal && key.known().is_some())
    }
}

fn gateway(mut table: Table<'_>) -> Result<Gateway, Failure> {
    let gateway = Gateway {
        listen: table.text("listen")?,
        token: table.text("token")?,
        headers: table.text("headers")?,
        heartbeat: table.count("heartbeat")?,
        wait: table.number("wait", 0)?,
        caller_keys: table.flag("caller_keys")?,
        request_headers: header_rules(table.table("request_headers")?)?,
        response_headers: header_rules(table.table("response_headers")?)?,
    };
    table.finish()?;
    Ok(gateway)
}

fn header_rules(table: Option<Table<'_>>) -> Result<HeaderRules, Failure> {
    let Some(mut table) = table else { return Ok(HeaderRules::default()) };
    let rules = HeaderRules { keep: table.texts("keep")?, drop: table.texts("drop")?, set: table.map("set")? };
    table.finish()?;
    Ok(rules)
}

fn provider(name: &str, line: usize, mut table: Table<'_>) -> Result<Provider, Failure> {
    let name = canonical(name);
    let fixed = match name {
        "claude" => Some(Api::Anthropic),
        "openai" => Some(Api::OpenAi),
        _ => None,
    };
    let api = match table.text("api")? {
        None => fixed.unwrap_or(Api::OpenAi),
        Some(text) => match Api::parse(text.get()?) {
            Some(api) if fixed.is_none_or(|fixed| fixed == api) => api,
            Some(_) => {
                return Err(table
                    .source
                    .fault(line, &format!("the api of [models.{name}] is fixed"))
                    .remedy("give a provider of your own another name"));
            }
            None => {
                return Err(table
                    .source
                    .fault(line, &format!("the api of [models.{name}] must be \"openai\" or \"anthropic\"")));
            }
        },
    };
    let mut api_key = table.text("api_key")?;
    let own = format!("{name}_api_key");
    for spelling in match api {
        Api::Anthropic => ["anthropic_api_key", &own],
        Api::OpenAi => ["openai_api_key", &own],
    } {
        let other = table.text(spelling)?;
        if api_key.is_some() && other.is_some() {
            return Err(table
                .source
                .fault(line, &format!("[models.{name}] gives its key twice"))
                .remedy("keep one of the keys"));
        }
        api_key = api_key.or(other);
    }
    let provider = Provider {
        name: name.to_owned(),
        api,
        api_key,
        url: table.text("url")?,
        model: table.text("model")?,
        max_tokens: table.count("max_tokens")?,
    };
    if fixed.is_none() && provider.url.is_none() && !table.has_unknown() {
        return Err(table
            .source
            .fault(line, &format!("[models.{name}] needs a `url`"))
            .remedy("built in are only [models.claude] and [models.openai]"));
    }
    table.finish()?;
    Ok(provider)
}

fn alias(source: Source<'_>, name: String, line: usize, value: DeValue<'_>) -> Result<Alias, Failure> {
    let meaning = match value {
        DeValue::String(target) => Meaning::Name(target.into_owned()),
        other => {
            let mut table = Table::of(source, format!("aliases.{name}"), line, other)?;
            let mut wanted = |key: &str| -> Result<String, Failure> {
                match table.text(key)? {
                    Some(text) => Ok(text.get()?.to_owned()),
                    None => Err(source.fault(line, &format!("the alias `{name}` needs a `{key}`"))),
                }
            };
            let (provider, model) = (wanted("provider")?, wanted("model")?);
            let max_tokens = table.count("max_tokens")?;
            table.finish()?;
            Meaning::Model { provider: canonical(&provider).to_owned(), model, max_tokens }
        }
    };
    Ok(Alias { name, meaning })
}
