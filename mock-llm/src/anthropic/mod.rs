//! Anthropic's API: headers, errors, models, counting; the answers are in `messages`.

mod ask;
mod files;
mod messages;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode, header::AUTHORIZATION};
use serde_json::{Map, Value, json};

use crate::body::Reply;
use crate::context::{Context, Provider};
use crate::fault::Fault;
use crate::files::Page;
use crate::raw::query::Query;

/// The header whose presence tells Anthropic's callers from others.
pub(crate) const VERSION: &str = "anthropic-version";
/// Requests per minute that the rate limit headers speak of.
const REQUEST_LIMIT: u64 = 4000;
/// The end of the window of a rate limit; it is never reached, so any time does.
const RESET: &str = "2025-01-31T12:00:00Z";
/// Items of one page of a list by default, and at most.
const PAGE: usize = 20;
const LONGEST_PAGE: usize = 1000;
/// Models of the list: identifier, name, time of release.
const MODELS: [(&str, &str, &str); 5] = [
    ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "2025-09-29T00:00:00Z"),
    ("claude-haiku-4-5-20251001", "Claude Haiku 4.5", "2025-10-15T00:00:00Z"),
    ("claude-3-7-sonnet-20250219", "Claude Sonnet 3.7", "2025-02-24T00:00:00Z"),
    ("claude-3-5-haiku-20241022", "Claude Haiku 3.5", "2024-10-22T00:00:00Z"),
    ("claude-3-haiku-20240307", "Claude Haiku 3", "2024-03-07T00:00:00Z"),
];

/// Answers `path`, whose body is `body`.
pub(crate) async fn answer(context: &Context, head: &Parts, body: &Bytes) -> Result<Reply, Fault> {
    authorize(head)?;
    let path = head.uri.path();
    match (&head.method, path) {
        (&Method::POST, "/v1/messages") => messages::answer(context, &object(body)?).await,
        (&Method::POST, "/v1/messages/count_tokens") => {
            let object = object(body)?;
            let ask = ask::read_prompt(context, &object)?;
            Ok(context.document(&json!({"input_tokens": ask.prompt_tokens})))
        }
        (&Method::GET, "/v1/models") => models(context, head),
        (_, "/v1/messages" | "/v1/messages/count_tokens" | "/v1/models") => Err(wrong_method()),
        (_, "/v1/files") => files::answer(context, head, body).await,
        (_, _) if path.starts_with("/v1/files/") => files::answer(context, head, body).await,
        (method, _) => match path.strip_prefix("/v1/models/") {
            Some(id) if method == Method::GET => model(context, id),
            Some(_) => Err(wrong_method()),
            None => Err(Fault::new(StatusCode::NOT_FOUND, "not_found_error", "Not found")),
        },
    }
}

fn authorize(head: &Parts) -> Result<(), Fault> {
    let header = |name: &str| head.headers.get(name).map(|value| value.as_bytes().trim_ascii());
    let bearer = header(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix(b"Bearer "));
    let key = header("x-api-key").or(bearer);
    let refused = |message| Fault::new(StatusCode::UNAUTHORIZED, "authentication_error", message);
    match key {
        None => return Err(refused("x-api-key header is required")),
        Some(b"") => return Err(refused("invalid x-api-key")),
        Some(_) => {}
    }
    if header(VERSION).is_none_or(<[u8]>::is_empty) {
        return Err(Fault::invalid("anthropic-version: header is required"));
    }
    Ok(())
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::invalid(format!("The request body is not valid JSON: {error}")))
}

fn wrong_method() -> Fault {
    let kind = "invalid_request_error";
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, kind, "Method Not Allowed")
}

fn models(context: &Context, head: &Parts) -> Result<Reply, Fault> {
    let live = MODELS.into_iter().filter(|(id, ..)| !context.script.is_retired(id));
    let document = list(head, live.map(entry).collect())?;
    Ok(context.document(&document))
}

