//! The one clock of the bench: upstream and load are threads of one process, so what one stamps the other can compare.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the bench began.
pub(crate) fn now() -> u64 {
    nanos(START.elapsed())
}

/// A duration in nanoseconds; what does not fit, the longest there is.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
