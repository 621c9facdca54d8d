//! Results that nobody looks at: for timing and for rules alone.

use super::{Outcome, Sink, SinkError};
use crate::classes::Classes;

/// Takes every result and keeps none. It never fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn consume(&mut self, _: &Outcome, _: &Classes) -> Result<(), SinkError> {
        Ok(())
    }

    fn wants_every_result(&self) -> bool {
        false
    }

    fn wants_picture(&self) -> bool {
        false
    }
}
