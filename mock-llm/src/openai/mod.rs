//! `OpenAI`'s API: headers, errors, models; the answers are in the modules below.

mod ask;
mod audio;
mod chat;
mod embeddings;
mod files;
mod responses;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode, header::AUTHORIZATION};
use serde_json::{Map, Value, json};

use crate::body::Reply;
use crate::context::{Context, Provider};
use crate::fault::Fault;

/// Requests per minute that the rate limit headers speak of.
const REQUEST_LIMIT: u64 = 10_000;
/// Tokens per minute that they speak of.
const TOKEN_LIMIT: u64 = 2_000_000;
/// Models of the list, with their `created` in Unix seconds and their owner.
const MODELS: [(&str, u64, &str); 6] = [
    ("gpt-4o", 1_715_367_049, "system"),
    ("gpt-4o-mini", 1_721_172_741, "system"),
    ("gpt-4.1", 1_744_316_542, "system"),
    ("gpt-4.1-mini", 1_744_318_173, "system"),
    ("text-embedding-3-small", 1_705_948_997, "system"),
    ("text-embedding-3-large", 1_705_953_180, "system"),
];

/// Answers `path`, whose body is `body`.
pub(crate) async fn answer(context: &Context, head: &Parts, body: &Bytes) -> Result<Reply, Fault> {
    authorize(head)?;
    let path = head.uri.path();
    match (&head.method, path) {
        (&Method::POST, "/v1/chat/completions") => chat::answer(context, &object(body)?).await,
        (&Method::POST, "/v1/responses") => responses::answer(context, &object(body)?).await,
        (&Method::POST, "/v1/embeddings") => embeddings::answer(context, &object(body)?),
        (&Method::POST, "/v1/audio/speech") => audio::speech(context, &object(body)?),
        (&Method::POST, "/v1/audio/transcriptions") => audio::transcription(context, head, body).await,
        (&Method::GET, "/v1/models") => Ok(context.document(&models())),
        (
            method,
            "/v1/chat/completions"
            | "/v1/responses"
            | "/v1/embeddings"
            | "/v1/models"
            | "/v1/audio/speech"
            | "/v1/audio/transcriptions",
        ) => Err(wrong_method(method, path)),
        (_, "/v1/files") => files::answer(context, head, body).await,
        (_, _) if path.starts_with("/v1/files/") => files::answer(context, head, body).await,
        (method, _) => match path.strip_prefix("/v1/models/") {
            Some(id) if method == Method::GET => model(context, id),
            Some(_) => Err(wrong_method(method, path)),
            None => Err(unknown_url(method, path)),
        },
    }
}

fn authorize(head: &Parts) -> Result<(), Fault> {
    let value = head.headers.get(AUTHORIZATION);
    let key = value.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if key.is_some_and(|key| !key.trim_ascii().is_empty()) {
        return Ok(());
    }
    let message = "You didn't provide an API key. You need to provide your API key in an \
                   Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), \
                   or as the password field (with blank username) if you're accessing the API \
                   from your browser and are prompted for a username and password. You can obtain \
                   an API key from https://platform.openai.com/account/api-keys.";
    let kind = "invalid_request_error";
    Err(Fault::new(StatusCode::UNAUTHORIZED, kind, message))
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    serde_json::from_slice(body).map_err(|_| {
        Fault::invalid(
            "We could not parse the JSON body of your request. (HINT: This likely means you \
             aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but \
             what was sent was not valid JSON. If you have trouble figuring out how to fix this, \
             please contact us through our help center at help.openai.com.)",
        )
    })
}

fn wrong_method(method: &Method, path: &str) -> Fault {
    let message = format!(
        "Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP \
         method?)"
    );
    let kind = "invalid_request_error";
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, kind, message).code("method_not_supported")
}

fn unknown_url(method: &Method, path: &str) -> Fault {
    let message = format!(
        "Unknown request URL: {method} {path}. Please check the URL for typos, or see the docs at \
         https://platform.openai.com/docs/api-reference/."
    );
    Fault::new(StatusCode::NOT_FOUND, "invalid_request_error", message).code("unknown_url")
}

fn models() -> Value {
    let data: Vec<_> = MODELS.iter().map(|model| entry(*model)).collect();
    json!({"object": "list", "data": data})
}

