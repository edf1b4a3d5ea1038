//! Anthropic's Messages API.

use std::mem;

use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use super::{
    event::{ApiError, Event, Stop, Usage, string},
    header,
};
use crate::{
    exit::Failure,
    options::{Ask, Target},
    prompt::Part,
};

/// The version of the API that this module speaks.
const VERSION: &str = "2023-06-01";

/// Adds what authenticates the request.
pub(super) fn headers(target: &Target, headers: &mut HeaderMap) -> Result<(), Failure> {
    headers.insert("anthropic-version", HeaderValue::from_static(VERSION));
    if let Some(key) = &target.key {
        headers.insert("x-api-key", header::secret(key.expose(), target)?);
    }
    Ok(())
}

pub(super) fn body(target: &Target, ask: &Ask) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".into(), json!(target.model));
    body.insert("max_tokens".into(), json!(target.max_tokens));
    if let Some(system) = &ask.system {
        body.insert("system".into(), json!(system));
    }
    let content = match &ask.parts[..] {
        [Part::Text(text)] => json!(text),
        parts => parts.iter().map(part).collect(),
    };
    body.insert("messages".into(), json!([{ "role": "user", "content": content }]));
    body
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({ "type": "text", "text": text }),
        Part::Image { media_type, data } => {
            json!({ "type": "image", "source": { "type": "base64", "media_type": media_type, "data": data } })
        }
    }
}

/// Turns the API's events into ours.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    tool: Option<(String, String)>,
}

impl Decoder {
    pub(super) fn event(&mut self, data: &Value, out: &mut Vec<Event>) {
        match data["type"].as_str().unwrap_or_default() {
            "message_start" => out.push(Event::Usage(usage(&data["message"]["usage"]))),
            "content_block_start" => self.block(&data["content_block"], out),
            "content_block_delta" => self.delta(&data["delta"], out),
            "content_block_stop" => out.extend(self.tool.take().map(|(name, arguments)| Event::ToolCall { name, arguments })),
            "message_delta" => {
                out.push(Event::Usage(usage(&data["usage"])));
                out.extend(stop(&data["delta"]["stop_reason"]).map(Event::Stop));
            }
            "message_stop" => out.push(Event::Done),
            "error" => out.push(Event::Error(ApiError::read(data).unwrap_or_default())),
            // Pings, and what later versions add.
            _ => {}
        }
    }

    fn block(&mut self, block: &Value, out: &mut Vec<Event>) {
        match block["type"].as_str().unwrap_or_default() {
            "text" => out.push(Event::Text(string(&block["text"]))),
            "thinking" => out.push(Event::Reasoning(string(&block["thinking"]))),
            kind if kind.ends_with("tool_use") => {
                let input = &block["input"];
                let arguments = if input.as_object().is_none_or(Map::is_empty) { String::new() } else { input.to_string() };
                self.tool = Some((string(&block["name"]), arguments));
            }
            _ => {}
        }
    }

    fn delta(&mut self, delta: &Value, out: &mut Vec<Event>) {
        match delta["type"].as_str().unwrap_or_default() {
            "text_delta" => out.push(Event::Text(string(&delta["text"]))),
            "thinking_delta" => out.push(Event::Reasoning(string(&delta["thinking"]))),
            "input_json_delta" => {
                if let Some((_, arguments)) = &mut self.tool {
                    arguments.push_str(delta["partial_json"].as_str().unwrap_or_default());
                }
            }
            _ => {}
        }
    }
}

/// A whole answer, as the events it would have streamed.
pub(super) fn whole(answer: &Value, out: &mut Vec<Event>) -> bool {
    let Some(blocks) = answer["content"].as_array() else { return false };
    let mut decoder = Decoder::default();
    for block in blocks {
        decoder.block(block, out);
        out.extend(mem::take(&mut decoder.tool).map(|(name, arguments)| Event::ToolCall { name, arguments }));
    }
    out.push(Event::Usage(usage(&answer["usage"])));
    out.extend(stop(&answer["stop_reason"]).map(Event::Stop));
    out.push(Event::Done);
    true
}

/// What was read from or written to the cache counts as input.
fn usage(usage: &Value) -> Usage {
    let cached =
        ["cache_read_input_tokens", "cache_creation_input_tokens"].iter().filter_map(|key| usage[key].as_u64()).sum::<u64>();
    Usage { input: usage["input_tokens"].as_u64().map(|input| input + cached), output: usage["output_tokens"].as_u64() }
}

fn stop(reason: &Value) -> Option<Stop> {
    Some(match reason.as_str()? {
        "end_turn" | "stop_sequence" => Stop::End,
        "max_tokens" | "model_context_window_exceeded" => Stop::MaxTokens,
        "refusal" => Stop::Refused,
        "tool_use" => Stop::Tools,
        other => Stop::Other(other.to_owned()),
    })
}
