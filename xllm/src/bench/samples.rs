//! Calls as tests need them.

use std::time::Duration;

use xllm_proxy::client::{Receipt, Stamps};

use super::{
    digest::{Digest, digest},
    record::{Chunk, End, Head, Record},
    result::Route,
};
use crate::config::Api;

/// A whole answer of one token at each of these times, in milliseconds since the send, which was at 0.
pub(crate) fn sample(route: Route, pair: u64, times: &[f64]) -> Digest {
    digest(Api::OpenAi, record(route, pair, times))
}

/// The same with the proxy's stamps: `(arrived, held)` of each token, and when the request was sent on, in microseconds.
pub(crate) fn stamped(pair: u64, times: &[f64], stamps: &[(u64, u64)], sent: u64) -> Digest {
    let mut record = record(Route::Proxied, pair, times);
    for (chunk, (arrived, held)) in record.chunks.iter_mut().zip(stamps) {
        chunk.stamps = Some(Stamps { arrived: *arrived, held: *held });
    }
    record.receipt = Some(Receipt { sent: Some(sent), ..Receipt::default() });
    digest(Api::OpenAi, record)
}

/// The call before it is read.
pub(crate) fn record(route: Route, pair: u64, times: &[f64]) -> Record {
    let token = |last: bool| {
        let event = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
        if last { format!("{event}data: [DONE]\n\n") } else { event.to_owned() }
    };
    let mut record = Record {
        pair,
        route,
        first: true,
        scheduled: Duration::ZERO,
        ready: Duration::ZERO,
        sent: Duration::ZERO,
        head: Some(Head { at: Duration::ZERO, parts: Box::new(http::Response::new(()).into_parts().0) }),
        chunks: Vec::new(),
        body: Vec::new(),
        end: End::Whole,
        ended: Duration::ZERO,
        receipt: None,
    };
    for (number, time) in times.iter().enumerate() {
        let event = token(number + 1 == times.len());
        record.ended = Duration::from_secs_f64(time / 1e3);
        record.chunks.push(Chunk { at: record.ended, length: event.len(), stamps: None });
        record.body.extend(event.bytes());
    }
    record
}
