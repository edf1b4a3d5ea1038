//! Who is a caller.

use crate::{
    caller::{header, json},
    support::World,
};

/// The status for a request with these fields.
async fn status(world: &World, fields: &[&[&str]]) -> Vec<u16> {
    let gateway = world.gateway().await;
    let mut statuses = Vec::new();
    for fields in fields {
        let mut raw = gateway.raw().await;
        raw.say(format!("POST /anthropic/raw/status/200 HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n"))).await;
        let head = raw.head().await;
        assert_eq!(head.get("x-xllm-error").is_some(), head.status() == 403, "{fields:?}");
        statuses.push(head.status());
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_web_are_no_callers() {
    let world = World::new().await;
    let refused: [&[&str]; 11] = [
        &["host: evil.example:8787"],
        &["host: 127.0.0.1.evil.example"],
        &["host: localhost@evil.example"],
        &["x-no: host"],
        &["host: localhost", "origin: https://evil.example"],
        &["host: localhost", "origin: null"],
        &["host: localhost", "origin: http://localhost.evil.example"],
        &["host: localhost", "origin: http://localhost", "origin: https://evil.example"],
        &["host: localhost", "origin: "],
        &["host: localhost", "sec-fetch-site: cross-site"],
        &["host: localhost", "origin: https://evil.example", "sec-fetch-site: cross-site"],
    ];
    assert_eq!(status(&world, &refused).await, [403; 11]);
    assert!(world.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_this_machine_are_callers() {
    let world = World::new().await;
    let allowed: [&[&str]; 6] = [
        &["host: 127.0.0.1:1234"],
        &["host: [::1]"],
        &["host: LOCALHOST"],
        &["host: localhost", "origin: http://localhost:3000", "sec-fetch-site: cross-site"],
        &["host: localhost", "origin: vscode-file://vscode-app"],
        &["host: localhost", "sec-fetch-site: none"],
    ];
    assert_eq!(status(&world, &allowed).await, [200; 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_preflight_gets_no_leave() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let request = gateway.request(http::Method::OPTIONS, "/anthropic/v1/messages").header("origin", "https://evil.example");
    let answer = gateway.ask(crate::caller::Http::One, request.header("access-control-request-method", "POST")).await;
    let answer = crate::caller::whole(answer).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "access-control-allow-origin")), (403, None));
    assert_eq!(json(answer.body())["error"]["type"], "permission_error");
    assert!(world.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_page_is_not_for_the_web_either() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let mut raw = gateway.raw().await;
    raw.say("GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    assert_eq!(raw.head().await.status(), 403);
}
