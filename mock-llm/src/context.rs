//! What the answer to one API request stands on.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use crate::body::{Reply, full};
use crate::fault::Fault;
use crate::gzip;
use crate::random::{BASE62, HEX, seed, word};
use crate::records::State;
use crate::script::{HEADER, PARAMETER, Script};

pub(crate) const JSON: &str = "application/json";
/// The header by which OpenAI's callers name a request, the same for each of its attempts.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Whose shapes an answer has.
pub(crate) trait Provider: fmt::Debug + Sync {
    /// What the API and the edge before it add to each response.
    fn headers(&self, context: &Context) -> Vec<(&'static str, String)>;

    /// The document with which responses and streams alike tell an error.
    fn error_body(&self, context: &Context, fault: &Fault) -> Value;

    /// The error that a status implies; without a status, the one of a stream that fails.
    fn fault_of(&self, status: Option<StatusCode>) -> Fault;

    /// A JSON document as this provider prints it; a `Value` always serializes.
    fn write(&self, value: &Value) -> Vec<u8>;
}

/// One request: its script, its number, and the moment from which deadlines count.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) provider: &'static dyn Provider,
    pub(crate) state: Arc<State>,
    pub(crate) script: Script,
    pub(crate) start: Instant,
    /// Whether what is sent is packed.
    pub(crate) gzip: bool,
    number: u64,
}

impl Context {
    /// The context of a request; its script is the instance's until [`read_script`](Self::read_script).
    pub(crate) fn new(provider: &'static dyn Provider, state: &Arc<State>, number: u64) -> Self {
        Self { provider, state: state.clone(), script: state.script.clone(), start: Instant::now(), gzip: false, number }
    }

    /// Takes over what the request itself scripts; its header wins over its query.
    pub(crate) fn read_script(&mut self, head: &Parts) -> Result<(), Fault> {
        let query = head.uri.query().unwrap_or_default();
        for (name, json) in url::form_urlencoded::parse(query.as_bytes()) {
            if name == PARAMETER {
                self.overlay(PARAMETER, json.as_bytes())?;
            }
        }
        for json in head.headers.get_all(HEADER) {
            self.overlay(HEADER, json.as_bytes())?;
        }
        self.gzip = self.script.gzip == Some(true) && takes_gzip(head);
        self.count_attempt(head)
    }

    /// Takes out of the script what is to go wrong for earlier attempts alone.
    fn count_attempt(&mut self, head: &Parts) -> Result<(), Fault> {
        let Some(failing) = self.script.fail_attempts else {
            return Ok(());
        };
        let named = head.headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok());
        let key = self.script.attempt_key.as_deref().or(named);
        let key =
            key.ok_or_else(|| Fault::invalid(format!("{HEADER}: fail_attempts needs attempt_key or {IDEMPOTENCY_KEY}")))?;
        if self.state.attempt(key) >= failing {
            self.script = std::mem::take(&mut self.script).harmless();
        }
        Ok(())
    }

    fn overlay(&mut self, source: &str, json: &[u8]) -> Result<(), Fault> {
        let script = Script::parse(json).map_err(|sentence| Fault::invalid(format!("{source}: {sentence}")).param(source))?;
        self.script = script.over(&self.script);
        Ok(())
    }

    /// `prefix` and `length` letters that no other request of the instance has.
    pub(crate) fn id(&self, prefix: &str, length: usize) -> String {
        format!("{prefix}{}", self.letters(prefix, length))
    }

    /// The letters alone; another `label` gives others.
    pub(crate) fn letters(&self, label: &str, length: usize) -> String {
        word(self.seed(label), length, BASE62)
    }

    /// The same in hexadecimal.
    pub(crate) fn hex(&self, prefix: &str, length: usize) -> String {
        format!("{prefix}{}", word(self.seed(prefix), length, HEX))
    }

    fn seed(&self, label: &str) -> u64 {
        crate::random::mix(self.number) ^ seed(label)
    }

    /// The number of the request, for countdowns of rate limits.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// A reply with the provider's headers.
    pub(crate) fn reply(
        &self,
        status: StatusCode,
        content_type: &'static str,
        body: http_body_util::combinators::UnsyncBoxBody<Bytes, crate::body::Cut>,
    ) -> Reply {
        let mut reply = Response::new(body);
        *reply.status_mut() = status;
        *reply.headers_mut() = self.headers();
        let content_type = HeaderValue::from_static(content_type);
        reply.headers_mut().insert(CONTENT_TYPE, content_type);
        reply
    }

    /// The same, for a body that is packed if the context's answers are.
    pub(crate) fn packed_reply(
        &self,
        status: StatusCode,
        content_type: &'static str,
        body: http_body_util::combinators::UnsyncBoxBody<Bytes, crate::body::Cut>,
    ) -> Reply {
        let mut reply = self.reply(status, content_type, body);
        if self.gzip {
            reply.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            reply.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        reply
    }

    /// A document as it is sent.
    pub(crate) fn write(&self, value: &Value) -> Bytes {
        let document = self.provider.write(value);
        if self.gzip { gzip::pack(&document) } else { document.into() }
    }

    /// A small document, at once.
    pub(crate) fn document(&self, value: &Value) -> Reply {
        self.packed_reply(StatusCode::OK, JSON, full(self.write(value)))
    }

    /// An error in the provider's shape.
    pub(crate) fn fault(&self, fault: &Fault) -> Reply {
        let body = self.error_body(fault);
        let mut reply = self.packed_reply(fault.status, JSON, full(self.write(&body)));
        if let Some(seconds) = fault.retry_after {
            reply.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        reply
    }

    /// The document that tells an error, for those that a stream sends.
    pub(crate) fn error_body(&self, fault: &Fault) -> Value {
        self.provider.error_body(self, fault)
    }

    /// The error that the script asks for.
    pub(crate) fn scripted_fault(&self) -> Fault {
        let mut fault = self.provider.fault_of(self.script.status());
        if let Some(kind) = &self.script.error_type {
            fault.kind.clone_from(kind);
        }
        fault.retry_after = self.script.retry_after;
        fault
    }

    fn headers(&self) -> HeaderMap {
        let list = self.provider.headers(self);
        let mut headers = HeaderMap::with_capacity(list.len() + 2);
        for (name, value) in list {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        headers
    }
}

/// Whether the caller says that it takes gzip; the weights of a list are not heeded, except that of nothing at all.
fn takes_gzip(head: &Parts) -> bool {
    let lists = head.headers.get_all(ACCEPT_ENCODING).into_iter();
    let codings = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
    let mut codings = codings.map(|coding| coding.trim().split_once(';').unwrap_or((coding.trim(), "")));
    codings.any(|(name, weight)| name.eq_ignore_ascii_case("gzip") && weight.trim() != "q=0")
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
