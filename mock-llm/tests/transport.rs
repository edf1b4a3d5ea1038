//! How answers travel: packed, cut anywhere, with other line ends, and failing for a while.

#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::io::Read;

use flate2::read::{GzDecoder, MultiGzDecoder};
use mock_llm::{MockLlm, Script};
use reqwest::Response;
use serde_json::{Value, json};
use support::{anthropic, anthropic_body, client, data, header, json_of, openai, openai_body, start, with};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

fn streamed() -> Value {
    with(openai_body(), json!({"stream": true}))
}

async fn ask(mock: &MockLlm, script: Value, body: &Value, encodings: &str) -> Response {
    let request = client().post(mock.url() + CHAT).bearer_auth("k").header("x-mock", script.to_string());
    request.header("accept-encoding", encodings).json(body).send().await.unwrap()
}

/// The chunks as they arrive.
async fn chunks(mut response: Response) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        chunks.push(chunk.to_vec());
    }
    chunks
}

fn said(text: &str) -> String {
    let deltas = data(text).into_iter();
    deltas.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn answers_are_packed_for_those_alone_who_take_gzip() {
    let mock = start(Script::default()).await;
    let script = json!({"text": "Grüße", "gzip": true});
    for encodings in ["gzip", "br, GZIP;q=0.5", "deflate,gzip"] {
        let packed = ask(&mock, script.clone(), &openai_body(), encodings).await;
        assert_eq!(header(&packed, "content-encoding"), "gzip", "{encodings}");
        let mut text = String::new();
        GzDecoder::new(&packed.bytes().await.unwrap()[..]).read_to_string(&mut text).unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], "Grüße");
    }
    for encodings in ["identity", "br", "gzip;q=0"] {
        let plain = ask(&mock, script.clone(), &openai_body(), encodings).await;
        assert_eq!(header(&plain, "content-encoding"), "", "{encodings}");
        assert_eq!(json_of(plain).await["choices"][0]["message"]["content"], "Grüße");
    }
    let refused = ask(&mock, json!({"gzip": true, "error_status": 500}), &openai_body(), "gzip").await;
    let mut text = String::new();
    GzDecoder::new(&refused.bytes().await.unwrap()[..]).read_to_string(&mut text).unwrap();
    assert!(text.contains("server_error"));
}

