//! Reads and checks what a chat completion asks for.

use http::StatusCode;
use serde_json::{Map, Value};

use crate::answer::{Ask, PART_TOKENS, any_object};
use crate::context::Context;
use crate::fault::Fault;
use crate::fields::{Fields, missing, wrong_type};

/// Choices of one request at most.
const MOST_CHOICES: u64 = 4;
const ROLES: [&str; 6] = ["system", "assistant", "user", "function", "tool", "developer"];
const PARTS: [&str; 5] = ["text", "image_url", "input_audio", "refusal", "file"];

/// A checked request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) model: &'a str,
    pub(super) ask: Ask,
    pub(super) choices: usize,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

pub(super) fn read<'a>(context: &Context, body: &'a Map<String, Value>) -> Result<Request<'a>, Fault> {
    let fields = Fields(body);
    let model = model(context, fields)?;
    let list = fields.typed("messages", "an array of objects", Value::as_array)?;
    let list = list.ok_or_else(|| missing("messages"))?;
    let mut ask = Ask::default();
    messages(list, &mut ask)?;
    fields.number("temperature", 0.0, 2.0)?;
    fields.number("top_p", 0.0, 1.0)?;
    fields.number("presence_penalty", -2.0, 2.0)?;
    fields.number("frequency_penalty", -2.0, 2.0)?;
    let choices = fields.integer("n", 1, MOST_CHOICES)?.unwrap_or(1);
    let cap = fields.integer("max_completion_tokens", 1, u64::MAX)?;
    ask.max_tokens = cap.or(fields.integer("max_tokens", 1, u64::MAX)?);
    ask.stops = stops(fields)?;
    ask.schema = schema(fields, &ask, list)?;
    ask.tool = forced_tool(fields)?;
    ask.offered = offered_tool(fields);
    let stream = fields.flag("stream")?;
    let options = fields.typed("stream_options", "an object", Value::as_object)?;
    if options.is_some() && !stream {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Fault::invalid(message).param("stream_options"));
    }
    let include_usage = match options {
        Some(options) => Fields(options).flag("include_usage")?,
        None => false,
    };
    Ok(Request { model, ask, choices, stream, include_usage })
}

pub(super) fn model<'a>(context: &Context, fields: Fields<'a>) -> Result<&'a str, Fault> {
    let model = fields.text("model")?.filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| Fault::invalid("you must provide a model parameter"))?;
    if context.script.is_retired(model) {
        return Err(unknown_model(model));
    }
    Ok(model)
}

/// The error for a model that is not there.
pub(super) fn unknown_model(id: &str) -> Fault {
    let message = format!("The model `{id}` does not exist or you do not have access to it.");
    Fault::new(StatusCode::NOT_FOUND, "invalid_request_error", message).code("model_not_found")
}

fn messages(list: &[Value], ask: &mut Ask) -> Result<(), Fault> {
    if list.is_empty() {
        let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, \
                       but got an empty array instead.";
        return Err(Fault::invalid(message).param("messages").code("empty_array"));
    }
    for (index, message) in list.iter().enumerate() {
        let place = format!("messages[{index}]");
        let Some(message) = message.as_object() else {
            return Err(wrong_type(&place, "an object", message));
        };
        let role = Fields(message).get("role").ok_or_else(|| missing(&format!("{place}.role")))?;
        let role = role.as_str().unwrap_or_default();
        one_of(role, &ROLES, &format!("{place}.role"))?;
        ask.tool_results += usize::from(role == "tool");
        let user = role == "user";
        if user {
            ask.prompt.clear();
        }
        content(message, &format!("{place}.content"), user, ask)?;
    }
    Ok(())
}

fn content(message: &Map<String, Value>, place: &str, user: bool, ask: &mut Ask) -> Result<(), Fault> {
    match Fields(message).get("content") {
        Some(Value::String(text)) => ask.hear(text, user),
        Some(Value::Array(parts)) => {
            for (index, part) in parts.iter().enumerate() {
                let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
                one_of(kind, &PARTS, &format!("{place}[{index}].type"))?;
                let payload = part.get(kind);
                let payload = payload.ok_or_else(|| missing(&format!("{place}[{index}].{kind}")))?;
                match payload.as_str() {
                    Some(text) => ask.hear(text, user),
                    None => ask.prompt_tokens += PART_TOKENS,
                }
            }
        }
        Some(other) => return Err(wrong_type(place, "one of a string or array of objects", other)),
        // An assistant's message may hold tool calls alone.
        None if message.contains_key("tool_calls") || message.contains_key("function_call") => {}
        None => return Err(missing(place)),
    }
    Ok(())
}

