//! `POST /v1/embeddings`: unit vectors that follow from the input alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::body::Reply;
use crate::context::Context;
use crate::fault::Fault;
use crate::fields::{Fields, missing, wrong_type};
use crate::random::{mix, seed};
use crate::tokens;

use super::ask::model;

/// Inputs of one request at most.
const MOST_INPUTS: usize = 2048;
/// Dimensions of `text-embedding-3-large`, and of all other models.
const LARGE: usize = 3072;
const SMALL: usize = 1536;

pub(super) fn answer(context: &Context, body: &Map<String, Value>) -> Result<Reply, Fault> {
    let fields = Fields(body);
    let model = model(context, fields)?;
    let whole = if model.ends_with("-large") { LARGE } else { SMALL };
    let dimensions = fields.integer("dimensions", 1, whole as u64)?.unwrap_or(whole);
    let base64 = match fields.text("encoding_format")? {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            let message = format!("Invalid value: '{other}'. Supported values are: 'float' and 'base64'.");
            return Err(Fault::invalid(message).param("encoding_format").code("invalid_value"));
        }
    };
    let inputs = inputs(fields.get("input").ok_or_else(|| missing("input"))?)?;
    let tokens: usize = inputs.iter().map(|(_, tokens)| tokens).sum();
    let entry = |(index, (seed, _)): (usize, &(u64, usize))| {
        let vector = vector(*seed, dimensions);
        let embedding: Value = if base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            STANDARD.encode(bytes).into()
        } else {
            vector.into()
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let data: Vec<_> = inputs.iter().enumerate().map(entry).collect();
    Ok(context.document(&json!({
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })))
}

/// Seed and number of tokens of each input: texts, or tokens as numbers.
fn inputs(input: &Value) -> Result<Vec<(u64, usize)>, Fault> {
    let list = match input {
        Value::String(text) => return Ok(vec![of_text(text)]),
        Value::Array(list) if list.len() <= MOST_INPUTS && !list.is_empty() => list,
        Value::Array(_) => {
            let message = format!("'$.input' is invalid: expected 1 to {MOST_INPUTS} inputs.");
            return Err(Fault::invalid(message).param("input"));
        }
        other => return Err(wrong_type("input", "a string or an array", other)),
    };
    if list.iter().all(Value::is_u64) {
        return Ok(vec![(seed(&input.to_string()), list.len())]);
    }
    list.iter()
        .map(|one| match one {
            Value::String(text) => Ok(of_text(text)),
            Value::Array(numbers) if numbers.iter().all(Value::is_u64) => Ok((seed(&one.to_string()), numbers.len())),
            other => Err(wrong_type("input", "an array of strings or of tokens", other)),
        })
        .collect()
}

fn of_text(text: &str) -> (u64, usize) {
    (seed(text), tokens::count(text))
}

/// A vector of length 1.
fn vector(seed: u64, dimensions: usize) -> Vec<f32> {
    let raw = (0u64..).take(dimensions).map(|i| {
        let [low, high, ..] = mix(seed.wrapping_add(i << 20)).to_le_bytes();
        f32::from(i16::from_le_bytes([low, high])) + 0.5
    });
    let raw: Vec<f32> = raw.collect();
    let length = raw.iter().map(|number| number * number).sum::<f32>().sqrt();
    raw.into_iter().map(|number| number / length).collect()
}
