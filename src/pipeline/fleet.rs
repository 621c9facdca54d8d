//! Several runs side by side in one process: a camera each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};

use super::stats::Snapshot;
use super::{Parts, PipelineError, TICK, run};
use crate::guard;
use crate::sink::Counters;

/// The thread that looks after one run.
const SUPERVISOR: &str = "supervisor";

/// What a run ended with.
pub type Ending = Result<Counters, PipelineError>;

/// Runs all of them, each with a supervisor of its own, until the last has ended, one
/// has failed, or `stop` is set; then the others end, too, as if stopped. `observe` gets
/// the number of a run and its figures, from several threads.
///
/// A run that comes to its end by itself leaves the others alone. One that fails ends
/// all: part of a machine's eyes is no safe state to go on in, and whoever starts the
/// program can decide otherwise by starting it once for each camera.
///
/// Gives what each ended with, in their order; when it returns, every line is safe.
pub fn run_all(
    runs: Vec<Parts>,
    stop: &AtomicBool,
    observe: &(dyn Fn(usize, &Snapshot, bool) + Sync),
) -> Vec<Ending> {
    // A run sets its own flag when it has ended.
    let stops: Vec<Arc<AtomicBool>> = runs.iter().map(|_| Arc::default()).collect();
    let stop_all = || {
        for stop in &stops {
            stop.store(true, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let mut running: Vec<Option<ScopedJoinHandle<'_, Ending>>> = Vec::new();
        let mut endings: Vec<Option<Ending>> = Vec::new();
        for (index, (parts, stop)) in runs.into_iter().zip(&stops).enumerate() {
            let supervisor = thread::Builder::new().name(format!("{SUPERVISOR} {index}"));
            let started = supervisor.spawn_scoped(scope, move || {
                run(parts, stop, &mut |snapshot| {
                    observe(index, snapshot, stop.load(Ordering::Relaxed));
                })
            });
            match started {
                Ok(handle) => {
                    running.push(Some(handle));
                    endings.push(None);
                }
                Err(error) => {
                    running.push(None);
                    endings.push(Some(Err(PipelineError::internal(
                        SUPERVISOR,
                        error.to_string(),
                    ))));
                }
            }
        }
        while running.iter().any(Option::is_some) {
            let failed = |ending: &Option<Ending>| matches!(ending, Some(Err(_)));
            if stop.load(Ordering::Relaxed) || endings.iter().any(failed) {
                stop_all();
            }
            thread::sleep(TICK);
            for (handle, ending) in running.iter_mut().zip(&mut endings) {
                if let Some(done) = handle.take_if(|h| h.is_finished()) {
                    let panic = |panic: Box<dyn std::any::Any + Send>| {
                        Err(PipelineError::internal(
                            SUPERVISOR,
                            guard::panic_text(panic.as_ref()),
                        ))
                    };
                    *ending = Some(done.join().unwrap_or_else(panic));
                }
            }
        }
        endings.into_iter().flatten().collect()
    })
}
