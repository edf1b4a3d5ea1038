//! One exchange: counted from its head to its end, its request body read and recorded.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use crate::records::{KEPT_BODY, State};

/// Counts an exchange as open until it is finished; dropped before, as a caller that hung up.
#[derive(Debug)]
pub(crate) struct Guard {
    state: Arc<State>,
    finished: bool,
}

impl Guard {
    /// Records the request and counts it; gives its number too.
    pub(crate) fn open(state: &Arc<State>, head: &Parts) -> (Self, u64) {
        let number = state.record(head);
        state.count(|stats| {
            stats.requests += 1;
            stats.open += 1;
        });
        let guard = Self { state: state.clone(), finished: false };
        (guard, number)
    }

    /// The exchange ended as scripted.
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let stopping = self.state.stop.is_cancelled();
        self.state.count(|stats| {
            stats.open -= 1;
            if self.finished {
                stats.completed += 1;
            } else if !stopping {
                stats.hung_up += 1;
            }
        });
    }
}

/// The caller went away, or broke HTTP, while its body was read.
#[derive(Debug)]
pub(crate) struct Broken;

/// A request body on its way in. What was read is recorded at the end, or when this is dropped.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Incoming,
    state: Arc<State>,
    number: u64,
    hash: Sha256,
    length: u64,
    kept: BytesMut,
    noted: bool,
}

/// How long the rest of an upload is read that was answered early.
const LINGER: Duration = Duration::from_secs(5);

/// A wholly read body.
#[derive(Debug)]
pub(crate) struct Received {
    /// The first [`KEPT_BODY`] bytes.
    pub(crate) kept: Bytes,
    pub(crate) length: u64,
    pub(crate) sha256: [u8; 32],
}

impl Upload {
    pub(crate) fn new(body: Incoming, state: &Arc<State>, number: u64) -> Self {
        Self { body, state: state.clone(), number, hash: Sha256::new(), length: 0, kept: BytesMut::new(), noted: false }
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        while let Some(frame) = self.body.frame().await {
            let Ok(data) = frame.map_err(|_| Broken)?.into_data() else {
                continue; // trailers
            };
            self.hash.update(&data);
            self.length += data.len() as u64;
            let room = KEPT_BODY - self.kept.len();
            self.kept.extend_from_slice(&data[..room.min(data.len())]);
            return Ok(Some(data));
        }
        self.note(true);
        Ok(None)
    }

    /// The whole body in memory.
    pub(crate) async fn all(mut self) -> Result<Bytes, Broken> {
        let mut pieces = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            pieces.extend_from_slice(&piece);
        }
        Ok(pieces.freeze())
    }

    /// Reads to the end and keeps only what is recorded.
    pub(crate) async fn drain(mut self) -> Result<Received, Broken> {
        while self.chunk().await?.is_some() {}
        Ok(Received { kept: self.kept.split().freeze(), length: self.length, sha256: self.hash.clone().finalize().into() })
    }

    /// Reads on for a while although nobody wants it, as providers' front ends do: a connection that is closed with unread
    /// bytes takes the answer with it that is on its way.
    pub(crate) fn linger(mut self) {
        tokio::spawn(tokio::time::timeout(LINGER, async move { while let Ok(Some(_)) = self.chunk().await {} }));
    }

    fn note(&mut self, end: bool) {
        if std::mem::replace(&mut self.noted, true) {
            return;
        }
        let kept = Bytes::copy_from_slice(&self.kept);
        self.state.note_body(self.number, self.hash.clone(), self.length, kept, end);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.note(false);
    }
}