fn model(context: &Context, id: &str) -> Result<Reply, Fault> {
    let known = MODELS.into_iter().find(|(name, ..)| *name == id);
    match known {
        Some(model) if !context.script.is_retired(id) => Ok(context.document(&entry(model))),
        _ => Err(Fault { message: format!("The model '{id}' does not exist"), ..ask::unknown_model(id).param("model") }),
    }
}

fn entry((id, created, owner): (&str, u64, &str)) -> Value {
    json!({"id": id, "object": "model", "created": created, "owned_by": owner})
}

/// The provider's shapes.
#[derive(Debug)]
pub(crate) struct OpenAi;

impl Provider for OpenAi {
    fn headers(&self, context: &Context) -> Vec<(&'static str, String)> {
        let left = REQUEST_LIMIT - 1 - context.number() % REQUEST_LIMIT;
        let spent = context.start.elapsed().as_millis();
        vec![
            ("access-control-expose-headers", "X-Request-ID".into()),
            ("openai-organization", "org-mock0000000000000000".into()),
            ("openai-processing-ms", spent.to_string()),
            ("openai-project", "proj_mock000000000000000000".into()),
            ("openai-version", "2020-10-01".into()),
            ("x-envoy-upstream-service-time", spent.to_string()),
            ("x-ratelimit-limit-requests", REQUEST_LIMIT.to_string()),
            ("x-ratelimit-limit-tokens", TOKEN_LIMIT.to_string()),
            ("x-ratelimit-remaining-requests", left.to_string()),
            ("x-ratelimit-remaining-tokens", (TOKEN_LIMIT - 17).to_string()),
            ("x-ratelimit-reset-requests", "6ms".into()),
            ("x-ratelimit-reset-tokens", "0s".into()),
            ("x-request-id", context.hex("req_", 32)),
            ("cf-cache-status", "DYNAMIC".into()),
            ("set-cookie", cookie(context, "__cf_bm", "; HttpOnly; Secure; SameSite=None")),
            ("set-cookie", cookie(context, "_cfuvid", "; HttpOnly; Secure; SameSite=None")),
            ("strict-transport-security", "max-age=31536000; includeSubDomains; preload".into()),
            ("x-content-type-options", "nosniff".into()),
            ("server", "cloudflare".into()),
            ("cf-ray", context.hex("", 16) + "-FRA"),
            ("alt-svc", "h3=\":443\"; ma=86400".into()),
        ]
    }

    /// `{"error": {…}}`
    fn error_body(&self, _: &Context, fault: &Fault) -> Value {
        json!({"error": {
            "message": fault.message,
            "type": fault.kind,
            "param": fault.param,
            "code": fault.code,
        }})
    }

    fn fault_of(&self, status: Option<StatusCode>) -> Fault {
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, code, message) = match status.as_u16() {
            401 => (
                "invalid_request_error",
                Some("invalid_api_key"),
                "Incorrect API key provided: sk-mock****. You can find your API key at \
                 https://platform.openai.com/account/api-keys.",
            ),
            403 => (
                "request_forbidden",
                Some("unsupported_country_region_territory"),
                "Country, region, or territory not supported",
            ),
            404 => {
                ("invalid_request_error", Some("model_not_found"), "The model does not exist or you do not have access to it.")
            }
            429 => (
                "requests",
                Some("rate_limit_exceeded"),
                "Rate limit reached for requests. Please try again in 7s. Visit \
                 https://platform.openai.com/account/rate-limits to learn more.",
            ),
            503 => ("service_unavailable_error", None, "The engine is currently overloaded, please try again later"),
            400..=499 => ("invalid_request_error", None, "The request was refused."),
            _ => ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
        };
        let fault = Fault::new(status, kind, message);
        match code {
            Some(code) => fault.code(code),
            None => fault,
        }
    }

    fn write(&self, value: &Value) -> Vec<u8> {
        serde_json::to_vec_pretty(value).unwrap_or_default()
    }
}

fn cookie(context: &Context, name: &str, attributes: &str) -> String {
    format!("{name}={}; path=/; domain=.api.openai.com{attributes}", context.letters(name, 43))
}
