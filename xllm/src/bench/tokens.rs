//! From the pieces of a body to the events in them: which carry content, and when each was complete.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, channel::mpsc};
use serde::de::IgnoredAny;
use sse_stream::SseByteStream;

use super::{data::Data, named::named, record::Record};
use crate::{chat::ApiError, config::Api};

/// All that a stream says of its timing.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// Events with content or a choice, in their order.
    pub(crate) events: Vec<Event>,
    /// Tokens of the answer as the API counts them.
    pub(crate) usage: Option<u64>,
    /// Whether the API said that this was all.
    pub(crate) finished: bool,
    /// The API gave up midway, in its word for that.
    pub(crate) error: Option<String>,
    /// An event that is no JSON, or no event at all in a body that is not empty.
    pub(crate) unreadable: bool,
}

/// No model answers with more.
const TOKENS: u64 = 10_000_000;

/// One event. It came when the piece did that completed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// Since the step's beginning.
    pub(crate) at: Duration,
    /// Which piece of the body completed it.
    pub(crate) chunk: u32,
    /// What it carries; `None` if it has a choice without content, such as the role or the reason of the end.
    pub(crate) content: Option<Content>,
}

/// What an event carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Text,
    Reasoning,
    /// A piece of a tool call.
    Tool,
}

/// What is of interest in an event.
enum Carries {
    Content(Content),
    /// A choice without content.
    Choice,
    Nothing,
}

/// Reads a record.
pub(crate) fn read(api: Api, record: &Record) -> Tokens {
    let mut tokens = Tokens::default();
    let mut any = false;
    // The parser is fed piece by piece, so that each event is known by the piece that completed it.
    let (feed, pieces) = mpsc::unbounded::<Result<Bytes, std::convert::Infallible>>();
    let mut events = SseByteStream::new(pieces);
    let mut at = (Duration::ZERO, 0);
    let mut numbers = 0..;
    // An event that lacks its blank line counts where the body ended.
    let end = (None, Bytes::from_static(b"\n\n"));
    for (chunk, piece) in record.pieces().map(|(chunk, piece)| (Some(chunk), piece)).chain([end]) {
        if let Some(chunk) = chunk {
            at = (chunk.at, numbers.next().unwrap_or(u32::MAX));
        }
        // It fails only when the parser is gone.
        let _ = feed.unbounded_send(Ok(piece));
        while let Some(Some(event)) = events.next().now_or_never() {
            any = true;
            match event.map(|event| event.data) {
                Ok(Some(data)) => tokens.event(api, &data, at),
                Ok(None) => {}
                Err(_) => {
                    tokens.unreadable = true;
                    return tokens;
                }
            }
        }
    }
    // A count that cannot be is none. It may well be above what is shown: there is reasoning that is not.
    tokens.usage = tokens.usage.filter(|count| *count <= TOKENS);
    tokens.unreadable |= !any && !record.body.is_empty();
    tokens
}

impl Tokens {
    /// Events with content.
    pub(crate) fn content(&self) -> impl DoubleEndedIterator<Item = &Event> + Clone {
        self.events.iter().filter(|event| event.content.is_some())
    }

    /// Tokens: the API's count, else events with content, of which most carry one.
    pub(crate) fn count(&self) -> u64 {
        self.usage.unwrap_or_else(|| self.content().count() as u64)
    }

    fn event(&mut self, api: Api, data: &str, (at, chunk): (Duration, u32)) {
        if data.trim() == "[DONE]" {
            self.finished = true;
            return;
        }
        let Ok(event) = serde_json::from_str::<Data>(data) else {
            // What has fields of other types than we know is none of ours.
            self.unreadable |= serde_json::from_str::<IgnoredAny>(data).is_err();
            return;
        };
        if event.error.0 {
            let error = serde_json::from_str(data).ok().as_ref().and_then(ApiError::read);
            self.error = Some(named(error.and_then(|error| error.kind).as_deref()).to_owned());
        }
        let carries = match api {
            Api::OpenAi => self.openai(&event),
            Api::Anthropic => self.anthropic(&event),
        };
        let content = match carries {
            Carries::Content(content) => Some(content),
            Carries::Choice => None,
            Carries::Nothing => return,
        };
        self.events.push(Event { at, chunk, content });
    }

    /// What a chunk carries.
    fn openai(&mut self, data: &Data) -> Carries {
        self.usage = data.usage.as_ref().and_then(|usage| usage.completion_tokens.0).or(self.usage);
        let Some(choice) = data.choices.as_ref().and_then(|choices| choices.first()) else { return Carries::Nothing };
        match &choice.delta {
            Some(delta) if delta.content.0 || delta.refusal.0 => Carries::Content(Content::Text),
            Some(delta) if delta.reasoning_content.0 || delta.reasoning.0 => Carries::Content(Content::Reasoning),
            Some(delta) if delta.tool_calls.0 => Carries::Content(Content::Tool),
            _ => Carries::Choice,
        }
    }

    /// What an event carries. The API knows no choices: what has content counts as one.
    fn anthropic(&mut self, data: &Data) -> Carries {
        match data.kind.as_deref().unwrap_or_default() {
            // The count in message_start is of what is there before the answer.
            "message_delta" => self.usage = data.usage.as_ref().and_then(|usage| usage.output_tokens.0).or(self.usage),
            "message_stop" => self.finished = true,
            "content_block_delta" => {
                return match &data.delta {
                    Some(delta) if delta.text.0 => Carries::Content(Content::Text),
                    Some(delta) if delta.thinking.0 => Carries::Content(Content::Reasoning),
                    Some(delta) if delta.partial_json.0 => Carries::Content(Content::Tool),
                    _ => Carries::Nothing,
                };
            }
            _ => {}
        }
        Carries::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{result::Route, samples};

    #[test]
    fn a_count_that_cannot_be_is_none_and_its_event_is_read_all_the_same() {
        for (count, tokens) in [("2", 2), ("2.0", 2), ("18446744073709551615", 1), ("-3", 1), ("\"x\"", 1)] {
            let mut record = samples::record(Route::Direct, 0, &[1.0]);
            let body = format!(
                "data: {{\"choices\":[{{\"delta\":{{\"content\":\"x\"}}}}],\"usage\":{{\"completion_tokens\":{count}}}}}\n\ndata: [DONE]\n\n"
            );
            (record.chunks[0].length, record.body) = (body.len(), body.into_bytes());
            let found = read(Api::OpenAi, &record);
            assert_eq!((found.count(), found.content().count()), (tokens, 1), "{count}");
        }
    }
}
