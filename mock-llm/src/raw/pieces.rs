//! Bodies made piece by piece, never held whole.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use futures::stream::unfold;
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::Semaphore;

use super::pattern;
use crate::body::Cut;
use crate::delivery::pass;

/// Bytes per piece unless the caller asks for another size.
pub(super) const CHUNK: usize = 64 * 1024;

/// What comes behind the last piece, if anything.
#[derive(Debug)]
pub(super) enum End {
    Cut,
    Trailers(HeaderMap),
}

/// The first `total` bytes of the pattern in pieces of `chunk`, then `end`. A `chunk` of 0 counts
/// as 1.
pub(super) fn run(total: u64, chunk: usize, end: Option<End>) -> impl Stream<Item = Result<Frame<Bytes>, Cut>> + Send {
    let chunk = NonZeroUsize::new(chunk).unwrap_or(NonZeroUsize::MIN).get();
    unfold((0, end), move |(offset, mut end)| async move {
        if offset == total {
            let last = match end.take()? {
                End::Cut => Err(Cut),
                End::Trailers(trailers) => Ok(Frame::trailers(trailers)),
            };
            return Some((last, (offset, None)));
        }
        let left = usize::try_from(total - offset).unwrap_or(usize::MAX);
        let mut piece = vec![0; chunk.min(left)];
        pattern(offset, &mut piece);
        let next = offset + piece.len() as u64;
        Some((Ok(Frame::data(piece.into())), (next, end)))
    })
}

/// `chunks` pieces of `size` bytes, each behind a permit of `gate`. Piece *i* begins with *i* in 8
/// bytes, big-endian, and goes on with the pattern from 0.
pub(super) fn gated(gate: Arc<Semaphore>, chunks: u64, size: usize) -> impl Stream<Item = Result<Frame<Bytes>, Cut>> + Send {
    unfold(0u64, move |number| {
        let gate = gate.clone();
        async move {
            if number == chunks {
                return None;
            }
            pass(&gate).await;
            let mut piece = number.to_be_bytes().to_vec();
            piece.resize(size, 0);
            pattern(0, &mut piece[8..]);
            Some((Ok(Frame::data(piece.into())), number + 1))
        }
    })
}
