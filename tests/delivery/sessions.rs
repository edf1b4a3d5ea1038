//! Sessions: who may open one, and that requests share them.

use xllm_proxy::client::{Client, Fault};

use super::support::{
    LIMIT,
    mitm::Mitm,
    relay::Relay,
    request::{assert_error, call, chunk, get, whole},
    within,
};

#[tokio::test]
async fn requests_on_a_warm_session_need_no_other() {
    let relay = Relay::start().await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let client = Client::builder(&mitm.address(), relay.credential.clone()).unwrap().build();
    client.connect().await.unwrap();
    for _ in 0..50 {
        assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
    }
    assert_eq!(mitm.tapes().len(), 1);
}

#[tokio::test]
async fn a_session_that_was_lost_is_replaced() {
    let mut relay = Relay::start().await;
    let client = relay.client();
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
    relay.restart().await;
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
}

#[tokio::test]
async fn a_session_without_requests_ends_and_the_next_request_opens_another() {
    let relay = Relay::with("[limits]\nidle_seconds = 0.1").await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let client = relay.builder(&mitm.address()).build();
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
    // Ended by the server's GOAWAY, to which the client closes.
    mitm.left(1).await;
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
    assert_eq!(mitm.tapes().len(), 2);
}

#[tokio::test]
async fn a_busy_session_serves_while_another_is_opened_beside_it() {
    let relay = Relay::start().await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let client = relay.builder(&mitm.address()).sessions(2).build();
    let mut open = Vec::new();
    for _ in 0..65 {
        let url = relay.url("/raw/gated?gate=all&chunks=1&size=10");
        open.push(call(&client, get(&url)).await.unwrap().into_body());
    }
    within("the second session", async {
        while mitm.tapes().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
    relay.mock.release("all", 65);
    for mut body in open {
        assert_eq!(chunk(&mut body).await.unwrap().len(), 10);
        assert_eq!(chunk(&mut body).await, None);
    }
    assert_eq!(mitm.tapes().len(), 2, "and no third");
}

#[tokio::test]
async fn a_client_that_was_closed_says_so() {
    let relay = Relay::start().await;
    let client = relay.client();
    client.connect().await.unwrap();
    client.close(LIMIT).await;
    let error = whole(&client, get(&relay.url("/raw/binary"))).await.unwrap_err();
    assert_error(&error, "client-closed", Fault::Client, true);
}
