//! What can be wrong with a configuration.

use std::path::{Path, PathBuf};

use super::{NotANetwork, reference::ReferenceError};
use crate::{
    http::policy::RuleError,
    server::guard::{added::AddedError, origins::Twice, paths::NotAPrefix, pattern::NotAnOrigin},
};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// Not valid TOML, or an unknown key. The line itself is not shown: it may hold a value of `set`.
    #[error("{path}, line {line}, column {column}: {what}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// A number out of its range.
    #[error("{0} must be {1}")]
    Range(&'static str, &'static str),
    /// Not an origin.
    #[error("origins.allow: {0}")]
    Origin(#[from] NotAnOrigin),
    /// An entry of `[[origin]]` that cannot be used; its `at`.
    #[error("[[origin]] at = \"{0}\": {1}")]
    Entry(String, EntryError),
    /// Neither an address nor a network.
    #[error("proxy_protocol.from: {0}")]
    Network(#[from] NotANetwork),
    /// Rules for headers that cannot be used; the table they are in.
    #[error("[{0}]: {1}")]
    Rules(&'static str, RuleError),
    /// What a client may do is not said as it must be; which client.
    #[error("[client.{0}]: {1}")]
    Client(String, String),
    /// Not a profile.
    #[error("profile: {0}")]
    Profile(#[from] crate::proto::profile::UnknownProfile),
}

/// What can be wrong with an entry of `[[origin]]`. Never shows a header's value.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not an origin.
    #[error("at: {0}")]
    Origin(#[from] NotAnOrigin),
    /// Not the only one.
    #[error(transparent)]
    Twice(#[from] Twice),
    /// A list that allows nothing.
    #[error("{0} is empty and allows nothing; leave it out to allow all")]
    Empty(&'static str),
    /// Not a method that travels.
    #[error("methods: one of them is not a method that the relay carries ({0}), in capital letters")]
    Method(String),
    /// Not the beginning of a path.
    #[error("paths: {0}")]
    Path(#[from] NotAPrefix),
    /// A name is asked for, and an address is there.
    #[error("private says where a name may lead, and this is an address, which is called as it is; leave it out")]
    Address,
    /// A field that cannot be added.
    #[error("headers: {0}")]
    Header(#[from] AddedError),
    /// A value that is not there.
    #[error("headers: `{0}`: {1}")]
    Reference(String, ReferenceError),
    /// A key in the clear.
    #[error("headers go over https, and over http to localhost, loopback and private addresses alone: they hold keys")]
    Exposed,
    /// A key for whoever has a name below another.
    #[error(
        "headers belong to one origin: anybody may have a name below another, and would get the key; name the host in full"
    )]
    Wildcard,
}

impl ConfigError {
    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.chars().rev().take_while(|&character| character != '\n').count();
        Self::Syntax { path: path.into(), line, column, what: error.message().to_owned() }
    }
}
