use std::{future::poll_fn, time::Duration};

use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    client::conn::http1::{SendRequest, handshake},
    rt::ReadBuf,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::{JoinHandle, yield_now},
    time::timeout,
};

use super::*;
use crate::{
    proto::Code,
    server::upstream::{
        failure::{body_failed, is_unsent},
        kept::Kept,
    },
};

type Io = TokioIo<DuplexStream>;

const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

/// What a program sees of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    NoAnswer,
    Answer { status: u16, body: Vec<u8>, trailers: usize, end: Result<(), Code> },
}

/// A connection, with the HTTP library at one end and the upstream at the other.
struct Line {
    kept: Arc<Kept<Io>>,
    library: SendRequest<Empty<Bytes>>,
    source: Option<Source<Io>>,
    upstream: JoinHandle<DuplexStream>,
}

impl Line {
    async fn open(with_tap: bool) -> Self {
        let (near, upstream) = duplex(1 << 20);
        let kept = Kept::new(LIMIT);
        let (library, source) = Self::library(&kept, Box::new(TokioIo::new(near)), with_tap).await;
        Self { kept, library, source, upstream: tokio::spawn(async { upstream }) }
    }

    async fn library(kept: &Arc<Kept<Io>>, io: Box<Io>, with_tap: bool) -> (SendRequest<Empty<Bytes>>, Option<Source<Io>>) {
        let near = Tapped::new(io, kept.home(Uri::default()));
        let source = with_tap.then(|| Source(Arc::downgrade(&near.0)));
        if !with_tap {
            near.lock().stage = Stage::Through;
        }
        let (library, connection) = handshake(near).await.expect("no bytes are needed for it");
        tokio::spawn(connection);
        (library, source)
    }

    /// Asks, over the same connection if it is open, and has the upstream answer with these bytes in pieces of these sizes, and then
    /// close if it should.
    async fn ask(&mut self, method: &str, answer: &[u8], pieces: &[usize], close: bool) -> Seen {
        if let Some(io) = self.kept.take(&Uri::default()) {
            (self.library, self.source) = Self::library(&self.kept, io, true).await;
        }
        let request = request(method);
        let upstream = std::mem::replace(&mut self.upstream, tokio::spawn(std::future::pending()));
        let upstream = upstream.await.expect("it does not fail");
        self.upstream = tokio::spawn(say(upstream, answer.to_vec(), pieces.to_vec(), close));
        self.library.ready().await.expect("the connection is open");
        let sent = Instant::now();
        let Ok(mut response) = self.library.send_request(request).await else { return Seen::NoAnswer };
        self.source.clone().map(|source| response.extensions_mut().insert(source));
        let status = response.status();
        let bodiless = method == "HEAD" || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let (_, mut body) = Body::<Io>::split(response, bodiless, Some(sent));
        let (mut bytes, mut trailers, mut end) = (Vec::new(), 0, Ok(()));
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => bytes.extend_from_slice(&data),
                Ok(Err(frame)) => trailers += frame.into_trailers().map_or(0, |fields| fields.len()),
                Err(error) => {
                    end = Err(body_failed(&error).code);
                    break;
                }
            }
        }
        Seen::Answer { status: status.as_u16(), body: bytes, trailers, end }
    }
}

fn request(method: &str) -> Request<Empty<Bytes>> {
    Request::builder().method(method).uri("/").header("host", "h").body(Empty::new()).expect("a request")
}

async fn say(mut upstream: DuplexStream, answer: Vec<u8>, pieces: Vec<usize>, close: bool) -> DuplexStream {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        asked.push(upstream.read_u8().await.expect("a request"));
    }
    let mut rest = &*answer;
    for piece in pieces.into_iter().chain([usize::MAX]) {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        rest = later;
        // Whoever reads may have found fault with it already.
        let _ = upstream.write_all(now).await;
        // All others have their turns, some of them more than one.
        for _ in 0..4 {
            yield_now().await;
        }
    }
    if close {
        let _ = upstream.shutdown().await;
    }
    upstream
}

