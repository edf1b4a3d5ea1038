//! Being told to stop: once, and what was measured is worked out and shown; when nothing is left to be measured, or once more, and
//! all of it ends.

use std::sync::OnceLock;

use tokio::sync::watch;

use super::progress::Progress;
use crate::signals::Signals;

/// Whether a run is to stop, and what said so.
#[derive(Debug, Default)]
pub(super) struct Stop {
    /// The signal that ended the measuring early.
    early: OnceLock<u8>,
    told: watch::Sender<bool>,
}

impl Stop {
    /// Heeds signals until one does not let the run finish: that one's number.
    pub(super) async fn heed(&self, progress: &Progress) -> u8 {
        let mut signals = Signals::new();
        loop {
            let signal = signals.next().await;
            if self.ends(signal, progress.is_measured()) {
                return signal;
            }
        }
    }

    /// Whether this signal ends all at once. The first one ends the measuring alone, if there is any to end.
    fn ends(&self, signal: u8, measured: bool) -> bool {
        let early = !measured && self.early.set(signal).is_ok();
        if early {
            self.told.send_replace(true);
        }
        !early
    }

    /// Turns true when no more is to be measured.
    pub(super) fn told(&self) -> watch::Receiver<bool> {
        self.told.subscribe()
    }

    /// The signal that ended the measuring early.
    pub(super) fn early(&self) -> Option<u8> {
        self.early.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_ends_the_measuring_and_the_second_all() {
        for measured in [false, true] {
            let stop = Stop::default();
            let told = stop.told();
            assert!(!stop.ends(2, false));
            assert_eq!((*told.borrow(), stop.early()), (true, Some(2)));
            assert!(stop.ends(15, measured));
            assert_eq!(stop.early(), Some(2));
        }
    }

    #[test]
    fn where_nothing_is_left_to_be_measured_the_first_signal_ends_all() {
        let stop = Stop::default();
        assert!(stop.ends(2, true));
        assert_eq!((*stop.told().borrow(), stop.early()), (false, None));
    }
}
