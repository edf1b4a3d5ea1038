//! Anthropic's shapes, streamed and not.

#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use mock_llm::Script;
use serde_json::{Value, json};
use support::{anthropic, anthropic_body, client, data, events, header, json_of, keys, start, with};

const MESSAGES: &str = "/v1/messages";

#[tokio::test]
async fn a_message_has_its_fields_in_order() {
    let mock = start(Script::default()).await;
    let script = json!({"text": "Hello, world", "usage_cached": 2});
    let response = anthropic(&mock, MESSAGES, script, &anthropic_body()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "application/json");
    assert!(header(&response, "request-id").starts_with("req_"));
    assert_eq!(header(&response, "anthropic-ratelimit-requests-limit"), "4000");
    assert_eq!(header(&response, "server"), "cloudflare");
    assert!(header(&response, "set-cookie").starts_with("_cfuvid="));
    let mut body = json_of(response).await;
    assert!(body["id"].take().as_str().unwrap().starts_with("msg_01"));
    let expected = json!({
        "model": "claude-3-haiku-20240307", "id": null, "type": "message", "role": "assistant",
        "content": [{"type": "text", "text": "Hello, world"}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 4, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 2,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 3, "service_tier": "standard"},
    });
    assert_eq!(body.to_string(), expected.to_string());
}

#[tokio::test]
async fn a_stream_has_its_events_in_order() {
    let mock = start(Script::default()).await;
    let body = with(anthropic_body(), json!({"stream": true, "max_tokens": 2}));
    let response = anthropic(&mock, MESSAGES, json!({"text": "Hello, world"}), &body).await;
    assert_eq!(header(&response, "content-type"), "text/event-stream; charset=utf-8");
    let text = response.text().await.unwrap();
    for (name, data) in events(&text) {
        let data: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(data["type"], name);
    }
    let events = data(&text);
    let start = &events[0]["message"];
    assert_eq!(start["content"], json!([]));
    assert_eq!(start["stop_reason"], Value::Null);
    assert_eq!(start["usage"]["input_tokens"], 6);
    let rest: Vec<_> = events[1..].iter().map(Value::to_string).collect();
    let expected = [
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":","}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        concat!(
            r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"#,
            r#""usage":{"input_tokens":6,"cache_creation_input_tokens":0,"#,
            r#""cache_read_input_tokens":0,"output_tokens":2}}"#
        ),
        r#"{"type":"message_stop"}"#,
    ];
    assert_eq!(rest, expected);
}

#[tokio::test]
async fn thinking_text_and_a_tool_call_are_blocks_of_their_own() {
    let mock = start(Script::default()).await;
    let arguments = json!({"city": "Köln", "days": [1, 2]});
    let script = json!({"thinking": "Let me see", "text": "One moment.", "ping": 2,
        "tool_call": {"name": "weather", "arguments": arguments}});
    let body = with(anthropic_body(), json!({"stream": true}));
    let text = anthropic(&mock, MESSAGES, script.clone(), &body).await.text().await.unwrap();
    let events = data(&text);
    let of = |index: u64, kind: &str, field: &str| -> String {
        let deltas = events.iter().filter(|event| event["index"] == index);
        let deltas = deltas.map(|event| &event["delta"]).filter(|delta| delta["type"] == kind);
        deltas.filter_map(|delta| delta[field].as_str()).collect()
    };
    assert_eq!(of(0, "thinking_delta", "thinking"), "Let me see");
    assert!(!of(0, "signature_delta", "signature").is_empty());
    assert_eq!(of(1, "text_delta", "text"), "One moment.");
    let joined = of(2, "input_json_delta", "partial_json");
    assert_eq!(serde_json::from_str::<Value>(&joined).unwrap(), arguments);
    let pings = events.iter().filter(|event| event["type"] == "ping").count();
    assert_eq!(pings, 2);
    let starts: Vec<_> = events.iter().filter(|event| event["type"] == "content_block_start").collect();
    assert_eq!(starts.len(), 3);
    assert_eq!(keys(&starts[2]["content_block"]), ["type", "id", "name", "input"]);
    assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");

    let whole = json_of(anthropic(&mock, MESSAGES, script, &anthropic_body()).await).await;
    assert_eq!(whole["content"][0]["thinking"], "Let me see");
    assert!(whole["content"][0]["signature"].is_string());
    assert_eq!(whole["content"][2]["input"], arguments);
    assert_eq!(whole["stop_reason"], "tool_use");
}

