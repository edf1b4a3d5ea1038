//! `OpenAI`'s shapes, streamed and not.

#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use base64::Engine;
use mock_llm::Script;
use serde_json::{Value, json};
use support::{client, data, events, header, json_of, keys, openai, openai_body, start, with};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_completion_has_its_fields_in_order_and_counts_its_tokens() {
    let mock = start(Script::default()).await;
    let script = json!({"text": "Hello, big world!", "usage_cached": 2});
    let response = openai(&mock, CHAT, script, &openai_body()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "application/json");
    assert_eq!(header(&response, "openai-version"), "2020-10-01");
    assert_eq!(header(&response, "x-ratelimit-limit-requests"), "10000");
    assert_eq!(header(&response, "server"), "cloudflare");
    assert!(header(&response, "x-request-id").starts_with("req_"));
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    let mut body = json_of(response).await;
    let id = body["id"].take();
    assert!(id.as_str().unwrap().starts_with("chatcmpl-"));
    assert!(body["created"].take().as_u64().unwrap() > 1_700_000_000);
    let expected = json!({
        "id": null, "object": "chat.completion", "created": null, "model": "gpt-4o-mini",
        "choices": [{"index": 0,
            "message": {"role": "assistant", "content": "Hello, big world!", "refusal": null,
                "annotations": []},
            "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 6, "completion_tokens": 5, "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}},
        "service_tier": "default", "system_fingerprint": "fp_44709d6fcb",
    });
    assert_eq!(body.to_string(), expected.to_string());
}

#[tokio::test]
async fn a_stream_is_role_then_tokens_then_reason_then_usage_then_done() {
    let mock = start(Script::default()).await;
    let body = with(openai_body(), json!({"stream": true, "stream_options": {"include_usage": true}}));
    let response = openai(&mock, CHAT, json!({"text": "Hello, world"}), &body).await;
    assert_eq!(header(&response, "content-type"), "text/event-stream; charset=utf-8");
    let chunks = data(&response.text().await.unwrap());
    let deltas: Vec<_> = chunks.iter().map(|chunk| chunk["choices"][0]["delta"].to_string()).collect();
    let expected = [
        r#"{"role":"assistant","content":"","refusal":null}"#,
        r#"{"content":"Hello"}"#,
        r#"{"content":","}"#,
        r#"{"content":" world"}"#,
        "{}",
        "null",
        "null",
    ];
    assert_eq!(deltas, expected);
    let order = ["id", "object", "created", "model", "service_tier", "system_fingerprint", "choices", "usage"];
    for chunk in &chunks[..6] {
        assert_eq!(keys(chunk), order);
        assert_eq!(chunk["id"], chunks[0]["id"]);
        assert_eq!(chunk["object"], "chat.completion.chunk");
    }
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], Value::Null);
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[4]["usage"], Value::Null);
    assert_eq!(chunks[5]["choices"], json!([]));
    assert_eq!(chunks[5]["usage"]["completion_tokens"], 3);
    assert_eq!(chunks[6], "[DONE]");
}

#[tokio::test]
async fn the_default_answer_mentions_the_prompt_and_is_the_same_streamed() {
    let mock = start(Script::default()).await;
    let whole = json_of(openai(&mock, CHAT, json!({}), &openai_body()).await).await;
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Why is the sky blue?"));
    assert!(text.contains("\n1. ") && text.contains("```python\n"));
    assert!((60..110).contains(&text.split_whitespace().count()));
    let body = with(openai_body(), json!({"stream": true}));
    let streamed = openai(&mock, CHAT, json!({}), &body).await.text().await.unwrap();
    let streamed: String = data(&streamed)
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(streamed, text);
}

#[tokio::test]
async fn caps_choices_stops_and_reasoning_are_heeded() {
    let mock = start(Script::default()).await;
    let body = with(openai_body(), json!({"n": 3, "max_tokens": 2}));
    let answer = json_of(openai(&mock, CHAT, json!({"text": "a b c"}), &body).await).await;
    assert_eq!(answer["choices"].as_array().unwrap().len(), 3);
    assert_eq!(answer["choices"][2]["index"], 2);
    assert_eq!(answer["choices"][2]["message"]["content"], "a b");
    assert_eq!(answer["choices"][2]["finish_reason"], "length");

    let body = with(openai_body(), json!({"stop": [" c"]}));
    let script = json!({"text": "a b c", "thinking": "Hm, so"});
    let answer = json_of(openai(&mock, CHAT, script, &body).await).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "a b");
    assert_eq!(answer["choices"][0]["message"]["reasoning_content"], "Hm, so");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let details = &answer["usage"]["completion_tokens_details"];
    assert_eq!(details["reasoning_tokens"], 3);
}

