//! What is said, before it takes a provider's shape.

use serde_json::{Value, json};

use crate::prose;
use crate::sample::sample;
use crate::script::Script;
use crate::tokens;

/// Tokens that an image or another part without text counts.
pub(crate) const PART_TOKENS: usize = 85;
/// The thinking of a request that asks for some while no script gives any.
const THINKING: &str = "Let me look at what is asked, and then answer it in order.";

/// What a request asks for.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    /// Text of the last message of the user.
    pub(crate) prompt: String,
    pub(crate) prompt_tokens: usize,
    /// The caller's cap on the text.
    pub(crate) max_tokens: Option<usize>,
    /// Texts that end the answer.
    pub(crate) stops: Vec<String>,
    /// Answer with JSON that this schema accepts.
    pub(crate) schema: Option<Value>,
    /// The tool that must be called, and the schema of its arguments.
    pub(crate) tool: Option<(String, Value)>,
    /// The first tool that may be called, likewise.
    pub(crate) offered: Option<(String, Value)>,
    /// Results of tools in the conversation.
    pub(crate) tool_results: usize,
    pub(crate) think: bool,
}

impl Ask {
    /// Counts `text`, and keeps it as the prompt if the user said it.
    pub(crate) fn hear(&mut self, text: &str, user: bool) {
        self.prompt_tokens += tokens::count(text);
        if user {
            if !self.prompt.is_empty() {
                self.prompt.push(' ');
            }
            self.prompt.push_str(text);
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    End,
    Length,
    Sequence(String),
    Tool,
}

/// A tool call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Value,
}

impl Call {
    /// The arguments as JSON text.
    pub(crate) fn json(&self) -> String {
        self.arguments.to_string()
    }
}

/// An answer in tokens.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) thinking: Vec<String>,
    pub(crate) text: Vec<String>,
    pub(crate) call: Option<Call>,
    pub(crate) stop: Stop,
}

impl Answer {
    /// The answer number `choice` to `ask`.
    pub(crate) fn new(script: &Script, ask: &Ask, choice: usize) -> Self {
        let call = call(script, ask);
        let mut text = match (&script.text, &ask.schema) {
            // The loop's text is for its end.
            _ if call.is_some() && script.tool_turns.is_some() => String::new(),
            (Some(text), _) => text.clone(),
            (None, _) if call.is_some() => String::new(),
            (None, Some(schema)) => sample(schema).to_string(),
            (None, None) => prose::answer(&ask.prompt, choice),
        };
        let mut stop = if call.is_some() { Stop::Tool } else { Stop::End };
        let hit = |text: &str, stop: &String| text.find(stop).map(|place| (place, stop.clone()));
        let hits = ask.stops.iter().filter(|stop| !stop.is_empty());
        if let Some((place, sequence)) = hits.filter_map(|stop| hit(&text, stop)).min() {
            text.truncate(place);
            stop = Stop::Sequence(sequence);
        }
        let mut text = own(tokens::split(&text));
        let caps = [script.tokens, ask.max_tokens];
        if let Some(cap) = caps.into_iter().flatten().min()
            && text.len() > cap
        {
            text.truncate(cap);
            stop = Stop::Length;
        }
        // Nothing comes behind a text that was cut short.
        let call = call.filter(|_| stop == Stop::Tool);
        let thinking = script.thinking.as_deref();
        let thinking = thinking.or_else(|| ask.think.then_some(THINKING));
        Self { thinking: own(tokens::split(thinking.unwrap_or_default())), text, call, stop }
    }

    /// The arguments of the call in pieces, as they are streamed.
    pub(crate) fn argument_pieces(&self) -> Vec<String> {
        let json = self.call.as_ref().map(Call::json).unwrap_or_default();
        own(tokens::split(&json))
    }

    /// Tokens of everything said.
    pub(crate) fn tokens(&self) -> usize {
        self.thinking.len() + self.text.len() + self.argument_pieces().len()
    }
}

/// The tool call to answer with, if it is time for one.
fn call(script: &Script, ask: &Ask) -> Option<Call> {
    if script.tool_turns.is_some_and(|turns| ask.tool_results >= turns) {
        return None;
    }
    if let Some(call) = &script.tool_call {
        return Some(Call { name: call.name.clone(), arguments: call.arguments.clone().into() });
    }
    let offered = ask.offered.as_ref().filter(|_| script.tool_turns.is_some());
    let (name, schema) = ask.tool.as_ref().or(offered)?;
    Some(Call { name: name.clone(), arguments: sample(schema) })
}

fn own(tokens: Vec<&str>) -> Vec<String> {
    tokens.into_iter().map(Into::into).collect()
}

/// The schema of answers in JSON mode, where the caller gives none.
pub(crate) fn any_object(prompt: &str) -> Value {
    json!({"properties": {
        "question": {"const": prose::quote(prompt)},
        "steps": {"const": ["ask", "measure", "keep"]},
        "certain": {"type": "boolean"},
    }})
}
