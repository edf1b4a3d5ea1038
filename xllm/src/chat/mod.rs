//! One question and its answer.

mod anthropic;
mod event;
mod header;
mod meter;
mod openai;
mod refusal;
pub(crate) mod request;
mod sse;

use std::{io, time::Duration};

use bytes::Bytes;
pub(crate) use event::ApiError;
use event::{Event, Stop};
use futures::StreamExt as _;
use http::{Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Limited};
use meter::Meter;
pub(crate) use refusal::{MAX_BODY, PROXY_ERROR, failure};
use request::Decoder;
use serde_json::Value;

use crate::{
    endpoint::shown,
    exit::{Exit, Failure},
    options::Plan,
    output::Output,
    signals::Signals,
    transport::{self, Body, Transport},
};

/// Larger than any answer that is not streamed.
const MAX_ANSWER: usize = 64 << 20;
/// Arguments of a tool call shown at most.
const MAX_ARGUMENTS: usize = 300;
/// How long the end of the body may take once the answer is complete.
const TAIL: Duration = Duration::from_millis(500);

/// Why a conversation ended before its time.
#[derive(Debug)]
enum End {
    Failure(Failure),
    Output(io::Error),
    Signal(u8),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Asks and shows the answer. Whatever ends it, what has come is kept and the upstream
/// call does not go on.
pub(crate) async fn run(plan: &Plan, transport: &Transport, out: &mut Output) -> Result<Exit, Failure> {
    let mut signals = Signals::new();
    let outcome = tokio::select! {
        biased;
        signal = signals.next() => Err(End::Signal(signal)),
        outcome = converse(plan, transport, out) => outcome,
    };
    // The body is dropped by now; dropping it is what cancels the call.
    let finished = out.finish();
    let outcome = match (outcome, finished) {
        (Ok(()), Err(error)) => Err(End::Output(error)),
        (outcome, _) => outcome,
    };
    match outcome {
        Ok(()) => Ok(Exit::Ok),
        Err(End::Failure(failure)) => Err(failure),
        Err(end) => {
            transport.settle().await;
            match end {
                End::Signal(signal) => Ok(Exit::Signal(signal)),
                // Whoever read our output has enough.
                End::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
                End::Output(error) => Err(Failure::usage(format!("cannot write the answer: {error}"))),
                End::Failure(failure) => Err(failure),
            }
        }
    }
}

async fn converse(plan: &Plan, transport: &Transport, out: &mut Output) -> Result<(), End> {
    let target = &plan.target;
    let request = request::build(target, &plan.ask)?;
    out.trace(&format!("POST {} ({} bytes)", shown(&target.url), request.body().len()));
    out.spin(&target.model);
    let mut meter = Meter::new();
    let sent = out.waiting(transport.send(request, !plan.show.stream)).await;
    let response = sent.map_err(|error| error.into_failure(""))?;
    out.trace(&format!("HTTP {} after {:.2} s", response.status().as_u16(), meter.elapsed()));
    if !response.status().is_success() || response.headers().contains_key(PROXY_ERROR) {
        let (head, body) = response.into_parts();
        // An error that cannot be read to its end is still that error.
        let body = out.waiting(collect(body, MAX_BODY)).await.unwrap_or_default();
        if plan.show.json && serde_json::from_slice::<Value>(&body).is_ok() {
            out.text(&String::from_utf8_lossy(&body))?;
        }
        return Err(failure(target, &head, &body).into());
    }
    let kind = response.headers().get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or(""));
    if kind.starts_with("text/html") {
        return Err(Failure::api(format!("{} answered with a web page", target.provider))
            .remedy(format!("check the url in [models.{}]: {}", target.provider, shown(&target.url)))
            .into());
    }
    // Some servers stream nothing whatever they are asked.
    let streams = plan.show.stream && !kind.starts_with("application/json");
    let mut answer = Answer { plan, out, meter: &mut meter, refused: false };
    if streams {
        answer.stream(response).await?;
    } else {
        answer.whole(response).await?;
    }
    if plan.show.usage {
        out.finish()?;
        out.warn(&meter.report());
    }
    Ok(())
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) => Err(match error.downcast::<transport::Error>() {
            Ok(error) => error.into_failure("the answer broke off: "),
            Err(_) => Failure::api(format!("the answer is larger than {} MiB", limit >> 20)),
        }),
    }
}

