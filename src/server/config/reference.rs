//! Values that refer to secrets elsewhere: `${NAME}`, `${file:/path}`, `${credential:NAME}`, and `$$` for a dollar.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::server::guard::added::Value;

/// No key is as long.
const FILE_MAX: u64 = 16_384;
/// Where systemd puts what `LoadCredential=` names.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// What the environment's variables are.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A reference that leads to no value. It shows where it leads, never what is there.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A dollar that is no reference.
    #[error("a `$` begins ${{NAME}}, ${{file:/path}} or ${{credential:NAME}}; for a dollar itself, write `$$`")]
    Malformed,
    /// No such variable.
    #[error("the environment variable {0} is not set")]
    Unset(String),
    /// There, and empty.
    #[error("what {0} names is empty")]
    Empty(String),
    /// No systemd, or no `LoadCredential=`.
    #[error("$CREDENTIALS_DIRECTORY is not set: systemd sets it for services with LoadCredential= or SetCredential=")]
    NoCredentials,
    /// Not readable.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// Not a file, or no key.
    #[error("{0} is not a file of at most 16384 bytes")]
    NotAKey(PathBuf),
    /// Open to all.
    #[error("{0} can be read or changed by every user of this machine; chmod it to 600 or 640")]
    Exposed(PathBuf),
}

/// Reads a value, which is wiped, as is what it refers to.
pub(super) fn value(text: String, variables: Variables<'_>) -> Result<Value, ReferenceError> {
    let text = Zeroizing::new(text);
    let mut value = Value::default();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once('$') {
        value.text = joined(&value.text, before.as_bytes());
        if let Some(behind) = behind.strip_prefix('$') {
            value.text = joined(&value.text, b"$");
            rest = behind;
            continue;
        }
        let reference = behind.strip_prefix('{').and_then(|behind| behind.split_once('}'));
        let (name, behind) = reference.ok_or(ReferenceError::Malformed)?;
        let secret = look_up(name, variables)?;
        if secret.is_empty() {
            return Err(ReferenceError::Empty(name.to_owned()));
        }
        value.text = joined(&value.text, &secret);
        value.secrets.push(secret);
        rest = behind;
    }
    value.text = joined(&value.text, rest.as_bytes());
    Ok(value)
}

/// Both in memory of their own: what a vector leaves behind when it grows is not wiped.
fn joined(one: &[u8], other: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([one, other].concat())
}

fn look_up(name: &str, variables: Variables<'_>) -> Result<Zeroizing<Vec<u8>>, ReferenceError> {
    if let Some(path) = name.strip_prefix("file:") {
        let path = Path::new(path);
        return if path.is_absolute() { read(path, variables) } else { Err(ReferenceError::Malformed) };
    }
    if let Some(name) = name.strip_prefix("credential:") {
        // One name, so that it leads nowhere else.
        let mut parts = Path::new(name).components();
        let (Some(Component::Normal(part)), None) = (parts.next(), parts.next()) else { return Err(ReferenceError::Malformed) };
        if part != OsStr::new(name) {
            return Err(ReferenceError::Malformed);
        }
        let folder = variables(CREDENTIALS).ok_or(ReferenceError::NoCredentials)?;
        return read(&Path::new(&folder).join(name), variables);
    }
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) || !name.bytes().all(valid) {
        return Err(ReferenceError::Malformed);
    }
    let value = variables(name).ok_or_else(|| ReferenceError::Unset(name.to_owned()))?;
    Ok(Zeroizing::new(value.into_bytes()))
}

/// What is in a file, without the line break at its end.
fn read(path: &Path, variables: Variables<'_>) -> Result<Zeroizing<Vec<u8>>, ReferenceError> {
    let failed = |error| ReferenceError::Io(path.to_owned(), error);
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() || about.len() > FILE_MAX {
        return Err(ReferenceError::NotAKey(path.to_owned()));
    }
    if is_exposed(&about) && !is_credential(path, variables) {
        return Err(ReferenceError::Exposed(path.to_owned()));
    }
    // All that there may be at once, so that nothing is left behind where it would grow.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_MAX).unwrap_or(usize::MAX) + 1));
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(ReferenceError::NotAKey(path.to_owned()));
    }
    let line = bytes.strip_suffix(b"\n").map_or(bytes.as_slice(), |line| line.strip_suffix(b"\r").unwrap_or(line));
    Ok(Zeroizing::new(line.to_vec()))
}

/// Whether users beyond its owner and group may read or change it.
#[cfg(unix)]
fn is_exposed(about: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    about.permissions().mode() & 0o007 != 0
}

#[cfg(not(unix))]
fn is_exposed(_: &std::fs::Metadata) -> bool {
    false
}

/// Whether it lies in the folder of credentials, which is the service's alone.
fn is_credential(path: &Path, variables: Variables<'_>) -> bool {
    let folder = variables(CREDENTIALS).and_then(|folder| Path::new(&folder).canonicalize().ok());
    folder.is_some_and(|folder| path.canonicalize().is_ok_and(|path| path.starts_with(folder)))
}

#[cfg(test)]
mod tests;
