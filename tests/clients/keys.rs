//! Keys that are revoked, replaced or expire while sessions are open.

use std::time::{Duration, SystemTime};

use http_body_util::BodyExt;
use xllm_proxy::client::{Client, Fault};

use super::support::{
    relay::Relay,
    request::{Bystander, assert_error, call, chunk, get, whole},
    within,
};

fn client(relay: &Relay, credential: xllm_proxy::proto::Credential) -> Client {
    Client::builder(&relay.address, credential).unwrap().build()
}

#[tokio::test]
async fn a_revoked_client_is_cut_at_once_and_the_others_go_on() {
    let mut relay = Relay::start().await;
    let credential = relay.add("guest");
    let (good, bad) = (relay.client(), client(&relay, credential));
    let bystander = Bystander::start(&good, &relay.mock, "bystander").await;
    let mut body = call(&bad, get(&relay.url("/raw/gated?gate=never&chunks=2"))).await.unwrap().into_body();
    relay.mock.release("never", 1);
    assert!(chunk(&mut body).await.is_some());
    relay.change_keys(|keys| keys.remove("guest"));
    let error = within("the cut", body.frame()).await.unwrap().unwrap_err();
    assert_error(&error, "key-revoked", Fault::Client, false);
    within("the upstream's end", relay.mock.wait_until(|stats| stats.hung_up == 1)).await;
    let error = whole(&bad, get(&relay.url("/raw/binary"))).await.unwrap_err();
    assert_error(&error, "key-refused", Fault::Client, true);
    bystander.finish(&relay.mock).await;
}

#[tokio::test]
async fn a_revoked_client_that_reads_nothing_is_cut_as_well() {
    let mut relay = Relay::start().await;
    let credential = relay.add("guest");
    let bad = client(&relay, credential);
    // More than the credit and all buffers hold, which nobody reads.
    let body = call(&bad, get(&relay.url("/raw/bytes?n=1073741824"))).await.unwrap().into_body();
    relay.change_keys(|keys| keys.remove("guest"));
    within("the upstream's end", relay.mock.wait_until(|stats| stats.hung_up == 1)).await;
    drop(body);
}

#[tokio::test]
async fn an_expired_key_opens_no_session_and_takes_no_request_but_what_is_under_way_finishes() {
    let mut relay = Relay::start().await;
    let soon = SystemTime::now() + Duration::from_secs(1);
    let credential = relay.change_keys(|keys| keys.add("guest", Some(soon))).unwrap();
    let guest = client(&relay, credential);
    let under_way = Bystander::start(&guest, &relay.mock, "under-way").await;
    let refused = async {
        loop {
            if let Err(error) = whole(&guest, get(&relay.url("/raw/binary"))).await {
                break error;
            }
        }
    };
    let error = within("the end of the key", refused).await;
    assert!(["key-revoked", "key-refused"].contains(&error.code()) && error.retry_safe(), "{error}");
    under_way.finish(&relay.mock).await;
    let error = whole(&guest, get(&relay.url("/raw/binary"))).await.unwrap_err();
    assert_error(&error, "key-refused", Fault::Client, true);
    assert!(whole(&relay.client(), get(&relay.url("/raw/binary"))).await.is_ok());
}
