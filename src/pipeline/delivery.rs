//! The sink thread: gives every outcome to every sink.

use super::mailbox::{CloseOnDrop, Mailbox};
use crate::classes::Classes;
use crate::sink::{Outcome, Sink, SinkError};

/// Delivers outcomes until there are none, then finishes the sinks. All sinks are
/// finished even if one fails.
///
/// # Errors
/// The first sink's error.
pub fn deliver(
    sinks: &mut [Box<dyn Sink>],
    classes: &Classes,
    delivered: &Mailbox<Box<Outcome>>,
    spare: &Mailbox<Box<Outcome>>,
) -> Result<(), SinkError> {
    let _stop_actuator = CloseOnDrop(delivered);
    let mut result = Ok(());
    'outcomes: while let Some(outcome) = delivered.take() {
        for sink in sinks.iter_mut() {
            result = sink.consume(&outcome, classes);
            if result.is_err() {
                break 'outcomes;
            }
        }
        spare.put(outcome);
    }
    for sink in sinks.iter_mut() {
        result = result.and(sink.finish());
    }
    result
}
