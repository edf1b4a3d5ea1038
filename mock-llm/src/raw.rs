//! Endpoints that test a transport: streams, echoes, trailers, and bodies that break.

mod pieces;
pub(crate) mod query;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, TRAILER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::body::{Reply, Streamed, full};
use crate::context::JSON;
use crate::exchange::{Broken, Upload};
use crate::random::mix;
use crate::records::{State, header_list, path};

use query::Query;

/// What `/raw/gzip` unpacks to.
pub const GZIP_TEXT: &str = "The same sentence, packed. The same sentence, packed. The same \
                             sentence, packed. The same sentence, packed. \n";
/// What `/raw/gzip` sends: [`GZIP_TEXT`] in gzip.
pub const GZIP: [u8; 50] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x0b, 0xc9, 0x48, 0x55, 0x28, 0x4e, 0xcc, 0x05, 0x12, 0xa9,
    0x79, 0x25, 0xa9, 0x79, 0xc9, 0xa9, 0x3a, 0x0a, 0x05, 0x89, 0xc9, 0xd9, 0xa9, 0x29, 0x7a, 0x0a, 0x21, 0xd4, 0x96, 0xe2,
    0x02, 0x00, 0x4c, 0xf2, 0x6f, 0x07, 0x6d, 0x00, 0x00, 0x00,
];
/// Bytes of the body of `/raw/trailers`, which is [`pattern`] from 0.
pub const TRAILERS_BODY: usize = 1024;

