//! Failures before the head of an answer, each in the form of the caller's provider.

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Value, json};

use crate::{
    caller::{BOTH, Http, body, chat, header, json as parse, pieces, whole},
    support::{Gateway, Relay, SESSIONS, Start, World, mock},
    upstream::Upstream,
};

/// Status, code, and what is said of another attempt (`x-xllm-retry`, `x-should-retry`).
type Refused = (u16, &'static str, &'static str, Option<&'static str>);

#[track_caller]
fn is(answer: &Response<Bytes>, (status, code, safe, helps): Refused) {
    let error = parse(answer.body());
    assert_eq!(header(answer, "x-xllm-error"), Some(code), "{error}");
    assert_eq!(answer.status(), status, "{error}");
    assert_eq!((header(answer, "x-xllm-retry"), header(answer, "x-should-retry")), (Some(safe), helps), "{error}");
    assert_eq!(header(answer, "content-type"), Some("application/json"));
    assert_eq!(header(answer, "content-length"), Some(&*answer.body().len().to_string()));
    assert!(error["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
}

const NOT_ALLOWED: Refused = (403, "origin-not-allowed", "true", Some("false"));

async fn asked(gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> Response<Bytes> {
    let request = fields.iter().fold(gateway.get(path), |request, (name, value)| request.header(*name, *value));
    whole(gateway.ask(Http::One, request).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rules_of_an_origin_do_not_allow_is_403_and_no_other_attempt_helps() {
    let world = World::new().await;
    let rule = format!("[[origin]]\nat = '{}'\nmethods = ['POST']\n", world.mock.url());
    let world = World::of(world.mock, Relay::start(&rule, &[]).await);
    let gateway = world.start(Start::default()).await;
    let refused = asked(&gateway, "/openai/v1/models", &[]).await;
    is(&refused, (403, "not-allowed", "true", Some("false")));
    assert_eq!(parse(refused.body())["error"]["type"], json!("permission_error"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_not_allowed_is_403_in_the_form_of_each_provider() {
    let world = World::new().await;
    let config =
        "[models.far]\nurl = \"https://far.example/v1\"\n[models.deep]\napi = \"anthropic\"\nurl = \"https://far.example\"\n";
    // A list of its own: nothing built in is allowed.
    let world = World::of(world.mock, Relay::start("[origins]\nknown = false", &[]).await);
    let gateway = world.start(Start { config, ..Start::default() }).await;
    let openai = asked(&gateway, "/far/v1/models", &[]).await;
    is(&openai, NOT_ALLOWED);
    let error = &parse(openai.body())["error"];
    assert_eq!(
        (&error["type"], &error["code"], &error["param"]),
        (&json!("permission_error"), &json!("origin-not-allowed"), &Value::Null)
    );
    let anthropic = asked(&gateway, "/deep/v1/messages", &[]).await;
    is(&anthropic, NOT_ALLOWED);
    assert_eq!(
        (&parse(anthropic.body())["type"], &parse(anthropic.body())["error"]["type"]),
        (&json!("error"), &json!("permission_error"))
    );
    let gemini = asked(&gateway, "/gemini/v1beta/models", &[]).await;
    is(&gemini, NOT_ALLOWED);
    let error = &parse(gemini.body())["error"];
    assert_eq!((&error["code"], &error["status"]), (&json!(403), &json!("PERMISSION_DENIED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_an_origin_spelled_out_the_callers_fields_tell_the_form() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let answer = asked(&gateway, "/x/https/far.example/a", &[]).await;
    is(&answer, NOT_ALLOWED);
    assert_eq!(parse(answer.body())["error"]["type"], "permission_error");
    let answer = asked(&gateway, "/x/https/far.example/a", &[("anthropic-version", "2023-06-01")]).await;
    assert_eq!(parse(answer.body())["type"], "error");
    let answer = asked(&gateway, "/x/https/far.example/a", &[("x-goog-api-key", "k")]).await;
    assert_eq!(parse(answer.body())["error"]["status"], "PERMISSION_DENIED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_not_there_is_502_and_may_be_asked_again() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = world.gateway().await;
    let path = format!("/x/http/{}/a", upstream.host);
    drop(upstream);
    for http in BOTH {
        let answer = whole(gateway.ask(http, gateway.get(&path)).await).await;
        is(&answer, (502, "upstream-unreachable", "true", Some("true")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_hangs_is_504_and_may_have_been_called() {
    let world = World::with("[limits]\nhead_seconds = 0.5", &[]).await;
    let gateway = world.gateway().await;
    let answer = asked(&gateway, "/anthropic/raw/hang", &[]).await;
    is(&answer, (504, "upstream-timeout", "false", None));
    assert_eq!(parse(answer.body())["error"]["type"], "timeout_error");
    assert_eq!(world.mock.stats().requests, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_says_nothing_of_use_is_502_and_was_called() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = world.gateway().await;
    let path = format!("/x/http/{}/a", upstream.host);
    for (said, code) in [
        ("", "upstream-closed"),
        ("HTTP/1.1 200 O", "upstream-closed"),
        ("SSH-2.0-x\r\n\r\n", "upstream-protocol"),
        (&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(20_000)), "head-too-large"),
    ] {
        let request = gateway.post(&path).body(body("x")).expect("valid");
        let (answer, ()) = tokio::join!(gateway.send(Http::One, request), upstream.says(said));
        is(&whole(answer).await, (502, code, "false", None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_over_the_limit_is_413() {
    let world = World::with("[limits]\nupload_bytes = 1000", &[]).await;
    let gateway = world.gateway().await;
    for http in BOTH {
        for size in [1001, 5_000_000] {
            let request = gateway.request(Method::PUT, "/anthropic/raw/sink").body(body(vec![0; size])).expect("valid");
            let answer = whole(gateway.send(http, request).await).await;
            is(&answer, (413, "upload-too-large", "true", Some("false")));
            assert_eq!(parse(answer.body())["error"]["type"], "request_too_large", "{http:?}");
        }
    }
    assert!(world.mock.requests().is_empty());
    for http in BOTH {
        let (sender, upload) = pieces();
        for _ in 0..20 {
            sender.unbounded_send(vec![0; 100_000].into()).expect("it waits");
        }
        drop(sender);
        let request = gateway.request(Method::PUT, "/anthropic/raw/sink").body(upload).expect("valid");
        is(&whole(gateway.send(http, request).await).await, (413, "upload-too-large", "false", None));
    }
    assert_eq!(world.mock.stats().uploaded, 0);
}

const AWAY: Refused = (503, "proxy-unreachable", "true", Some("true"));

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_away_is_503_and_the_gateway_serves_on() {
    let mut world = World::new().await;
    let mut gateway = world.start(Start { args: &["--wait", "0"], env: &SESSIONS, ..Start::default() }).await;
    world.relay.kill().await;
    gateway.stderr.until(|said| said.contains("session closed")).await;
    for http in BOTH {
        is(&whole(gateway.ask(http, gateway.get("/anthropic/raw/binary")).await).await, AWAY);
    }
    let address = world.relay.address.clone();
    world.relay.run(&address).await;
    assert_eq!(gateway.fetch("/anthropic/raw/binary").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_a_proxy_that_is_away() {
    let upstream = Upstream::new().await;
    let mock = mock().await;
    let origins = [mock.url()];
    let mut world = World::of(mock, Relay::stopped("", &origins));
    let address = upstream.host.clone();
    drop(upstream);
    let gateway = world.start(Start { args: &["--wait", "100"], proxy: Some(&address), ..Start::default() }).await;
    let (answer, ()) = tokio::join!(gateway.fetch("/anthropic/raw/binary"), async {
        // Long enough that an answer that does not wait would be there.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        world.relay.run(&address).await;
    });
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_stays_away_is_503_after_the_wait() {
    let mut world = World::new().await;
    let mut gateway = world.start(Start { args: &["--wait", "2"], env: &SESSIONS, ..Start::default() }).await;
    world.relay.kill().await;
    gateway.stderr.until(|said| said.contains("session closed")).await;
    let start = std::time::Instant::now();
    is(&gateway.fetch("/anthropic/raw/binary").await, AWAY);
    assert!(start.elapsed() >= std::time::Duration::from_secs(2));
}

/// As curl does: after a second it sends what nobody asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_tires_of_waiting_to_be_asked_for_its_body_hears_the_refusal() {
    const LENGTH: usize = 4 << 20;
    let mut world = World::new().await;
    let mut gateway = world.start(Start { args: &["--wait", "3"], env: &SESSIONS, ..Start::default() }).await;
    world.relay.kill().await;
    gateway.stderr.until(|said| said.contains("session closed")).await;
    let mut raw = gateway.raw().await;
    let head = "PUT /anthropic/raw/sink HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n";
    raw.say(format!("{head}content-length: {LENGTH}\r\n\r\n")).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    raw.say(vec![0; LENGTH]).await;
    assert_eq!(raw.head().await.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstreams_own_errors_pass_as_they_are() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for status in [400, 401, 404, 413, 429, 500, 503, 529] {
        for http in BOTH {
            let answer = whole(gateway.ask(http, gateway.get(&format!("/anthropic/raw/status/{status}"))).await).await;
            assert_eq!((answer.status().as_u16(), header(&answer, "x-xllm-error")), (status, None));
            assert_eq!(answer.body(), format!("status {status}\n").as_str());
            assert_eq!(header(&answer, "retry-after"), (status == 429).then_some("7"));
        }
    }
    let script = json!({"error_status": 529, "retry_after": 3});
    let answer = whole(gateway.send(Http::One, chat(&gateway, "/anthropic/v1/messages", true, &script)).await).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "retry-after")), (529, Some("3")));
    assert_eq!(parse(answer.body())["error"]["type"], "overloaded_error");
    assert_eq!(world.mock.hung_up(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_to_head_has_no_body() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    for _ in 0..2 {
        raw.say("HEAD /x/https/far.example/a HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let head = raw.head().await;
        assert_eq!((head.status(), head.get("x-xllm-error")), (403, Some("origin-not-allowed")));
    }
}
