//! Whether a thread still gets on with its work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a thread says of itself: that it is at work, or until when it waits.
#[derive(Debug)]
pub struct Progress {
    /// Grows with everything it says.
    steps: AtomicU64,
    /// When it must say something again, in nanoseconds on [`crate::clock::now`]'s
    /// clock.
    due: AtomicU64,
}

/// A wait without an end.
const NEVER: u64 = u64::MAX;

impl Default for Progress {
    fn default() -> Self {
        Self {
            steps: AtomicU64::new(0),
            due: AtomicU64::new(NEVER),
        }
    }
}

impl Progress {
    /// The thread is at work from now on.
    pub fn work(&self) {
        self.say(0);
    }

    /// The thread waits for others, until `deadline` if there is one.
    pub fn wait(&self, deadline: Option<Duration>) {
        let nanos = deadline.map(|at| u64::try_from(at.as_nanos()).unwrap_or(NEVER));
        self.say(nanos.unwrap_or(NEVER));
    }

    fn say(&self, due: u64) {
        self.due.store(due, Ordering::SeqCst);
        self.steps.fetch_add(1, Ordering::SeqCst);
    }
}

/// Watches one [`Progress`] by looking at it at regular intervals.
///
/// It is the looks that count, not the clock: a machine that slept, or a process that
/// was stopped, has not hung.
#[derive(Debug, Default)]
pub struct Overdue {
    steps: u64,
    looks: u32,
}

impl Overdue {
    /// Looks, at `now`. Gives how many looks in a row have found the thread at the
    /// same step with something due.
    pub fn look(&mut self, progress: &Progress, now: Duration) -> u32 {
        let steps = progress.steps.load(Ordering::SeqCst);
        let due = Duration::from_nanos(progress.due.load(Ordering::SeqCst));
        self.looks = if steps == self.steps && now >= due {
            self.looks.saturating_add(1)
        } else {
            0
        };
        self.steps = steps;
        self.looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn only_a_step_that_lasts_counts() {
        let (progress, mut overdue) = (Progress::default(), Overdue::default());
        assert_eq!(overdue.look(&progress, ms(1 << 40)), 0);
        progress.work();
        assert_eq!(overdue.look(&progress, ms(0)), 0);
        assert_eq!(overdue.look(&progress, ms(0)), 1);
        assert_eq!(overdue.look(&progress, ms(0)), 2);
        progress.work();
        assert_eq!(overdue.look(&progress, ms(0)), 0);
        progress.wait(Some(ms(10)));
        assert_eq!(overdue.look(&progress, ms(9)), 0);
        assert_eq!(overdue.look(&progress, ms(9)), 0);
        assert_eq!(overdue.look(&progress, ms(10)), 1);
        progress.wait(None);
        for _ in 0..3 {
            assert_eq!(overdue.look(&progress, ms(1 << 40)), 0);
        }
    }
}
