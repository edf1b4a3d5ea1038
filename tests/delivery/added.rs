//! Keys that the server adds: they reach their origin alone, no other key travels beside them, and nobody is shown them.

use std::{fs, os::unix::fs::PermissionsExt as _};

use futures::stream;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use mock_llm::MockLlm;
use xllm_proxy::client::Policy;

use super::support::{
    child::Stand,
    relay::Relay,
    request::{Request, get, request, streaming, whole},
    secure::Authority,
    upstream::{self, Recording, Then},
};

const KEY: &str = "sk-server-0123456789";
const NONE: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// The configuration by which this origin gets the key.
fn rule(origin: &str) -> String {
    format!("[[origin]]\nat = '{origin}'\nheaders = {{ authorization = 'Bearer {KEY}', x-team = 'research' }}\n")
}

/// With a key of the client's in every field that may hold one.
fn with_keys(mut request: Request, policy: Policy) -> Request {
    request.extensions_mut().insert(policy);
    for name in ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization", "x-team"] {
        request.headers_mut().append(name, HeaderValue::from_static("client-key"));
    }
    request
}

#[tokio::test]
async fn the_server_s_key_goes_in_place_of_whatever_key_the_client_sends() {
    for policy in [Policy::Neutral, Policy::Sdk, Policy::Pass] {
        let Recording { url, heard } = upstream::recording(NONE, b"\r\n\r\n").await;
        // Rules that keep all do not keep these.
        let keep = "[request_headers]\nkeep = ['x-api-key', 'cookie', '*']\n";
        let relay = Relay::with(&(keep.to_owned() + &rule(&url))).await;
        whole(&relay.client(), with_keys(get(&format!("{url}/?key=client-s-own")), policy)).await.unwrap();
        let heard = String::from_utf8(heard.borrow().clone()).unwrap();
        assert!(heard.starts_with("GET /?key=client-s-own HTTP/1.1\r\n"), "queries are as they were: {heard}");
        assert!(!heard.contains("client-key") && !heard.contains("sk-secret-key"), "{policy:?} {heard}");
        for line in [format!("\r\nauthorization: Bearer {KEY}\r\n"), "\r\nx-team: research\r\n".to_owned()] {
            assert_eq!(heard.matches(&line).count(), 1, "{policy:?} {heard}");
        }
    }
}

#[tokio::test]
async fn over_http_2_it_is_the_same() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let roots = folder.path().join("ca.pem");
    authority.write(&roots);
    let mock = MockLlm::start(mock_llm::Config::default()).await.unwrap();
    let url = format!("https://{}", authority.terminate(mock.addr(), &["h2"]).await);
    let stand = Stand::trusting(&roots, &rule(&url), mock, &[]).await;
    let request = with_keys(get(&format!("{url}/raw/echo")), Policy::Pass);
    let answer = whole(&stand.client(), request).await.unwrap();
    let heard = String::from_utf8(answer.body().to_vec()).unwrap();
    assert!(heard.contains("\"version\":\"HTTP/2.0\"") && !heard.contains("client-key"), "{heard}");
    for field in [format!("[\"authorization\",\"Bearer {KEY}\"]"), "[\"x-team\",\"research\"]".to_owned()] {
        assert_eq!(heard.matches(&field).count(), 1, "{heard}");
    }
}

#[tokio::test]
async fn no_key_of_the_client_travels_in_trailers_either() {
    let Recording { url, heard } = upstream::recording(NONE, b"x-sum: 7\r\n\r\n").await;
    let relay = Relay::with(&rule(&url)).await;
    let mut trailers = HeaderMap::new();
    for name in ["authorization", "x-api-key", "x-team"] {
        trailers.insert(name, HeaderValue::from_static("client-key"));
    }
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    let pieces = [Ok(Frame::data("body".into())), Ok(Frame::trailers(trailers))];
    let mut request = with_keys(streaming("POST", &url, stream::iter(pieces)), Policy::Pass);
    request.headers_mut().insert("trailer", HeaderValue::from_static("authorization, x-api-key, x-team, x-sum"));
    assert_eq!(whole(&relay.client(), request).await.unwrap().status(), 204);
    let heard = String::from_utf8(heard.borrow().clone()).unwrap();
    assert!(heard.ends_with("\r\n4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n") && !heard.contains("client-key"), "{heard}");
}

#[tokio::test]
async fn an_upstream_that_shows_the_key_shows_it_to_the_proxy_alone() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, x-echo\r\nx-kept: 1\r\nx-echo: Bearer {KEY}\r\n\
         x-debug: {{\"authorization\": \"Bearer {KEY}\"}}\r\nx-kept: {KEY}\r\nlocation: https://x.example/?k={KEY}&x\r\n\
         x-team: research\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\nx-echo: {KEY}\r\n\r\n"
    );
    let url = upstream::saying(answer, Then::Close).await;
    let relay = Relay::with(&rule(&url)).await;
    let client = relay.client();
    let mut request = get(&url);
    request.extensions_mut().insert(Policy::Pass);
    let response = super::support::request::call(&client, request).await.unwrap();
    let mut kept: Vec<_> =
        response.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    kept.sort();
    assert_eq!(kept, ["trailer: x-sum, x-echo", "x-kept: 1", "x-team: research"]);
    let collected = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    let trailers = collected.trailers().unwrap();
    assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &HeaderValue::from_static("7")));
}

#[tokio::test]
async fn no_other_origin_gets_the_key() {
    let Recording { url: other, heard } = upstream::recording(NONE, b"\r\n\r\n").await;
    let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {other}/\r\ncontent-length: 0\r\n\r\n");
    let url = upstream::saying(answer, Then::Close).await;
    let relay = Relay::with_allowed(&rule(&url), &[&other]).await;
    let client = relay.client();
    // A redirect is handed on; what the client then asks for itself goes with its own key.
    assert_eq!(whole(&client, get(&url)).await.unwrap().status(), 307);
    whole(&client, get(&other)).await.unwrap();
    let heard = String::from_utf8(heard.borrow().clone()).unwrap();
    assert!(!heard.contains(KEY) && heard.contains("Bearer sk-secret-key") && heard.matches("GET ").count() == 1, "{heard}");
    // Nor one that differs in its port or scheme alone.
    for near in [url.replace("http:", "https:"), url.replace("127.0.0.1", "localhost")] {
        assert_eq!(whole(&client, get(&near)).await.unwrap_err().code(), "origin-not-allowed");
    }
}

#[tokio::test]
async fn keys_come_from_files_and_neither_log_nor_check_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, format!("{KEY}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let mock = MockLlm::start(mock_llm::Config::default()).await.unwrap();
    let config = format!(
        "[[origin]]\nat = '{}'\npaths = ['/raw/']\nheaders = {{ x-api-key = '${{file:{}}}' }}\n",
        mock.url(),
        file.display()
    );
    let stand = Stand::with(&config, &[]).await;
    let client = stand.client();
    for (path, outcome) in [("/raw/binary", "complete"), ("/other", "not-allowed")] {
        let _ = whole(&client, request("POST", &format!("{}{path}", mock.url()), "body")).await;
        stand.server.logged(&["exchange", &format!("outcome=\"{outcome}\"")]).await;
    }
    let seen = mock.requests();
    assert!(seen.len() == 1 && seen[0].headers.contains(&("x-api-key".to_owned(), KEY.into())));
    assert!(!stand.server.log().contains(KEY), "not even at level trace");
}
