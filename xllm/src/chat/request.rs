//! The request to an API, and which API's words to read the answer by.

use bytes::Bytes;
use http::{
    Request,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::{Map, Value, json};

use super::{anthropic, event::Event, openai};
use crate::{
    config::Api,
    endpoint,
    exit::Failure,
    options::{Ask, Target},
};

/// The HTTP request that asks it.
pub(crate) fn build(target: &Target, ask: &Ask) -> Result<Request<Bytes>, Failure> {
    let body = Bytes::from(Value::Object(body(target, ask)).to_string());
    let accept = if ask.stream { "text/event-stream" } else { "application/json" };
    let mut request = Request::post(target.url.as_str())
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, accept)
        .body(body)
        .map_err(|error| unusable(target, &error))?;
    authenticate(target, &mut request)?;
    Ok(request)
}

/// The request for the list of models: it asks no model anything and costs nothing.
pub(crate) fn models(target: &Target) -> Result<Request<Bytes>, Failure> {
    let url = endpoint::models(&target.url, target.api);
    let mut request = Request::get(url.as_str())
        .header(ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|error| unusable(target, &error))?;
    authenticate(target, &mut request)?;
    Ok(request)
}

fn authenticate(target: &Target, request: &mut Request<Bytes>) -> Result<(), Failure> {
    match target.api {
        Api::Anthropic => anthropic::headers(target, request.headers_mut()),
        Api::OpenAi => openai::headers(target, request.headers_mut()),
    }
}

fn unusable(target: &Target, error: &http::Error) -> Failure {
    Failure::usage(format!("the url of {} cannot be used: {error}", target.provider))
}

fn body(target: &Target, ask: &Ask) -> Map<String, Value> {
    let mut body = match target.api {
        Api::Anthropic => anthropic::body(target, ask),
        Api::OpenAi => openai::body(target, ask),
    };
    if ask.stream {
        body.insert("stream".into(), json!(true));
    }
    body.extend(ask.extra.iter().cloned());
    body
}

/// Reads streamed events.
#[derive(Debug)]
pub(super) enum Decoder {
    Anthropic(anthropic::Decoder),
    OpenAi(openai::Decoder),
}

impl Decoder {
    pub(super) fn new(api: Api) -> Self {
        match api {
            Api::Anthropic => Self::Anthropic(anthropic::Decoder::default()),
            Api::OpenAi => Self::OpenAi(openai::Decoder::default()),
        }
    }

    pub(super) fn event(&mut self, data: &Value, out: &mut Vec<Event>) {
        match self {
            Self::Anthropic(decoder) => decoder.event(data, out),
            Self::OpenAi(decoder) => decoder.event(data, out),
        }
    }
}

/// Reads an answer that was not streamed; false if it is none.
pub(super) fn whole(api: Api, answer: &Value, out: &mut Vec<Event>) -> bool {
    match api {
        Api::Anthropic => anthropic::whole(answer, out),
        Api::OpenAi => openai::whole(answer, out),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{prompt::Part, secret::Secret};

    pub(in crate::chat) fn target(api: Api, provider: &str) -> Target {
        Target {
            api,
            provider: provider.into(),
            url: "https://x.example/v1/y".parse().expect("valid"),
            key: Some(Secret::new("sk-hidden")),
            key_remedy: "export KEY".into(),
            model: "m".into(),
            max_tokens: Some(9),
            successor: Some("haiku".into()),
        }
    }

    fn ask(parts: Vec<Part>) -> Ask {
        Ask { system: Some("be brief".into()), parts, extra: Vec::new(), stream: true, usage: true }
    }

    fn picture() -> Vec<Part> {
        vec![Part::Image { media_type: "image/png", data: "AAAA".into() }, Part::Text("what?".into())]
    }

    #[test]
    fn anthropics_request_is_as_documented() {
        let target = target(Api::Anthropic, "claude");
        let text = body(&target, &ask(vec![Part::Text("hi".into())]));
        assert_eq!(
            Value::Object(text),
            json!({"model":"m","max_tokens":9,"system":"be brief","stream":true,"messages":[{"role":"user","content":"hi"}]})
        );
        let image = body(&target, &ask(picture()));
        assert_eq!(
            image["messages"][0]["content"],
            json!([
                {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},
                {"type":"text","text":"what?"},
            ])
        );
        let request = build(&target, &ask(Vec::new())).expect("valid");
        assert_eq!(request.headers()["x-api-key"], "sk-hidden");
        assert_eq!(request.headers()["anthropic-version"], "2023-06-01");
        assert!(!format!("{request:?}").contains("sk-hidden"));
    }

    #[test]
    fn openais_request_is_as_documented() {
        let target = target(Api::OpenAi, "openai");
        let text = body(&target, &ask(vec![Part::Text("a".into()), Part::Text("b".into())]));
        assert_eq!(
            Value::Object(text),
            json!({"model":"m","max_completion_tokens":9,"stream":true,"stream_options":{"include_usage":true},
            "messages":[{"role":"system","content":"be brief"},{"role":"user","content":"a\n\nb"}]})
        );
        let image = body(&target, &ask(picture()));
        assert_eq!(
            image["messages"][1]["content"][0],
            json!({"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}})
        );
        let request = build(&target, &ask(Vec::new())).expect("valid");
        assert_eq!(request.headers()["authorization"], "Bearer sk-hidden");
    }

    #[test]
    fn copies_of_openais_api_get_the_old_name_of_the_limit() {
        let body = body(&target(Api::OpenAi, "groq"), &ask(Vec::new()));
        assert_eq!(body["max_tokens"], 9);
    }

    #[test]
    fn the_users_fields_come_last() {
        let mut ask = ask(Vec::new());
        ask.extra = vec![("max_tokens".into(), json!(3)), ("temperature".into(), json!(0.5))];
        ask.stream = false;
        let body = body(&target(Api::Anthropic, "claude"), &ask);
        assert_eq!((&body["max_tokens"], &body["temperature"], body.get("stream")), (&json!(3), &json!(0.5), None));
    }

    #[test]
    fn a_key_that_no_header_can_hold_is_not_repeated() {
        let mut target = target(Api::OpenAi, "openai");
        target.key = Some(Secret::new("sk-hid\nden"));
        let said = build(&target, &ask(Vec::new())).expect_err("refused").to_string();
        assert!(said.contains("export KEY") && !said.contains("sk-hid"), "{said}");
    }
}
