//! Our primitives, and Noise on them, against vectors that others made: `tests/vectors/foreign`.
#![allow(clippy::unwrap_used, reason = "a vector that cannot be read fails its test")]

#[path = "../vectors_check/reading.rs"]
#[allow(dead_code, reason = "each test program uses its part of this")]
mod reading;

mod aead;
mod hkdf;
mod noise;
mod x25519;

use xllm_proxy::proto::{AES_GCM, crypto::Suite};

/// Every suite that this build has.
fn suites() -> Vec<&'static dyn Suite> {
    vec![
        &AES_GCM,
        #[cfg(feature = "aws-lc")]
        &xllm_proxy::proto::AWS_LC,
    ]
}

/// All tests of a file of Wycheproof, each with its group. The file says itself how many there are.
fn wycheproof(file: &serde_json::Value) -> Vec<(&serde_json::Value, &serde_json::Value)> {
    let groups = reading::cases(file, "testGroups");
    let all: Vec<_> =
        groups.iter().flat_map(|group| reading::cases(group, "tests").iter().map(move |test| (group, test))).collect();
    assert_eq!(all.len() as u64, reading::number(&file["numberOfTests"]));
    all
}
