//! When an API, or the relay in its place, says no.

use http::{StatusCode, header::RETRY_AFTER, response};
use serde_json::Value;

use super::event::ApiError;
use crate::{exit::Failure, options::Target};

/// Set by the relay where it answers itself.
pub(crate) const PROXY_ERROR: &str = "x-xllm-error";
/// Errors are short.
pub(crate) const MAX_BODY: usize = 1 << 20;
/// What is shown of an error that is no JSON.
const MAX_SHOWN: usize = 300;

/// The error for a response that is none of success.
pub(crate) fn failure(target: &Target, head: &response::Parts, body: &[u8]) -> Failure {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let mut error = ApiError::read(&value).unwrap_or_else(|| ApiError { message: excerpt(body), ..ApiError::default() });
    if let Some(code) = header(PROXY_ERROR) {
        return Failure::proxy(format!("the proxy refused: {} ({code})", scrub(&error.message, target)));
    }
    error.request_id = error.request_id.or_else(|| header("request-id")).or_else(|| header("x-request-id"));
    let mut details = vec![format!("HTTP {}", head.status.as_u16())];
    details.extend(error.kind.clone());
    details.extend(error.request_id.as_ref().map(|id| format!("request {id}")));
    let retry_after = header(RETRY_AFTER.as_str());
    if let Some(when) = &retry_after {
        details.push(if when.parse::<f64>().is_ok() { format!("retry after {when} s") } else { format!("retry after {when}") });
    }
    let message =
        if error.message.is_empty() { head.status.canonical_reason().unwrap_or("an error").to_owned() } else { error.message };
    let failure = Failure::api(format!("{}: {} ({})", target.provider, scrub(&message, target), details.join(", ")));
    match remedy(target, head.status, retry_after.as_deref()) {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

fn remedy(target: &Target, status: StatusCode, retry_after: Option<&str>) -> Option<String> {
    Some(match status.as_u16() {
        401 | 403 if target.key.is_none() => format!("no API key was sent; {}", target.key_remedy),
        401 => format!("check the key; {}", target.key_remedy),
        404 => match &target.successor {
            Some(successor) => format!("the provider has retired {}: try -m {successor}", target.model),
            None => "`xllm models` lists models that are known".to_owned(),
        },
        300..=399 => format!("the API is elsewhere: correct the url in [models.{}]", target.provider),
        429 if retry_after.is_none() => "too much was asked in a short time, or the account is empty".to_owned(),
        500.. => "the provider has trouble: try again later".to_owned(),
        _ => return None,
    })
}

/// The error that comes in the middle of an answer.
pub(super) fn midway(target: &Target, error: &ApiError) -> Failure {
    let kind = error.kind.as_ref().filter(|kind| **kind != error.message).map_or_else(String::new, |kind| format!(" ({kind})"));
    let message = if error.message.is_empty() { "an error without a message" } else { &error.message };
    Failure::api(format!("the answer is incomplete: {}: {}{kind}", target.provider, scrub(message, target)))
}

/// Some servers repeat the key they refuse.
fn scrub(message: &str, target: &Target) -> String {
    match &target.key {
        Some(key) if !key.expose().is_empty() => message.replace(key.expose(), "[API key]"),
        _ => message.to_owned(),
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MAX_SHOWN)]);
    if text.trim_start().starts_with('<') {
        return String::new();
    }
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chat::request::tests::target, config::Api, exit::Exit};

    fn said(status: u16, headers: &[(&str, &str)], body: &str) -> (Exit, String) {
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let (head, ()) = response.body(()).expect("valid").into_parts();
        let failure = failure(&target(Api::Anthropic, "claude"), &head, body.as_bytes());
        (failure.exit, failure.to_string())
    }

    #[test]
    fn everything_the_provider_said_is_there() {
        let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"},"request_id":"req_9"}"#;
        assert_eq!(
            said(429, &[("retry-after", "20")], body).1,
            "claude: Slow down (HTTP 429, rate_limit_error, request req_9, retry after 20 s)"
        );
    }

    #[test]
    fn a_retired_model_comes_with_its_successor() {
        let body = r#"{"type":"error","error":{"type":"not_found_error","message":"model: m"}}"#;
        assert!(said(404, &[], body).1.ends_with("the provider has retired m: try -m haiku"));
    }

    #[test]
    fn a_key_that_the_provider_repeats_is_taken_out() {
        let (exit, text) = said(401, &[], r#"{"error":{"message":"Incorrect API key: sk-hidden"}}"#);
        assert_eq!(exit, Exit::Api);
        assert!(text.contains("[API key]") && text.contains("export KEY") && !text.contains("sk-hidden"), "{text}");
    }

    #[test]
    fn errors_that_are_no_json_are_shown_in_short() {
        assert_eq!(said(502, &[], "<html>bad</html>").1.lines().next(), Some("claude: Bad Gateway (HTTP 502)"));
        assert!(said(400, &[], &"x ".repeat(2000)).1.len() < 400);
    }

    #[test]
    fn the_relays_own_refusals_are_not_the_apis() {
        let (exit, text) = said(403, &[(PROXY_ERROR, "origin-not-allowed")], r#"{"error":{"message":"not on the list"}}"#);
        assert_eq!((exit, text.as_str()), (Exit::Proxy, "the proxy refused: not on the list (origin-not-allowed)"));
    }
}
