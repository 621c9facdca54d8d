//! The watchdog thread: sees to it that lines go safe when another thread hangs.
//!
//! It writes nothing and takes no lock that is held while something is written or a
//! pin is driven, so that nothing it watches can stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::control::Control;
use super::progress::Overdue;
use super::{Links, PipelineError};
use crate::clock;

/// How often it looks.
const TICK: Duration = Duration::from_millis(20);

/// How long the trigger thread may take for one result, or miss a deadline by.
pub const TRIGGER_PATIENCE: Duration = Duration::from_secs(1);

/// What the watchdog needs of a run.
pub struct Watchdog {
    /// The lines, and how the threads get on.
    pub control: Arc<Control>,
    /// The mailboxes, to be closed.
    pub links: Links,
    /// Someone wants the run to end.
    pub stop: Arc<AtomicBool>,
    /// The run has ended.
    pub ended: Arc<AtomicBool>,
    /// How long one picture may take.
    pub inference_patience: Duration,
}

impl Watchdog {
    /// Watches until the run has ended or something hangs.
    ///
    /// A stop closes the way to the trigger thread, so that lines go safe at once. If
    /// inference hangs they do so as well. If the trigger thread hangs, its pins are
    /// taken from it and driven safe.
    ///
    /// # Errors
    /// [`PipelineError::Hung`], naming the thread.
    pub fn watch(&self) -> Result<(), PipelineError> {
        let (mut trigger, mut inference) = (Overdue::default(), Overdue::default());
        let mut closed = false;
        while !self.ended.load(Ordering::SeqCst) {
            thread::sleep(TICK);
            if self.stop.load(Ordering::Relaxed) && !closed {
                self.cut_off();
                closed = true;
            }
            let now = clock::now();
            if trigger.look(&self.control.trigger, now) >= looks(TRIGGER_PATIENCE) {
                self.cut_off();
                return Err(PipelineError::Hung {
                    thread: "trigger",
                    patience: TRIGGER_PATIENCE,
                    left: self.control.revoke(),
                });
            }
            if inference.look(&self.control.inference, now) >= looks(self.inference_patience) {
                self.cut_off();
                return Err(PipelineError::Hung {
                    thread: "inference",
                    patience: self.inference_patience,
                    left: "the lines go safe".into(),
                });
            }
        }
        Ok(())
    }

    /// No frame reaches inference any more and no result the lines.
    fn cut_off(&self) {
        self.links.frames.close();
        self.links.outcomes.close();
    }
}

fn looks(patience: Duration) -> u32 {
    let looks = patience.as_millis() / TICK.as_millis();
    u32::try_from(looks).unwrap_or(u32::MAX)
}