#[tokio::test]
async fn a_tool_call_streams_its_arguments_in_pieces() {
    let mock = start(Script::default()).await;
    let arguments = json!({"city": "Köln", "days": 3});
    let script = json!({"tool_call": {"name": "weather", "arguments": arguments}});
    let body = with(openai_body(), json!({"stream": true}));
    let text = openai(&mock, CHAT, script.clone(), &body).await.text().await.unwrap();
    let chunks = data(&text);
    let calls: Vec<_> = chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0")).collect();
    assert_eq!(keys(calls[0]), ["index", "id", "type", "function"]);
    assert_eq!(calls[0]["function"], json!({"name": "weather", "arguments": ""}));
    assert!(calls.len() > 5, "the arguments come in pieces");
    let joined: String = calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&joined).unwrap(), arguments);
    assert_eq!(chunks[0]["choices"][0]["delta"]["content"], Value::Null);
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "tool_calls");

    let whole = json_of(openai(&mock, CHAT, script, &openai_body()).await).await;
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["content"], Value::Null);
    assert_eq!(message["content"], Value::Null);
    let id = message["tool_calls"][0]["id"].as_str().unwrap();
    let letters = id.strip_prefix("call_").unwrap();
    assert!(letters.len() == 24 && letters.bytes().all(|letter| letter.is_ascii_alphanumeric()));
}

