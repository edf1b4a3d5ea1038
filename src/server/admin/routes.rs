//! What can be asked.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST},
    uri::Authority,
};
use http_body::Body;

use super::Admin;
use crate::server::metrics::{Format, Readiness};

/// The field without which nothing is reloaded: a web page cannot send it to another origin unasked.
pub const RELOAD_HEADER: &str = "x-xllm-admin";

/// Reads configuration and keys once more. Gives a line that says what is in force now, or why all stays as it was.
pub type Reload = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

type Answer = Response<String>;

/// Answers a request that came to this address.
pub(super) async fn route(admin: &Admin, local: SocketAddr, request: Request<impl Body>) -> Answer {
    let post = request.uri().path() == "/reload";
    if !is_for_us(&request, local, post) {
        let text = "the host of the request is not this listener's address; ask it by its address, or as localhost";
        return answer(StatusCode::FORBIDDEN, text);
    }
    if !request.body().is_end_stream() {
        return answer(StatusCode::PAYLOAD_TOO_LARGE, "no route takes a body");
    }
    let allowed = if post { "POST" } else { "GET, HEAD" };
    let fits = if post { *request.method() == Method::POST } else { matches!(*request.method(), Method::GET | Method::HEAD) };
    match request.uri().path() {
        "/healthz" | "/readyz" | "/metrics" | "/reload" if !fits => {
            let mut answer = answer(StatusCode::METHOD_NOT_ALLOWED, &format!("this route takes {allowed}"));
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            answer
        }
        "/healthz" => answer(StatusCode::OK, "ok"),
        "/readyz" => match admin.metrics.readiness() {
            Readiness::Accepting => answer(StatusCode::OK, "ready"),
            Readiness::Starting => answer(StatusCode::SERVICE_UNAVAILABLE, "not ready: the server is starting"),
            Readiness::Draining => answer(StatusCode::SERVICE_UNAVAILABLE, "not ready: the server is draining"),
        },
        "/metrics" => {
            let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            let format = Format::accepted(accept);
            of_type(StatusCode::OK, format.content_type(), admin.metrics.text(format))
        }
        "/reload" if !request.headers().contains_key(RELOAD_HEADER) => {
            answer(StatusCode::FORBIDDEN, &format!("this needs the header {RELOAD_HEADER}: 1"))
        }
        "/reload" => reload(admin).await,
        _ => answer(StatusCode::NOT_FOUND, "routes: GET /healthz, GET /readyz, GET /metrics, POST /reload"),
    }
}

async fn reload(admin: &Admin) -> Answer {
    let reload = admin.reload.clone();
    // It reads files.
    match tokio::task::spawn_blocking(move || reload()).await {
        Ok(Ok(line)) => answer(StatusCode::OK, &line),
        Ok(Err(reason)) => answer(StatusCode::UNPROCESSABLE_ENTITY, &reason),
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, "the reload failed inside the proxy; its log may say why"),
    }
}

/// Whether who asks means us. A web page can have its own host's name resolve to any address (DNS rebinding), and then its browser
/// sends that name here. So a listener that is on loopback hears nothing else, and what changes something wants an address, or
/// `localhost`, in any case. A request without any host is of no browser: load balancers send such.
fn is_for_us(request: &Request<impl Body>, local: SocketAddr, strict: bool) -> bool {
    let authority = match (request.uri().authority(), request.headers().get(HOST)) {
        (Some(authority), _) => Some(authority.clone()),
        (None, Some(host)) => match Authority::try_from(host.as_bytes()) {
            Ok(authority) => Some(authority),
            Err(_) => return false,
        },
        (None, None) => None,
    };
    let Some(authority) = authority else { return !strict };
    if !strict && !local.ip().to_canonical().is_loopback() {
        return true;
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback() || address.to_canonical() == local.ip().to_canonical(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// A line of text.
fn answer(status: StatusCode, line: &str) -> Answer {
    of_type(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

fn of_type(status: StatusCode, content_type: &'static str, text: String) -> Answer {
    let mut answer = Response::new(text);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_for_us_at(local: &str, host: Option<&str>, strict: bool) -> bool {
        let mut request = Request::get("/metrics");
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        is_for_us(&request.body(String::new()).expect("a request"), local.parse().expect("an address"), strict)
    }

    #[test]
    fn a_page_that_makes_its_name_resolve_to_us_is_not_heard() {
        for (local, host, reads, changes) in [
            ("127.0.0.1:50052", Some("127.0.0.1:50052"), true, true),
            ("127.0.0.1:50052", Some("LOCALHOST:9"), true, true),
            ("127.0.0.1:50052", Some("[::1]"), true, true),
            ("127.0.0.1:50052", None, true, false),
            ("127.0.0.1:50052", Some("evil.example"), false, false),
            ("127.0.0.1:50052", Some("localhost.evil.example"), false, false),
            ("127.0.0.1:50052", Some("127.0.0.1.evil.example:50052"), false, false),
            ("127.0.0.1:50052", Some("10.0.0.7"), false, false),
            ("127.0.0.1:50052", Some("a b"), false, false),
            ("10.0.0.7:50052", Some("10.0.0.7:50052"), true, true),
            ("10.0.0.7:50052", Some("xllm-proxy:50052"), true, false),
            ("10.0.0.7:50052", Some("10.0.0.8"), true, false),
            ("[::ffff:10.0.0.7]:50052", Some("10.0.0.7"), true, true),
            ("[::ffff:127.0.0.1]:50052", Some("evil.example"), false, false),
        ] {
            let heard = (is_for_us_at(local, host, false), is_for_us_at(local, host, true));
            assert_eq!(heard, (reads, changes), "{host:?} at {local}");
        }
    }
}
