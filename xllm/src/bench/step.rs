//! From the calls of a step to its result. Pure.

use std::collections::BTreeMap;

use super::{
    bootstrap::{Method, Pair, difference},
    digest::Digest,
    metric::Metric,
    result::{
        Counts, Difference, FailureCount, Goodput, Objective, Outcome, Route, RouteResult, Row, Statistic, Throughput,
        TokenTime, Typical,
    },
    slo,
    split::{of_event, split},
    stats::{distribution, median, round},
    tokens::Event,
    values::ms,
};

/// What differences are worked out of: what a user notices, and what goodput is made of.
const COMPARED: [Metric; 9] = [
    Metric::Head,
    Metric::Ttft,
    Metric::Ttst,
    Metric::TpotVllm,
    Metric::TpotAiperf,
    Metric::LastToken,
    Metric::E2e,
    Metric::TokensPerS,
    Metric::TokensPerSE2e,
];

/// The two calls of each pair, as far as they were made: direct, proxied.
type Pairs<'d> = BTreeMap<u64, [Option<&'d Digest>; 2]>;

/// What one route showed.
#[expect(clippy::cast_precision_loss, reason = "counts of requests, tokens and pieces")]
pub(super) fn route(route: Route, digests: &[Digest], wall_s: f64, objectives: &[Objective]) -> RouteResult {
    let own = || digests.iter().filter(move |digest| digest.record.route == route);
    let done = || own().filter(|digest| digest.outcome == Outcome::Done);
    let of = |outcome| own().filter(|digest| digest.outcome == outcome).count() as u64;
    let counts = Counts {
        sent: own().count() as u64,
        done: of(Outcome::Done),
        failed: of(Outcome::Failed),
        cancelled: of(Outcome::Cancelled),
    };
    let per_s = |count: u64| round(count as f64 / wall_s.max(1e-9));
    let tokens = done().map(|digest| digest.tokens.count()).fold(0, u64::saturating_add);
    let good = || done().filter_map(|digest| digest.values.as_ref()).filter(|values| slo::met(objectives, values)).count();
    let goodput = (!objectives.is_empty()).then(|| Goodput {
        requests_per_s: per_s(good() as u64),
        share: round(good() as f64 / (counts.sent - counts.cancelled).max(1) as f64),
    });
    let values = || done().filter_map(|digest| digest.values.as_ref());
    let metrics = Metric::ALL.iter().filter_map(|metric| {
        let all: Vec<f64> = match metric {
            Metric::Icl => values().flat_map(|values| values.icl.iter().copied()).collect(),
            Metric::Itl => values().flat_map(|values| values.itl.iter().copied()).collect(),
            metric => values().filter_map(|values| values.single.get(metric).copied()).collect(),
        };
        distribution(*metric, all)
    });
    RouteResult {
        route,
        counts,
        failures: failures(own()),
        throughput: Throughput {
            requests_per_s: per_s(counts.done),
            tokens_per_s: per_s(tokens),
            chunks_per_s: per_s(own().map(|digest| digest.chunks).sum()),
            tokens,
            tokens_from_usage: done().filter(|digest| digest.tokens.usage.is_some()).count() as u64,
        },
        goodput,
        metrics: metrics.collect(),
        split: split(done()),
    }
}

fn failures<'d>(digests: impl Iterator<Item = &'d Digest>) -> Vec<FailureCount> {
    let mut counts = BTreeMap::new();
    for reason in digests.filter_map(|digest| digest.failure.as_ref()) {
        *counts.entry(reason).or_insert(0) += 1;
    }
    let mut list: Vec<_> =
        counts.into_iter().map(|(reason, count)| FailureCount { reason: reason.text.clone(), count }).collect();
    list.sort_by_key(|failure| std::cmp::Reverse(failure.count));
    list
}

