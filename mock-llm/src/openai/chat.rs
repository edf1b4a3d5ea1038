//! `POST /v1/chat/completions`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Stop};
use crate::body::Reply;
use crate::context::{Context, now};
use crate::delivery::Event;
use crate::fault::Fault;

use super::ask::{self, Request};

const FINGERPRINT: &str = "fp_44709d6fcb";

pub(super) async fn answer(context: &Context, body: &Map<String, Value>) -> Result<Reply, Fault> {
    let request = ask::read(context, body)?;
    let choice = |index| Answer::new(&context.script, &request.ask, index);
    let answers: Vec<_> = (0..request.choices).map(choice).collect();
    let chat = Chat { context, id: context.id("chatcmpl-", 29), created: now(), request: &request };
    if request.stream {
        let failure = data(&context.error_body(&context.scripted_fault()));
        return Ok(context.stream(chat.events(&answers), |_| failure.clone()));
    }
    let deltas = answers.iter().map(Answer::tokens).sum();
    Ok(context.whole(&chat.document(&answers), deltas).await)
}

struct Chat<'a> {
    context: &'a Context,
    id: String,
    created: u64,
    request: &'a Request<'a>,
}

impl Chat<'_> {
    fn document(&self, answers: &[Answer]) -> Value {
        let choice = |(index, answer): (usize, &Answer)| {
            json!({
                "index": index,
                "message": self.message(index, answer),
                "logprobs": null,
                "finish_reason": finish_reason(&answer.stop),
            })
        };
        let choices: Vec<_> = answers.iter().enumerate().map(choice).collect();
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.request.model,
            "choices": choices,
            "usage": self.usage(answers),
            "service_tier": "default",
            "system_fingerprint": FINGERPRINT,
        })
    }

    fn message(&self, index: usize, answer: &Answer) -> Value {
        let text = answer.text.concat();
        let silent = answer.call.is_some() && text.is_empty();
        let mut message = Map::new();
        message.insert("role".into(), "assistant".into());
        message.insert("content".into(), if silent { Value::Null } else { text.into() });
        if !answer.thinking.is_empty() {
            message.insert("reasoning_content".into(), answer.thinking.concat().into());
        }
        if let Some(call) = &answer.call {
            let function = json!({"name": call.name, "arguments": call.json()});
            let call = json!({"id": self.call_id(index), "type": "function", "function": function});
            message.insert("tool_calls".into(), json!([call]));
        }
        message.insert("refusal".into(), Value::Null);
        message.insert("annotations".into(), json!([]));
        message.into()
    }

    fn call_id(&self, index: usize) -> String {
        // The index first, so that each choice's call has an identifier of its own.
        format!("call_{index}{}", self.context.letters("call_", 23))
    }

    fn events(&self, answers: &[Answer]) -> Vec<Event> {
        let mut events = Vec::new();
        for (index, answer) in answers.iter().enumerate() {
            let silent = answer.call.is_some() && answer.text.is_empty();
            let content = if silent { Value::Null } else { "".into() };
            let delta = json!({"role": "assistant", "content": content, "refusal": null});
            events.push(self.chunk(index, delta, None, false));
        }
        // The choices advance side by side, as they do when they are made in parallel.
        let mut deltas: Vec<_> =
            answers.iter().enumerate().map(|(index, answer)| self.deltas(index, answer).into_iter()).collect();
        loop {
            let before = events.len();
            for (index, deltas) in deltas.iter_mut().enumerate() {
                if let Some((delta, paced)) = deltas.next() {
                    events.push(self.chunk(index, delta, None, paced));
                }
            }
            if events.len() == before {
                break;
            }
        }
        for (index, answer) in answers.iter().enumerate() {
            events.push(self.chunk(index, json!({}), Some(finish_reason(&answer.stop)), false));
        }
        if self.request.include_usage {
            let mut last = self.frame(json!([]));
            last.insert("usage".into(), self.usage(answers));
            events.push(Event { bytes: data(&last.into()), delta: false });
        }
        let done = Bytes::from_static(b"data: [DONE]\n\n");
        events.push(Event { bytes: done, delta: false });
        events
    }

    /// The deltas of a choice, and which of them carry a piece of the answer.
    fn deltas(&self, index: usize, answer: &Answer) -> Vec<(Value, bool)> {
        let thinking = answer.thinking.iter();
        let mut deltas: Vec<_> = thinking.map(|token| (json!({"reasoning_content": token}), true)).collect();
        let text = answer.text.iter();
        deltas.extend(text.map(|token| (json!({"content": token}), true)));
        if let Some(call) = &answer.call {
            let function = json!({"name": call.name, "arguments": ""});
            let head = json!({"index": 0, "id": self.call_id(index), "type": "function",
                "function": function});
            deltas.push((json!({"tool_calls": [head]}), false));
            let pieces = answer.argument_pieces().into_iter();
            deltas.extend(pieces.map(|piece| {
                let piece = json!({"index": 0, "function": {"arguments": piece}});
                (json!({"tool_calls": [piece]}), true)
            }));
        }
        deltas
    }

    fn chunk(&self, index: usize, delta: Value, finish: Option<&str>, paced: bool) -> Event {
        let mut choice = Map::new();
        choice.insert("index".into(), index.into());
        choice.insert("delta".into(), delta);
        choice.insert("logprobs".into(), Value::Null);
        choice.insert("finish_reason".into(), finish.into());
        let mut frame = self.frame(Value::Array(vec![choice.into()]));
        if self.request.include_usage {
            frame.insert("usage".into(), Value::Null);
        }
        Event { bytes: data(&frame.into()), delta: paced }
    }

    fn frame(&self, choices: Value) -> Map<String, Value> {
        let mut frame = Map::new();
        frame.insert("id".into(), self.id.as_str().into());
        frame.insert("object".into(), "chat.completion.chunk".into());
        frame.insert("created".into(), self.created.into());
        frame.insert("model".into(), self.request.model.into());
        frame.insert("service_tier".into(), "default".into());
        frame.insert("system_fingerprint".into(), FINGERPRINT.into());
        frame.insert("choices".into(), choices);
        frame
    }

    fn usage(&self, answers: &[Answer]) -> Value {
        let prompt = self.request.ask.prompt_tokens;
        let cached = self.context.script.usage_cached.unwrap_or(0).min(prompt);
        let completion: usize = answers.iter().map(Answer::tokens).sum();
        let reasoning: usize = answers.iter().map(|answer| answer.thinking.len()).sum();
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }
}

fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) => "stop",
        Stop::Length => "length",
        Stop::Tool => "tool_calls",
    }
}

fn data(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}
