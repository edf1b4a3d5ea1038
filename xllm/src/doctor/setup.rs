//! What is on this machine: the configuration and the proxy's credential.

use std::path::Path;

use super::check::Check;
use crate::{
    aliases::Catalog,
    config::Config,
    credential,
    env::Env,
    exit::Failure,
    key::{self, Origin},
    options::no_proxy_key,
    secret::Secret,
};

pub(super) const CONFIGURATION: &str = "configuration";
pub(super) const CREDENTIAL: &str = "credential";

/// A configuration that could be read.
pub(super) fn configuration(config: &Config, catalog: &Catalog<'_>, env: &Env) -> Check {
    let mut details = vec![config.path.as_deref().map_or_else(|| "none found".to_owned(), shown)];
    details.extend(config.remarks.iter().cloned());
    let detail = details.join("\n");
    let mut faults = config.warnings.clone();
    if config.path.is_none() {
        faults.push("xllm --init writes one".to_owned());
    }
    faults.extend(dead_names(config, catalog, env));
    if faults.is_empty() {
        Check::ok(CONFIGURATION, detail)
    } else {
        Check::warning(CONFIGURATION, detail).remedy(faults.join("\n"))
    }
}

/// Names of models that lead nowhere: errors only for who uses them.
fn dead_names(config: &Config, catalog: &Catalog<'_>, env: &Env) -> Vec<String> {
    let mut dead = Vec::new();
    if let Some(name) = env.get("XLLM_MODEL")
        && catalog.resolve(name).is_err()
    {
        dead.push(format!("XLLM_MODEL names no model: `{name}`; `xllm models` lists them"));
    }
    if let Some(model) = &config.global.model {
        match model.get().map(|name| (name, catalog.resolve(name))) {
            Ok((_, Ok(_))) => {}
            Ok((name, Err(_))) => dead.push(format!("[global] model names no model: `{name}`; `xllm models` lists them")),
            Err(unset) => dead.push(unset.into_texts().0),
        }
    }
    let aliases = config.aliases.iter().filter(|alias| catalog.resolve(&alias.name).is_err());
    dead.extend(aliases.map(|alias| format!("the alias `{}` leads nowhere; `xllm models` lists what there is", alias.name)));
    dead
}

/// A path as people write it.
fn shown(path: &Path) -> String {
    let home = directories::BaseDirs::new();
    match home.as_ref().and_then(|home| path.strip_prefix(home.home_dir()).ok()) {
        Some(rest) => Path::new("~").join(rest).display().to_string(),
        None => path.display().to_string(),
    }
}

/// Looks for the credential; the secret if it can be used. A locked keyring keeps one waiting.
pub(super) async fn credential(config: &Config, env: &Env) -> (Check, Option<Secret>) {
    let (config, env) = (config.clone(), env.clone());
    let found = tokio::task::spawn_blocking(move || key::find(&config, &env)).await;
    let found = found.unwrap_or_else(|_| Err(Failure::proxy("the search for the proxy's key failed")));
    match found.and_then(|found| found.ok_or_else(no_proxy_key)) {
        Ok((key, origin)) => judge(key, origin),
        Err(failure) => (Check::failed(CREDENTIAL, failure), None),
    }
}

fn judge(key: Secret, origin: Origin) -> (Check, Option<Secret>) {
    match credential::id(&key) {
        Ok(id) => (Check::ok(CREDENTIAL, format!("key {id}\n{}", origin.described())), Some(key)),
        Err(failure) => {
            let (message, remedy) = failure.into_texts();
            let failure = Failure::proxy(format!("{message} ({})", origin.described()));
            (Check::failed(CREDENTIAL, failure).remedy(remedy.unwrap_or_default()), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status;

    fn examined(text: &str, env: &[(&str, &str)]) -> Check {
        let env = Env::of(env);
        let mut config = Config::parse("c.toml", text, &env).expect("valid");
        config.path = Some("/etc/c.toml".into());
        let catalog = Catalog::new(&config).expect("the data file is valid");
        configuration(&config, &catalog, &env)
    }

    #[test]
    fn names_that_lead_nowhere_are_warned_of() {
        assert_eq!(examined("[global]\nmodel = \"haiku\"\n[aliases]\nx = \"opus\"", &[]).status, Status::Ok);
        for (text, env, said) in [
            ("[global]\nmodel = \"hiku\"", &[][..], "[global] model names no model: `hiku`"),
            ("[global]\nmodel = \"${M}\"", &[], "variable M is not set"),
            ("[aliases]\nx = \"nope\"", &[], "the alias `x` leads nowhere"),
            ("", &[("XLLM_MODEL", "nope")], "XLLM_MODEL names no model"),
        ] {
            let check = examined(text, env);
            assert_eq!(check.status, Status::Warning, "{text}");
            assert!(check.remedy.as_deref().is_some_and(|remedy| remedy.contains(said)), "{check:?}");
        }
    }

    #[test]
    fn a_credential_is_known_by_its_public_id_and_never_shown() {
        let text = xllm_proxy::server::Keys::ephemeral("x").expect("randomness").1.reveal().to_string();
        let (check, key) = judge(Secret::new(text.as_str()), Origin::Keyring);
        assert!(check.detail.ends_with("from the system keyring") && !check.detail.contains(&text), "{check:?}");
        assert!(key.is_some());
        let (check, key) = judge(Secret::new("xllm1_hunter2"), Origin::Environment);
        assert!(matches!(check.status, Status::Failed(_)) && key.is_none());
        assert!(check.detail.contains("XLLM_PROXY_KEY") && !format!("{check:?}").contains("hunter2"), "{check:?}");
    }
}
