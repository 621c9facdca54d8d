//! The threads of a run and what passes between them.
//!
//! ```text
//! source ─frames─> worker ─outcomes─> actuator ─delivered─> sinks
//!    └── capture thread                  └── drives the GPIO lines
//! ```
//! Frames and outcomes travel in boxes that circulate: an empty one goes back to
//! where it came from. With a live source the newest wins everywhere; with
//! pictures and streams every one is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::classes::Classes;
use crate::config::CompiledRule;
use crate::engine::{EngineError, Segmenter};
use crate::frame::Frame;
use crate::gpio::Pin;
use crate::preprocess::Fit;
use crate::sink::{Counters, Outcome, Sink, SinkError};
use crate::source::{FrameSource, Pace, SourceError};

pub mod actuator;
pub mod capture;
pub mod delivery;
pub mod mailbox;
pub mod stats;
pub mod worker;

use actuator::Actuator;
use mailbox::{Mailbox, WhenFull};
use stats::{Snapshot, Stats};
use worker::Worker;

/// Outcomes that circulate.
const OUTCOMES: usize = 8;

/// Of these, how many can be with the worker, on the way, with the actuator and
/// with a sink at the same time. So many fewer may wait for a sink if a slow one
/// is not to hold up inference.
const OUTCOMES_AT_WORK: usize = 4;

/// How long a thread may take to end after it was told to. A source that hangs
/// in a read of a pipe cannot be woken; the process ends without it.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often the supervisor looks around.
const TICK: Duration = Duration::from_millis(20);

/// Everything a run is made from.
pub struct Parts {
    /// Where frames come from.
    pub source: Box<dyn FrameSource>,
    /// The model.
    pub segmenter: Box<dyn Segmenter>,
    /// How pictures are fitted into the model's input.
    pub fit: Fit,
    /// The model's classes.
    pub classes: Classes,
    /// Rules, each with the pin at its index.
    pub rules: Vec<CompiledRule>,
    /// One pin for each rule.
    pub pins: Vec<Pin>,
    /// Where results go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Stop after this many results.
    pub frames: Option<u64>,
    /// Smallest region kept, in source pixels; 0 keeps all.
    pub min_area: u32,
}

/// What ended a run early.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A sink failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A line could not be driven.
    #[error("rule '{rule}': {reason}")]
    Gpio {
        /// The rule.
        rule: String,
        /// The line and the cause.
        reason: String,
    },
    /// A thread could not start, or panicked: a fault of this program.
    #[error("internal fault in the {thread} thread: {reason}; please report it")]
    Internal {
        /// The thread.
        thread: &'static str,
        /// What it said.
        reason: String,
    },
}

