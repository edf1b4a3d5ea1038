//! Which header fields pass.

use crate::{
    caller::{BOTH, Head, header, json, whole},
    support::{Gateway, Start, World},
    upstream::Upstream,
};

/// Fields of every row of the table of answers, some repeated.
const ANSWER: &str = "content-type: text/plain\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nretry-after: 1\r\nrequest-id: r1\r\n\
    x-ratelimit-limit: 5\r\nopenai-organization: org\r\nanthropic-organization-id: o\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\
    server: cloud\r\nvia: 1.1 x\r\ncf-ray: 1\r\nalt-svc: h3\r\nstrict-transport-security: x\r\nx-new: 2\r\nx-new: 1\r\n\
    x-other: z\r\nx-new: 3\r\nx-empty: \r\nx-latin: \u{e9}\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nconnection: keep-alive, x-hop\r\n";

async fn head(gateway: &Gateway, upstream: &Upstream, fields: &str) -> Head {
    let mut raw = gateway.raw().await;
    raw.say("GET /exact/v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    // One letter a byte.
    let bytes: Vec<u8> = fields.chars().map(|letter| u8::try_from(letter).expect("Latin")).collect();
    upstream.says([&b"HTTP/1.1 200 OK\r\n"[..], &bytes, b"content-length: 2\r\n\r\nok"].concat()).await;
    raw.head().await
}

fn names(head: &Head) -> Vec<String> {
    head.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_the_fields_of_the_direct_one_less_those_of_the_table() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let ids = ["request-id: r1", "x-ratelimit-limit: 5"];
    let provider = ["anthropic-organization-id: o", "openai-organization: org", "set-cookie: a=1", "set-cookie: b=2"];
    let servers = ["alt-svc: h3", "cf-ray: 1", "server: cloud", "strict-transport-security: x", "via: 1.1 x"];
    let common = [
        "content-length: 2",
        "content-type: text/plain",
        "date: Mon, 01 Jan 2024 00:00:00 GMT",
        "retry-after: 1",
        "x-empty: ",
        "x-latin: \u{e9}",
        "x-new: 2",
        "x-new: 1",
        "x-new: 3",
        "x-other: z",
    ];
    for (policy, more) in [("neutral", vec![]), ("sdk", ids.to_vec()), ("pass", [&ids[..], &provider, &servers].concat())] {
        let start = Start { args: &["--headers", policy], config: &upstream.config(), ..Start::default() };
        let gateway = world.start(start).await;
        let mut expected = [&common[..], &more].concat();
        // Stable: repeats keep their order.
        expected.sort_by_key(|field| field.split(':').next());
        assert_eq!(names(&head(&gateway, &upstream, ANSWER).await), expected, "{policy}");
        assert_eq!(names(&head(&gateway, &upstream, "").await), ["content-length: 2"], "nothing is added");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_for_answers_keep_drop_and_set() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let rules = "[gateway.response_headers]\ndrop = [\"x-*\", \"date\"]\nkeep = [\"x-new\", \"set-cookie\", \"openai-*\"]\n\
                 set = { x-set = \"here\", retry-after = \"9\" }\n";
    let gateway = world.start(Start { config: &(upstream.config() + rules), ..Start::default() }).await;
    let expected = [
        "content-length: 2",
        "content-type: text/plain",
        "openai-organization: org",
        "request-id: r1",
        "retry-after: 9",
        "set-cookie: a=1",
        "set-cookie: b=2",
        "x-new: 2",
        "x-new: 1",
        "x-new: 3",
        "x-set: here",
    ];
    assert_eq!(names(&head(&gateway, &upstream, ANSWER).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_obey_policy_and_rules_in_both_directions() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let rules = "[gateway.request_headers]\ndrop = [\"x-up\"]\n[gateway.response_headers]\ndrop = [\"x-down\"]\n";
    let gateway = world.start(Start { config: &(upstream.config() + rules), ..Start::default() }).await;
    let mut raw = gateway.raw().await;
    raw.say(
        "POST /exact/v1/messages HTTP/1.1\r\nhost: localhost\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\
         trailer: x-up, x-sum, cookie\r\n\r\n2\r\nhi\r\n0\r\nx-up: 1\r\nx-sum: 2\r\ncookie: c\r\n\r\n",
    )
    .await;
    let mut called = upstream.called().await;
    assert_eq!(String::from_utf8(called.exactly(20).await).expect("ASCII"), "2\r\nhi\r\n0\r\nx-sum: 2\r\n");
    called
        .say(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-down, x-sum, set-cookie\r\n\r\n\
             2\r\nho\r\n0\r\nx-down: 1\r\nx-sum: 2\r\nset-cookie: c\r\n\r\n",
        )
        .await;
    raw.head().await;
    assert_eq!(String::from_utf8(raw.exactly(22).await).expect("ASCII"), "2\r\nho\r\n0\r\nx-sum: 2\r\n\r\n");
}

/// Fields of every row of the table of requests.
const REQUEST: &str = "accept: a/b\r\naccept-encoding: gzip, br\r\nanthropic-beta: b2\r\nanthropic-beta: b1\r\n\
    authorization: Bearer sk-own\r\ncontent-type: text/x\r\ncookie: c\r\nidempotency-key: i\r\norigin: http://localhost:1\r\n\
    referer: r\r\nsec-fetch-mode: cors\r\ntraceparent: t\r\nuser-agent: sdk/1\r\nx-app: cli\r\nx-forwarded-for: 1.2.3.4\r\n\
    x-latin: \u{e9}\r\nx-new: 2\r\nx-new: 1\r\nx-stainless-os: Linux\r\nx-xllm-token: old\r\n";

/// What the upstream sees of it, without its host.
async fn sent(gateway: &Gateway, upstream: &Upstream) -> Vec<String> {
    let mut raw = gateway.raw().await;
    let hop = "host: localhost\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\n\
               proxy-authorization: p\r\ncontent-length: 2\r\n";
    let request = format!("POST /exact/v1/models HTTP/1.1\r\n{hop}{REQUEST}\r\nok");
    let bytes: Vec<u8> = request.chars().map(|letter| u8::try_from(letter).expect("Latin")).collect();
    raw.say(bytes).await;
    let mut up = upstream.accept().await;
    let head = up.head().await;
    up.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    raw.head().await;
    assert_eq!(head.get("host"), Some(&*upstream.host));
    names(&head).into_iter().filter(|field| !field.starts_with("host: ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_the_callers_fields_less_those_of_the_table() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let common = [
        "accept: a/b",
        "accept-encoding: gzip, br",
        "anthropic-beta: b2",
        "anthropic-beta: b1",
        "authorization: Bearer sk-own",
        "content-length: 2",
        "content-type: text/x",
        "idempotency-key: i",
        "te: trailers",
        "x-latin: \u{e9}",
        "x-new: 2",
        "x-new: 1",
    ];
    let told = [
        "cookie: c",
        "origin: http://localhost:1",
        "referer: r",
        "sec-fetch-mode: cors",
        "traceparent: t",
        "user-agent: sdk/1",
        "x-app: cli",
        "x-forwarded-for: 1.2.3.4",
        "x-stainless-os: Linux",
    ];
    for (policy, more) in
        [("neutral", &["user-agent: xllm-proxy/1"][..]), ("sdk", &["user-agent: xllm-proxy/1"]), ("pass", &told)]
    {
        let start = Start { args: &["--headers", policy], config: &upstream.config(), ..Start::default() };
        let gateway = world.start(start).await;
        let mut expected = [&common[..], more].concat();
        expected.sort_by_key(|field| field.split(':').next());
        assert_eq!(sent(&gateway, &upstream).await, expected, "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_for_requests_keep_drop_and_set() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let rules = "[gateway.request_headers]\ndrop = [\"x-*\", \"idempotency-key\", \"te\"]\nkeep = [\"x-app\", \"user-agent\"]\n\
                 set = { x-team = \"${TEAM}\", accept = \"c/d\" }\n";
    let config = upstream.config() + rules;
    let gateway = world.start(Start { config: &config, env: &[("TEAM", "blue")], ..Start::default() }).await;
    let expected = [
        "accept: c/d",
        "accept-encoding: gzip, br",
        "anthropic-beta: b2",
        "anthropic-beta: b1",
        "authorization: Bearer sk-own",
        "content-length: 2",
        "content-type: text/x",
        "user-agent: sdk/1",
        "x-app: cli",
        "x-team: blue",
    ];
    assert_eq!(sent(&gateway, &upstream).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_the_server_is_the_loosest_that_there_is() {
    let upstream = Upstream::new().await;
    let world = upstream.world("headers = \"neutral\"").await;
    let gateway = world.start(Start { args: &["--headers", "pass"], config: &upstream.config(), ..Start::default() }).await;
    let head = head(&gateway, &upstream, ANSWER).await;
    assert!(head.get("server").is_none() && head.get("request-id").is_none(), "{head:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_callers_send_and_get_the_same_fields() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut answers = Vec::new();
    for http in BOTH {
        let request = gateway.get("/anthropic/raw/echo").header("x-new", "2").header("x-new", "1").header("accept", "a/b");
        let answer = whole(gateway.ask(http, request.header("x-stainless-os", "x")).await).await;
        assert!(header(&answer, "content-length").is_some());
        let mut names: Vec<_> = answer.headers().keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        answers.push((json(answer.body())["headers"].clone(), names));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_end_at_each_hop_end_at_the_gateway() {
    let world = World::new().await;
    let gateway = world.start(Start { args: &["--headers", "pass"], ..Start::default() }).await;
    let answer = gateway.fetch("/anthropic/raw/headers?n=3").await;
    let repeats: Vec<_> = answer.headers().get_all("x-repeat").iter().map(|value| value.to_str().expect("ASCII")).collect();
    assert_eq!(repeats, ["0", "1", "2"]);
    for name in ["x-hop", "keep-alive", "proxy-authenticate"] {
        assert_eq!(header(&answer, name), None);
    }
}
