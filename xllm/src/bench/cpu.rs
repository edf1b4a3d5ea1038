//! Processor time of this thread.

use std::time::Duration;

/// What this thread has used so far; `None` where the system does not tell it.
#[cfg(unix)]
pub(super) fn of_thread() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

/// What this thread has used so far; `None` where the system does not tell it.
#[cfg(not(unix))]
pub(super) fn of_thread() -> Option<Duration> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_work_of_this_thread() {
        let before = of_thread().expect("this system tells it");
        let mut sum = 0_u64;
        while of_thread().expect("still") == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(of_thread() > Some(before));
    }
}
