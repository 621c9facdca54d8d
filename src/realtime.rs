//! What the kernel's scheduler is asked for: processors, priorities, memory that stays.
//!
//! All of it is a matter of rights, and none of it of results: a run that is refused
//! something goes on without it and says so, unless it was told to insist.
//!
//! Only threads that wait most of the time get a realtime priority: trigger, watchdog and
//! capture. Inference never does; it would keep a processor from everything else.

use std::thread;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use crate::proc_status;

/// One more than the highest number that a processor may have.
pub const MAX_CORES: usize = CpuSet::MAX_CPU;

/// What must be given to a user's program for a realtime priority.
const PRIORITY_FIX: &str = "a systemd unit has LimitRTPRIO=99 for it; a user a line 'NAME - rtprio 99' in \
     /etc/security/limits.conf";

/// What must be given to a user's program for memory that stays.
const MEMORY_FIX: &str = "a systemd unit has LimitMEMLOCK=infinity for it; a user a line 'NAME - memlock unlimited' in \
     /etc/security/limits.conf";

/// The bit of `CAP_IPC_LOCK` in a set of capabilities (linux/capability.h).
const CAP_IPC_LOCK: u32 = 14;

/// What a run asks for. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Realtime {
    /// Whether all memory, now and later, stays in RAM.
    pub lock_memory: bool,
    /// `SCHED_FIFO` priority of the trigger thread, 2..=98.
    pub priority: Option<u8>,
    /// Processors of the threads that run the model; empty leaves them to the kernel.
    pub inference_cores: Vec<usize>,
    /// Processors of all others; empty leaves them to the kernel.
    pub other_cores: Vec<usize>,
}

/// What a thread is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs the model.
    Inference,
    /// Drives the lines.
    Trigger,
    /// Watches the others.
    Watchdog,
    /// Waits for the source.
    Capture,
    /// Has time: sinks, figures.
    Other,
}

/// What was granted and what was not, a sentence each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What holds from now on.
    pub granted: Vec<String>,
    /// What does not, why, and what to do.
    pub refused: Vec<String>,
}

/// What this process may do, whether or not a run asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The processors that it may use.
    pub cores: Vec<usize>,
    /// Why it gets no realtime priority, and what to do; none where it does.
    pub no_priority: Option<String>,
    /// Why its memory cannot be locked, and what to do; none where it can.
    pub no_lock: Option<String>,
}

impl Realtime {
    /// Asks for all of it, and keeps what was granted for [`enter`](Self::enter). Memory is
    /// locked by this already.
    pub fn request(self) -> (Self, Report) {
        let mut report = Report::default();
        let mut granted = Self::default();
        for (users, cores, kept) in [
            (
                "the model's threads",
                self.inference_cores,
                &mut granted.inference_cores,
            ),
            ("all others", self.other_cores, &mut granted.other_cores),
        ] {
            if cores.is_empty() {
                continue;
            }
            let list = ranges(&cores);
            match on_another_thread(|| may_use(&cores).and_then(|()| confine(&cores))) {
                Ok(()) => {
                    report.granted.push(format!("{users} on processors {list}"));
                    *kept = cores;
                }
                Err(reason) => report.refused.push(format!(
                    "{users} stay on any processor, not on {list}: {reason}"
                )),
            }
        }
        if let Some(priority) = self.priority {
            match on_another_thread(|| be_realtime(priority + 1)) {
                Ok(()) => {
                    report
                        .granted
                        .push(format!("the trigger thread at SCHED_FIFO {priority}"));
                    granted.priority = Some(priority);
                }
                Err(reason) => report
                    .refused
                    .push(format!("no realtime priority: {reason}; {PRIORITY_FIX}")),
            }
        }
        if self.lock_memory {
            match lock_memory() {
                Ok(()) => {
                    report.granted.push("memory locked".into());
                    granted.lock_memory = true;
                }
                Err(reason) => report.refused.push(format!("memory not locked: {reason}")),
            }
        }
        (granted, report)
    }

    /// Gives the calling thread, and those that it starts, what its role has.
    pub fn enter(&self, role: Role) {
        let cores = match role {
            Role::Inference => &self.inference_cores,
            Role::Trigger | Role::Watchdog | Role::Capture | Role::Other => &self.other_cores,
        };
        let priority = self.priority.and_then(|priority| match role {
            Role::Trigger => Some(priority),
            Role::Watchdog => Some(priority + 1),
            Role::Capture => Some(priority - 1),
            Role::Inference | Role::Other => None,
        });
        let confined = if cores.is_empty() {
            Ok(())
        } else {
            confine(cores)
        };
        let raised = priority.map_or(Ok(()), be_realtime);
        // Both were granted to another thread a moment ago.
        for refusal in [confined, raised].into_iter().filter_map(Result::err) {
            log::warn!("the {role:?} thread goes on as an ordinary one: {refusal}");
        }
    }
}

impl Rights {
    /// Finds out by asking, on a thread of its own; nothing stays changed.
    pub fn find() -> Self {
        let tried = on_another_thread(|| be_realtime(1));
        Self {
            cores: allowed_cores(),
            no_priority: tried.err().map(|e| format!("{e}; {PRIORITY_FIX}")),
            no_lock: may_lock().err(),
        }
    }
}

