//! The caller's side of HTTP/1.1, as light as it can be: what it costs is the same for every path.

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::{
    Result,
    event::{self, Stamp},
};

/// What a program would ask.
const BODY: &str = r#"{"model":"mock","stream":true,"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Why is the sky blue? Explain it in three paragraphs, for somebody of twelve years."}]}"#;
/// Largest head of an answer, bytes.
const HEAD: usize = 64 << 10;
/// Bytes to make room for before each read.
const ROOM: usize = 64 << 10;

/// A byte stream to the near end of a path.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How the body under way is framed, and what is left of it.
#[derive(Clone, Copy, Debug)]
enum Body {
    Known(u64),
    /// Inside a chunk, with so many bytes to come.
    Chunk(u64),
    /// At the line of a chunk's size; behind a chunk, its line end comes first.
    Size {
        first: bool,
    },
    Over,
}

/// A connection, on which one request is made after the other.
pub(crate) struct Connection {
    host: String,
    io: Box<dyn Io>,
    heard: BytesMut,
    body: Body,
    /// The beginning of an event whose end has not come yet.
    begun: BytesMut,
}

impl Connection {
    pub(crate) fn new(io: Box<dyn Io>, host: String) -> Self {
        Self { host, io, heard: BytesMut::new(), body: Body::Over, begun: BytesMut::new() }
    }

    /// Sends a request and reads the answer's head.
    pub(crate) async fn ask(&mut self, path: &str) -> Result<()> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer sk-bench\r\ncontent-type: application/json\r\n\
             accept: text/event-stream\r\nuser-agent: bench\r\ncontent-length: {length}\r\n\r\n{BODY}",
            host = self.host,
            length = BODY.len()
        );
        self.io.write_all(request.as_bytes()).await?;
        self.io.flush().await?;
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut fields);
            if let httparse::Status::Complete(length) = head.parse(&self.heard)? {
                let field = |name| head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
                self.body = match (head.code, field("content-length"), field("transfer-encoding")) {
                    (Some(200), _, Some(_)) => Body::Size { first: true },
                    (Some(200), Some(length), None) => Body::Known(str::from_utf8(length.value)?.parse()?),
                    (Some(200), None, None) => return Err("an answer without a length cannot be told from a cut one".into()),
                    (status, ..) => {
                        let said = String::from_utf8_lossy(&self.heard[length..]);
                        return Err(format!("{path} got {} instead of 200: {said}", status.unwrap_or(0)).into());
                    }
                };
                self.heard.advance(length);
                return Ok(());
            }
            if self.heard.len() > HEAD {
                return Err("the answer's head has no end".into());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<()> {
        self.heard.reserve(ROOM);
        match self.io.read_buf(&mut self.heard).await? {
            0 => Err("the path closed the connection inside an answer".into()),
            _ => Ok(()),
        }
    }

    /// The next bytes of the body, as many as are there; nothing at its end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(piece) = self.decode()? {
                return Ok(Some(piece));
            }
            if matches!(self.body, Body::Over) {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    /// What of the body is in the buffer; nothing if it takes more bytes, or at the end.
    fn decode(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.body {
                Body::Over | Body::Known(0) => {
                    self.body = Body::Over;
                    return Ok(None);
                }
                Body::Chunk(0) => self.body = Body::Size { first: false },
                Body::Known(left) | Body::Chunk(left) => {
                    if self.heard.is_empty() {
                        return Ok(None);
                    }
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(self.heard.len());
                    let left = left - taken as u64;
                    self.body = if matches!(self.body, Body::Known(_)) { Body::Known(left) } else { Body::Chunk(left) };
                    return Ok(Some(self.heard.split_to(taken).freeze()));
                }
                Body::Size { first } => {
                    let end = if first { 0 } else { 2 };
                    let Some(line) = self.heard.get(end..) else { return Ok(None) };
                    let Ok(size) = httparse::parse_chunk_size(line) else { return Err("a chunk has no size".into()) };
                    let httparse::Status::Complete((length, size)) = size else { return Ok(None) };
                    if size > 0 {
                        self.heard.advance(end + length);
                        self.body = Body::Chunk(size);
                        continue;
                    }
                    // No path sends trailers here: an empty line is the end.
                    if line.len() < length + 2 {
                        return Ok(None);
                    }
                    self.heard.advance(end + length + 2);
                    self.body = Body::Over;
                }
            }
        }
    }

    /// Reads until at least one whole event is there, and gives the stamps of all that came. Empty at the end of the body.
    pub(crate) async fn events(&mut self, stamps: &mut Vec<Stamp>) -> Result<()> {
        stamps.clear();
        loop {
            match self.decode()? {
                Some(piece) => self.scan(piece, stamps)?,
                None if !stamps.is_empty() => return Ok(()),
                None if !matches!(self.body, Body::Over) => self.read().await?,
                None if self.begun.is_empty() => return Ok(()),
                None => return Err("the body ends inside an event".into()),
            }
        }
    }

    fn scan(&mut self, mut piece: Bytes, stamps: &mut Vec<Stamp>) -> Result<()> {
        const CHANGED: &str = "an event came out of the path other than it went in";
        if !self.begun.is_empty() {
            let missing = piece.len().min(event::LENGTH - self.begun.len());
            self.begun.extend_from_slice(&piece.split_to(missing));
            if self.begun.len() < event::LENGTH {
                return Ok(());
            }
            stamps.push(event::read(&self.begun).ok_or(CHANGED)?);
            self.begun.clear();
        }
        while piece.len() >= event::LENGTH {
            stamps.push(event::read(&piece.split_to(event::LENGTH)).ok_or(CHANGED)?);
        }
        self.begun.extend_from_slice(&piece);
        Ok(())
    }
}
