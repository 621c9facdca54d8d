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
pub struct Journal(Mutex<Entries>);

#[derive(Debug)]
struct Entries {
    queue: VecDeque<(Arc<RuleSet>, Notice<GpioError>)>,
    missed: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            queue: VecDeque::with_capacity(CAPACITY),
            missed: 0,
        }))
    }
}

impl Journal {
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
            log(&rules, &notice);
        }
        let missed = std::mem::take(&mut self.lock().missed);
        if missed > 0 {
            log::warn!("{missed} changes of lines came too fast to be told");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(rules: &RuleSet, notice: &Notice<GpioError>) {
    match notice {
        Notice::Edge { line, edge } if edge.state == State::Safe => {
            log::info!("rule '{}': line safe, {}", rules.name(*line), edge.level);
        }
        Notice::Edge { line, edge } => {
            log::debug!(
                "rule '{}': {}, {}",
                rules.name(*line),
                edge.state,
                edge.level
            );
        }
        Notice::Beat(level) => log::trace!("heartbeat {level}"),
        Notice::Changed(change) if rules.drives_pins && change.is_for_the_worse() => {
            log::warn!("{change}");
        }
        Notice::Changed(change) => log::info!("{change}"),
        Notice::PinFault {
            line: Some(line),
            error,
        } => log::error!("rule '{}': {error}; trying again", rules.name(*line)),
        Notice::PinFault { line: None, error } => {
            log::error!("heartbeat: {error}; it stops until results are fresh again");
        }
    }
}
