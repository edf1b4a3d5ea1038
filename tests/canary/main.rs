//! Secrets are planted in everything that passes through a server, and then looked for wherever they must not be.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
mod memory;
mod places;
#[path = "../watch/scrape.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod scrape;