/// One answer, after which the upstream closes.
async fn seen(with_tap: bool, method: &str, answer: &[u8], pieces: &[usize]) -> Seen {
    let asked = async { Line::open(with_tap).await.ask(method, answer, pieces, true).await };
    timeout(LIMIT, asked).await.unwrap_or_else(|_| panic!("this hangs: {method}, {:?}", answer.escape_ascii().to_string()))
}

fn whole(body: &str) -> Seen {
    Seen::Answer { status: 200, body: body.into(), trailers: 0, end: Ok(()) }
}

fn chunked(body: &str) -> Vec<u8> {
    [HEAD, body].concat().into_bytes()
}

/// A library whose request was sent at this time, the head of a chunked answer with this body, and the upstream.
async fn answered(body: &str) -> (SendRequest<Empty<Bytes>>, Instant, Response<Incoming>, JoinHandle<DuplexStream>) {
    let (near, upstream) = duplex(1 << 20);
    let (mut library, source) = Line::library(&Kept::new(LIMIT), Box::new(TokioIo::new(near)), true).await;
    let upstream = tokio::spawn(say(upstream, chunked(body), Vec::new(), false));
    let sent = Instant::now();
    let mut answer = library.send_request(request("GET")).await.expect("a head");
    answer.extensions_mut().insert(source.expect("it has a tap"));
    (library, sent, answer, upstream)
}

#[tokio::test]
async fn an_answer_in_chunks_takes_its_connection_from_the_library() {
    let (library, sent, answer, _upstream) = answered("2\r\nhi\r\n0\r\n\r\n").await;
    let (_, body) = Body::<Io>::split(answer, false, Some(sent));
    assert!(matches!(body, Body::Chunks(_)));
    assert_eq!(body.collect().await.expect("a whole answer").to_bytes(), "hi");
    timeout(LIMIT, async {
        while !library.is_closed() {
            yield_now().await;
        }
    })
    .await
    .expect("the library has let go of it");
}

#[tokio::test]
async fn an_answer_that_begins_before_the_request_has_ended_stays_with_the_library() {
    for sent in [None, Some(Instant::now() + LIMIT)] {
        let (library, _, answer, _upstream) = answered("2\r\nhi\r\n0\r\n\r\n").await;
        let (_, body) = Body::<Io>::split(answer, false, sent);
        assert!(matches!(body, Body::Library(..)));
        assert_eq!(body.collect().await.expect("a whole answer").to_bytes(), "hi");
        assert!(!library.is_closed());
    }
}

/// A connection that nothing keeps.
fn tapped(near: DuplexStream) -> Tapped<Io> {
    Tapped::new(Box::new(TokioIo::new(near)), Kept::new(LIMIT).home(Uri::default()))
}

/// A connection whose library has read an answer's head, with nobody to take the rest.
async fn held() -> (Tapped<Io>, DuplexStream) {
    let (near, mut upstream) = duplex(1 << 20);
    let mut near = tapped(near);
    upstream.write_all(HEAD.as_bytes()).await.expect("room");
    assert_eq!(read(&mut near).await, HEAD.as_bytes());
    assert_eq!(near.lock().stage, Stage::Held);
    (near, upstream)
}

/// What the library reads, if it does not have to wait.
async fn read(near: &mut Tapped<Io>) -> Vec<u8> {
    poll_fn(|cx| {
        let mut room = [0; 4096];
        let mut to = ReadBuf::new(&mut room);
        let _ = Pin::new(&mut *near).poll_read(cx, to.unfilled());
        Poll::Ready(to.filled().to_vec())
    })
    .await
}

async fn write(near: &mut Tapped<Io>) {
    poll_fn(|cx| Pin::new(&mut *near).poll_write(cx, b"GET / HTTP/1.1\r\n\r\n")).await.expect("room");
    poll_fn(|cx| Pin::new(&mut *near).poll_flush(cx)).await.expect("it is flushed");
}

