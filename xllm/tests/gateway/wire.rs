//! What HTTP allows and forbids, towards callers.

use http::Method;

use crate::{
    caller::{BOTH, Connection, Http, Raw, dechunked, empty, header, json, whole},
    support::{Start, World, soon},
};

#[tokio::test(flavor = "multi_thread")]
async fn http_1_1_and_http_2_with_prior_knowledge_are_answered() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for http in BOTH {
        let answer = whole(gateway.ask(http, gateway.get("/anthropic/raw/binary")).await).await;
        assert_eq!(answer.status(), 200, "{http:?}");
        assert_eq!(answer.body().to_vec(), (0..=u8::MAX).collect::<Vec<_>>(), "{http:?}");
    }
    assert_eq!(world.mock.hung_up(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_one_request_after_the_other() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for http in BOTH {
        let mut connection = Connection::open(http, &gateway.address).await;
        for path in ["/anthropic/raw/binary", "/anthropic/raw/bytes?n=100000", "/anthropic/raw/status/404", "/nowhere", "/"] {
            let request = gateway.get(path).body(empty()).expect("valid");
            let answer = whole(connection.send(request).await.expect("an answer")).await;
            assert!(!answer.body().is_empty(), "{http:?} {path}");
        }
    }
    assert_eq!(world.mock.hung_up(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_ahead_are_answered_in_their_order() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    let get = |n: u32| format!("GET /anthropic/raw/bytes?n={n}&len=1 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    raw.say([get(3), get(5), get(0), get(70_000)].concat()).await;
    for length in [3, 5, 0, 70_000] {
        let head = raw.head().await;
        assert_eq!((head.status(), head.get("content-length")), (200, Some(&*length.to_string())));
        raw.exactly(length).await;
    }
    assert_eq!(world.mock.hung_up(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_share_one_http_2_connection() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let Connection::Two(sender) = Connection::open(Http::Two, &gateway.address).await else { unreachable!("asked for") };
    let requests = (0..100).map(|n| {
        let mut sender = sender.clone();
        let uri = format!("http://{}/anthropic/raw/bytes?n={n}", gateway.address);
        let request = http::Request::get(uri).body(empty()).expect("valid");
        tokio::spawn(async move { whole(soon(sender.send_request(request)).await.expect("an answer")).await })
    });
    for (n, answer) in requests.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(soon(answer).await.expect("no panic").body().len(), n);
    }
    assert_eq!((world.mock.stats().completed, world.mock.hung_up()), (100, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_expects_100_is_asked_for_its_body_when_it_is_wanted() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    raw.say("PUT /anthropic/raw/sink HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(raw.head().await.line, "HTTP/1.1 100 Continue");
    raw.say("hello").await;
    let head = raw.head().await;
    assert_eq!(head.status(), 200, "{head:?}");
    assert_eq!(world.mock.requests()[0].body_len, 5);
    assert_eq!(world.mock.requests()[0].header("expect"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_expects_100_is_refused_without_its_body() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for (path, host, status) in [("/nowhere/v1/x", "localhost", 404), ("/anthropic/raw/sink", "evil.example", 403)] {
        let mut raw = gateway.raw().await;
        raw.say(format!("PUT {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")).await;
        assert_eq!(raw.head().await.status(), status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_fields_of_the_upstream_and_no_body() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for http in BOTH {
        let mut connection = Connection::open(http, &gateway.address).await;
        for path in ["/anthropic/raw/bytes?n=12345&len=1", "/anthropic/raw/bytes?n=12345", "/anthropic/raw/status/404"] {
            let request = gateway.request(Method::HEAD, path).body(empty()).expect("valid");
            let answer = whole(connection.send(request).await.expect("an answer")).await;
            assert_eq!(answer.body().len(), 0, "{http:?} {path}");
            let length = [None, Some("12345")][usize::from(path.contains("len=1"))];
            if !path.contains("404") {
                assert_eq!(header(&answer, "content-length"), length, "{http:?} {path}");
            }
        }
    }
    let mut raw = gateway.raw().await;
    for _ in 0..2 {
        raw.say("HEAD /anthropic/raw/bytes?n=9&len=1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let head = raw.head().await;
        assert_eq!((head.status(), head.get("content-length")), (200, Some("9")));
    }
    soon(world.mock.wait_until(|stats| stats.open == 0)).await;
    assert_eq!(world.mock.hung_up(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_have_a_body_have_none_and_leave_the_connection_open() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    for status in [204, 304, 204, 200] {
        raw.say(format!("GET /anthropic/raw/status/{status} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        let head = raw.head().await;
        assert_eq!(head.status(), status);
        if status != 200 {
            assert!(head.get("transfer-encoding").is_none(), "{head:?}");
        }
        if status == 204 {
            assert!(head.get("content-length").is_none(), "{head:?}");
        }
    }
    let answer = whole(gateway.ask(Http::Two, gateway.get("/anthropic/raw/status/204")).await).await;
    assert_eq!((answer.status().as_u16(), answer.body().len()), (204, 0));
    assert_eq!(world.mock.hung_up(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_body_is_complete() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for path in ["/anthropic/raw/bytes?n=0&len=1", "/anthropic/raw/bytes?n=0", "/anthropic/raw/status/205"] {
        for http in BOTH {
            let answer = whole(gateway.ask(http, gateway.get(path)).await).await;
            assert_eq!(answer.body().len(), 0, "{http:?} {path}");
        }
    }
    let mut raw = gateway.raw().await;
    raw.say("GET /anthropic/raw/bytes?n=0 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(raw.head().await.get("transfer-encoding"), Some("chunked"), "as the upstream sends it");
    assert_eq!(dechunked(&raw.rest().await), (Vec::new(), true));
    assert_eq!(world.mock.hung_up(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_that_travels_reaches_the_upstream() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let request = gateway.request(method.parse().expect("a method"), "/anthropic/raw/echo");
        let answer = whole(gateway.ask(Http::One, request).await).await;
        assert_eq!(json(answer.body())["method"], method);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_do_not_travel_are_refused() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let refused = |line: &'static str| {
        let address = gateway.address.clone();
        async move {
            let mut raw = Raw::open(&address).await;
            raw.say(format!("{line} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
            raw.head().await.status()
        }
    };
    assert_eq!(refused("TRACE /anthropic/raw/echo").await, 405);
    assert_eq!(refused("PROPFIND /anthropic/raw/echo").await, 405);
    for line in ["CONNECT api.openai.com:443", "CONNECT localhost:443", "GET http://api.openai.com/v1/models", "OPTIONS *"] {
        let status = refused(line).await;
        assert!((400..500).contains(&status), "{line}: {status}");
    }
    assert!(world.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_is_refused_with_505() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    raw.say("GET /anthropic/raw/echo HTTP/1.0\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(raw.head().await.status(), 505);
    assert!(world.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_are_refused_with_501_and_an_offer_of_http_2_is_passed_over() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    let upgrade = |protocol: &str| {
        let fields = format!("host: localhost\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n");
        format!("GET /anthropic/raw/status/204 HTTP/1.1\r\n{fields}")
    };
    raw.say(upgrade("websocket")).await;
    let head = raw.head().await;
    assert_eq!((head.status(), head.get("x-xllm-error")), (501, Some("request-invalid")));
    assert!(world.mock.requests().is_empty());
    let mut raw = gateway.raw().await;
    raw.say(upgrade("h2c")).await;
    assert_eq!(raw.head().await.status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_larger_than_the_relay_carries_get_431() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let large = "x".repeat(16_000);
    for http in BOTH {
        let request = gateway.get("/anthropic/raw/echo").header("x-large", &large);
        let answer = whole(gateway.ask(http, request).await).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "x-xllm-error")), (431, Some("too-large")), "{http:?}");
        assert_eq!(header(&answer, "x-should-retry"), Some("false"));
        assert_eq!(json(answer.body())["type"], "error");
        let many = (0..300).fold(gateway.get("/anthropic/raw/echo"), |request, n| request.header(format!("x-{n}"), "v"));
        assert_eq!(gateway.ask(http, many).await.status(), 431, "{http:?}");
        let url = format!("/anthropic/raw/echo?{}", "x".repeat(8_200));
        assert_eq!(gateway.ask(http, gateway.get(&url)).await.status(), 431, "{http:?}");
    }
    assert!(world.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_within_its_limits_pass() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let large = "x".repeat(12_000);
    for http in BOTH {
        let request = gateway.get("/anthropic/raw/echo").header("x-large", &large);
        assert_eq!(gateway.ask(http, request).await.status(), 200, "{http:?}");
        let many = (0..240).fold(gateway.get("/anthropic/raw/echo"), |request, n| request.header(format!("x-{n}"), "v"));
        assert_eq!(gateway.ask(http, many).await.status(), 200, "{http:?}");
        let answer = gateway.ask(http, gateway.get("/anthropic/raw/headers?n=200")).await;
        assert_eq!(answer.headers().get_all("x-repeat").iter().count(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_ends_its_own_connection_alone() {
    let world = World::new().await;
    let mut gateway = world.gateway().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot frames at all, not at all",
        b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
        b"POST /anthropic/raw/sink HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nnot a chunk\r\n",
        b"POST /anthropic/raw/sink HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n12",
    ] {
        let mut raw = gateway.raw().await;
        raw.say(bytes).await;
        raw.rest().await;
    }
    assert_eq!(gateway.fetch("/anthropic/raw/binary").await.status(), 200);
    assert!(gateway.child.try_wait().expect("asked").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beside_chunks_is_not_believed() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    raw.say(
        "POST /anthropic/raw/echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\
         connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    raw.rest().await;
    for request in world.mock.requests() {
        assert_eq!((request.body_len, request.header("content-length")), (5, None), "one framing or a refusal");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_of_each_request_in_one_line() {
    let world = World::new().await;
    let mut gateway = world.start(Start { args: &["-v"], ..Start::default() }).await;
    gateway.fetch("/anthropic/raw/bytes?n=1000").await;
    gateway.stderr.until(|said| said.contains("GET /anthropic/raw/bytes → 200, 1000 bytes")).await;
    gateway.fetch("/nowhere").await;
    gateway.stderr.until(|said| said.contains("GET /nowhere → 404, unknown-route")).await;
}
