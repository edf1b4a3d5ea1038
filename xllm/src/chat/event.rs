//! What an answer consists of, whatever API it comes from.

use serde_json::Value;

/// One step of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A piece of the answer.
    Text(String),
    /// A piece of the model's thinking.
    Reasoning(String),
    /// The model declines, in these words.
    Refusal(String),
    /// The model wants a tool called; the arguments are JSON.
    ToolCall { name: String, arguments: String },
    /// Counts so far; unset ones are unknown.
    Usage(Usage),
    /// Why the model stopped.
    Stop(Stop),
    /// The API gives up.
    Error(ApiError),
    /// Nothing is missing.
    Done,
}

/// Why a model stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It had said all, or met a stop sequence.
    End,
    /// The limit of tokens.
    MaxTokens,
    /// It declines, or a filter does.
    Refused,
    /// It waits for tools.
    Tools,
    /// Anything else, in the API's word.
    Other(String),
}

/// Tokens, as the API counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
}

impl Usage {
    /// Takes over what the newer count knows.
    pub(crate) fn update(&mut self, newer: Self) {
        self.input = newer.input.or(self.input);
        self.output = newer.output.or(self.output);
    }
}

/// An error in the API's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) kind: Option<String>,
    pub(crate) message: String,
    pub(crate) request_id: Option<String>,
}

impl ApiError {
    /// Reads the shapes that providers use:
    /// `{"error": {"type", "message"}, "request_id"}`, `{"error": "…"}`, `{"message"}`, `{"detail"}`.
    pub(crate) fn read(body: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned).filter(|text| !text.is_empty());
        let error = body.get("error").filter(|error| !error.is_null());
        let inner = error.unwrap_or(body);
        let kind = error.and_then(|error| text(&error["type"]).or_else(|| text(&error["code"])));
        let message =
            text(inner).or_else(|| text(&inner["message"])).or_else(|| text(&inner["detail"])).or_else(|| kind.clone());
        Some(Self { kind, message: message?, request_id: text(&body["request_id"]) })
    }
}

/// Joins the words of an API that may be missing.
pub(crate) fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_shapes_of_errors_are_read() {
        for (body, kind, message) in [
            (
                json!({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}),
                Some("overloaded_error"),
                "Overloaded",
            ),
            (
                json!({"error":{"message":"Bad key","type":"invalid_request_error","code":"invalid_api_key"}}),
                Some("invalid_request_error"),
                "Bad key",
            ),
            (json!({"error":{"message":"m","type":null,"code":"c"}}), Some("c"), "m"),
            (json!({"error":"plain"}), None, "plain"),
            (json!({"message":"plain"}), None, "plain"),
            (json!({"detail":"plain"}), None, "plain"),
        ] {
            let error = ApiError::read(&body).expect("an error");
            assert_eq!((error.kind.as_deref(), error.message.as_str()), (kind, message), "{body}");
        }
        assert_eq!(ApiError::read(&json!({"id": 1})), None);
        assert_eq!(ApiError::read(&json!([])), None);
    }
}
