//! Moments, as people and files write them: in UTC.

use std::time::{Duration, SystemTime};

/// Beyond what any key lives, and what the clock can say.
const LONGEST: Duration = Duration::from_hours(1000 * 365 * 24);

/// A text that is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a date (2027-01-31), a moment in UTC (2027-01-31T12:00:00Z), or a time from now (90d, 12h)")]
pub struct NotAMoment;

/// Reads a date (its beginning), a moment in UTC, or a time from `now`.
///
/// # Errors
/// If it is none of these.
pub fn moment(text: &str, now: SystemTime) -> Result<SystemTime, NotAMoment> {
    let text = text.trim();
    if let Ok(moment) = humantime::parse_rfc3339(text).or_else(|_| humantime::parse_rfc3339(&format!("{text}T00:00:00Z"))) {
        return Ok(moment);
    }
    let time = humantime::parse_duration(text).ok().filter(|time| *time <= LONGEST).ok_or(NotAMoment)?;
    now.checked_add(time).ok_or(NotAMoment)
}

/// Shows a moment, to the second.
pub fn show(moment: SystemTime) -> String {
    // The library panics beyond the year 9999.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(moment.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        for (text, seconds) in [
            ("1970-01-02", 86_400),
            ("1970-01-01T00:00:07Z", 7),
            (" 90s ", 3690),
            ("1d 1h", 3600 + 90_000),
            ("2027-01-31T12:00:00Z", 1_801_396_800),
        ] {
            assert_eq!(moment(text, now), Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "soon", "2027-13-01", "31.1.2027", "7", "9999999999years", "-1d"] {
            assert_eq!(moment(text, now), Err(NotAMoment), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read() {
        let now = SystemTime::now();
        let shown = show(now);
        let read = moment(&shown, SystemTime::UNIX_EPOCH).expect("a moment");
        assert!(now.duration_since(read).expect("not later") < Duration::from_secs(1), "{shown}");
        assert_eq!(show(SystemTime::UNIX_EPOCH + LONGEST * 10), "9999-12-31T23:59:59Z");
    }
}
