//! The server's commands.

pub(crate) mod admin;
pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod options;
#[cfg(feature = "otlp")]
pub(crate) mod push;
pub(crate) mod reload;
mod sandbox;
pub(crate) mod serve;
pub(crate) mod server_key;
mod systemd;
