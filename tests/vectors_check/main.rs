//! The implementation against `tests/vectors/*.json`, which a program made that shares no code with it. Records whose counter
//! does not begin at 0 are checked in `src/proto/record/tests.rs`, where the counter can be set.
#![allow(clippy::unwrap_used, reason = "a vector that cannot be read fails its test")]

#[path = "../support/pair.rs"]
mod pair;

mod fields;
mod reading;

mod credential;
mod frames;
mod handshake;
mod records;
mod resumption;
mod sequences;
mod session;
