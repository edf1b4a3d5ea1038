//! The folder of the key files: mode 0600, made on first start, written whole or not at all.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use zeroize::Zeroizing;

use super::{
    ClientKey, Identity, Keys, KeysError,
    file::{parse_clients, parse_identities, write_clients, write_identities},
    random,
};
use crate::proto::{Credential, ServerKey};

const SERVER_FILE: &str = "server.key";
const CLIENTS_FILE: &str = "clients.toml";
const LOCK_FILE: &str = ".lock";

/// Changes when a key file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp([Option<(SystemTime, u64)>; 2]);

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
        let (server, made) = self.identities()?;
        Ok((Keys::with_identities(server, self.clients()?), made))
    }

    /// The server's keys, the current one first; none before the first start.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn find_identities(&self) -> Result<Vec<Identity>, KeysError> {
        let path = self.server_file();
        let Some(text) = read(&path)? else { return Ok(Vec::new()) };
        parse_identities(&text).map_err(|what| broken(&path, &what))
    }

    /// The server's keys, one made now if there is none. Says whether it was.
    fn identities(&self) -> Result<(Vec<Identity>, bool), KeysError> {
        let found = self.find_identities()?;
        if !found.is_empty() {
            return Ok((found, false));
        }
        let _lock = self.lock()?;
        let found = self.find_identities()?;
        if !found.is_empty() {
            return Ok((found, false));
        }
        let made = vec![Identity { key: ServerKey::new(random()?), until: None }];
        write(&self.server_file(), &write_identities(&made))?;
        Ok((made, true))
    }

    /// Puts a new key in the place of the server's, which is taken until then, and gives it. What has ended is forgotten.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn rotate_identity(&self, until: SystemTime) -> Result<ServerKey, KeysError> {
        let (_, _made) = self.identities()?;
        let _lock = self.lock()?;
        let mut identities = self.find_identities()?;
        for identity in &mut identities {
            identity.until.get_or_insert(until);
        }
        identities.retain(|identity| identity.until.is_some_and(|until| SystemTime::now() < until));
        let key = ServerKey::new(random()?);
        identities.insert(0, Identity { key: key.clone(), until: None });
        write(&self.server_file(), &write_identities(&identities))?;
        Ok(key)
    }

    /// The clients' keys in the file, in its order.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn clients(&self) -> Result<Vec<ClientKey>, KeysError> {
        let path = self.clients_file();
        let Some(text) = read(&path)? else { return Ok(Vec::new()) };
        parse_clients(&text).map_err(|what| broken(&path, &what))
    }

    /// Adds a client, whose key may have an end, and gives its credential.
    ///
    /// # Errors
    /// A name that is taken or is none, a file that cannot be used.
    pub fn add(&self, name: &str, expires: Option<SystemTime>) -> Result<Credential, KeysError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(KeysError::BadName);
        }
        self.change(|keys, server| {
            if keys.iter().any(|key| &*key.name == name) {
                return Err(KeysError::Exists(name.into()));
            }
            let key = ClientKey::generate(name, expires)?;
            let credential = key.credential(server);
            keys.push(key);
            Ok(credential)
        })
    }

    /// Makes a new key for a client and gives its credential; the one that it had is taken until then. The client's own end, if it
    /// has one, stays.
    ///
    /// # Errors
    /// A name that is none, a file that cannot be used.
    pub fn rotate(&self, name: &str, until: SystemTime) -> Result<Credential, KeysError> {
        self.change(|keys, server| {
            let now = SystemTime::now();
            let at = keys.iter().position(|key| &*key.name == name && !key.old);
            let current = &mut keys[at.ok_or_else(|| KeysError::Missing(name.into()))?];
            let new = ClientKey::generate(name, current.expires)?;
            current.old = true;
            current.expires = Some(current.expires.map_or(until, |expires| expires.min(until)));
            let credential = new.credential(server);
            keys.push(new);
            keys.retain(|key| !(key.old && key.has_expired(now)));
            Ok(credential)
        })
    }

    /// Forgets a client's keys: all, or only those that others have replaced. Says how many there were.
    ///
    /// # Errors
    /// A name that is none, a file that cannot be used.
    pub fn revoke(&self, name: &str, only_old: bool) -> Result<usize, KeysError> {
        self.change(|keys, _| {
            if !keys.iter().any(|key| &*key.name == name) {
                return Err(KeysError::Missing(name.into()));
            }
            let before = keys.len();
            keys.retain(|key| &*key.name != name || (only_old && !key.old));
            Ok(before - keys.len())
        })
    }

    /// Changes the clients' file.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<ClientKey>, &ServerKey) -> Result<T, KeysError>) -> Result<T, KeysError> {
        let (identities, _) = self.identities()?;
        let _lock = self.lock()?;
        let mut keys = self.clients()?;
        let result = change(&mut keys, &identities[0].key)?;
        let path = self.clients_file();
        let text = write_clients(&keys).map_err(|_| broken(&path, "cannot be written as TOML"))?;
        write(&path, &text)?;
        Ok(result)
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

    /// For a server that takes up changes.
    pub fn stamp(&self) -> Stamp {
        let stamp = |path: PathBuf| {
            let data = fs::metadata(path).ok()?;
            Some((data.modified().ok()?, data.len()))
        };
        Stamp([self.server_file(), self.clients_file()].map(stamp))
    }
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

    use std::time::Duration;

    use crate::proto::KeyId;

    fn day(number: u64) -> SystemTime {
        SystemTime::now() + Duration::from_hours(24 * number)
    }

    fn current(keys: &KeyFolder) -> [u8; 32] {
        *keys.find_identities().expect("opens")[0].key.public()
    }

    #[expect(clippy::option_option, reason = "whether it is there, and whether it ends")]
    fn ends(keys: &KeyFolder, id: KeyId) -> Option<Option<SystemTime>> {
        let (open, _) = keys.open().expect("opens");
        open.find(id).map(|key| key.expires)
    }

    #[test]
    fn the_first_start_makes_a_key_and_later_ones_find_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyFolder::new(folder.path().join("deep/er"));
        let (_, made) = keys.open().expect("opens");
        assert!(made);
        let first = current(&keys);
        let (_, made) = keys.open().expect("opens");
        assert!(!made);
        assert_eq!(current(&keys), first);
    }

    #[test]
    fn clients_are_added_found_and_revoked() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyFolder::new(folder.path());
        let credential = keys.add("laptop", None).expect("adds");
        let other = keys.add("phone", Some(day(1))).expect("adds");
        assert_ne!(credential.key_id, other.key_id);
        assert!(matches!(keys.add("laptop", None), Err(KeysError::Exists(_))));
        assert!(matches!(keys.add("no spaces", None), Err(KeysError::BadName)));
        let (open, _) = keys.open().expect("opens");
        assert_eq!(open.server(SystemTime::now())[0].public(), &credential.server);
        let key = open.find(credential.key_id).expect("is there");
        assert_eq!((&*key.name, key.psk()), ("laptop", &credential.psk));
        assert_eq!(open.names().into_iter().collect::<Vec<_>>(), ["laptop", "phone"]);
        let phone = open.find(other.key_id).expect("is there");
        assert!(!phone.has_expired(SystemTime::now()) && phone.has_expired(day(2)));
        assert_eq!(keys.revoke("laptop", false).expect("revokes"), 1);
        assert!(matches!(keys.revoke("laptop", false), Err(KeysError::Missing(_))));
        assert_eq!(ends(&keys, credential.key_id), None);
        assert!(ends(&keys, other.key_id).is_some());
    }

    #[test]
    fn a_replaced_key_is_taken_until_its_end_and_the_clients_own_end_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyFolder::new(folder.path());
        let first = keys.add("a", None).expect("adds");
        let second = keys.rotate("a", day(7)).expect("rotates");
        assert!(ends(&keys, first.key_id).flatten().is_some_and(|end| end > day(6) && end < day(8)));
        assert_eq!(ends(&keys, second.key_id), Some(None));
        assert_eq!(keys.revoke("a", true).expect("revokes"), 1);
        assert_eq!((ends(&keys, first.key_id), ends(&keys, second.key_id)), (None, Some(None)));

        let first = keys.add("b", Some(day(3))).expect("adds");
        let second = keys.rotate("b", day(7)).expect("rotates");
        for key in [&first, &second] {
            assert!(ends(&keys, key.key_id).flatten().is_some_and(|end| end < day(4)), "not longer than the client");
        }
        let third = keys.rotate("b", SystemTime::now()).expect("rotates");
        assert_eq!(ends(&keys, second.key_id), None, "what has ended is forgotten");
        assert!(ends(&keys, third.key_id).is_some());
        assert!(matches!(keys.rotate("c", day(1)), Err(KeysError::Missing(_))));
    }

    #[test]
    fn a_replaced_key_of_the_server_is_taken_until_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyFolder::new(folder.path());
        let before = keys.add("a", None).expect("adds");
        let new = keys.rotate_identity(day(7)).expect("rotates");
        let after = keys.rotate("a", day(7)).expect("rotates");
        assert_ne!(before.server, after.server);
        assert_eq!((new.public(), current(&keys)), (&after.server, after.server));
        let (open, _) = keys.open().expect("opens");
        let taken = |now| open.server(now).iter().map(|key| *key.public()).collect::<Vec<_>>();
        assert_eq!(taken(day(6)), [after.server, before.server]);
        assert_eq!(taken(day(8)), [after.server]);
        keys.rotate_identity(SystemTime::now()).expect("rotates");
        assert_eq!(keys.find_identities().expect("opens").len(), 2, "what ends at once is forgotten");
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
    fn files_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyFolder::new(folder.path());
        keys.add("a", None).expect("adds");
        for file in [keys.server_file(), keys.clients_file()] {
            assert_eq!(fs::metadata(&file).expect("is there").permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("changes");
            assert!(matches!(keys.open(), Err(KeysError::Exposed { .. })));
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("changes");
        }
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
}
