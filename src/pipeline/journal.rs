//! What the trigger thread has to say, kept for a thread that may wait.
//!
//! Writing a log line can block for ever, on a terminal that was stopped or a pipe
//! that nobody reads. The thread that drives the lines therefore writes none.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rule_set::RuleSet;
use crate::gpio::GpioError;
use crate::trigger::{Notice, State};

/// Entries kept until they are told; later ones are only counted.
const CAPACITY: usize = 256;

/// Notices of the controller, each with the rules that it speaks of.
#[derive(Debug)]
pub struct Journal {
    /// What every line begins with.
    prefix: String,
    entries: Mutex<Entries>,
}

#[derive(Debug)]
struct Entries {
    queue: VecDeque<(Arc<RuleSet>, Notice<GpioError>)>,
    missed: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self::of(None)
    }
}

/// What each line in the log begins with that is of one run of several.
pub fn prefix(run: Option<&str>) -> String {
    run.map_or_else(String::new, |name| format!("{name}: "))
}

impl Journal {
    /// An empty one. `run` is its run's name, where there are several.
    pub fn of(run: Option<&str>) -> Self {
        Self {
            prefix: prefix(run),
            entries: Mutex::new(Entries {
                queue: VecDeque::with_capacity(CAPACITY),
                missed: 0,
            }),
        }
    }

    /// What every line begins with: the run's name where there are several.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Keeps a notice.
    pub fn push(&self, rules: &Arc<RuleSet>, notice: Notice<GpioError>) {
        let mut entries = self.lock();
        if entries.queue.len() < CAPACITY {
            entries.queue.push_back((Arc::clone(rules), notice));
        } else {
            entries.missed += 1;
        }
    }

    /// Logs all that is kept.
    pub fn tell(&self) {
        loop {
            // Not held while writing.
            let next = self.lock().queue.pop_front();
            let Some((rules, notice)) = next else { break };
            log(&self.prefix, &rules, &notice);
        }
        let missed = std::mem::take(&mut self.lock().missed);
        if missed > 0 {
            log::warn!(
                "{}{missed} changes of lines came too fast to be told",
                self.prefix
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(run: &str, rules: &RuleSet, notice: &Notice<GpioError>) {
    match notice {
        Notice::Edge { line, edge } if edge.state == State::Safe => {
            log::info!(
                "{run}rule '{}': line safe, {}",
                rules.name(*line),
                edge.level
            );
        }
        Notice::Edge { line, edge } => {
            log::debug!(
                "{run}rule '{}': {}, {}",
                rules.name(*line),
                edge.state,
                edge.level
            );
        }
        Notice::Beat(level) => log::trace!("{run}heartbeat {level}"),
        Notice::Changed(change) if rules.drives_pins && change.is_for_the_worse() => {
            log::warn!("{run}{change}");
        }
        Notice::Changed(change) => log::info!("{run}{change}"),
        Notice::PinFault {
            line: Some(line),
            error,
        } => log::error!("{run}rule '{}': {error}; trying again", rules.name(*line)),
        Notice::PinFault { line: None, error } => {
            log::error!("{run}heartbeat: {error}; it stops until results are fresh again");
        }
    }
}
