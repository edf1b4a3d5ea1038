//! Client, server and a mock provider over real sockets on loopback.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/relay.rs"]
mod relay;

use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use relay::{Relay, get, post, whole};
use tower::Service;

#[tokio::test]
async fn a_request_of_every_method_arrives_as_it_was_sent() {
    let relay = Relay::start().await;
    let mut client = relay.client();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let body: Vec<u8> = if method == "GET" { Vec::new() } else { (0..=255).collect() };
        let request = http::Request::builder()
            .method(method)
            .uri(relay.url("/raw/echo?a=1&b=%20"))
            .header("x-one", "1")
            .header("x-one", "2")
            .body(Full::new(body.clone().into()))
            .unwrap();
        let response = client.call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let echo: serde_json::Value = serde_json::from_slice(&whole(response.into_body()).await.unwrap()).unwrap();
        assert_eq!(echo["method"], method);
        assert_eq!(echo["length"], body.len());
    }
    assert!(relay.mock.requests().iter().all(|request| request.path == "/raw/echo?a=1&b=%20"));
}

#[tokio::test]
async fn a_head_request_keeps_its_length_and_has_no_body() {
    let relay = Relay::start().await;
    let request = http::Request::builder()
        .method(Method::HEAD)
        .uri(relay.url("/raw/bytes?n=1000&len=1"))
        .body(Full::<bytes::Bytes>::default())
        .unwrap();
    let response = relay.client().call(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "1000");
    assert!(whole(response.into_body()).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_chunk_leaves_the_body_before_the_upstream_writes_the_next() {
    let relay = Relay::start().await;
    let mut client = relay.client();
    let url = relay.url("/raw/gated?gate=one&chunks=20&size=100");
    let mut body = client.call(get(&url)).await.unwrap().into_body();
    for number in 0..20_u64 {
        relay.mock.release("one", 1);
        let chunk = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((chunk.len(), &chunk[..8]), (100, &number.to_be_bytes()[..]));
    }
    assert!(body.frame().await.is_none());
    assert!(body.receipt().is_some());
}

#[tokio::test]
async fn a_buffered_call_gives_the_whole_answer() {
    let relay = Relay::start().await;
    let response = relay.client().buffered(post(&relay.url("/raw/echo"), "hello")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-length"], response.body().len().to_string());
}
