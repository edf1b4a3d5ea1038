//! Headers: which pass under which policy, repeats, and what each hop makes anew.

use http::HeaderMap;
use xllm_proxy::client::Policy;

use super::support::{
    relay::Relay,
    request::{Request, get, whole},
    upstream::{self, Recording},
};

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nretry-after: 7\r\n\
    x-request-id: r1\r\nx-ratelimit-remaining-tokens: 9\r\nanthropic-organization-id: org\r\nopenai-version: 1\r\n\
    server: cloudflare\r\nset-cookie: c=1\r\nset-cookie: d=2\r\ncf-ray: x\r\nconnection: close, x-hop\r\nx-hop: 1\r\nx-other: 2\r\n\r\nok";

fn dressed(url: &str) -> Request {
    let mut request = get(url);
    for (name, value) in [
        ("accept", "text/event-stream"),
        ("x-api-key", "k"),
        ("anthropic-version", "2023-06-01"),
        ("user-agent", "python/3"),
        ("x-stainless-os", "Linux"),
        ("x-forwarded-for", "10.0.0.1"),
        ("cookie", "c"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("proxy-authorization", "p"),
        ("te", "trailers"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

/// What the upstream got and the client got under this policy, names and values, sorted.
async fn through(policy: Policy, config: &str) -> (Vec<String>, Vec<String>) {
    let Recording { url, heard } = upstream::recording(ANSWER, b"\r\n\r\n").await;
    let relay = Relay::with_allowed(config, &[&url]).await;
    let mut request = dressed(&url);
    request.extensions_mut().insert(policy);
    let response = whole(&relay.client(), request).await.unwrap();
    let heard = String::from_utf8(heard.borrow().clone()).unwrap();
    let host = format!("host: {}", url.trim_start_matches("http://"));
    let mut up: Vec<_> = heard.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    assert!(up.contains(&host), "{heard}");
    up.retain(|line| *line != host);
    up.sort();
    (up, lines(response.headers()))
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines
}

const UP: [&str; 7] = [
    "accept: text/event-stream",
    "anthropic-version: 2023-06-01",
    "authorization: Bearer sk-secret-key",
    "te: trailers",
    "user-agent: xllm-proxy/1",
    "x-api-key: k",
    "x-note: secret-header",
];

#[tokio::test]
async fn neutral_names_neither_the_program_nor_the_provider() {
    let (up, down) = through(Policy::Neutral, "").await;
    assert_eq!(up, UP);
    assert_eq!(down, ["content-length: 2", "content-type: text/plain", "retry-after: 7", "x-other: 2"]);
}

#[tokio::test]
async fn sdk_keeps_what_sdks_read() {
    let (up, down) = through(Policy::Sdk, "").await;
    assert_eq!(up, UP);
    let kept = ["x-other: 2", "x-ratelimit-remaining-tokens: 9", "x-request-id: r1"];
    assert_eq!(down[..3], ["content-length: 2", "content-type: text/plain", "retry-after: 7"]);
    assert_eq!(down[3..], kept);
}

#[tokio::test]
async fn pass_drops_what_belongs_to_the_hop_alone() {
    let (up, down) = through(Policy::Pass, "").await;
    let mut expected = [&UP[..], &["cookie: c", "x-forwarded-for: 10.0.0.1", "x-stainless-os: Linux"]].concat();
    expected.retain(|line| !line.starts_with("user-agent"));
    expected.push("user-agent: python/3");
    expected.sort_unstable();
    assert_eq!(up, expected);
    for gone in ["connection", "x-hop"] {
        assert!(!down.iter().any(|line| line.starts_with(gone)), "{down:?}");
    }
    for line in ["set-cookie: c=1", "set-cookie: d=2", "server: cloudflare", "cf-ray: x", "anthropic-organization-id: org"] {
        assert!(down.contains(&line.to_owned()), "{down:?}");
    }
}

#[tokio::test]
async fn the_server_can_demand_a_stricter_policy() {
    let (up, down) = through(Policy::Pass, "headers = 'neutral'").await;
    assert_eq!(up, UP);
    assert_eq!(down.len(), 4, "{down:?}");
}

#[tokio::test]
async fn the_rules_of_the_server_change_the_policy_in_both_directions() {
    let rules = "
        [request_headers]
        keep = ['x-stainless-os', 'x-hop']
        drop = ['Anthropic-*', 'te']
        set = { User-Agent = 'ours/2', x-note = 'theirs' }
        [response_headers]
        keep = ['set-cookie', 'openai-*', 'x-hop']
        drop = ['x-*']
        set = { x-via = 'the relay' }";
    let (up, down) = through(Policy::Neutral, rules).await;
    let expected = [
        "accept: text/event-stream",
        "authorization: Bearer sk-secret-key",
        "user-agent: ours/2",
        "x-api-key: k",
        "x-note: theirs",
        "x-stainless-os: Linux",
    ];
    assert_eq!(up, expected);
    assert_eq!(down[..3], ["content-length: 2", "content-type: text/plain", "openai-version: 1"]);
    assert_eq!(down[3..], ["retry-after: 7", "set-cookie: c=1", "set-cookie: d=2", "x-via: the relay"]);
}

#[tokio::test]
async fn repeated_headers_keep_their_order() {
    let relay = Relay::start().await;
    // More than the HTTP library's own limit of 100.
    let response = whole(&relay.client(), get(&relay.url("/raw/headers?n=200"))).await.unwrap();
    let values: Vec<_> =
        response.headers().get_all("x-repeat").iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    assert_eq!(values, (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
    for hop in ["connection", "keep-alive", "x-hop", "proxy-authenticate"] {
        assert!(!response.headers().contains_key(hop), "{hop}");
    }
}
