//! A caller that leaves takes the upstream call along.

use tokio::io::AsyncWriteExt as _;

use crate::{
    caller::{BOTH, Connection, Http, chat, piece, pieces},
    support::{Start, World, soon},
};

/// Waits until the upstream has seen this many callers leave, and serves nobody any more.
async fn left(world: &World, callers: u64) {
    soon(world.mock.wait_until(|stats| stats.hung_up == callers && stats.open == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_head() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    raw.say("GET /anthropic/raw/hang HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    soon(world.mock.wait_until(|stats| stats.open == 1)).await;
    drop(raw);
    left(&world, 1).await;
    let mut connection = Connection::open(Http::Two, &gateway.address).await;
    let request = gateway.get("/anthropic/raw/hang").body(crate::caller::empty()).expect("valid");
    tokio::select! {
        _ = connection.send(request) => panic!("it hangs"),
        () = soon(world.mock.wait_until(|stats| stats.open == 1)) => {}
    }
    // The connection stays: it is the stream that is reset.
    left(&world, 2).await;
    drop(connection);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_body() {
    let world = World::new().await;
    let mut gateway = world.start(Start { args: &["-v"], ..Start::default() }).await;
    for (http, callers) in BOTH.into_iter().zip(1..) {
        let gate = format!("{http:?}");
        world.mock.release(&gate, 1);
        let mut connection = Connection::open(http, &gateway.address).await;
        let request = gateway.get(&format!("/anthropic/raw/gated?gate={gate}&chunks=9"));
        let request = request.body(crate::caller::empty()).expect("valid");
        let mut body = connection.send(request).await.expect("an answer").into_body();
        piece(&mut body).await;
        drop(body);
        left(&world, callers).await;
    }
    gateway.stderr.until(|said| said.matches("the caller left after 8 bytes").count() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_upstream_pours_out_its_answer() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for (http, callers) in BOTH.into_iter().zip(1..) {
        let mut body = gateway.ask(http, gateway.get("/anthropic/raw/bytes?n=1000000000")).await.into_body();
        piece(&mut body).await;
        drop(body);
        left(&world, callers).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn during_silence() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let script = serde_json::json!({"text": "one two", "gate": "never", "hang": "body"});
    for (http, callers) in BOTH.into_iter().zip(1..) {
        let answer = gateway.send(http, chat(&gateway, "/anthropic/v1/messages", true, &script)).await;
        assert_eq!(answer.status(), 200);
        drop(answer);
        left(&world, callers).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_an_upload() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for (head, callers) in ["content-length: 1000000\r\n\r\nbeginning", "transfer-encoding: chunked\r\n\r\n9\r\nbeginning\r\n"]
        .into_iter()
        .zip(1..)
    {
        let mut raw = gateway.raw().await;
        raw.say(format!("PUT /anthropic/raw/sink HTTP/1.1\r\nhost: localhost\r\n{head}")).await;
        soon(world.mock.wait_until(|stats| stats.open == 1)).await;
        drop(raw);
        left(&world, callers).await;
    }
    let (sender, upload) = pieces();
    sender.unbounded_send("beginning".into()).expect("it waits");
    let request = gateway.request(http::Method::PUT, "/anthropic/raw/sink").body(upload).expect("valid");
    let mut connection = Connection::open(Http::Two, &gateway.address).await;
    tokio::select! {
        _ = connection.send(request) => panic!("the upload has no end"),
        () = soon(world.mock.wait_until(|stats| stats.open == 1)) => {}
    }
    left(&world, 3).await;
    assert_eq!(world.mock.stats().uploaded, 0, "half an upload never looks whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_closes_its_half_has_left() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    raw.say("GET /anthropic/raw/hang HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    soon(world.mock.wait_until(|stats| stats.open == 1)).await;
    raw.0.get_mut().shutdown().await.expect("it listens");
    left(&world, 1).await;
    assert_eq!(raw.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_callers_that_leave_at_once_leave_nothing_behind() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut callers = Vec::new();
    for _ in 0..100 {
        let mut raw = gateway.raw().await;
        raw.say("GET /anthropic/raw/hang HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        callers.push(raw);
    }
    soon(world.mock.wait_until(|stats| stats.open == 100)).await;
    drop(callers);
    left(&world, 100).await;
    assert_eq!(gateway.fetch("/anthropic/raw/binary").await.status(), 200);
}
