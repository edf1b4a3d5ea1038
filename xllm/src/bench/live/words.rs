//! A run's progress in words. Pure: snapshots in, lines out.

use std::{collections::VecDeque, time::Duration};

use crate::bench::{
    format::{self, load, round, whole},
    progress::{Goal, Phase, Running, Snapshot},
    values::ms,
};

/// What "now" means for a rate: long enough that requests which end in groups do not make it jump.
const WINDOW: Duration = Duration::from_secs(5);
/// A guess at the time left needs some requests to go by.
const ENOUGH: u64 = 3;

/// Rates of the last few seconds, from the snapshots that were shown.
#[derive(Debug, Default)]
pub(super) struct Rates {
    phase: Option<(Phase, usize)>,
    seen: VecDeque<(Duration, u64, u64)>,
}

impl Rates {
    /// Requests and pieces per second over the last few seconds, this snapshot included.
    pub(super) fn now(&mut self, snapshot: &Snapshot) -> (f64, f64) {
        let phase = Some((snapshot.phase, snapshot.step));
        if self.phase != phase {
            *self = Self { phase, seen: VecDeque::from([(Duration::ZERO, 0, 0)]) };
        }
        self.seen.push_back((snapshot.elapsed, ended(snapshot), snapshot.chunks));
        // One of them is kept that is as old as the window.
        while self.seen.get(1).is_some_and(|(at, ..)| *at + WINDOW <= snapshot.elapsed) {
            self.seen.pop_front();
        }
        let (Some(first), Some(last)) = (self.seen.front(), self.seen.back()) else { return (0.0, 0.0) };
        let seconds = last.0.saturating_sub(first.0).as_secs_f64().max(1e-3);
        let per_second = |now: u64, before: u64| float(now.saturating_sub(before)) / seconds;
        (per_second(last.1, first.1), per_second(last.2, first.2))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count for people")]
const fn float(count: u64) -> f64 {
    count as f64
}

const fn ended(snapshot: &Snapshot) -> u64 {
    snapshot.done + snapshot.failed + snapshot.cancelled
}

/// What is going on, in a few characters.
pub(super) fn phase(snapshot: &Snapshot) -> String {
    let step = if snapshot.steps > 1 { format!(" {}/{}", snapshot.step + 1, snapshot.steps) } else { String::new() };
    match snapshot.phase {
        Phase::SettingUp => "setting up".to_owned(),
        Phase::WarmUp => format!("warm-up{step}"),
        Phase::Measuring => format!("measuring{step}"),
        Phase::WorkingOut => "working out the figures".to_owned(),
        Phase::Over => "over".to_owned(),
    }
}

/// How much of the phase is over, 0 to 1, if that is known.
pub(super) fn share(snapshot: &Snapshot) -> Option<f64> {
    let share = match snapshot.goal {
        Goal::Unknown => return None,
        Goal::Requests(0) => 1.0,
        Goal::Requests(all) => float(ended(snapshot)) / float(all),
        Goal::Duration(all) => snapshot.elapsed.as_secs_f64() / all.as_secs_f64().max(1e-3),
    };
    Some(share.clamp(0.0, 1.0))
}

/// How far that is, and how long the rest may take.
pub(super) fn position(snapshot: &Snapshot) -> String {
    let position = match snapshot.goal {
        Goal::Unknown => return String::new(),
        Goal::Requests(all) => format!("{} of {}", whole(ended(snapshot)), whole(all)),
        Goal::Duration(all) => format!("{} of {} s", snapshot.elapsed.as_secs().min(all.as_secs()), round(all.as_secs_f64())),
    };
    match left(snapshot) {
        Some(left) => format!("{position}, {} left", clock(left)),
        None => position,
    }
}

/// The time that the phase will still take; of a count, a guess.
fn left(snapshot: &Snapshot) -> Option<Duration> {
    match snapshot.goal {
        Goal::Requests(all) if ended(snapshot) >= ENOUGH => {
            let each = snapshot.elapsed.as_secs_f64() / float(ended(snapshot));
            Duration::try_from_secs_f64(each * float(all.saturating_sub(ended(snapshot)))).ok()
        }
        Goal::Duration(all) => Some(all.saturating_sub(snapshot.elapsed)),
        Goal::Requests(_) | Goal::Unknown => None,
    }
}

fn clock(time: Duration) -> String {
    // Rounded up: while something is left, it is not nothing.
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds % 3600 / 60),
    }
}

/// What flows, and what went wrong. What matters most is first, because the end is what a narrow terminal cuts.
pub(super) fn flow(snapshot: &Snapshot, (requests, pieces): (f64, f64)) -> String {
    let mut parts = Vec::new();
    if snapshot.failed > 0 {
        parts.push(format!("{} failed", whole(snapshot.failed)));
    }
    parts.push(format!("{} requests/s", round(requests)));
    parts.push(format!("{} pieces/s", round(pieces)));
    parts.push(format!("{} under way", whole(snapshot.in_flight)));
    if snapshot.cancelled > 0 {
        parts.push(format!("{} cancelled", whole(snapshot.cancelled)));
    }
    parts.extend(snapshot.load.as_ref().map(load));
    parts.join("  ")
}

