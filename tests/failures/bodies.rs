//! Request bodies that are too large, fail, or are not what was said.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tower::Service;
use xllm_proxy::client::{BoxError, Fault};

use super::{
    assert_fails, assert_fails_as,
    support::{
        child::Stand,
        request::{Bystander, assert_error, channel, request, streaming},
        upstream::{self, Then},
        within,
    },
};

const LIMIT: &str = "[limits]\nupload_bytes = 100000";

#[tokio::test]
async fn an_upload_that_says_that_it_is_too_large_calls_no_upstream() {
    let stand = Stand::with(LIMIT, &[]).await;
    let request = request("POST", &stand.url("/raw/sink"), vec![b'u'; 100_001]);
    assert_fails(&stand, request, "upload-too-large", Fault::Client, true).await;
    assert_eq!(stand.mock.stats().requests, 1);
}

#[tokio::test]
async fn an_upload_that_turns_out_too_large_is_stopped() {
    let stand = Stand::with(LIMIT, &[]).await;
    let (pieces, body) = channel();
    let piece = || Ok(Frame::data(vec![b'u'; 1000].into()));
    let request = streaming("POST", &stand.url("/raw/sink"), body);
    let failure = assert_fails(&stand, request, "upload-too-large", Fault::Client, false);
    let upload = async {
        pieces.unbounded_send(piece()).unwrap();
        // Sooner, the call could be over before the upstream has seen anything of it. The bystander's is the first.
        stand.mock.wait_until(|stats| stats.requests == 2).await;
        (0..100).for_each(|_| pieces.unbounded_send(piece()).unwrap());
    };
    tokio::join!(failure, upload);
    stand.mock.wait_until(|stats| stats.hung_up == 1).await;
}

#[tokio::test]
async fn an_upload_that_turns_out_too_large_after_the_answer_has_begun_is_stopped() {
    let url = upstream::saying("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", Then::Hold).await;
    let stand = Stand::with(LIMIT, &[&url]).await;
    let (pieces, body) = channel();
    let client = stand.client();
    let bystander = Bystander::start(&client, &stand.mock, "bystander").await;
    let response = super::support::request::call(&client, streaming("POST", &url, body)).await.unwrap();
    pieces.unbounded_send(Ok(Frame::data(vec![b'u'; 100_001].into()))).unwrap();
    let error = within("the failure", http_body_util::BodyExt::collect(response.into_body())).await.unwrap_err();
    assert_error(&error, "upload-too-large", Fault::Client, false);
    bystander.finish(&stand.mock).await;
}

#[tokio::test]
async fn a_request_body_that_fails_stops_the_call() {
    let stand = Stand::start().await;
    let (pieces, body) = channel();
    pieces.unbounded_send(Ok(Frame::data("secret-body".into()))).unwrap();
    pieces.unbounded_send(Err("the disk is gone".into())).unwrap();
    let request = streaming("POST", &stand.url("/raw/sink?q=secret-query"), body);
    assert_fails_as("cancelled", &stand, request, "upload-failed", Fault::Client, false).await;
}

#[tokio::test]
async fn a_request_body_that_fails_under_way_stops_the_upstream() {
    let stand = Stand::start().await;
    let client = stand.client();
    let bystander = Bystander::start(&client, &stand.mock, "bystander").await;
    let (pieces, body) = channel();
    let mut caller = client.clone();
    let call = tokio::spawn(caller.call(streaming("POST", &stand.url("/raw/sink"), body)));
    pieces.unbounded_send(Ok(Frame::data("secret-body".into()))).unwrap();
    stand.mock.wait_until(|stats| stats.requests == 2).await;
    pieces.unbounded_send(Err("the disk is gone".into())).unwrap();
    let error = within("the failure", call).await.unwrap().unwrap_err();
    assert_error(&error, "upload-failed", Fault::Client, false);
    within("the upstream's end", stand.mock.wait_until(|stats| stats.hung_up == 1)).await;
    bystander.finish(&stand.mock).await;
}

/// A body that says one length and has another.
struct Liar {
    says: u64,
    pieces: Vec<Frame<Bytes>>,
}

impl http_body::Body for Liar {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.pieces.pop().map(Ok))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.says)
    }
}

async fn lie(stand: &Stand, says: u64, pieces: Vec<Frame<Bytes>>) -> xllm_proxy::client::Error {
    let request = http::Request::post(stand.url("/raw/sink")).body(Liar { says, pieces }).unwrap();
    let client = stand.client();
    let bystander = Bystander::start(&client, &stand.mock, "bystander").await;
    let error = within("the failure", client.clone().call(request)).await.expect_err("it fails");
    bystander.finish(&stand.mock).await;
    error
}

#[tokio::test]
async fn a_body_of_another_length_than_it_says_fails_alone() {
    let stand = Stand::start().await;
    for size in [5, 15] {
        let error = lie(&stand, 10, vec![Frame::data(vec![b'u'; size].into())]).await;
        assert_error(&error, "upload-failed", Fault::Client, false);
    }
}

#[tokio::test]
async fn trailers_that_do_not_fit_fail_alone() {
    let stand = Stand::start().await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-large", "secret".repeat(3000).parse().unwrap());
    let error = lie(&stand, 1, vec![Frame::trailers(trailers), Frame::data("u".into())]).await;
    assert_error(&error, "upload-failed", Fault::Client, false);
}
