//! Upstreams that cannot be reached, close, stall, or speak no HTTP.

use super::{
    assert_fails,
    support::{
        child::Stand,
        request::{get, request},
        secure::Authority,
        upstream::{self, Then},
    },
};
use xllm_proxy::client::Fault::Upstream;

#[tokio::test]
async fn an_upstream_at_which_nothing_listens_is_unreachable() {
    let url = format!("http://{}", upstream::closed().await);
    let stand = Stand::with("", &[&url]).await;
    let request = request("POST", &format!("{url}/secret-path?q=secret-query"), "secret-body");
    let error = assert_fails(&stand, request, "upstream-unreachable", Upstream, true).await;
    assert!(error.to_string().contains("it refused the connection"), "{error}");
}

#[tokio::test]
async fn a_name_without_address_is_unresolved() {
    let stand = Stand::with("", &["http://no-such-host.invalid"]).await;
    assert_fails(&stand, get("http://no-such-host.invalid/secret-path"), "upstream-unresolved", Upstream, true).await;
}

#[tokio::test]
async fn an_upstream_that_closes_before_its_head_is_named() {
    let url = upstream::saying("", Then::Close).await;
    let stand = Stand::with("", &[&url]).await;
    let request = request("POST", &format!("{url}/secret-path"), "secret-body");
    assert_fails(&stand, request, "upstream-closed", Upstream, false).await;
}

#[tokio::test]
async fn an_upstream_that_closes_in_the_middle_of_its_head_is_named() {
    let url = upstream::saying("HTTP/1.1 200 OK\r\nx-secret: secret-val", Then::Close).await;
    let stand = Stand::with("", &[&url]).await;
    assert_fails(&stand, get(&url), "upstream-closed", Upstream, false).await;
}

#[tokio::test]
async fn an_answer_shorter_than_its_length_is_an_error() {
    let stand = Stand::start().await;
    let url = stand.url("/raw/short?n=1000&q=secret-query");
    assert_fails(&stand, get(&url), "upstream-closed", Upstream, false).await;
}

#[tokio::test]
async fn a_chunked_answer_without_its_end_is_an_error() {
    let stand = Stand::start().await;
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"secret-body"}]}"#;
    let mut request = request("POST", &stand.url("/v1/chat/completions"), body);
    request.headers_mut().insert("x-mock", r#"{"drop_after":3}"#.parse().unwrap());
    assert_fails(&stand, request, "upstream-closed", Upstream, false).await;
}

#[tokio::test]
async fn an_upstream_that_speaks_no_http_is_named() {
    let url = upstream::saying("SSH-2.0-secret\r\n\r\n", Then::Close).await;
    let stand = Stand::with("", &[&url]).await;
    assert_fails(&stand, get(&url), "upstream-protocol", Upstream, false).await;
}

#[tokio::test]
async fn an_upstream_whose_chunks_are_garbage_is_named() {
    let url = upstream::saying("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nsecret\r\n", Then::Hold).await;
    let stand = Stand::with("", &[&url]).await;
    assert_fails(&stand, get(&url), "upstream-protocol", Upstream, false).await;
}

#[tokio::test]
async fn a_final_status_that_no_answer_can_have_is_refused() {
    let url =
        upstream::saying("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", Then::Hold).await;
    let stand = Stand::with("", &[&url]).await;
    assert_fails(&stand, get(&url), "upstream-protocol", Upstream, false).await;
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_given_up() {
    let stand = Stand::with("[limits]\nhead_seconds = 0.2", &[]).await;
    let url = stand.url("/raw/hang?q=secret-query");
    assert_fails(&stand, get(&url), "upstream-timeout", Upstream, false).await;
    stand.mock.wait_until(|stats| stats.hung_up == 1).await;
}

#[tokio::test]
async fn an_upstream_that_stalls_in_its_body_is_given_up() {
    let stalls = upstream::saying("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsecret", Then::Hold).await;
    // The bystander waits for the failure, so the silence must be its alone.
    let stand = Stand::with("[limits]\nstall_seconds = 1.0", &[&stalls]).await;
    let client = stand.client();
    let error = super::whole(&client, get(&stalls)).await.unwrap_err();
    super::assert_error(&error, "upstream-stalled", Upstream, false);
    stand.server.logged(&["outcome=\"upstream-stalled\""]).await;
    assert!(super::whole(&client, get(&stand.url("/raw/binary"))).await.is_ok());
    super::assert_clean(&stand.server.log());
}

#[tokio::test]
async fn an_upstream_whose_certificate_nobody_vouches_for_is_refused() {
    let plain = upstream::closed().await;
    let tls = Authority::new().terminate(plain, &[]).await;
    let url = format!("https://{tls}");
    let stand = Stand::with("", &[&url]).await;
    assert_fails(&stand, get(&format!("{url}/secret-path")), "upstream-tls", Upstream, true).await;
}

#[tokio::test]
async fn an_upstream_that_speaks_no_tls_is_named() {
    let plain = upstream::saying("HTTP/1.1 400 Bad Request\r\n\r\n", Then::Close).await.replace("http:", "https:");
    // Its answer comes at the first empty line of a TLS hello, if ever: it closes when the hello has no more to say.
    let stand = Stand::with("[limits]\nconnect_seconds = 0.3", &[&plain]).await;
    let error = assert_fails(&stand, get(&plain), "upstream-unreachable", Upstream, true).await;
    assert!(error.to_string().contains("no connection within 0.3 s"), "{error}");
}

#[tokio::test]
async fn an_answer_with_more_trailers_than_a_list_holds_fails_alone() {
    let trailers: Vec<_> = (0..300).map(|number| format!("t{number}: secret-value\r\n")).collect();
    let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n{}\r\n", trailers.concat());
    let url = upstream::saying(answer, Then::Hold).await;
    let stand = Stand::with("", &[&url]).await;
    assert_fails(&stand, get(&url), "head-too-large", Upstream, false).await;
}
