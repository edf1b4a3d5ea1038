//! Connections to upstreams serve one call after the other.

use mock_llm::MockLlm;
use xllm_proxy::client::Client;

use super::support::{
    relay::Relay,
    request::{get, whole},
    secure::https_before,
    upstream::serving,
    within,
};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
const KNOWN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

async fn call_in_turn(client: &Client, url: &str, count: usize) {
    for call in 1..=count {
        assert_eq!(whole(client, get(url)).await.unwrap().body(), "hi", "{url}: {call} of {count}");
    }
}

#[tokio::test]
async fn calls_one_after_the_other_go_over_one_connection() {
    for answer in [CHUNKED, KNOWN] {
        let (url, connections) = serving(answer, usize::MAX).await;
        let relay = Relay::allowing(&url).await;
        let client = relay.client();
        call_in_turn(&client, &url, 20).await;
        assert_eq!(connections.borrow().opened, 1, "{answer}");
    }
}

#[tokio::test]
async fn calls_by_https_one_after_the_other_go_over_one_connection() {
    for answer in [CHUNKED, KNOWN] {
        let (plain, connections) = serving(answer, usize::MAX).await;
        let plain = plain.strip_prefix("http://").unwrap().parse().unwrap();
        let mock = MockLlm::start(mock_llm::Config::default()).await.unwrap();
        let (stand, url) = https_before(plain, mock, &["http/1.1"], "").await;
        let client = stand.client();
        call_in_turn(&client, &url, 20).await;
        assert_eq!(connections.borrow().opened, 1, "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_the_upstream_closes_between_calls_is_replaced() {
    for answer in [CHUNKED, KNOWN] {
        let (url, mut connections) = serving(answer, 3).await;
        let relay = Relay::allowing(&url).await;
        let client = relay.client();
        for round in 1..=3 {
            call_in_turn(&client, &url, 3).await;
            within("the close", connections.wait_for(|connections| connections.closed == round)).await.unwrap();
        }
        assert_eq!(connections.borrow().opened, 3, "{answer}");
    }
}