#[tokio::test]
async fn each_event_of_a_packed_stream_can_be_read_when_it_arrives() {
    let mock = start(Script::default()).await;
    let response = ask(&mock, json!({"text": "one two", "gzip": true, "gate": "g"}), &streamed(), "gzip").await;
    assert_eq!(header(&response, "content-encoding"), "gzip");
    let mut body = response;
    let mut arrived = body.chunk().await.unwrap().unwrap().to_vec();
    for token in ["one", " two"] {
        mock.release("g", 1);
        arrived.extend(body.chunk().await.unwrap().unwrap());
        let mut text = vec![0; 4096];
        let mut reader = MultiGzDecoder::new(&arrived[..]);
        let mut length = 0;
        // Read until the end of what arrived, which is an error, as the stream is not yet whole.
        while let Ok(more @ 1..) = reader.read(&mut text[length..]) {
            length += more;
        }
        let text = String::from_utf8(text[..length].to_vec()).unwrap();
        assert_eq!(data(&text).last().unwrap()["choices"][0]["delta"]["content"], token);
    }
    for chunk in chunks(body).await {
        arrived.extend(chunk);
    }
    let mut text = String::new();
    GzDecoder::new(&arrived[..]).read_to_string(&mut text).unwrap();
    assert_eq!(said(&text), "one two");
    assert_eq!(data(&text).last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn random_cuts_are_the_same_for_a_seed_and_lose_nothing() {
    let mock = start(Script::default()).await;
    let text = "日本語 🙂 Grüße ".repeat(40);
    let script = |chunking: &str| json!({"text": text, "chunking": chunking, "line_end": "crlf"});
    let sizes = async |chunking: &str| {
        let chunks = chunks(openai(&mock, CHAT, script(chunking), &streamed()).await).await;
        let whole = String::from_utf8(chunks.concat()).unwrap();
        assert_eq!(said(&whole.replace("\r\n", "\n")), text);
        chunks
    };
    let first = sizes("random:1").await;
    assert!(first.iter().all(|chunk| (1..=128).contains(&chunk.len())));
    assert!(first.iter().any(|chunk| std::str::from_utf8(chunk).is_err()), "letters are cut");
    assert!(first.windows(2).any(|pair| pair[0].ends_with(b"\r") && pair[1].starts_with(b"\n")), "line ends are cut");
    let length = |chunks: &[Vec<u8>]| -> Vec<usize> { chunks.iter().take(50).map(Vec::len).collect() };
    assert_eq!(length(&first), length(&sizes("random:1").await));
    assert_ne!(length(&first), length(&sizes("random:2").await));
    // A document is cut likewise.
    let whole = openai(&mock, CHAT, script("random:1"), &openai_body()).await;
    assert_eq!(json_of(whole).await["choices"][0]["message"]["content"], text);
}

#[tokio::test]
async fn lines_end_as_scripted_and_the_last_event_may_lack_its_blank_line() {
    let mock = start(Script::default()).await;
    for (name, end) in [("lf", "\n"), ("crlf", "\r\n"), ("cr", "\r")] {
        let script = json!({"text": "one two", "line_end": name, "unterminated": true});
        let text = openai(&mock, CHAT, script.clone(), &streamed()).await.text().await.unwrap();
        assert!(text.ends_with(&format!("data: [DONE]{end}")), "{text:?}");
        assert_eq!(said(&(text.replace(end, "\n") + "\n")), "one two");
        let body = with(anthropic_body(), json!({"stream": true}));
        let text = anthropic(&mock, MESSAGES, script, &body).await.text().await.unwrap();
        assert!(text.ends_with(&format!("data: {{\"type\":\"message_stop\"}}{end}")), "{text:?}");
    }
}

#[tokio::test]
async fn only_the_first_attempts_fail_each_name_apart() {
    let mock = start(Script::default()).await;
    let status = async |key: &str| {
        let script = json!({"error_status": 429, "retry_after": 1, "fail_attempts": 2, "attempt_key": key});
        openai(&mock, CHAT, script, &openai_body()).await.status().as_u16()
    };
    assert_eq!([status("a").await, status("a").await, status("b").await], [429, 429, 429]);
    assert_eq!([status("a").await, status("b").await, status("b").await], [200, 429, 200]);

    let script = json!({"drop_after": 1, "fail_attempts": 1}).to_string();
    let by_header = async |key: Option<&str>| {
        let request = client().post(mock.url() + CHAT).bearer_auth("k").header("x-mock", &script);
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        request.json(&streamed()).send().await.unwrap()
    };
    assert!(by_header(Some("c")).await.bytes().await.is_err());
    assert!(by_header(Some("c")).await.bytes().await.is_ok());
    assert_eq!(by_header(None).await.status(), 400, "nothing says which request it is");
}

#[tokio::test]
async fn a_loop_of_tool_turns_ends_with_the_text() {
    let mock = start(Script::default()).await;
    let script = json!({"tool_turns": 2, "text": "done"});
    let tool = json!({"type": "function", "function": {"name": "look", "parameters":
        {"type": "object", "properties": {"at": {"type": "string"}}}}});
    let mut body = with(openai_body(), json!({"tools": [tool]}));
    for _ in 0..2 {
        let answer = json_of(openai(&mock, CHAT, script.clone(), &body).await).await;
        let message = &answer["choices"][0]["message"];
        assert_eq!(message["content"], Value::Null);
        assert_eq!(message["tool_calls"][0]["function"], json!({"name": "look", "arguments": r#"{"at":"sample"}"#}));
        let result = json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "seen"});
        body["messages"].as_array_mut().unwrap().extend([message.clone(), result]);
    }
    let answer = json_of(openai(&mock, CHAT, script.clone(), &body).await).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "done");

    let tool = json!({"name": "look", "input_schema": {"type": "object"}});
    let mut body = with(anthropic_body(), json!({"tools": [tool]}));
    for _ in 0..2 {
        let answer = json_of(anthropic(&mock, MESSAGES, script.clone(), &body).await).await;
        assert_eq!(answer["stop_reason"], "tool_use");
        let result = json!({"type": "tool_result", "tool_use_id": answer["content"][0]["id"], "content": "seen"});
        let turns = [json!({"role": "assistant", "content": answer["content"]}), json!({"role": "user", "content": [result]})];
        body["messages"].as_array_mut().unwrap().extend(turns);
    }
    let answer = json_of(anthropic(&mock, MESSAGES, script.clone(), &body).await).await;
    assert_eq!(answer["content"], json!([{"type": "text", "text": "done"}]));

    let results = vec![json!({"type": "function_call_output", "call_id": "c", "output": "seen"}); 2];
    let body = json!({"model": "gpt-4.1", "input": results});
    let answer = json_of(openai(&mock, "/v1/responses", script, &body).await).await;
    assert_eq!(answer["output"][0]["content"][0]["text"], "done");
}

#[tokio::test]
async fn structured_answers_fit_the_schema_wherever_it_is_said() {
    let mock = start(Script::default()).await;
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
    let expected = r#"{"city":"sample","days":1}"#;
    let format = json!({"type": "json_schema", "schema": schema});
    for field in [json!({"output_config": {"format": format}}), json!({"output_format": format})] {
        let answer = json_of(anthropic(&mock, MESSAGES, json!({}), &with(anthropic_body(), field)).await).await;
        assert_eq!(answer["content"][0]["text"], expected);
    }
    let wrong = with(anthropic_body(), json!({"output_config": {"format": {"type": "json_schema"}}}));
    let refused = json_of(anthropic(&mock, MESSAGES, json!({}), &wrong).await).await;
    assert_eq!(refused["error"]["message"], "output_config.format.schema: Field required");

    let body = json!({"model": "gpt-4.1", "input": "Hi", "text": {"format": with(format, json!({"name": "trip"}))}});
    let answer = json_of(openai(&mock, "/v1/responses", json!({}), &body).await).await;
    assert_eq!(answer["output"][0]["content"][0]["text"], expected);
    let body = with(body, json!({"text": {"format": {"type": "json_object"}}}));
    assert_eq!(openai(&mock, "/v1/responses", json!({}), &body).await.status(), 400, "the input does not speak of JSON");
    let body = with(body, json!({"input": "As JSON"}));
    let answer = json_of(openai(&mock, "/v1/responses", json!({}), &body).await).await;
    let text = answer["output"][0]["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap()["question"], "As JSON");
}
