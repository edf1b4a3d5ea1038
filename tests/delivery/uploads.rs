//! Request bodies: piece by piece, with trailers, and stopped by an early answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;
use http::HeaderMap;
use http_body::Frame;
use mock_llm::pattern;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::support::{
    relay::Relay,
    request::{Piece, call, channel, endless, request, streaming, whole},
    upstream::{self, Recording},
    within,
};

#[tokio::test]
async fn every_piece_of_a_request_body_reaches_the_upstream_before_the_next_is_made() {
    let Recording { url, mut heard, .. } = upstream::recording("HTTP/1.1 204 No Content\r\n\r\n", b"0\r\n\r\n").await;
    let relay = Relay::allowing(&url).await;
    let (pieces, body) = channel();
    let client = relay.client();
    let call = tokio::spawn(async move { call(&client, streaming("POST", &url, body)).await });
    for number in 0..50 {
        let piece = format!("piece-{number};");
        pieces.unbounded_send(Ok(Frame::data(piece.clone().into()))).unwrap();
        let arrived = heard.wait_for(|heard| String::from_utf8_lossy(heard).contains(&piece));
        within("the piece", arrived).await.unwrap();
    }
    drop(pieces);
    assert_eq!(within("the answer", call).await.unwrap().unwrap().status(), 204);
}

#[tokio::test]
async fn trailers_of_a_request_reach_the_upstream() {
    let Recording { url, heard, .. } = upstream::recording("HTTP/1.1 204 No Content\r\n\r\n", b"x-sum: 7\r\n\r\n").await;
    let relay = Relay::allowing(&url).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    let pieces: Vec<Piece> = vec![Ok(Frame::data("body".into())), Ok(Frame::trailers(trailers))];
    let mut request = streaming("POST", &url, futures::stream::iter(pieces));
    request.headers_mut().insert("trailer", "x-sum".parse().unwrap());
    assert_eq!(call(&relay.client(), request).await.unwrap().status(), 204);
    let heard = String::from_utf8(heard.borrow().clone()).unwrap();
    assert!(heard.ends_with("\r\n4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn trailers_of_a_request_obey_the_header_policy_and_the_rules() {
    let Recording { url, heard, .. } = upstream::recording("HTTP/1.1 204 No Content\r\n\r\n", b"x-sum: 7\r\n\r\n").await;
    let relay = Relay::with_allowed("request_headers.drop = [\"x-team\"]", &[&url]).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-team", "blue".parse().unwrap());
    trailers.insert("x-forwarded-for", "10.0.0.1".parse().unwrap());
    trailers.insert("cookie", "who=me".parse().unwrap());
    trailers.insert("x-sum", "7".parse().unwrap());
    let pieces: Vec<Piece> = vec![Ok(Frame::data("body".into())), Ok(Frame::trailers(trailers))];
    let mut request = streaming("POST", &url, futures::stream::iter(pieces));
    request.headers_mut().insert("trailer", "x-sum, cookie, x-forwarded-for, x-team".parse().unwrap());
    assert_eq!(call(&relay.client(), request).await.unwrap().status(), 204);
    let heard = String::from_utf8(heard.borrow().clone()).unwrap();
    assert!(heard.ends_with("\r\n4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n"), "{heard}");
}

/// Says when it is dropped.
struct Watched<S>(S, #[expect(dead_code, reason = "dropped")] oneshot::Sender<()>);

impl<S: Stream<Item = Piece> + Unpin> Stream for Watched<S> {
    type Item = Piece;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

#[tokio::test]
async fn an_early_answer_comes_through_and_stops_the_upload() {
    let relay = Relay::start().await;
    let client = relay.client();
    for _ in 0..5 {
        let (alive, dropped) = oneshot::channel();
        let body = Watched(Box::pin(endless(1000)), alive);
        let response = whole(&client, streaming("PUT", &relay.url("/raw/sink?early=413"), body)).await.unwrap();
        assert_eq!((response.status().as_u16(), &response.body()[..8]), (413, &b"answered"[..]));
        within("the upload's end", dropped).await.unwrap_err();
    }
}

#[tokio::test]
async fn an_answer_may_stream_while_the_request_does() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nearly\r\n0\r\n\r\n";
    let url = upstream::saying(answer, upstream::Then::Hold).await;
    let relay = Relay::allowing(&url).await;
    let (pieces, body) = channel();
    let response = whole(&relay.client(), streaming("POST", &url, body)).await.unwrap();
    assert_eq!(response.body(), "early");
    drop(pieces);
}

#[tokio::test]
async fn large_bodies_of_known_and_of_unknown_length_arrive_byte_for_byte() {
    let relay = Relay::start().await;
    let client = relay.client();
    let mut bytes = vec![0; 1_500_000];
    pattern(0, &mut bytes);
    let pieces: Vec<Piece> = bytes.chunks(77_777).map(|piece| Ok(Frame::data(piece.to_vec().into()))).collect();
    let url = relay.url("/raw/sink");
    let requests = [request("POST", &url, bytes.clone()), streaming("POST", &url, futures::stream::iter(pieces))];
    for request in requests {
        assert!(whole(&client, request).await.is_ok());
    }
    let expected: [u8; 32] = Sha256::digest(&bytes).into();
    for (recorded, length) in relay.mock.requests().iter().zip([Some("1500000"), None]) {
        assert_eq!((recorded.body_len, recorded.body_sha256, recorded.body_complete), (1_500_000, expected, true));
        assert_eq!(recorded.header("content-length"), length);
    }
}

#[tokio::test]
async fn a_post_without_a_body_says_so() {
    let relay = Relay::start().await;
    assert!(whole(&relay.client(), request("POST", &relay.url("/raw/echo"), "")).await.is_ok());
    assert_eq!(relay.mock.requests()[0].header("content-length"), Some("0"));
}
