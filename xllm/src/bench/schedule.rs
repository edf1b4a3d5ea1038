//! When to send what: from a seed, before anything runs. Pure.

use std::time::Duration;

use fastrand::Rng;

use super::result::{Arrivals, Route};

/// What is drawn for one pair. Each pair has a generator of its own, so that nothing depends on which worker takes it when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Draw {
    /// Whether the proxied request goes first, so that a drift, or a cache of the provider's, favours neither.
    pub(super) proxied_first: bool,
    /// Whether both are cancelled.
    pub(super) cancelled: bool,
}

/// What is drawn for this pair.
pub(super) fn draw(seed: u64, pair: u64, cancel_share: f64) -> Draw {
    let mut rng = Rng::with_seed(seed ^ pair.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // The first draws of neighbouring seeds are alike.
    rng.u64(..);
    // Within each four pairs, both orders come equally often.
    let turn = Rng::with_seed(seed ^ (pair / 4)).u64(..) ^ pair;
    Draw { proxied_first: turn & 1 == 0, cancelled: rng.f64() < cancel_share }
}

/// The routes of a pair in the order in which they are sent.
pub(super) fn order(routes: &[Route], draw: Draw) -> Vec<Route> {
    let mut order = routes.to_vec();
    if draw.proxied_first {
        order.reverse();
    }
    order
}

/// The times of an open loop's sends, since its beginning: endless, at `rate` per second.
pub(super) fn sends(rate: f64, arrivals: Arrivals, seed: u64) -> impl Iterator<Item = Duration> + Send {
    let mut rng = Rng::with_seed(seed);
    let mut at = 0.0;
    (0_u32..).map(move |number| {
        let now = match arrivals {
            // By multiplication: added-up gaps would drift.
            Arrivals::Constant => f64::from(number) / rate,
            Arrivals::Poisson => at,
        };
        // 1 - f64() is above 0, so its logarithm is finite.
        at += -(1.0 - rng.f64()).ln() / rate;
        Duration::try_from_secs_f64(now).unwrap_or(Duration::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_rate_is_even_and_does_not_drift() {
        let times: Vec<_> = sends(3.0, Arrivals::Constant, 0).take(3001).collect();
        assert_eq!((times[0], times[3000]), (Duration::ZERO, Duration::from_secs(1000)));
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_their_rate() {
        let times: Vec<f64> = sends(50.0, Arrivals::Poisson, 5).take(20_001).map(|time| time.as_secs_f64()).collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / 20_000.0;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean * 50.0 - 1.0).abs() < 0.03 && (variance.sqrt() / mean - 1.0).abs() < 0.05, "{mean} {variance}");
        assert!(gaps.iter().all(|gap| *gap >= 0.0));
    }

    #[test]
    fn the_same_seed_gives_the_same_times_and_another_gives_others() {
        let times = |seed| sends(9.0, Arrivals::Poisson, seed).take(50).collect::<Vec<_>>();
        assert!(times(1) == times(1) && times(1) != times(2));
    }

    #[test]
    fn both_orders_come_equally_often_and_not_in_turn() {
        for seed in 0..20 {
            let draws: Vec<bool> = (0..400).map(|pair| draw(seed, pair, 0.0).proxied_first).collect();
            assert_eq!(draws.iter().filter(|first| **first).count(), 200);
            assert!(draws.windows(2).any(|pair| pair[0] == pair[1]), "seed {seed}");
        }
        let both = [Route::Direct, Route::Proxied];
        let proxied_first = Draw { proxied_first: true, cancelled: false };
        assert_eq!(order(&both, proxied_first), [Route::Proxied, Route::Direct]);
        assert_eq!(order(&both[..1], proxied_first), [Route::Direct]);
    }

    #[test]
    fn a_share_of_the_pairs_is_cancelled() {
        let cancelled = |share| (0..10_000).filter(|pair| draw(2, *pair, share).cancelled).count();
        assert_eq!((cancelled(0.0), cancelled(1.0)), (0, 10_000));
        assert!((2700..3300).contains(&cancelled(0.3)), "{}", cancelled(0.3));
    }
}
