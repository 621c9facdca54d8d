//! The threads of a run and what passes between them.
//!
//! ```text
//! source ─frames─> worker ─outcomes─> actuator ─delivered─> sinks
//!    └── capture thread                  └── drives the GPIO lines
//! watchdog: sees that no thread hangs      caller's thread: supervisor, log, figures
//! ```
//! Frames and outcomes travel in boxes that circulate: an empty one goes back to
//! where it came from. With a live source the newest wins everywhere; with
//! pictures and streams every one is waited for.
//!
//! Whatever happens has one answer, lines at their safe levels: no result in time
//! (the trigger thread waits with a deadline), an error or a panic of any thread and
//! a stop (mailboxes close, and the trigger thread goes), an inference thread that
//! hangs (the watchdog closes the mailboxes), a trigger thread that hangs (the
//! watchdog takes the pins from it). An error of the model ends a run, with a live
//! source too: it concerns the model or the memory, and the next frame would meet
//! the same. A pin that cannot be driven is tried again for
//! [`PIN_PATIENCE`](control::PIN_PATIENCE), and then the run ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::classes::Classes;
use crate::config::CompiledRule;
use crate::config::settings::DEFAULT_WATCHDOG_MS;
use crate::engine::refine::Refiner;
use crate::engine::{EngineError, Segmenter};
use crate::frame::Frame;
use crate::gpio::Pin;
use crate::guard;
use crate::kernels::cpu::Cpu;
use crate::postprocess::crf::CrfError;
use crate::postprocess::free_space;
use crate::preprocess::Fit;
use crate::realtime::{Realtime, Role};
use crate::sink::{Counters, Outcome, Sink, SinkError};
use crate::source::{FrameSource, Pace, SourceError};
use crate::trigger::HeartbeatSpec;

pub mod actuator;
pub mod capture;
pub mod control;
pub mod delivery;
pub mod fleet;
mod guarded_pin;
pub mod histogram;
pub mod journal;
pub mod mailbox;
mod mosaic;
pub mod progress;
mod reload;
pub mod rule_set;
pub mod stats;
mod sync;
mod tiler;
pub mod turns;
mod watchdog;
pub mod worker;

pub use reload::{OpenPin, Reload};

use control::Control;
use mailbox::{Mailbox, WhenFull};
use stats::{Snapshot, Stats};
use turns::Turns;
use watchdog::Watchdog;
use worker::Worker;

/// Frames that circulate, besides the one that capture fills: one on the way, one with
/// the worker, and one to be taken while these are away.
const FRAMES: usize = 3;

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

/// The thread that waits for the source, which may hang in a read.
const CAPTURE: &str = "capture";

/// The thread that watches the others, and ends last.
const WATCHDOG: &str = "watchdog";

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
    /// Masks that vote over each pixel; 1 for no vote.
    pub vote: u32,
    /// Pixels by which the tiles of a larger picture overlap (horizontally, vertically),
    /// each less than the model's side; none fits the whole picture into the model's input.
    pub tile: Option<(u32, u32)>,
    /// What is measured of the free ground.
    pub free_space: Option<free_space::Plan>,
    /// What refines the masks, if anything.
    pub crf: Option<Refiner>,
    /// A pin that toggles with fresh results, and the least time between two edges.
    pub heartbeat: Option<(Pin, HeartbeatSpec)>,
    /// How long one picture may take; a run that is stuck in one for longer ends.
    pub watchdog: Duration,
    /// How rules are read anew, where they can be.
    pub reload: Option<Reload>,
    /// What the run is called in the log, where there are several.
    pub name: Option<String>,
    /// The turns at the model, where others use it as well.
    pub turns: Option<Arc<Turns>>,
    /// What the scheduler has granted.
    pub realtime: Realtime,
}

