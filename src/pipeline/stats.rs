//! What a run counts and how old its results are.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::sink::{Counters, Stages};

/// Most ages kept between two snapshots; the rest only count.
const MAX_AGES: usize = 4096;

/// Counts shared by the threads of one run.
#[derive(Debug)]
pub struct Stats {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    start: Duration,
    counters: Counters,
    window: Window,
}

#[derive(Debug)]
struct Window {
    since: Duration,
    results: u64,
    ages: Vec<Duration>,
    stages: Stages,
}

/// The state of a run at one moment, with figures since the snapshot before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Counts since the start.
    pub counters: Counters,
    /// Results a second since the last snapshot.
    pub rate: f64,
    /// Results a second since the start.
    pub mean_rate: f64,
    /// Ages (capture to result) since the last snapshot; `None` without results.
    pub age: Option<Ages>,
    /// Mean durations since the last snapshot.
    pub stages: Stages,
}

/// The distribution of ages in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ages {
    /// Half of the results were younger.
    pub p50: Duration,
    /// 95 of 100 were younger.
    pub p95: Duration,
    /// The oldest.
    pub max: Duration,
}

impl Default for Stats {
    fn default() -> Self {
        let window = Window {
            since: clock::now(),
            results: 0,
            ages: Vec::with_capacity(MAX_AGES),
            stages: Stages::default(),
        };
        Self {
            inner: Mutex::new(Inner {
                start: window.since,
                counters: Counters::default(),
                window,
            }),
        }
    }
}

impl Stats {
    /// Changes the counters.
    pub fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.lock().counters);
    }

    /// The counters now.
    pub fn counters(&self) -> Counters {
        self.lock().counters
    }

    /// Notes one result and gives the counters with it included.
    pub fn result(&self, age: Duration, stages: &Stages) -> Counters {
        let mut inner = self.lock();
        inner.counters.inferred += 1;
        let window = &mut inner.window;
        window.results += 1;
        if window.ages.len() < MAX_AGES {
            window.ages.push(age);
        }
        window.stages.preprocess += stages.preprocess;
        window.stages.inference += stages.inference;
        window.stages.postprocess += stages.postprocess;
        inner.counters
    }

    /// The figures since the last call, and starts over.
    pub fn snapshot(&self) -> Snapshot {
        let mut inner = self.lock();
        let now = clock::now();
        let since_start = now.saturating_sub(inner.start).as_secs_f64().max(1e-9);
        let mean_rate = inner.counters.inferred as f64 / since_start;
        let window = &mut inner.window;
        let elapsed = now.saturating_sub(window.since).as_secs_f64().max(1e-9);
        window.ages.sort_unstable();
        let count = u32::try_from(window.results).unwrap_or(u32::MAX);
        let mean = |total: Duration| total.checked_div(count).unwrap_or_default();
        let age = window.ages.last().map(|&max| Ages {
            p50: percentile(&window.ages, 50),
            p95: percentile(&window.ages, 95),
            max,
        });
        let rate = window.results as f64 / elapsed;
        let stages = Stages {
            preprocess: mean(window.stages.preprocess),
            inference: mean(window.stages.inference),
            postprocess: mean(window.stages.postprocess),
        };
        window.since = now;
        window.results = 0;
        window.ages.clear();
        window.stages = Stages::default();
        Snapshot {
            counters: inner.counters,
            rate,
            mean_rate,
            age,
            stages,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The nearest-rank percentile of sorted values; zero of none.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let ages: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(percentile(&ages, 50), Duration::from_millis(10));
        assert_eq!(percentile(&ages, 95), Duration::from_millis(19));
        assert_eq!(percentile(&ages[..1], 95), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn a_snapshot_starts_a_new_window_and_keeps_the_counts() {
        let stats = Stats::default();
        stats.count(|c| c.frames_in += 3);
        stats.result(Duration::from_millis(5), &Stages::default());
        let first = stats.snapshot();
        assert_eq!((first.counters.frames_in, first.counters.inferred), (3, 1));
        assert_eq!(first.age.map(|a| a.max), Some(Duration::from_millis(5)));
        let second = stats.snapshot();
        assert_eq!(second.counters, first.counters);
        assert_eq!(second.age, None);
    }
}
