//! The body of a chunked answer, read from its connection (RFC 9112 section 7.1).

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use httparse::{EMPTY_HEADER, Header, Status, parse_headers};
use hyper::rt::{Read, ReadBuf};

use super::kept::Home;
use crate::proto::limits::HEADER_FIELDS;

/// Bytes of one read.
const READ: usize = 16 << 10;
/// The longest line of a size, and the longest trailers, bytes.
const LINES: usize = 16 << 10;

/// Reads what is there behind what is known; 0 at the end.
///
/// By way of the stack, so that a silent stream holds as much memory as it said something.
pub(super) fn poll_more<T: Read + Unpin>(io: &mut T, known: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut room = [const { MaybeUninit::uninit() }; READ];
    let mut read = ReadBuf::uninit(&mut room);
    ready!(Pin::new(io).poll_read(cx, read.unfilled()))?;
    known.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

/// A body and its connection, which is kept for another call when the body has ended in order, and closed if it has not.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    /// Nothing when the body has ended.
    connection: Option<Box<T>>,
    /// What was read and is not looked at yet.
    ahead: BytesMut,
    place: Place,
    home: Option<Home<T>>,
}

/// A body does not go on as HTTP has it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChunksError {
    /// The connection failed, or ended ([`io::ErrorKind::UnexpectedEof`]).
    #[error("{0}")]
    Connection(#[source] io::Error),
    /// This is no HTTP.
    #[error("the chunks are not as HTTP has them")]
    Malformed,
    /// There are more trailers than a head may have, or longer ones.
    #[error("the trailers are too large")]
    TooLarge,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Place {
    Size,
    /// A chunk of which so many bytes are to come.
    Data(u64),
    LineEnd,
    Trailers,
    End,
}

/// What comes next of a body.
enum Next {
    Piece(Bytes),
    Trailers(HeaderMap),
    /// More has to be read first.
    More,
    End,
    Failed(ChunksError),
}

impl<T: Read + Send + Unpin + 'static> Chunks<T> {
    /// The body that begins with `ahead`. Without a home, the connection serves no other call.
    pub(super) const fn new(connection: Box<T>, ahead: BytesMut, home: Option<Home<T>>) -> Self {
        Self { connection: Some(connection), ahead, place: Place::Size, home }
    }

    /// The next piece, as the upstream wrote it, or the trailers; nothing at the end.
    ///
    /// After an error it is not to be asked again.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ChunksError>>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        let frame = loop {
            match self.place.next(&mut self.ahead) {
                Next::Piece(piece) => break Ok(Frame::data(piece)),
                Next::Trailers(trailers) => break Ok(Frame::trailers(trailers)),
                Next::More => match ready!(poll_more(&mut **connection, &mut self.ahead, cx)) {
                    Ok(1..) => {}
                    Ok(0) => break Err(ChunksError::Connection(io::ErrorKind::UnexpectedEof.into())),
                    Err(error) => break Err(ChunksError::Connection(error)),
                },
                Next::Failed(error) => break Err(error),
                Next::End => {
                    self.end();
                    return Poll::Ready(None);
                }
            }
        };
        Poll::Ready(Some(frame))
    }

    fn end(&mut self) {
        let connection = self.connection.take();
        // What comes unasked is no answer to the next call.
        if let (Some(connection), Some(home), true) = (connection, self.home.take(), self.ahead.is_empty()) {
            home.keep(connection);
        }
    }
}

impl Place {
    fn next(&mut self, ahead: &mut BytesMut) -> Next {
        loop {
            match *self {
                Self::Size => match size_line(ahead) {
                    Line::Whole(size, length) => {
                        ahead.advance(length);
                        *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
                    }
                    Line::Partial if ahead.len() < LINES => return Next::More,
                    _ => return Next::Failed(ChunksError::Malformed),
                },
                Self::Data(_) if ahead.is_empty() => return Next::More,
                Self::Data(left) => {
                    let piece = ahead.split_to(ahead.len().min(usize::try_from(left).unwrap_or(usize::MAX))).freeze();
                    let left = left - piece.len() as u64;
                    *self = if left == 0 { Self::LineEnd } else { Self::Data(left) };
                    return Next::Piece(piece);
                }
                Self::LineEnd => match ahead[..] {
                    [] | [b'\r'] => return Next::More,
                    [b'\r', b'\n', ..] => {
                        ahead.advance(2);
                        *self = Self::Size;
                    }
                    _ => return Next::Failed(ChunksError::Malformed),
                },
                Self::Trailers => match ahead[..] {
                    [] | [b'\r'] => return Next::More,
                    [b'\r', b'\n', ..] => {
                        ahead.advance(2);
                        *self = Self::End;
                    }
                    _ => return self.trailers(ahead),
                },
                Self::End => return Next::End,
            }
        }
    }

