//! What arrives, and when: every piece at once and as it was, in both directions, and nothing after the caller has gone.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod added;
mod cancel;
mod content;
mod headers;
mod lockstep;
mod sessions;
mod tls;
mod uploads;
mod upstreams;
mod urls;
mod waiting;
