//! Server-sent events of a body, bounded, and with a last event that lacks its blank
//! line still delivered: whether the stream is complete is for its content to say.

use std::{fmt, mem};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http_body_util::BodyStream;
use sse_stream::SseByteStream;

use crate::transport::{self, Body};

/// Far above any event of an API, far below what would hurt.
const MAX_EVENT: usize = 8 << 20;

/// What ended the events before their end.
#[derive(Debug)]
pub(crate) enum Error {
    /// The body broke off.
    Transport(transport::Error),
    /// One event passes the limit.
    TooLarge,
    /// Not UTF-8.
    Malformed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::TooLarge => write!(f, "an event larger than {} MiB", MAX_EVENT >> 20),
            Self::Malformed => f.write_str("an event that is not UTF-8"),
        }
    }
}

impl std::error::Error for Error {}

/// The data of each event, those without data left out.
pub(crate) fn events(body: Body) -> impl Stream<Item = Result<String, Error>> + Send + Unpin {
    let mut gauge = Gauge::default();
    let bytes = BodyStream::new(body)
        .map_err(Error::Transport)
        .try_filter_map(|frame| std::future::ready(Ok(frame.into_data().ok())))
        .map(move |bytes| {
            let bytes = bytes?;
            gauge.pass(&bytes).then_some(bytes).ok_or(Error::TooLarge)
        })
        .chain(stream::iter([Ok(Bytes::from_static(b"\n\n"))]));
    let events = SseByteStream::new(bytes.boxed()).filter_map(|event| {
        std::future::ready(match event {
            Ok(event) => event.data.map(Ok),
            Err(sse_stream::Error::Body(error)) => Some(Err(match error.downcast::<Error>() {
                Ok(error) => *error,
                Err(_) => Error::Malformed,
            })),
            Err(_) => Some(Err(Error::Malformed)),
        })
    });
    Box::pin(events)
}

/// Counts the bytes since the last blank line.
#[derive(Debug, Default)]
struct Gauge {
    size: usize,
    line_has_content: bool,
}

impl Gauge {
    /// False once an event is too large.
    fn pass(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            self.size += 1;
            match byte {
                b'\n' if !mem::take(&mut self.line_has_content) => self.size = 0,
                b'\n' | b'\r' => {}
                _ => self.line_has_content = true,
            }
            if self.size > MAX_EVENT {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(pieces: Vec<Bytes>) -> Vec<String> {
        events(Body::of(pieces)).map(|event| event.unwrap_or_else(|error| format!("error: {error}"))).collect().await
    }

    const TEXT: &str =
        ": hello\r\n\r\nevent: a\r\ndata: {\"t\":\"héé…😀\"}\r\n\r\ndata: 1\ndata: 2\n\n\nid: 7\n\n: ping\n\ndata: [DONE]";

    #[tokio::test]
    async fn every_cut_gives_the_same_events() {
        let wanted = ["{\"t\":\"héé…😀\"}", "1\n2", "[DONE]"];
        let bytes = Bytes::from_static(TEXT.as_bytes());
        for cut in 0..=bytes.len() {
            assert_eq!(read(vec![bytes.slice(..cut), bytes.slice(cut..)]).await, wanted, "cut at {cut}");
        }
        assert_eq!(read(bytes.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect()).await, wanted);
    }

    #[tokio::test]
    async fn an_event_without_end_is_given_up() {
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        let mut pieces = vec![Bytes::from_static(b"data: ")];
        pieces.extend(vec![piece; 9]);
        assert_eq!(read(pieces).await, ["error: an event larger than 8 MiB"]);
    }

    #[tokio::test]
    async fn many_events_and_pings_never_add_up_to_one() {
        let piece = Bytes::from(": ping\r\n\r\n".repeat(1 << 17));
        assert_eq!(read([vec![piece; 9], vec![Bytes::from_static(b"data: x\n\n")]].concat()).await, ["x"]);
    }

    #[tokio::test]
    async fn broken_utf8_is_an_error() {
        assert_eq!(read(vec![Bytes::from_static(b"data: \xff\n\n")]).await, ["error: an event that is not UTF-8"]);
    }
}
