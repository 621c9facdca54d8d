//! How long to wait between attempts to open a camera that went away.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(100);

/// The longest wait: a camera that comes back is found within this time.
const LONGEST: Duration = Duration::from_secs(2);

/// How long a camera must have streamed before its next loss counts as a new one.
const HEALTHY: Duration = Duration::from_secs(10);

/// Waits that double, so that neither a camera that is gone for days nor one that
/// fails as often as it is opened keeps the processor busy.
///
/// Times are those of one clock, of which the caller tells the present.
#[derive(Debug)]
pub(super) struct Backoff {
    wait: Duration,
    streaming_since: Option<Duration>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            wait: FIRST,
            streaming_since: None,
        }
    }
}

impl Backoff {
    /// How long to wait for the next attempt; the one after that waits twice as long.
    pub(super) fn next_wait(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST);
        wait
    }

    /// A good frame came.
    pub(super) fn frame(&mut self, now: Duration) {
        let since = *self.streaming_since.get_or_insert(now);
        if now.saturating_sub(since) >= HEALTHY {
            self.wait = FIRST;
        }
    }

    /// The stream broke.
    pub(super) fn broke(&mut self) {
        self.streaming_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..7).map(|_| backoff.next_wait().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn only_a_camera_that_streamed_for_a_while_starts_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..3 {
            backoff.next_wait();
        }
        // Two short streams do not add up to a long one.
        backoff.frame(seconds(1));
        backoff.frame(seconds(10));
        backoff.broke();
        backoff.frame(seconds(20));
        assert_eq!(backoff.next_wait().as_millis(), 800);
        backoff.frame(seconds(30));
        assert_eq!(backoff.next_wait().as_millis(), 100);
    }
}
