//! Callers of a gateway: HTTP/1.1 and HTTP/2 of a library, and exact bytes.

use std::{convert::Infallible, io};

use bytes::Bytes;
use futures::{StreamExt as _, channel::mpsc};
use http::{Method, Request, Response, request};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::support::{Gateway, soon};

/// What a caller uploads.
pub(crate) type Upload = BoxBody<Bytes, Infallible>;

pub(crate) fn empty() -> Upload {
    body("")
}

pub(crate) fn body(bytes: impl Into<Bytes>) -> Upload {
    Full::new(bytes.into()).boxed()
}

/// A body of unknown length, piece by piece; ends with the sender.
pub(crate) fn pieces() -> (mpsc::UnboundedSender<Bytes>, Upload) {
    let (sender, receiver) = mpsc::unbounded();
    (sender, BoxBody::new(StreamBody::new(receiver.map(|bytes| Ok(Frame::data(bytes))))))
}

/// What callers speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

pub(crate) const BOTH: [Http; 2] = [Http::One, Http::Two];

/// A connection.
pub(crate) enum Connection {
    One(http1::SendRequest<Upload>),
    Two(http2::SendRequest<Upload>),
}

impl Connection {
    pub(crate) async fn open(http: Http, address: &str) -> Self {
        let io = TokioIo::new(TcpStream::connect(address).await.expect("it listens"));
        match http {
            Http::One => {
                let (sender, connection) =
                    soon(http1::Builder::new().max_headers(512).handshake(io)).await.expect("a connection");
                tokio::spawn(connection);
                Self::One(sender)
            }
            Http::Two => {
                let (sender, connection) = soon(http2::handshake(TokioExecutor::new(), io)).await.expect("a connection");
                tokio::spawn(connection);
                Self::Two(sender)
            }
        }
    }

    pub(crate) async fn send(&mut self, request: Request<Upload>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::One(sender) => {
                soon(sender.ready()).await?;
                soon(sender.send_request(request)).await
            }
            Self::Two(sender) => {
                let (mut parts, body) = request.into_parts();
                let host = parts.headers.remove("host").expect("a host");
                let host = host.to_str().expect("ASCII");
                parts.uri = format!("http://{host}{}", parts.uri).parse().expect("a URI");
                soon(sender.ready()).await?;
                soon(sender.send_request(Request::from_parts(parts, body))).await
            }
        }
    }
}

impl Gateway {
    /// A request with its host.
    pub(crate) fn request(&self, method: Method, path: &str) -> request::Builder {
        Request::builder().method(method).uri(path).header("host", &self.address)
    }

    pub(crate) fn get(&self, path: &str) -> request::Builder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> request::Builder {
        self.request(Method::POST, path)
    }

    /// On a connection of its own.
    pub(crate) async fn send(&self, http: Http, request: Request<Upload>) -> Response<Incoming> {
        let mut connection = Connection::open(http, &self.address).await;
        connection.send(request).await.expect("an answer")
    }

    pub(crate) async fn ask(&self, http: Http, request: request::Builder) -> Response<Incoming> {
        self.send(http, request.body(empty()).expect("a valid request")).await
    }

    /// The answer to a GET, whole.
    pub(crate) async fn fetch(&self, path: &str) -> Response<Bytes> {
        whole(self.ask(Http::One, self.get(path)).await).await
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw::open(&self.address).await
    }
}

/// The whole answer.
pub(crate) async fn whole(response: Response<Incoming>) -> Response<Bytes> {
    let (head, body) = response.into_parts();
    Response::from_parts(head, soon(body.collect()).await.expect("a complete body").to_bytes())
}

pub(crate) fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// The next piece; what is left of it if it is no data.
pub(crate) async fn piece(body: &mut Incoming) -> Bytes {
    let frame = soon(body.frame()).await.expect("more of the body").expect("no failure");
    frame.into_data().expect("data")
}

/// Everything up to the failure, and whether there was one.
pub(crate) async fn until_failure(mut body: Incoming) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    while let Some(frame) = soon(body.frame()).await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => return (bytes, true),
        }
    }
    (bytes, false)
}

/// A header of an answer, as text.
pub(crate) fn header<'r, B>(response: &'r Response<B>, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().expect("ASCII"))
}

/// A connection on which exact bytes are said and heard.
pub(crate) struct Raw(pub(crate) BufReader<TcpStream>);

/// Head of an answer as it stands on the wire.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) line: String,
    /// Names in lower case, sorted by name.
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }
}

impl Raw {
    pub(crate) async fn open(address: &str) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.expect("it listens")))
    }

    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.0.get_mut().write_all(bytes.as_ref())).await.expect("it listens");
    }

    pub(crate) async fn head(&mut self) -> Head {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            soon(self.0.read_until(b'\n', &mut line)).await.expect("no failure");
            assert!(line.ends_with(b"\r\n"), "the connection ended in the head, after {lines:?} {line:?}");
            line.truncate(line.len() - 2);
            if line.is_empty() {
                break;
            }
            // One letter a byte: values need not be UTF-8.
            lines.push(line.into_iter().map(char::from).collect::<String>());
        }
        let line = lines.remove(0);
        let split = |line: String| {
            let (name, value) = line.split_once(':').expect("a field");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let mut fields: Vec<_> = lines.into_iter().map(split).collect();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        Head { line, fields }
    }

    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        soon(self.0.read_exact(&mut bytes)).await.expect("so many bytes");
        bytes
    }

    /// The next chunk; the last one is empty.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let mut line = String::new();
        soon(self.0.read_line(&mut line)).await.expect("no failure");
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|_| panic!("no length of a chunk: {line:?}"));
        let mut bytes = self.exactly(length + 2).await;
        bytes.truncate(length);
        bytes
    }

    /// Says no more, and hears the rest out, so that nothing on the way is lost.
    pub(crate) async fn close(mut self) {
        soon(self.0.get_mut().shutdown()).await.expect("it listens");
        self.rest().await;
    }

    /// Everything up to the end of the connection, which may be a reset.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match soon(self.0.read_to_end(&mut bytes)).await {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => bytes,
        }
    }
}

/// A question to a chat API, answered by this script.
pub(crate) fn chat(gateway: &Gateway, path: &str, stream: bool, script: &Value) -> Request<Upload> {
    let question = serde_json::json!({
        "model": "m", "max_tokens": 1000, "stream": stream, "messages": [{"role": "user", "content": "x"}]
    });
    let request = gateway.post(path).header("content-type", "application/json").header("x-mock", script.to_string());
    let request = if path.contains("messages") {
        request.header("x-api-key", "sk-own").header("anthropic-version", "2023-06-01")
    } else {
        request.header("authorization", "Bearer sk-own")
    };
    request.body(body(question.to_string())).expect("valid")
}

/// What a chunked body holds, and whether it has its end.
pub(crate) fn dechunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        let Some(at) = rest.windows(2).position(|two| two == b"\r\n") else { return (bytes, false) };
        let line = std::str::from_utf8(&rest[..at]).expect("a length");
        let length = usize::from_str_radix(line, 16).expect("a length");
        rest = &rest[at + 2..];
        if length == 0 {
            return (bytes, true);
        }
        bytes.extend_from_slice(&rest[..length.min(rest.len())]);
        if rest.len() < length + 2 {
            return (bytes, false);
        }
        rest = &rest[length + 2..];
    }
}