#[tokio::test]
async fn a_connection_whose_answer_nobody_wanted_serves_the_next_request() {
    let (mut near, mut upstream) = held().await;
    write(&mut near).await;
    upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("room");
    assert_eq!(read(&mut near).await, b"HTTP/1.1 204 No Content\r\n\r\n");
}

#[tokio::test]
async fn an_end_that_is_noticed_late_does_not_disturb_the_next_answer() {
    let (mut near, mut upstream) = held().await;
    near.lock().resume(Stage::Through);
    write(&mut near).await;
    near.lock().finish();
    // Not the first bytes of a head, although it looks like that.
    upstream.write_all(b"H").await.expect("room");
    assert_eq!(read(&mut near).await, b"H");
}

#[tokio::test]
async fn a_connection_to_which_the_library_writes_behind_the_head_is_not_taken() {
    let sent = Instant::now();
    let (near, _upstream) = held().await;
    assert!(near.lock().take(sent).is_some());
    let (mut near, _upstream) = held().await;
    write(&mut near).await;
    assert!(near.lock().take(sent).is_none());
}

#[tokio::test]
async fn a_connection_is_not_taken_if_the_head_came_before_the_request_had_left() {
    let sent = Instant::now();
    let (near, mut upstream) = duplex(16);
    let mut near = tapped(near);
    poll_fn(|cx| Pin::new(&mut near).poll_write(cx, &[b'x'; 64])).await.expect("some room");
    poll_fn(|cx| Poll::Ready(Pin::new(&mut near).poll_write(cx, &[b'x'; 64]).is_pending())).await;
    upstream.write_all(b"HTTP/1.1 200 \r\n").await.expect("room");
    assert_eq!(read(&mut near).await, b"");
    upstream.write_all(b"\r\n").await.expect("room");
    assert_eq!(read(&mut near).await, b"HTTP/1.1 200 \r\n\r\n");
    assert!(near.lock().take(sent).is_none());
}

