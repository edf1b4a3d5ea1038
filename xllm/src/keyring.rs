//! The system keyring, made safe to ask: it never hangs and says nothing of its own.

use std::{fmt, time::Duration};

use crate::env::Env;

/// How long it may take. A locked keyring asks the user meanwhile.
const PATIENCE: Duration = Duration::from_secs(15);

/// What can be wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Error {
    /// There is none, or it refused.
    Unavailable(String),
    /// It did not answer.
    Slow,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the system keyring cannot be used: {why}"),
            Self::Slow => write!(f, "the system keyring did not answer within {} s", PATIENCE.as_secs()),
        }
    }
}

/// The stored credential.
pub(crate) fn get(env: &Env) -> Result<Option<String>, Error> {
    ask(env, store::get)
}

/// Stores the credential.
pub(crate) fn set(env: &Env, key: &str) -> Result<(), Error> {
    let key = key.to_owned();
    ask(env, move || store::set(&key))
}

/// Removes the credential; false if there was none.
pub(crate) fn remove(env: &Env) -> Result<bool, Error> {
    ask(env, store::remove)
}

/// Asks on a thread of its own, which is left behind if it hangs: the process ends without it.
fn ask<T: Send + 'static>(env: &Env, question: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, Error> {
    if env.get("XLLM_NO_KEYRING").is_some() {
        return Err(Error::Unavailable("XLLM_NO_KEYRING is set".to_owned()));
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("keyring".to_owned())
        .spawn(move || sender.send(question()))
        .map_err(|error| Error::Unavailable(error.to_string()))?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(answer) => answer.map_err(Error::Unavailable),
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Err(Error::Slow),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Err(Error::Unavailable("it failed".to_owned())),
    }
}

#[cfg(feature = "keyring")]
mod store {
    use keyring::{Entry, Error};

    fn entry() -> Result<Entry, String> {
        match Entry::store_status() {
            Ok(()) => Entry::new("xllm", "proxy_key").map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) fn get() -> Result<Option<String>, String> {
        match entry()?.get_password() {
            Ok(key) => Ok(Some(key)),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) fn set(key: &str) -> Result<(), String> {
        entry()?.set_password(key).map_err(|error| error.to_string())
    }

    pub(super) fn remove() -> Result<bool, String> {
        match entry()?.delete_credential() {
            Ok(()) => Ok(true),
            Err(Error::NoEntry) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(not(feature = "keyring"))]
mod store {
    fn absent<T>() -> Result<T, String> {
        Err("this build has no keyring support".to_owned())
    }

    pub(super) fn get() -> Result<Option<String>, String> {
        absent()
    }

    pub(super) fn set(_: &str) -> Result<(), String> {
        absent()
    }

    pub(super) fn remove() -> Result<bool, String> {
        absent()
    }
}
