//! Who is asked, and how requests get there.

use crate::{
    aliases::Catalog,
    args::{ApiName, BenchArgs, ChatArgs, ConnectionArgs},
    config::{Api, Config},
    endpoint::endpoint,
    env::Env,
    exit::Failure,
    options::{self, Target},
    secret::Secret,
    stage::Stage,
};

/// The target, the proxy's address with what it accepts, and what the user should hear of them.
type Way = (Target, Option<(String, Secret)>, Vec<String>);

/// Who is asked, and through which proxy.
pub(super) fn way(args: &BenchArgs, config: &Config, env: &Env, stage: Option<&Stage>) -> Result<Way, Failure> {
    if let Some(stage) = stage {
        let target = Target { max_tokens: Some(args.max_tokens), ..stage.target()? };
        let proxy = (!args.direct_only).then(|| (format!("http://{}", stage.relay), stage.credential.clone()));
        return Ok((target, proxy, Vec::new()));
    }
    let connection = ConnectionArgs {
        config: None,
        proxy_url: args.connection.proxy_url.clone().filter(|_| !args.direct_only),
        no_proxy: args.connection.no_proxy || args.direct_only,
        verbose: args.connection.verbose,
    };
    let proxy = match options::route(&connection, config, env)? {
        options::Route::Proxy { url, key, .. } => Some((url, key)),
        options::Route::Direct if args.direct_only => None,
        options::Route::Direct => {
            return Err(Failure::usage("there is no proxy to measure").remedy(
                "--proxy-url or proxy_url in the configuration names one; --direct-only measures the API alone; --demo needs neither",
            ));
        }
    };
    let target = if let Some(url) = &args.target {
        given(args, url, env)?
    } else {
        let chat = ChatArgs { model: args.model.clone(), max_tokens: Some(args.max_tokens), connection, ..ChatArgs::default() };
        options::Plan::new(&chat, Vec::new(), config, env)?.target
    };
    // What the proxy may add itself, direct requests must bring.
    let lacks_key =
        target.key.is_none() && args.target.is_none() && options::wants_key(&Catalog::new(config)?, &target.provider);
    if lacks_key && !args.proxy_only {
        return Err(Failure::usage(format!("there is no API key for {}, which direct requests need", target.provider))
            .remedy(format!("{}; or measure with --proxy-only", target.key_remedy)));
    }
    let warnings = options::exposed(&target).filter(|_| !args.proxy_only).into_iter().collect();
    Ok((target, proxy, warnings))
}

/// What an endpoint speaks, by its path.
fn of_path(url: &str) -> Api {
    if url.trim_end_matches('/').ends_with("/messages") { Api::Anthropic } else { Api::OpenAi }
}

/// `--target`
fn given(args: &BenchArgs, url: &str, env: &Env) -> Result<Target, Failure> {
    let api = match args.api {
        Some(ApiName::Openai) => Api::OpenAi,
        Some(ApiName::Anthropic) => Api::Anthropic,
        None => of_path(url),
    };
    let key = match &args.key_env {
        Some(name) => match env.get(name) {
            Some(key) => Some(Secret::new(key)),
            None => return Err(Failure::usage(format!("the variable {name} (--key-env) is not set"))),
        },
        None => None,
    };
    Ok(Target {
        api,
        provider: "the target".to_owned(),
        url: endpoint(url, api)?,
        key,
        key_remedy: "--key-env NAME names the variable that holds it".to_owned(),
        model: args.model.clone().unwrap_or_default(),
        max_tokens: Some(args.max_tokens),
        successor: None,
    })
}