/// The page of `entries` that a request asks for by `limit` and `after_id` or `before_id`.
fn list(head: &Parts, entries: Vec<Value>) -> Result<Value, Fault> {
    let query = Query::new(head);
    let limit = query.number("limit").ok().unwrap_or(Some(0)).unwrap_or(PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(Fault::invalid(format!("limit: Input should be between 1 and {LONGEST_PAGE}")));
    }
    let (after, before) = (query.text("after_id"), query.text("before_id"));
    if after.is_some() && before.is_some() {
        return Err(Fault::invalid("Only one of after_id and before_id may be given"));
    }
    let page = Page { limit, after: after.as_deref(), before: before.as_deref() };
    let (data, more) = page.of(entries, |entry| entry["id"].as_str().unwrap_or_default());
    let id = |entry: Option<&Value>| entry.map(|entry| entry["id"].clone());
    Ok(json!({"data": data, "has_more": more, "first_id": id(data.first()), "last_id": id(data.last())}))
}

fn model(context: &Context, id: &str) -> Result<Reply, Fault> {
    match MODELS.into_iter().find(|(name, ..)| *name == id) {
        Some(model) if !context.script.is_retired(id) => Ok(context.document(&entry(model))),
        _ => Err(ask::unknown_model(id)),
    }
}

fn entry((id, name, created): (&str, &str, &str)) -> Value {
    json!({"type": "model", "id": id, "display_name": name, "created_at": created, "lifecycle": "active"})
}

/// The provider's shapes.
#[derive(Debug)]
pub(crate) struct Anthropic;

impl Provider for Anthropic {
    fn headers(&self, context: &Context) -> Vec<(&'static str, String)> {
        let left = REQUEST_LIMIT - 1 - context.number() % REQUEST_LIMIT;
        let limit = |tokens: u64| tokens.to_string();
        vec![
            ("anthropic-ratelimit-requests-limit", REQUEST_LIMIT.to_string()),
            ("anthropic-ratelimit-requests-remaining", left.to_string()),
            ("anthropic-ratelimit-requests-reset", RESET.into()),
            ("anthropic-ratelimit-input-tokens-limit", limit(400_000)),
            ("anthropic-ratelimit-input-tokens-remaining", limit(399_000)),
            ("anthropic-ratelimit-input-tokens-reset", RESET.into()),
            ("anthropic-ratelimit-output-tokens-limit", limit(80_000)),
            ("anthropic-ratelimit-output-tokens-remaining", limit(79_000)),
            ("anthropic-ratelimit-output-tokens-reset", RESET.into()),
            ("anthropic-ratelimit-tokens-limit", limit(480_000)),
            ("anthropic-ratelimit-tokens-remaining", limit(478_000)),
            ("anthropic-ratelimit-tokens-reset", RESET.into()),
            ("request-id", request_id(context)),
            ("strict-transport-security", "max-age=31536000; includeSubDomains; preload".into()),
            ("anthropic-organization-id", "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b".into()),
            ("x-envoy-upstream-service-time", context.start.elapsed().as_millis().to_string()),
            ("via", "1.1 google".into()),
            ("cf-cache-status", "DYNAMIC".into()),
            ("x-robots-tag", "none".into()),
            (
                "set-cookie",
                format!(
                    "_cfuvid={}; HttpOnly; SameSite=None; Secure; Path=/; Domain=api.anthropic.com",
                    context.letters("_cfuvid", 43)
                ),
            ),
            ("server", "cloudflare".into()),
            ("cf-ray", context.hex("", 16) + "-FRA"),
        ]
    }

    /// `{"type": "error", …}`
    fn error_body(&self, context: &Context, fault: &Fault) -> Value {
        json!({
            "type": "error",
            "error": {"type": fault.kind, "message": fault.message},
            "request_id": request_id(context),
        })
    }

    fn fault_of(&self, status: Option<StatusCode>) -> Fault {
        // 529 is Anthropic's own.
        let status = status.or_else(|| StatusCode::from_u16(529).ok());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, message) = match status.as_u16() {
            401 => ("authentication_error", "invalid x-api-key"),
            403 => ("permission_error", "Request not allowed"),
            404 => ("not_found_error", "Not found"),
            413 => ("request_too_large", "Request exceeds the maximum size"),
            429 => ("rate_limit_error", "This request would exceed your organization's rate limit. Please try again later."),
            504 => ("timeout_error", "Request timed out"),
            529 => ("overloaded_error", "Overloaded"),
            400..=499 => ("invalid_request_error", "The request was refused."),
            _ => ("api_error", "Internal server error"),
        };
        Fault::new(status, kind, message)
    }

    fn write(&self, value: &Value) -> Vec<u8> {
        serde_json::to_vec(value).unwrap_or_default()
    }
}

fn request_id(context: &Context) -> String {
    context.id("req_011C", 20)
}
