//! What a caller gets when the relay, not the provider, has something to say: the status, body and headers that its SDK
//! understands.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use xllm_proxy::client::{Error, Fault};

/// The stable code of the error (protocol.md section 8), in every answer that is not the provider's.
const X_XLLM_ERROR: HeaderName = HeaderName::from_static("x-xllm-error");
/// `true` only if the upstream was certainly not called.
const X_XLLM_RETRY: HeaderName = HeaderName::from_static("x-xllm-retry");
/// What the SDKs of OpenAI and Anthropic go by before they look at the status.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// In whose form errors are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    OpenAi,
    Anthropic,
    Gemini,
}

impl Shape {
    /// The form for a caller of whom only the headers are known.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key("anthropic-version") {
            Self::Anthropic
        } else if headers.contains_key("x-goog-api-key") || headers.contains_key("x-goog-api-client") {
            Self::Gemini
        } else {
            Self::OpenAi
        }
    }

    /// The provider's name for this kind of error.
    const fn kind(self, status: StatusCode) -> &'static str {
        match (self, status.as_u16()) {
            (Self::OpenAi | Self::Anthropic, 401) => "authentication_error",
            (Self::OpenAi | Self::Anthropic, 403) => "permission_error",
            (Self::OpenAi | Self::Anthropic, 429) => "rate_limit_error",
            (Self::Anthropic, 404) => "not_found_error",
            (Self::Anthropic, 413) => "request_too_large",
            (Self::Anthropic, 504) => "timeout_error",
            (Self::OpenAi | Self::Anthropic, 400..500) => "invalid_request_error",
            (Self::OpenAi, _) => "server_error",
            (Self::Anthropic, _) => "api_error",
            (Self::Gemini, 401) => "UNAUTHENTICATED",
            (Self::Gemini, 403) => "PERMISSION_DENIED",
            (Self::Gemini, 404) => "NOT_FOUND",
            (Self::Gemini, 429) => "RESOURCE_EXHAUSTED",
            (Self::Gemini, 400..500) => "INVALID_ARGUMENT",
            (Self::Gemini, 502 | 503) => "UNAVAILABLE",
            (Self::Gemini, 504) => "DEADLINE_EXCEEDED",
            (Self::Gemini, _) => "INTERNAL",
        }
    }

    fn body(self, refusal: &Refusal) -> Value {
        let Refusal { status, code, message, .. } = refusal;
        let kind = self.kind(*status);
        match self {
            Self::OpenAi => json!({"error": {"message": message, "type": kind, "param": null, "code": code}}),
            Self::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
            Self::Gemini => json!({"error": {"code": status.as_u16(), "message": message, "status": kind}}),
        }
    }

    /// The error as an event of the provider's streams.
    pub(super) fn event(self, refusal: &Refusal) -> Bytes {
        let body = self.body(refusal);
        match self {
            Self::Anthropic => format!("event: error\ndata: {body}\n\n"),
            Self::OpenAi | Self::Gemini => format!("data: {body}\n\n"),
        }
        .into()
    }
}

/// Whether another attempt is safe, and whether it could help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// The upstream was certainly not called, and the next attempt may go well.
    Safe,
    /// The upstream was certainly not called, and the next attempt would fail alike.
    Useless,
    /// The upstream may have been called: the caller decides, as it does without us.
    Unknown,
}

/// An answer of the relay's own.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    shape: Shape,
    status: StatusCode,
    code: &'static str,
    message: String,
    retry: Retry,
    after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { shape: Shape::OpenAi, status, code, message: message.into(), retry: Retry::Useless, after: None }
    }

    /// In this provider's form.
    #[must_use]
    pub(super) fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// A request that cannot be carried.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request-invalid", message)
    }

    /// A path that leads nowhere.
    pub(super) fn unknown_route(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown-route", message)
    }

    /// A caller who may not use the gateway.
    pub(super) fn caller_not_allowed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "caller-not-allowed", message)
    }

    /// A caller who did not present the gateway's token.
    pub(super) fn no_token(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "token-refused", message)
    }

    /// Something of HTTP that does not travel.
    pub(super) fn not_carried(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "request-invalid", message)
    }

    /// Whether it is the caller who is refused, not the request.
    pub(super) fn is_of_caller(&self) -> bool {
        matches!(self.code, "caller-not-allowed" | "token-refused")
    }

    pub(super) const fn code(&self) -> &'static str {
        self.code
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn event(&self) -> Bytes {
        self.shape.event(self)
    }

    pub(super) fn response(&self) -> Response<Bytes> {
        let body = self.shape.body(self).to_string();
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, body.len().into());
        headers.insert(X_XLLM_ERROR, HeaderValue::from_static(self.code));
        let flag = |yes| HeaderValue::from_static(if yes { "true" } else { "false" });
        headers.insert(X_XLLM_RETRY, flag(self.retry != Retry::Unknown));
        if self.retry != Retry::Unknown {
            headers.insert(X_SHOULD_RETRY, flag(self.retry == Retry::Safe));
        }
        if let Some(after) = self.after {
            headers.insert(RETRY_AFTER, after.as_secs_f64().ceil().max(1.0).to_string().parse().unwrap_or(ONE));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"xllm gateway\""));
        }
        response.map(|_| body.into())
    }
}

