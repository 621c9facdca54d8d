//! The trigger thread: gives results to the lines and waits with a deadline.

use std::sync::atomic::{AtomicBool, Ordering};

use super::control::Control;
use super::mailbox::{CloseOnDrop, Put, Taken};
use super::stats::Stats;
use super::{Links, PipelineError};
use crate::clock;
use crate::guard;
use crate::sink::Outcome;

/// Feeds every outcome to the rules and hands it on with their states, until there
/// are none or `stop` is set. Without an outcome in time the lines go safe; at the
/// end, also by a panic, they do as well.
///
/// # Errors
/// [`PipelineError::Gpio`] where a line cannot be driven.
pub fn drive(
    control: &Control,
    links: &Links,
    stats: &Stats,
    stop: &AtomicBool,
) -> Result<(), PipelineError> {
    let _close = CloseOnDrop(&links.delivered);
    let _stop_worker = CloseOnDrop(&links.outcomes);
    let _release_worker = CloseOnDrop(&links.spare_outcomes);
    let safe = SafeOnPanic(control);
    let ending = serve(control, links, stats, stop);
    let left_safe = control.end();
    control.trigger.wait(None);
    std::mem::forget(safe);
    ending.and(left_safe)
}

fn serve(
    control: &Control,
    links: &Links,
    stats: &Stats,
    stop: &AtomicBool,
) -> Result<(), PipelineError> {
    let mut faults = 0;
    loop {
        let deadline = control.next_deadline();
        control.trigger.wait(deadline);
        let taken = links.outcomes.take_until(deadline);
        control.trigger.work();
        // Looked at here too: who watches for signals may hang in a terminal.
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        match taken {
            Taken::Value(mut outcome) => {
                let known = std::mem::replace(&mut faults, outcome.counters.faults());
                decide(control, &mut outcome, faults > known, stats)?;
                match links.delivered.put(outcome) {
                    Put::Stored => {}
                    Put::Displaced(old) => {
                        stats.count(|c| c.undelivered += 1);
                        links.spare_outcomes.put(old);
                    }
                    Put::Closed(_) => return Ok(()),
                }
            }
            Taken::TimedOut => control.expire()?,
            Taken::Closed => return Ok(()),
        }
    }
}

fn decide(
    control: &Control,
    outcome: &mut Outcome,
    faulty: bool,
    stats: &Stats,
) -> Result<(), PipelineError> {
    let effect = control.result(outcome, faulty)?;
    if effect.moved {
        let done = clock::now();
        stats.edge(
            done.saturating_sub(outcome.captured),
            done.saturating_sub(outcome.finished),
        );
    }
    Ok(())
}

/// Leaves the lines safe where the trigger thread panics.
struct SafeOnPanic<'a>(&'a Control);

impl Drop for SafeOnPanic<'_> {
    fn drop(&mut self) {
        // A pin that panicked once may do so again.
        let end = guard::contain(|| self.0.end());
        if !matches!(end, Ok(Ok(()))) {
            self.0.revoke();
        }
    }
}
