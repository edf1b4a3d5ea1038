//! Keys of the server: its own, and its clients', in files of mode 0600 that it makes on first start.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::proto::{Credential, KeyId, Psk, ServerKey, crypto::Secret};

const SERVER_FILE: &str = "server.key";
const CLIENTS_FILE: &str = "clients.toml";
const LOCK_FILE: &str = ".lock";

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
    #[error("there is a client `{0}` already; choose another name, or remove it first: xllm-proxy client remove {0}")]
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

/// A client, as listed.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its name.
    pub name: Arc<str>,
    /// Names its key.
    pub id: KeyId,
    psk: Psk,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientsFile {
    #[serde(default, rename = "client")]
    clients: Vec<ClientEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientEntry {
    name: String,
    id: String,
    psk: Zeroizing<String>,
}

/// The server's key and its clients'.
#[derive(Debug)]
pub struct Keys {
    server: ServerKey,
    clients: RwLock<HashMap<KeyId, Client>>,
}

impl Keys {
    /// These keys alone, in memory.
    pub fn new(server: ServerKey, clients: impl IntoIterator<Item = Client>) -> Self {
        let clients = clients.into_iter().map(|client| (client.id, client)).collect();
        Self { server, clients: RwLock::new(clients) }
    }

    /// Fresh keys in memory and one client's credential: for a demonstration or a test.
    ///
    /// # Errors
    /// Without randomness.
    pub fn ephemeral(name: &str) -> Result<(Self, Credential), KeysError> {
        let server = ServerKey::new(random()?);
        let client = Client::generate(name)?;
        let credential = client.credential(&server);
        Ok((Self::new(server, [client]), credential))
    }

    /// The server's static key.
    pub const fn server(&self) -> &ServerKey {
        &self.server
    }

    /// How many clients there are.
    pub fn count(&self) -> usize {
        self.clients.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Name and key of the client with this ID.
    pub fn find(&self, id: KeyId) -> Option<(Arc<str>, Psk)> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        clients.get(&id).map(|client| (client.name.clone(), client.psk.clone()))
    }

    /// Puts these clients in place of those that were known.
    pub fn replace(&self, clients: Vec<Client>) {
        let clients = clients.into_iter().map(|client| (client.id, client)).collect();
        *self.clients.write().unwrap_or_else(PoisonError::into_inner) = clients;
    }
}

impl Client {
    fn generate(name: &str) -> Result<Self, KeysError> {
        let id: Secret<16> = random()?;
        Ok(Self { name: name.into(), id: KeyId(*id.expose()), psk: random()? })
    }

    fn credential(&self, server: &ServerKey) -> Credential {
        Credential { key_id: self.id, psk: self.psk.clone(), server: *server.public() }
    }
}

/// The folder that holds the key files.
#[derive(Clone, Debug)]
pub struct KeyFolder(PathBuf);

impl KeyFolder {
    /// This folder; it is made when something is written.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn server_file(&self) -> PathBuf {
        self.0.join(SERVER_FILE)
    }

    fn clients_file(&self) -> PathBuf {
        self.0.join(CLIENTS_FILE)
    }

    /// Reads all keys; makes the server's on first start. Says whether it did.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn open(&self) -> Result<(Keys, bool), KeysError> {
        let (server, made) = self.server_key()?;
        Ok((Keys::new(server, self.clients()?), made))
    }

    /// The server's key, if there is one yet.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn find_server_key(&self) -> Result<Option<ServerKey>, KeysError> {
        let path = self.server_file();
        let Some(text) = read(&path)? else { return Ok(None) };
        let private = decode(text.trim()).ok_or_else(|| broken(&path, "not a server key as this program writes it"))?;
        Ok(Some(ServerKey::new(private)))
    }

    /// The server's key, made now if there is none. Says whether it was.
    fn server_key(&self) -> Result<(ServerKey, bool), KeysError> {
        if let Some(key) = self.find_server_key()? {
            return Ok((key, false));
        }
        let _lock = self.lock()?;
        if let Some(key) = self.find_server_key()? {
            return Ok((key, false));
        }
        let private: Secret<32> = random()?;
        write(&self.server_file(), &Zeroizing::new(format!("{}\n", *encode(&private))))?;
        Ok((ServerKey::new(private), true))
    }

    /// The clients in the file, in its order.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn clients(&self) -> Result<Vec<Client>, KeysError> {
        let path = self.clients_file();
        let Some(text) = read(&path)? else { return Ok(Vec::new()) };
        // The parser's own message may quote a value, which may be a key.
        let line = |error: toml::de::Error| error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        let file: ClientsFile =
            toml::from_str(&text).map_err(|error| broken(&path, &format!("line {} cannot be read", line(error))))?;
        let client = |entry: ClientEntry| {
            let wrong = |what: &str| broken(&path, &format!("client `{}` has {what}", entry.name));
            Ok(Client {
                id: entry.id.parse().map_err(|_| wrong("an id that is not 32 hexadecimal digits"))?,
                psk: decode(&entry.psk).ok_or_else(|| wrong("a psk that is not 43 characters of base64url"))?,
                name: entry.name.into(),
            })
        };
        file.clients.into_iter().map(client).collect()
    }

    /// Adds a client and gives its credential.
    ///
    /// # Errors
    /// A name that is taken or is none, a file that cannot be used.
    pub fn add(&self, name: &str) -> Result<Credential, KeysError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(KeysError::BadName);
        }
        let (server, _) = self.server_key()?;
        let _lock = self.lock()?;
        let mut clients = self.clients()?;
        if clients.iter().any(|client| &*client.name == name) {
            return Err(KeysError::Exists(name.into()));
        }
        let client = Client::generate(name)?;
        let credential = client.credential(&server);
        clients.push(client);
        self.write_clients(&clients)?;
        Ok(credential)
    }

    /// Removes a client.
    ///
    /// # Errors
    /// A name that is none, a file that cannot be used.
    pub fn remove(&self, name: &str) -> Result<(), KeysError> {
        let _lock = self.lock()?;
        let mut clients = self.clients()?;
        let before = clients.len();
        clients.retain(|client| &*client.name != name);
        if clients.len() == before {
            return Err(KeysError::Missing(name.into()));
        }
        self.write_clients(&clients)
    }

    fn write_clients(&self, clients: &[Client]) -> Result<(), KeysError> {
        let entry = |client: &Client| ClientEntry {
            name: client.name.to_string(),
            id: client.id.to_string(),
            psk: encode(&client.psk),
        };
        let path = self.clients_file();
        let file = ClientsFile { clients: clients.iter().map(entry).collect() };
        let body = Zeroizing::new(toml::to_string(&file).map_err(|_| broken(&path, "cannot be written as TOML"))?);
        let head = "# Clients of this proxy. Secret. Change it with: xllm-proxy client";
        write(&path, &Zeroizing::new(format!("{head}\n\n{}", *body)))
    }

    /// One writer at a time, also among processes.
    fn lock(&self) -> Result<fs::File, KeysError> {
        make_folder(&self.0)?;
        let path = self.0.join(LOCK_FILE);
        let open = || {
            let file = options().write(true).create(true).truncate(false).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        open().map_err(|error| KeysError::Io { path: path.clone(), error })
    }

    /// Changes when the file of clients does: for a server that takes up changes.
    pub fn stamp(&self) -> Option<(SystemTime, u64)> {
        let data = fs::metadata(self.clients_file()).ok()?;
        Some((data.modified().ok()?, data.len()))
    }
}

