//! Threads that share one operation's work: a kernel's, or a step of the CRF.
//!
//! The caller works too, and waits only for threads that have begun: one that wakes
//! late finds nothing left to do. Between two operations the threads look out for the
//! next one for some microseconds before they sleep.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Most threads, the caller included.
pub const MAX_THREADS: usize = 64;

/// How often a thread looks for work before it sleeps, and the caller for the end of
/// it before it lets others have the processor.
const LOOKS: u32 = 10_000;

/// Set in [`Shared::state`] while threads may join the job.
const OPEN: u64 = 1 << 31;
/// One job more.
const NEXT: u64 = 1 << 32;
/// The part of the state that counts threads at work.
const JOINED: u64 = OPEN - 1;

/// A job: called once by each thread that joins, with the thread's number.
type Job = *const (dyn Fn(usize) + Sync);

struct Shared {
    /// Number of the job, whether it is open, how many threads are at work on it.
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    /// Threads that sleep, or are about to.
    sleeping: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
    stop: AtomicBool,
    panicked: AtomicBool,
}

// SAFETY: `job` is written by the one owner of `Workers`, while the state says that no
// thread is at work and none may join; threads read it between joining and leaving.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is only used as above.
unsafe impl Send for Shared {}

/// A fixed number of threads.
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `threads - 1` threads; the caller is the last one. At most
    /// [`MAX_THREADS`], at least one.
    ///
    /// # Errors
    /// The system's, where it gives no more threads.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let mut workers = Self::alone();
        for number in 1..threads.min(MAX_THREADS) {
            let shared = Arc::clone(&workers.shared);
            let thread = std::thread::Builder::new().name(format!("kernels {number}"));
            workers
                .threads
                .push(thread.spawn(move || shared.work(number))?);
        }
        Ok(workers)
    }

    /// The caller and no other thread.
    pub fn alone() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: AtomicU64::new(0),
                job: UnsafeCell::new(None),
                sleeping: AtomicUsize::new(0),
                lock: Mutex::new(()),
                wake: Condvar::new(),
                stop: AtomicBool::new(false),
                panicked: AtomicBool::new(false),
            }),
            threads: Vec::new(),
        }
    }

    /// Number of threads, the caller included.
    pub fn count(&self) -> usize {
        self.threads.len() + 1
    }

    /// Calls `work` once for each of `tasks`, on any thread, with a state that no other
    /// thread has at the time. Returns when all are done.
    ///
    /// # Panics
    /// If there are fewer states than threads; if `work` does.
    pub fn for_each<S: Send, T: Send>(
        &mut self,
        states: &mut [S],
        tasks: &mut [T],
        work: impl Fn(&mut S, &mut T) + Sync,
    ) {
        assert!(states.len() >= self.count(), "a state for each thread");
        if self.threads.is_empty() || tasks.len() <= 1 {
            for task in tasks {
                work(&mut states[0], task);
            }
            return;
        }
        let count = tasks.len();
        let (states, tasks) = (Shares(states.as_mut_ptr()), Shares(tasks.as_mut_ptr()));
        let next = AtomicUsize::new(0);
        self.run(&|number| {
            // SAFETY: `number` is below the number of states, and a thread joins a job
            // once, so this is the only reference to the state.
            let state = unsafe { &mut *states.at(number) };
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                // SAFETY: the index is within the tasks, and each is given out once.
                work(state, unsafe { &mut *tasks.at(index) });
            }
        });
    }

    /// Has `job` called by this thread and by all that join before it is done here.
    fn run(&mut self, job: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.shared;
        shared.panicked.store(false, Ordering::Relaxed);
        // SAFETY: only the lifetime changes. No thread uses the pointer after `close`
        // below, which outlives no borrow of `job`, even where `job` panics.
        let job_pointer: Job = unsafe { std::mem::transmute(job) };
        // SAFETY: the job before is closed, so no thread reads this now.
        unsafe { *shared.job.get() = Some(job_pointer) };
        let number = (shared.state.load(Ordering::Relaxed) / NEXT).wrapping_add(1);
        shared
            .state
            .store(number.wrapping_mul(NEXT) | OPEN, Ordering::SeqCst);
        if shared.sleeping.load(Ordering::SeqCst) > 0 {
            let _guard = shared.lock();
            shared.wake.notify_all();
        }
        let close = Close(shared);
        job(0);
        drop(close);
        if shared.panicked.load(Ordering::Relaxed) {
            panic!("work panicked in another thread");
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workers({})", self.count())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        {
            let _guard = self.shared.lock();
            self.shared.wake.notify_all();
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Closes a job and waits until no thread is at work on it.
struct Close<'a>(&'a Shared);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while self.0.state.load(Ordering::Acquire) & JOINED > 0 {
            look(&mut looks);
        }
    }
}