#[tokio::test]
async fn wrong_requests_get_the_providers_errors() {
    let mock = start(Script::default()).await;
    let cases = [
        (json!({"max_tokens": "many"}), 400, "invalid_request_error", "max_tokens: Input should be a valid integer"),
        (json!({"max_tokens": 0}), 400, "invalid_request_error", "max_tokens: Input should be greater than or equal to 1"),
        (json!({"messages": []}), 400, "invalid_request_error", "messages: at least one message is required"),
        (json!({"temperature": 2}), 400, "invalid_request_error", "temperature: range: 0..1"),
        (json!({"model": "missing-1"}), 404, "not_found_error", "model: missing-1"),
    ];
    for (fields, status, kind, message) in cases {
        let response = anthropic(&mock, MESSAGES, json!({}), &with(anthropic_body(), fields)).await;
        assert_eq!(response.status(), status);
        let id = header(&response, "request-id").to_owned();
        let expected = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": id});
        assert_eq!(json_of(response).await.to_string(), expected.to_string());
    }
    let mut body = anthropic_body();
    body.as_object_mut().unwrap().remove("max_tokens");
    let response = json_of(anthropic(&mock, MESSAGES, json!({}), &body).await).await;
    assert_eq!(response["error"]["message"], "max_tokens: Field required");

    let bare = || client().post(mock.url() + MESSAGES).json(&anthropic_body());
    let keyless = bare().header("anthropic-version", "2023-06-01").send().await.unwrap();
    assert_eq!(keyless.status(), 401);
    assert_eq!(json_of(keyless).await["error"]["type"], "authentication_error");
    let unversioned = bare().bearer_auth("token").send().await.unwrap();
    assert_eq!(unversioned.status(), 400);
    assert_eq!(json_of(unversioned).await["error"]["message"], "anthropic-version: header is required");
    let bearer = bare().bearer_auth("token").header("anthropic-version", "2023-06-01");
    assert_eq!(bearer.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn scripted_errors_have_the_kind_of_their_status() {
    let mock = start(Script::default()).await;
    let kinds = [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ];
    for (status, kind) in kinds {
        let script = json!({"error_status": status, "retry_after": 12});
        let response = anthropic(&mock, MESSAGES, script, &anthropic_body()).await;
        assert_eq!(response.status(), status);
        assert_eq!(header(&response, "retry-after"), "12");
        assert_eq!(json_of(response).await["error"]["type"], kind);
    }
    let script = json!({"error_status": 400, "error_type": "billing_error"});
    let response = anthropic(&mock, MESSAGES, script, &anthropic_body()).await;
    assert_eq!(json_of(response).await["error"]["type"], "billing_error");
}

#[tokio::test]
async fn counting_models_and_retirement() {
    let mock = start(Script::default()).await;
    let body = json!({"model": "claude-3-haiku-20240307", "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi there"}]}]});
    let count = anthropic(&mock, "/v1/messages/count_tokens", json!({}), &body).await;
    assert_eq!(json_of(count).await, json!({"input_tokens": 5}));

    let get = |path: &str, script: Value| {
        let request = client().get(mock.url() + path).header("x-api-key", "k");
        let request = request.header("anthropic-version", "2023-06-01");
        request.header("x-mock", script.to_string()).send()
    };
    let list = json_of(get("/v1/models", json!({})).await.unwrap()).await;
    assert_eq!(keys(&list), ["data", "has_more", "first_id", "last_id"]);
    assert_eq!(list["last_id"], "claude-3-haiku-20240307");
    let one = json_of(get("/v1/models/claude-3-haiku-20240307", json!({})).await.unwrap()).await;
    assert_eq!(keys(&one), ["type", "id", "display_name", "created_at", "lifecycle"]);

    let retired = json!({"retired": ["claude-3-haiku-20240307"]});
    let list = json_of(get("/v1/models", retired.clone()).await.unwrap()).await;
    assert_ne!(list["last_id"], "claude-3-haiku-20240307");
    let response = anthropic(&mock, MESSAGES, retired, &anthropic_body()).await;
    assert_eq!(response.status(), 404);
    let error = json_of(response).await["error"].take();
    assert_eq!(error, json!({"type": "not_found_error", "message": "model: claude-3-haiku-20240307"}));
}