/// What the proxy adds.
pub(super) fn differences(digests: &[Digest], method: Method) -> Vec<Difference> {
    let pairs = pairs(digests);
    let both: Vec<_> = pairs.values().filter_map(|[direct, proxied]| Some(((*direct)?, (*proxied)?))).collect();
    let mut list = Vec::new();
    for metric in COMPARED {
        let value = |digest: &Digest| digest.values.as_ref()?.single.get(&metric).copied();
        let of_pairs: Vec<Pair> = both.iter().filter_map(|(direct, proxied)| Some((value(direct)?, value(proxied)?))).collect();
        let statistics: &[Statistic] = match metric {
            Metric::Ttft | Metric::E2e => {
                &[Statistic::MedianOfDifferences, Statistic::MeanOfDifferences, Statistic::P90, Statistic::P99]
            }
            _ => &[Statistic::MedianOfDifferences],
        };
        list.extend(statistics.iter().filter_map(|statistic| difference(metric, *statistic, &of_pairs, method)));
    }
    let delays: Vec<Pair> = both.iter().filter_map(|(direct, proxied)| Some((0.0, delay(direct, proxied)?))).collect();
    list.extend(difference(Metric::TokenDelay, Statistic::MedianOfDifferences, &delays, method));
    list
}

/// How much later the tokens behind the first came through the proxy: the median of one pair. Two answers that have another
/// number of tokens are not the same answer; they have none.
pub(crate) fn delay(direct: &Digest, proxied: &Digest) -> Option<f64> {
    direct.values.as_ref().zip(proxied.values.as_ref())?;
    let times =
        |digest: &Digest| -> Vec<f64> { digest.tokens.content().map(|event| ms(digest.record.since_sent(event.at))).collect() };
    let (direct, proxied) = (times(direct), times(proxied));
    let same = direct.len() == proxied.len();
    same.then(|| median(direct.iter().zip(&proxied).skip(1).map(|(direct, proxied)| proxied - direct).collect()))?
}

fn pairs(digests: &[Digest]) -> Pairs<'_> {
    let mut pairs = Pairs::new();
    for digest in digests {
        let side = usize::from(digest.record.route == Route::Proxied);
        pairs.entry(digest.record.pair).or_default()[side] = Some(digest);
    }
    pairs
}

/// The pair whose times to first token and to the end are nearest to the medians of their routes.
pub(super) fn typical(digests: &[Digest]) -> Option<Typical> {
    let value = |digest: &Digest, metric| digest.values.as_ref()?.single.get(&metric).copied();
    let medians: BTreeMap<(Route, Metric), f64> = [Route::Direct, Route::Proxied]
        .into_iter()
        .flat_map(|route| [(route, Metric::Ttft), (route, Metric::E2e)])
        .filter_map(|(route, metric)| {
            let own = digests.iter().filter(|digest| digest.record.route == route);
            Some(((route, metric), median(own.filter_map(|digest| value(digest, metric)).collect())?))
        })
        .collect();
    // By which part of the median it is off.
    let off = |digest: &Digest| -> Option<f64> {
        let one = |metric| {
            let median = medians.get(&(digest.record.route, metric))?;
            Some((value(digest, metric)? - median).abs() / median.max(1e-6))
        };
        Some(one(Metric::Ttft)? + one(Metric::E2e)?)
    };
    let routes = medians.keys().filter(|(_, metric)| *metric == Metric::Ttft).count();
    let pairs = pairs(digests);
    let whole = pairs.iter().filter_map(|(pair, sides)| {
        let offs: Option<Vec<f64>> = sides.iter().flatten().map(|digest| off(digest)).collect();
        let offs = offs.filter(|offs| offs.len() == routes)?;
        Some((*pair, sides, offs.iter().sum::<f64>()))
    });
    let (pair, sides, _) = whole.min_by(|left, right| left.2.total_cmp(&right.2))?;
    let [direct, proxied] = sides.map(|digest| digest.map(timeline));
    Some(Typical { pair, direct, proxied })
}

fn timeline(digest: &Digest) -> Vec<TokenTime> {
    let token = |event: &Event| TokenTime {
        at: ms(digest.record.since_sent(event.at)),
        chunk: event.chunk,
        split: of_event(digest, event),
    };
    digest.tokens.content().map(token).collect()
}