const ONE: HeaderValue = HeaderValue::from_static("1");

/// The status for a code (protocol.md section 8.1, and the client's own in 8.2).
fn status(error: &Error) -> StatusCode {
    match (error.code(), error.blame()) {
        ("origin-not-allowed" | "scheme-not-allowed" | "address-not-allowed" | "not-allowed", _) => StatusCode::FORBIDDEN,
        ("upload-too-large", _) => StatusCode::PAYLOAD_TOO_LARGE,
        ("too-large", _) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ("rate-limited" | "too-many-exchanges", _) => StatusCode::TOO_MANY_REQUESTS,
        ("overloaded" | "shutting-down" | "idle" | "proxy-unreachable" | "client-closed", _) => StatusCode::SERVICE_UNAVAILABLE,
        ("upstream-timeout" | "upstream-stalled", _) => StatusCode::GATEWAY_TIMEOUT,
        // What is wrong with our own key or the session is nothing that the caller could mend.
        ("key-refused" | "profile-refused" | "proxy-silent" | "session-lost", _) => StatusCode::BAD_GATEWAY,
        ("internal", _) => StatusCode::INTERNAL_SERVER_ERROR,
        (_, Fault::Client) => StatusCode::BAD_REQUEST,
        (_, Fault::Proxy | Fault::Upstream | Fault::Network) => StatusCode::BAD_GATEWAY,
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let status = status(error);
        // Of what failed before the upstream was called, the next attempt may find mended what is not the caller's to mend.
        let passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let lasting = matches!(error.code(), "key-refused" | "profile-refused");
        let retry = match error.retry_safe() {
            false => Retry::Unknown,
            true if passing && !lasting => Retry::Safe,
            true => Retry::Useless,
        };
        let message = format!("{error} (xllm: {})", error.code());
        Self { retry, after: error.retry_after(), ..Self::new(status, error.code(), message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_gets_its_own_shape() {
        let refusal = Refusal::caller_not_allowed("no");
        let body = |shape: Shape| serde_json::to_value(shape.body(&refusal)).expect("JSON");
        assert_eq!(body(Shape::OpenAi)["error"]["type"], "permission_error");
        assert_eq!(body(Shape::OpenAi)["error"]["code"], "caller-not-allowed");
        assert_eq!(body(Shape::Anthropic)["type"], "error");
        assert_eq!(body(Shape::Anthropic)["error"]["type"], "permission_error");
        assert_eq!(body(Shape::Gemini)["error"]["status"], "PERMISSION_DENIED");
        assert_eq!(body(Shape::Gemini)["error"]["code"], 403);
    }

    #[test]
    fn events_have_the_form_of_the_providers_streams() {
        let refusal = Refusal::invalid("line\nbreak");
        let text = |shape: Shape| String::from_utf8(shape.event(&refusal).to_vec()).expect("UTF-8");
        assert!(text(Shape::Anthropic).starts_with("event: error\ndata: {"));
        for shape in [Shape::OpenAi, Shape::Anthropic, Shape::Gemini] {
            assert!(text(shape).ends_with("}\n\n") && text(shape).contains("line\\nbreak"));
        }
        assert!(text(Shape::OpenAi).starts_with("data: {"));
    }

    #[test]
    fn callers_are_told_apart_by_what_only_their_sdk_sends() {
        let of = |name: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("x"));
            Shape::of(&headers)
        };
        assert_eq!(of("anthropic-version"), Shape::Anthropic);
        assert_eq!(of("x-goog-api-key"), Shape::Gemini);
        assert_eq!(of("authorization"), Shape::OpenAi);
    }

    #[test]
    fn an_answer_names_its_code_and_that_repeating_is_of_no_use() {
        let response = Refusal::no_token("no").shaped(Shape::Anthropic).response();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().expect("ASCII").to_owned());
        assert_eq!(response.status(), 401);
        assert_eq!(header("x-xllm-error").as_deref(), Some("token-refused"));
        assert_eq!(header("x-xllm-retry").as_deref(), Some("true"));
        assert_eq!(header("x-should-retry").as_deref(), Some("false"));
        assert_eq!(header("content-length"), Some(response.body().len().to_string()));
    }
}
