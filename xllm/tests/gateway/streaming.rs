//! Bodies on their way: each piece as it comes, every byte as it was.

use http_body_util::BodyExt as _;
use mock_llm::raw::{GZIP, TRAILERS_BODY};
use serde_json::json;

use crate::{
    caller::{BOTH, Connection, Http, body, chat, empty, header, json as parse, piece, pieces, until_failure, whole},
    support::{Start, World, soon},
    upstream::{LAST, Upstream, chunk},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_is_seen_before_the_next_is_released() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for http in BOTH {
        for size in [8, 1000, 60_000] {
            let gate = format!("{http:?}-{size}");
            let path = format!("/anthropic/raw/gated?gate={gate}&chunks=5&size={size}");
            let mut body = gateway.ask(http, gateway.get(&path)).await.into_body();
            for number in 0u64..5 {
                world.mock.release(&gate, 1);
                let mut bytes = Vec::new();
                while bytes.len() < size {
                    bytes.extend_from_slice(&piece(&mut body).await);
                }
                assert_eq!((bytes.len(), &bytes[..8]), (size, &number.to_be_bytes()[..]), "{gate}");
            }
            assert_eq!(until_failure(body).await, (Vec::new(), false), "{gate}");
        }
    }
    assert_eq!((world.mock.hung_up(), world.mock.stats().completed), (0, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_of_an_sdks_stream_is_a_chunk_of_its_own() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for (path, end) in [("/anthropic/v1/messages", "message_stop"), ("/openai/v1/chat/completions", "[DONE]")] {
        let script = json!({"text": "one two three", "gate": path});
        let mut connection = Connection::open(Http::One, &gateway.address).await;
        let answer = connection.send(chat(&gateway, path, true, &script)).await.expect("an answer");
        assert_eq!(header(&answer, "content-type"), Some("text/event-stream; charset=utf-8"));
        let mut body = answer.into_body();
        for word in ["one", "two", "three"] {
            world.mock.release(path, 1);
            let mut seen = String::new();
            while !seen.contains(word) {
                seen += std::str::from_utf8(&piece(&mut body).await).expect("UTF-8");
            }
        }
        world.mock.release(path, 100);
        let rest = soon(body.collect()).await.expect("complete").to_bytes();
        assert!(String::from_utf8_lossy(&rest).contains(end));
    }
    assert_eq!(world.mock.hung_up(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_the_upstreams_byte_for_byte() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut direct = Connection::open(Http::One, &world.mock.addr().to_string()).await;
    for path in ["/raw/binary", "/raw/bytes?n=3000000", "/raw/bytes?n=3000000&len=1&chunk=777", "/raw/bytes?n=5000&chunk=1"] {
        let request = gateway.get(path).body(empty()).expect("valid");
        let expected = whole(direct.send(request).await.expect("an answer")).await;
        for http in BOTH {
            let answer = whole(gateway.ask(http, gateway.get(&format!("/anthropic{path}"))).await).await;
            assert!(answer.body() == expected.body(), "{http:?} {path}: {} bytes", answer.body().len());
            assert_eq!(header(&answer, "content-length"), header(&expected, "content-length"), "{path}");
        }
    }
    soon(world.mock.wait_until(|stats| stats.open == 0)).await;
    assert_eq!(world.mock.hung_up(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_answer_stays_packed() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for http in BOTH {
        for accept in [None, Some("gzip"), Some("identity")] {
            let request = gateway.get("/anthropic/raw/gzip");
            let request = accept.into_iter().fold(request, |request, value| request.header("accept-encoding", value));
            let answer = whole(gateway.ask(http, request).await).await;
            assert_eq!(header(&answer, "content-encoding"), Some("gzip"));
            assert_eq!(answer.body()[..], GZIP);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_an_answer_arrive() {
    let world = World::new().await;
    let mut gateway = world.start(Start { args: &["-v"], ..Start::default() }).await;
    for http in BOTH {
        let request = gateway.get("/anthropic/raw/trailers").header("te", "trailers");
        let answer = gateway.ask(http, request).await;
        let collected = soon(answer.into_body().collect()).await.expect("complete");
        let checksum = collected.trailers().and_then(|trailers| trailers.get("x-checksum")).cloned();
        assert_eq!(checksum.map(|value| value.len()), Some(64), "{http:?}");
        assert_eq!(collected.to_bytes().len(), TRAILERS_BODY);
    }
    let said = gateway.stderr.until(|said| said.matches("1024 bytes").count() == 2).await;
    assert!(!said.contains("left"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_caller_slows_the_upstream_and_loses_nothing() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    raw.say("GET /anthropic/raw/bytes?n=20000000&len=1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!(head.get("content-length"), Some("20000000"));
    // Others are not held up meanwhile.
    assert_eq!(gateway.fetch("/anthropic/raw/bytes?n=1000000").await.body().len(), 1_000_000);
    assert_eq!(world.mock.stats().completed, 1, "the first waits for its caller");
    let bytes = raw.exactly(20_000_000).await;
    let mut expected = vec![0; 20_000_000];
    mock_llm::pattern(0, &mut expected);
    assert!(bytes == expected);
    soon(world.mock.wait_until(|stats| stats.completed == 2)).await;
    assert_eq!(world.mock.hung_up(), 0);
}

const LARGE: usize = 40_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn large_uploads_arrive_whole_with_and_without_a_length() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut bytes = vec![0; LARGE];
    mock_llm::pattern(7, &mut bytes);
    let bytes = bytes::Bytes::from(bytes);
    let mut direct = Connection::open(Http::One, &world.mock.addr().to_string()).await;
    let request = |upload| gateway.request(http::Method::PUT, "/anthropic/raw/sink").body(upload).expect("valid");
    let unrouted = gateway.request(http::Method::PUT, "/raw/sink").body(body(bytes.clone())).expect("valid");
    let expected = whole(direct.send(unrouted).await.expect("an answer")).await.into_body();
    assert_eq!(parse(&expected)["bytes"], LARGE);
    let known = whole(gateway.send(Http::One, request(body(bytes.clone()))).await).await;
    assert_eq!(known.body(), &expected);
    let (sender, upload) = pieces();
    for from in (0..LARGE).step_by(100_000) {
        sender.unbounded_send(bytes.slice(from..from + 100_000)).expect("it waits");
    }
    drop(sender);
    let unknown = whole(gateway.send(Http::One, request(upload)).await).await;
    assert_eq!(unknown.body(), &expected);
    let lengths: Vec<_> = world.mock.requests().iter().map(|request| request.header("content-length").is_some()).collect();
    assert_eq!(lengths, [true, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_over_http_2_are_larger_than_its_windows() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for upload in [body(vec![7; 5_000_000]), {
        let (sender, upload) = pieces();
        (0..50).for_each(|_| sender.unbounded_send(vec![7; 100_000].into()).expect("it waits"));
        upload
    }] {
        let request = gateway.request(http::Method::PUT, "/anthropic/raw/sink").body(upload).expect("valid");
        assert_eq!(parse(whole(gateway.send(Http::Two, request).await).await.body())["bytes"], 5_000_000);
    }
    let [known, unknown] = &world.mock.requests()[..] else { panic!("two were sent") };
    assert_eq!(known.body_sha256, unknown.body_sha256);
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_of_an_upload_leave_as_they_come() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = world.gateway().await;
    for http in BOTH {
        let (sender, upload) = pieces();
        let request = gateway.post(&format!("/x/http/{}/upload", upstream.host)).body(upload).expect("valid");
        let mut connection = Connection::open(http, &gateway.address).await;
        let answer = tokio::spawn(async move { whole(connection.send(request).await.expect("an answer")).await });
        sender.unbounded_send("piece 0".into()).expect("it waits");
        let mut raw = upstream.accept().await;
        let head = raw.head().await;
        assert_eq!((head.get("transfer-encoding"), head.get("content-length")), (Some("chunked"), None));
        assert_eq!(raw.chunk().await, b"piece 0");
        for number in 1..5 {
            let piece = format!("piece {number}");
            sender.unbounded_send(piece.clone().into()).expect("it waits");
            assert_eq!(raw.chunk().await, piece.as_bytes(), "{http:?}");
        }
        drop(sender);
        assert_eq!(raw.chunk().await, b"");
        raw.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        assert_eq!(soon(answer).await.expect("no panic").body(), "ok");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn question_and_answer_may_go_piece_by_piece_at_once() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = world.gateway().await;
    for http in BOTH {
        let (sender, upload) = pieces();
        let request = gateway.post(&format!("/x/http/{}/talk", upstream.host)).body(upload).expect("valid");
        let mut connection = Connection::open(http, &gateway.address).await;
        sender.unbounded_send("0".into()).expect("it waits");
        let answer = tokio::spawn(async move { connection.send(request).await.expect("an answer") });
        let mut raw = upstream.called().await;
        assert_eq!(raw.chunk().await, b"0");
        raw.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let mut body = soon(answer).await.expect("no panic").into_body();
        for number in 1..4 {
            raw.say(chunk(&format!("answer {number}"))).await;
            assert_eq!(piece(&mut body).await, format!("answer {number}"), "{http:?}");
            sender.unbounded_send(format!("{number}").into()).expect("it waits");
            assert_eq!(raw.chunk().await, format!("{number}").as_bytes(), "{http:?}");
        }
        drop(sender);
        assert_eq!(raw.chunk().await, b"");
        raw.say(LAST).await;
        assert_eq!(until_failure(body).await, (Vec::new(), false), "{http:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_before_the_upload_ends_is_seen() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for http in BOTH {
        let upload = body(vec![0; LARGE]);
        let request = gateway.request(http::Method::PUT, "/anthropic/raw/sink?early=401").body(upload).expect("valid");
        let answer = whole(gateway.send(http, request).await).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "x-xllm-error")), (401, None), "{http:?}");
    }
}

/// A caller that sends all before it listens would be told of a reset in place of the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_a_caller_that_sends_its_whole_upload_first() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for (path, status) in [("/nowhere", 404), ("/x/http/127.0.0.1:1/", 403), ("/anthropic/raw/sink?early=401", 401)] {
        let mut raw = gateway.raw().await;
        raw.say(format!("PUT {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LARGE}\r\n\r\n")).await;
        raw.say(vec![0; LARGE]).await;
        assert_eq!(raw.head().await.status(), status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_without_a_body_says_so() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    for length in ["", "content-length: 0\r\n"] {
        raw.say(format!("POST /anthropic/raw/status/204 HTTP/1.1\r\nhost: localhost\r\n{length}\r\n")).await;
        assert_eq!(raw.head().await.status(), 204);
    }
    raw.say("POST /anthropic/raw/status/204 HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert_eq!(raw.head().await.status(), 204);
    for request in world.mock.requests() {
        assert!(request.body_complete && request.body_len == 0);
    }
    assert_eq!(world.mock.requests()[0].header("content-length"), Some("0"));
}
