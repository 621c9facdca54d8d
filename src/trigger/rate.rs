//! How fast results come.

use core::time::Duration;

/// Results over which a rate is judged.
pub const RATE_RESULTS: usize = 4;

/// When the last results came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    /// Oldest first.
    arrivals: [Duration; RATE_RESULTS],
    count: usize,
}

impl Rate {
    /// Notes a result that came at `now`, which is not before the one noted last.
    pub fn note(&mut self, now: Duration) {
        self.arrivals.rotate_left(1);
        self.arrivals[RATE_RESULTS - 1] = now;
        self.count = RATE_RESULTS.min(self.count + 1);
    }

    /// Until when at least `min` results a second have come, if no further one does;
    /// none before there were [`RATE_RESULTS`].
    ///
    /// `min` is a rate that [`RuleSpec::check`](super::RuleSpec::check) lets pass.
    pub fn kept_until(&self, min: f32) -> Option<Duration> {
        if self.count < RATE_RESULTS {
            return None;
        }
        let window = Duration::try_from_secs_f64(RATE_RESULTS as f64 / f64::from(min)).ok()?;
        Some(self.arrivals[0].saturating_add(window))
    }
}