/// An answer on its way to the user.
struct Answer<'a> {
    plan: &'a Plan,
    out: &'a mut Output,
    meter: &'a mut Meter,
    /// It was a refusal in words.
    refused: bool,
}

impl Answer<'_> {
    async fn stream(&mut self, response: Response<Body>) -> Result<(), End> {
        let mut events = sse::events(response.into_body());
        let mut decoder = Decoder::new(self.plan.target.api);
        let mut batch = Vec::new();
        while let Some(data) = self.out.waiting(events.next()).await {
            let data = data.map_err(|error| match error {
                sse::Error::Transport(error) => error.into_failure("the answer is incomplete: "),
                other => Failure::api(format!("the answer is incomplete: {} sent {other}", self.plan.target.provider)),
            })?;
            let mut done = data.trim() == "[DONE]";
            if !done {
                let value: Value = serde_json::from_str(&data)
                    .map_err(|_| Failure::proxy("the answer is incomplete: its last event cannot be read"))?;
                if self.plan.show.json {
                    // Between JSON's tokens, the only place for it, a line feed means nothing.
                    self.out.text(&(data.replace('\n', " ") + "\n"))?;
                }
                decoder.event(&value, &mut batch);
            }
            for event in batch.drain(..) {
                done |= event == Event::Done;
                self.event(event)?;
            }
            if done {
                self.out.finish()?;
                // Read the body to its end, so that nothing upstream counts as cancelled.
                let _ = tokio::time::timeout(TAIL, events.for_each(|_| std::future::ready(()))).await;
                return Ok(());
            }
        }
        Err(Failure::proxy("the answer is incomplete: the stream ended without its closing event").remedy("ask again").into())
    }

    async fn whole(&mut self, response: Response<Body>) -> Result<(), End> {
        let bytes = self.out.waiting(collect(response.into_body(), MAX_ANSWER)).await?;
        let provider = &self.plan.target.provider;
        let answer: Value =
            serde_json::from_slice(&bytes).map_err(|_| Failure::api(format!("the answer of {provider} is not JSON")))?;
        if self.plan.show.json {
            self.out.text(&String::from_utf8_lossy(&bytes))?;
        }
        let mut events = Vec::new();
        if !request::whole(self.plan.target.api, &answer, &mut events) {
            return Err(match ApiError::read(&answer) {
                Some(error) => refusal::midway(&self.plan.target, &error),
                None => Failure::api(format!("the answer of {provider} holds no message")),
            }
            .into());
        }
        events.into_iter().try_for_each(|event| self.event(event))
    }

    fn event(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Text(text) => self.text(&text)?,
            Event::Refusal(text) => {
                self.refused = true;
                self.text(&text)?;
            }
            Event::Reasoning(text) => {
                self.meter.token(&text);
                if !self.plan.show.json {
                    self.out.thinking(&text);
                }
            }
            Event::ToolCall { name, arguments } => {
                if !self.plan.show.json {
                    let end = arguments.char_indices().nth(MAX_ARGUMENTS).map_or(arguments.len(), |(at, _)| at);
                    let more = if end < arguments.len() { "…" } else { "" };
                    self.out.warn(&format!("the model calls the tool {name}({}{more}); xllm runs no tools", &arguments[..end]));
                }
            }
            Event::Usage(usage) => self.meter.usage(usage),
            Event::Stop(stop) => self.stop(&stop),
            Event::Error(error) => return Err(refusal::midway(&self.plan.target, &error).into()),
            Event::Done => {}
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        self.meter.token(text);
        if self.plan.show.json { Ok(()) } else { self.out.text(text) }
    }

    fn stop(&mut self, stop: &Stop) {
        match stop {
            Stop::End if self.refused => self.out.warn("the model declined to answer"),
            Stop::End | Stop::Tools => {}
            Stop::MaxTokens => {
                let limit = self.plan.target.max_tokens.map_or_else(String::new, |limit| format!(" of {limit} tokens"));
                self.out.warn(&format!("the answer was cut off at its limit{limit}; -t N asks for more"));
            }
            Stop::Refused => self.out.warn("the model, or its provider's filter, declined to answer"),
            Stop::Other(reason) => self.out.warn(&format!("the model stopped for another reason: {reason}")),
        }
    }
}

#[cfg(test)]
mod tests;
