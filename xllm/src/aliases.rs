//! Which model is meant. The names are data: `data/models.toml`, then the user's own.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    config::{Alias, Api, Config, Meaning, Provider, canonical, nearest},
    exit::Failure,
};

const DATA: &str = include_str!("../data/models.toml");

/// An alias may stand for another one; this many steps at most.
const MAX_STEPS: u8 = 8;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    providers: BTreeMap<String, BuiltIn>,
    aliases: BTreeMap<String, Choice>,
}

/// A provider that needs no configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuiltIn {
    pub(crate) api: Api,
    pub(crate) url: String,
    pub(crate) key_env: String,
    pub(crate) default: String,
}

/// A model of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) max_tokens: Option<u32>,
    /// What to use instead of a model that the provider has retired.
    pub(crate) successor: Option<String>,
}

/// All the names there are.
#[derive(Debug)]
pub(crate) struct Catalog<'c> {
    built_in: BTreeMap<String, BuiltIn>,
    aliases: BTreeMap<String, Choice>,
    config: &'c Config,
}

impl<'c> Catalog<'c> {
    pub(crate) fn new(config: &'c Config) -> Result<Self, Failure> {
        let data: Data = toml::from_str(DATA)
            .map_err(|error| Failure::usage(format!("this build's list of models is broken: {}", error.message())))?;
        Ok(Self { built_in: data.providers, aliases: data.aliases, config })
    }

    pub(crate) fn built_in(&self, provider: &str) -> Option<&BuiltIn> {
        self.built_in.get(provider)
    }

