//! Percentiles, histograms and the bootstrap. Pure.

/// The value below which this share of the values lies, interpolated between the two nearest (as `NumPy`'s `percentile` does);
/// `None` of nothing. The values must be sorted.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "indices of a list")]
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some((high - low).mul_add(at.fract(), low))
}