fn random<const N: usize>() -> Result<Secret<N>, KeysError> {
    let mut secret = Secret::new([0; N]);
    getrandom::fill(secret.expose_mut()).map_err(|_| KeysError::Random)?;
    Ok(secret)
}

fn encode(secret: &Secret<32>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(43));
    URL_SAFE_NO_PAD.encode_string(secret.expose(), &mut text);
    text
}

fn decode(text: &str) -> Option<Secret<32>> {
    let mut secret = Secret::new([0; 32]);
    let read = URL_SAFE_NO_PAD.decode_slice(text, secret.expose_mut()).ok()?;
    (read == 32).then_some(secret)
}

fn broken(path: &Path, what: &str) -> KeysError {
    KeysError::Broken { path: path.to_owned(), what: what.to_owned() }
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>, KeysError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            check_mode(path)?;
            Ok(Some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeysError::Io { path: path.to_owned(), error }),
    }
}

/// Writes a file of mode 0600 whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), KeysError> {
    let new = path.with_extension("new");
    let attempt = || {
        let mut file = options().write(true).create(true).truncate(true).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    attempt().map_err(|error| KeysError::Io { path: path.to_owned(), error })
}

#[cfg(unix)]
fn options() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
fn options() -> fs::OpenOptions {
    fs::OpenOptions::new()
}

