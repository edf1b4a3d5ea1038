//! Peers that mean harm, over real sockets and against the server program: whoever they are and whatever they do, the streams of a
//! client beside them deliver every byte, memory stays within its bound, nothing is left of them when they are gone, and the server
//! serves and stops in order. The tests that are ignored do the same with more of it: `cargo test --release -p xllm-proxy --test
//! hostile -- --ignored --nocapture`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod crowd;
mod doorway;
mod floods;
mod hellos;
mod peer;
mod prober;
mod records;
mod sessions;
mod vigil;
