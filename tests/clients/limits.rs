//! What one client may take up, and the server in all.

use std::time::Duration;

use xllm_proxy::{
    client::{Client, Fault},
    proto::{Profile, frame::Mode},
};

use super::support::{
    relay::Relay,
    request::{Bystander, assert_error, call, chunk, get, whole},
    within,
};

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_ask_again_and_what_streams_goes_on() {
    let relay = Relay::with("[client.'*']\nrequests_per_minute = 3").await;
    let client = relay.client();
    let bystander = Bystander::start(&client, &relay.mock, "bystander").await;
    for _ in 0..2 {
        assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
    }
    let error = whole(&client, get(&relay.url("/raw/binary"))).await.unwrap_err();
    assert_error(&error, "rate-limited", Fault::Client, true);
    let after = error.retry_after().expect("it is known");
    assert!(after > Duration::ZERO && after <= Duration::from_secs(21), "{after:?}");
    bystander.finish(&relay.mock).await;
}

#[tokio::test]
async fn a_client_has_no_more_requests_at_once_than_it_may_over_all_its_sessions() {
    let mut relay = Relay::with("[client.test]\nexchanges = 2").await;
    let other = relay.add("other");
    let (first, second) = (relay.client(), relay.client());
    let one = Bystander::start(&first, &relay.mock, "one").await;
    let two = Bystander::start(&second, &relay.mock, "two").await;
    let error = whole(&first, get(&relay.url("/raw/binary"))).await.unwrap_err();
    assert_error(&error, "too-many-exchanges", Fault::Client, true);
    assert!(error.retry_after().is_some());
    let other = Client::builder(&relay.address, other).unwrap().build();
    assert!(whole(&other, get(&relay.url("/raw/binary"))).await.is_ok(), "another client is not concerned");
    one.finish(&relay.mock).await;
    let later = async { while whole(&first, get(&relay.url("/raw/binary"))).await.is_err() {} };
    within("a place", later).await;
    two.finish(&relay.mock).await;
}

#[tokio::test]
async fn a_client_has_no_more_sessions_than_it_may_and_the_server_no_more_in_all() {
    for (config, code, fault) in
        [("[client.'*']\nsessions = 1", "rate-limited", Fault::Client), ("[limits]\nsessions = 1", "overloaded", Fault::Proxy)]
    {
        let relay = Relay::with(config).await;
        let (first, second) = (relay.client(), relay.client());
        let bystander = Bystander::start(&first, &relay.mock, "bystander").await;
        for _ in 0..2 {
            let error = whole(&second, get(&relay.url("/raw/binary"))).await.unwrap_err();
            assert_error(&error, code, fault, true);
            assert!(error.retry_after().is_some(), "{error}");
        }
        bystander.finish(&relay.mock).await;
        first.close(Duration::from_secs(10)).await;
        let later = async { while whole(&second, get(&relay.url("/raw/binary"))).await.is_err() {} };
        within("a place", later).await;
    }
}

#[tokio::test]
async fn beyond_its_memory_limit_the_server_takes_no_request_and_goes_on_with_those_it_has() {
    let relay = Relay::with("[limits]\nmemory_bytes = 20000").await;
    let (client, other) = (relay.client(), relay.client());
    let bystander = Bystander::start(&client, &relay.mock, "bystander").await;
    // An answer that nobody reads: what the credit allows has gone out, and the queue behind it is full.
    let unread = call(&client, get(&relay.url("/raw/bytes?n=268435456"))).await.unwrap();
    let refused = async {
        loop {
            if let Err(error) = whole(&other, get(&relay.url("/raw/binary"))).await {
                break error;
            }
        }
    };
    let error = within("the limit", refused).await;
    assert_error(&error, "overloaded", Fault::Proxy, true);
    assert!(error.retry_after().is_some());
    bystander.finish(&relay.mock).await;
    drop(unread);
    let later = async { while whole(&other, get(&relay.url("/raw/binary"))).await.is_err() {} };
    within("room", later).await;
}

#[tokio::test]
async fn an_answer_that_is_gathered_counts_as_memory() {
    let relay = Relay::with("[limits]\nmemory_bytes = 20000").await;
    let mut request = get(&relay.url("/raw/bytes?n=1000000"));
    request.extensions_mut().insert(Mode::Buffered);
    let error = call(&relay.client(), request).await.unwrap_err();
    assert_error(&error, "overloaded", Fault::Proxy, false);
}

#[tokio::test]
async fn a_client_may_have_a_profile_demanded_and_fewer_origins_than_the_server() {
    let mut relay = Relay::with_allowed("[client.strict]\norigins = ['https://llm.example']\nprofile = 'pad'", &[]).await;
    let strict = relay.add("strict");
    let strict = Client::builder(&relay.address, strict).unwrap().profile(Profile::Off).build();
    assert_eq!(strict.connect().await.unwrap().profile, Profile::Pad);
    let error = whole(&strict, get(&relay.url("/raw/binary"))).await.unwrap_err();
    assert_error(&error, "origin-not-allowed", Fault::Client, true);
    let mut body = call(&relay.client(), get(&relay.url("/raw/binary"))).await.unwrap().into_body();
    assert!(chunk(&mut body).await.is_some());
}
