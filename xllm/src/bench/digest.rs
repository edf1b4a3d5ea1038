//! What a record says once it is read, and how its call ended. Pure.

use http::HeaderMap;

use super::{
    named::named,
    record::{End, Record},
    result::Outcome,
    tokens::{self, Tokens},
    values::{self, Values},
};
use crate::{
    chat::{ApiError, PROXY_ERROR},
    config::Api,
    exit::Exit,
};

/// A call, read. Of its record, the body and the headers are gone, and the pieces, too, unless the proxy stamped them.
#[derive(Debug)]
pub(crate) struct Digest {
    pub(crate) record: Record,
    /// Pieces and bytes of the body.
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
    pub(crate) tokens: Tokens,
    pub(crate) outcome: Outcome,
    /// Why it failed.
    pub(crate) failure: Option<Reason>,
    /// Of an answer that is whole.
    pub(crate) values: Option<Values>,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reason {
    /// A sentence that holds neither prompt nor answer.
    pub(crate) text: String,
    /// Whose doing it was: what a chat would end with.
    pub(crate) exit: Exit,
}

impl Reason {
    fn api(text: impl Into<String>) -> Self {
        Self { text: text.into(), exit: Exit::Api }
    }
}

/// Reads a record.
pub(crate) fn digest(api: Api, mut record: Record) -> Digest {
    let tokens = tokens::read(api, &record);
    let (outcome, failure) = match judge(&record, &tokens) {
        Ok(outcome) => (outcome, None),
        Err(reason) => (Outcome::Failed, Some(reason)),
    };
    let values = (outcome == Outcome::Done).then(|| values::values(&record, &tokens));
    let (chunks, bytes) = (record.chunks.len() as u64, record.body.len() as u64);
    record.body = Vec::new();
    if let Some(head) = &mut record.head {
        head.parts.headers = HeaderMap::new();
    }
    if record.chunks.iter().all(|chunk| chunk.stamps.is_none()) {
        record.chunks = Vec::new();
    }
    Digest { record, chunks, bytes, tokens, outcome, failure, values }
}

/// How the call ended; the error is why it failed.
fn judge(record: &Record, tokens: &Tokens) -> Result<Outcome, Reason> {
    match &record.end {
        End::Cancelled => return Ok(Outcome::Cancelled),
        End::Broken(error) => return Err(Reason { text: error.to_string(), exit: error.exit() }),
        End::Silent => return Err(Reason::api("nothing came for as long as --timeout allows")),
        End::Late => return Err(Reason::api("the answer took longer than --deadline allows")),
        End::Unsent => {
            return Err(Reason::api("not sent: --max-in-flight requests were under way for as long as --timeout allows"));
        }
        End::TooLarge => return Err(Reason::api("the answer takes more than 64 MiB")),
        End::Whole => {}
    }
    if let Some(parts) = record.head.as_ref().map(|head| &head.parts) {
        if let Some(code) = parts.headers.get(PROXY_ERROR) {
            let text = format!("the proxy refused ({})", named(code.to_str().ok()));
            return Err(Reason { text, exit: Exit::Proxy });
        }
        if !parts.status.is_success() {
            let error = serde_json::from_slice(&record.body).ok().as_ref().and_then(ApiError::read);
            let kind = error.and_then(|error| error.kind).map_or_else(String::new, |kind| format!(" ({})", named(Some(&kind))));
            return Err(Reason::api(format!("HTTP {}{kind}", parts.status.as_u16())));
        }
    }
    if let Some(error) = &tokens.error {
        return Err(Reason::api(format!("the API gave up midway ({error})")));
    }
    if tokens.unreadable {
        return Err(Reason::api("the answer is not a stream of events that can be read"));
    }
    if !tokens.finished {
        return Err(Reason::api("the stream ended without its closing event"));
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{result::Route, samples};

    /// Why a call fails that is answered with this status, header and body.
    fn reason(status: u16, header: &[u8], body: &str) -> Reason {
        let mut record = samples::record(Route::Proxied, 0, &[1.0]);
        let head = &mut record.head.as_mut().expect("a sample has one").parts;
        head.status = http::StatusCode::from_u16(status).expect("a status");
        if !header.is_empty() {
            head.headers.insert(PROXY_ERROR, http::HeaderValue::from_bytes(header).expect("a header"));
        }
        record.body = body.as_bytes().to_vec();
        record.chunks[0].length = body.len();
        digest(Api::OpenAi, record).failure.expect("it failed")
    }

    fn failure(status: u16, header: &[u8], body: &str) -> String {
        reason(status, header, body).text
    }

    #[test]
    fn what_the_proxy_refuses_is_not_the_apis_doing() {
        assert_eq!(reason(502, b"connect-failed", "").exit, Exit::Proxy);
        assert_eq!(reason(502, b"", "").exit, Exit::Api);
    }

    #[test]
    fn what_a_server_says_in_place_of_a_name_is_not_repeated() {
        let key = format!("sk-{}", "aB3".repeat(16));
        for word in ["\\u001b[2J\\u001b]0;gone", key.as_str(), &"long".repeat(1 << 18)] {
            let error = format!("{{\"error\":{{\"message\":\"m\",\"type\":\"{word}\"}}}}");
            assert_eq!(failure(401, b"", &error), "HTTP 401 (an error without a name)");
            let midway = format!("data: {error}\n\n");
            assert_eq!(failure(200, b"", &midway), "the API gave up midway (an error without a name)");
        }
        for header in [b"\xff\xfe".as_slice(), key.as_bytes(), b"two words"] {
            assert_eq!(failure(502, header, ""), "the proxy refused (an error without a name)");
        }
        assert_eq!(failure(502, b"connect-failed", ""), "the proxy refused (connect-failed)");
    }
}