#[tokio::test]
async fn a_request_on_a_connection_that_is_closed_was_not_sent() {
    let mut line = Line::open(true).await;
    drop(line.upstream.await);
    line.upstream = tokio::spawn(std::future::pending());
    let error = line.library.send_request(request("GET")).await.expect_err("there is no other end");
    assert!(is_unsent(&error), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_the_upstream_will_close_is_not_kept() {
    let closing = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nConnection: keep-alive, Close\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    for (answer, is_kept) in [(closing.as_bytes().to_vec(), false), (chunked("2\r\nhi\r\n0\r\n\r\n"), true)] {
        let mut line = Line::open(true).await;
        assert_eq!(line.ask("GET", &answer, &[], false).await, whole("hi"));
        assert_eq!(line.kept.take(&Uri::default()).is_some(), is_kept);
    }
}

#[tokio::test]
async fn a_connection_on_which_more_comes_than_was_asked_for_is_not_kept() {
    let mut line = Line::open(true).await;
    assert_eq!(line.ask("GET", &chunked("2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"), &[], false).await, whole("hi"));
    assert!(line.kept.take(&Uri::default()).is_none());
}

#[tokio::test]
async fn an_answer_is_the_same_however_it_is_cut() {
    let answer = chunked("5\r\nhello\r\n0000A\r\n0123456789\r\n0\r\nx: y\r\n\r\n");
    let expected = Seen::Answer { status: 200, body: b"hello0123456789".into(), trailers: 1, end: Ok(()) };
    for cut in 0..answer.len() {
        assert_eq!(seen(true, "GET", &answer, &[cut]).await, expected, "{cut}");
    }
    assert_eq!(seen(true, "GET", &answer, &vec![1; answer.len()]).await, expected, "byte by byte");
}

#[tokio::test]
async fn what_is_said_ahead_of_an_answer_passes() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
    let answer = [early.as_bytes(), &chunked("2\r\nhi\r\n0\r\n\r\n")].concat();
    for cut in 0..answer.len() {
        assert_eq!(seen(true, "GET", &answer, &[cut]).await, whole("hi"), "{cut}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_and_serves_answers_of_all_kinds_in_turn() {
    let known = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nknown";
    let none = Seen::Answer { status: 204, body: Vec::new(), trailers: 0, end: Ok(()) };
    let mut line = Line::open(true).await;
    for _ in 0..3 {
        assert_eq!(line.ask("GET", &chunked("2\r\nhi\r\n0\r\n\r\n"), &[], false).await, whole("hi"));
        assert_eq!(line.ask("GET", known.as_bytes(), &[50], false).await, whole("known"));
        assert_eq!(line.ask("HEAD", HEAD.as_bytes(), &[], false).await, whole(""));
        assert_eq!(line.ask("GET", b"HTTP/1.1 204 No Content\r\n\r\n", &[], false).await, none);
        assert_eq!(line.ask("GET", &chunked("2;x=y\r\nhi\r\n0\r\n\r\n"), &[3], false).await, whole("hi"));
    }
}

#[tokio::test]
async fn whoever_leaves_in_the_middle_closes_the_connection() {
    let (_library, sent, answer, upstream) = answered("2\r\nhi\r\n").await;
    let (_, mut body) = Body::<Io>::split(answer, false, Some(sent));
    assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
    drop(body);
    let mut upstream = upstream.await.expect("it does not fail");
    let end = timeout(LIMIT, upstream.read(&mut [0; 8])).await.expect("it is told");
    assert_eq!(end.ok(), Some(0));
}

#[tokio::test]
async fn a_chunk_that_does_not_end_where_it_said_is_no_http_and_one_that_is_missing_a_lost_connection() {
    for (body, code) in [("5\r\nhelloXX0\r\n\r\n", Code::UpstreamProtocol), ("5\r\nhel", Code::UpstreamClosed)] {
        let Seen::Answer { end, .. } = seen(true, "GET", &chunked(body), &[]).await else { panic!("no answer: {body}") };
        assert_eq!(end, Err(code), "{body}");
    }
}

/// The rules of HTTP are the library's: with a tap, every answer is what it is without one, right or wrong.
#[tokio::test]
async fn with_a_tap_or_without_answers_are_the_same() {
    let mut random = fastrand::Rng::with_seed(7);
    let bodies = [
        "5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n3\r\n, y\r\n0\r\nx: y\r\n\r\n",
        "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
        "2\r\nhi\r\n00;c\r\nx:y\r\nz: \tw \r\n\r\n",
        "1\r\na\r\n00000000000000005\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        "5\r\nhel",
        "5\r\nhello",
        "5\r\nhelloXX0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "\r\n0\r\n\r\n",
        "g\r\n",
        "",
    ];
    let heads = [
        HEAD,
        "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 500 No\r\nTransfer-Encoding: Chunked\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 1\r\n\r\n",
        "SSH-2.0\r\n",
        "",
    ];
    for round in 0..4000_usize {
        let (head, body) = (heads[round % heads.len()], bodies[round / heads.len() % bodies.len()]);
        let mut answer = [head, body].concat().into_bytes();
        // First as they are, then with a byte changed, left out or doubled.
        if round >= heads.len() * bodies.len() && !answer.is_empty() {
            let at = random.usize(..answer.len());
            match random.u8(..3) {
                0 => answer[at] = *b"\r\n 0159aAfFgG:;\x00\xff".get(random.usize(..17)).expect("in range"),
                1 => _ = answer.remove(at),
                _ => answer.insert(at, answer[at]),
            }
        }
        let pieces: Vec<_> = (0..random.usize(..4)).map(|_| random.usize(..=answer.len())).collect();
        let method = if random.u8(..8) == 0 { "HEAD" } else { "GET" };
        let (with, without) = (seen(true, method, &answer, &pieces).await, seen(false, method, &answer, &pieces).await);
        assert_eq!(with, without, "{method} {} in {pieces:?}", answer.escape_ascii());
    }
}
