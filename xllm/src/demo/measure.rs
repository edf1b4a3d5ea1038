//! The same question relayed and direct, in turn, and what the relay adds: a small `xllm bench`.

use std::time::{Duration, Instant};

use mock_llm::Script;
use tokio::sync::watch;

use crate::{
    bench::{
        call::{Terms, Ticket, call},
        delay,
        digest::{Digest, digest},
        metric::Metric,
        record::{End, Record},
        result::Route,
        stats::median,
    },
    chat,
    exit::Failure,
    options::Plan,
    transport::Transport,
};

/// Pairs of runs that are measured, after one that is not.
const PAIRS: usize = 8;
/// Fast enough that the pairs take a few seconds, slow enough that each token travels alone.
const PACE: f64 = 200.0;
const TOKENS: usize = 40;
/// Longer than the mock ever pauses.
const PATIENCE: Duration = Duration::from_mins(1);

/// The events of one answer that carry a token.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Bytes of each.
    pub(super) sizes: Vec<usize>,
    /// The first one.
    pub(super) first: String,
}

/// What the pairs show: direct and relayed.
#[derive(Debug)]
pub(super) struct Pairs(Vec<(Digest, Digest)>);

impl Pairs {
    /// What the relay added to the first token, in microseconds, the median of the pairs.
    pub(super) fn added_first(&self) -> i64 {
        let first = |digest: &Digest| digest.values.as_ref()?.single.get(&Metric::Ttft).copied();
        micros(self.0.iter().filter_map(|(direct, relayed)| Some(first(relayed)? - first(direct)?)).collect())
    }

    /// What it added to each later token.
    pub(super) fn added_later(&self) -> i64 {
        micros(self.0.iter().filter_map(|(direct, relayed)| delay(direct, relayed)).collect())
    }

    /// Time to the first token and between tokens, in milliseconds: medians of the relayed runs and of the direct ones.
    pub(super) fn medians(&self) -> [(f64, f64); 2] {
        let of = |side: fn(&(Digest, Digest)) -> &Digest| {
            let values = || self.0.iter().filter_map(move |pair| side(pair).values.as_ref());
            let first = values().filter_map(|values| values.single.get(&Metric::Ttft).copied()).collect();
            let gaps = values().filter_map(|values| median(values.icl.clone())).collect();
            (median(first).unwrap_or_default(), median(gaps).unwrap_or_default())
        };
        [of(|pair| &pair.1), of(|pair| &pair.0)]
    }

    /// How many pairs there are.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}

/// The median of milliseconds, in microseconds; nothing's is zero.
#[expect(clippy::cast_possible_truncation, reason = "microseconds of a run")]
fn micros(differences: Vec<f64>) -> i64 {
    (median(differences).unwrap_or_default() * 1e3).round() as i64
}

/// Relayed and direct in turn. Both are warm: the first pair is thrown away.
pub(super) async fn pairs(relayed: &Transport, plan: &Plan) -> Result<Pairs, Failure> {
    let direct = Transport::direct()?;
    let plan = scripted(
        plan,
        &Script { tokens_per_s: Some(PACE), first_token_ms: Some(20), tokens: Some(TOKENS), ..Script::default() },
    );
    let read = |record| digest(plan.target.api, record);
    let mut pairs = Vec::new();
    for pair in 0..=PAIRS {
        // Which goes first alternates, so that a drift of the machine favours neither.
        let relayed_first = pair % 2 == 0;
        let first = once(if relayed_first { relayed } else { &direct }, &plan).await?;
        let second = once(if relayed_first { &direct } else { relayed }, &plan).await?;
        if pair > 0 {
            let (straight, through) = if relayed_first { (second, first) } else { (first, second) };
            pairs.push((read(straight), read(through)));
        }
    }
    Ok(Pairs(pairs))
}

/// The same answer straight from the provider, as fast as it can.
pub(super) async fn said(plan: &Plan) -> Result<Said, Failure> {
    let script = Script { tokens_per_s: Some(0.0), first_token_ms: Some(0), ..Script::default() };
    let record = once(&Transport::direct()?, &scripted(plan, &script)).await?;
    Ok(tokens(&String::from_utf8_lossy(&record.body)))
}

/// The events that carry a token: the head and the end of an answer do not.
fn tokens(body: &str) -> Said {
    let carries = |event: &&str| event.contains(r#""content":""#) && !event.contains(r#""content":"""#);
    let events: Vec<&str> = body.split_inclusive("\n\n").filter(carries).collect();
    let first = events.first().map_or("", |event| event.trim_end()).to_owned();
    Said { sizes: events.iter().map(|event| event.len()).collect(), first }
}

/// The plan, with the mock told to answer so.
fn scripted(plan: &Plan, script: &Script) -> Plan {
    let mut plan = plan.clone();
    plan.target.url.query_pairs_mut().append_pair("mock", &script.header());
    plan
}

/// Asks once.
async fn once(transport: &Transport, plan: &Plan) -> Result<Record, Failure> {
    let request = chat::request::build(&plan.target, &plan.ask)?;
    let (_stop, stop) = watch::channel(false);
    let terms = Terms { origin: Instant::now(), patience: PATIENCE, limit: PATIENCE, stop };
    let ticket = Ticket {
        pair: 0,
        route: Route::Direct,
        first: true,
        scheduled: Duration::ZERO,
        ready: Duration::ZERO,
        cancel_after: None,
    };
    let mut record = call(transport, request, ticket, &terms).await;
    match std::mem::replace(&mut record.end, End::Whole) {
        End::Whole => Ok(record),
        End::Broken(error) => Err(error.into_failure("")),
        End::Silent | End::Late | End::Unsent | End::TooLarge | End::Cancelled => {
            Err(Failure::api("the mock provider's answer did not come to its end"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::samples::sample;

    #[test]
    fn what_is_added_is_the_median_of_the_pairs_differences() {
        let pair = |direct: &[f64], relayed: &[f64]| (sample(Route::Direct, 0, direct), sample(Route::Proxied, 0, relayed));
        let direct = [0.1, 1.0, 2.0];
        let pairs = Pairs(vec![
            pair(&direct, &[0.11, 1.05, 2.05]),
            pair(&direct, &[0.13, 1.07, 2.07]),
            pair(&direct, &[0.12, 1.04, 2.0]),
        ]);
        assert_eq!((pairs.added_first(), pairs.added_later()), (20, 50));
        let rounded = pairs.medians().map(|(first, gap)| (micros(vec![first]), micros(vec![gap])));
        assert_eq!(rounded, [(120, 970), (100, 950)]);
        assert_eq!(micros(Vec::new()), 0);
    }

    #[test]
    fn events_without_a_token_are_left_out() {
        let body = "data: {\"delta\":{\"content\":\"\"}}\n\ndata: {\"delta\":{\"content\":\"a\"}}\n\ndata: [DONE]\n\n";
        let said = tokens(body);
        assert_eq!((said.sizes, said.first.as_str()), (vec![33], "data: {\"delta\":{\"content\":\"a\"}}"));
    }
}
