//! Keys of the server: its own, and its clients'.

mod file;
mod folder;
mod moment;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

pub use self::{
    folder::{KeyFolder, Stamp},
    moment::{NotAMoment, moment, show},
};

use crate::proto::{Credential, KeyId, Psk, ServerKey, crypto::Secret};

/// What goes wrong with key files.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file holds something else than it should. What it holds is not shown.
    #[error("{path}: {what}")]
    Broken {
        /// Which file.
        path: PathBuf,
        /// In which way.
        what: String,
    },
    /// A file with secrets can be read by others.
    #[error("{path} can be read by others; run: chmod 600 {path}")]
    Exposed {
        /// Which file.
        path: PathBuf,
    },
    /// A client of this name exists.
    #[error("there is a client `{0}` already; for a new key of it: xllm-proxy client rotate {0}")]
    Exists(String),
    /// No client of this name exists.
    #[error("there is no client `{0}`; see: xllm-proxy client list")]
    Missing(String),
    /// Not a name.
    #[error("a client's name has 1 to 64 letters, digits, dots, dashes and underscores")]
    BadName,
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Random,
}

/// One key of a client: the current one, or one that it replaces and that is taken for a while longer.
#[derive(Clone, Debug)]
pub struct ClientKey {
    /// The client's name.
    pub name: Arc<str>,
    /// Names the key.
    pub id: KeyId,
    psk: Psk,
    /// When it ceases to be taken.
    pub expires: Option<SystemTime>,
    /// Whether another has taken its place.
    pub old: bool,
}

impl ClientKey {
    fn generate(name: &str, expires: Option<SystemTime>) -> Result<Self, KeysError> {
        let id: Secret<16> = random()?;
        Ok(Self { name: name.into(), id: KeyId(*id.expose()), psk: random()?, expires, old: false })
    }

    fn credential(&self, server: &ServerKey) -> Credential {
        Credential { key_id: self.id, psk: self.psk.clone(), server: *server.public() }
    }

    /// The pre-shared key.
    pub const fn psk(&self) -> &Psk {
        &self.psk
    }

    /// Whether it is not taken any more.
    pub fn has_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// A key of the server's own, and how long it is taken if another has taken its place.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The key.
    pub key: ServerKey,
    /// When it ceases to be taken; `None` for the current one.
    pub until: Option<SystemTime>,
}

/// The server's keys and its clients'.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The current one first.
    server: Vec<Identity>,
    clients: HashMap<KeyId, ClientKey>,
}

impl Keys {
    /// These keys alone, in memory.
    pub fn new(server: ServerKey, clients: impl IntoIterator<Item = ClientKey>) -> Self {
        Self::with_identities(vec![Identity { key: server, until: None }], clients)
    }

    fn with_identities(server: Vec<Identity>, clients: impl IntoIterator<Item = ClientKey>) -> Self {
        Self { server, clients: clients.into_iter().map(|key| (key.id, key)).collect() }
    }

    /// Fresh keys in memory and one client's credential: for a demonstration or a test.
    ///
    /// # Errors
    /// Without randomness.
    pub fn ephemeral(name: &str) -> Result<(Self, Credential), KeysError> {
        let mut keys = Self::new(ServerKey::new(random()?), []);
        let credential = keys.add(name, None)?;
        Ok((keys, credential))
    }

    /// Adds a client in memory, and gives its credential.
    ///
    /// # Errors
    /// Without randomness.
    pub fn add(&mut self, name: &str, expires: Option<SystemTime>) -> Result<Credential, KeysError> {
        let key = ClientKey::generate(name, expires)?;
        let credential = key.credential(&self.server[0].key);
        self.clients.insert(key.id, key);
        Ok(credential)
    }

    /// Forgets the keys of a client.
    pub fn remove(&mut self, name: &str) {
        self.clients.retain(|_, key| &*key.name != name);
    }

    /// The server's keys that are taken at this moment, the current one first.
    pub fn server(&self, now: SystemTime) -> Arc<[ServerKey]> {
        let taken = self.server.iter().filter(|identity| identity.until.is_none_or(|until| now < until));
        taken.map(|identity| identity.key.clone()).collect()
    }

    /// The client's key with this ID, whether it has expired or not.
    pub fn find(&self, id: KeyId) -> Option<&ClientKey> {
        self.clients.get(&id)
    }

    /// The names of the clients.
    pub fn names(&self) -> BTreeSet<&str> {
        self.clients.values().map(|key| &*key.name).collect()
    }
}

fn random<const N: usize>() -> Result<Secret<N>, KeysError> {
    let mut secret = Secret::new([0; N]);
    getrandom::fill(secret.expose_mut()).map_err(|_| KeysError::Random)?;
    Ok(secret)
}
