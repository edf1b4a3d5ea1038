//! `POST /v1/responses`: the text and function calls of an answer. Thinking is counted, not shown,
//! as `OpenAI` hides it too.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Ask, PART_TOKENS, Stop};
use crate::body::Reply;
use crate::context::{Context, now};
use crate::delivery::Event;
use crate::fault::Fault;
use crate::fields::{Fields, missing, wrong_type};

use super::ask::{forced_tool, json_object, model, offered_tool};

/// The least that `max_output_tokens` may be.
const LEAST_TOKENS: u64 = 16;

pub(super) async fn answer(context: &Context, body: &Map<String, Value>) -> Result<Reply, Fault> {
    let fields = Fields(body);
    let model = model(context, fields)?;
    let ask = read(fields)?;
    let stream = fields.flag("stream")?;
    let answer = Answer::new(&context.script, &ask, 0);
    let response = Response { context, body: fields, model, ask: &ask, answer: &answer, created: now() };
    if stream {
        return Ok(context.stream(response.events(), |sent| failure(context, sent)));
    }
    let document = response.document(Some(&response.output("completed")));
    Ok(context.whole(&document, answer.tokens()).await)
}

fn read(fields: Fields<'_>) -> Result<Ask, Fault> {
    let mut ask = Ask::default();
    if let Some(text) = fields.text("instructions")? {
        ask.hear(text, false);
    }
    match fields.get("input") {
        Some(Value::String(text)) => ask.hear(text, true),
        Some(Value::Array(items)) => {
            for item in items {
                hear(item, &mut ask);
            }
        }
        Some(other) => return Err(wrong_type("input", "one of a string or array of items", other)),
        None => return Err(missing("input")),
    }
    ask.max_tokens = fields.integer("max_output_tokens", LEAST_TOKENS, u64::MAX)?;
    let format = fields.get("text").and_then(|text| text.get("format")).unwrap_or(&Value::Null);
    ask.schema = match format.get("type").and_then(Value::as_str) {
        Some("json_object") => {
            let said = fields.get("input").unwrap_or(&Value::Null).to_string();
            Some(json_object(&said, "input", "text.format", &ask)?)
        }
        Some("json_schema") => Some(format.get("schema").cloned().ok_or_else(|| missing("text.format.schema"))?),
        _ => None,
    };
    ask.tool = forced_tool(fields)?;
    ask.offered = offered_tool(fields);
    Ok(ask)
}

fn hear(item: &Value, ask: &mut Ask) {
    let user = item.get("role").is_some_and(|role| role == "user");
    if user {
        ask.prompt.clear();
    }
    ask.tool_results += usize::from(item.get("type").is_some_and(|kind| kind == "function_call_output"));
    match item.get("content") {
        Some(Value::String(text)) => ask.hear(text, user),
        Some(Value::Array(parts)) => {
            for part in parts {
                match part.get("text").and_then(Value::as_str) {
                    Some(text) => ask.hear(text, user),
                    None => ask.prompt_tokens += PART_TOKENS,
                }
            }
        }
        // Tools' calls and results have no content.
        _ => ask.hear(&item.to_string(), false),
    }
}

struct Response<'a> {
    context: &'a Context,
    body: Fields<'a>,
    model: &'a str,
    ask: &'a Ask,
    answer: &'a Answer,
    created: u64,
}

