//! The server's configuration: a TOML file with strict keys; environment and flags are laid over it by the binary.

mod admin;
pub mod clients;
mod dns;
mod error;
mod limits;
mod origins;
mod proxies;
mod reference;
mod rules;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

pub use self::{
    admin::AdminListen,
    clients::Clients,
    dns::Dns,
    error::{ConfigError, EntryError},
    limits::Limits,
    proxies::{NotANetwork, Proxies},
    reference::ReferenceError,
};

use self::{
    admin::AdminFile,
    clients::ClientFile,
    origins::{OriginFile, OriginsFile},
    proxies::ProxiesFile,
    rules::RulesFile,
};
use super::guard::origins::Origins;
use crate::{
    http::policy::Rules,
    proto::{Profile, frame::Policy, limits::NODE_NAME},
};

/// More threads than any machine has use for.
const WORKERS_MAX: usize = 1024;

/// The annotated example, which a test loads.
pub const EXAMPLE: &str = include_str!("../../../xllm-proxy.example.toml");

/// All settings, with their defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Balancers in front, which say whom they forward for.
    pub proxies: Proxies,
    /// Where the admin listener is.
    pub admin: AdminListen,
    /// Folder of the key files; `None`: the platform's.
    pub data_dir: Option<PathBuf>,
    /// Threads that carry sessions, for [`Workers::start`](super::Workers::start); `None`: one for each processor.
    pub workers: Option<NonZero<usize>>,
    /// What may be called.
    pub origins: Origins,
    /// Where names are looked up.
    pub dns: Dns,
    /// The weakest traffic profile that clients may use.
    pub profile: Profile,
    /// The loosest header policy that clients may use.
    pub headers: Policy,
    /// Changes to that policy for what goes to upstreams.
    pub request_headers: Rules,
    /// Changes to that policy for what goes to clients.
    pub response_headers: Rules,
    /// What each client may do.
    pub clients: Clients,
    /// Bounds on everything that a peer controls.
    pub limits: Limits,
    /// Name of this node among several, at most 64 bytes.
    pub node: Option<Arc<str>>,
}

impl Default for Config {
    fn default() -> Self {
        Self::try_from(File::default()).expect("the defaults are valid")
    }
}

/// The file as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    proxy_protocol: ProxiesFile,
    data_dir: Option<PathBuf>,
    workers: Option<usize>,
    profile: Option<String>,
    headers: Option<HeaderPolicy>,
    request_headers: RulesFile,
    response_headers: RulesFile,
    origins: OriginsFile,
    client: BTreeMap<String, ClientFile>,
    origin: Vec<OriginFile>,
    dns: Dns,
    limits: Limits,
    node: Option<String>,
    admin: AdminFile,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HeaderPolicy {
    Neutral,
    Sdk,
    Pass,
}

fn workers(count: usize) -> Result<NonZero<usize>, ConfigError> {
    NonZero::new(count).filter(|count| count.get() <= WORKERS_MAX).ok_or(ConfigError::Range("workers", "1 to 1024"))
}

impl TryFrom<File> for Config {
    type Error = ConfigError;

    fn try_from(file: File) -> Result<Self, ConfigError> {
        file.limits.check()?;
        if file.node.as_ref().is_some_and(|name| name.is_empty() || name.len() > NODE_NAME) {
            return Err(ConfigError::Range("node", "1 to 64 bytes"));
        }
        Ok(Self {
            listen: file.listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 50051))),
            proxies: file.proxy_protocol.try_into()?,
            admin: file.admin.listen,
            data_dir: file.data_dir,
            workers: file.workers.map(workers).transpose()?,
            origins: origins::read(&file.origins, file.origin, &|name| std::env::var(name).ok())?,
            dns: file.dns.check()?,
            profile: file.profile.map_or(Ok(Profile::Off), |name| name.parse())?,
            headers: match file.headers {
                Some(HeaderPolicy::Neutral) => Policy::Neutral,
                Some(HeaderPolicy::Sdk) => Policy::Sdk,
                None | Some(HeaderPolicy::Pass) => Policy::Pass,
            },
            request_headers: file.request_headers.rules("request_headers")?,
            response_headers: file.response_headers.rules("response_headers")?,
            clients: clients::clients(file.client)?,
            limits: file.limits,
            node: file.node.map(Into::into),
        })
    }
}

impl Config {
    /// Reads a file. `allow` are origins to allow beside those in it.
    ///
    /// # Errors
    /// What is wrong, with line and key where there is one.
    pub fn load(path: &Path, allow: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Io(path.into(), error))?;
        Self::parse(&text, path, allow)
    }

    /// Reads a text; `path` is for messages.
    ///
    /// # Errors
    /// What is wrong, with line and key where there is one.
    pub fn parse(text: &str, path: &Path, allow: &[String]) -> Result<Self, ConfigError> {
        let mut file = File::parse(text, path)?;
        file.origins.allow.extend_from_slice(allow);
        file.try_into()
    }
}

impl File {
    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::syntax(path, text, &error))
    }
}

/// What commands need that work on the keys or ask a running server. They are given from a shell, in which the secrets are not that the
/// configuration refers to.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Folder of the key files; `None`: the platform's.
    pub data_dir: Option<PathBuf>,
    /// Where the admin listener is.
    pub admin: AdminListen,
}

impl Places {
    /// Reads them from a file.
    ///
    /// # Errors
    /// If the file cannot be read, or is not written as it must be.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Io(path.into(), error))?;
        let file = File::parse(&text, path)?;
        Ok(Self { data_dir: file.data_dir, admin: file.admin.listen })
    }
}

#[cfg(test)]
mod tests;
