//! An error before it takes a provider's shape.

use http::StatusCode;

/// What a provider answers instead of an answer.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    /// The provider's `type`.
    pub(crate) kind: String,
    pub(crate) message: String,
    /// `OpenAI` only: the parameter at fault.
    pub(crate) param: Option<String>,
    /// `OpenAI` only.
    pub(crate) code: Option<String>,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, kind: &str, message: impl Into<String>) -> Self {
        Self { status, kind: kind.into(), message: message.into(), param: None, code: None, retry_after: None }
    }

    /// A request that says something wrong; both providers name it alike.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn code(mut self, code: &str) -> Self {
        self.code = Some(code.into());
        self
    }
}