fn one_of(value: &str, known: &[&str], place: &str) -> Result<(), Fault> {
    if known.contains(&value) {
        return Ok(());
    }
    let (last, others) = known.split_last().unwrap_or((&"", &[]));
    let others = others.join("', '");
    let message = format!("Invalid value: '{value}'. Supported values are: '{others}', and '{last}'.");
    Err(Fault::invalid(message).param(place).code("invalid_value"))
}

fn stops(fields: Fields<'_>) -> Result<Vec<String>, Fault> {
    let strings =
        |list: &Vec<Value>| -> Option<Vec<String>> { list.iter().map(|stop| stop.as_str().map(Into::into)).collect() };
    let stops = match fields.get("stop") {
        None => Some(Vec::new()),
        Some(Value::String(stop)) => Some(vec![stop.clone()]),
        Some(Value::Array(list)) if list.len() <= 4 => strings(list),
        Some(_) => None,
    };
    stops.ok_or_else(|| {
        let message = "Invalid type for 'stop': expected a string or an array of at most 4 strings.";
        Fault::invalid(message).param("stop").code("invalid_type")
    })
}

fn schema(fields: Fields<'_>, ask: &Ask, messages: &[Value]) -> Result<Option<Value>, Fault> {
    let Some(format) = fields.typed("response_format", "an object", Value::as_object)? else {
        return Ok(None);
    };
    match Fields(format).text("type")?.unwrap_or_default() {
        "json_object" => {
            let said = Value::from(messages).to_string();
            json_object(&said, "messages", "response_format", ask).map(Some)
        }
        "json_schema" => {
            let schema = format.get("json_schema").and_then(|format| format.get("schema"));
            match schema {
                Some(schema) => Ok(Some(schema.clone())),
                None => Err(missing("response_format.json_schema.schema")),
            }
        }
        kind => {
            let known = ["json_object", "json_schema", "text"];
            one_of(kind, &known, "response_format.type").map(|()| None)
        }
    }
}

/// The schema of answers in JSON mode, which the caller has to have spoken of in what it `said`.
pub(super) fn json_object(said: &str, place: &str, option: &str, ask: &Ask) -> Result<Value, Fault> {
    if said.to_ascii_lowercase().contains("json") {
        return Ok(any_object(&ask.prompt));
    }
    let message = format!("'{place}' must contain the word 'json' in some form, to use '{option}' of type 'json_object'.");
    Err(Fault::invalid(message).param(place))
}

/// The functions among `tools` with the schemas of their arguments. Chat completions nest the function, responses do not.
fn functions(tools: Option<&Vec<Value>>) -> impl Iterator<Item = (String, Value)> {
    let functions = tools.into_iter().flatten().map(|tool| tool.get("function").unwrap_or(tool));
    functions.filter_map(|function| {
        let name = function.get("name")?.as_str()?;
        Some((name.to_owned(), function.get("parameters").cloned().unwrap_or_default()))
    })
}

/// The tool that is called where a script asks for some call.
pub(super) fn offered_tool(fields: Fields<'_>) -> Option<(String, Value)> {
    functions(fields.get("tools").and_then(Value::as_array)).next()
}

/// The tool that `tool_choice` forces. Left to choose, the mock answers in text.
pub(super) fn forced_tool(fields: Fields<'_>) -> Result<Option<(String, Value)>, Fault> {
    let tools = fields.typed("tools", "an array of objects", Value::as_array)?;
    let wanted = match fields.get("tool_choice") {
        Some(Value::String(choice)) if choice == "required" => None,
        Some(Value::Object(choice)) => {
            let name = choice.get("function").unwrap_or(&Value::Null).get("name");
            Some(name.or(choice.get("name")).and_then(Value::as_str).unwrap_or_default())
        }
        _ => return Ok(None),
    };
    let tool = functions(tools).find(|(name, _)| wanted.is_none_or(|wanted| wanted == name));
    match (tool, wanted) {
        (Some(tool), _) => Ok(Some(tool)),
        (None, Some(name)) => {
            let message = format!("Tool choice '{name}' not found in 'tools' parameter.");
            Err(Fault::invalid(message).param("tool_choice"))
        }
        (None, None) => {
            let message = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when \
                           'tools' are specified.";
            Err(Fault::invalid(message).param("tool_choice"))
        }
    }
}
