//! What a run counts and how old its results are.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::histogram::{Histogram, Percentiles};
use crate::clock;
use crate::frame::Stamp;
use crate::sink::{Counters, Stages};
use crate::trigger::RunState;

/// Counts shared by the threads of one run.
#[derive(Debug)]
pub struct Stats {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    start: Duration,
    counters: Counters,
    stamp: Stamp,
    window: Window,
    run: Distributions,
}

#[derive(Debug)]
struct Window {
    since: Duration,
    results: u64,
    times: Distributions,
    stages: Stages,
}

#[derive(Debug, Default)]
struct Distributions {
    result: Histogram,
    edge: Histogram,
    write: Histogram,
}

/// How late results and edges were; `None` where there were none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ages {
    /// From capture to the result.
    pub result: Option<Percentiles>,
    /// From capture until the pins were driven, for results that moved one.
    pub edge: Option<Percentiles>,
    /// The part of that after the result was ready.
    pub write: Option<Percentiles>,
}

/// The state of a run at one moment, with figures since the snapshot before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// What the run can be relied on for.
    pub state: RunState,
    /// Counts since the start.
    pub counters: Counters,
    /// Results a second since the last snapshot.
    pub rate: f64,
    /// Results a second since the start.
    pub mean_rate: f64,
    /// What ages are counted from.
    pub stamp: Stamp,
    /// Ages since the last snapshot.
    pub ages: Ages,
    /// Ages since the start.
    pub run_ages: Ages,
    /// Mean durations since the last snapshot.
    pub stages: Stages,
}

impl Default for Stats {
    fn default() -> Self {
        let window = Window {
            since: clock::now(),
            results: 0,
            times: Distributions::default(),
            stages: Stages::default(),
        };
        Self {
            inner: Mutex::new(Inner {
                start: window.since,
                counters: Counters::default(),
                stamp: Stamp::default(),
                window,
                run: Distributions::default(),
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

    /// Notes one result, whose `age` is counted from `stamp`, and gives the counters
    /// with it included.
    pub fn result(&self, age: Duration, stamp: Stamp, stages: &Stages) -> Counters {
        let mut inner = self.lock();
        inner.counters.inferred += 1;
        inner.stamp = stamp;
        inner.run.result.add(age);
        let window = &mut inner.window;
        window.results += 1;
        window.times.result.add(age);
        window.stages.preprocess += stages.preprocess;
        window.stages.inference += stages.inference;
        window.stages.postprocess += stages.postprocess;
        inner.counters
    }

    /// Notes that pins were driven, `age` after the capture and `write` after the
    /// result.
    pub fn edge(&self, age: Duration, write: Duration) {
        let mut inner = self.lock();
        inner.run.edge.add(age);
        inner.run.write.add(write);
        inner.window.times.edge.add(age);
        inner.window.times.write.add(write);
    }

    /// The figures since the last call, and starts over. The state is left at its
    /// default: it is not a matter of counting.
    pub fn snapshot(&self) -> Snapshot {
        let mut inner = self.lock();
        let now = clock::now();
        let since_start = now.saturating_sub(inner.start).as_secs_f64().max(1e-9);
        let mean_rate = inner.counters.inferred as f64 / since_start;
        let run_ages = inner.run.ages();
        let (counters, stamp) = (inner.counters, inner.stamp);
        let window = &mut inner.window;
        let elapsed = now.saturating_sub(window.since).as_secs_f64().max(1e-9);
        let count = u32::try_from(window.results).unwrap_or(u32::MAX);
        let mean = |total: Duration| total.checked_div(count).unwrap_or_default();
        let snapshot = Snapshot {
            state: RunState::default(),
            counters,
            rate: window.results as f64 / elapsed,
            mean_rate,
            stamp,
            ages: window.times.ages(),
            run_ages,
            stages: Stages {
                preprocess: mean(window.stages.preprocess),
                inference: mean(window.stages.inference),
                postprocess: mean(window.stages.postprocess),
            },
        };
        window.since = now;
        window.results = 0;
        window.times.clear();
        window.stages = Stages::default();
        snapshot
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Distributions {
    fn ages(&self) -> Ages {
        Ages {
            result: self.result.percentiles(),
            edge: self.edge.percentiles(),
            write: self.write.percentiles(),
        }
    }

    fn clear(&mut self) {
        for times in [&mut self.result, &mut self.edge, &mut self.write] {
            times.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_starts_a_new_window_and_keeps_the_counts() {
        let stats = Stats::default();
        let age = Duration::from_millis(5);
        stats.count(|c| c.frames_in += 3);
        stats.result(age, Stamp::Driver, &Stages::default());
        stats.edge(2 * age, age);
        let first = stats.snapshot();
        assert_eq!((first.counters.frames_in, first.counters.inferred), (3, 1));
        assert_eq!(first.stamp, Stamp::Driver);
        assert_eq!(first.ages, first.run_ages);
        let max = |times: Option<Percentiles>| times.map(|t| t.max);
        assert_eq!(max(first.ages.result), Some(age));
        assert_eq!(max(first.ages.edge), Some(2 * age));
        assert_eq!(max(first.ages.write), Some(age));
        let second = stats.snapshot();
        assert_eq!(second.counters, first.counters);
        assert_eq!(second.ages, Ages::default());
        assert_eq!(second.run_ages, first.run_ages);
    }
}