#[tokio::test]
async fn a_forced_tool_and_a_json_schema_are_answered_in_their_schema() {
    let mock = start(Script::default()).await;
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": schema}});
    let body = with(openai_body(), json!({"tools": [tool], "tool_choice": "required"}));
    let answer = json_of(openai(&mock, CHAT, json!({}), &body).await).await;
    let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call["arguments"], r#"{"city":"sample"}"#);

    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let body = with(openai_body(), json!({"response_format": format}));
    let answer = json_of(openai(&mock, CHAT, json!({}), &body).await).await;
    assert_eq!(answer["choices"][0]["message"]["content"], r#"{"city":"sample"}"#);

    let format = json!({"type": "json_object"});
    let body = with(openai_body(), json!({"response_format": format}));
    let refused = openai(&mock, CHAT, json!({}), &body).await;
    assert_eq!(refused.status(), 400, "the prompt does not speak of JSON");
    let prompt = json!([{"role": "user", "content": [{"type": "text", "text": "In JSON, please"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]);
    let body = with(body, json!({"messages": prompt}));
    let answer = json_of(openai(&mock, CHAT, json!({}), &body).await).await;
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    let content: Value = serde_json::from_str(content).unwrap();
    assert_eq!(content["question"], "In JSON, please");
}

#[tokio::test]
async fn wrong_requests_get_the_providers_errors() {
    let mock = start(Script::default()).await;
    let cases = [
        (json!({"model": null}), 400, "you must provide a model parameter", Value::Null, Value::Null),
        (
            json!({"messages": null}),
            400,
            "Missing required parameter: 'messages'.",
            json!("messages"),
            json!("missing_required_parameter"),
        ),
        (
            json!({"messages": "hi"}),
            400,
            "Invalid type for 'messages': expected an array of objects, but got a string instead.",
            json!("messages"),
            json!("invalid_type"),
        ),
        (
            json!({"messages": [{"role": "me", "content": ""}]}),
            400,
            "Invalid value: 'me'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.",
            json!("messages[0].role"),
            json!("invalid_value"),
        ),
        (
            json!({"n": 5}),
            400,
            "Invalid 'n': integer above maximum value. Expected a value <= 4, but got 5 instead.",
            json!("n"),
            json!("integer_above_max_value"),
        ),
        (
            json!({"temperature": 3}),
            400,
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
            json!("temperature"),
            json!("decimal_above_max_value"),
        ),
        (
            json!({"model": "missing-1"}),
            404,
            "The model `missing-1` does not exist or you do not have access to it.",
            Value::Null,
            json!("model_not_found"),
        ),
    ];
    for (fields, status, message, param, code) in cases {
        let response = openai(&mock, CHAT, json!({}), &with(openai_body(), fields)).await;
        assert_eq!(response.status(), status);
        let expected = json!({"error": {"message": message, "type": "invalid_request_error",
            "param": param, "code": code}});
        assert_eq!(json_of(response).await.to_string(), expected.to_string());
    }
    for key in [None, Some("Bearer "), Some("Basic abc")] {
        let request = client().post(mock.url() + CHAT).json(&openai_body());
        let request = match key {
            Some(key) => request.header("authorization", key),
            None => request,
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401, "{key:?}");
        assert!(json_of(response).await["error"]["message"].as_str().unwrap().starts_with("You didn't provide an API key."));
    }
    let get = client().get(mock.url() + CHAT).bearer_auth("k").send().await.unwrap();
    assert_eq!(get.status(), 405);
    let unknown = client().get(mock.url() + "/v1/nothing").bearer_auth("k").send().await.unwrap();
    assert_eq!(json_of(unknown).await["error"]["code"], "unknown_url");
}

#[tokio::test]
async fn models_and_embeddings() {
    let mock = start(Script::default()).await;
    let list = client().get(mock.url() + "/v1/models").bearer_auth("k").send().await.unwrap();
    let list = json_of(list).await;
    assert_eq!(keys(&list), ["object", "data"]);
    assert_eq!(keys(&list["data"][0]), ["id", "object", "created", "owned_by"]);
    let one = client().get(mock.url() + "/v1/models/gpt-4o").bearer_auth("k").send().await.unwrap();
    assert_eq!(json_of(one).await, list["data"][0]);

    let body = json!({"model": "text-embedding-3-small", "input": ["one two", "three"], "dimensions": 16});
    let floats = json_of(openai(&mock, "/v1/embeddings", json!({}), &body).await).await;
    assert_eq!(keys(&floats), ["object", "data", "model", "usage"]);
    assert_eq!(floats["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
    let vector = |entry: &Value| -> Vec<f64> {
        entry["embedding"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let (first, second) = (vector(&floats["data"][0]), vector(&floats["data"][1]));
    assert_eq!(first.len(), 16);
    assert_ne!(first, second);
    let length: f64 = first.iter().map(|number| number * number).sum();
    assert!((length - 1.0).abs() < 1e-5);
    let body = with(body, json!({"encoding_format": "base64"}));
    let packed = json_of(openai(&mock, "/v1/embeddings", json!({}), &body).await).await;
    let packed = packed["data"][0]["embedding"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(packed).unwrap();
    let unpacked: Vec<f32> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    for (packed, number) in unpacked.iter().zip(first) {
        assert!((f64::from(*packed) - number).abs() < 1e-6);
    }
}

#[tokio::test]
async fn responses_stream_what_the_whole_answer_holds() {
    let mock = start(Script::default()).await;
    let body =
        json!({"model": "gpt-4.1", "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi there"}]}]});
    let script = json!({"text": "Hello, you"});
    let whole = json_of(openai(&mock, "/v1/responses", script.clone(), &body).await).await;
    assert_eq!(whole["object"], "response");
    assert_eq!(whole["status"], "completed");
    assert_eq!(whole["output"][0]["content"][0]["text"], "Hello, you");
    assert_eq!(whole["usage"]["output_tokens"], 3);

    let body = with(body, json!({"stream": true}));
    let text = openai(&mock, "/v1/responses", script, &body).await.text().await.unwrap();
    let names: Vec<_> = events(&text).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names, expected);
    let events = data(&text);
    for (number, (event, name)) in events.iter().zip(expected).enumerate() {
        assert_eq!(event["type"], name);
        assert_eq!(event["sequence_number"], number);
    }
    assert_eq!(keys(&events[4]), ["type", "sequence_number", "item_id", "output_index", "content_index", "delta", "logprobs"]);
    assert_eq!(events[0]["response"]["status"], "in_progress");
    assert_eq!(events[10]["response"]["output"][0], events[9]["item"]);

    let script = json!({"tool_call": {"name": "f", "arguments": {"a": 1}}});
    let text = openai(&mock, "/v1/responses", script, &body).await.text().await.unwrap();
    let item = data(&text).into_iter().find(|event| event["type"] == "response.output_item.done");
    let item = item.unwrap()["item"].take();
    assert_eq!(item["arguments"], r#"{"a":1}"#);
    assert_eq!(item["type"], "function_call");
}
