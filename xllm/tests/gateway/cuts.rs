//! Failures in the middle of an answer: what came before arrives, and nothing looks whole.

use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, BufReader},
    net::TcpSocket,
};

use crate::{
    caller::{BOTH, Http, Raw, chat, dechunked, json as parse, piece, until_failure},
    support::{Gateway, Start, World, soon},
    upstream::{STREAM, Upstream, chunk},
};

/// A request for a path, on a connection whose end can be seen.
async fn asked(gateway: &Gateway, path: &str) -> Raw {
    let mut raw = gateway.raw().await;
    raw.say(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_known_length_ends_short() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for total in [2, 200_000] {
        let path = format!("/anthropic/raw/short?n={total}");
        let mut raw = asked(&gateway, &path).await;
        assert_eq!(raw.head().await.get("content-length"), Some(&*total.to_string()));
        assert_eq!(raw.rest().await.len(), total / 2, "all that came before");
        for http in BOTH {
            let (bytes, failed) = until_failure(gateway.ask(http, gateway.get(&path)).await.into_body()).await;
            assert_eq!((bytes.len(), failed), (total / 2, true), "{http:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_ends_without_its_last() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = world.gateway().await;
    let path = format!("/x/http/{}/a", upstream.host);
    let said = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{}",
        chunk("{\"a\":1}")
    );
    let mut raw = asked(&gateway, &path).await;
    upstream.says(&said).await;
    raw.head().await;
    assert_eq!(dechunked(&raw.rest().await), (b"{\"a\":1}".to_vec(), false));
    for http in BOTH {
        let (answer, ()) = tokio::join!(gateway.ask(http, gateway.get(&path)), upstream.says(&said));
        assert_eq!(until_failure(answer.into_body()).await, (b"{\"a\":1}".to_vec(), true), "{http:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_upstreams_close_ends_is_whole() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = world.gateway().await;
    for http in BOTH {
        let request = gateway.get(&format!("/x/http/{}/a", upstream.host));
        let (answer, ()) = tokio::join!(gateway.ask(http, request), upstream.says("HTTP/1.1 200 OK\r\n\r\nall of it"));
        assert_eq!(until_failure(answer.into_body()).await, (b"all of it".to_vec(), false), "{http:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_between_two_events_says_so_in_its_providers_form() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let script = json!({"text": "one two three four", "drop_after": 2});
    for http in BOTH {
        let answer = gateway.send(http, chat(&gateway, "/anthropic/v1/messages", true, &script)).await;
        let (bytes, failed) = until_failure(answer.into_body()).await;
        let text = String::from_utf8(bytes).expect("UTF-8");
        let last = text.trim_end().rsplit("\n\n").next().expect("an event");
        let data = last.strip_prefix("event: error\ndata: ").unwrap_or_else(|| panic!("{text}"));
        assert_eq!((parse(data.as_bytes())["type"].as_str(), failed), (Some("error"), true), "{http:?}");
        assert!(text.contains("one") && text.contains("two") && text.ends_with("\n\n"));
        let answer = gateway.send(http, chat(&gateway, "/openai/v1/chat/completions", true, &script)).await;
        let (bytes, failed) = until_failure(answer.into_body()).await;
        let text = String::from_utf8(bytes).expect("UTF-8");
        let last = text.trim_end().rsplit("\n\n").next().and_then(|event| event.strip_prefix("data: ")).expect("an event");
        assert_eq!((parse(last.as_bytes())["error"]["code"].as_str(), failed), (Some("upstream-closed"), true));
        assert!(!text.contains("[DONE]"));
    }
    assert_eq!(world.mock.hung_up(), 0, "the cuts are scripted");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_event_stays_half_an_event() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = world.start(Start { config: &upstream.config(), ..Start::default() }).await;
    for half in ["event: a", "data: {\"x\"", "data: {}\n", "data: a\n\ndata: {}\r\n", "data: a\n\n:"] {
        for http in BOTH {
            let said = format!("{STREAM}{}", chunk(half));
            let (answer, ()) = tokio::join!(gateway.ask(http, gateway.get("/exact/v1/messages")), upstream.says(said));
            assert_eq!(until_failure(answer.into_body()).await, (half.as_bytes().to_vec(), true), "{http:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_known_length_is_not_filled_up_with_the_error() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = world.start(Start { config: &upstream.config(), args: &["--heartbeat", "1"], ..Start::default() }).await;
    for http in BOTH {
        let said = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 14\r\n\r\ndata: a\n\n";
        let (answer, ()) = tokio::join!(gateway.ask(http, gateway.get("/exact/v1/messages")), upstream.says(said));
        assert_eq!(until_failure(answer.into_body()).await, (b"data: a\n\n".to_vec(), true), "{http:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_added_to_what_is_no_stream_or_is_packed() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = world.start(Start { config: &upstream.config(), ..Start::default() }).await;
    for fields in ["content-type: text/event-stream\r\ncontent-encoding: gzip", "content-type: application/json", "x: y"] {
        let said = format!("HTTP/1.1 200 OK\r\n{fields}\r\ntransfer-encoding: chunked\r\n\r\n{}", chunk("data: a\n\n"));
        for http in BOTH {
            let (answer, ()) = tokio::join!(gateway.ask(http, gateway.get("/exact/v1/messages")), upstream.says(&said));
            assert_eq!(until_failure(answer.into_body()).await, (b"data: a\n\n".to_vec(), true), "{fields}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_stalls_is_given_up() {
    let world = World::with("[limits]\nstall_seconds = 0.5", &[]).await;
    let gateway = world.gateway().await;
    world.mock.release("g", 2);
    let script = json!({"text": "one two three", "gate": "g"});
    for http in BOTH {
        let answer = gateway.send(http, chat(&gateway, "/openai/v1/chat/completions", true, &script)).await;
        let (bytes, failed) = until_failure(answer.into_body()).await;
        let text = String::from_utf8(bytes).expect("UTF-8");
        assert!(failed && text.contains("upstream-stalled"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_goes_away_breaks_the_answer_off() {
    let mut world = World::with("[limits]\nhold_seconds = 1", &[]).await;
    let gateway = world.gateway().await;
    let mut bodies = Vec::new();
    for http in BOTH {
        let gate = format!("{http:?}");
        let script = json!({"text": "one two three", "gate": gate});
        world.mock.release(&gate, 1);
        let answer = gateway.send(http, chat(&gateway, "/openai/v1/chat/completions", true, &script)).await;
        let mut body = answer.into_body();
        while !String::from_utf8_lossy(&piece(&mut body).await).contains("one") {}
        bodies.push(body);
    }
    world.relay.kill().await;
    for body in bodies {
        let (bytes, failed) = until_failure(body).await;
        assert!(failed && String::from_utf8_lossy(&bytes).contains("session-lost"));
    }
    soon(world.mock.wait_until(|stats| stats.hung_up == 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_reads_late_still_gets_all_that_came_before_the_failure() {
    let upstream = Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = world.gateway().await;
    let path = format!("/x/http/{}/a", upstream.host);
    let total = 3_000_000;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", total + 1);
    let said = [head.into_bytes(), vec![b'x'; total]].concat();
    // More slowly than everything before it: when the failure comes, much waits in the gateway.
    let slow = async {
        let socket = TcpSocket::new_v4().expect("a socket");
        // The kernel holds little for this one.
        socket.set_recv_buffer_size(8192).expect("a size");
        let stream = soon(socket.connect(gateway.address.parse().expect("an address"))).await.expect("it listens");
        let mut raw = Raw(BufReader::new(stream));
        raw.say(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        raw.head().await;
        let mut seen = 0;
        let mut piece = vec![0; 20_000];
        while let Ok(length @ 1..) = soon(raw.0.read(&mut piece)).await {
            seen += length;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        seen
    };
    assert_eq!(tokio::join!(slow, upstream.says(&said)), (total, ()));
    let slow = async {
        let mut body = gateway.ask(Http::Two, gateway.get(&path)).await.into_body();
        let mut seen = 0;
        loop {
            match soon(body.frame()).await {
                Some(Ok(frame)) => seen += frame.into_data().map_or(0, |bytes| bytes.len()),
                end => return (seen, end.is_some()),
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    };
    assert_eq!(tokio::join!(slow, upstream.says(&said)), ((total, true), ()));
}