impl Parts {
    /// What a run cannot do without: everything else as it is where nobody asks for more.
    pub fn new(
        source: Box<dyn FrameSource>,
        segmenter: Box<dyn Segmenter>,
        classes: Classes,
    ) -> Self {
        Self {
            source,
            segmenter,
            cpu: Cpu::detect(),
            fit: Fit::Stretch,
            classes,
            rules: Vec::new(),
            pins: Vec::new(),
            sinks: Vec::new(),
            frames: None,
            min_area: 0,
            vote: 1,
            tile: None,
            free_space: None,
            crf: None,
            heartbeat: None,
            watchdog: Duration::from_millis(DEFAULT_WATCHDOG_MS),
            reload: None,
            name: None,
            turns: None,
            realtime: Realtime::default(),
        }
    }
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
    /// A picture cannot be refined.
    #[error(transparent)]
    Crf(#[from] CrfError),
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
    /// A thread makes no progress.
    #[error(
        "the {thread} thread has made no progress for {patience:?}; {left}. \
         Where a picture may take so long, raise watchdog_ms; otherwise please report it"
    )]
    Hung {
        /// The thread.
        thread: &'static str,
        /// How long was waited.
        patience: Duration,
        /// What became of the lines.
        left: String,
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

impl PipelineError {
    /// A fault of this program.
    fn internal(thread: &'static str, reason: String) -> Self {
        Self::Internal { thread, reason }
    }
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
    let control = Control::new(parts.rules, parts.pins, parts.heartbeat)?;
    let control = Arc::new(control.named(parts.name.as_deref()));
    let mut worker = Worker::new(parts.segmenter, parts.fit, &parts.classes, parts.min_area)
        .with_cpu(parts.cpu)
        .with_vote(parts.vote)
        .with_tiles(parts.tile)
        .with_free_space(parts.free_space)
        .with_crf(parts.crf)
        .with_picture(parts.sinks.iter().any(|sink| sink.wants_picture()))
        .with_turns(parts.turns);

    let mut threads = Threads::new(
        links.clone(),
        Arc::clone(&control),
        Arc::clone(stop),
        parts.realtime,
    );
    {
        let watchdog = Watchdog {
            control: Arc::clone(&control),
            links: links.clone(),
            stop: Arc::clone(stop),
            ended: Arc::clone(&threads.ended),
            inference_patience: parts.watchdog,
        };
        threads.start(WATCHDOG, Role::Watchdog, move || watchdog.watch())?;
    }
    {
        let (links, mut sinks, classes) = (links.clone(), parts.sinks, parts.classes);
        threads.start("sink", Role::Other, move || {
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
        let (control, stop) = (Arc::clone(&control), Arc::clone(stop));
        threads.start(TRIGGER, Role::Trigger, move || {
            actuator::drive(&control, &links, &stats, &stop)
        })?;
    }
    {
        let (links, stats, limit) = (links.clone(), Arc::clone(&stats), parts.frames);
        let control = Arc::clone(&control);
        threads.start("inference", Role::Inference, move || {
            worker.work(&control, &links, &stats, limit)
        })?;
    }
    {
        let (links, stats, stop) = (links.clone(), Arc::clone(&stats), Arc::clone(stop));
        let mut source = parts.source;
        threads.start(CAPTURE, Role::Capture, move || {
            capture::drain(source.as_mut(), &links, &stats, &stop).map_err(Into::into)
        })?;
    }

    let mut next_report = Instant::now() + Duration::from_secs(1);
    let mut ending_since = None;
    let mut reload = parts.reload;
    let snapshot = |stats: &Stats| Snapshot {
        state: control.state(),
        ..stats.snapshot()
    };
    while threads.any_working() {
        thread::sleep(TICK);
        threads.reap();
        control.journal.tell();
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
        if let Some(reload) = &mut reload {
            reload.poll(&control);
        }
        if Instant::now() >= next_report {
            observe(&snapshot(&stats));
            next_report += Duration::from_secs(1);
        }
    }
    threads.finish();
    // A frame that no one took is one that came too late to matter.
    while links.frames.take().is_some() {
        stats.count(|c| c.superseded += 1);
    }
    control.stop();
    control.journal.tell();
    observe(&snapshot(&stats));
    threads.result().map(|()| stats.counters())
}

/// The mailboxes between the threads of one run.
#[derive(Clone)]
pub struct Links {
    /// Whether the newest frame matters, not every one.
    live: bool,
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
            live,
            frames: Arc::new(Mailbox::new(1, if live { replace } else { wait })),
            spare_frames: Arc::new(Mailbox::new(4, replace)),
            outcomes: Arc::new(Mailbox::new(1, wait)),
            delivered: Arc::new(Mailbox::new(waiting_for_sinks, replace)),
            spare_outcomes: Arc::new(Mailbox::new(OUTCOMES, replace)),
        };
        for _ in 0..FRAMES {
            links.spare_frames.put(Frame::default());
        }
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
/// ended, and with it the lines are safe, or before they were taken from it.
struct Threads {
    running: Vec<(&'static str, JoinHandle<Ending>)>,
    error: Option<PipelineError>,
    links: Links,
    control: Arc<Control>,
    stop: Arc<AtomicBool>,
    /// Told to the watchdog.
    ended: Arc<AtomicBool>,
    realtime: Arc<Realtime>,
}

impl Threads {
    fn new(links: Links, control: Arc<Control>, stop: Arc<AtomicBool>, realtime: Realtime) -> Self {
        Self {
            running: Vec::new(),
            error: None,
            links,
            control,
            stop,
            ended: Arc::new(AtomicBool::new(false)),
            realtime: Arc::new(realtime),
        }
    }

    fn start(
        &mut self,
        name: &'static str,
        role: Role,
        work: impl FnOnce() -> Ending + Send + 'static,
    ) -> Result<(), PipelineError> {
        let realtime = Arc::clone(&self.realtime);
        let handle = thread::Builder::new().name(name.into()).spawn(move || {
            realtime.enter(role);
            work()
        });
        let handle = handle.map_err(|e| PipelineError::internal(name, e.to_string()))?;
        self.running.push((name, handle));
        Ok(())
    }

    fn is_running(&self, name: &str) -> bool {
        self.running.iter().any(|(n, _)| *n == name)
    }

    /// Whether a thread has something to do that is waited for.
    fn any_working(&self) -> bool {
        self.running
            .iter()
            .any(|(name, _)| ![CAPTURE, WATCHDOG].contains(name))
    }

    fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Collects the threads that have ended.
    fn reap(&mut self) {
        while let Some(at) = self.running.iter().position(|(_, h)| h.is_finished()) {
            let (name, handle) = self.running.swap_remove(at);
            let ending = handle.join().unwrap_or_else(|panic| {
                Err(PipelineError::internal(
                    name,
                    guard::panic_text(panic.as_ref()),
                ))
            });
            if let Err(error) = ending {
                self.error.get_or_insert(error);
            }
        }
    }

    /// Tells every thread to end, and waits, not for ever. A trigger thread that hangs
    /// loses its pins.
    fn finish(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.any_working() {
            self.links.close();
        }
        self.links.frames.close();
        self.wait(|threads| threads.running.iter().all(|(name, _)| *name == WATCHDOG));
        if self.is_running(TRIGGER) {
            let left = self.control.revoke();
            self.error.get_or_insert(PipelineError::Hung {
                thread: TRIGGER,
                patience: PATIENCE,
                left,
            });
        }
        self.ended.store(true, Ordering::SeqCst);
        self.wait(|threads| !threads.is_running(WATCHDOG));
        for (name, _) in self.running.drain(..) {
            log::warn!("the {name} thread hangs; the program ends without it");
        }
    }

    fn wait(&mut self, until: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        self.reap();
        while !until(self) && Instant::now() < deadline {
            thread::sleep(TICK);
            self.reap();
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
