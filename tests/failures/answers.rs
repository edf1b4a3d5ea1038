//! Answers that do not fit, and answers that contradict themselves.

use super::{
    assert_fails,
    support::{
        child::Stand,
        request::{Bystander, assert_error, call, get, whole},
        upstream::{self, Then},
    },
};
use xllm_proxy::client::{Fault::Upstream, Mode};

#[tokio::test]
async fn an_answer_with_too_many_header_fields_is_refused() {
    let stand = Stand::start().await;
    for count in [300, 2000] {
        let url = stand.url(&format!("/raw/headers?n={count}"));
        assert_fails(&stand, get(&url), "head-too-large", Upstream, false).await;
    }
}

#[tokio::test]
async fn an_answer_with_a_large_header_is_refused() {
    for size in [20_000, 1_000_000] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-large: {}\r\n\r\n", "secret".repeat(size / 6));
        let url = upstream::saying(head, Then::Hold).await;
        let stand = Stand::with("", &[&url]).await;
        assert_fails(&stand, get(&url), "head-too-large", Upstream, false).await;
    }
}

#[tokio::test]
async fn an_answer_with_large_trailers_is_refused() {
    for size in [15_990, 20_000] {
        let large = "secret".repeat(size / 6);
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-large: {large}\r\n\r\n");
        let url = upstream::saying(answer, Then::Hold).await;
        let stand = Stand::with("", &[&url]).await;
        assert_fails(&stand, get(&url), "head-too-large", Upstream, false).await;
    }
}

#[tokio::test]
async fn a_buffered_answer_over_its_limit_gives_an_error_and_no_half_answer() {
    let stand = Stand::with("[limits]\nbuffered_bytes = 100000", &[]).await;
    for declared in [0, 1] {
        let mut request = get(&stand.url(&format!("/raw/bytes?n=200000&len={declared}&q=secret-query")));
        request.extensions_mut().insert(Mode::Buffered);
        assert_fails(&stand, request, "response-too-large", Upstream, false).await;
    }
    let fits = get(&stand.url("/raw/bytes?n=100000"));
    assert_eq!(stand.client().buffered(fits).await.unwrap().body().len(), 100_000);
}

#[tokio::test]
async fn a_buffered_answer_that_breaks_off_gives_an_error_and_no_half_answer() {
    let stand = Stand::start().await;
    let client = stand.client();
    let bystander = Bystander::start(&client, &stand.mock, "bystander").await;
    let mut request = get(&stand.url("/raw/short?n=100000&q=secret-query"));
    request.extensions_mut().insert(Mode::Buffered);
    let error = call(&client, request).await.expect_err("not even a head");
    assert_error(&error, "upstream-closed", Upstream, false);
    bystander.finish(&stand.mock).await;
}

#[tokio::test]
async fn an_answer_that_contradicts_itself_harms_no_other() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Some("hello")),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", Some("")),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nhello", Some("")),
        ("HTTP/1.1 205 Reset Content\r\ncontent-length: 5\r\n\r\nhello", Some("hello")),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhello", None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775807\r\n\r\nhello", None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhello", Some("hel")),
        ("HTTP/1.1 200 OK\r\n\r\nto the close", Some("to the close")),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 9223372036854775807\r\n\r\n", Some("")),
        ("HTTP/1.1 999 What\r\ncontent-length: 2\r\n\r\nhm", Some("hm")),
    ] {
        let url = upstream::saying(answer, Then::Close).await;
        let stand = Stand::with("", &[&url]).await;
        let client = stand.client();
        let bystander = Bystander::start(&client, &stand.mock, "bystander").await;
        let came = whole(&client, get(&url)).await;
        match (expected, &came) {
            (Some(expected), Ok(response)) => assert_eq!(response.body(), expected, "{answer}"),
            (None, Err(error)) => assert_eq!((error.blame(), error.retry_safe()), (Upstream, false), "{answer}: {error:?}"),
            _ => panic!("{answer}: {came:?}"),
        }
        bystander.finish(&stand.mock).await;
    }
}
