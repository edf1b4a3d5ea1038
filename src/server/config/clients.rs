//! What each client may do: `[client."*"]` for all, `[client.NAME]` over it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ConfigError;
use crate::{
    proto::Profile,
    server::guard::{models::Models, pattern::Patterns},
};

/// The table whose values all clients have, unless one of their own says otherwise.
const ALL: &str = "*";

/// What each client may do.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    all: ClientRule,
    named: BTreeMap<String, ClientRule>,
}

impl Clients {
    /// What the client of this name may do.
    pub fn rule(&self, name: &str) -> &ClientRule {
        self.named.get(name).unwrap_or(&self.all)
    }

    /// The clients that have a table of their own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }
}

/// What becomes of a client's requests when their session is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCut {
    /// Their upstreams are read on, for some time, and the client may come back for them.
    Hold,
    /// They end at once.
    Cancel,
    /// As `hold`, and an answer that is still on its way is read to its end however long it takes.
    Finish,
}

/// What a client may do.
#[derive(Clone, Debug)]
pub struct ClientRule {
    /// Sessions at once.
    pub sessions: usize,
    /// Requests at once, over all its sessions.
    pub exchanges: usize,
    /// Requests in a minute; 0: as many as it likes.
    pub requests_per_minute: u32,
    /// Requests that may come at once, of those of a minute.
    pub burst: u32,
    /// The weakest traffic profile that it may use, beside the server's.
    pub profile: Profile,
    /// What it may call, of what the server may; `None`: all of that.
    pub origins: Option<Patterns>,
    /// The models that it may ask; `None`: all.
    pub models: Option<Models>,
    /// Largest request body, bytes, beside the server's limit.
    pub upload_bytes: u64,
    /// What becomes of its requests when their session is cut.
    pub on_cut: OnCut,
}

impl Default for ClientRule {
    fn default() -> Self {
        Self {
            sessions: 1000,
            exchanges: 10_000,
            requests_per_minute: 60_000,
            burst: 1000,
            profile: Profile::Off,
            origins: None,
            models: None,
            upload_bytes: u64::MAX,
            on_cut: OnCut::Hold,
        }
    }
}

/// A table as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ClientFile {
    sessions: Option<usize>,
    exchanges: Option<usize>,
    requests_per_minute: Option<u32>,
    burst: Option<u32>,
    profile: Option<String>,
    origins: Option<Vec<String>>,
    models: Option<Vec<String>>,
    upload_bytes: Option<u64>,
    on_cut: Option<OnCut>,
}

impl ClientFile {
    fn over(self, base: &ClientRule, name: &str) -> Result<ClientRule, ConfigError> {
        let wrong = |what: String| ConfigError::Client(name.to_owned(), what);
        let rule = ClientRule {
            sessions: self.sessions.unwrap_or(base.sessions),
            exchanges: self.exchanges.unwrap_or(base.exchanges),
            requests_per_minute: self.requests_per_minute.unwrap_or(base.requests_per_minute),
            burst: self.burst.unwrap_or(base.burst),
            profile: self
                .profile
                .map_or(Ok(base.profile), |name| name.parse())
                .map_err(|error| wrong(format!("profile: {error}")))?,
            origins: match self.origins {
                Some(list) => Some(Patterns::parse(&list).map_err(|error| wrong(format!("origins: {error}")))?),
                None => base.origins.clone(),
            },
            models: match self.models {
                Some(list) => Some(Models::new(&list).map_err(|error| wrong(format!("models: {error}")))?),
                None => base.models.clone(),
            },
            upload_bytes: self.upload_bytes.unwrap_or(base.upload_bytes),
            on_cut: self.on_cut.unwrap_or(base.on_cut),
        };
        if rule.burst == 0 {
            return Err(wrong("burst must be at least 1".into()));
        }
        Ok(rule)
    }
}

pub(super) fn clients(mut tables: BTreeMap<String, ClientFile>) -> Result<Clients, ConfigError> {
    let all = tables.remove(ALL).unwrap_or_default().over(&ClientRule::default(), ALL)?;
    let named = tables.into_iter().map(|(name, table)| {
        let rule = table.over(&all, &name)?;
        Ok((name, rule))
    });
    let named = named.collect::<Result<_, ConfigError>>()?;
    Ok(Clients { all, named })
}
