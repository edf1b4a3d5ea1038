//! The server's commands.

pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod options;
mod sandbox;
pub(crate) mod serve;
mod systemd;
