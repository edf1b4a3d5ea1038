//! Figures for people: on the page and while it runs three digits that count, and a unit; in the table and the summary all in one
//! unit, which the heading or the sentence names, so that a column can be compared and pasted.

use super::result::{Arrivals, Load};

/// Proper minus: as wide as the plus.
const MINUS: char = '\u{2212}';

/// In what a column or an axis is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit {
    pub(super) name: &'static str,
    /// What a value is multiplied by.
    factor: f64,
}

const MICROS: Unit = Unit { name: "µs", factor: 1e3 };
const MILLIS: Unit = Unit { name: "ms", factor: 1.0 };
const SECONDS: Unit = Unit { name: "s", factor: 1e-3 };
const RATE: Unit = Unit { name: "tokens/s", factor: 1.0 };

impl Unit {
    /// The unit that suits a time of so many milliseconds.
    pub(super) fn of_millis(millis: f64) -> Self {
        match millis.abs() {
            // What rounds to 1000 µs is 1 ms.
            size if size < 0.9995 => MICROS,
            size if size < 999.5 => MILLIS,
            _ => SECONDS,
        }
    }

    /// The unit that suits a value of a metric whose unit in the document is this one.
    pub(super) fn of(unit: &str, value: f64) -> Self {
        if unit == "ms" { Self::of_millis(value) } else { RATE }
    }

    /// The value in this unit, without its name.
    pub(super) fn figure(self, value: f64) -> String {
        digits(value * self.factor)
    }

    /// With its name.
    pub(super) fn value(self, value: f64) -> String {
        if !value.is_finite() {
            return self.figure(value);
        }
        format!("{}\u{a0}{}", self.figure(value), self.name)
    }

    /// With its sign and name.
    pub(super) fn signed(self, value: f64) -> String {
        format!("{}\u{a0}{}", plus(self.figure(value)), self.name)
    }

    /// With its sign, without the name.
    pub(super) fn change(self, value: f64) -> String {
        plus(self.figure(value))
    }

    /// Both ends of an interval, signed.
    pub(super) fn interval(self, low: f64, high: f64) -> String {
        format!("{} to {}\u{a0}{}", plus(self.figure(low)), plus(self.figure(high)), self.name)
    }
}

fn plus(figure: String) -> String {
    if figure == "0" || figure.starts_with(['-', MINUS, '–']) { figure } else { format!("+{figure}") }
}

/// A time of so many milliseconds, in the unit that suits it.
pub(super) fn time(millis: f64) -> String {
    Unit::of_millis(millis).value(millis)
}

/// A time of so many milliseconds with its sign, in the unit that suits it.
pub(super) fn added(millis: f64) -> String {
    Unit::of_millis(millis).signed(millis)
}

/// A tick of a time axis: a round value, so no digit is lost.
pub(super) fn tick(millis: f64) -> String {
    let unit = Unit::of_millis(millis);
    if millis == 0.0 { "0".to_owned() } else { format!("{}\u{a0}{}", round(millis * unit.factor), unit.name) }
}

/// Three digits that count; larger numbers whole, with thin spaces between the thousands. A dash stands for what is no number.
pub(super) fn digits(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    let places = match size {
        _ if size < 0.0005 => return "0".to_owned(),
        _ if size < 0.9995 => 3,
        _ if size < 9.995 => 2,
        _ if size < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{size:.places$}");
    let sign = if value < 0.0 { MINUS.to_string() } else { String::new() };
    match text.split_once('.') {
        Some(_) => format!("{sign}{text}"),
        None => format!("{sign}{}", grouped(&text)),
    }
}

/// For the table and the summary: milliseconds to a microsecond where that is a thousandth or more of them.
pub(super) fn plain(value: f64) -> String {
    let places = match value.abs() {
        size if size < 10.0 => 3,
        size if size < 100.0 => 2,
        _ => 1,
    };
    let shown = format!("{value:.places$}");
    // What rounds to nothing has no sign.
    if shown.bytes().any(|byte| byte.is_ascii_digit() && byte != b'0') { shown } else { shown.replace('-', "") }
}

/// The same with its sign.
pub(super) fn signed(value: f64) -> String {
    plus(plain(value))
}

/// The same of both ends of an interval.
pub(super) fn range(low: f64, high: f64) -> String {
    format!("{} to {}", signed(low), signed(high))
}

/// A value that there may not be, for a column.
pub(super) fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), plain)
}

