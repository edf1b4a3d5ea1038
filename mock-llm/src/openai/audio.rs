//! `/v1/audio/speech` and `/v1/audio/transcriptions`. No sound is made or heard: speech is bytes that follow from its text,
//! and a transcription says what was sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde_json::{Map, Value, json};

use crate::body::{Reply, full};
use crate::context::Context;
use crate::delivery::Event;
use crate::fault::Fault;
use crate::fields::{Fields, missing};
use crate::multipart::Form;
use crate::random::seed;
use crate::raw::pattern;
use crate::tokens;

use super::ask;

/// Characters of a text to be spoken at most.
const LONGEST_INPUT: usize = 4096;
/// Bytes of speech for a token of its text.
const BYTES_PER_TOKEN: usize = 4096;
/// Bytes of a recording that count as a token.
const RECORDED_PER_TOKEN: usize = 1600;
/// The formats of speech with their types.
const FORMATS: [(&str, &str); 6] = [
    ("mp3", "audio/mpeg"),
    ("opus", "audio/opus"),
    ("aac", "audio/aac"),
    ("flac", "audio/flac"),
    ("wav", "audio/wav"),
    ("pcm", "audio/pcm"),
];

pub(super) fn speech(context: &Context, body: &Map<String, Value>) -> Result<Reply, Fault> {
    let fields = Fields(body);
    ask::model(context, fields)?;
    let input = fields.text("input")?.filter(|input| !input.is_empty()).ok_or_else(|| missing("input"))?;
    let length = input.chars().count();
    if length > LONGEST_INPUT {
        let message = format!(
            "Invalid 'input': string too long. Expected a string with maximum length {LONGEST_INPUT}, \
             but got a string with length {length} instead."
        );
        return Err(Fault::invalid(message).param("input").code("string_above_max_length"));
    }
    // A voice is a name, or an object with an identifier.
    fields.get("voice").ok_or_else(|| missing("voice"))?;
    let format = fields.text("response_format")?.unwrap_or("mp3");
    let Some((_, content_type)) = FORMATS.into_iter().find(|(name, _)| *name == format) else {
        let message =
            format!("Invalid value: '{format}'. Supported values are: 'mp3', 'opus', 'aac', 'flac', 'wav', and 'pcm'.");
        return Err(Fault::invalid(message).param("response_format").code("invalid_value"));
    };
    let spoken = tokens::count(input);
    let mut audio = vec![0; spoken * BYTES_PER_TOKEN];
    // Half of the range, so that the end of the bytes lies in it as well.
    pattern(seed(input) >> 1, &mut audio);
    if fields.text("stream_format")? != Some("sse") {
        return Ok(context.binary(content_type, &audio.into(), false));
    }
    let piece = |piece: &[u8]| delta(&json!({"type": "speech.audio.delta", "audio": STANDARD.encode(piece)}));
    let mut events: Vec<_> = audio.chunks(BYTES_PER_TOKEN).map(piece).collect();
    let usage = json!({"input_tokens": spoken, "output_tokens": spoken, "total_tokens": 2 * spoken});
    events.push(Event { bytes: data(&json!({"type": "speech.audio.done", "usage": usage})), delta: false });
    Ok(stream(context, events))
}

pub(super) async fn transcription(context: &Context, head: &Parts, body: &Bytes) -> Result<Reply, Fault> {
    let form = Form::read(head, body).await.map_err(Fault::invalid)?;
    let model = form.text("model").ok_or_else(|| missing("model"))?;
    if context.script.is_retired(model) {
        return Err(ask::unknown_model(model));
    }
    let file = form.file("file").ok_or_else(|| missing("file"))?;
    let length = file.bytes.len();
    let name = file.file_name.as_deref().unwrap_or_default();
    let text = context.script.text.clone();
    let text = text.unwrap_or_else(|| format!("Somebody says {length} bytes, and they are called {name}."));
    let tokens = tokens::split(&text);
    let input = length.div_ceil(RECORDED_PER_TOKEN);
    let usage = json!({"type": "tokens", "input_tokens": input,
        "input_token_details": {"text_tokens": 0, "audio_tokens": input},
        "output_tokens": tokens.len(), "total_tokens": input + tokens.len()});
    if form.text("stream") == Some("true") {
        let piece = |token: &&str| delta(&json!({"type": "transcript.text.delta", "delta": token}));
        let mut events: Vec<_> = tokens.iter().map(piece).collect();
        let done = json!({"type": "transcript.text.done", "text": text, "usage": usage});
        events.push(Event { bytes: data(&done), delta: false });
        return Ok(stream(context, events));
    }
    match form.text("response_format").unwrap_or("json") {
        "json" => Ok(context.whole(&json!({"text": text, "usage": usage}), tokens.len()).await),
        "text" => Ok(context.reply(StatusCode::OK, "text/plain; charset=utf-8", full(text + "\n"))),
        format => {
            let message =
                format!("response_format '{format}' is not compatible with model '{model}'. Use 'json' or 'text' instead.");
            Err(Fault::invalid(message).param("response_format").code("unsupported_value"))
        }
    }
}

fn stream(context: &Context, events: Vec<Event>) -> Reply {
    let failure = data(&context.error_body(&context.scripted_fault()));
    context.stream(events, |_| failure.clone())
}

fn delta(value: &Value) -> Event {
    Event { bytes: data(value), delta: true }
}

fn data(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}
