//! A caller that goes away stops the upstream call, wherever it is, and nothing else.

use http_body::Frame;
use xllm_proxy::client::Client;

use super::support::{
    relay::Relay,
    request::{Bystander, Request, call, channel, chunk, endless, get, streaming, whole},
    within,
};

async fn hung_up(relay: &Relay) {
    within("the upstream's end", relay.mock.wait_until(|stats| stats.hung_up == 1)).await;
}

/// Calls, and goes away when the upstream has the request.
async fn leave_before_the_head(relay: &Relay, client: &Client, request: Request) {
    let before = relay.mock.stats().requests;
    let called = within("the call", relay.mock.wait_until(|stats| stats.requests > before));
    tokio::select! {
        outcome = call(client, request) => panic!("{outcome:?}"),
        () = called => {}
    }
}

#[tokio::test]
async fn dropping_the_body_stops_the_upstream() {
    let relay = Relay::start().await;
    let client = relay.client();
    let bystander = Bystander::start(&client, &relay.mock, "bystander").await;
    let mut body = call(&client, get(&relay.url("/raw/gated?gate=g&chunks=100"))).await.unwrap().into_body();
    relay.mock.release("g", 1);
    assert!(chunk(&mut body).await.is_some());
    drop(body);
    hung_up(&relay).await;
    bystander.finish(&relay.mock).await;
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
}

#[tokio::test]
async fn dropping_the_body_in_full_flow_stops_the_upstream() {
    let relay = Relay::start().await;
    let client = relay.client();
    let mut body = call(&client, get(&relay.url("/raw/bytes?n=1000000000000"))).await.unwrap().into_body();
    for _ in 0..100 {
        chunk(&mut body).await.unwrap();
    }
    drop(body);
    hung_up(&relay).await;
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
}

#[tokio::test]
async fn leaving_before_the_head_stops_the_upstream() {
    let relay = Relay::start().await;
    let client = relay.client();
    let bystander = Bystander::start(&client, &relay.mock, "bystander").await;
    leave_before_the_head(&relay, &client, get(&relay.url("/raw/hang"))).await;
    hung_up(&relay).await;
    bystander.finish(&relay.mock).await;
}

#[tokio::test]
async fn leaving_in_the_middle_of_an_upload_stops_the_upstream() {
    let relay = Relay::start().await;
    let client = relay.client();
    let bystander = Bystander::start(&client, &relay.mock, "bystander").await;
    let (pieces, body) = channel();
    pieces.unbounded_send(Ok(Frame::data("some".into()))).unwrap();
    leave_before_the_head(&relay, &client, streaming("POST", &relay.url("/raw/sink"), body)).await;
    hung_up(&relay).await;
    assert!(pieces.is_closed());
    bystander.finish(&relay.mock).await;
}

#[tokio::test]
async fn leaving_an_upload_that_its_upstream_does_not_read_stops_it() {
    let relay = Relay::start().await;
    let client = relay.client();
    let bystander = Bystander::start(&client, &relay.mock, "bystander").await;
    let request = streaming("POST", &relay.url("/raw/sink?slow_ms=3600000"), endless(10_000));
    leave_before_the_head(&relay, &client, request).await;
    // The mock sleeps in the middle of the body and notices nothing: what can be seen is that the client goes on.
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
    bystander.finish(&relay.mock).await;
}

#[tokio::test]
async fn leaving_before_the_exchange_could_be_opened_costs_nothing() {
    let relay = Relay::with("[limits]\nexchanges = 1").await;
    let client = relay.client();
    let bystander = Bystander::start(&client, &relay.mock, "bystander").await;
    for _ in 0..10 {
        let url = relay.url("/raw/binary");
        let mut waiting = std::pin::pin!(call(&client, get(&url)));
        assert!(futures::poll!(&mut waiting).is_pending());
    }
    bystander.finish(&relay.mock).await;
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
    assert_eq!(relay.mock.stats().requests, 2);
}

#[tokio::test]
async fn a_client_that_vanishes_stops_all_its_upstreams() {
    let relay = Relay::start().await;
    let client = relay.client();
    let mut bodies = Vec::new();
    for _ in 0..10 {
        bodies.push(call(&client, get(&relay.url("/raw/gated?gate=g&chunks=100"))).await.unwrap().into_body());
    }
    drop((client, bodies));
    within("the upstreams' end", relay.mock.wait_until(|stats| stats.hung_up == 10)).await;
}