    pub(crate) fn configured(&self, provider: &str) -> Option<&'c Provider> {
        self.config.providers.iter().find(|candidate| candidate.name == provider)
    }

    /// The providers: first those of the file in its order, then the built-in ones.
    pub(crate) fn providers(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.config.providers.iter().map(|provider| provider.name.as_str()).collect();
        for name in self.built_in.keys() {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// The aliases: first the user's, then the built-in ones that they leave.
    pub(crate) fn aliases(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.config.aliases.iter().map(|alias| alias.name.as_str()).collect();
        for name in self.aliases.keys() {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// The model that `name` stands for.
    pub(crate) fn resolve(&self, name: &str) -> Result<Choice, Failure> {
        self.resolve_in(name, 0)
    }

    fn resolve_in(&self, name: &str, steps: u8) -> Result<Choice, Failure> {
        if steps > MAX_STEPS {
            return Err(
                Failure::usage(format!("the alias `{name}` leads in a circle")).remedy("see [aliases] in the configuration")
            );
        }
        // At the second step an alias may stand for the built-in one it hides.
        let own = self.config.aliases.iter().find(|alias| alias.name == name);
        if let Some(Alias { meaning, .. }) = own.filter(|_| steps != 1 || !self.aliases.contains_key(name)) {
            return match meaning {
                Meaning::Name(target) => self.resolve_in(target, steps + 1),
                Meaning::Model { provider, model, max_tokens } => {
                    let mut choice = self.model_of(&self.provider_name(provider)?, model);
                    choice.max_tokens = max_tokens.or(choice.max_tokens);
                    Ok(choice)
                }
            };
        }
        if let Some(choice) = self.aliases.get(name) {
            return Ok(choice.clone());
        }
        if let Ok(provider) = self.provider_name(name) {
            return self.default_of(&provider);
        }
        if let Some((provider, model)) = name.split_once('/') {
            let provider = self.provider_name(provider)?;
            if model.is_empty() {
                return Err(Failure::usage(format!("`{name}` lacks the model after the slash")));
            }
            return Ok(self.model_of(&provider, model));
        }
        if let Some(provider) = family(name) {
            return Ok(self.model_of(provider, name));
        }
        self.by_prefix(name, steps)
    }

    fn by_prefix(&self, name: &str, steps: u8) -> Result<Choice, Failure> {
        let aliases = self.aliases();
        let candidates: Vec<&str> =
            aliases.iter().copied().filter(|alias| !name.is_empty() && alias.starts_with(name)).collect();
        match candidates[..] {
            [only] => self.resolve_in(only, steps + 1),
            [] => {
                let failure = Failure::usage(format!("no model is called `{name}`"));
                Err(failure.remedy(match nearest(name, &aliases) {
                    Some(near) => format!("did you mean `{near}`? `xllm models` lists all; PROVIDER/MODEL names any other"),
                    None => "`xllm models` lists all; PROVIDER/MODEL names any other".to_owned(),
                }))
            }
            _ => Err(Failure::usage(format!("`{name}` could be {}", candidates.join(" or ")))),
        }
    }

    fn provider_name(&self, name: &str) -> Result<String, Failure> {
        let known = self.providers();
        let name = canonical(name);
        if known.contains(&name) {
            return Ok(name.to_owned());
        }
        Err(Failure::usage(format!("there is no provider `{name}`"))
            .remedy(format!("known: {}; others go into the configuration as [models.{name}]", known.join(", "))))
    }

    /// A model by its ID or, of this provider, its alias.
    fn model_of(&self, provider: &str, model: &str) -> Choice {
        let known = self
            .aliases
            .iter()
            .find(|(alias, choice)| choice.provider == provider && (choice.model == model || alias.as_str() == model));
        known.map_or_else(
            || Choice { provider: provider.to_owned(), model: model.to_owned(), max_tokens: None, successor: None },
            |(_, choice)| choice.clone(),
        )
    }

    /// What a provider's bare name means.
    pub(crate) fn default_of(&self, provider: &str) -> Result<Choice, Failure> {
        if let Some(model) = self.configured(provider).and_then(|provider| provider.model.as_ref()) {
            return Ok(self.model_of(provider, model.get()?));
        }
        match self.built_in.get(provider) {
            Some(built_in) => Ok(self.model_of(provider, &built_in.default)),
            None => Err(Failure::usage(format!("[models.{provider}] names no model"))
                .remedy(format!("add `model = \"…\"` there, or ask with -m {provider}/MODEL"))),
        }
    }
}

/// The provider whose model IDs look like this.
fn family(id: &str) -> Option<&'static str> {
    let reasoning = id.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if id.starts_with("claude-") {
        Some("claude")
    } else if reasoning || id.starts_with("gpt-") || id.starts_with("chatgpt-") {
        Some("openai")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    fn resolve_with(config: &str, name: &str) -> Result<Choice, String> {
        let config = Config::parse("c.toml", config, &Env::default()).expect("valid");
        let catalog = Catalog::new(&config).expect("the data file is valid");
        catalog.resolve(name).map_err(|failure| failure.to_string())
    }

    fn meant(config: &str, name: &str) -> String {
        resolve_with(config, name).map_or_else(|error| error, |choice| format!("{}/{}", choice.provider, choice.model))
    }

    #[test]
    fn every_alias_of_the_data_file_leads_to_a_known_provider() {
        let config = Config::default();
        let catalog = Catalog::new(&config).expect("valid");
        for alias in catalog.aliases() {
            let choice = catalog.resolve(alias).expect("resolves");
            assert!(catalog.built_in(&choice.provider).is_some(), "{alias}");
            assert!(choice.successor.is_none_or(|name| catalog.resolve(&name).is_ok()), "{alias}");
        }
        for provider in catalog.providers() {
            assert_eq!(catalog.resolve(provider).expect("has a default").provider, provider);
        }
    }

    #[test]
    fn haiku3_stays_what_it_was_and_knows_its_successor() {
        let choice = resolve_with("", "haiku3").expect("known");
        assert_eq!((choice.model.as_str(), choice.successor.as_deref()), ("claude-3-haiku-20240307", Some("haiku")));
        assert_eq!(resolve_with("", "claude-3-haiku-20240307").expect("by its ID").successor.as_deref(), Some("haiku"));
    }

    #[test]
    fn a_unique_prefix_is_enough() {
        assert_eq!(meant("", "son"), "claude/claude-sonnet-4-5");
        assert_eq!(meant("", "op"), "claude/claude-opus-4-5");
        assert_eq!(meant("", "hai"), "`hai` could be haiku or haiku3");
        assert_eq!(meant("", "haiku"), "claude/claude-haiku-4-5");
    }

    #[test]
    fn a_full_id_goes_through_as_it_is() {
        for (id, provider) in
            [("claude-x-9", "claude"), ("gpt-9", "openai"), ("o3-mini", "openai"), ("chatgpt-4o-latest", "openai")]
        {
            assert_eq!(meant("", id), format!("{provider}/{id}"));
        }
        assert_eq!(meant("", "openai/ft:gpt-4o:a/b"), "openai/ft:gpt-4o:a/b");
        assert_eq!(meant("", "anthropic/sonnet"), "claude/claude-sonnet-4-5");
    }

    #[test]
    fn unknown_names_come_with_a_suggestion() {
        assert!(meant("", "sonet").contains("did you mean `sonnet`"));
        assert!(meant("", "grok/x").contains("known: claude, openai"));
        assert!(meant("", "openai/").contains("lacks the model"));
        assert!(meant("", "").contains("no model is called"));
    }

    #[test]
    fn the_users_aliases_come_first() {
        let config = "[models.groq]\nurl = \"u\"\nmodel = \"m\"\n[aliases]\nhaiku = \"gpt-4o\"\nfast = \"groq/l\"\ng = \"groq\"\n\
                      big = { provider = \"claude\", model = \"claude-opus-4-5\", max_tokens = 9 }\nmini = \"mini\"\na = \"b\"\nb = \"a\"\nson = \"fast\"";
        assert_eq!(meant(config, "haiku"), "openai/gpt-4o");
        assert_eq!(meant(config, "fas"), "groq/l");
        assert_eq!(meant(config, "g"), "groq/m");
        assert_eq!(meant(config, "son"), "groq/l");
        assert_eq!(meant(config, "mini"), "openai/gpt-5-mini");
        assert_eq!(resolve_with(config, "big").expect("known").max_tokens, Some(9));
        assert!(meant(config, "a").contains("circle"));
    }

    #[test]
    fn a_providers_name_means_its_configured_model() {
        assert_eq!(meant("[models.claude]\nmodel = \"claude-z\"", "claude"), "claude/claude-z");
        assert_eq!(meant("[models.claude]\nmodel = \"haiku3\"", "anthropic"), "claude/claude-3-haiku-20240307");
        assert!(meant("[models.x]\nurl = \"u\"", "x").contains("names no model"));
    }
}
