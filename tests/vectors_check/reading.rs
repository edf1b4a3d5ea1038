//! The files, and what their values stand for.

use serde_json::Value;
use xllm_proxy::proto::{Role, crypto::Secret};

macro_rules! vectors {
    ($name:literal) => {
        serde_json::from_str::<serde_json::Value>(include_str!(concat!("../vectors/", $name, ".json"))).unwrap()
    };
}
pub(crate) use vectors;

pub(crate) fn cases<'a>(file: &'a Value, list: &str) -> &'a [Value] {
    let cases = file[list].as_array().unwrap();
    assert!(!cases.is_empty(), "{list} is empty");
    cases
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "hex has an even length");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Hex, or a list of runs.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => unhex(text),
        Value::Array(runs) => runs
            .iter()
            .flat_map(|run| unhex(run[0].as_str().unwrap()).repeat(usize::try_from(run[1].as_u64().unwrap()).unwrap()))
            .collect(),
        _ => panic!("neither hex nor runs: {value}"),
    }
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

pub(crate) fn secret(value: &Value) -> Secret<32> {
    Secret::new(array(value))
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

pub(crate) fn exchange_of(frame: &Value) -> u32 {
    number(&frame["exchange"]).try_into().unwrap()
}

pub(crate) fn role(value: &Value) -> Role {
    match value.as_str().unwrap() {
        "client" => Role::Client,
        "server" => Role::Server,
        other => panic!("no side is called {other}"),
    }
}

pub(crate) fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}
