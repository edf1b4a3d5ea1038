//! From values to places along an axis, and the values that are worth a tick.

/// How values are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    Linear,
    /// Each factor of ten has the same room.
    Log,
}

/// One axis: `low..=high` in the values' unit lies at `start..=end` in the drawing's. Either end of the drawing may be the greater.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    spread: Spread,
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// An even axis. Ends that are equal, swapped or not numbers are mended: there is always something to draw on.
    pub(super) fn linear((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        let (low, high) = mend(low, high);
        let (low, high) = if high > low { (low, high) } else { (low - margin(low), low + margin(low)) };
        Self { spread: Spread::Linear, low, high, start, end }
    }

    /// A logarithmic axis. What is not above zero has no place on it and is put at its low end.
    pub(super) fn log((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        let (low, high) = mend(low, high);
        let high = if high > 0.0 { high } else { 1.0 };
        let low = if low > 0.0 { low } else { high / 1e3 };
        // A single value has room on both sides.
        let (low, high) = if high > low { (low, high) } else { (low / 2.0, high * 2.0) };
        Self { spread: Spread::Log, low, high, start, end }
    }

    /// Where a value is; what lies outside is at the nearer end, what is no number at the low one.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = if value.is_nan() { self.low } else { value.clamp(self.low, self.high) };
        let share = match self.spread {
            Spread::Linear => (value - self.low) / (self.high - self.low),
            // A difference of logarithms, because the ratio can overflow.
            Spread::Log => (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln()),
        };
        self.start + share * (self.end - self.start)
    }

    /// The lowest and the highest value.
    pub(super) const fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Round values to label, in rising order, about as many as asked for and never more than twice that.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<f64> {
        let wanted = wanted.max(2);
        match self.spread {
            Spread::Linear => even(self.low, self.high, wanted),
            Spread::Log => decades(self.low, self.high, wanted),
        }
    }
}

fn mend(low: f64, high: f64) -> (f64, f64) {
    let low = if low.is_finite() { low } else { 0.0 };
    let high = if high.is_finite() { high } else { low };
    if low <= high { (low, high) } else { (high, low) }
}

fn margin(value: f64) -> f64 {
    if value == 0.0 { 1.0 } else { value.abs() / 2.0 }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn even(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let step = step(high - low, wanted);
    let first = (low / step).ceil();
    // Counted, not summed: rounding must not pile up.
    let values = (0..=2 * wanted).map(|index| (first + count(index)) * step);
    // Zero is zero, not minus zero.
    values.take_while(|value| *value <= high + step * 1e-9).map(|value| value + 0.0).collect()
}

/// The round step that gives about as many ticks over this range.
pub(super) fn step(range: f64, wanted: usize) -> f64 {
    let rough = range / count(wanted.max(1));
    if !rough.is_normal() || rough < 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * 0.999).unwrap_or(10.0);
    factor * power
}

/// Powers of ten, with their doubles and halves where there is room, or only each so many of them where there is not.
fn decades(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let (from, to) = (low.log10().floor(), high.log10().ceil());
    let within = |value: &f64| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(value);
    let mut powers = vec![from];
    while let Some(last) = powers.last().copied().filter(|last| *last < to) {
        powers.push(last + 1.0);
    }
    let of = |factors: &[f64]| -> Vec<f64> {
        powers.iter().flat_map(|power| factors.iter().map(|factor| factor * 10f64.powf(*power))).filter(within).collect()
    };
    let finest = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]].map(of).into_iter().find(|ticks| ticks.len() <= wanted + 1);
    match finest {
        // So short a stretch of the axis is nearly even.
        Some(ticks) if ticks.len() < 3 => even(low, high, wanted + 2),
        Some(ticks) => ticks,
        None => {
            let powers: Vec<f64> = of(&[1.0]);
            let every = powers.len().div_ceil(wanted);
            powers.into_iter().step_by(every).collect()
        }
    }
}

