//! A driver's 32-bit frame counter as the source's own count.

/// Counts frames from 0, with gaps where the driver's counter has gaps.
///
/// A driver may start anywhere, wrap, never count at all, or start again.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// The driver's last number; unknown at a start.
    driver: Option<u32>,
    /// The number the next frame gets if nothing was lost.
    next: u64,
}

impl Sequence {
    /// The count for the frame that the driver gave `number`.
    pub(super) fn widen(&mut self, number: u32) -> u64 {
        let current = self.next + self.lost(number);
        self.driver = Some(number);
        self.next = current + 1;
        current
    }

    /// The driver starts counting again; the source's count goes on.
    pub(super) fn restarted(&mut self) {
        self.driver = None;
    }

    /// Frames that the driver counted since the last one and did not give.
    fn lost(&self, number: u32) -> u64 {
        let step = self.driver.map_or(1, |driver| number.wrapping_sub(driver));
        // No step: the driver does not count. More than half the range: it went back.
        if step == 0 || step > u32::MAX / 2 {
            0
        } else {
            u64::from(step - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_zero_and_keeps_gaps() {
        let mut sequence = Sequence::default();
        assert_eq!([7, 8, 11].map(|n| sequence.widen(n)), [0, 1, 4]);
    }

    #[test]
    fn wraps() {
        let mut sequence = Sequence::default();
        let numbers = [u32::MAX - 1, u32::MAX, 0, 2];
        assert_eq!(numbers.map(|n| sequence.widen(n)), [0, 1, 2, 4]);
    }

    #[test]
    fn a_counter_that_stands_or_goes_back_is_no_loss() {
        let mut sequence = Sequence::default();
        assert_eq!([0, 0, 0].map(|n| sequence.widen(n)), [0, 1, 2]);
        assert_eq!([100, 3, 4].map(|n| sequence.widen(n)), [102, 103, 104]);
    }

    #[test]
    fn a_restart_goes_on_counting() {
        let mut sequence = Sequence::default();
        assert_eq!([5, 6].map(|n| sequence.widen(n)), [0, 1]);
        sequence.restarted();
        assert_eq!([1, 2].map(|n| sequence.widen(n)), [2, 3]);
    }
}
