//! The gateway's way to the proxy.

use crate::{
    caller::{BOTH, Connection, Http},
    support::{SESSIONS, Start, Wire, World, soon},
};

#[tokio::test(flavor = "multi_thread")]
async fn requests_one_after_the_other_share_one_session() {
    let world = World::new().await;
    let wire = Wire::to(&world.relay.address).await;
    let gateway = world.start(Start { proxy: Some(&wire.address), ..Start::default() }).await;
    for _ in 0..10 {
        for http in BOTH {
            assert_eq!(gateway.ask(http, gateway.get("/anthropic/raw/binary")).await.status(), 200);
        }
    }
    assert_eq!(wire.opened(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_at_once_take_two_sessions_at_most() {
    let world = World::new().await;
    let wire = Wire::to(&world.relay.address).await;
    let gateway = world.start(Start { proxy: Some(&wire.address), ..Start::default() }).await;
    let mut callers = Vec::new();
    for _ in 0..100 {
        let mut raw = gateway.raw().await;
        raw.say("GET /anthropic/raw/gated?gate=g HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        callers.push(raw);
    }
    soon(world.mock.wait_until(|stats| stats.open == 100)).await;
    world.mock.release("g", 100);
    for mut caller in callers {
        assert_eq!(caller.head().await.status(), 200);
        assert_eq!(caller.chunk().await.len(), 8);
        assert_eq!(caller.chunk().await, b"");
    }
    assert!(wire.opened() <= 2, "{} sessions", wire.opened());
    assert_eq!(world.mock.hung_up(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_gateways_share_one_server() {
    let world = World::new().await;
    let gateways = [world.gateway().await, world.gateway().await, world.gateway().await];
    for round in 0..3 {
        for gateway in &gateways {
            assert_eq!(gateway.fetch("/anthropic/raw/binary").await.status(), 200, "{round}");
        }
    }
    let [first, rest @ ..] = gateways;
    drop(first);
    for gateway in &rest {
        assert_eq!(gateway.fetch("/anthropic/raw/binary").await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_server_the_next_request_works() {
    let mut world = World::new().await;
    let mut gateway = world.start(Start { env: &SESSIONS, ..Start::default() }).await;
    let mut connection = Connection::open(Http::One, &gateway.address).await;
    for (abrupt, times) in [false, true, false].into_iter().zip(1..) {
        let request = gateway.get("/anthropic/raw/binary").body(crate::caller::empty()).expect("valid");
        let answer = connection.send(request).await.expect("an answer");
        assert_eq!(crate::caller::whole(answer).await.status(), 200);
        let address = world.relay.address.clone();
        if abrupt {
            world.relay.kill().await;
        } else {
            world.relay.stop().await;
        }
        gateway.stderr.until(|said| said.matches("session closed").count() == times).await;
        world.relay.run(&address).await;
    }
    assert_eq!(gateway.fetch("/anthropic/raw/binary").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_cut_of_the_network_the_next_request_works() {
    // Without holds: requests end with their connection.
    let world = World::with("[limits]\nhold_seconds = 0", &[]).await;
    let wire = Wire::to(&world.relay.address).await;
    let mut gateway = world.start(Start { proxy: Some(&wire.address), args: &["-v"], ..Start::default() }).await;
    for times in 1..4 {
        let hanging = gateway.ask(Http::One, gateway.get("/anthropic/raw/hang"));
        let (answer, ()) = tokio::join!(hanging, async {
            soon(world.mock.wait_until(|stats| stats.open == 1)).await;
            wire.cut();
        });
        assert_eq!(answer.status(), 502);
        assert_eq!(crate::caller::header(&answer, "x-xllm-retry"), Some("false"), "it was called");
        gateway.stderr.until(|said| said.matches("502, session-lost").count() == times).await;
        assert_eq!(gateway.fetch("/anthropic/raw/binary").await.status(), 200);
        soon(world.mock.wait_until(|stats| stats.open == 0)).await;
    }
}
