//! Signs of life in silent streams.

use crate::{
    caller::{BOTH, Http, Raw, piece, until_failure},
    support::{Gateway, Start, World},
    upstream::{LAST, STREAM, Upstream, chunk},
};

const PING: &str = ": ping\n";

async fn gateway(world: &World, upstream: &Upstream) -> Gateway {
    world.start(Start { args: &["--heartbeat", "1"], config: &upstream.config(), ..Start::default() }).await
}

/// An answer of which this has come.
async fn begun(gateway: &Gateway, upstream: &Upstream, http: Http, said: &str) -> (Raw, hyper::body::Incoming) {
    let request = gateway.get("/exact/v1/messages");
    let (answer, raw) = tokio::join!(gateway.ask(http, request), async {
        let mut raw = upstream.called().await;
        raw.say(said).await;
        raw
    });
    (raw, answer.into_body())
}

/// Waits for so many pings, and nothing else.
async fn pings(body: &mut hyper::body::Incoming, count: usize) {
    let mut seen = String::new();
    while seen.len() < count * PING.len() {
        seen += std::str::from_utf8(&piece(body).await).expect("UTF-8");
    }
    assert_eq!(seen, PING.repeat(seen.len() / PING.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_come_between_events_and_without_them_the_stream_is_the_upstreams() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = gateway(&world, &upstream).await;
    for http in BOTH {
        let (mut raw, mut body) = begun(&gateway, &upstream, http, STREAM).await;
        pings(&mut body, 1).await;
        raw.say(chunk("event: a\ndata: 1\n\n")).await;
        let mut seen = String::new();
        while seen.matches(PING).count() < 2 {
            seen += std::str::from_utf8(&piece(&mut body).await).expect("UTF-8");
        }
        raw.say(chunk("data: 2\r\n\r\n") + LAST).await;
        let (rest, failed) = until_failure(body).await;
        seen += std::str::from_utf8(&rest).expect("UTF-8");
        assert_eq!((seen.replace(PING, ""), failed), ("event: a\ndata: 1\n\ndata: 2\r\n\r\n".to_owned(), false), "{http:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_inside_an_event_nor_into_what_is_no_open_stream() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = gateway(&world, &upstream).await;
    // What is silent beside this one is silent for long enough.
    let (_clock, mut clock) = begun(&gateway, &upstream, Http::One, STREAM).await;
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut silent = Vec::new();
    for (head, text) in [
        (STREAM.to_owned(), "data: 1"),
        (STREAM.to_owned(), "data: 1\n"),
        (STREAM.to_owned(), "data: 1\n\ndata: 2\r\n\r"),
        (head("content-type: text/event-stream\r\ncontent-encoding: gzip"), "data: 1\n\n"),
        (head("content-type: application/json"), "{}\n\n"),
        (head("content-type: text/event-streams"), "\n\n"),
        (head("x-no: type"), "\n\n"),
    ] {
        for http in BOTH {
            let (raw, body) = begun(&gateway, &upstream, http, &(head.clone() + &chunk(text))).await;
            silent.push((raw, body, text));
        }
    }
    pings(&mut clock, 3).await;
    for (mut raw, body, text) in silent {
        raw.say(chunk("\n\nend") + LAST).await;
        let expected = format!("{text}\n\nend");
        let (bytes, failed) = until_failure(body).await;
        assert_eq!((String::from_utf8_lossy(&bytes).as_ref(), failed), (&*expected, false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_stop_when_the_upstream_fails() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = gateway(&world, &upstream).await;
    for http in BOTH {
        let (raw, mut body) = begun(&gateway, &upstream, http, &(STREAM.to_owned() + &chunk("data: 1\n\n"))).await;
        assert_eq!(piece(&mut body).await, "data: 1\n\n");
        pings(&mut body, 2).await;
        raw.close().await;
        let (bytes, failed) = until_failure(body).await;
        let text = String::from_utf8_lossy(&bytes).replace(PING, "");
        assert!(failed && text.starts_with("event: error\ndata: {") && text.ends_with("}\n\n"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_between_them_ends_the_call() {
    let world = World::new().await;
    let gateway = world.start(Start { args: &["--heartbeat", "1"], ..Start::default() }).await;
    let script = serde_json::json!({"text": "one two", "gate": "never"});
    for (http, callers) in BOTH.into_iter().zip(1..) {
        let answer = gateway.send(http, crate::caller::chat(&gateway, "/anthropic/v1/messages", true, &script)).await;
        let mut body = answer.into_body();
        while !piece(&mut body).await.ends_with(PING.as_bytes()) {}
        drop(body);
        crate::support::soon(world.mock.wait_until(|stats| stats.hung_up == callers)).await;
    }
}
