//! Rules about methods and paths: what they refuse calls nobody.

use mock_llm::MockLlm;
use xllm_proxy::{
    client::Fault::Client,
    proto::{Code, Event},
};

use super::support::{
    child::Stand,
    raw::{self, Raw},
    request::{assert_clean, assert_error, request, whole},
};

#[tokio::test]
async fn what_the_rules_of_an_origin_do_not_allow_is_refused_and_not_called() {
    let mock = MockLlm::start(mock_llm::Config::default()).await.unwrap();
    let rules = format!("[[origin]]\nat = '{}'\nmethods = ['GET', 'POST']\npaths = ['/raw/', '/v1']\n", mock.url());
    let stand = Stand::with(&rules, &[]).await;
    let (client, mut raw) = (stand.client(), Raw::connect(&stand.server.address.to_string(), &stand.server.credential).await);
    for (method, path) in [
        ("DELETE", "/raw/binary"),
        ("HEAD", "/raw/binary"),
        ("OPTIONS", "/raw/binary"),
        ("GET", "/"),
        ("GET", "/raw"),
        ("GET", "/Raw/binary"),
        ("GET", "/v10/models"),
        ("GET", "/v1/../admin"),
        ("GET", "/v1/%2e%2e/admin"),
        ("GET", "/v1/.%2E/admin"),
        ("GET", "/v1/..;/admin"),
        ("GET", "/v1/..%2fadmin"),
        ("GET", "/v1/..%5Cadmin"),
        ("GET", "/v1//admin"),
        ("GET", "/v1/%252e%252e/admin"),
        ("GET", "//v1/models"),
        ("GET", "/secret-path?/v1/"),
    ] {
        let url = format!("{}{path}", mock.url());
        let error = whole(&client, request(method, &url, "")).await.unwrap_err();
        assert_error(&error, "not-allowed", Client, true);
        assert!(error.to_string().contains(&mock.url()), "{error}");
        // A client that does not go by the rules hears the same.
        raw.open(&raw::request(method, &url, &[]));
        let event = raw.event().await;
        assert!(matches!(&event, Event::Failed(_, notice) if notice.code == Code::NotAllowed && notice.retry), "{event:?}");
    }
    stand.server.logged(&["exchange", "outcome=\"not-allowed\""]).await;
    assert_eq!(mock.stats().requests, 0);
    for path in ["/raw/binary", "/v1/models"] {
        whole(&client, request("GET", &format!("{}{path}", mock.url()), "")).await.unwrap();
    }
    assert_eq!(mock.stats().requests, 2);
    assert_clean(&stand.server.log());
}
