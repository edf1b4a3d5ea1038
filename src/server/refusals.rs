//! What the client of a session was refused because it asks for too much. It may ask thousands of times a second: of that, the log has a
//! line a second, and what a session is refused beyond a hundred has a price: so long it is not read.

use std::time::Duration;

use tokio::time::Instant;

/// For how long a session is not read after a refusal: who does nothing but ask for too much is refused a thousand times a second.
const PRICE: Duration = Duration::from_millis(1);
/// What may be owed before that: the requests of a program that knows no limit come in crowds, and then wait as they are told.
const CREDIT: Duration = Duration::from_millis(100);
/// The longest time that a session is not read: its signs of life are heard, and its answers are taken.
const MOST: Duration = Duration::from_secs(1);
/// How often the log has a line.
const TELL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: u64,
    told: Option<Instant>,
    /// When all is paid for.
    paid: Option<Instant>,
}

impl Refusals {
    /// Counts one. Gives how long the session is not to be read.
    pub(super) fn count(&mut self, now: Instant) -> Duration {
        self.count += 1;
        let paid = self.paid.map_or(now, |paid| paid.max(now));
        let paid = (paid + PRICE).min(now + CREDIT + MOST);
        self.paid = Some(paid);
        (paid - now).saturating_sub(CREDIT)
    }

    /// How many there were in all, if the log is to have a line.
    pub(super) fn told(&mut self, now: Instant) -> Option<u64> {
        let due = self.told.is_none_or(|told| now - told >= TELL);
        due.then(|| {
            self.told = Some(now);
            self.count
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_a_hundred_is_free_and_what_is_beyond_has_a_price_up_to_a_limit() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        assert!((0..100).all(|_| refusals.count(now).is_zero()));
        assert_eq!(refusals.count(now), PRICE);
        assert_eq!(refusals.count(now + PRICE), PRICE, "so much is paid in that time");
        assert_eq!((0..10_000).map(|_| refusals.count(now)).max(), Some(MOST));
        let later = now + MOST + CREDIT;
        assert!((0..100).all(|_| refusals.count(later).is_zero()), "and then all is");
    }

    #[test]
    fn the_log_has_a_line_a_second() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let lines: Vec<_> = (0..2500)
            .filter_map(|millis| {
                let now = now + Duration::from_millis(millis);
                refusals.count(now);
                refusals.told(now)
            })
            .collect();
        assert_eq!(lines, [1, 1001, 2001]);
    }
}
