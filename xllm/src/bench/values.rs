//! The metrics of one request, from what was observed of it. Pure.

use std::{collections::BTreeMap, time::Duration};

use super::{
    metric::Metric,
    record::Record,
    tokens::{Content, Tokens},
};

/// The values of one request that was answered to its end.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Values {
    /// Of the metrics that have one value a request, those that it has.
    pub(crate) single: BTreeMap<Metric, f64>,
    /// Gaps between content events.
    pub(crate) icl: Vec<f64>,
    /// Gaps between events with a choice.
    pub(crate) itl: Vec<f64>,
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Works them out.
pub(crate) fn values(record: &Record, tokens: &Tokens) -> Values {
    let mut single = BTreeMap::new();
    let mut put = |metric, value: Option<f64>| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            single.insert(metric, value);
        }
    };
    let scheduled = |at| ms(record.since_scheduled(at));
    let sent = |at| ms(record.since_sent(at));
    let content: Vec<Duration> = tokens.content().map(|event| event.at).collect();
    let choices: Vec<Duration> = tokens.events.iter().map(|event| event.at).collect();
    let (first, last) = (content.first().copied(), content.last().copied());
    let text = tokens.content().rfind(|event| event.content == Some(Content::Text)).map(|event| event.at);
    #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
    let count = tokens.count() as f64;
    // What is spread over the tokens behind the first has no meaning for one alone.
    let later = Some(count - 1.0).filter(|later| *later > 0.0);
    let span = |times: &[Duration]| Some(ms(times.last()?.saturating_sub(*times.first()?)));
    let per_later = |span: Option<f64>| Some(span? / later?);
    let decode = span(&content).filter(|_| content.len() > 1);

    put(Metric::Head, record.head.as_ref().map(|head| scheduled(head.at)));
    put(Metric::Ttft, first.map(scheduled));
    put(Metric::TtftSent, first.map(sent));
    put(Metric::TtftVllm, choices.first().copied().map(sent));
    put(Metric::Ttst, content.get(1).and_then(|second| Some(ms(second.saturating_sub(first?)))));
    put(Metric::TpotVllm, per_later(span(&choices)));
    put(Metric::TpotAiperf, per_later(span(&content)));
    put(Metric::TpotGuidellm, last.map(|last| sent(last) / count));
    put(Metric::TpotLlmperf, text.map(|last| sent(last) / count));
    put(Metric::LastToken, last.map(scheduled));
    put(Metric::E2e, Some(scheduled(record.ended)));
    put(Metric::E2eSent, Some(sent(record.ended)));
    put(Metric::TokensPerS, decode.and_then(|span| Some(later? * 1e3 / span)));
    put(Metric::TokensPerSE2e, Some(count * 1e3 / sent(record.ended)).filter(|_| count > 0.0));
    Values { single, icl: gaps(&content), itl: gaps(&choices) }
}

fn gaps(times: &[Duration]) -> Vec<f64> {
    times.windows(2).map(|pair| ms(pair[1].saturating_sub(pair[0]))).collect()
}