    fn trailers(&mut self, ahead: &mut BytesMut) -> Next {
        let end = ahead.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
        if ahead[..end.unwrap_or(ahead.len())].windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n') {
            return Next::Failed(ChunksError::Malformed);
        }
        match end {
            Some(end) => {
                *self = Self::End;
                fields(&ahead.split_to(end)).map_or_else(Next::Failed, Next::Trailers)
            }
            None if ahead.len() < LINES => Next::More,
            None => Next::Failed(ChunksError::TooLarge),
        }
    }
}

/// The fields of trailers.
fn fields(lines: &[u8]) -> Result<HeaderMap, ChunksError> {
    let mut room = [EMPTY_HEADER; HEADER_FIELDS];
    // Each field's line ends with CR LF, and so does the empty line behind them.
    let count = lines.windows(2).filter(|end| end == b"\r\n").count() - 1;
    let room = room.get_mut(..count).ok_or(ChunksError::TooLarge)?;
    let Ok(Status::Complete((_, fields))) = parse_headers(lines, room) else { return Err(ChunksError::Malformed) };
    let pair = |field: &Header<'_>| {
        Some((HeaderName::from_bytes(field.name.as_bytes()).ok()?, HeaderValue::from_bytes(field.value).ok()?))
    };
    fields.iter().map(pair).collect::<Option<_>>().ok_or(ChunksError::Malformed)
}

/// The line ahead of a chunk.
enum Line {
    /// Its size, and the line's own length.
    Whole(u64, usize),
    Partial,
    Malformed,
}

/// Digits, and perhaps extensions, which mean nothing to us.
fn size_line(bytes: &[u8]) -> Line {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let blanks = bytes[digits..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let mut end = digits + blanks;
    if bytes.get(end) == Some(&b';') {
        end += bytes[end..].iter().take_while(|byte| !matches!(byte, b'\r' | b'\n')).count();
    }
    let size = str::from_utf8(&bytes[..digits]).ok().map(|digits| u64::from_str_radix(digits, 16));
    match (size, &bytes[end..]) {
        _ if bytes.is_empty() => Line::Partial,
        (Some(Ok(_)), [] | [b'\r']) => Line::Partial,
        (Some(Ok(size)), [b'\r', b'\n', ..]) => Line::Whole(size, end + 2),
        _ => Line::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body says, however many pieces it is in.
    fn read(body: &[u8]) -> (String, Result<HeaderMap, Option<ChunksError>>) {
        let (mut place, mut ahead) = (Place::Size, BytesMut::from(body));
        let (mut said, mut trailers) = (String::new(), HeaderMap::new());
        let end = loop {
            match place.next(&mut ahead) {
                Next::Piece(piece) => said += str::from_utf8(&piece).expect("text"),
                Next::Trailers(found) => trailers = found,
                Next::More => break Err(None),
                Next::End => break Ok(trailers),
                Next::Failed(error) => break Err(Some(error)),
            }
        };
        (said, end)
    }

    #[test]
    fn fields_of_the_same_name_are_all_there_in_their_order() {
        let (said, trailers) = read(b"2\r\nhi\r\n0\r\nx: a\r\ny: b\r\nX: c\r\n\r\nnext");
        let trailers = trailers.expect("a whole body");
        assert_eq!((said.as_str(), trailers.len()), ("hi", 3));
        assert!(trailers.get_all("x").iter().eq(["a", "c"]));
    }

    #[test]
    fn lines_that_do_not_end_are_not_read_for_ever() {
        let long = |length| [b"2\r\nhi\r\n2;".as_slice(), &vec![b'x'; length]].concat();
        assert!(matches!(read(&long(LINES - 3)).1, Err(None)));
        assert!(matches!(read(&long(LINES)).1, Err(Some(ChunksError::Malformed))));
        let long = |length| [b"0\r\nx:".as_slice(), &vec![b'x'; length]].concat();
        assert!(matches!(read(&long(LINES - 3)).1, Err(None)));
        assert!(matches!(read(&long(LINES)).1, Err(Some(ChunksError::TooLarge))));
    }

    #[test]
    fn as_many_trailers_pass_as_a_head_has_fields() {
        let body = |count| format!("0\r\n{}\r\n", "x: y\r\n".repeat(count)).into_bytes();
        assert_eq!(read(&body(HEADER_FIELDS)).1.expect("a whole body").len(), HEADER_FIELDS);
        assert!(matches!(read(&body(HEADER_FIELDS + 1)).1, Err(Some(ChunksError::TooLarge))));
    }

    #[test]
    fn a_size_that_no_machine_can_count_is_no_http() {
        assert!(matches!(read(b"10000000000000000\r\n").1, Err(Some(ChunksError::Malformed))));
        assert!(matches!(read(b"ffffffffffffffff\r\nabc").1, Err(None)));
    }
}
