//! How many seeds of a simulation are run, and that on all cores. It serves tests/simulation and src/simulation.

use std::{
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Runs `XLLM_SEEDS` seeds (500) from `XLLM_FROM` (0) on. Gives their number, and what was collected of them.
pub(crate) fn each<T, S: Default + Send>(run: impl Fn(u64) -> T + Sync, collect: impl Fn(&mut S, T) + Sync) -> (u64, S) {
    let seeds = number("XLLM_SEEDS").unwrap_or(500);
    let from = number("XLLM_FROM").unwrap_or(0);
    let (next, sums) = (AtomicU64::new(from), Mutex::new(S::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= from + seeds {
                return;
            }
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed)));
            let outcome = outcome.unwrap_or_else(|_| panic!("seed {seed} fails, and does so again with XLLM_SEED={seed}"));
            collect(&mut sums.lock().unwrap(), outcome);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    (seeds, sums.into_inner().unwrap())
}
