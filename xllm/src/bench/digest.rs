//! What a record says once it is read, and how its call ended. Pure.

use http::HeaderMap;

use super::{
    record::{End, Record},
    result::Outcome,
    tokens::{self, Tokens},
    values::{self, Values},
};
use crate::{
    chat::{ApiError, PROXY_ERROR},
    config::Api,
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
    pub(crate) failure: Option<String>,
    /// Of an answer that is whole.
    pub(crate) values: Option<Values>,
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

/// How the call ended; the error is why it failed, in a sentence that holds neither prompt nor answer.
fn judge(record: &Record, tokens: &Tokens) -> Result<Outcome, String> {
    match &record.end {
        End::Cancelled => return Ok(Outcome::Cancelled),
        End::Broken(error) => return Err(error.to_string()),
        End::Silent => return Err("nothing came for as long as --timeout allows".to_owned()),
        End::TooLarge => return Err("the answer is larger than 64 MiB".to_owned()),
        End::Whole => {}
    }
    if let Some(parts) = record.head.as_ref().map(|head| &head.parts) {
        if let Some(code) = parts.headers.get(PROXY_ERROR) {
            return Err(format!("the proxy refused ({})", String::from_utf8_lossy(code.as_bytes())));
        }
        if !parts.status.is_success() {
            let error = serde_json::from_slice(&record.body).ok().as_ref().and_then(ApiError::read);
            let kind = error.and_then(|error| error.kind).map_or_else(String::new, |kind| format!(" ({kind})"));
            return Err(format!("HTTP {}{kind}", parts.status.as_u16()));
        }
    }
    if let Some(error) = &tokens.error {
        return Err(format!("the API gave up midway ({error})"));
    }
    if tokens.unreadable {
        return Err("the answer is not a stream of events that can be read".to_owned());
    }
    if !tokens.finished {
        return Err("the stream ended without its closing event".to_owned());
    }
    Ok(Outcome::Done)
}
