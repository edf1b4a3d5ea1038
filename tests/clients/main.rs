//! Clients, their keys and what each may do: also while the server runs.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod keys;
mod limits;
mod many;
mod models;
mod reload;