/// A pause; after many of them other threads get the processor.
fn look(looks: &mut u32) {
    if *looks < LOOKS {
        *looks += 1;
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// Elements that threads share out among themselves.
struct Shares<T>(*mut T);

// SAFETY: whoever takes an element from another thread promises to be its only user.
unsafe impl<T: Send> Sync for Shares<T> {}

impl<T> Shares<T> {
    /// Element `index`.
    ///
    /// # Safety
    /// It is within the slice.
    unsafe fn at(&self, index: usize) -> *mut T {
        // SAFETY: the caller promises it.
        unsafe { self.0.add(index) }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What thread `number` does until it is told to stop.
    fn work(&self, number: usize) {
        let mut last = 0;
        while let Some(state) = self.next(last) {
            last = state / NEXT;
            // Joins unless the job was closed, or another has come, meanwhile.
            let joined = self
                .state
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                    (now & OPEN > 0 && now / NEXT == last).then_some(now + 1)
                });
            if joined.is_err() {
                continue;
            }
            // SAFETY: the job is open and this thread has joined, so the pointer was
            // written for this job and its owner waits until this thread leaves.
            let job = unsafe { (*self.job.get()).map(|job| &*job) };
            if let Some(job) = job
                && catch_unwind(AssertUnwindSafe(|| job(number))).is_err()
            {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.state.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The state of an open job after number `last`; `None` where it is time to stop.
    fn next(&self, last: u64) -> Option<u64> {
        let open = || {
            let state = self.state.load(Ordering::SeqCst);
            (state & OPEN > 0 && state / NEXT != last).then_some(state)
        };
        loop {
            for _ in 0..LOOKS {
                if let Some(state) = open() {
                    return Some(state);
                }
                std::hint::spin_loop();
            }
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            let guard = self.lock();
            self.sleeping.fetch_add(1, Ordering::SeqCst);
            // Whoever opens a job from here on sees a sleeper, and wakes it under the
            // lock.
            if open().is_none() && !self.stop.load(Ordering::SeqCst) {
                drop(
                    self.wake
                        .wait(guard)
                        .unwrap_or_else(PoisonError::into_inner),
                );
            }
            self.sleeping.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_task_is_done_once_by_any_number_of_threads() {
        for threads in 1..=4 {
            let mut workers = Workers::new(threads).unwrap();
            assert_eq!(workers.count(), threads);
            let mut sums = vec![0u64; threads];
            for round in 0..2000u64 {
                let mut tasks: Vec<u64> = (0..round % 37).collect();
                workers.for_each(&mut sums, &mut tasks, |sum, task| {
                    *sum += *task;
                    *task += 1000;
                });
                assert!(
                    tasks
                        .iter()
                        .copied()
                        .eq((0..round % 37).map(|task| task + 1000))
                );
            }
            let total: u64 = (0..2000u64).map(|round| (0..round % 37).sum::<u64>()).sum();
            assert_eq!(sums.iter().sum::<u64>(), total);
        }
    }

    #[test]
    fn threads_that_slept_wake_for_the_next_job() {
        let mut workers = Workers::new(3).unwrap();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(3));
            let mut tasks = [0; 3];
            // Each waits for the others to begin, so all three threads have to come.
            let begun = AtomicUsize::new(0);
            workers.for_each(&mut [(); 3], &mut tasks, |(), task| {
                begun.fetch_add(1, Ordering::SeqCst);
                while begun.load(Ordering::SeqCst) < 3 {
                    std::thread::yield_now();
                }
                *task = 1;
            });
            assert_eq!(tasks, [1; 3]);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_threads_go_on() {
        let mut workers = Workers::new(2).unwrap();
        for bad in 0..8 {
            let mut tasks: Vec<usize> = (0..8).collect();
            let result = catch_unwind(AssertUnwindSafe(|| {
                workers.for_each(&mut [(); 2], &mut tasks, |(), task| {
                    assert!(*task != bad, "task {bad}");
                });
            }));
            assert!(result.is_err());
        }
        let mut tasks = [1, 2, 3];
        workers.for_each(&mut [(); 2], &mut tasks, |(), task| *task *= 2);
        assert_eq!(tasks, [2, 4, 6]);
    }
}
