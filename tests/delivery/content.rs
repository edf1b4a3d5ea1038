//! Statuses, lengths, encodings, trailers: an answer arrives as it was.

use http::Method;
use http_body::Body as _;
use http_body_util::BodyExt;
use mock_llm::{
    pattern,
    raw::{GZIP, TRAILERS_BODY},
};
use xllm_proxy::client::Mode;

use super::support::{
    relay::Relay,
    request::{call, get, request, whole},
    within,
};

#[tokio::test]
async fn trailers_of_an_answer_arrive_behind_its_body_in_both_modes() {
    let relay = Relay::start().await;
    for mode in [Mode::Streaming, Mode::Buffered] {
        let mut request = get(&relay.url("/raw/trailers"));
        request.headers_mut().insert("te", "trailers".parse().unwrap());
        request.extensions_mut().insert(mode);
        let body = call(&relay.client(), request).await.unwrap().into_body();
        let collected = within("the body", body.collect()).await.unwrap();
        assert!(collected.trailers().unwrap().contains_key("x-checksum"));
        let mut expected = vec![0; TRAILERS_BODY];
        pattern(0, &mut expected);
        assert_eq!(collected.to_bytes(), expected);
    }
}

#[tokio::test]
async fn redirects_are_handed_on_and_not_followed() {
    let relay = Relay::start().await;
    for status in [301, 302, 303, 307, 308] {
        let response = whole(&relay.client(), get(&relay.url(&format!("/raw/status/{status}")))).await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["location"]), (status, &"/raw/echo".parse().unwrap()));
    }
    assert_eq!(relay.mock.stats().requests, 5);
}

#[tokio::test]
async fn errors_of_the_upstream_are_answers_like_others() {
    let relay = Relay::start().await;
    for status in [400, 401, 404, 429, 500, 503, 529] {
        let response = whole(&relay.client(), get(&relay.url(&format!("/raw/status/{status}")))).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.body(), format!("status {status}\n").as_bytes());
    }
}

#[tokio::test]
async fn packed_content_stays_packed() {
    let relay = Relay::start().await;
    let mut request = get(&relay.url("/raw/gzip"));
    request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    let response = whole(&relay.client(), request).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.body()[..], GZIP);
    assert_eq!(relay.mock.requests()[0].header("accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn no_encoding_is_asked_for_that_the_caller_did_not() {
    let relay = Relay::start().await;
    whole(&relay.client(), get(&relay.url("/raw/binary"))).await.unwrap();
    assert_eq!(relay.mock.requests()[0].header("accept-encoding"), None);
}

#[tokio::test]
async fn every_byte_value_passes_both_ways() {
    let relay = Relay::start().await;
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(whole(&relay.client(), get(&relay.url("/raw/binary"))).await.unwrap().body()[..], bytes);
    whole(&relay.client(), request("POST", &relay.url("/raw/echo"), bytes.clone())).await.unwrap();
    assert_eq!(relay.mock.requests()[1].body, bytes);
}

#[tokio::test]
async fn answers_without_a_body_have_none_in_both_modes() {
    let relay = Relay::start().await;
    let client = relay.client();
    for mode in [Mode::Streaming, Mode::Buffered] {
        for status in [204, 205, 304] {
            let mut request = get(&relay.url(&format!("/raw/status/{status}")));
            request.extensions_mut().insert(mode);
            let response = whole(&client, request).await.unwrap();
            assert_eq!((response.status().as_u16(), response.body().len()), (status, 0));
        }
        let mut head = request("HEAD", &relay.url("/raw/bytes?n=1000&len=1"), "");
        head.extensions_mut().insert(mode);
        let response = whole(&client, head).await.unwrap();
        assert_eq!((&response.headers()["content-length"], response.body().len()), (&"1000".parse().unwrap(), 0));
    }
    assert_eq!(relay.mock.requests().last().unwrap().method, Method::HEAD.as_str());
}

#[tokio::test]
async fn a_length_is_there_when_the_upstream_gave_one_or_the_answer_is_buffered() {
    let relay = Relay::start().await;
    let client = relay.client();
    for (declared, mode, expected) in [
        (1, Mode::Streaming, Some(1000)),
        (0, Mode::Streaming, None),
        (1, Mode::Buffered, Some(1000)),
        (0, Mode::Buffered, Some(1000)),
    ] {
        let mut request = get(&relay.url(&format!("/raw/bytes?n=1000&chunk=100&len={declared}")));
        request.extensions_mut().insert(mode);
        let response = call(&client, request).await.unwrap();
        let header = response.headers().get("content-length").map(|value| value.to_str().unwrap().parse().unwrap());
        assert_eq!((header, response.body().size_hint().exact()), (expected, expected), "{declared} {mode:?}");
        assert_eq!(within("the body", response.into_body().collect()).await.unwrap().to_bytes().len(), 1000);
    }
}

#[tokio::test]
async fn a_request_of_every_method_arrives_as_it_was_sent() {
    let relay = Relay::start().await;
    let client = relay.client();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let body: Vec<u8> = if method == "GET" { Vec::new() } else { (0..=255).collect() };
        let size = body.len();
        let response = whole(&client, request(method, &relay.url("/raw/echo?a=1&b=%20"), body)).await.unwrap();
        let echo: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!((&echo["method"], &echo["length"]), (&method.into(), &size.into()));
    }
    assert!(relay.mock.requests().iter().all(|request| request.path == "/raw/echo?a=1&b=%20"));
}
