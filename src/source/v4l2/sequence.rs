//! A driver's 32-bit frame counter as the source's own count.

use std::time::Duration;

/// Frames that can be lost without any time between two arrivals: the program may
/// have been held up for seconds before it took the first.
const SLACK: u64 = 10_000;

/// Counts frames from 0, with gaps where the driver's counter has gaps.
///
/// A driver may start anywhere, wrap, never count at all, or start again.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// The driver's last number and when it came; unknown at a start.
    driver: Option<(u32, Duration)>,
    /// The number the next frame gets if nothing was lost.
    next: u64,
}

impl Sequence {
    /// The count for the frame that the driver gave `number`, which came at `now`.
    pub(super) fn widen(&mut self, number: u32, now: Duration) -> u64 {
        let current = self.next + self.lost(number, now);
        self.driver = Some((number, now));
        self.next = current + 1;
        current
    }

    /// The driver starts counting again; the source's count goes on.
    pub(super) fn restarted(&mut self) {
        self.driver = None;
    }

    /// Frames that the driver counted since the last one and did not give.
    fn lost(&self, number: u32, now: Duration) -> u64 {
        let Some((last, at)) = self.driver else {
            return 0;
        };
        let step = number.wrapping_sub(last);
        // No step: the driver does not count. More than half the range: it went back.
        if step == 0 || step > u32::MAX / 2 {
            return 0;
        }
        let lost = u64::from(step - 1);
        // More than a camera of 1000 frames a second takes: the counter was set anew.
        let elapsed = now.saturating_sub(at).as_millis();
        if u128::from(lost) > elapsed + u128::from(SLACK) {
            return 0;
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    #[test]
    fn counts_from_zero_and_keeps_gaps() {
        let mut sequence = Sequence::default();
        assert_eq!([7, 8, 11].map(|n| sequence.widen(n, NOW)), [0, 1, 4]);
    }

    #[test]
    fn wraps() {
        let mut sequence = Sequence::default();
        let numbers = [u32::MAX - 1, u32::MAX, 0, 2];
        assert_eq!(numbers.map(|n| sequence.widen(n, NOW)), [0, 1, 2, 4]);
    }

    #[test]
    fn a_counter_that_stands_or_goes_back_is_no_loss() {
        let mut sequence = Sequence::default();
        assert_eq!([0, 0, 0].map(|n| sequence.widen(n, NOW)), [0, 1, 2]);
        let numbers = [100, 3, 4];
        assert_eq!(numbers.map(|n| sequence.widen(n, NOW)), [102, 103, 104]);
    }

    #[test]
    fn a_leap_no_camera_can_make_is_no_loss() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.widen(0, NOW), 0);
        assert_eq!(sequence.widen(1_000_000, NOW), 1);
        // A program that was stopped for an hour did lose that much.
        let later = NOW + Duration::from_secs(3600);
        assert_eq!(sequence.widen(2_000_001, later), 1_000_002);
    }

    #[test]
    fn a_restart_goes_on_counting() {
        let mut sequence = Sequence::default();
        assert_eq!([5, 6].map(|n| sequence.widen(n, NOW)), [0, 1]);
        sequence.restarted();
        assert_eq!([1, 2].map(|n| sequence.widen(n, NOW)), [2, 3]);
    }
}
