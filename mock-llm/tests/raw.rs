//! The raw endpoints, over HTTP/1.1 and HTTP/2.

#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use http_body_util::BodyExt;
use mock_llm::{Script, pattern, raw};
use reqwest::{Client, Version};
use serde_json::json;
use sha2::{Digest, Sha256};
use support::{client, data, header, json_of, openai_body, start, until, with};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn http2() -> Client {
    let builder = Client::builder().no_proxy().http2_prior_knowledge();
    builder.build().unwrap()
}

#[tokio::test]
async fn echo_tells_what_arrived() {
    let mock = start(Script::default()).await;
    let request = client().patch(mock.url() + "/raw/echo?x=%20").header("x-a", "1").body("abc");
    let echo = json_of(request.send().await.unwrap()).await;
    assert_eq!(echo["method"], "PATCH");
    assert_eq!(echo["path"], "/raw/echo?x=%20");
    assert_eq!(echo["body_base64"], STANDARD.encode("abc"));
    assert_eq!(echo["length"], 3);
    assert_eq!(echo["sha256"], hex(&Sha256::digest("abc")));
    assert!(echo["headers"].as_array().unwrap().contains(&json!(["x-a", "1"])));
}

#[tokio::test]
async fn bytes_are_the_pattern_with_and_without_a_length() {
    let mock = start(Script::default()).await;
    let mut expected = vec![0; 300_001];
    pattern(0, &mut expected);
    for (query, length) in [("n=300001", None), ("n=300001&chunk=1000&len=1", Some(300_001))] {
        let response = client().get(format!("{}/raw/bytes?{query}", mock.url())).send().await.unwrap();
        assert_eq!(response.content_length(), length);
        assert_eq!(response.headers().contains_key("transfer-encoding"), length.is_none());
        assert!(response.bytes().await.unwrap() == expected);
    }
    let head = client().head(mock.url() + "/raw/bytes?n=5000000000&len=1").send().await.unwrap();
    assert_eq!(header(&head, "content-length"), "5000000000");
    let wrong = client().get(mock.url() + "/raw/bytes?n=many").send().await.unwrap();
    assert_eq!(wrong.status(), 400);
}

