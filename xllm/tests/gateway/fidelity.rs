//! Streams of events with arbitrary text, line ends and cuts: what comes out is what went in, byte for byte. Identical bytes are
//! identical events: none lost, merged, reordered or changed, the last one without its blank line included.

use std::{convert::Infallible, fmt::Write as _};

use bytes::Bytes;
use fastrand::Rng;
use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::net::TcpListener;

use crate::support::World;

const STREAMS: u64 = 10_000;
/// At once, over both versions of HTTP.
const CALLERS: usize = 64;

/// What a stream is made of, drawn from a seed.
struct Random(Rng);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0.usize(..bound)
    }

    fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// The events of a stream, and what ends their lines.
fn events(seed: u64) -> String {
    let mut random = Random(Rng::with_seed(seed));
    let end = random.of(&["\n", "\r\n", "\r"]);
    let mut text = String::new();
    let count = 1 + random.below(12);
    for number in 0..count {
        for _ in 0..random.below(3) {
            let field = random.of(&["event: delta", "id: 7", "retry: 10", ": a comment", "unknown", ":", "data"]);
            let _ = write!(text, "{field}{end}");
        }
        for _ in 0..=random.below(3) {
            let _ = write!(text, "data: {number} ");
            for _ in 0..random.below(24) {
                text.push_str(random.of(&["a", "é", "€", "👋", "{\"x\":", "\\n", " ", ":", "\u{2028}", "\t", "0"]));
            }
            text.push_str(end);
        }
        let last = number + 1 == count;
        if !last || random.below(2) == 0 {
            text.push_str(end);
        } else if random.below(2) == 0 {
            // Not even its line is ended.
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
    }
    text
}

/// Cut anywhere, also inside a character and inside a line end.
fn cut(text: String, seed: u64) -> Vec<Bytes> {
    let (mut random, mut rest, mut pieces) = (Random(Rng::with_seed(!seed)), Bytes::from(text), Vec::new());
    let most = 1 + random.below(80);
    while !rest.is_empty() {
        pieces.push(rest.split_to(rest.len().min(1 + random.below(most))));
    }
    pieces
}

async fn stream_by_seed(
    request: Request<Incoming>,
) -> Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let seed: u64 = request.uri().query().and_then(|seed| seed.parse().ok()).expect("a seed");
    // Each piece in a write of its own: the server flushes whenever nothing more is there yet.
    let pieces = stream::iter(cut(events(seed), seed)).then(|piece| async {
        tokio::task::yield_now().await;
        Ok(Frame::data(piece))
    });
    let response = Response::builder().header("content-type", "text/event-stream").body(StreamBody::new(pieces));
    Ok(response.expect("valid"))
}

async fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let origin = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            socket.set_nodelay(true).expect("a socket");
            tokio::spawn(async move {
                let connection = Builder::new(TokioExecutor::new());
                drop(connection.serve_connection(TokioIo::new(socket), service_fn(stream_by_seed)).await);
            });
        }
    });
    origin
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_cut_anywhere_arrive_as_they_were_written() {
    let origin = upstream().await;
    let world = World::with("", &[&origin]).await;
    let gateway = world.gateway().await;
    let base = format!("http://{}/x/{}", gateway.address, origin.replacen("://", "/", 1));
    let http1 = reqwest::Client::builder().no_proxy().build().expect("a client");
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    let calls = stream::iter(0..STREAMS).map(|seed| {
        let client = if seed % 2 == 0 { http1.clone() } else { http2.clone() };
        let request = client.get(format!("{base}/?{seed}"));
        async move {
            let response = request.send().await.expect("answered");
            let received = response.bytes().await.expect("whole");
            assert_eq!(received, events(seed).as_bytes(), "stream {seed}");
        }
    });
    calls.buffer_unordered(CALLERS).collect::<()>().await;
}
