//! Clients that may ask some models alone.

use xllm_proxy::client::Fault;

use super::support::{
    relay::Relay,
    request::{Request, assert_error, channel, get, request, streaming, whole},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body::Frame;

const RULE: &str = "[client.test]\nmodels = ['gpt-4o', 'claude-*']";

fn ask(relay: &Relay, body: &str) -> Request {
    request("POST", &relay.url("/raw/echo"), body.to_owned())
}

#[tokio::test]
async fn a_request_for_an_allowed_model_passes_byte_for_byte() {
    let relay = Relay::with(RULE).await;
    let client = relay.client();
    let body = r#" { "messages" : [ "secret" ] ,"mod\u0065l":"claude-x" }"#;
    let answer = whole(&client, ask(&relay, body)).await.unwrap();
    let (answer, body) = (String::from_utf8_lossy(answer.body()), STANDARD.encode(body));
    assert!(answer.contains(&body), "{answer}");
    let (sender, pieces) = channel();
    for piece in [&b"{\"model\":"[..], b"\"gpt-4o\"", b"}"] {
        sender.unbounded_send(Ok(Frame::data(Bytes::from_static(piece)))).unwrap();
    }
    drop(sender);
    assert!(whole(&client, streaming("POST", &relay.url("/raw/echo"), pieces)).await.is_ok());
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok(), "what lists or fetches asks no model");
}

#[tokio::test]
async fn another_model_or_none_that_can_be_found_is_refused_before_the_upstream_is_called() {
    let relay = Relay::with(RULE).await;
    let client = relay.client();
    for body in [r#"{"model":"secret-model"}"#, r#"{"model":"gpt-4o","Model":"secret-model"}"#, "{}", "secret", ""] {
        let error = whole(&client, ask(&relay, body)).await.unwrap_err();
        assert_error(&error, "not-allowed", Fault::Client, true);
        assert!(error.to_string().contains("claude-*, gpt-4o") || error.to_string().contains("body"), "{error}");
    }
    assert_eq!(relay.mock.stats().requests, 0);
}

#[tokio::test]
async fn a_body_that_is_too_large_to_be_looked_at_is_refused() {
    let relay = Relay::with(&format!("{RULE}\n[limits]\ninspect_bytes = 100")).await;
    let client = relay.client();
    let error =
        whole(&client, ask(&relay, &format!("{{\"model\":\"gpt-4o\",\"x\":\"{}\"}}", "y".repeat(100)))).await.unwrap_err();
    assert_error(&error, "upload-too-large", Fault::Client, false);
    assert_eq!(relay.mock.stats().requests, 0);
}