#[tokio::test]
async fn an_upload_of_64_mib_arrives_whole() {
    const PIECE: usize = 1 << 20;
    let mock = start(Script::default()).await;
    let mut piece = vec![0; PIECE];
    pattern(0, &mut piece);
    let mut hash = Sha256::new();
    for _ in 0..64 {
        hash.update(&piece);
    }
    let piece = bytes::Bytes::from(piece);
    let pieces = futures::stream::iter((0..64).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let request = client().put(mock.url() + "/raw/sink").body(reqwest::Body::wrap_stream(pieces));
    let answer = json_of(request.send().await.unwrap()).await;
    assert_eq!(answer, json!({"bytes": 64 << 20, "sha256": hex(&hash.finalize())}));
    let recorded = mock.requests();
    assert_eq!(recorded[0].body_len, 64 << 20);
    assert_eq!(recorded[0].body.len(), mock_llm::KEPT_BODY);
}

#[tokio::test]
async fn a_sink_may_be_slow_or_answer_early() {
    let mock = start(Script::default()).await;
    let slow = client().post(mock.url() + "/raw/sink?slow_ms=1").body("abc").send().await.unwrap();
    assert_eq!(json_of(slow).await["bytes"], 3);
    let endless = futures::stream::iter([Ok::<_, std::io::Error>("x")]).chain(futures::stream::pending());
    let request = client().post(mock.url() + "/raw/sink?early=413");
    let early = request.body(reqwest::Body::wrap_stream(endless)).send().await.unwrap();
    assert_eq!(early.status(), 413);
    until(&mock, |stats| stats.completed == 2).await;
    assert!(!mock.requests()[1].body_complete);
}

#[tokio::test]
async fn statuses_have_what_belongs_to_them() {
    let mock = start(Script::default()).await;
    let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let client = client.build().unwrap();
    let get = |code: u16| client.get(format!("{}/raw/status/{code}", mock.url())).send();
    for code in [204, 304] {
        let response = get(code).await.unwrap();
        assert_eq!(response.status(), code);
        assert!(response.bytes().await.unwrap().is_empty());
    }
    assert_eq!(header(&get(301).await.unwrap(), "location"), "/raw/echo");
    assert_eq!(header(&get(429).await.unwrap(), "retry-after"), "7");
    assert_eq!(get(503).await.unwrap().text().await.unwrap(), "status 503\n");
    assert_eq!(get(101).await.unwrap().status(), 400);
}

#[tokio::test]
async fn trailers_come_behind_the_body_over_both_versions() {
    let mock = start(Script::default()).await;
    for client in [client(), http2()] {
        let request = client.get(mock.url() + "/raw/trailers").header("te", "trailers");
        let response = request.send().await.unwrap();
        assert_eq!(header(&response, "trailer"), "x-checksum");
        let response = reqwest::Body::from(response).collect().await.unwrap();
        let checksum = response.trailers().unwrap()["x-checksum"].clone();
        let body = response.to_bytes();
        assert_eq!(body.len(), raw::TRAILERS_BODY);
        assert_eq!(checksum.to_str().unwrap(), hex(&Sha256::digest(&body)));
    }
}

#[tokio::test]
async fn packed_binary_and_repeated_headers_pass() {
    let mock = start(Script::default()).await;
    let get = |path: &str| client().get(mock.url() + path).send();
    let gzip = get("/raw/gzip").await.unwrap();
    assert_eq!(header(&gzip, "content-encoding"), "gzip");
    assert_eq!(gzip.bytes().await.unwrap(), raw::GZIP[..]);
    let binary = get("/raw/binary").await.unwrap().bytes().await.unwrap();
    assert_eq!(binary, (0..=255).collect::<Vec<u8>>());
    let headers = get("/raw/headers?n=20").await.unwrap();
    let repeats = headers.headers().get_all("x-repeat").iter();
    let repeats: Vec<u32> = repeats.map(|value| value.to_str().unwrap().parse().unwrap()).collect();
    assert_eq!(repeats, (0..20).collect::<Vec<_>>());
    assert_eq!(header(&headers, "keep-alive"), "timeout=5");
    assert_eq!(header(&headers, "connection"), "keep-alive, x-hop");
}

#[tokio::test]
async fn a_short_body_is_an_error_behind_its_half() {
    let mock = start(Script::default()).await;
    let mut response = client().get(mock.url() + "/raw/short?n=1000").send().await.unwrap();
    assert_eq!(response.content_length(), Some(1000));
    let mut got = 0;
    while let Ok(chunk) = response.chunk().await {
        got += chunk.expect("no clean end").len();
    }
    assert_eq!(got, 500);
}

#[tokio::test]
async fn gated_chunks_come_one_by_one() {
    let mock = start(Script::default()).await;
    let url = mock.url() + "/raw/gated?gate=g&chunks=3&size=16";
    let mut body = client().get(url).send().await.unwrap().bytes_stream();
    for number in 0..3u64 {
        for _ in 0..100 {
            assert!(futures::poll!(body.next()).is_pending());
            tokio::task::yield_now().await;
        }
        mock.release("g", 1);
        let chunk = body.next().await.unwrap().unwrap();
        assert_eq!(chunk.len(), 16);
        assert_eq!(chunk[..8], number.to_be_bytes());
    }
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn http2_carries_streams_cuts_and_hang_ups() {
    let mock = start(Script::default()).await;
    let client = http2();
    let ask = |script: serde_json::Value| {
        let request = client.post(mock.url() + "/v1/chat/completions").bearer_auth("k");
        let request = request.header("x-mock", script.to_string());
        request.json(&with(openai_body(), json!({"stream": true}))).send()
    };
    let response = ask(json!({"text": "one two"})).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(data(&response.text().await.unwrap()).len(), 5);
    assert_eq!(mock.requests()[0].version, Version::HTTP_2);
    let cut = ask(json!({"text": "one two", "drop_after": 1})).await.unwrap();
    assert!(cut.bytes().await.is_err());
    let asking = ask(json!({"hang": "head"}));
    tokio::select! {
        _ = asking => panic!("answered"),
        () = until(&mock, |stats| stats.uploaded == 3) => {}
    }
    until(&mock, |stats| stats.hung_up == 1).await;
    // The connection itself lives on.
    let mut response = ask(json!({"gate": "g"})).await.unwrap();
    response.chunk().await.unwrap().unwrap();
    drop(response);
    until(&mock, |stats| stats.hung_up == 2 && stats.open == 0).await;
}
