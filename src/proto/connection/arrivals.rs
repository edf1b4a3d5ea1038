//! What is known to have arrived: the PONG to a PING says it of all that was sealed before that PING (section 7.4).

use core::time::Duration;

use super::super::limits::{ARRIVAL_COST, ARRIVAL_TIME};

/// First bytes of the tokens of these PINGs, by which they are told from others.
const TOKEN: [u8; 4] = *b"\x02arr";

/// When to ask, and what was asked.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Number of the next PING.
    next: u32,
    /// The one whose PONG has not come.
    asked: Option<u32>,
    /// When the first frame was sealed that no PING asked for.
    since: Option<Duration>,
    /// Cost of those frames.
    cost: usize,
}

impl Arrivals {
    /// The next PING whose PONG will say that what is sealed now has arrived.
    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    /// Frames of this cost were sealed that may have to be sent again.
    pub(super) fn sealed(&mut self, now: Duration, cost: usize) {
        self.since.get_or_insert(now);
        self.cost += cost;
    }

    /// When a PING goes out for its own sake. One that something else takes along goes at half of the time.
    pub(super) fn due(&self) -> Option<Duration> {
        let since = self.since.filter(|_| self.asked.is_none())?;
        Some(if self.cost >= ARRIVAL_COST { since } else { since + ARRIVAL_TIME })
    }

    /// The token of a PING, if one should go out with what is sealed at `now`, or by itself.
    pub(super) fn ask(&mut self, now: Duration, by_itself: bool) -> Option<[u8; 8]> {
        let early = if by_itself { Duration::ZERO } else { ARRIVAL_TIME / 2 };
        if self.due().is_none_or(|due| now + early < due) {
            return None;
        }
        let mut token = [0; 8];
        token[..4].copy_from_slice(&TOKEN);
        token[4..].copy_from_slice(&self.next.to_be_bytes());
        self.asked = Some(self.next);
        // 2^32 of them are more than a session has records.
        self.next = self.next.wrapping_add(1);
        (self.since, self.cost) = (None, 0);
        Some(token)
    }

    /// A PONG has come. Gives the number of its PING, if it is the one that was asked.
    pub(super) fn answered(&mut self, token: [u8; 8]) -> Option<u32> {
        let asked = self.asked.filter(|asked| token[..4] == TOKEN && token[4..] == asked.to_be_bytes())?;
        self.asked = None;
        Some(asked)
    }
}