/// [`digits`] without zeros at its end, for numbers that are round.
pub(super) fn round(value: f64) -> String {
    let text = digits(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A count, with thin spaces between the thousands.
pub(super) fn whole(count: u64) -> String {
    grouped(&count.to_string())
}

fn grouped(digits: &str) -> String {
    if digits.len() <= 4 {
        return digits.to_owned();
    }
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A share from 0 to 1 in per cent.
pub(super) fn percent(share: f64) -> String {
    format!("{}\u{a0}%", round(share * 100.0))
}

/// A count with its noun.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", whole(count), if count == 1 { one } else { many })
}

/// A load in words, as it was asked for: `concurrency 4`, `5 requests/s, Poisson`
pub(super) fn load(load: &Load) -> String {
    match load {
        Load::Closed { concurrency } => format!("concurrency {concurrency}"),
        Load::Open { rate, arrivals: Arrivals::Constant } => format!("{rate} requests/s, evenly spaced"),
        Load::Open { rate, arrivals: Arrivals::Poisson } => format!("{rate} requests/s, Poisson"),
    }
}

/// A load in the fewest characters, for marks in a chart.
pub(super) fn short_load(load: &Load) -> String {
    match load {
        Load::Closed { concurrency } => whole(*concurrency),
        Load::Open { rate, .. } => format!("{}/s", round(*rate)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        for (value, shown) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.0004, "0"),
            (0.175, "0.175"),
            (1.0, "1.00"),
            (1.234, "1.23"),
            (9.999, "10.0"),
            (21.49, "21.5"),
            (999.6, "1000"),
            (12_345.0, "12\u{202f}345"),
            (1_234_567.0, "1\u{202f}234\u{202f}567"),
            (-2.5, "\u{2212}2.50"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(digits(value), shown, "{value}");
        }
    }

    #[test]
    fn in_one_unit_no_microsecond_is_lost_that_counts() {
        let shown = [1.2345, 12.345, 123.45, -0.0004, 0.0].map(plain);
        assert_eq!(shown, ["1.234", "12.35", "123.5", "0.000", "0.000"]);
        assert_eq!([-0.0004, -0.5, 0.175].map(signed), ["+0.000", "-0.500", "+0.175"]);
        assert_eq!(range(-13.0, 2.0), "-13.00 to +2.000");
        assert_eq!([None, Some(0.5)].map(cell), ["–", "0.500"]);
    }

    #[test]
    fn a_time_has_the_unit_that_suits_it() {
        for (millis, shown) in [
            (0.0, "0\u{a0}µs"),
            (0.175, "175\u{a0}µs"),
            (0.9996, "1.00\u{a0}ms"),
            (21.49, "21.5\u{a0}ms"),
            (1500.0, "1.50\u{a0}s"),
        ] {
            assert_eq!(time(millis), shown, "{millis}");
        }
        assert_eq!(tick(20.0), "20\u{a0}ms");
        assert_eq!(tick(100.0), "100\u{a0}ms");
        assert_eq!(added(0.175), "+175\u{a0}µs");
        assert_eq!(added(-3.0), "\u{2212}3.00\u{a0}ms");
        assert_eq!(added(0.0), "0\u{a0}µs");
        assert_eq!(Unit::of_millis(0.1).interval(-0.02, 0.2), "\u{2212}20.0 to +200\u{a0}µs");
    }
}
