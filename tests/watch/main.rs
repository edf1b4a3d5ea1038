//! What who runs the proxy sees of it: metrics, the line of each exchange, the admin listener.
#![allow(clippy::unwrap_used, missing_docs)]
#![cfg(feature = "server")]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod line;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod scrape;

/// An admin listener at a free port.
const ADMIN: &str = "[admin]\nlisten = '127.0.0.1:0'\n";
