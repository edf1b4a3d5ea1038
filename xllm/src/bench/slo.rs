//! What goodput demands: `--slo`.

use super::{
    metric::{Metric, Per},
    result::Objective,
    values::Values,
};
use crate::exit::Failure;

/// What an answer of one token, or of none in text, has no value for.
const OF_LATER: [Metric; 6] =
    [Metric::Ttst, Metric::TpotVllm, Metric::TpotAiperf, Metric::TpotGuidellm, Metric::TpotLlmperf, Metric::TokensPerS];

/// Reads `METRIC=LIMIT`; the limit is in milliseconds unless it says `s` or `us`.
pub(super) fn parse(text: &str) -> Result<Objective, Failure> {
    let wrong = |what: String| Failure::usage(what).remedy("for example --slo ttft=500ms,tpot=50ms,tokens_per_s=20");
    let (name, limit) = text.split_once('=').ok_or_else(|| wrong(format!("--slo takes METRIC=LIMIT, not {text}")))?;
    let name = match name.trim() {
        "tpot" => Metric::TpotVllm.name(),
        name => name,
    };
    let metrics = || Metric::ALL.iter().filter(|metric| metric.per() == Per::Request);
    let metric = *metrics().find(|metric| metric.name() == name).ok_or_else(|| {
        let names: Vec<_> = metrics().map(|metric| metric.name()).collect();
        wrong(format!("no metric of a request is called `{name}`: there are tpot, {}", names.join(", ")))
    })?;
    let (number, factor) = match limit.trim() {
        limit if metric.is_rate() => (limit, 1.0),
        limit => {
            let units = [("ms", 1.0), ("us", 1e-3), ("s", 1e3)];
            let unit = units.iter().find_map(|(unit, factor)| Some((limit.strip_suffix(unit)?, *factor)));
            unit.unwrap_or((limit, 1.0))
        }
    };
    let limit = number.trim().parse().ok().filter(|limit: &f64| limit.is_finite() && *limit > 0.0);
    let limit = limit.ok_or_else(|| wrong(format!("`{text}` has no limit that can be met")))? * factor;
    Ok(Objective { metric, limit })
}

/// Whether a request meets all of them. What it has no value for it misses, but for what one token alone has no value for: a time
/// per later token, or a rate.
pub(super) fn met(objectives: &[Objective], values: &Values) -> bool {
    objectives.iter().all(|Objective { metric, limit }| match values.single.get(metric) {
        Some(value) if metric.is_rate() => value >= limit,
        Some(value) => value <= limit,
        None => values.single.contains_key(&Metric::Ttft) && OF_LATER.contains(metric),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_units_and_metrics_names() {
        for (text, metric, limit) in [
            ("ttft=500ms", Metric::Ttft, 500.0),
            ("ttft=2s", Metric::Ttft, 2000.0),
            ("e2e=250us", Metric::E2e, 0.25),
            ("tpot=50", Metric::TpotVllm, 50.0),
            ("tokens_per_s=20", Metric::TokensPerS, 20.0),
        ] {
            assert_eq!(parse(text), Ok(Objective { metric, limit }), "{text}");
        }
        for text in ["ttft", "ttft=", "ttft=-1", "ttft=inf", "icl=3", "speed=9"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_must_be_met_and_one_token_alone_meets_what_later_ones_are_asked() {
        let objectives =
            [Objective { metric: Metric::Ttft, limit: 10.0 }, Objective { metric: Metric::TokensPerS, limit: 5.0 }];
        let values = |pairs: &[(Metric, f64)]| Values { single: pairs.iter().copied().collect(), ..Values::default() };
        assert!(met(&objectives, &values(&[(Metric::Ttft, 10.0), (Metric::TokensPerS, 5.0)])));
        assert!(met(&objectives, &values(&[(Metric::Ttft, 1.0)])));
        // An empty answer has an end and no token.
        for metric in [Metric::Ttft, Metric::TpotVllm, Metric::LastToken, Metric::TokensPerS] {
            assert!(!met(&[Objective { metric, limit: 10.0 }], &values(&[(Metric::E2e, 1.0)])), "{metric:?}");
        }
        assert!(!met(&objectives, &values(&[(Metric::Ttft, 10.1), (Metric::TokensPerS, 9.0)])));
        assert!(!met(&objectives, &values(&[(Metric::Ttft, 1.0), (Metric::TokensPerS, 4.9)])));
    }
}