/// Runs something that changes a thread on one that ends afterwards.
fn on_another_thread(change: impl FnOnce() -> Result<(), String> + Send) -> Result<(), String> {
    thread::scope(|scope| {
        let tried = thread::Builder::new().spawn_scoped(scope, change);
        let tried = tried.map_err(|e| e.to_string())?.join();
        tried.unwrap_or_else(|_| Err("an internal fault".into()))
    })
}

/// The kernel takes a list that names some processors which are not there; a user means all.
fn may_use(cores: &[usize]) -> Result<(), String> {
    let allowed = allowed_cores();
    match cores.iter().find(|core| !allowed.contains(core)) {
        None => Ok(()),
        Some(core) => Err(format!(
            "this process has no processor {core}, only {}",
            ranges(&allowed)
        )),
    }
}

fn confine(cores: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).map_err(|e| e.to_string())
}

/// The processors that the calling thread may use.
fn allowed_cores() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_default();
    (0..MAX_CORES).filter(|core| set.is_set(*core)).collect()
}

fn be_realtime(priority: u8) -> Result<(), String> {
    let value = priority.try_into()?;
    set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Crossplatform(value),
        ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo),
    )
    .map_err(|error| match error {
        thread_priority::Error::OS(code) => std::io::Error::from_raw_os_error(code).to_string(),
        other => format!("{other:?}"),
    })
}

fn lock_memory() -> Result<(), String> {
    may_lock()?;
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).map_err(|e| e.to_string())
}

/// With a limit, locking may succeed and any later allocation fail: no right at all is
/// better than that.
fn may_lock() -> Result<(), String> {
    let Some(limit) = getrlimit(Resource::Memlock).current else {
        return Ok(());
    };
    if capabilities(&proc_status::of_this_process()) & (1 << CAP_IPC_LOCK) != 0 {
        return Ok(());
    }
    Err(format!("the limit is {} KiB; {MEMORY_FIX}", limit / 1024))
}

/// The effective capabilities by what `/proc/self/status` says.
fn capabilities(status: &str) -> u64 {
    proc_status::mask(status, "CapEff").unwrap_or(0)
}

/// Numbers as `0-3,6`.
pub fn ranges(cores: &[usize]) -> String {
    let mut sorted = cores.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let runs = sorted.chunk_by(|a, b| a + 1 == *b);
    let runs = runs.filter_map(|run| match run {
        [] => None,
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_as_the_kernel_writes_them() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[3]), "3");
        assert_eq!(ranges(&[2, 0, 1, 6, 1]), "0-2,6");
    }

    #[test]
    fn a_processor_that_is_not_there_is_refused_and_the_rest_granted() {
        let asked = Realtime {
            inference_cores: vec![MAX_CORES - 1],
            other_cores: vec![allowed_cores()[0]],
            ..Realtime::default()
        };
        let (granted, report) = asked.clone().request();
        assert!(granted.inference_cores.is_empty());
        assert_eq!(granted.other_cores, asked.other_cores);
        assert_eq!((report.granted.len(), report.refused.len()), (1, 1));
        let reason = &report.refused[0];
        assert!(reason.contains(&(MAX_CORES - 1).to_string()), "{reason}");
    }

    #[test]
    fn a_thread_gets_the_processors_of_its_role_and_hands_them_on() {
        let core = *allowed_cores().last().unwrap();
        let realtime = Realtime {
            inference_cores: vec![core],
            ..Realtime::default()
        };
        let seen = thread::spawn(move || {
            realtime.enter(Role::Inference);
            let of_child = thread::spawn(|| sched_getaffinity(None).unwrap());
            (sched_getaffinity(None).unwrap(), of_child.join().unwrap())
        });
        let (own, of_child) = seen.join().unwrap();
        assert_eq!((own.count(), own.is_set(core)), (1, true));
        assert_eq!(own, of_child);
    }

    /// The priority of the calling thread, field 40 of its `stat` (proc(5)).
    fn priority() -> u8 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        after_name
            .split_whitespace()
            .nth(37)
            .unwrap()
            .parse()
            .unwrap()
    }

    #[test]
    fn the_trigger_stands_between_watchdog_and_capture() {
        let asked = Realtime {
            priority: Some(40),
            ..Realtime::default()
        };
        let (granted, report) = asked.request();
        if let Some(reason) = report.refused.first() {
            eprintln!("skipped: {reason}");
            return;
        }
        for (role, expected) in [
            (Role::Watchdog, 41),
            (Role::Trigger, 40),
            (Role::Capture, 39),
            (Role::Inference, 0),
            (Role::Other, 0),
        ] {
            let granted = granted.clone();
            let seen = thread::spawn(move || {
                granted.enter(role);
                priority()
            });
            assert_eq!(seen.join().unwrap(), expected, "{role:?}");
        }
    }

    #[test]
    fn capabilities_are_read_as_the_kernel_writes_them() {
        let status = "Name:\tatrous\nCapEff:\t0000000000004000\n";
        assert_eq!(capabilities(status), 1 << CAP_IPC_LOCK);
        assert_eq!(capabilities("Name:\tatrous"), 0);
    }

    #[test]
    fn rights_are_found_without_a_change() {
        let before = (sched_getaffinity(None).unwrap(), priority());
        assert!(!Rights::find().cores.is_empty());
        assert_eq!(before, (sched_getaffinity(None).unwrap(), priority()));
    }
}
