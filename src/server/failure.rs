//! What an upstream's failures mean to a client.

use std::{error::Error as StdError, io, time::Duration};

use super::address::ResolveError;
use crate::proto::{Code, Fault, frame::Notice};

/// The first error of this type in the chain.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // The `source` of an `io::Error` skips the error that it wraps.
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// What a failure before the response head means.
pub(super) fn call_failed(error: &reqwest::Error, host: &str, connect: Duration) -> Notice {
    let (code, fault, text) = if let Some(resolve) = find::<ResolveError>(error) {
        let (code, fault) = match resolve {
            ResolveError::Unresolved(_) => (Code::UpstreamUnresolved, Fault::Upstream),
            ResolveError::NotAllowed => (Code::AddressNotAllowed, Fault::Proxy),
        };
        (code, fault, format!("the proxy cannot call {host}: {resolve}"))
    } else if let Some(tls) = find::<rustls::Error>(error).filter(|_| error.is_connect()) {
        (Code::UpstreamTls, Fault::Upstream, format!("TLS between the proxy and {host} failed: {tls}"))
    } else if error.is_connect() {
        let why = if error.is_timeout() {
            format!("no connection within {} s", connect.as_secs_f64())
        } else {
            find::<io::Error>(error).map_or_else(|| "no connection".to_owned(), describe_io)
        };
        (Code::UpstreamUnreachable, Fault::Upstream, format!("the proxy cannot reach {host}: {why}"))
    } else {
        return broke(error, "before its answer began");
    };
    Notice::new(code, fault, text).retry_safe()
}

fn describe_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "it refused the connection".into(),
        io::ErrorKind::ConnectionReset => "it reset the connection".into(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "there is no route to it".into(),
        kind => kind.to_string(),
    }
}

/// What a failure in the middle of the response body means.
pub(super) fn body_failed(error: &reqwest::Error) -> Notice {
    broke(error, "in the middle of its answer")
}

/// The upstream's head does not fit.
pub(super) fn head_too_large() -> Notice {
    let text = "the upstream's headers are more than the relay carries (256 fields, 16 000 bytes)";
    Notice::new(Code::HeadTooLarge, Fault::Upstream, text)
}

fn broke(error: &reqwest::Error, when: &str) -> Notice {
    let http = find::<hyper::Error>(error);
    if http.is_some_and(hyper::Error::is_parse_too_large) {
        return head_too_large();
    }
    let parse = http.is_some_and(hyper::Error::is_parse);
    // What is wrong inside a chunked body comes as one of these.
    let chunks = find::<io::Error>(error).map(io::Error::kind);
    if parse || matches!(chunks, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)) {
        Notice::new(Code::UpstreamProtocol, Fault::Upstream, format!("the upstream sent what is not HTTP {when}"))
    } else {
        Notice::new(Code::UpstreamClosed, Fault::Upstream, format!("the upstream closed the connection {when}"))
    }
}
