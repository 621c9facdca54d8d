//! The one clock that capture stamps, ages and deadlines are read from.

use std::time::Duration;

/// Time since an arbitrary start, never going back: `CLOCK_MONOTONIC`, the clock
/// V4L2 drivers stamp frames with, so that a driver's stamp and this can be
/// subtracted.
pub fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Both fields are never negative on this clock.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    #[test]
    fn never_goes_back() {
        let first = super::now();
        assert!(super::now() >= first);
    }
}