impl Response<'_> {
    /// The response object: complete with `output`, else as it is when it begins.
    fn document(&self, output: Option<&[Value]>) -> Value {
        let cut = self.answer.stop == Stop::Length && output.is_some();
        let status = match output {
            None => "in_progress",
            Some(_) if cut => "incomplete",
            Some(_) => "completed",
        };
        let said = |name: &str, default: Value| self.body.get(name).cloned().unwrap_or(default);
        json!({
            "id": self.context.hex("resp_", 48),
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": cut.then(|| json!({"reason": "max_output_tokens"})),
            "instructions": said("instructions", Value::Null),
            "max_output_tokens": said("max_output_tokens", Value::Null),
            "max_tool_calls": null,
            "model": self.model,
            "output": output.unwrap_or_default(),
            "parallel_tool_calls": said("parallel_tool_calls", true.into()),
            "previous_response_id": said("previous_response_id", Value::Null),
            "prompt_cache_key": said("prompt_cache_key", Value::Null),
            "reasoning": {"effort": null, "summary": null},
            "safety_identifier": null,
            "service_tier": if output.is_some() { "default" } else { "auto" },
            "store": said("store", true.into()),
            "temperature": said("temperature", 1.0.into()),
            "text": said("text", json!({"format": {"type": "text"}, "verbosity": "medium"})),
            "tool_choice": said("tool_choice", "auto".into()),
            "tools": said("tools", json!([])),
            "top_logprobs": 0,
            "top_p": said("top_p", 1.0.into()),
            "truncation": "disabled",
            "usage": output.map(|_| self.usage()),
            "user": said("user", Value::Null),
            "metadata": said("metadata", json!({})),
        })
    }

    fn usage(&self) -> Value {
        let (input, output) = (self.ask.prompt_tokens, self.answer.tokens());
        let cached = self.context.script.usage_cached.unwrap_or(0).min(input);
        json!({
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": self.answer.thinking.len()},
            "total_tokens": input + output,
        })
    }

    fn message_id(&self) -> String {
        self.context.hex("msg_", 48)
    }

    fn message(&self, status: &str, content: &[Value]) -> Value {
        json!({"id": self.message_id(), "type": "message", "status": status, "content": content,
            "role": "assistant"})
    }

    fn call(&self, status: &str, arguments: &str) -> Option<Value> {
        let call = self.answer.call.as_ref()?;
        Some(json!({"id": self.context.hex("fc_", 48), "type": "function_call", "status": status,
            "arguments": arguments, "call_id": self.context.id("call_", 24), "name": call.name}))
    }

    /// A tool call may come alone; else there is a text, if only an empty one.
    fn speaks(&self) -> bool {
        !self.answer.text.is_empty() || self.answer.call.is_none()
    }

    fn output(&self, status: &str) -> Vec<Value> {
        let mut output = Vec::new();
        if self.speaks() {
            let status = if self.answer.stop == Stop::Length { "incomplete" } else { status };
            output.push(self.message(status, &[part(&self.answer.text.concat())]));
        }
        let arguments = self.answer.argument_pieces().concat();
        output.extend(self.call(status, &arguments));
        output
    }

    fn events(&self) -> Vec<Event> {
        let mut events = Events::default();
        events.send("response.created", &json!({"response": self.document(None)}));
        events.send("response.in_progress", &json!({"response": self.document(None)}));
        let output = self.output("completed");
        let mut index = 0;
        if self.speaks() {
            self.text_events(&mut events, &output[0]);
            index += 1;
        }
        if let Some(item) = self.call("in_progress", "") {
            let place = json!({"item_id": item["id"], "output_index": index});
            events.send("response.output_item.added", &json!({"output_index": index, "item": item}));
            let pieces = self.answer.argument_pieces();
            for piece in &pieces {
                events.delta("response.function_call_arguments.delta", &place, piece);
            }
            let done = with(&place, &json!({"arguments": pieces.concat()}));
            events.send("response.function_call_arguments.done", &done);
            let item = json!({"output_index": index, "item": output[index]});
            events.send("response.output_item.done", &item);
        }
        let end = match self.answer.stop {
            Stop::Length => "response.incomplete",
            _ => "response.completed",
        };
        events.send(end, &json!({"response": self.document(Some(&output))}));
        events.list
    }

    fn text_events(&self, events: &mut Events, done: &Value) {
        let item = json!({"output_index": 0, "item": self.message("in_progress", &[])});
        events.send("response.output_item.added", &item);
        let place = json!({"item_id": self.message_id(), "output_index": 0, "content_index": 0});
        let added = with(&place, &json!({"part": part("")}));
        events.send("response.content_part.added", &added);
        for token in &self.answer.text {
            events.delta("response.output_text.delta", &place, token);
        }
        let text = self.answer.text.concat();
        let whole = with(&place, &json!({"text": text, "logprobs": []}));
        events.send("response.output_text.done", &whole);
        let whole = with(&place, &json!({"part": part(&text)}));
        events.send("response.content_part.done", &whole);
        let item = json!({"output_index": 0, "item": done});
        events.send("response.output_item.done", &item);
    }
}

fn failure(context: &Context, sent: usize) -> Bytes {
    let fault = context.scripted_fault();
    let code = fault.code.unwrap_or(fault.kind);
    event(&json!({"type": "error", "sequence_number": sent, "code": code,
        "message": fault.message, "param": null}))
}

#[derive(Default)]
struct Events {
    list: Vec<Event>,
}

impl Events {
    fn send(&mut self, kind: &str, fields: &Value) {
        self.push(kind, fields, false);
    }

    fn delta(&mut self, kind: &str, place: &Value, delta: &str) {
        let mut fields = with(place, &json!({"delta": delta}));
        if kind == "response.output_text.delta" {
            fields["logprobs"] = json!([]);
        }
        self.push(kind, &fields, true);
    }

    fn push(&mut self, kind: &str, fields: &Value, delta: bool) {
        let head = json!({"type": kind, "sequence_number": self.list.len()});
        let bytes = event(&with(&head, fields));
        self.list.push(Event { bytes, delta });
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

/// The fields of `first`, then those of `second`.
fn with(first: &Value, second: &Value) -> Value {
    let fields = [first, second].into_iter().filter_map(Value::as_object);
    let fields = fields.flatten();
    let joined: Map<_, _> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    joined.into()
}

fn event(value: &Value) -> Bytes {
    let name = value["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {value}\n\n").into()
}