/// Runs until the source ends, enough results were made, something fails, or
/// `stop` is set. Lines are safe when it returns. `observe` is called about once
/// a second and at the end.
///
/// # Errors
/// The first thing that failed.
pub fn run(
    parts: Parts,
    stop: &Arc<AtomicBool>,
    observe: &mut dyn FnMut(&Snapshot),
) -> Result<Counters, PipelineError> {
    let live = parts.source.info().pace == Pace::Live;
    let when_full = if live {
        WhenFull::Replace
    } else {
        WhenFull::Wait
    };
    let frames = Arc::new(Mailbox::<Frame>::new(1, when_full));
    let spare_frames = Arc::new(Mailbox::<Frame>::new(4, WhenFull::Replace));
    let outcomes = Arc::new(Mailbox::<Box<Outcome>>::new(1, WhenFull::Wait));
    let keep_all = parts.sinks.iter().any(|s| s.wants_every_result());
    let queue = match (keep_all, live) {
        (false, _) => 1,
        (true, true) => OUTCOMES - OUTCOMES_AT_WORK,
        // Room for all: nothing is ever displaced, the worker waits instead.
        (true, false) => OUTCOMES,
    };
    let delivered = Arc::new(Mailbox::<Box<Outcome>>::new(queue, WhenFull::Replace));
    let spare_outcomes = Arc::new(Mailbox::<Box<Outcome>>::new(OUTCOMES, WhenFull::Replace));
    for _ in 0..OUTCOMES {
        spare_outcomes.put(Box::default());
    }
    let stats = Arc::new(Stats::default());
    let actuator = Actuator::new(&parts.rules, parts.pins)?;

    let mut threads = Threads::default();
    {
        let (delivered, spare) = (Arc::clone(&delivered), Arc::clone(&spare_outcomes));
        let (mut sinks, classes) = (parts.sinks, parts.classes.clone());
        threads.start("sink", move || {
            delivery::deliver(&mut sinks, &classes, &delivered, &spare).map_err(Into::into)
        })?;
    }
    {
        let (outcomes, delivered, spare, stats) = (
            Arc::clone(&outcomes),
            Arc::clone(&delivered),
            Arc::clone(&spare_outcomes),
            Arc::clone(&stats),
        );
        threads.start("trigger", move || {
            actuator.drive(&outcomes, &delivered, &spare, &stats)
        })?;
    }
    {
        let mut worker = Worker::new(
            parts.segmenter,
            parts.fit,
            &parts.classes,
            parts.min_area,
            parts.rules,
        );
        let (frames, spare_frames, outcomes, spare_outcomes, stats) = (
            Arc::clone(&frames),
            Arc::clone(&spare_frames),
            Arc::clone(&outcomes),
            Arc::clone(&spare_outcomes),
            Arc::clone(&stats),
        );
        let limit = parts.frames;
        threads.start("inference", move || {
            worker.work(
                &frames,
                &spare_frames,
                &outcomes,
                &spare_outcomes,
                &stats,
                limit,
            )
        })?;
    }
    {
        let (frames, stats, stop) = (Arc::clone(&frames), Arc::clone(&stats), Arc::clone(stop));
        let mut source = parts.source;
        threads.start("capture", move || {
            capture::drain(source.as_mut(), &frames, &spare_frames, &stats, &stop)
                .map_err(Into::into)
        })?;
    }

    let mut next_report = Instant::now() + Duration::from_secs(1);
    let mut stopped_at = None;
    while threads.any_running_but("capture") {
        thread::sleep(TICK);
        threads.reap();
        if threads.failed() || stop.load(Ordering::Relaxed) {
            // From the front to the back, so that what is under way is finished
            // and the last thing that happens is that the lines go safe.
            frames.close();
            let since = *stopped_at.get_or_insert_with(Instant::now);
            if since.elapsed() > PATIENCE {
                break;
            }
        }
        if Instant::now() >= next_report {
            observe(&stats.snapshot());
            next_report += Duration::from_secs(1);
        }
    }
    stop.store(true, Ordering::Relaxed);
    threads.finish(PATIENCE);
    observe(&stats.snapshot());
    threads.result().map(|()| stats.counters())
}

type Ending = Result<(), PipelineError>;

/// The threads of a run, and the first error among those that ended.
#[derive(Default)]
struct Threads {
    running: Vec<(&'static str, JoinHandle<Ending>)>,
    error: Option<PipelineError>,
}

impl Threads {
    fn start(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Ending + Send + 'static,
    ) -> Result<(), PipelineError> {
        let handle = thread::Builder::new().name(name.into()).spawn(work);
        let handle = handle.map_err(|e| PipelineError::Internal {
            thread: name,
            reason: e.to_string(),
        })?;
        self.running.push((name, handle));
        Ok(())
    }

    fn any_running_but(&self, name: &str) -> bool {
        self.running.iter().any(|(n, _)| *n != name)
    }

    fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Collects the threads that have ended.
    fn reap(&mut self) {
        let mut i = 0;
        while i < self.running.len() {
            if !self.running[i].1.is_finished() {
                i += 1;
                continue;
            }
            let (name, handle) = self.running.remove(i);
            let ending = handle.join().unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                let reason = text.unwrap_or("unknown cause").to_owned();
                Err(PipelineError::Internal {
                    thread: name,
                    reason,
                })
            });
            if let Err(error) = ending {
                self.error.get_or_insert(error);
            }
        }
    }

    /// Waits for the rest, but not for ever.
    fn finish(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.reap();
        while !self.running.is_empty() && Instant::now() < deadline {
            thread::sleep(TICK);
            self.reap();
        }
        for (name, _) in &self.running {
            log::debug!("the {name} thread did not end in time");
        }
    }

    fn result(self) -> Ending {
        self.error.map_or(Ok(()), Err)
    }
}
