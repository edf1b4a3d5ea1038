//! What is in force: configuration and keys, taken and replaced as one, so that nobody ever sees a half of a change.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    config::{
        Config,
        clients::{ClientRule, OnCut},
    },
    keys::Keys,
    sessions::Objection,
    upstream,
};
use crate::proto::{Hold, KeyId, ServerConfig, Terms, limits};

/// What is in force.
#[derive(Debug)]
pub(super) struct Force {
    pub(super) config: Config,
    pub(super) keys: Arc<Keys>,
    pub(super) upstream: Arc<upstream::Shared>,
}

impl Force {
    /// What the client of this name may do.
    pub(super) fn rule(&self, client: &str) -> &ClientRule {
        self.config.clients.rule(client)
    }

    /// What there is against a session with this key.
    pub(super) fn objection(&self, id: KeyId, now: SystemTime) -> Option<Objection> {
        match self.keys.find(id) {
            None => Some(Objection::Revoked),
            Some(key) if key.has_expired(now) => Some(Objection::Expired),
            Some(_) => None,
        }
    }

    /// What the client of this name is granted by the protocol.
    pub(super) fn terms(&self, client: &str) -> Terms {
        let (limits, rule) = (&self.config.limits, self.rule(client));
        let time = limits.hold();
        let holds = rule.on_cut != OnCut::Cancel && time >= Duration::from_secs(1);
        let hold = Hold { time, keep: limits.hold_exchange_bytes, finish: rule.on_cut == OnCut::Finish };
        Terms { profile: rule.profile, hold: holds.then_some(hold) }
    }

    /// For a session that begins now, with this run of the server.
    pub(super) fn session(&self, instance: [u8; 8]) -> ServerConfig {
        let limits = &self.config.limits;
        ServerConfig {
            keys: self.keys.server(SystemTime::now()),
            profile: self.config.profile,
            exchanges: limits.exchanges,
            credit: limits.upload_credit,
            buffered: limits.buffered_bytes,
            hello_time: limits.hello(),
            keep_alive: limits::SERVER_KEEP_ALIVE,
            idle: limits.idle(),
            node: self.config.node.clone(),
            instance,
        }
    }
}