/// Fills `buf` with the bytes at `offset` of an endless stream without short repeats.
pub fn pattern(mut offset: u64, mut buf: &mut [u8]) {
    while !buf.is_empty() {
        let word = mix(offset / 8).to_le_bytes();
        let from = (offset % 8) as usize;
        let length = buf.len().min(8 - from);
        let (head, rest) = buf.split_at_mut(length);
        head.copy_from_slice(&word[from..from + length]);
        offset += length as u64;
        buf = rest;
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Why a request to a raw endpoint gets no answer of it.
enum Refusal {
    Broken,
    /// 400 with a sentence.
    Invalid(String),
}

impl From<Broken> for Refusal {
    fn from(Broken: Broken) -> Self {
        Self::Broken
    }
}

impl From<String> for Refusal {
    fn from(sentence: String) -> Self {
        Self::Invalid(sentence)
    }
}

pub(crate) async fn answer(state: &Arc<State>, head: &Parts, upload: Upload) -> Result<Reply, Broken> {
    match endpoint(state, head, upload).await {
        Ok(reply) => Ok(reply),
        Err(Refusal::Invalid(sentence)) => Ok(text(StatusCode::BAD_REQUEST, sentence + "\n")),
        Err(Refusal::Broken) => Err(Broken),
    }
}

async fn endpoint(state: &Arc<State>, head: &Parts, upload: Upload) -> Result<Reply, Refusal> {
    let query = Query::new(head);
    let name = head.uri.path().strip_prefix("/raw/").unwrap_or_default();
    let allowed = match name {
        "echo" => true,
        "sink" => head.method == Method::PUT || head.method == Method::POST,
        _ if name.starts_with("status/") => true,
        _ => head.method == Method::GET || head.method == Method::HEAD,
    };
    if !allowed {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "wrong method\n"));
    }
    if name == "sink" {
        return sink(&query, upload).await;
    }
    let received = upload.drain().await?;
    Ok(match name {
        "echo" => json_reply(&json!({
            "method": head.method.as_str(),
            "path": path(head),
            "version": format!("{:?}", head.version),
            "headers": headers_as_text(head),
            "body_base64": STANDARD.encode(&received.kept),
            "sha256": hex(&received.sha256),
            "length": received.length,
        })),
        "bytes" => bytes(&query)?,
        "trailers" => trailers(),
        "gzip" => {
            let mut reply = binary(full(&GZIP[..]));
            reply.headers_mut().insert(CONTENT_TYPE, TEXT);
            let gzip = HeaderValue::from_static("gzip");
            reply.headers_mut().insert(CONTENT_ENCODING, gzip);
            reply
        }
        "headers" => repeated_headers(&query)?,
        "short" => short(&query)?,
        "hang" => std::future::pending().await,
        "gated" => gated(state, &query)?,
        "binary" => binary(full((0..=u8::MAX).collect::<Vec<_>>())),
        _ => match name.strip_prefix("status/") {
            Some(code) => status(code)?,
            None => text(StatusCode::NOT_FOUND, "no such raw endpoint\n"),
        },
    })
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

fn text(status: StatusCode, body: impl Into<bytes::Bytes>) -> Reply {
    let mut reply = Response::new(full(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, TEXT);
    reply
}

fn json_reply(value: &Value) -> Reply {
    let mut reply = Response::new(full(value.to_string()));
    let json = HeaderValue::from_static(JSON);
    reply.headers_mut().insert(CONTENT_TYPE, json);
    reply
}

fn binary<B>(body: B) -> Response<B> {
    let mut reply = Response::new(body);
    let binary = HeaderValue::from_static("application/octet-stream");
    reply.headers_mut().insert(CONTENT_TYPE, binary);
    reply
}

fn headers_as_text(head: &Parts) -> Vec<(String, String)> {
    let list = header_list(head).into_iter();
    list.map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect()
}

async fn sink(query: &Query<'_>, mut upload: Upload) -> Result<Reply, Refusal> {
    if let Some(status) = query.number::<u16>("early")? {
        let status = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
        upload.linger();
        return Ok(text(status, "answered before the body was read\n"));
    }
    if let Some(pause) = query.number("slow_ms")? {
        while upload.chunk().await?.is_some() {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
    let received = upload.drain().await?;
    let sha256 = hex(&received.sha256);
    Ok(json_reply(&json!({"bytes": received.length, "sha256": sha256})))
}

fn bytes(query: &Query<'_>) -> Result<Reply, Refusal> {
    let total: u64 = query.number("n")?.ok_or_else(|| "`n` is missing".to_owned())?;
    let chunk = query.number("chunk")?.unwrap_or(pieces::CHUNK);
    let length = (query.number("len")? == Some(1)).then_some(total);
    let mut reply = binary(Streamed::boxed(pieces::run(total, chunk, None), length));
    if let Some(length) = length {
        reply.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    Ok(reply)
}

fn short(query: &Query<'_>) -> Result<Reply, Refusal> {
    let total: u64 = query.number("n")?.ok_or_else(|| "`n` is missing".to_owned())?;
    if total == 0 {
        return Err("`n` must not be 0: nothing is missing from an empty body".to_owned().into());
    }
    let body = pieces::run(total / 2, pieces::CHUNK, Some(pieces::End::Cut));
    let mut reply = binary(Streamed::boxed(body, Some(total)));
    reply.headers_mut().insert(CONTENT_LENGTH, total.into());
    Ok(reply)
}

fn trailers() -> Reply {
    let mut body = [0; TRAILERS_BODY];
    pattern(0, &mut body);
    let checksum = hex(&<sha2::Sha256 as sha2::Digest>::digest(body));
    let name = HeaderName::from_static("x-checksum");
    let mut trailers = HeaderMap::new();
    if let Ok(checksum) = HeaderValue::try_from(checksum) {
        trailers.insert(&name, checksum);
    }
    let end = pieces::End::Trailers(trailers);
    let body = pieces::run(TRAILERS_BODY as u64, TRAILERS_BODY / 4, Some(end));
    let mut reply = binary(Streamed::boxed(body, None));
    reply.headers_mut().insert(TRAILER, name.into());
    reply
}

fn repeated_headers(query: &Query<'_>) -> Result<Reply, Refusal> {
    let count: u32 = query.number("n")?.ok_or_else(|| "`n` is missing".to_owned())?;
    let mut reply = text(StatusCode::OK, "see the headers\n");
    let headers = reply.headers_mut();
    // A map of headers holds 32,768 at most, its own and these.
    if count > 30_000 {
        return Err("`n` must be at most 30000".to_owned().into());
    }
    for i in 0..count {
        headers.append("x-repeat", i.into());
    }
    // Hop-by-hop, so none of these may travel on. HTTP/2 drops them before they are sent.
    headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, x-hop"));
    headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
    headers.insert("x-hop", HeaderValue::from_static("for this hop only"));
    headers.insert("proxy-authenticate", HeaderValue::from_static("Basic realm=\"mock\""));
    Ok(reply)
}

fn status(code: &str) -> Result<Reply, Refusal> {
    let status = code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.filter(|status| !status.is_informational());
    let status = status.ok_or_else(|| format!("`{code}` is no status of a final response"))?;
    if [204, 205, 304].contains(&status.as_u16()) {
        let mut reply = Response::new(full(""));
        *reply.status_mut() = status;
        return Ok(reply);
    }
    let mut reply = text(status, format!("status {}\n", status.as_u16()));
    if status.is_redirection() {
        let location = HeaderValue::from_static("/raw/echo");
        reply.headers_mut().insert(LOCATION, location);
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("7"));
    }
    Ok(reply)
}

fn gated(state: &State, query: &Query<'_>) -> Result<Reply, Refusal> {
    let gate = query.text("gate").ok_or_else(|| "`gate` is missing".to_owned())?;
    let chunks = query.number("chunks")?.unwrap_or(1);
    let size: usize = query.number("size")?.unwrap_or(8);
    if size < 8 {
        return Err("`size` must be at least 8, for the chunk's number".to_owned().into());
    }
    let body = pieces::gated(state.gate(&gate), chunks, size);
    Ok(binary(Streamed::boxed(body, None)))
}

#[cfg(test)]
mod tests {
    use super::{GZIP, GZIP_TEXT, pattern};

    #[test]
    fn pattern_is_the_same_from_any_offset() {
        let mut whole = [0; 100];
        pattern(0, &mut whole);
        for from in 0..100 {
            let mut part = vec![0; 100 - from];
            pattern(from as u64, &mut part);
            assert_eq!(part, whole[from..]);
        }
    }

    #[test]
    fn the_packed_body_carries_the_checksum_of_its_text() {
        let crc = !GZIP_TEXT
            .bytes()
            .fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1))));
        let (_, end) = GZIP.split_at(GZIP.len() - 8);
        assert_eq!(end[..4], crc.to_le_bytes());
        assert_eq!(end[4..], 109u32.to_le_bytes());
        assert_eq!(GZIP_TEXT.len(), 109);
    }
}
