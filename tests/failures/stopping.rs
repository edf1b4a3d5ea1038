//! The server is told to stop while it works.

use http_body_util::BodyExt;
use tokio::net::TcpStream;
use xllm_proxy::{client::Fault, server::Stopped};

use super::support::{
    child::Stand,
    relay::Relay,
    request::{Bystander, assert_clean, assert_error, call, chunk, get, whole},
    within,
};

#[tokio::test]
async fn a_stream_under_way_finishes_and_new_requests_learn_why_there_are_none() {
    let mut stand = Stand::start().await;
    let (busy, other, idle) = (stand.client(), stand.client(), stand.client());
    let bystander = Bystander::start(&busy, &stand.mock, "bystander").await;
    let second = Bystander::start(&other, &stand.mock, "second").await;
    idle.connect().await.unwrap();
    stand.server.terminate();
    stand.server.logged(&["stopping"]).await;
    // What comes before the sessions have heard of it is still served.
    within("the word to the session", async { while whole(&busy, get(&stand.url("/raw/binary"))).await.is_ok() {} }).await;
    // The same client: its session says so, or the server does.
    for _ in 0..3 {
        let error = whole(&busy, get(&stand.url("/raw/binary"))).await.unwrap_err();
        assert_error(&error, "shutting-down", Fault::Proxy, true);
    }
    second.finish(&stand.mock).await;
    bystander.finish(&stand.mock).await;
    assert!(stand.server.exited().await);
    assert_clean(&stand.server.log());
    let error = whole(&busy, get(&stand.url("/raw/binary"))).await.unwrap_err();
    assert_error(&error, "proxy-unreachable", Fault::Network, true);
}

#[tokio::test]
async fn whoever_has_not_proved_a_key_does_not_hold_the_stop_up() {
    let mut stand = Stand::with("[limits]\nhello_seconds = 3600.0\ndrain_seconds = 3600.0", &[]).await;
    let _prober = TcpStream::connect(stand.server.address).await.unwrap();
    // A session behind it: the prober was accepted.
    stand.client().connect().await.unwrap();
    stand.server.terminate();
    assert!(stand.server.exited().await);
}

#[tokio::test]
async fn what_has_not_finished_in_time_is_cut_with_an_error() {
    let mut stand = Stand::with("[limits]\ndrain_seconds = 0.2", &[]).await;
    let mut body = call(&stand.client(), get(&stand.url("/raw/gated?gate=never&chunks=2"))).await.unwrap().into_body();
    stand.mock.release("never", 1);
    assert!(chunk(&mut body).await.is_some());
    stand.server.terminate();
    let error = within("the cut", body.frame()).await.unwrap().unwrap_err();
    assert_error(&error, "shutting-down", Fault::Proxy, false);
    assert!(error.retry_after().is_some());
    stand.server.logged(&["stopped before all requests were finished", "requests=1"]).await;
    assert_eq!(stand.server.exit_code().await, Some(3));
}

#[tokio::test]
async fn a_second_signal_cuts_at_once() {
    let mut stand = Stand::with("[limits]\ndrain_seconds = 3600.0", &[]).await;
    let mut body = call(&stand.client(), get(&stand.url("/raw/gated?gate=never&chunks=2"))).await.unwrap().into_body();
    stand.mock.release("never", 1);
    assert!(chunk(&mut body).await.is_some());
    stand.server.terminate();
    stand.server.logged(&["stopping"]).await;
    stand.server.terminate();
    assert_eq!(stand.server.exit_code().await, Some(3));
}

#[tokio::test]
async fn a_server_inside_a_program_leaves_nothing_running_when_it_has_stopped() {
    let mut relay = Relay::with("[limits]\ndrain_seconds = 0.2").await;
    let mut body = call(&relay.client(), get(&relay.url("/raw/gated?gate=never&chunks=2"))).await.unwrap().into_body();
    relay.mock.release("never", 1);
    assert!(chunk(&mut body).await.is_some());
    assert_eq!(relay.stop().await, Stopped::Cut(1));
    let error = within("the cut", body.frame()).await.unwrap().unwrap_err();
    assert_error(&error, "shutting-down", Fault::Proxy, false);
    within("the upstream's end", relay.mock.wait_until(|stats| stats.hung_up == 1)).await;
}

#[tokio::test]
async fn a_server_that_is_dropped_leaves_nothing_running() {
    // Without holds, its client gives up at once.
    let relay = Relay::with("[limits]\nhold_seconds = 0").await;
    let mut body = call(&relay.client(), get(&relay.url("/raw/gated?gate=never&chunks=2"))).await.unwrap().into_body();
    relay.mock.release("never", 1);
    assert!(chunk(&mut body).await.is_some());
    let mock = relay.cut();
    let error = within("the cut", body.frame()).await.unwrap().unwrap_err();
    assert_error(&error, "session-lost", Fault::Network, false);
    within("the upstream's end", mock.wait_until(|stats| stats.hung_up == 1)).await;
}
