//! How long something took, for people.

use std::time::Duration;

/// A time in two or three digits.
pub(super) fn span(time: Duration) -> String {
    let (millis, seconds) = (time.as_secs_f64() * 1e3, time.as_secs());
    match seconds {
        0 if millis < 10.0 => format!("{millis:.1} ms"),
        0 => format!("{millis:.0} ms"),
        1..10 => format!("{:.1} s", millis / 1e3),
        10..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (millis, shown) in [
            (0, "0.0 ms"),
            (12, "12 ms"),
            (1_234, "1.2 s"),
            (95_000, "95 s"),
            (600_000, "10 min"),
            (10_800_000, "3 h"),
            (864_000_000, "10 days"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), shown);
        }
    }
}
