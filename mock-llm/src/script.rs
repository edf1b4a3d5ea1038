//! The script of an answer: what is said, how it arrives, and what goes wrong.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The header that overrides an instance's script for one request.
pub(crate) const HEADER: &str = "x-mock";
/// The query parameter that does the same for callers that cannot set headers.
pub(crate) const PARAMETER: &str = "mock";
/// Tokens per second below which a deadline would lie beyond any clock.
const SLOWEST: f64 = 0.001;

/// Where an instance listens and what it says unless a request asks for something else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to bind; port 0 picks a free one. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// The script of requests that bring none.
    pub script: Script,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 0).into(), script: Script::default() }
    }
}

impl From<Script> for Config {
    fn from(script: Script) -> Self {
        Self { script, ..Self::default() }
    }
}

macro_rules! script {
    ($($(#[$attribute:meta])* $field:ident: $type:ty,)*) => {
        /// What one answer is and how it arrives. Unset fields fall back to the instance's script,
        /// then to the default that each field names. Unknown keys are refused.
        ///
        /// A *delta* below is one event that carries a piece of the answer: a token of the text or
        /// of the thinking, or a piece of a tool call's arguments. Framing events before the first
        /// delta and after the last are neither paced nor gated.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Script {
            $(
                $(#[$attribute])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
        }

        impl Script {
            /// This script, with `base` where it says nothing.
            #[must_use]
            pub fn over(self, base: &Self) -> Self {
                Self { $($field: self.$field.or_else(|| base.$field.clone()),)* }
            }
        }
    };
}

script! {
    /// The answer. Default: about 80 words of markdown that mention the prompt.
    text: String,
    /// Tokens of the text at most; what is cut off shows as `length` or `max_tokens`.
    tokens: usize,
    /// Deltas per second; 0, the default, is as fast as possible.
    tokens_per_s: f64,
    /// Milliseconds before the first delta. Default 0.
    first_token_ms: u64,
    /// Milliseconds of one long pause. Default 0.
    silence_ms: u64,
    /// How many deltas come before the pause. Default 1.
    silence_after: usize,
    /// Anthropic's `ping` events behind the first `content_block_start`. Default one.
    ping: Ping,
    /// Answer at once with this error status, 400 to 599.
    error_status: u16,
    /// The provider's name of the error, in place of the one that the status implies.
    error_type: String,
    /// Seconds in `retry-after` of a scripted error.
    retry_after: u64,
    /// Fail after this many deltas (an answer that is shorter ends well), in the provider's shape of an error in mid-stream. With it,
    /// `error_status` only chooses which error that is.
    error_after: usize,
    /// Cut the connection after this many deltas, likewise, the body left without its end. An answer that is
    /// not streamed is cut in its middle.
    drop_after: usize,
    /// Never answer.
    hang: Hang,
    /// Let only the first so many attempts at a request go wrong, be it by `error_status`, `error_after`, `drop_after` or
    /// `hang`; those that come behind go well. An attempt is counted under `attempt_key`. Default: all of them.
    fail_attempts: u64,
    /// Under which name attempts are counted. Default: the request's `idempotency-key`.
    attempt_key: String,
    /// Name of a gate: each delta waits for one permit of it. An answer that is not streamed waits
    /// for one permit.
    gate: String,
    /// Answer with a tool call. Without `text`, with that alone.
    tool_call: ToolCall,
    /// Call a tool until the conversation holds so many results of tools, then say the text: the loop of an agent. Without
    /// `tool_call`, the first tool that the request offers is called. Default: no end.
    tool_turns: usize,
    /// Thinking before the answer: a block at Anthropic, `reasoning_content` at `OpenAI`.
    thinking: String,
    /// How the body is cut into writes. Default [`Chunking::Event`].
    chunking: Chunking,
    /// How the lines of a stream end. Default [`LineEnd::Lf`].
    line_end: LineEnd,
    /// Leave out the blank line behind the last event of a stream. Default false.
    unterminated: bool,
    /// Pack documents and streams with gzip for a caller whose `accept-encoding` names it; streams are flushed behind each
    /// event. Default false.
    gzip: bool,
    /// How many of the prompt's tokens count as read from the cache. Default 0.
    usage_cached: usize,
    /// Models that answer 404, as providers do after retiring one. Default none.
    retired: Vec<String>,
}

impl Script {
    /// The JSON to send as `x-mock`.
    pub fn header(&self) -> String {
        // Strings, numbers and maps with string keys always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads and checks a script; the error is a sentence for the caller.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        let script: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        script.check()?;
        Ok(script)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(rate) = self.tokens_per_s
            && !(rate == 0.0 || (rate.is_finite() && rate >= SLOWEST))
        {
            return Err(format!("tokens_per_s must be 0 or at least {SLOWEST}, not {rate}"));
        }
        if let Some(status) = self.error_status
            && !(400..=599).contains(&status)
        {
            return Err(format!("error_status must be 400 to 599, not {status}"));
        }
        Ok(())
    }

    pub(crate) fn status(&self) -> Option<StatusCode> {
        self.error_status.and_then(|status| StatusCode::from_u16(status).ok())
    }

    /// This script without what makes an answer go wrong.
    pub(crate) fn harmless(self) -> Self {
        Self { error_status: None, error_after: None, drop_after: None, hang: None, ..self }
    }

    pub(crate) fn is_retired(&self, model: &str) -> bool {
        let retired = self.retired.iter().flatten().any(|name| name == model);
        retired || model.starts_with("missing-")
    }
}

/// How an exchange hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hang {
    /// The request is taken and never answered.
    Head,
    /// The head is sent, and nothing of the body.
    Body,
}

/// How a line of a stream of events ends; the standard allows three ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineEnd {
    /// `\n`, as providers do.
    Lf,
    /// `\r\n`, as some gateways before them do.
    Crlf,
    /// `\r`.
    Cr,
}

impl LineEnd {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::Crlf => "\r\n",
            Self::Cr => "\r",
        }
    }
}

/// How many pings: yes, no, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ping {
    /// One or none.
    Flag(bool),
    /// So many.
    Count(u16),
}

impl Ping {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Flag(yes) => usize::from(yes),
            Self::Count(count) => count.into(),
        }
    }
}

/// A tool call to answer with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Name of the tool.
    pub name: String,
    /// Its arguments; streamed in pieces.
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// How the body is cut into writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Chunking {
    /// One event per write.
    #[default]
    Event,
    /// Pieces of exactly so many bytes, cut anywhere, also inside a letter; only the last is
    /// shorter. Bytes that do not fill a piece wait for the next event, even behind a gate.
    Bytes(NonZeroUsize),
    /// Pieces of 1 to 128 bytes, cut anywhere likewise; the seed says where.
    Random(u64),
}

impl TryFrom<String> for Chunking {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "event" {
            return Ok(Self::Event);
        }
        let size = text.strip_prefix("bytes:").and_then(|n| n.parse().ok());
        let seed = || text.strip_prefix("random:").and_then(|seed| seed.parse().ok());
        let chunking = size.map(Self::Bytes).or_else(|| seed().map(Self::Random));
        chunking.ok_or_else(|| format!("chunking must be `event`, `bytes:N` with N > 0, or `random:SEED`, not `{text}`"))
    }
}

impl From<Chunking> for String {
    fn from(chunking: Chunking) -> Self {
        match chunking {
            Chunking::Event => "event".into(),
            Chunking::Bytes(size) => format!("bytes:{size}"),
            Chunking::Random(seed) => format!("random:{seed}"),
        }
    }
}
