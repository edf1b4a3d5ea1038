//! One result, as `--json` prints it: a line of figures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one measure found on one route in one round.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) measure: String,
    pub(crate) round: u32,
    pub(crate) route: String,
    /// By name; the name ends with the unit.
    pub(crate) figures: BTreeMap<String, f64>,
}

/// The value at this share (0 to 1) of a sorted list; not a number for an empty one.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
    let index = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// In the middle, or between the two that are; not a number for an empty list.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(values.len() / 2), at(values.len().saturating_sub(1) / 2))
}

/// A count or a time as a figure; exact to 2^53.
#[expect(clippy::cast_precision_loss, reason = "figures are for reading")]
pub(crate) const fn figure(count: u64) -> f64 {
    count as f64
}

impl Line {
    /// These figures together, as many of them as there are; nothing if there is none.
    pub(crate) fn sum(&self, figures: &[&str]) -> Option<f64> {
        figures.iter().filter_map(|name| self.figures.get(*name).copied()).reduce(|sum, figure| sum + figure)
    }

    /// Says of latencies what they are beyond those of the straight way, measured directly before.
    pub(crate) fn add_what_is_added(&mut self, straight: &Self) {
        let added = straight.figures.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("latency_")?;
            Some((format!("added_{name}"), self.figures.get(&format!("latency_{name}"))? - value))
        });
        let added: Vec<_> = added.collect();
        for (name, value) in added {
            self.figures.insert(name, value);
        }
    }
}
