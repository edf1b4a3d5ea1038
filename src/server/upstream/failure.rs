//! What an upstream's failures mean to a client.

use std::{error::Error as StdError, io, iter, time::Duration};

use hyper_util::client::legacy;

use super::{chunks::ChunksError, resolver::ResolveError, tap::BodyError};
use crate::proto::{Code, Fault, frame::Notice};

type Cause = dyn StdError + 'static;

/// An error and those behind it.
fn chain(error: &Cause) -> impl Iterator<Item = &Cause> {
    iter::successors(Some(error), |error| behind(*error))
}

fn behind(error: &Cause) -> Option<&Cause> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        // The `source` of an `io::Error` skips the error that it wraps.
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The first error of this type in the chain.
fn find<T: StdError + 'static>(error: &Cause) -> Option<&T> {
    chain(error).find_map(<Cause>::downcast_ref)
}

/// What the system says is wrong: an error of no kind is only a wrapping.
fn find_io(error: &Cause) -> Option<io::ErrorKind> {
    let mut kinds = chain(error).filter_map(<Cause>::downcast_ref).map(io::Error::kind);
    kinds.find(|kind| *kind != io::ErrorKind::Other)
}

/// Whether the upstream says that it did not process the request: it refused the stream, or was closing the connection
/// and names an earlier stream as its last (RFC 9113 section 8.7).
pub(super) fn is_refusal(error: &legacy::Error) -> bool {
    find::<h2::Error>(error).is_some_and(|error| {
        let said = |reason| error.is_remote() && error.reason() == Some(reason);
        (error.is_reset() && said(h2::Reason::REFUSED_STREAM)) || (error.is_go_away() && said(h2::Reason::NO_ERROR))
    })
}

/// Whether nothing of the request was written, because the connection that was chosen for it turned out to be closed.
pub(super) fn is_unsent(error: &Cause) -> bool {
    find::<hyper::Error>(error).is_some_and(|error| error.is_canceled() || error.is_closed())
}

/// What a failure before the response head means.
pub(in crate::server) fn call_failed(error: &legacy::Error, host: &str, connect: Duration) -> Notice {
    let (code, fault, text) = if let Some(resolve) = find::<ResolveError>(error) {
        let (code, fault) = match resolve {
            ResolveError::Unresolved(_) | ResolveError::NoAnswer(_) => (Code::UpstreamUnresolved, Fault::Upstream),
            ResolveError::NotAllowed => (Code::AddressNotAllowed, Fault::Proxy),
        };
        (code, fault, format!("the proxy cannot call {host}: {resolve}"))
    } else if let Some(tls) = find::<rustls::Error>(error).filter(|_| error.is_connect()) {
        (Code::UpstreamTls, Fault::Upstream, format!("TLS between the proxy and {host} failed: {tls}"))
    } else if error.is_connect() {
        let why = match find_io(error) {
            Some(io::ErrorKind::TimedOut) => format!("no connection within {} s", connect.as_secs_f64()),
            Some(io::ErrorKind::ConnectionRefused) => "it refused the connection".into(),
            Some(io::ErrorKind::ConnectionReset) => "it reset the connection".into(),
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => "there is no route to it".into(),
            Some(kind) => kind.to_string(),
            None => "no connection".into(),
        };
        (Code::UpstreamUnreachable, Fault::Upstream, format!("the proxy cannot reach {host}: {why}"))
    } else {
        return broke(error, "before its answer began");
    };
    Notice::new(code, fault, text).retry_safe()
}

/// What a failure in the middle of the response body means.
pub(super) fn body_failed(error: &BodyError) -> Notice {
    broke(error, "in the middle of its answer")
}

/// The upstream's head does not fit.
pub(in crate::server) fn head_too_large() -> Notice {
    let text = "the upstream's headers are more than the relay carries (256 fields, 16 000 bytes)";
    Notice::new(Code::HeadTooLarge, Fault::Upstream, text)
}

fn broke(error: &Cause, when: &str) -> Notice {
    let (http, chunks) = (find::<hyper::Error>(error), find::<ChunksError>(error));
    if http.is_some_and(hyper::Error::is_parse_too_large) || matches!(chunks, Some(ChunksError::TooLarge)) {
        return head_too_large();
    }
    let parse = http.is_some_and(hyper::Error::is_parse) || matches!(chunks, Some(ChunksError::Malformed));
    // What the library finds wrong inside a body comes as one of these.
    if parse || matches!(find_io(error), Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)) {
        Notice::new(Code::UpstreamProtocol, Fault::Upstream, format!("the upstream sent what is not HTTP {when}"))
    } else {
        Notice::new(Code::UpstreamClosed, Fault::Upstream, format!("the upstream closed the connection {when}"))
    }
}
