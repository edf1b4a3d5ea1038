//! Percentiles and histograms. Exact: by sorting, not by sketches. Pure.

use super::{
    metric::Metric,
    result::{Distribution, Histogram, Percentiles},
};

/// By how much each edge of a histogram is above the one before: 48 bins a decade.
const GROWTH: f64 = 1.049_1;
/// Below this (1 µs, where times are milliseconds) all values are in the first bin.
const LEAST: f64 = 1e-3;

/// The value below which this share of the values lies, interpolated between the two nearest (as `NumPy`'s `percentile` does);
/// `None` of nothing. The values must be sorted.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "indices of a list")]
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some((high - low).mul_add(at.fract(), low))
}

/// The same of values in whichever order, without sorting them all; they are left in another one.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "indices of a list")]
pub(super) fn quantile_of(values: &mut [f64], share: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let (_, low, above) = values.select_nth_unstable_by(at.floor() as usize, f64::total_cmp);
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(*low);
    Some((high - *low).mul_add(at.fract(), *low))
}

/// The median, in whichever order the values are.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    quantile_of(&mut values, 0.5)
}

/// The mean; `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "a count of values")]
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// To a billionth: what is below is an artefact of binary fractions.
pub(super) fn round(value: f64) -> f64 {
    let rounded = (value * 1e9).round() / 1e9;
    if rounded.is_finite() { rounded + 0.0 } else { value }
}

/// A percentile that there are enough values for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    pub(super) name: &'static str,
    /// 0 to 1.
    pub(super) share: f64,
    /// Absent if there are too few values.
    pub(super) value: Option<f64>,
}

/// The value of a percentile if there are enough for it: of fewer than 100, the 99th is nothing but the largest.
pub(super) fn known<T>(share: f64, count: u64, value: T) -> Option<T> {
    let least = match share {
        share if share <= 0.5 || share >= 1.0 => 1,
        share if share <= 0.9 => 10,
        share if share <= 0.99 => 100,
        _ => 1000,
    };
    (count >= least).then_some(value)
}

impl Distribution {
    /// From the median to the maximum.
    pub(super) fn known(&self) -> [Known; 5] {
        [
            ("p50", 0.5, self.p50),
            ("p90", 0.9, self.p90),
            ("p99", 0.99, self.p99),
            ("p99.9", 0.999, self.p99_9),
            ("max", 1.0, self.max),
        ]
        .map(|(name, share, value)| Known { name, share, value: known(share, self.count, value) })
    }
}

impl Percentiles {
    /// Median, 90th and 99th percentile, and maximum.
    pub(super) fn known(&self) -> [Option<f64>; 4] {
        [(0.5, self.p50), (0.9, self.p90), (0.99, self.p99), (1.0, self.max)]
            .map(|(share, value)| known(share, self.count, value))
    }
}

/// All of a metric's values; `None` of nothing.
pub(super) fn distribution(metric: Metric, mut values: Vec<f64>) -> Option<Distribution> {
    values.sort_by(f64::total_cmp);
    let at = |share| quantile(&values, share).map(round);
    Some(Distribution {
        metric,
        count: values.len() as u64,
        mean: round(mean(&values)?),
        min: at(0.0)?,
        p50: at(0.5)?,
        p90: at(0.9)?,
        p99: at(0.99)?,
        p99_9: at(0.999)?,
        max: at(1.0)?,
        histogram: histogram(&values),
    })
}

/// The short form; zeros of nothing.
pub(super) fn percentiles(mut values: Vec<f64>) -> Percentiles {
    values.sort_by(f64::total_cmp);
    let at = |share| quantile(&values, share).map_or(0.0, round);
    Percentiles {
        count: values.len() as u64,
        mean: mean(&values).map_or(0.0, round),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        max: at(1.0),
    }
}

/// Of sorted values: bins from the one that holds the least to the one that holds the most.
#[expect(clippy::cast_possible_truncation, reason = "numbers of bins, a few hundred")]
fn histogram(sorted: &[f64]) -> Histogram {
    let number = |value: f64| if value < LEAST { -1 } else { (value / LEAST).log(GROWTH).floor() as i32 };
    let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else { return Histogram::default() };
    let (lowest, highest) = (number(least), number(most));
    let edge = |number: i32| if number < 0 { 0.0 } else { round(LEAST * GROWTH.powi(number)) };
    let edges: Vec<f64> = (lowest..=highest + 1).map(edge).collect();
    let mut counts = vec![0; edges.len() - 1];
    for value in sorted {
        // By the edges as they are written, so that a reader who bins the same values gets the same counts.
        let bin = edges.partition_point(|edge| edge <= value).clamp(1, counts.len());
        counts[bin - 1] += 1;
    }
    Histogram { edges, counts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let sorted = [1.0, 2.0, 3.0, 5.0];
        assert_eq!([0.0, 0.5, 0.9, 1.0].map(|share| quantile(&sorted, share).map(round)), [1.0, 2.5, 4.4, 5.0].map(Some));
        assert_eq!(quantile(&[], 0.5), None);
        for share in [0.0, 0.3, 0.5, 0.9, 1.0] {
            assert_eq!(quantile_of(&mut [3.0, 1.0, 5.0, 2.0], share), quantile(&sorted, share), "{share}");
        }
        assert_eq!(median(vec![9.0, 1.0, 5.0]), Some(5.0));
    }

    #[test]
    fn a_distribution_of_nothing_is_none() {
        assert_eq!(distribution(Metric::Ttft, Vec::new()), None);
        assert_eq!(percentiles(Vec::new()).count, 0);
    }

    #[test]
    fn every_value_is_in_a_bin_whose_edges_hold_it() {
        let values: Vec<f64> = (0..2000).map(|n| f64::from(n) * 0.37).chain([0.0, 1e-9, 1e6]).collect();
        let Some(Distribution { histogram: Histogram { edges, counts }, count, .. }) =
            distribution(Metric::E2e, values.clone())
        else {
            panic!("there are values");
        };
        assert_eq!((counts.len() + 1, counts.iter().sum::<u64>()), (edges.len(), count));
        assert!(edges.windows(2).all(|pair| pair[0] < pair[1]), "ascending");
        for (bin, count) in counts.iter().enumerate() {
            let last = bin + 1 == counts.len();
            let within = |value: f64| edges[bin] <= value && (value < edges[bin + 1] || (last && value <= edges[bin + 1]));
            assert_eq!(values.iter().filter(|value| within(**value)).count() as u64, *count, "bin {bin}");
        }
    }

    #[test]
    fn one_value_is_one_bin() {
        let one = distribution(Metric::E2e, vec![7.0]).expect("a value");
        assert_eq!((one.p50, one.p99_9, one.histogram.counts), (7.0, 7.0, vec![1]));
    }
}