/// The least and the greatest of the numbers among the values.
pub(super) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let numbers = values.into_iter().filter(|value| value.is_finite());
    numbers.fold(None, |ends, value| {
        let (low, high) = ends.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

/// A count as a number on an axis.
#[expect(clippy::cast_precision_loss, reason = "what is drawn has a few hundred points of room")]
pub(super) const fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) {
        let same = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= b.abs() * 1e-9);
        assert!(same, "{found:?} instead of {expected:?}");
    }

    #[test]
    fn values_lie_evenly_on_a_linear_axis_and_by_their_ratio_on_a_logarithmic_one() {
        let linear = Scale::linear((0.0, 10.0), (100.0, 0.0));
        close(&[0.0, 2.5, 10.0].map(|value| linear.place(value)), &[100.0, 75.0, 0.0]);
        let log = Scale::log((0.1, 10.0), (0.0, 200.0));
        close(&[0.1, 1.0, 10.0].map(|value| log.place(value)), &[0.0, 100.0, 200.0]);
    }

    #[test]
    fn what_lies_outside_is_drawn_at_the_edge() {
        let log = Scale::log((1.0, 100.0), (0.0, 200.0));
        for (value, place) in
            [(0.0, 0.0), (-5.0, 0.0), (1e9, 200.0), (f64::INFINITY, 200.0), (f64::NAN, 0.0), (f64::NEG_INFINITY, 0.0)]
        {
            close(&[log.place(value)], &[place]);
        }
    }

    #[test]
    fn an_axis_without_extent_has_its_value_in_the_middle() {
        close(&[Scale::linear((3.0, 3.0), (0.0, 100.0)).place(3.0)], &[50.0]);
        close(&[Scale::linear((0.0, 0.0), (0.0, 100.0)).place(0.0)], &[50.0]);
        close(&[Scale::log((3.0, 3.0), (0.0, 100.0)).place(3.0)], &[50.0]);
    }

    #[test]
    fn no_ends_make_a_place_that_is_no_number() {
        let ends = [0.0, -1.0, 1.0, 1e-300, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE];
        for low in ends {
            for high in ends {
                for scale in [Scale::linear((low, high), (0.0, 9.0)), Scale::log((low, high), (0.0, 9.0))] {
                    let places = ends.map(|value| scale.place(value));
                    assert!(places.iter().all(|place| (0.0..=9.0).contains(place)), "{scale:?} {places:?}");
                    let ticks = scale.ticks(5);
                    assert!(ticks.len() <= 11 && ticks.iter().all(|tick| tick.is_finite()), "{scale:?} {ticks:?}");
                }
            }
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        close(&Scale::linear((0.0, 10.0), (0.0, 1.0)).ticks(5), &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        close(&Scale::linear((-0.13, 0.31), (0.0, 1.0)).ticks(5), &[-0.1, 0.0, 0.1, 0.2, 0.3]);
        close(&Scale::log((0.9, 1100.0), (0.0, 1.0)).ticks(5), &[1.0, 10.0, 100.0, 1000.0]);
        close(&Scale::log((0.9, 60.0), (0.0, 1.0)).ticks(6), &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        close(&Scale::log((1e-6, 1e6), (0.0, 1.0)).ticks(5), &[1e-6, 1e-3, 1.0, 1e3, 1e6]);
    }

    #[test]
    fn a_short_stretch_of_a_logarithmic_axis_has_even_ticks() {
        close(&Scale::log((21.0, 24.0), (0.0, 1.0)).ticks(3), &[21.0, 22.0, 23.0, 24.0]);
    }

    #[test]
    fn the_extent_is_that_of_the_numbers_alone() {
        assert_eq!(extent([2.0, f64::NAN, -1.0, f64::INFINITY]), Some((-1.0, 2.0)));
        assert_eq!(extent([f64::NAN]), None);
    }
}
