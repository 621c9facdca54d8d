//! Tasks of a step, each done by one of some threads.

use crate::workers::{MAX_THREADS, Workers};

/// Parts of what is split for each thread: some more than one, so that a thread that is
/// held up leaves its share to the others.
const PARTS_PER_THREAD: usize = 3;
/// Most parts.
const MAX_PARTS: usize = 64;
/// Most tasks: two more than something that is split.
const MAX_TASKS: usize = MAX_PARTS + 2;

/// How many of `len` elements are a part, `least` at least: all of them for one thread.
pub fn part(workers: &Workers, len: usize, least: usize) -> usize {
    let parts = match workers.count() {
        1 => 1,
        threads => (threads * PARTS_PER_THREAD).min(MAX_PARTS),
    };
    len.div_ceil(parts).max(least)
}

/// Does `work` once for each task, in any order and at the same time. Those that take
/// long come first.
///
/// # Panics
/// If there are more than two tasks besides the [parts](part) of one thing.
pub fn for_each<T: Send>(
    workers: &mut Workers,
    tasks: impl IntoIterator<Item = T>,
    work: impl Fn(T) + Sync,
) {
    if workers.count() == 1 {
        return tasks.into_iter().for_each(work);
    }
    let mut all: heapless::Vec<Option<T>, MAX_TASKS> = heapless::Vec::new();
    for task in tasks {
        assert!(all.push(Some(task)).is_ok(), "a task too many");
    }
    workers.for_each(&mut [(); MAX_THREADS], &mut all, |(), task| {
        if let Some(task) = task.take() {
            work(task);
        }
    });
}
