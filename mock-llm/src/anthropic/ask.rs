//! Reads and checks what a message asks for, with Anthropic's sentences.

use http::StatusCode;
use serde_json::{Map, Value};

use crate::answer::{Ask, PART_TOKENS};
use crate::context::Context;
use crate::fault::Fault;

/// A checked request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) model: &'a str,
    pub(super) ask: Ask,
    pub(super) stream: bool,
}

pub(super) fn read<'a>(context: &Context, body: &'a Map<String, Value>) -> Result<Request<'a>, Fault> {
    let max_tokens = match body.get("max_tokens") {
        None => return Err(required("max_tokens")),
        Some(value) => match value.as_i64() {
            None => return Err(invalid("max_tokens", "Input should be a valid integer")),
            Some(..1) => {
                return Err(invalid("max_tokens", "Input should be greater than or equal to 1"));
            }
            Some(value) => usize::try_from(value).ok(),
        },
    };
    let mut ask = read_prompt(context, body)?;
    ask.max_tokens = max_tokens;
    let stream = match body.get("stream") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(stream)) => *stream,
        Some(_) => return Err(invalid("stream", "Input should be a valid boolean")),
    };
    for name in ["temperature", "top_p"] {
        let value = body.get(name).unwrap_or(&Value::Null);
        let fits = |value: f64| (0.0..=1.0).contains(&value);
        if !value.is_null() && !value.as_f64().is_some_and(fits) {
            return Err(invalid(name, "range: 0..1"));
        }
    }
    let stops = body.get("stop_sequences").and_then(Value::as_array);
    let stops = stops.into_iter().flatten();
    ask.stops = stops.filter_map(|stop| stop.as_str().map(Into::into)).collect();
    let thinking = body.get("thinking").and_then(|thinking| thinking.get("type"));
    ask.think = thinking.is_some_and(|kind| kind == "enabled" || kind == "adaptive");
    ask.tool = tool(body)?;
    ask.offered = tools(body).next();
    ask.schema = schema(body)?;
    Ok(Request { model: model(context, body)?, ask, stream })
}

/// The part of a request that `count_tokens` takes as well.
pub(super) fn read_prompt(context: &Context, body: &Map<String, Value>) -> Result<Ask, Fault> {
    model(context, body)?;
    let list = match body.get("messages") {
        None => return Err(required("messages")),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(invalid("messages", "Input should be a valid list")),
    };
    if list.is_empty() {
        return Err(invalid("messages", "at least one message is required"));
    }
    let mut ask = Ask::default();
    if let Some(system) = body.get("system") {
        content(system, "system", false, &mut ask)?;
    }
    for (index, message) in list.iter().enumerate() {
        let place = format!("messages.{index}");
        let user = match message.get("role").and_then(Value::as_str) {
            Some("user") => true,
            Some("assistant") => false,
            Some("system") => {
                return Err(invalid(
                    "messages",
                    "Unexpected role \"system\". The Messages API accepts a top-level `system` \
                     parameter, not \"system\" as an input message role.",
                ));
            }
            Some(_) => {
                let sentence = "Input should be 'user' or 'assistant'";
                return Err(invalid(&format!("{place}.role"), sentence));
            }
            None => return Err(required(&format!("{place}.role"))),
        };
        if user {
            ask.prompt.clear();
        }
        let place = format!("{place}.content");
        let said = message.get("content").ok_or_else(|| required(&place))?;
        content(said, &place, user, &mut ask)?;
    }
    // Definitions of tools are part of the prompt.
    if let Some(tools) = body.get("tools") {
        ask.hear(&tools.to_string(), false);
    }
    Ok(ask)
}

fn model<'a>(context: &Context, body: &'a Map<String, Value>) -> Result<&'a str, Fault> {
    let model = body.get("model").ok_or_else(|| required("model"))?;
    let model = model.as_str();
    let model = model.ok_or_else(|| invalid("model", "Input should be a valid string"))?;
    if model.is_empty() {
        return Err(invalid("model", "String should have at least 1 character"));
    }
    if context.script.is_retired(model) {
        return Err(unknown_model(model));
    }
    Ok(model)
}

/// The error for a model that is not there.
pub(super) fn unknown_model(id: &str) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, "not_found_error", format!("model: {id}"))
}

fn content(said: &Value, place: &str, user: bool, ask: &mut Ask) -> Result<(), Fault> {
    match said {
        Value::String(text) => ask.hear(text, user),
        Value::Array(parts) => {
            for (index, part) in parts.iter().enumerate() {
                let place = format!("{place}.{index}");
                match part.get("type").and_then(Value::as_str) {
                    None => return Err(required(&format!("{place}.type"))),
                    Some("text") => {
                        let text = part.get("text").and_then(Value::as_str);
                        let text = text.ok_or_else(|| required(&format!("{place}.text.text")))?;
                        ask.hear(text, user);
                    }
                    Some("image" | "document") => ask.prompt_tokens += PART_TOKENS,
                    Some("tool_result") => {
                        ask.tool_results += 1;
                        ask.hear(&part.to_string(), false);
                    }
                    // Tools' calls, thinking, and what is yet to come.
                    Some(_) => ask.hear(&part.to_string(), false),
                }
            }
        }
        _ => return Err(invalid(place, "Input should be a valid string or list")),
    }
    Ok(())
}

/// The tools that are offered, with the schemas of their arguments.
fn tools(body: &Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    let tools = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    tools.filter_map(|tool| {
        let name = tool.get("name")?.as_str()?;
        Some((name.to_owned(), tool.get("input_schema").cloned().unwrap_or_default()))
    })
}

/// The schema of a structured answer: `output_config.format`, or `output_format`, its name in the API's beta.
fn schema(body: &Map<String, Value>) -> Result<Option<Value>, Fault> {
    let config =
        body.get("output_config").and_then(|config| config.get("format")).map(|format| ("output_config.format", format));
    let Some((place, format)) = config.or_else(|| body.get("output_format").map(|format| ("output_format", format))) else {
        return Ok(None);
    };
    match format.get("type").and_then(Value::as_str) {
        _ if format.is_null() => Ok(None),
        Some("json_schema") => match format.get("schema") {
            Some(schema) => Ok(Some(schema.clone())),
            None => Err(required(&format!("{place}.schema"))),
        },
        _ => Err(invalid(&format!("{place}.type"), "Input should be 'json_schema'")),
    }
}

/// The tool that `tool_choice` forces. Left to choose, the mock answers in text.
fn tool(body: &Map<String, Value>) -> Result<Option<(String, Value)>, Fault> {
    let choice = body.get("tool_choice");
    let wanted = match choice.and_then(|choice| choice.get("type")).and_then(Value::as_str) {
        Some("any") => None,
        Some("tool") => Some(choice.and_then(|choice| choice.get("name")?.as_str()).unwrap_or("")),
        _ => return Ok(None),
    };
    let tool = tools(body).find(|(name, _)| wanted.is_none_or(|wanted| wanted == name));
    match tool {
        Some(tool) => Ok(Some(tool)),
        None => Err(Fault::invalid(match wanted {
            Some(name) => format!("Tool '{name}' not found in provided tools"),
            None => "tool_choice.any: tools must be provided".into(),
        })),
    }
}

fn required(place: &str) -> Fault {
    invalid(place, "Field required")
}

fn invalid(place: &str, sentence: &str) -> Fault {
    Fault::invalid(format!("{place}: {sentence}"))
}
