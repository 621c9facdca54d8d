//! Turns at something that several pipelines share: first come, first served.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often someone who waits looks whether it still wants to.
const LOOK: Duration = Duration::from_millis(20);

/// Who is at work, and who waits in which order.
///
/// A pipeline that has had its turn waits behind all that wait already. With `n`
/// pipelines nobody therefore waits longer than `n - 1` turns.
#[derive(Debug, Default)]
pub struct Turns {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    taken: bool,
    next: u64,
    waiting: VecDeque<u64>,
}

/// The one turn there is. It ends when this is dropped, by a panic as well.
#[derive(Debug)]
pub struct Turn(Arc<Turns>);

impl Turns {
    /// Turns for so many pipelines.
    pub fn new(pipelines: usize) -> Self {
        let turns = Self::default();
        turns.lock().waiting.reserve(pipelines);
        turns
    }

    /// Waits for a turn; none where `given_up` says, on the way, that nobody wants it any
    /// more.
    pub fn take(self: &Arc<Self>, given_up: impl Fn() -> bool) -> Option<Turn> {
        let mut queue = self.lock();
        let number = queue.next;
        queue.next += 1;
        queue.waiting.push_back(number);
        while queue.taken || queue.waiting.front() != Some(&number) {
            if given_up() {
                queue.waiting.retain(|waiting| *waiting != number);
                self.changed.notify_all();
                return None;
            }
            let waited = self.changed.wait_timeout(queue, LOOK);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.waiting.pop_front();
        queue.taken = true;
        Some(Turn(Arc::clone(self)))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().taken = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn nobody_is_overtaken_twice() {
        const PIPELINES: usize = 4;
        let turns = Arc::new(Turns::new(PIPELINES));
        let order = Arc::new(Mutex::new(Vec::new()));
        let at_work = Arc::new(AtomicUsize::new(0));
        let threads = (0..PIPELINES).map(|pipeline| {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            let at_work = Arc::clone(&at_work);
            thread::spawn(move || {
                for _ in 0..50 {
                    let turn = turns.take(|| false).unwrap();
                    assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0);
                    order.lock().unwrap().push(pipeline);
                    // Long enough that the others are waiting when it ends.
                    thread::sleep(Duration::from_millis(1));
                    at_work.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                }
            })
        });
        for thread in threads.collect::<Vec<_>>() {
            thread.join().unwrap();
        }
        let order = order.lock().unwrap();
        // While all four want turns, the same one seldom comes twice in any three: it
        // would have to be first in a queue in which the others stood already. A thread
        // that the system keeps from its place in the queue is not in it.
        let early = &order[..100];
        let unfair = early.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(unfair < 10, "{unfair} times the same one twice: {early:?}");
    }

    #[test]
    fn those_who_wait_are_served_in_the_order_in_which_they_came() {
        let turns = Arc::new(Turns::new(3));
        let first = turns.take(|| false).unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut threads = Vec::new();
        for name in ["b", "c", "d"] {
            let waiting = turns.lock().waiting.len();
            let (turns_of, order) = (Arc::clone(&turns), Arc::clone(&order));
            threads.push(thread::spawn(move || {
                let _turn = turns_of.take(|| false).unwrap();
                order.lock().unwrap().push(name);
            }));
            while turns.lock().waiting.len() == waiting {
                thread::yield_now();
            }
        }
        drop(first);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["b", "c", "d"]);
    }

    #[test]
    fn who_gives_up_leaves_the_queue() {
        let turns = Arc::new(Turns::new(2));
        let held = turns.take(|| false).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let waiter = {
            let (turns, stop) = (Arc::clone(&turns), Arc::clone(&stop));
            thread::spawn(move || turns.take(|| stop.load(Ordering::SeqCst)).is_none())
        };
        while turns.lock().waiting.is_empty() {
            thread::yield_now();
        }
        stop.store(true, Ordering::SeqCst);
        assert!(waiter.join().unwrap());
        drop(held);
        assert!(turns.take(|| true).is_some(), "a free turn is not refused");
    }

    #[test]
    fn a_panic_ends_a_turn() {
        let turns = Arc::new(Turns::new(2));
        let of_thread = Arc::clone(&turns);
        let thread = thread::spawn(move || {
            let _ = crate::guard::contain(|| {
                let _turn = of_thread.take(|| false);
                panic!("on purpose");
            });
        });
        thread.join().unwrap();
        assert!(turns.take(|| false).is_some());
    }
}
