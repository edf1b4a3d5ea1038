//! How long a request waits for its client, and what becomes of those that cannot go on.

use std::time::Duration;

use http_body_util::BodyExt;
use xllm_proxy::client::{Body, Client, Error, Fault};

use super::{
    again, client, streaming,
    support::{
        mitm::Mitm,
        relay::Relay,
        request::{assert_error, call, get},
        within,
    },
};

async fn failed(mut body: Body) -> Error {
    loop {
        match within("the end", body.frame()).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return error,
            None => panic!("it looks whole"),
        }
    }
}

async fn hung_up(relay: &Relay) {
    within("the upstream's end", relay.mock.wait_until(|stats| stats.hung_up == 1)).await;
}

/// A proxy with this configuration, and a client that has begun to stream from it when its path was cut.
async fn cut_off(config: &str) -> (Relay, Client, Body) {
    let relay = Relay::with(config).await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let (client, body) = streaming(&relay, &mitm).await;
    (relay, client, body)
}

#[tokio::test]
async fn the_upstream_of_one_that_nobody_comes_back_for_ends_with_the_hold() {
    let (relay, _client, body) = cut_off("[limits]\nhold_seconds = 1").await;
    hung_up(&relay).await;
    let error = failed(body).await;
    assert_error(&error, "session-lost", Fault::Network, false);
    assert!(error.to_string().contains("could not go on over another one: cannot reach the proxy"), "{error}");
}

#[tokio::test]
async fn by_the_policy_cancel_a_request_ends_with_its_connection() {
    let (relay, _client, body) = cut_off("[client.\"*\"]\non_cut = \"cancel\"").await;
    hung_up(&relay).await;
    assert_error(&failed(body).await, "session-lost", Fault::Network, false);
}

#[tokio::test]
async fn by_the_policy_finish_an_answer_is_read_to_its_end() {
    let (relay, _client, _body) = cut_off("[limits]\nhold_seconds = 1\n[client.\"*\"]\non_cut = \"finish\"").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(relay.mock.stats().hung_up, 0);
    relay.mock.release("g", 2);
    within("the upstream's end", relay.mock.wait_until(|stats| stats.completed == 1)).await;
}

#[tokio::test]
async fn a_proxy_that_was_restarted_has_nothing_and_the_caller_is_told_so() {
    let mut relay = Relay::with("[limits]\ndrain_seconds = 0.1").await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let address = mitm.address;
    let (_client, body) = streaming(&relay, &mitm).await;
    // Gone without a word, as in a power cut: a path that ends first hides the server's last words.
    drop(mitm);
    relay.restart().await;
    again(address, &relay.address).await;
    let error = failed(body).await;
    assert_error(&error, "session-lost", Fault::Network, false);
    assert!(error.to_string().contains("the proxy was restarted, or another one answers at its address"), "{error}");
}

#[tokio::test]
async fn a_server_that_stops_waits_for_nobody_who_might_come_back() {
    let (mut relay, _client, _body) = cut_off("").await;
    assert_eq!(within("the stop", relay.stop()).await, xllm_proxy::server::Stopped::Finished);
    hung_up(&relay).await;
}

#[tokio::test]
async fn of_a_key_that_is_revoked_nothing_is_held() {
    let (mut relay, _client, _body) = cut_off("").await;
    relay.change_keys(|keys| keys.remove("test"));
    hung_up(&relay).await;
}

#[tokio::test]
async fn what_is_held_in_all_is_bounded_and_the_oldest_gives_way() {
    let relay = Relay::with("[limits]\nhold_bytes = 100000").await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let client = client(&relay, &mitm);
    let _body = call(&client, get(&relay.url("/raw/bytes?n=1000000000"))).await.unwrap().into_body();
    drop(mitm);
    hung_up(&relay).await;
}
