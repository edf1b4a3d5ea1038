//! Which path is answered by whom.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::body::{Reply, Tracked, full};
use crate::context::{Context, Provider};
use crate::exchange::{Broken, Guard, Upload};
use crate::records::State;
use crate::script::Hang;
use crate::{anthropic, control, openai, raw};

/// Answers one request, and counts it unless it is for the control endpoints.
pub(crate) async fn answer(state: Arc<State>, request: Request<Incoming>) -> Response<Tracked> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if path.starts_with("/_mock/") {
        return Tracked::wrap(control::answer(&state, &head), None, false);
    }
    let (guard, number) = Guard::open(&state, &head);
    let upload = Upload::new(body, &state, number);
    let reply = if path.starts_with("/raw/") {
        raw::answer(&state, &head, upload).await
    } else {
        api(&state, &head, upload, number).await
    };
    let Ok(reply) = reply else {
        drop(guard); // a caller that left in the middle of its request
        let mut reply = Response::new(full(""));
        *reply.status_mut() = StatusCode::BAD_REQUEST;
        return Tracked::wrap(reply, None, true);
    };
    Tracked::wrap(reply, Some(guard), head.method == Method::HEAD)
}

async fn api(state: &Arc<State>, head: &Parts, upload: Upload, number: u64) -> Result<Reply, Broken> {
    let body = upload.all().await?;
    let api = Api::of(head);
    let mut context = Context::new(api.provider(), state, number);
    if let Err(fault) = context.read_script(head) {
        return Ok(context.fault(&fault));
    }
    if context.script.hang == Some(Hang::Head) {
        return std::future::pending().await;
    }
    if context.script.error_status.is_some() && context.script.error_after.is_none() {
        return Ok(context.fault(&context.scripted_fault()));
    }
    let answer = match api {
        Api::OpenAi => openai::answer(&context, head, &body).await,
        Api::Anthropic => anthropic::answer(&context, head, &body).await,
    };
    Ok(answer.unwrap_or_else(|fault| context.fault(&fault)))
}

/// Whose API a request is for.
#[derive(Clone, Copy)]
enum Api {
    OpenAi,
    Anthropic,
}

impl Api {
    /// Both providers have models and files; there Anthropic's callers show by their version header.
    fn of(head: &Parts) -> Self {
        let path = head.uri.path();
        let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let shared = below("/v1/models") || below("/v1/files");
        if below("/v1/messages") || (shared && head.headers.contains_key(anthropic::VERSION)) {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }

    fn provider(self) -> &'static dyn Provider {
        match self {
            Self::OpenAi => &openai::OpenAi,
            Self::Anthropic => &anthropic::Anthropic,
        }
    }
}
