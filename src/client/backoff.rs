//! How long after a failed attempt to connect the next one is made.

use std::time::Duration;

use tokio::time::Instant;

use super::Error;

/// Longest pause after a first failure; it doubles with each further one.
pub(super) const BACKOFF: Duration = Duration::from_millis(100);
/// Longest pause while requests wait.
pub(super) const BACKOFF_WAITED_FOR: Duration = Duration::from_secs(5);
/// Longest pause while nobody waits. A session that did not last this long counts as a failure, so that one which is opened
/// and ended in turn is not opened all the time.
pub(super) const BACKOFF_WARM: Duration = Duration::from_secs(30);

/// Attempts to connect that failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Of all time.
    pub(super) count: u64,
    /// Since a session was last opened.
    pub(super) row: u32,
    pub(super) last: Option<(Instant, Error)>,
    /// How long after the last one requests wait with the next. Drawn once for all.
    pub(super) pause: Duration,
}

impl Failures {
    pub(super) fn add(&mut self, error: Error) {
        self.count += 1;
        self.row = self.row.saturating_add(1);
        self.last = Some((Instant::now(), error));
        self.pause = jitter(backoff(self.row, BACKOFF_WAITED_FOR));
    }

    /// The last one, if there was one since there were `count`.
    pub(super) fn since(&self, count: u64) -> Option<Error> {
        self.last.as_ref().filter(|_| self.count != count).map(|(_, error)| error.clone())
    }

    /// When requests may try again, and why they may not now.
    pub(super) fn pause(&self) -> Option<(Instant, Error)> {
        let (when, error) = self.last.as_ref().filter(|_| self.row > 0)?;
        let due = *when + self.pause;
        (due > Instant::now()).then(|| (due, error.clone()))
    }
}

/// The longest pause after so many failures in a row, at least one.
pub(super) fn backoff(row: u32, most: Duration) -> Duration {
    2_u32.checked_pow(row.saturating_sub(1)).map_or(most, |factor| BACKOFF.saturating_mul(factor).min(most))
}

/// Anything up to `most`, so that the clients of a proxy that comes back do not come all at once.
pub(super) fn jitter(most: Duration) -> Duration {
    most.mul_f64(random())
}

/// From 0 to 1.
#[cfg(not(test))]
fn random() -> f64 {
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

/// The same, from a generator that a test can seed.
#[cfg(test)]
fn random() -> f64 {
    fastrand::f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let ms = |row| backoff(row, BACKOFF_WAITED_FOR).as_millis();
        assert_eq!([1, 2, 3, 6, 7, 40, u32::MAX].map(ms), [100, 200, 400, 3200, 5000, 5000, 5000]);
        for row in 0..20 {
            let most = backoff(row, BACKOFF_WARM);
            assert!(jitter(most) <= most);
        }
    }
}
