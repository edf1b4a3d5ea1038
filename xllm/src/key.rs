//! The proxy's credential: where it is found, and `xllm key` to keep it in the
//! system keyring.

use std::io::{self, IsTerminal as _, Read as _};

use crate::{args::KeyCommand, config::Config, credential, env::Env, exit::Failure, keyring, secret::Secret};

/// A credential is one short line.
const MAX_INPUT: u64 = 4096;

/// Where a credential came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `XLLM_PROXY_KEY`
    Environment,
    /// `proxy_key` of the configuration
    File,
    /// The system keyring
    Keyring,
}

impl Origin {
    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::Environment => "from XLLM_PROXY_KEY",
            Self::File => "from proxy_key in the configuration",
            Self::Keyring => "from the system keyring",
        }
    }
}

/// The credential to use: the environment's, the file's or the keyring's.
pub(crate) fn find(config: &Config, env: &Env) -> Result<Option<(Secret, Origin)>, Failure> {
    if let Some(key) = env.get("XLLM_PROXY_KEY") {
        return Ok(Some((Secret::new(key), Origin::Environment)));
    }
    if let Some(key) = config.global.proxy_key.as_ref().and_then(|key| key.known()) {
        return Ok(Some((key.clone(), Origin::File)));
    }
    match keyring::get(env) {
        Ok(Some(key)) => Ok(Some((Secret::new(key.trim()), Origin::Keyring))),
        // A machine without a keyring is not an error: the caller says what to do.
        Ok(None) | Err(keyring::Error::Unavailable(_)) => Ok(None),
        Err(error @ keyring::Error::Slow) => {
            Err(Failure::proxy(error.to_string()).remedy("unlock it, or export XLLM_PROXY_KEY=xllm1_…"))
        }
    }
}

/// `xllm key …`; the text to print.
pub(crate) fn run(command: KeyCommand, config: &Config, env: &Env) -> Result<String, Failure> {
    match command {
        KeyCommand::Set => {
            let key = ask()?;
            let id = credential::id(&key)?;
            keyring::set(env, key.expose()).map_err(|error| refused(&error))?;
            let shadow = match find(config, env)? {
                Some((_, origin)) if origin != Origin::Keyring => {
                    format!("\nnote: the key in use is still the one {}", origin.described())
                }
                _ => String::new(),
            };
            Ok(format!("stored key {id} in the system keyring{shadow}"))
        }
        KeyCommand::ShowId => match find(config, env)? {
            Some((key, origin)) => Ok(format!("{}  {}", credential::id(&key)?, origin.described())),
            None => Err(Failure::proxy("there is no proxy key").remedy("xllm key set")),
        },
        KeyCommand::Remove => match keyring::remove(env) {
            Ok(true) => Ok("removed the key from the system keyring".to_owned()),
            Ok(false) => Ok("the system keyring holds no key of xllm".to_owned()),
            Err(error) => Err(refused(&error)),
        },
    }
}

fn refused(error: &keyring::Error) -> Failure {
    Failure::proxy(error.to_string())
        .remedy("without a keyring, export XLLM_PROXY_KEY=xllm1_… or set proxy_key in the configuration")
}

fn ask() -> Result<Secret, Failure> {
    let unreadable = |error: io::Error| Failure::usage(format!("cannot read the key: {error}"));
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return rpassword::prompt_password("Proxy key (xllm1_…): ").map(|key| Secret::new(key.trim())).map_err(unreadable);
    }
    let mut text = String::new();
    stdin.lock().take(MAX_INPUT).read_to_string(&mut text).map_err(unreadable)?;
    let key = Secret::new(text.trim());
    zeroize::Zeroize::zeroize(&mut text);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, env: &[(&str, &str)]) -> Option<(String, Origin)> {
        let env = Env::of(&[env, &[("XLLM_NO_KEYRING", "1")]].concat());
        let config = Config::parse("c.toml", file, &env).expect("valid");
        find(&config, &env).expect("no keyring").map(|(key, origin)| (key.expose().to_owned(), origin))
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        let file = "[global]\nproxy_key = \"xllm1_file\"";
        assert_eq!(found(file, &[("XLLM_PROXY_KEY", "xllm1_env")]), Some(("xllm1_env".into(), Origin::Environment)));
        assert_eq!(found(file, &[]), Some(("xllm1_file".into(), Origin::File)));
        assert_eq!(found("[global]\nproxy_key = \"${UNSET}\"", &[]), None);
    }
}
