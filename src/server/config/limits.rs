//! Bounds on everything that a peer controls.

use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;
use crate::proto::{limits, wire::VARINT_MAX};

/// Bounds on everything that a peer controls. Times are in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Sessions at once.
    pub sessions: usize,
    /// Connections at once whose peer has not proved its key yet; beyond it, the oldest of them gives way.
    pub unauthenticated: usize,
    /// The same for those from one address (IPv6: one network of 64 bits).
    pub unauthenticated_per_address: usize,
    /// Requests at once in one session.
    pub exchanges: u32,
    /// Time until a client must have proved its key.
    pub hello_seconds: f64,
    /// Time without a request after which a session ends.
    pub idle_seconds: f64,
    /// Time to connect to an upstream.
    pub connect_seconds: f64,
    /// Time until an upstream's response head. Long: models think.
    pub head_seconds: f64,
    /// Silence in the middle of an upstream's response body.
    pub stall_seconds: f64,
    /// Time for requests under way when the server stops.
    pub drain_seconds: f64,
    /// Largest request body, bytes.
    pub upload_bytes: u64,
    /// Request body bytes that a client may send ahead.
    pub upload_credit: u64,
    /// Largest response in buffered mode, bytes.
    pub buffered_bytes: u64,
    /// Largest request body whose model is looked for, bytes: only of clients that may not ask all models.
    pub inspect_bytes: u64,
    /// Bytes of bodies that wait in the server, in all, beyond which no new request is taken.
    pub memory_bytes: usize,
    /// Time for which requests are held whose session was cut; 0: they end with it.
    pub hold_seconds: f64,
    /// What is kept of an answer until it is known to have arrived, bytes: beyond it, the upstream of one that is held is read no further.
    pub hold_exchange_bytes: usize,
    /// What is held of requests whose session was cut, in all, bytes: beyond it, the oldest end.
    pub hold_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            unauthenticated: 1000,
            unauthenticated_per_address: 200,
            exchanges: 256,
            hello_seconds: limits::HELLO_TIME.as_secs_f64(),
            idle_seconds: 600.0,
            connect_seconds: 10.0,
            head_seconds: 900.0,
            stall_seconds: 900.0,
            drain_seconds: 30.0,
            upload_bytes: 2 << 30,
            upload_credit: 1 << 20,
            buffered_bytes: 8 << 20,
            inspect_bytes: 32 << 20,
            memory_bytes: 1 << 30,
            hold_seconds: limits::HOLD.as_secs_f64(),
            hold_exchange_bytes: limits::KEEP,
            hold_bytes: 256 << 20,
        }
    }
}

macro_rules! durations {
    ($($(#[doc = $doc:literal])+ $name:ident = $field:ident;)+) => {
        impl Limits {
            $($(#[doc = $doc])+ pub fn $name(&self) -> Duration { Duration::from_secs_f64(self.$field) })+

            fn check_times(&self) -> Result<(), ConfigError> {
                $(if !(0.001..=31_536_000.0).contains(&self.$field) {
                    return Err(ConfigError::Range(concat!("limits.", stringify!($field)), "0.001 to 31536000"));
                })+
                Ok(())
            }
        }
    };
}

durations! {
    /// Time until a client must have proved its key.
    hello = hello_seconds;
    /// Time without a request after which a session ends.
    idle = idle_seconds;
    /// Time to connect to an upstream.
    connect = connect_seconds;
    /// Time until an upstream's response head.
    head = head_seconds;
    /// Silence in the middle of an upstream's response body.
    stall = stall_seconds;
    /// Time for requests under way when the server stops.
    drain = drain_seconds;
}

impl Limits {
    /// Time for which requests are held whose session was cut; zero: they end with it.
    pub fn hold(&self) -> Duration {
        Duration::from_secs_f64(self.hold_seconds)
    }

    pub(in crate::server) fn check(&self) -> Result<(), ConfigError> {
        self.check_times()?;
        let credit = limits::CREDIT_MIN..=limits::CREDIT_MAX;
        let in_range = [
            ("limits.sessions", (1..=1_000_000).contains(&self.sessions), "1 to 1000000"),
            ("limits.unauthenticated", (1..=1_000_000).contains(&self.unauthenticated), "1 to 1000000"),
            ("limits.unauthenticated_per_address", self.unauthenticated_per_address > 0, "at least 1"),
            ("limits.memory_bytes", self.memory_bytes > 0, "at least 1"),
            ("limits.exchanges", (1..=limits::EXCHANGES_MAX).contains(&self.exchanges.into()), "1 to 65536"),
            ("limits.buffered_bytes", self.buffered_bytes <= VARINT_MAX, "at most 4611686018427387903"),
            ("limits.hold_seconds", (0.0..=86_400.0).contains(&self.hold_seconds), "0 to 86400"),
            ("limits.hold_exchange_bytes", (65_536..=1 << 30).contains(&self.hold_exchange_bytes), "65536 to 1073741824"),
            ("limits.upload_credit", credit.contains(&self.upload_credit), "16448 to 1073741824"),
        ];
        match in_range.into_iter().find(|(_, fine, _)| !fine) {
            Some((key, _, range)) => Err(ConfigError::Range(key, range)),
            None => Ok(()),
        }
    }
}