/// One route's running percentiles.
pub(super) fn route(running: &Running) -> String {
    let [first_50, first_99] = running.first.map(time);
    let [end_50, end_99] = running.end.map(time);
    let name = running.route.name();
    format!("{name:<8} first piece p50 {first_50:>7} p99 {first_99:>7}   whole p50 {end_50:>7} p99 {end_99:>7}")
}

fn time(time: Option<Duration>) -> String {
    format::time(time.map_or(f64::NAN, ms))
}

/// All of it in one line, for a log.
pub(super) fn plain(snapshot: &Snapshot, rates: (f64, f64)) -> String {
    let mut parts = vec![phase(snapshot)];
    parts.extend(Some(position(snapshot)).filter(|text| !text.is_empty()));
    parts.push(flow(snapshot, rates).replace("  ", ", "));
    parts.extend(snapshot.routes.iter().map(|running| {
        let [p50, p99] = running.first.map(time);
        format!("{} first piece p50 {p50}, p99 {p99}", running.route.name())
    }));
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{
        live::samples,
        result::{Load, Route},
    };

    #[test]
    fn a_phase_that_ends_by_count_tells_how_many_are_left_and_guesses_how_long() {
        let snapshot = samples::snapshot(Goal::Requests(400), 100);
        assert_eq!(phase(&snapshot), "measuring 2/4");
        assert_eq!(share(&snapshot), Some(0.25));
        assert_eq!(position(&snapshot), "100 of 400, 30 s left");
        assert_eq!(position(&Snapshot { done: 2, ..snapshot.clone() }), "2 of 400");
        assert_eq!(share(&Snapshot { done: 500, ..snapshot }), Some(1.0));
    }

    #[test]
    fn a_phase_that_ends_by_time_tells_how_long_it_still_takes() {
        let snapshot = samples::snapshot(Goal::Duration(Duration::from_hours(2)), 100);
        assert_eq!(position(&snapshot), "10 of 7200 s, 1:59 h left");
        let late = Snapshot { elapsed: Duration::from_mins(150), ..snapshot };
        assert_eq!((share(&late), position(&late).as_str()), (Some(1.0), "7200 of 7200 s, 0 s left"));
    }

    #[test]
    fn what_cannot_be_known_is_not_claimed() {
        let snapshot = Snapshot { phase: Phase::SettingUp, ..samples::snapshot(Goal::Unknown, 0) };
        assert_eq!((share(&snapshot), position(&snapshot)), (None, String::new()));
        for goal in [Goal::Requests(0), Goal::Duration(Duration::ZERO)] {
            assert_eq!(share(&samples::snapshot(goal, 0)), Some(1.0));
        }
    }

    #[test]
    fn failures_are_first_and_what_did_not_happen_is_not_there() {
        let snapshot = samples::snapshot(Goal::Requests(400), 100);
        assert_eq!(flow(&snapshot, (9.5, 400.0)), "9.5 requests/s  400 pieces/s  4 under way  concurrency 4");
        let failing = Snapshot { failed: 7, cancelled: 1, load: None, ..snapshot };
        assert_eq!(flow(&failing, (0.0, 0.0)), "7 failed  0 requests/s  0 pieces/s  4 under way  1 cancelled");
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds_and_starts_anew_with_a_phase() {
        let mut rates = Rates::default();
        let mut snapshot = samples::snapshot(Goal::Unknown, 0);
        for tenths in 0..=200 {
            snapshot.elapsed = Duration::from_millis(tenths * 100);
            // Ten requests a second, and twenty after ten seconds.
            snapshot.done = tenths + tenths.saturating_sub(100);
            snapshot.chunks = snapshot.done * 5;
            let (requests, pieces) = rates.now(&snapshot);
            let expected = match tenths {
                1..=100 => 10.0,
                150.. => 20.0,
                _ => requests,
            };
            assert!((requests - expected).abs() < 0.5 && (pieces - requests * 5.0).abs() < 0.1, "{tenths}: {requests}");
        }
        assert!(rates.seen.len() <= 52, "{}", rates.seen.len());
        let next = Snapshot { step: 2, elapsed: Duration::from_secs(1), done: 3, chunks: 0, ..snapshot };
        assert_eq!(rates.now(&next), (3.0, 0.0));
    }

    #[test]
    fn a_line_for_a_log_has_it_all() {
        let line = plain(&samples::snapshot(Goal::Requests(400), 100), (9.5, 400.0));
        assert_eq!(
            line.replace('\u{a0}', " "),
            "measuring 2/4; 100 of 400, 30 s left; 9.5 requests/s, 400 pieces/s, 4 under way, concurrency 4; \
             direct first piece p50 21.5 ms, p99 33.0 ms; proxied first piece p50 21.5 ms, p99 33.0 ms"
        );
    }

    #[test]
    fn columns_are_aligned() {
        let snapshot = samples::snapshot(Goal::Unknown, 1);
        let lines: Vec<usize> = snapshot.routes.iter().map(|running| route(running).find("p50").unwrap_or(0)).collect();
        assert_eq!(lines[0], lines[1]);
        assert_eq!((snapshot.routes[0].route, snapshot.load), (Route::Direct, Some(Load::Closed { concurrency: 4 })));
    }
}
