//! What a client could try to reach through the proxy that it is not there for. A listener at the address that the tricks mean
//! would notice.

mod names;
mod spellings;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use xllm_proxy::{
    client::Client,
    proto::{Event, frame::Response},
};

use super::support::{
    raw::{self, Raw},
    relay::Relay,
    request::{get, request, whole},
    upstream::{self, Then},
};
use spellings::{LOOPBACK, LOOPBACK_6, MALFORMED, MAPPED, SCHEMES, UNLISTED};

/// Answers what it is asked, and counts the connections.
struct Target {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Target {
    async fn at(address: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let target = Self { port: listener.local_addr()?.port(), connections: Arc::default() };
        let connections = target.connections.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.fetch_add(1, SeqCst);
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
                });
            }
        });
        Ok(target)
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    fn url(&self, spelling: &str) -> String {
        spelling.replace("{port}", &self.port.to_string())
    }
}

/// What came of a request: a status, or the code of a refusal.
async fn outcome(relay: &Relay, client: &Client, url: &str) -> String {
    let carried = url.parse::<http::Uri>().map(|uri| uri.to_string());
    if carried.is_ok_and(|carried| carried == url) {
        return match whole(client, get(url)).await {
            Ok(response) => response.status().as_u16().to_string(),
            Err(error) => error.code().to_owned(),
        };
    }
    // The library for URLs has mended or refused it: only a client without one can send it.
    let mut raw = Raw::connect(&relay.address, &relay.credential).await;
    raw.open(&raw::request("GET", url, &[]));
    match raw.event().await {
        Event::Failed(_, notice) => notice.code.name().to_owned(),
        Event::Response(_, Response { status, .. }) => status.to_string(),
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn no_spelling_of_an_address_gets_around_the_list() {
    let target = Target::at("127.0.0.1:0").await.unwrap();
    // As much as a careful operator would allow, and the built-in list.
    let wildcard = target.url("https://*.tricks.example:{port}");
    let relay = Relay::with_allowed("", &[&wildcard]).await;
    let client = relay.client();
    let unlisted = [LOOPBACK, LOOPBACK_6, MAPPED, UNLISTED].concat();
    let mut tried = HashSet::new();
    for (spellings, code) in
        [(unlisted.as_slice(), "origin-not-allowed"), (MALFORMED, "request-invalid"), (SCHEMES, "scheme-not-allowed")]
    {
        for spelling in spellings {
            let url = target.url(spelling);
            assert_eq!(outcome(&relay, &client, &url).await, code, "{url:?}");
            assert!(tried.insert(url), "{spelling} is there twice");
        }
    }
    assert_eq!(target.connections(), 0);
    println!("{} spellings of what is not listed, all refused, no connection", tried.len());
    assert!(tried.len() >= 150);
}

#[tokio::test]
async fn every_spelling_of_an_address_that_is_listed_leads_there() {
    let (v4, v6) = (Target::at("127.0.0.1:0").await.unwrap(), Target::at("[::1]:0").await.ok());
    let (plain, mapped) = (v4.url("http://127.0.0.1:{port}"), v4.url("http://[::ffff:127.0.0.1]:{port}"));
    let mut lists = vec![(&v4, plain, LOOPBACK)];
    // Not every machine has IPv6.
    if let Some(v6) = &v6 {
        lists.push((&v4, mapped, MAPPED));
        lists.push((v6, v6.url("http://[::1]:{port}"), LOOPBACK_6));
    }
    for (target, origin, spellings) in lists {
        let relay = Relay::allowing(&origin).await;
        let client = relay.client();
        for spelling in spellings {
            let url = target.url(spelling);
            let before = target.connections();
            assert_eq!((outcome(&relay, &client, &url).await.as_str(), target.connections()), ("204", before + 1), "{url:?}");
        }
    }
}

#[tokio::test]
async fn neither_a_redirect_nor_a_header_leads_elsewhere() {
    let target = Target::at("127.0.0.1:0").await.unwrap();
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let there = target.url("http://127.0.0.1:{port}/");
        let answer = format!("HTTP/1.1 {status}\r\nlocation: {there}\r\nrefresh: 0; url={there}\r\ncontent-length: 0\r\n\r\n");
        let origin = upstream::saying(answer, Then::Close).await;
        let relay = Relay::allowing(&origin).await;
        let response = whole(&relay.client(), get(&origin)).await.unwrap();
        assert_eq!(response.status().as_str(), &status[..3]);
        assert_eq!(response.headers()["location"], there);
    }
    let relay = Relay::start().await;
    for name in ["host", "x-forwarded-host", "x-original-url", "x-rewrite-url", "forwarded", "proxy-connection"] {
        let mut request = request("GET", &relay.url("/raw/binary"), "");
        request.headers_mut().insert(name, target.url("127.0.0.1:{port}").parse().unwrap());
        assert_eq!(whole(&relay.client(), request).await.unwrap().status(), 200);
    }
    assert_eq!((target.connections(), relay.mock.stats().requests), (0, 6));
}
