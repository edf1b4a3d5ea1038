//! What can be wrong with a configuration.

use std::path::{Path, PathBuf};

use super::NotANetwork;
use crate::{http::policy::RuleError, server::guard::origins::NotAnOrigin};

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

impl ConfigError {
    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.chars().rev().take_while(|&character| character != '\n').count();
        Self::Syntax { path: path.into(), line, column, what: error.message().to_owned() }
    }
}
