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
use crate::guard;
use crate::kernels::cpu::Cpu;
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

/// The thread that holds the lines.
const TRIGGER: &str = "trigger";

/// How often the supervisor looks around.
const TICK: Duration = Duration::from_millis(20);

/// Everything a run is made from.
pub struct Parts {
    /// Where frames come from.
    pub source: Box<dyn FrameSource>,
    /// The model.
    pub segmenter: Box<dyn Segmenter>,
    /// The kernels for what is around the model.
    pub cpu: Cpu,
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
/// `stop` is set. `observe` is called about once a second and at the end.
///
/// When it returns, or unwinds from a panic in `observe`, every line has gone safe.
/// A stop, and with a live source a failure, does not wait for the picture that
/// the model is working on: the lines go safe at once.
///
/// # Errors
/// The first thing that failed.
pub fn run(
    parts: Parts,
    stop: &Arc<AtomicBool>,
    observe: &mut dyn FnMut(&Snapshot),
) -> Result<Counters, PipelineError> {
    let live = parts.source.info().pace == Pace::Live;
    let links = Links::new(live, parts.sinks.iter().any(|s| s.wants_every_result()));
    let stats = Arc::new(Stats::default());
    let actuator = Actuator::new(&parts.rules, parts.pins)?;
    let mut worker = Worker::new(
        parts.segmenter,
        parts.fit,
        &parts.classes,
        parts.min_area,
        parts.rules,
    )
    .with_cpu(parts.cpu)
    .with_picture(parts.sinks.iter().any(|sink| sink.wants_picture()));

    let mut threads = Threads::new(links.clone(), Arc::clone(stop));
    {
        let (links, mut sinks, classes) = (links.clone(), parts.sinks, parts.classes);
        threads.start("sink", move || {
            delivery::deliver(
                &mut sinks,
                &classes,
                &links.delivered,
                &links.spare_outcomes,
            )
            .map_err(Into::into)
        })?;
    }
    {
        let (links, stats) = (links.clone(), Arc::clone(&stats));
        threads.start(TRIGGER, move || actuator.drive(&links, &stats))?;
    }
    {
        let (links, stats, limit) = (links.clone(), Arc::clone(&stats), parts.frames);
        threads.start("inference", move || worker.work(&links, &stats, limit))?;
    }
    {
        let (links, stats, stop) = (links.clone(), Arc::clone(&stats), Arc::clone(stop));
        let mut source = parts.source;
        threads.start("capture", move || {
            capture::drain(source.as_mut(), &links, &stats, &stop).map_err(Into::into)
        })?;
    }

    let mut next_report = Instant::now() + Duration::from_secs(1);
    let mut ending_since = None;
    while threads.any_running_but("capture") {
        thread::sleep(TICK);
        threads.reap();
        let stopped = stop.load(Ordering::Relaxed);
        if stopped || threads.failed() {
            links.frames.close();
            let since: Instant = *ending_since.get_or_insert_with(Instant::now);
            if stopped || live || since.elapsed() > PATIENCE {
                links.outcomes.close();
            }
            if since.elapsed() > PATIENCE {
                break;
            }
        }
        if Instant::now() >= next_report {
            observe(&stats.snapshot());
            next_report += Duration::from_secs(1);
        }
    }
    threads.finish();
    // A frame that no one took is one that came too late to matter.
    while links.frames.take().is_some() {
        stats.count(|c| c.superseded += 1);
    }
    observe(&stats.snapshot());
    threads.result().map(|()| stats.counters())
}

/// The mailboxes between the threads of one run.
#[derive(Clone)]
pub struct Links {
    /// From capture to the worker.
    frames: Arc<Mailbox<Frame>>,
    /// Used frames, on their way back to capture.
    spare_frames: Arc<Mailbox<Frame>>,
    /// From the worker to the actuator.
    outcomes: Arc<Mailbox<Box<Outcome>>>,
    /// From the actuator to the sinks.
    delivered: Arc<Mailbox<Box<Outcome>>>,
    /// Used outcomes, on their way back to the worker.
    spare_outcomes: Arc<Mailbox<Box<Outcome>>>,
}

impl Links {
    /// With a `live` source the newest value wins. `keep_all` tells that a sink
    /// wants every result.
    fn new(live: bool, keep_all: bool) -> Self {
        let (replace, wait) = (WhenFull::Replace, WhenFull::Wait);
        let waiting_for_sinks = match (keep_all, live) {
            (false, _) => 1,
            (true, true) => OUTCOMES - OUTCOMES_AT_WORK,
            // Room for all: nothing is ever displaced, the worker waits instead.
            (true, false) => OUTCOMES,
        };
        let links = Self {
            frames: Arc::new(Mailbox::new(1, if live { replace } else { wait })),
            spare_frames: Arc::new(Mailbox::new(4, replace)),
            outcomes: Arc::new(Mailbox::new(1, wait)),
            delivered: Arc::new(Mailbox::new(waiting_for_sinks, replace)),
            spare_outcomes: Arc::new(Mailbox::new(OUTCOMES, replace)),
        };
        for _ in 0..OUTCOMES {
            links.spare_outcomes.put(Box::default());
        }
        links
    }

    fn close(&self) {
        self.frames.close();
        self.outcomes.close();
        self.delivered.close();
        self.spare_frames.close();
        self.spare_outcomes.close();
    }
}

type Ending = Result<(), PipelineError>;

/// The threads of a run, and the first error among those that ended.
///
/// However the supervisor leaves, it does not leave before the trigger thread has
/// ended, and with it the lines are safe.
struct Threads {
    running: Vec<(&'static str, JoinHandle<Ending>)>,
    error: Option<PipelineError>,
    links: Links,
    stop: Arc<AtomicBool>,
}

impl Threads {
    fn new(links: Links, stop: Arc<AtomicBool>) -> Self {
        Self {
            running: Vec::new(),
            error: None,
            links,
            stop,
        }
    }

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
        let (ended, running) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|(_, handle)| handle.is_finished());
        self.running = running;
        let ended: Vec<(&'static str, JoinHandle<Ending>)> = ended;
        for (name, handle) in ended {
            let ending = handle.join().unwrap_or_else(|panic| {
                Err(PipelineError::Internal {
                    thread: name,
                    reason: guard::panic_text(panic.as_ref()),
                })
            });
            if let Err(error) = ending {
                self.error.get_or_insert(error);
            }
        }
    }

    /// Tells every thread to end, and waits: without limit for the trigger thread,
    /// which holds the lines and waits for nobody; not for ever for the others.
    fn finish(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.any_running_but("capture") {
            self.links.close();
        }
        self.links.frames.close();
        let deadline = Instant::now() + PATIENCE;
        self.reap();
        while self.running.iter().any(|(name, _)| *name == TRIGGER)
            || (!self.running.is_empty() && Instant::now() < deadline)
        {
            thread::sleep(TICK);
            self.reap();
        }
        for (name, _) in self.running.drain(..) {
            log::warn!("the {name} thread hangs; the program ends without it");
        }
    }

    fn result(mut self) -> Ending {
        self.error.take().map_or(Ok(()), Err)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if !self.running.is_empty() {
            self.links.close();
            self.finish();
        }
    }
}