#[cfg(unix)]
fn make_folder(path: &Path) -> Result<(), KeysError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| KeysError::Io { path: path.to_owned(), error })
}

#[cfg(not(unix))]
fn make_folder(path: &Path) -> Result<(), KeysError> {
    fs::create_dir_all(path).map_err(|error| KeysError::Io { path: path.to_owned(), error })
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), KeysError> {
    use std::os::unix::fs::MetadataExt;
    let data = fs::metadata(path).map_err(|error| KeysError::Io { path: path.to_owned(), error })?;
    if is_exposed(data.mode(), data.uid()) { Err(KeysError::Exposed { path: path.to_owned() }) } else { Ok(()) }
}

/// Whether others than those who are meant can read it. What is root's, its group may read: so Kubernetes and systemd hand secrets to
/// a service that has no rights.
#[cfg(unix)]
const fn is_exposed(mode: u32, owner: u32) -> bool {
    mode & if owner == 0 { 0o037 } else { 0o077 } != 0
}

#[cfg(not(unix))]
fn check_mode(_path: &Path) -> Result<(), KeysError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_key_and_later_ones_find_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyFolder::new(folder.path().join("deep/er"));
        let (first, made) = keys.open().expect("opens");
        assert!(made);
        let (second, made) = keys.open().expect("opens");
        assert!(!made);
        assert_eq!(first.server().public(), second.server().public());
    }

    #[test]
    fn clients_are_added_listed_found_and_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyFolder::new(folder.path());
        let credential = keys.add("laptop").expect("adds");
        let other = keys.add("phone").expect("adds");
        assert_ne!(credential.key_id, other.key_id);
        assert!(matches!(keys.add("laptop"), Err(KeysError::Exists(_))));
        assert!(matches!(keys.add("no spaces"), Err(KeysError::BadName)));
        let (open, _) = keys.open().expect("opens");
        assert_eq!(open.server().public(), &credential.server);
        let (name, psk) = open.find(credential.key_id).expect("is there");
        assert_eq!((&*name, psk), ("laptop", credential.psk));
        keys.remove("laptop").expect("removes");
        assert!(matches!(keys.remove("laptop"), Err(KeysError::Missing(_))));
        open.replace(keys.clients().expect("reads"));
        assert!(open.find(credential.key_id).is_none());
        assert!(open.find(other.key_id).is_some());
    }

    #[test]
    fn broken_files_are_refused_without_showing_what_they_hold() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyFolder::new(folder.path());
        keys.open().expect("opens");
        for text in
            ["secret-text", "[[client]]\nname='a'\nid='zz'\npsk='secret-text'", "[[client]]\nname='a'\nsecret='secret-text'"]
        {
            write(&keys.clients_file(), text).expect("writes");
            let error = keys.clients().expect_err("refused").to_string();
            assert!(!error.contains("secret-text"), "{error}");
        }
        write(&keys.server_file(), "secret-text").expect("writes");
        let error = keys.open().expect_err("refused").to_string();
        assert!(!error.contains("secret-text"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_group_may_read_what_root_gives_it_and_nothing_else() {
        for (mode, owner, exposed) in [
            (0o100_600, 1000, false),
            (0o100_400, 0, false),
            (0o100_440, 0, false),
            (0o100_640, 0, false),
            (0o100_660, 0, true),
            (0o100_444, 0, true),
            (0o100_440, 1000, true),
            (0o100_604, 1000, true),
        ] {
            assert_eq!(is_exposed(mode, owner), exposed, "{mode:o} of {owner}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyFolder::new(folder.path());
        keys.add("a").expect("adds");
        for file in [keys.server_file(), keys.clients_file()] {
            assert_eq!(fs::metadata(&file).expect("is there").permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("changes");
            assert!(matches!(keys.open(), Err(KeysError::Exposed { .. })));
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("changes");
        }
    }
}
