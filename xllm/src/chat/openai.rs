//! OpenAI's Chat Completions API, and the many that copy it.

use http::HeaderMap;
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

/// Tool calls of one answer at most: an index beyond it is nonsense.
const MAX_TOOLS: usize = 256;

/// Adds what authenticates the request.
pub(super) fn headers(target: &Target, headers: &mut HeaderMap) -> Result<(), Failure> {
    if let Some(key) = &target.key {
        headers.insert(http::header::AUTHORIZATION, header::secret(&format!("Bearer {}", key.expose()), target)?);
    }
    Ok(())
}

pub(super) fn body(target: &Target, ask: &Ask) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".into(), json!(target.model));
    if let Some(max_tokens) = target.max_tokens {
        // OpenAI's reasoning models refuse the old name, most copies know no other.
        let field = if target.provider == "openai" { "max_completion_tokens" } else { "max_tokens" };
        body.insert(field.into(), json!(max_tokens));
    }
    let mut messages = Vec::new();
    if let Some(system) = &ask.system {
        messages.push(json!({ "role": "system", "content": system }));
    }
    messages.push(json!({ "role": "user", "content": content(&ask.parts) }));
    body.insert("messages".into(), Value::Array(messages));
    if ask.stream && ask.usage {
        body.insert("stream_options".into(), json!({ "include_usage": true }));
    }
    body
}

/// One string where it can be: not every copy of the API knows parts.
fn content(parts: &[Part]) -> Value {
    let texts: Option<Vec<&str>> = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Image { .. } => None,
        })
        .collect();
    match texts {
        Some(texts) => json!(texts.join("\n\n")),
        None => parts.iter().map(part).collect(),
    }
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({ "type": "text", "text": text }),
        Part::Image { media_type, data } => {
            json!({ "type": "image_url", "image_url": { "url": format!("data:{media_type};base64,{data}") } })
        }
    }
}

/// Turns the API's chunks into our events.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    tools: Vec<(String, String)>,
}

impl Decoder {
    pub(super) fn event(&mut self, data: &Value, out: &mut Vec<Event>) {
        if let Some(error) = data.get("error").filter(|error| !error.is_null()).and_then(|_| ApiError::read(data)) {
            out.push(Event::Error(error));
            return;
        }
        out.extend(usage(&data["usage"]).map(Event::Usage));
        // Further choices (`-o n=2`) have no place in one stream of text.
        let choices = data["choices"].as_array().into_iter().flatten();
        for choice in choices.filter(|choice| choice["index"].as_u64().unwrap_or(0) == 0) {
            self.choice(&choice["delta"], &choice["finish_reason"], out);
        }
    }

    fn choice(&mut self, message: &Value, reason: &Value, out: &mut Vec<Event>) {
        for (keys, event) in [
            (&["reasoning_content", "reasoning"][..], Event::Reasoning as fn(String) -> Event),
            (&["content"], Event::Text),
            (&["refusal"], Event::Refusal),
        ] {
            let text = keys.iter().find_map(|key| message[key].as_str()).filter(|text| !text.is_empty());
            out.extend(text.map(|text| event(text.to_owned())));
        }
        for (position, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let index = call["index"].as_u64().map_or(position, |index| usize::try_from(index).unwrap_or(MAX_TOOLS));
            if index >= MAX_TOOLS {
                continue;
            }
            if self.tools.len() <= index {
                self.tools.resize_with(index + 1, Default::default);
            }
            let (name, arguments) = &mut self.tools[index];
            name.push_str(&string(&call["function"]["name"]));
            arguments.push_str(&string(&call["function"]["arguments"]));
        }
        if let Some(reason) = stop(reason) {
            out.extend(self.tools.drain(..).map(|(name, arguments)| Event::ToolCall { name, arguments }));
            out.push(Event::Stop(reason));
        }
    }
}

/// A whole answer, as the events it would have streamed.
pub(super) fn whole(answer: &Value, out: &mut Vec<Event>) -> bool {
    let Some(choice) = answer["choices"].as_array().and_then(|choices| choices.first()) else { return false };
    Decoder::default().choice(&choice["message"], &choice["finish_reason"], out);
    out.extend(usage(&answer["usage"]).map(Event::Usage));
    out.push(Event::Done);
    true
}

fn usage(usage: &Value) -> Option<Usage> {
    usage.as_object()?;
    Some(Usage { input: usage["prompt_tokens"].as_u64(), output: usage["completion_tokens"].as_u64() })
}

fn stop(reason: &Value) -> Option<Stop> {
    Some(match reason.as_str()? {
        "stop" | "eos" => Stop::End,
        "length" => Stop::MaxTokens,
        "content_filter" => Stop::Refused,
        "tool_calls" | "function_call" => Stop::Tools,
        other => Stop::Other(other.to_owned()),
    })
}
