//! Counting values into bins of equal width with round edges.

use super::scale::{count, step};
use crate::bench::stats::quantile;

/// Counts of values between edges `first + index * width`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bins {
    pub(super) first: f64,
    pub(super) width: f64,
    pub(super) counts: Vec<u64>,
    /// Values below the first edge and above the last, which are in no bin.
    pub(super) outside: (u64, u64),
}

/// Values that are further from the quartiles than so many times their distance would stretch the axis until the rest is one bar.
const FENCE: f64 = 3.0;

impl Bins {
    /// About as many bins as wanted around these values. What is no number is left out; nothing has no bins.
    pub(super) fn of(values: impl IntoIterator<Item = f64>, wanted: usize) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        let quarters = [0.25, 0.75].map(|share| quantile(&values, share).unwrap_or(least));
        let fence = FENCE * (quarters[1] - quarters[0]);
        // Where most are equal, there is no distance to go by.
        let inside = |value: &&f64| fence <= 0.0 || (quarters[0] - fence..=quarters[1] + fence).contains(*value);
        let low = values.iter().find(inside).copied().unwrap_or(least);
        let high = values.iter().rfind(inside).copied().unwrap_or(greatest);
        let width = if high > low { step(high - low, wanted) } else { step(low.abs().max(1e-3), wanted) };
        let first = (low / width).floor();
        let place = |value: f64| (value / width).floor() - first;
        let final_bin = place(high);
        let mut bins = Self { first: first * width, width, counts: vec![0; index(final_bin) + 1], outside: (0, 0) };
        for value in values {
            match place(value) {
                place if place < 0.0 => bins.outside.0 += 1,
                place if place > final_bin => bins.outside.1 += 1,
                place => bins.counts[index(place)] += 1,
            }
        }
        Some(bins)
    }

    /// Edges of a bin.
    pub(super) fn edges(&self, index: usize) -> (f64, f64) {
        (self.first + count(index) * self.width, self.first + count(index + 1) * self.width)
    }

    /// The outermost edges.
    pub(super) fn ends(&self) -> (f64, f64) {
        (self.first, self.edges(self.counts.len()).0)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number that is not negative")]
const fn index(place: f64) -> usize {
    place as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_have_round_edges_and_hold_every_value() {
        let bins = Bins::of([0.11, 0.12, 0.19, 0.31, 0.5, f64::NAN], 4).expect("there are values");
        assert!((bins.first - 0.1).abs() < 1e-12 && (bins.width - 0.1).abs() < 1e-12, "{bins:?}");
        assert_eq!((bins.counts.clone(), bins.outside), (vec![3, 0, 1, 0, 1], (0, 0)));
        assert!((bins.ends().1 - 0.6).abs() < 1e-12, "{bins:?}");
    }

    #[test]
    fn equal_values_share_a_bin() {
        for value in [0.0, 5.0, -3.0, 1e-9] {
            let bins = Bins::of([value; 7], 20).expect("there are values");
            assert_eq!(bins.counts, [7], "{value}");
            let (low, high) = bins.ends();
            assert!(low <= value && value < high, "{value}: {bins:?}");
        }
    }

    #[test]
    fn few_outliers_do_not_stretch_the_bins_and_are_counted() {
        let values = (0..1000).map(f64::from).chain([-1e9, 1e9]);
        let bins = Bins::of(values, 20).expect("there are values");
        assert!(bins.counts.len() <= 21, "{bins:?}");
        assert!(bins.outside.0 >= 1 && bins.outside.1 >= 1, "{bins:?}");
        assert_eq!(bins.counts.iter().sum::<u64>() + bins.outside.0 + bins.outside.1, 1002);
    }

    #[test]
    fn nothing_has_no_bins() {
        assert_eq!(Bins::of([], 10), None);
        assert_eq!(Bins::of([f64::NAN], 10), None);
        assert!(Bins::of([1.0], 10).is_some());
    }
}
