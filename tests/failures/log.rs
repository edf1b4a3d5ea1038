//! The server's log is not read, or the server ends while it writes there.

use std::time::Duration;

use xllm_proxy::client::Client;

use super::support::{
    child::Stand,
    request::{Bystander, get, whole},
    within,
};

/// Makes the server log far more than a pipe takes and than may wait: the name of a host is in its line.
async fn flood(client: &Client) {
    let url = format!("https://{}.example/", "x".repeat(8000));
    for _ in 0..300 {
        assert_eq!(whole(client, get(&url)).await.expect_err("it is not listed").code(), "origin-not-allowed");
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_stream_and_says_later_what_is_missing() {
    let stand = Stand::start().await;
    let client = stand.client();
    let bystander = Bystander::start(&client, &stand.mock, "bystander").await;
    let unread = stand.server.unread().await;
    flood(&client).await;
    bystander.finish(&stand.mock).await;
    drop(unread);
    let line = stand.server.logged(&["lines are missing here"]).await;
    let (_, lost) = line.split_once("lost_in_all=").expect("a number");
    assert!(lost.parse::<u64>().is_ok_and(|lost| lost > 0), "{line}");
    // The gap has an end.
    whole(&client, get(&stand.url("/raw/binary"))).await.expect("an answer");
    stand.server.logged(&["exchange", "bytes=256", "complete"]).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_does_not_hold_the_stop_up() {
    let mut stand = Stand::start().await;
    let client = stand.client();
    let _unread = stand.server.unread().await;
    flood(&client).await;
    stand.server.terminate();
    within("the exit", async {
        while stand.server.is_up() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_last_line_is_written_also_when_the_server_is_told_to_stop_at_once() {
    let mut stand = Stand::start().await;
    let client = stand.client();
    let _bystander = Bystander::start(&client, &stand.mock, "bystander").await;
    stand.server.terminate();
    stand.server.logged(&["stopping"]).await;
    stand.server.terminate();
    assert!(!stand.server.exited().await);
    assert!(stand.server.log().contains("stopped at once, at the second request"), "{}", stand.server.log());
}
