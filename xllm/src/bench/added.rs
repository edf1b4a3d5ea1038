//! The differences that everybody asks for. Pure.

use super::{
    metric::Metric,
    result::{Difference, Statistic, Step},
};

/// What the proxy adds to the first token, and to each later one. Where the answers of a pair differ, their later tokens cannot be
/// compared one by one, and a few that happen to be equally long do not stand for the others: then it is the time between tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added<'r> {
    pub(super) first: Option<&'r Difference>,
    pub(super) later: Option<&'r Difference>,
}

impl<'r> Added<'r> {
    pub(super) fn of(step: &'r Step) -> Self {
        let of = |metric| step.difference(metric, Statistic::MedianOfDifferences);
        let first = of(Metric::Ttft);
        let stands = |delay: &&Difference| first.is_none_or(|first| delay.pairs * 2 >= first.pairs);
        Self { first, later: of(Metric::TokenDelay).filter(stands).or_else(|| of(Metric::TpotAiperf)) }
    }

    pub(super) fn each(self) -> impl Iterator<Item = &'r Difference> {
        [self.first, self.later].into_iter().flatten()
    }
}

/// What an interval says about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// All of it is above zero.
    Slower,
    /// All of it is below.
    Faster,
    /// It holds zero.
    Unclear,
}

impl Finding {
    pub(super) fn of(difference: &Difference) -> Self {
        match difference {
            difference if difference.low > 0.0 => Self::Slower,
            difference if difference.high < 0.0 => Self::Faster,
            _ => Self::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{report::samples, result::Load};

    #[test]
    fn a_few_answers_of_one_length_do_not_stand_for_the_others() {
        for (pairs, metric) in [(200, Metric::TokenDelay), (100, Metric::TokenDelay), (99, Metric::TpotAiperf)] {
            let mut step = samples::step(Load::Closed { concurrency: 1 }, 200, 0.2, 1.0);
            let median = Statistic::MedianOfDifferences;
            let mut delay = step.difference(Metric::Ttft, median).expect("a sample has it").clone();
            step.differences.retain(|found| ![Metric::TokenDelay, Metric::TpotAiperf].contains(&found.metric));
            step.differences.push(Difference { metric: Metric::TpotAiperf, ..delay.clone() });
            (delay.metric, delay.pairs) = (Metric::TokenDelay, pairs);
            step.differences.push(delay);
            assert_eq!(Added::of(&step).later.map(|found| found.metric), Some(metric), "{pairs}");
        }
    }
}
