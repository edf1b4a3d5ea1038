//! What all tests share: an instance, a client, and a reader of server-sent events.

#![allow(dead_code, clippy::expect_used, reason = "each test binary uses a part")]

use std::time::Duration;

use mock_llm::{Config, MockLlm, Script, Stats};
use reqwest::{Client, Response};
use serde_json::{Value, json};

pub(crate) async fn start(script: Script) -> MockLlm {
    MockLlm::start(Config::from(script)).await.expect("a free port")
}

/// Longest wait for an event that has to come; only a failure takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the counters fulfil `condition`, and fails if they never do.
pub(crate) async fn until(mock: &MockLlm, condition: impl FnMut(&Stats) -> bool) {
    let waited = tokio::time::timeout(PATIENCE, mock.wait_until(condition)).await;
    assert!(waited.is_ok(), "it ended at {:?}", mock.stats());
}

/// A client that takes no proxy from the environment.
pub(crate) fn client() -> Client {
    Client::builder().no_proxy().build().expect("a client")
}

pub(crate) fn openai_body() -> Value {
    json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Why is the sky blue?"}]})
}

pub(crate) fn anthropic_body() -> Value {
    json!({"model": "claude-3-haiku-20240307", "max_tokens": 1024,
        "messages": [{"role": "user", "content": "Why is the sky blue?"}]})
}

/// `value` with `fields` over it.
pub(crate) fn with(mut value: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else {
        panic!("fields are an object");
    };
    for (name, field) in fields {
        value[name] = field;
    }
    value
}

/// Sends to an endpoint of OpenAI's with a key.
pub(crate) async fn openai(mock: &MockLlm, path: &str, script: Value, body: &Value) -> Response {
    let request = client().post(mock.url() + path).bearer_auth("sk-test");
    let request = request.header("x-mock", script.to_string()).json(body);
    request.send().await.expect("a response")
}

/// Sends to an endpoint of Anthropic's with a key and a version.
pub(crate) async fn anthropic(mock: &MockLlm, path: &str, script: Value, body: &Value) -> Response {
    let request = client().post(mock.url() + path);
    let request = request.header("x-api-key", "sk-ant-test");
    let request = request.header("anthropic-version", "2023-06-01");
    let request = request.header("x-mock", script.to_string()).json(body);
    request.send().await.expect("a response")
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

pub(crate) async fn json_of(response: Response) -> Value {
    response.json().await.expect("a JSON body")
}

/// The events of a body: name (empty without one) and data.
pub(crate) fn events(body: &str) -> Vec<(String, String)> {
    let Some(body) = body.strip_suffix("\n\n") else {
        panic!("the body ends inside an event: {body}");
    };
    let event = |event: &str| {
        let (name, data) = match event.split_once('\n') {
            Some((name, data)) => (name.strip_prefix("event: ").expect("a name"), data),
            None => ("", event),
        };
        let data = data.strip_prefix("data: ").expect("data");
        (name.to_owned(), data.to_owned())
    };
    body.split("\n\n").map(event).collect()
}

/// The data of events as JSON; `[DONE]` as a string.
pub(crate) fn data(body: &str) -> Vec<Value> {
    let parse = |(_, data): (String, String)| serde_json::from_str(&data).unwrap_or(data.into());
    events(body).into_iter().map(parse).collect()
}

pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let object = value.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}
