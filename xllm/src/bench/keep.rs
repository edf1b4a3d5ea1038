//! Files that a run leaves: whole, or as they were before.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;

use tempfile::NamedTempFile;

use crate::exit::Failure;

/// A file that is to be written when the run is over.
#[derive(Debug)]
pub(super) enum Keep {
    /// Beside its place, which it takes when it is whole: a run that fails leaves the result of an older one.
    Beside(NamedTempFile, PathBuf),
    /// What is no file, such as a pipe, is written as it is.
    Straight(File),
}

impl Keep {
    /// Finds out whether it can be written, before anything is spent on what could not be kept.
    pub(super) fn at(path: &Path) -> Result<Self, Failure> {
        Self::open(path).map_err(|error| Failure::usage(format!("{} cannot be written: {error}", path.display())))
    }

    fn open(path: &Path) -> io::Result<Self> {
        let old = fs::metadata(path).ok();
        if old.as_ref().is_some_and(|old| !old.is_file()) {
            return File::create(path).map(Self::Straight);
        }
        // Where a link leads to, and nothing that could not be written over.
        let place = if old.is_some() {
            File::options().append(true).open(path)?;
            fs::canonicalize(path)?
        } else {
            path.to_owned()
        };
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        // Those of the old file; of a new one the usual, less what the user's mask takes away.
        #[cfg(unix)]
        builder.permissions(old.map_or_else(|| PermissionsExt::from_mode(0o666), |old| old.permissions()));
        Ok(Self::Beside(builder.tempfile_in(folder)?, place))
    }

    /// What is there until it takes its place.
    pub(super) fn draft(&self) -> Option<&Path> {
        match self {
            Self::Beside(file, _) => Some(file.path()),
            Self::Straight(_) => None,
        }
    }

    /// Writes it, and puts it in its place.
    pub(super) fn write(mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match &mut self {
            Self::Beside(file, _) => write(file)?,
            Self::Straight(file) => write(file)?,
        }
        match self {
            Self::Beside(file, place) => file.persist(place).map(drop).map_err(|error| error.error),
            Self::Straight(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_result_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("result.json");
        fs::write(&path, "old").expect("writable");
        let read = || fs::read_to_string(&path).expect("there");
        drop(Keep::at(&path).expect("writable"));
        let broken = Keep::at(&path).expect("writable").write(|to| to.write_all(b"ne").and(Err(io::Error::other("full"))));
        assert!(broken.is_err() && read() == "old");
        Keep::at(&path).expect("writable").write(|to| to.write_all(b"new")).expect("written");
        assert_eq!((read().as_str(), fs::read_dir(folder.path()).expect("a folder").count()), ("new", 1));
        assert!(Keep::at(&folder.path().join("no/such")).is_err());
    }
}
