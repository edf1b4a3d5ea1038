//! Requests that the client or the proxy refuses. No upstream is called for any of them.

use super::{
    assert_fails,
    support::{
        child::Stand,
        raw::{self, Raw},
        request::{Bystander, assert_clean, assert_error, get, request, whole},
    },
};
use xllm_proxy::{
    client::Fault::Client,
    proto::{Code, Event, frame::Notice},
};

#[tokio::test]
async fn a_url_off_the_allow_list_is_refused_with_the_remedy() {
    let stand = Stand::start().await;
    let request = request("POST", "http://127.0.0.1:9/secret-path?q=secret-query", "secret-body");
    let error = assert_fails(&stand, request, "origin-not-allowed", Client, true).await;
    assert!(error.to_string().contains("http://127.0.0.1:9") && error.to_string().contains("--allow"), "{error}");
}

#[tokio::test]
async fn other_schemes_are_refused() {
    let stand = Stand::start().await;
    assert_fails(&stand, get("ftp://127.0.0.1/secret-path"), "scheme-not-allowed", Client, true).await;
}

#[tokio::test]
async fn a_method_that_does_not_travel_is_refused() {
    let stand = Stand::start().await;
    for method in ["TRACE", "CONNECT", "get", "SECRET"] {
        let request = request(method, &stand.url("/secret-path"), "");
        assert_fails(&stand, request, "request-invalid", Client, true).await;
    }
    assert!(!stand.server.log().contains("SECRET"));
}

#[tokio::test]
async fn a_url_with_a_password_is_refused() {
    let stand = Stand::start().await;
    let url = stand.url("/").replace("http://", "http://secret-user:secret-password@");
    assert_fails(&stand, get(&url), "request-invalid", Client, true).await;
}

#[tokio::test]
async fn a_url_without_host_never_leaves_the_client() {
    let stand = Stand::start().await;
    let error = whole(&stand.client(), get("/secret-path")).await.unwrap_err();
    assert_error(&error, "request-invalid", Client, true);
}

#[tokio::test]
async fn a_head_that_does_not_fit_never_leaves_the_client() {
    let stand = Stand::start().await;
    let client = stand.client();
    let bystander = Bystander::start(&client, &stand.mock, "bystander").await;
    let mut large = get(&stand.url("/raw/binary"));
    large.headers_mut().insert("x-large", "secret".repeat(3000).parse().unwrap());
    let mut many = get(&stand.url("/raw/binary"));
    for _ in 0..300 {
        many.headers_mut().append("x-many", "secret".parse().unwrap());
    }
    let long = get(&stand.url(&format!("/raw/binary?{}", "secret".repeat(2000))));
    for request in [large, many, long] {
        let error = whole(&client, request).await.unwrap_err();
        assert_error(&error, "too-large", Client, true);
    }
    assert_eq!(stand.mock.stats().requests, 1);
    bystander.finish(&stand.mock).await;
}

/// What only a client that ignores the rules can send.
async fn refused(stand: &Stand, raw: &mut Raw, request: &xllm_proxy::proto::frame::Request) -> Notice {
    let number = raw.open(request);
    let notice = match raw.event().await {
        Event::Failed(which, notice) if which == number => notice,
        other => panic!("{other:?}"),
    };
    assert_clean(&notice.text);
    stand.server.logged(&[&format!("exchange={number}"), &format!("outcome=\"{}\"", notice.code)]).await;
    notice
}

#[tokio::test]
async fn what_the_client_library_would_not_send_is_refused_by_the_server() {
    let stand = Stand::start().await;
    let client = stand.client();
    let bystander = Bystander::start(&client, &stand.mock, "bystander").await;
    let mut raw = Raw::connect(&stand.server.address.to_string(), &stand.server.credential).await;
    let url = stand.url("/raw/binary");
    for (method, url, header) in [
        ("GET", format!("{url}#secret-fragment"), ("x-fine", &b"1"[..])),
        ("GET /", url.clone(), ("x-fine", b"1")),
        ("GET", "/secret-path".to_owned(), ("x-fine", b"1")),
        ("GET", "http://".to_owned(), ("x-fine", b"1")),
        ("GET", "http://[::1".to_owned(), ("x-fine", b"1")),
        ("GET", format!("{url}?q=<secret-query>"), ("x-fine", b"1")),
        ("GET", url.replace("://", ":///"), ("x-fine", b"1")),
        ("GET", format!("{}@other.example/", stand.mock.url()), ("x-fine", b"1")),
        ("GET", url.clone(), ("X-Upper", b"1")),
        ("GET", url.clone(), ("x note", b"1")),
        ("GET", url.clone(), ("", b"1")),
        ("GET", url.clone(), ("x-note", b"secret\r\nx-smuggled: 1")),
        ("GET", url.clone(), ("x-note", b"secret\0")),
    ] {
        let notice = refused(&stand, &mut raw, &raw::request(method, &url, &[header])).await;
        assert_eq!(
            (notice.code, notice.fault, notice.retry),
            (Code::RequestInvalid, Client, true),
            "{method} {url} {header:?}"
        );
    }
    // The session is as good as before.
    raw.open(&raw::request("GET", &url, &[]));
    let answer = raw.event().await;
    assert!(matches!(answer, Event::Response(_, ref response) if response.status == 200), "{answer:?}");
    bystander.finish(&stand.mock).await;
    assert_eq!(stand.mock.stats().requests, 2);
    assert_clean(&stand.server.log());
}
