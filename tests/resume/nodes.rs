//! Several servers behind one address: a request that was cut goes on at its own, where there is a way to it.

use std::time::Duration;

use http_body_util::BodyExt as _;
use xllm_proxy::{
    client::{Body, Client},
    proto::Fault,
};

use super::{
    again, rest,
    support::{
        self,
        mitm::Mitm,
        relay::Relay,
        request::{assert_error, call, chunk, get, whole},
    },
};

const URL: &str = "/raw/gated?gate=g&chunks=3&size=100";

/// A stream of which one piece of three has come from the server `a`; then the address of both leads to `b`.
async fn moved(way: bool) -> (Relay, Relay, Client, Body) {
    let a = Relay::with("node = 'a'").await;
    let b = a.replica("node = 'b'").await;
    let balancer = Mitm::listen(a.address.parse().unwrap()).await;
    let mut builder = a
        .builder(&balancer.address())
        .keep_alive(Duration::from_secs(2))
        .patience(support::LIMIT)
        .node("b", &b.address)
        .unwrap();
    if way {
        builder = builder.node("a", &a.address).unwrap();
    }
    let client = builder.build();
    let mut body = call(&client, get(&a.url(URL))).await.unwrap().into_body();
    a.mock.release("g", 1);
    assert!(chunk(&mut body).await.is_some());
    let address = balancer.address;
    drop(balancer);
    again(address, &b.address).await;
    a.mock.release("g", 2);
    (a, b, client, body)
}

#[tokio::test]
async fn a_request_goes_on_at_its_own_server_and_new_ones_where_the_address_leads() {
    let (a, b, client, body) = moved(true).await;
    assert_eq!(rest(body).await, [1, 2]);
    assert_eq!(a.mock.stats().requests, 1);
    // The way to `a` is for what `a` holds; with it, `b` has not been asked for anything.
    drop(a);
    assert_eq!(whole(&client, get(&b.url("/raw/bytes?n=10"))).await.unwrap().body().len(), 10);
}

#[tokio::test]
async fn without_a_way_to_its_server_a_request_fails_and_says_what_is_missing() {
    let (a, _b, _client, mut body) = moved(false).await;
    let error = support::within("an end", body.frame()).await.expect("an end").expect_err("it cannot go on");
    // Its upstream was called.
    assert_error(&error, "session-lost", Fault::Network, false);
    let said = error.to_string();
    assert!(said.contains("`a`") && said.contains("a route to each proxy can be configured"), "{said}");
    assert_eq!(a.mock.stats().requests, 1, "and not once more");
}