/// One call as a row.
pub(super) fn row(step: u64, digest: &Digest) -> Row {
    let record = &digest.record;
    let values = digest.values.as_ref();
    let gaps = values.map(|values| values.icl.clone()).unwrap_or_default();
    Row {
        step,
        pair: record.pair,
        route: record.route,
        first: record.first,
        outcome: digest.outcome,
        status: record.head.as_ref().map(|head| head.parts.status.as_u16()),
        failure: digest.failure.as_ref().map(|reason| reason.text.clone()),
        scheduled: ms(record.scheduled),
        sent: ms(record.sent),
        chunks: digest.chunks,
        events: digest.tokens.content().count() as u64,
        tokens: digest.tokens.count(),
        bytes: digest.bytes,
        values: values.iter().flat_map(|values| &values.single).map(|(metric, value)| (*metric, round(*value))).collect(),
        longest_gap: gaps.iter().copied().max_by(f64::total_cmp).map(round),
        median_gap: median(gaps).map(round),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bench::{digest::Reason, samples::sample},
        exit::Exit,
    };

    const METHOD: Method = Method { confidence: 0.95, resamples: 200, seed: 1 };

    /// Direct answers whose times vary widely, and proxied ones that are always 2 ms later.
    fn digests(pairs: u32) -> Vec<Digest> {
        let pair = |number: u32| {
            let begin = f64::from(number * 37 % 50) + 10.0;
            let times = [begin, begin + 5.0, begin + 10.0];
            let later = times.map(|time| time + 2.0);
            [sample(Route::Direct, number.into(), &times), sample(Route::Proxied, number.into(), &later)]
        };
        (0..pairs).flat_map(pair).collect()
    }

    fn find(list: &[Difference], metric: Metric, statistic: Statistic) -> Option<&Difference> {
        list.iter().find(|found| found.metric == metric && found.statistic == statistic)
    }

    #[test]
    fn what_is_added_to_every_pair_alike_is_found_exactly() {
        let list = differences(&digests(40), METHOD);
        for metric in [Metric::Ttft, Metric::E2e, Metric::TokenDelay] {
            let found = find(&list, metric, Statistic::MedianOfDifferences).expect("forty pairs");
            for value in [found.low, found.estimate, found.high] {
                assert!((value - 2.0).abs() < 1e-6, "{found:?}");
            }
            assert_eq!(found.pairs, 40);
        }
        assert!(find(&list, Metric::Ttft, Statistic::P90).is_some() && find(&list, Metric::Ttft, Statistic::P99).is_none());
    }

    #[test]
    fn only_pairs_of_which_both_were_answered_count() {
        let mut list = digests(12);
        list.remove(0);
        list[4].values = None;
        let found = differences(&list, METHOD);
        assert_eq!(find(&found, Metric::Ttft, Statistic::MedianOfDifferences).map(|found| found.pairs), Some(10));
    }

    #[test]
    fn answers_of_different_lengths_have_no_delay() {
        let (direct, proxied) = (sample(Route::Direct, 0, &[1.0, 2.0, 3.0]), sample(Route::Proxied, 0, &[1.0, 2.0]));
        assert_eq!(delay(&direct, &proxied), None);
        assert_eq!(delay(&proxied, &proxied), Some(0.0));
    }

    #[test]
    fn counts_throughput_and_goodput_are_over_the_steps_time() {
        let mut list = digests(4);
        list[0].outcome = Outcome::Failed;
        list[0].failure = Some(Reason { text: "why".to_owned(), exit: Exit::Api });
        let objectives = [Objective { metric: Metric::Ttft, limit: 25.0 }];
        let found = route(Route::Direct, &list, 2.0, &objectives);
        assert_eq!(found.counts, Counts { sent: 4, done: 3, failed: 1, cancelled: 0 });
        assert_eq!(found.failures, [FailureCount { reason: "why".to_owned(), count: 1 }]);
        assert_eq!((found.throughput.requests_per_s, found.throughput.tokens_per_s), (1.5, 4.5));
        // The first tokens of the three came after 47, 34 and 21 ms.
        assert_eq!(found.goodput, Some(Goodput { requests_per_s: 0.5, share: 0.25 }));
    }

    #[test]
    fn the_typical_pair_is_the_one_nearest_to_the_medians() {
        let mut list = digests(9);
        list.push(sample(Route::Direct, 99, &[32.0, 42.0]));
        let found = typical(&list).expect("pairs");
        let ttft = |found: &Option<Vec<TokenTime>>| found.as_ref().and_then(|tokens| Some(tokens.first()?.at));
        let (direct, proxied) = (ttft(&found.direct).expect("both"), ttft(&found.proxied).expect("both"));
        assert!((proxied - direct - 2.0).abs() < 1e-6 && (direct - 32.0).abs() < 5.0, "{found:?}");
        assert_ne!(found.pair, 99, "one half is no pair");
    }
}
