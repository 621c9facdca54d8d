//! How many results come in a second.

use std::time::Duration;

use super::Outcome;

/// Results a second, smoothed over about the last second.
#[derive(Debug, Default)]
pub struct Rate {
    last: Option<(u64, Duration)>,
    per_second: Option<f64>,
}

impl Rate {
    /// Takes one more result into account.
    pub fn count(&mut self, outcome: &Outcome) {
        let (index, finished) = (outcome.index, outcome.finished);
        if let Some((last_index, last_finished)) = self.last
            && let elapsed = finished.saturating_sub(last_finished).as_secs_f64()
            && elapsed > 0.0
        {
            // Indices, not calls: results that were not drawn count as well.
            let now = index.saturating_sub(last_index) as f64 / elapsed;
            let keep = (-elapsed).exp();
            let before = self.per_second.unwrap_or(now);
            self.per_second = Some(before * keep + now * (1.0 - keep));
        }
        self.last = Some((index, finished));
    }

    /// Results a second; `None` before the second result.
    pub fn per_second(&self) -> Option<f64> {
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_not_calls() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(), None);
        for index in (0..100).step_by(5) {
            rate.count(&Outcome {
                index,
                finished: Duration::from_millis(100 * index),
                ..Outcome::default()
            });
        }
        assert!((rate.per_second().unwrap() - 10.0).abs() < 1e-6);
    }
}
