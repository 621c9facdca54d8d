//! What is done about a stream that fails or stands still.

use std::collections::VecDeque;
use std::time::Duration;

/// Most restarts of the stream within [`WINDOW`]; more faults than this are not
/// cured by restarting it.
const MOST_RESTARTS: usize = 5;

/// See [`MOST_RESTARTS`].
const WINDOW: Duration = Duration::from_secs(10);

/// A stream is restarted when it stood still this many times in a row, and again
/// after as many. Some cameras hang until they are told to start again.
const STALLS: u32 = 3;

/// What to do about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Take every buffer back and start the stream again.
    Restart,
    /// Close the device and open it again.
    Reopen,
}

/// What a wait without a frame means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// It is not long enough to mean anything.
    Short,
    /// The stream stands still.
    Stall,
    /// The stream stands still and was to be restarted.
    StallAndRestart,
}

/// The history that decides on a remedy.
///
/// Times are those of one clock, of which the caller tells the present.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// When the stream was restarted, within the last [`WINDOW`].
    restarts: VecDeque<Duration>,
    /// Whether no good frame came since the last restart.
    restarted: bool,
    /// Since when a frame is waited for.
    waiting_since: Option<Duration>,
    stalls: u32,
}

impl Recovery {
    /// The remedy for a fault at `now`. A restart that did not help is not tried
    /// again, nor one that helps only for a moment.
    pub(super) fn fault(&mut self, now: Duration) -> Remedy {
        self.waiting_since = None;
        while (self.restarts.front()).is_some_and(|&at| now.saturating_sub(at) > WINDOW) {
            self.restarts.pop_front();
        }
        if self.restarted || self.restarts.len() >= MOST_RESTARTS {
            return Remedy::Reopen;
        }
        self.restarts.push_back(now);
        self.restarted = true;
        Remedy::Restart
    }

    /// Nothing came up to `now`, where a frame was to come within `timeout`.
    pub(super) fn nothing(&mut self, now: Duration, timeout: Duration) -> Wait {
        let since = *self.waiting_since.get_or_insert(now);
        if now.saturating_sub(since) < timeout {
            return Wait::Short;
        }
        self.waiting_since = Some(now);
        self.stalls = self.stalls.saturating_add(1);
        if self.stalls.is_multiple_of(STALLS) {
            Wait::StallAndRestart
        } else {
            Wait::Stall
        }
    }

    /// A buffer came, which need not be a good frame.
    pub(super) fn buffer(&mut self, now: Duration) {
        self.waiting_since = Some(now);
        self.stalls = 0;
    }

    /// A good frame came.
    pub(super) fn frame(&mut self) {
        self.restarted = false;
    }

    /// The device was opened anew.
    pub(super) fn reopened(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_restart_is_repeated_after_a_good_frame() {
        let mut recovery = Recovery::default();
        for fault in 0..20 {
            let now = millis(fault * 3000);
            assert_eq!(recovery.fault(now), Remedy::Restart, "fault {fault}");
            recovery.buffer(now);
            recovery.frame();
        }
    }

    #[test]
    fn a_restart_that_did_not_help_is_not_repeated() {
        let mut recovery = Recovery::default();
        assert_eq!(recovery.fault(millis(0)), Remedy::Restart);
        // A damaged frame is no proof that it helped.
        recovery.buffer(millis(10));
        assert_eq!(recovery.fault(millis(20)), Remedy::Reopen);
        recovery.reopened();
        assert_eq!(recovery.fault(millis(30)), Remedy::Restart);
    }

    #[test]
    fn restarts_that_help_for_a_moment_only_are_bounded() {
        let mut recovery = Recovery::default();
        let remedies: Vec<Remedy> = (0..6)
            .map(|fault| {
                let remedy = recovery.fault(millis(fault * 100));
                recovery.frame();
                remedy
            })
            .collect();
        assert_eq!(remedies[..5], [Remedy::Restart; 5]);
        assert_eq!(remedies[5], Remedy::Reopen);
        assert_eq!(recovery.fault(millis(10_200)), Remedy::Restart);
    }

    #[test]
    fn a_stall_is_told_once_a_timeout_and_every_third_restarts() {
        let mut recovery = Recovery::default();
        let timeout = millis(250);
        let waits: Vec<Wait> = (0..=20)
            .map(|slice| recovery.nothing(millis(slice * 100), timeout))
            .collect();
        let at = |wait| -> Vec<usize> { (0..=20).filter(|&i| waits[i] == wait).collect() };
        assert_eq!(at(Wait::Stall), [3, 6, 12, 15]);
        assert_eq!(at(Wait::StallAndRestart), [9, 18]);
        // A frame ends the row.
        recovery.buffer(millis(2100));
        assert_eq!(recovery.nothing(millis(2300), timeout), Wait::Short);
        assert_eq!(recovery.nothing(millis(2350), timeout), Wait::Stall);
    }
}
