//! The same question relayed and direct, in turn, and what the relay adds.

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use mock_llm::Script;

use crate::{chat, exit::Failure, options::Plan, transport::Transport};

/// Pairs of runs that are measured, after one that is not.
const PAIRS: usize = 8;
/// Fast enough that the pairs take a few seconds, slow enough that each token travels alone.
const PACE: f64 = 200.0;
const TOKENS: usize = 40;

/// When each token of one answer came, since its request, and how large its event was.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    pub(super) times: Vec<Duration>,
    pub(super) sizes: Vec<usize>,
    /// The first token's event.
    pub(super) first: String,
}

impl Arrivals {
    fn event(&mut self, event: &[u8], now: Duration) {
        let holds = |text: &[u8]| event.windows(text.len()).any(|window| window == text);
        if !holds(br#""content":""#) || holds(br#""content":"""#) {
            return; // the head and the end of an answer
        }
        if self.times.is_empty() {
            self.first = String::from_utf8_lossy(event).trim_end().to_owned();
        }
        self.times.push(now);
        self.sizes.push(event.len());
    }

    /// The median of the times between tokens.
    pub(super) fn gap(&self) -> Duration {
        median(self.times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect())
    }
}

/// What the pairs show.
#[derive(Debug)]
pub(super) struct Pairs {
    pub(super) relayed: Vec<Arrivals>,
    pub(super) direct: Vec<Arrivals>,
}

impl Pairs {
    /// What the relay added to the first token, in microseconds, the median of the pairs.
    pub(super) fn added_first(&self) -> i128 {
        self.added(|index| index == 0)
    }

    /// What it added to each later token.
    pub(super) fn added_later(&self) -> i128 {
        self.added(|index| index > 0)
    }

    fn added(&self, counts: impl Fn(usize) -> bool) -> i128 {
        let pairs = self.relayed.iter().zip(&self.direct);
        let differences = pairs.flat_map(|(relayed, direct)| {
            let events = relayed.times.iter().zip(&direct.times).enumerate();
            events.filter(|(index, _)| counts(*index)).map(|(_, (relayed, direct))| micros(*relayed) - micros(*direct))
        });
        median(differences.collect())
    }

    /// Time to the first token and between tokens: medians of the relayed runs and of the direct ones.
    pub(super) fn medians(&self) -> [(Duration, Duration); 2] {
        [&self.relayed, &self.direct].map(|runs| {
            let first = runs.iter().filter_map(|run| run.times.first().copied()).collect();
            (median(first), median(runs.iter().map(Arrivals::gap).collect()))
        })
    }

    /// How many pairs there are.
    pub(super) const fn len(&self) -> usize {
        self.relayed.len()
    }
}

#[expect(clippy::cast_possible_wrap, reason = "microseconds of a run")]
const fn micros(time: Duration) -> i128 {
    time.as_micros() as i128
}

/// The middle one; nothing's is zero.
fn median<T: Ord + Copy + Default>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Relayed and direct in turn. Both are warm: the first pair is thrown away.
pub(super) async fn pairs(relayed: &Transport, plan: &Plan) -> Result<Pairs, Failure> {
    let direct = Transport::direct()?;
    let plan = scripted(
        plan,
        &Script { tokens_per_s: Some(PACE), first_token_ms: Some(20), tokens: Some(TOKENS), ..Script::default() },
    );
    let mut pairs = Pairs { relayed: Vec::new(), direct: Vec::new() };
    for pair in 0..=PAIRS {
        // Which goes first alternates, so that a drift of the machine favours neither.
        let relayed_first = pair % 2 == 0;
        let first = once(if relayed_first { relayed } else { &direct }, &plan).await?;
        let second = once(if relayed_first { &direct } else { relayed }, &plan).await?;
        if pair > 0 {
            let (through, straight) = if relayed_first { (first, second) } else { (second, first) };
            pairs.relayed.push(through);
            pairs.direct.push(straight);
        }
    }
    Ok(pairs)
}

/// The same answer straight from the provider, as fast as it can.
pub(super) async fn said(plan: &Plan) -> Result<Arrivals, Failure> {
    let script = Script { tokens_per_s: Some(0.0), first_token_ms: Some(0), ..Script::default() };
    once(&Transport::direct()?, &scripted(plan, &script)).await
}

/// The plan, with the mock told to answer so.
fn scripted(plan: &Plan, script: &Script) -> Plan {
    let mut plan = plan.clone();
    plan.target.url.query_pairs_mut().append_pair("mock", &script.header());
    plan
}

/// Asks once and notes when each token comes.
async fn once(transport: &Transport, plan: &Plan) -> Result<Arrivals, Failure> {
    let request = chat::request::build(&plan.target, &plan.ask)?;
    let began = Instant::now();
    let mut body = transport.send(request, false).await.map_err(|error| error.into_failure(""))?.into_body();
    let mut arrivals = Arrivals::default();
    let mut open = Vec::new();
    while let Some(frame) = body.frame().await {
        let now = began.elapsed();
        let Ok(data) = frame.map_err(|error| error.into_failure(""))?.into_data() else { continue };
        // An event ends with an empty line; pieces that came together came at the same time.
        for line in data.split_inclusive(|&byte| byte == b'\n') {
            open.extend_from_slice(line);
            if line == b"\n" {
                arrivals.event(&std::mem::take(&mut open), now);
            }
        }
    }
    Ok(arrivals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(micros: &[u64]) -> Arrivals {
        Arrivals { times: micros.iter().copied().map(Duration::from_micros).collect(), ..Arrivals::default() }
    }

    #[test]
    fn what_is_added_is_the_median_of_differences_event_by_event() {
        let pairs = Pairs {
            relayed: vec![run(&[110, 1050, 2050]), run(&[130, 1070, 2060]), run(&[120, 1040, 2000])],
            direct: vec![run(&[100, 1000, 2000]), run(&[100, 1000, 2000]), run(&[100, 1000, 2000])],
        };
        assert_eq!(pairs.added_first(), 20);
        assert_eq!(pairs.added_later(), 50);
        assert_eq!(pairs.medians()[1], (Duration::from_micros(100), Duration::from_millis(1)));
    }

    #[test]
    fn the_median_of_nothing_is_zero() {
        assert_eq!(median::<i128>(Vec::new()), 0);
        assert_eq!(median(vec![3, 1, 2]), 2);
    }
}
