//! One line of the log for each request: never a query, a header or a body.

use std::{borrow::Cow, time::Instant};

use http::{Method, StatusCode};
use tracing::{info, warn};
use xllm_proxy::client;

use super::refusal::Refusal;

/// What is said of a request. Dropped before its end was noted, the caller is gone.
#[derive(Debug)]
pub(super) struct Account {
    method: Method,
    path: String,
    start: Instant,
    status: Option<StatusCode>,
    bytes: u64,
    told: bool,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome<'a> {
    /// With the provider's whole answer.
    Complete,
    /// With an answer of the relay's own.
    Refused(&'a Refusal),
    /// In the middle of the provider's answer.
    BrokenOff(&'a client::Error),
}

impl Account {
    pub(super) fn open(method: &Method, path: &str) -> Self {
        let (method, path) = (method.clone(), shown(path).into_owned());
        Self { method, path, start: Instant::now(), status: None, bytes: 0, told: false }
    }

    pub(super) const fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(super) const fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    pub(super) fn end(&mut self, outcome: Outcome<'_>) {
        self.told = true;
        let Self { method, path, bytes, .. } = self;
        let (status, ms) = (self.status.map_or(0, |status| status.as_u16()), self.start.elapsed().as_millis());
        match outcome {
            Outcome::Complete => info!("{method} {path} → {status}, {bytes} bytes in {ms} ms"),
            Outcome::Refused(refusal) => {
                warn!("{method} {path} → {}, {}: {}", refusal.status().as_u16(), refusal.code(), refusal.message());
            }
            Outcome::BrokenOff(error) => {
                warn!("{method} {path} → {status}, broken off after {bytes} bytes and {ms} ms, {}: {error}", error.code());
            }
        }
    }
}

/// A path without what may be a password: what stands before an `@` where a host is spelled out.
fn shown(path: &str) -> Cow<'_, str> {
    match path.rsplit_once('@') {
        Some((_, rest)) if path.trim_start_matches('/').starts_with("x/") => format!("/x/…@{rest}").into(),
        _ => path.into(),
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.told {
            let Self { method, path, bytes, .. } = self;
            info!("{method} {path}: the caller left after {bytes} bytes and {} ms", self.start.elapsed().as_millis());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_was_put_into_a_host_is_not_shown() {
        assert_eq!(shown("/x/https/me:secret@h.example/v1"), "/x/…@h.example/v1");
        assert_eq!(shown("//x/https/me:sec@ret@h/v1"), "/x/…@h/v1");
        assert_eq!(shown("/gemini/v1/models/claude@2026"), "/gemini/v1/models/claude@2026");
    }
}
