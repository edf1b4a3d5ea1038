//! Distributions as curves: the share of values that are at most this large.

use super::scale::count;
use crate::bench::result::Histogram;

/// More than a chart has room for.
const MOST_POINTS: usize = 200;

/// An empirical distribution function: values in rising order, each with the share of all values up to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    pub(super) points: Vec<(f64, f64)>,
    /// Whether each point is a value, so that the curve is a stair, or the edge of a bin.
    pub(super) stair: bool,
}

impl Curve {
    /// Of values in any order. What is no number is left out; nothing has no curve.
    pub(super) fn of_values(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (all, shown) = (values.len(), values.len().min(MOST_POINTS));
        // The last of them is always the greatest value.
        let ranks = (1..=shown).map(|index| index * all / shown);
        let points: Vec<_> = ranks.map(|rank| (values[rank - 1], count(rank) / count(all))).collect();
        (!points.is_empty()).then_some(Self { points, stair: true })
    }

    /// Of counts between edges.
    pub(super) fn of_histogram(histogram: &Histogram) -> Option<Self> {
        let all: u64 = histogram.counts.iter().sum();
        let mut so_far = 0;
        let mut points = Vec::new();
        for (edges, bin) in histogram.edges.windows(2).zip(&histogram.counts) {
            if so_far == 0 && *bin > 0 {
                points.push((edges[0], 0.0));
            }
            so_far += bin;
            if so_far > 0 && (*bin > 0 || so_far < all) {
                points.push((edges[1], ratio(so_far, all)));
            }
        }
        points.retain(|(value, _)| value.is_finite());
        (!points.is_empty()).then_some(Self { points, stair: false })
    }

    /// Where the curve begins, and the greatest value. It begins with the value that so large a share of all do not exceed, or with the
    /// least one of this size, whichever is more.
    pub(super) fn ends(&self, least: f64, share: f64) -> [f64; 2] {
        // The edge before a bin that has values belongs to it; a stair's point is a value itself.
        let next = self.points.iter().skip(usize::from(!self.stair)).chain(self.points.last()).map(|(_, share)| *share);
        let begins = self.points.iter().zip(next).find(|((value, _), next)| *value >= least && *next >= share);
        let greatest = self.points.last().map_or(f64::NAN, |(value, _)| *value);
        [begins.map_or(greatest, |((value, _), _)| *value), greatest]
    }

    /// The share of values that are smaller than this.
    pub(super) fn below(&self, least: f64) -> f64 {
        self.points
            .iter()
            .take_while(|(value, _)| if self.stair { *value < least } else { *value <= least })
            .last()
            .map_or(0.0, |(_, share)| *share)
    }

    /// The corners of its line, from the bottom to the top.
    pub(super) fn corners(&self) -> Vec<(f64, f64)> {
        if !self.stair {
            return self.points.clone();
        }
        let before = std::iter::once(0.0).chain(self.points.iter().map(|(_, share)| *share));
        self.points.iter().zip(before).flat_map(|((value, share), before)| [(*value, before), (*value, *share)]).collect()
    }
}

/// One count as a share of another.
#[expect(clippy::cast_precision_loss, reason = "a share is drawn to a thousandth")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_to_one_at_the_greatest_value() {
        let curve = Curve::of_values([3.0, 1.0, f64::NAN, 2.0, 2.0]).expect("there are values");
        assert_eq!(curve.points, [(1.0, 0.25), (2.0, 0.5), (2.0, 0.75), (3.0, 1.0)]);
        assert_eq!((curve.ends(0.0, 0.0), curve.ends(1.5, 0.0), curve.ends(0.0, 0.9)), ([1.0, 3.0], [2.0, 3.0], [3.0, 3.0]));
        assert_eq!((curve.below(1.0), curve.below(1.5)), (0.0, 0.25));
        assert_eq!(curve.corners()[..3], [(1.0, 0.0), (1.0, 0.25), (2.0, 0.25)]);
    }

    #[test]
    fn thousands_of_values_make_a_few_hundred_points_that_keep_the_last() {
        let curve = Curve::of_values((0..12_345).map(f64::from)).expect("there are values");
        assert_eq!(curve.points.len(), MOST_POINTS);
        assert_eq!(curve.points.last(), Some(&(12_344.0, 1.0)));
        assert!(curve.points.is_sorted());
    }

    #[test]
    fn a_histogram_is_a_curve_through_its_edges_without_empty_ends() {
        let histogram = Histogram { edges: vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0], counts: vec![0, 1, 0, 3, 0] };
        let curve = Curve::of_histogram(&histogram).expect("there are values");
        assert_eq!(curve.points, [(2.0, 0.0), (4.0, 0.25), (8.0, 0.25), (16.0, 1.0)]);
        assert_eq!(
            (curve.ends(0.0, 0.01), curve.ends(0.0, 0.3), curve.ends(99.0, 0.0)),
            ([2.0, 16.0], [8.0, 16.0], [16.0, 16.0])
        );
        assert_eq!((curve.below(2.0), curve.below(4.0)), (0.0, 0.25));
    }

    #[test]
    fn nothing_has_no_curve() {
        assert_eq!(Curve::of_values([f64::NAN]), None);
        assert_eq!(Curve::of_histogram(&Histogram::default()), None);
        assert_eq!(Curve::of_histogram(&Histogram { edges: vec![1.0, 2.0], counts: vec![0] }), None);
    }
}
