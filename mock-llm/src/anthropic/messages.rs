//! `POST /v1/messages`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Stop};
use crate::body::Reply;
use crate::context::Context;
use crate::delivery::Event;
use crate::fault::Fault;
use crate::script::Ping;

use super::ask::{self, Request};

pub(super) async fn answer(context: &Context, body: &Map<String, Value>) -> Result<Reply, Fault> {
    let request = ask::read(context, body)?;
    let answer = Answer::new(&context.script, &request.ask, 0);
    let message = Message { context, request: &request, answer: &answer };
    if request.stream {
        let failure = event(&context.error_body(&context.scripted_fault()));
        return Ok(context.stream(message.events(), |_| failure.clone()));
    }
    let deltas = answer.tokens();
    let document = message.document(&message.content(), true, deltas);
    Ok(context.whole(&document, deltas).await)
}

struct Message<'a> {
    context: &'a Context,
    request: &'a Request<'a>,
    answer: &'a Answer,
}

impl Message<'_> {
    fn document(&self, content: &[Value], ended: bool, output_tokens: usize) -> Value {
        let (reason, sequence) = self.stop();
        let mut usage = self.input_usage();
        usage.insert("output_tokens".into(), output_tokens.into());
        usage.insert("service_tier".into(), "standard".into());
        json!({
            "model": self.request.model,
            "id": self.context.id("msg_01", 22),
            "type": "message",
            "role": "assistant",
            "content": content,
            "stop_reason": ended.then_some(reason),
            "stop_sequence": sequence.filter(|_| ended),
            "usage": usage,
        })
    }

    fn input_usage(&self) -> Map<String, Value> {
        let prompt = self.request.ask.prompt_tokens;
        let cached = self.context.script.usage_cached.unwrap_or(0).min(prompt);
        let mut usage = Map::new();
        usage.insert("input_tokens".into(), (prompt - cached).into());
        usage.insert("cache_creation_input_tokens".into(), 0.into());
        usage.insert("cache_read_input_tokens".into(), cached.into());
        let creation = json!({"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0});
        usage.insert("cache_creation".into(), creation);
        usage
    }

    fn stop(&self) -> (&'static str, Option<&str>) {
        match &self.answer.stop {
            Stop::End => ("end_turn", None),
            Stop::Length => ("max_tokens", None),
            Stop::Tool => ("tool_use", None),
            Stop::Sequence(sequence) => ("stop_sequence", Some(sequence)),
        }
    }

    /// The blocks of the answer: thinking, text, a tool call, whichever there are.
    fn content(&self) -> Vec<Value> {
        let answer = self.answer;
        let mut blocks = Vec::new();
        if !answer.thinking.is_empty() {
            blocks.push(json!({"type": "thinking", "thinking": answer.thinking.concat(),
                "signature": self.signature()}));
        }
        if self.speaks() {
            blocks.push(json!({"type": "text", "text": answer.text.concat()}));
        }
        if let Some(call) = &answer.call {
            blocks.push(json!({"type": "tool_use", "id": self.call_id(), "name": call.name,
                "input": call.arguments}));
        }
        blocks
    }

    /// A tool call may come alone; else there is a text, if only an empty one.
    fn speaks(&self) -> bool {
        !self.answer.text.is_empty() || self.answer.call.is_none()
    }

    fn call_id(&self) -> String {
        self.context.id("toolu_01", 22)
    }

    fn signature(&self) -> String {
        STANDARD.encode(self.context.letters("signature", 90))
    }

    fn events(&self) -> Vec<Event> {
        let answer = self.answer;
        let mut events = Events::default();
        let first = answer.tokens().min(1);
        events.free(&json!({"type": "message_start", "message": self.document(&[], false, first)}));
        events.pings = self.context.script.ping.unwrap_or(Ping::Flag(true)).count();
        if !answer.thinking.is_empty() {
            events.start(&json!({"type": "thinking", "thinking": "", "signature": ""}));
            for token in &answer.thinking {
                events.delta(&json!({"type": "thinking_delta", "thinking": token}), true);
            }
            let signature = json!({"type": "signature_delta", "signature": self.signature()});
            events.delta(&signature, false);
            events.stop();
        }
        if self.speaks() {
            events.start(&json!({"type": "text", "text": ""}));
            for token in &answer.text {
                events.delta(&json!({"type": "text_delta", "text": token}), true);
            }
            events.stop();
        }
        if let Some(call) = &answer.call {
            events.start(&json!({"type": "tool_use", "id": self.call_id(), "name": call.name,
                "input": {}}));
            events.delta(&json!({"type": "input_json_delta", "partial_json": ""}), false);
            for piece in answer.argument_pieces() {
                events.delta(&json!({"type": "input_json_delta", "partial_json": piece}), true);
            }
            events.stop();
        }
        let (reason, sequence) = self.stop();
        let mut usage = self.input_usage();
        usage.remove("cache_creation");
        usage.insert("output_tokens".into(), answer.tokens().into());
        events.free(&json!({"type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": sequence}, "usage": usage}));
        events.free(&json!({"type": "message_stop"}));
        events.list
    }
}

#[derive(Default)]
struct Events {
    list: Vec<Event>,
    /// Index of the block under way.
    block: usize,
    /// Pings that are still to be sent behind the first start of a block.
    pings: usize,
}

impl Events {
    fn free(&mut self, value: &Value) {
        let bytes = event(value);
        self.list.push(Event { bytes, delta: false });
    }

    fn start(&mut self, block: &Value) {
        self.free(&json!({"type": "content_block_start", "index": self.block,
            "content_block": block}));
        for _ in 0..std::mem::take(&mut self.pings) {
            self.free(&json!({"type": "ping"}));
        }
    }

    fn delta(&mut self, delta: &Value, paced: bool) {
        let value = json!({"type": "content_block_delta", "index": self.block, "delta": delta});
        let bytes = event(&value);
        self.list.push(Event { bytes, delta: paced });
    }

    fn stop(&mut self) {
        self.free(&json!({"type": "content_block_stop", "index": self.block}));
        self.block += 1;
    }
}

/// A server-sent event, named after its type.
fn event(value: &Value) -> Bytes {
    let name = value["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {value}\n\n").into()
}
