//! Handing values from one thread to the next.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use super::sync::{Condvar, Mutex, MutexGuard};
use crate::clock;

/// What a full mailbox does with a further value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest value makes room: the newest matters.
    Replace,
    /// The sender waits: every value matters.
    Wait,
}

/// What became of a value that was put in.
#[derive(Debug, PartialEq, Eq)]
pub enum Put<T> {
    /// It is in the mailbox.
    Stored,
    /// It is in the mailbox and this one left it unread.
    Displaced(T),
    /// The mailbox is closed; here it is back.
    Closed(T),
}

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// The oldest value.
    Value(T),
    /// None came before the deadline.
    TimedOut,
    /// None will come any more.
    Closed,
}

/// A small bounded queue between threads. After [`close`](Mailbox::close) the
/// values inside can still be taken.
#[derive(Debug)]
pub struct Mailbox<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
    when_full: WhenFull,
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    closed: bool,
}

impl<T> Mailbox<T> {
    /// An empty mailbox for up to `capacity` values, at least one.
    pub fn new(capacity: usize, when_full: WhenFull) -> Self {
        let capacity = capacity.max(1);
        let state = State {
            queue: VecDeque::with_capacity(capacity),
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            capacity,
            when_full,
        }
    }

    /// Puts a value in, waiting for room where the mailbox is told to.
    pub fn put(&self, value: T) -> Put<T> {
        let mut state = self.lock();
        while !state.closed
            && self.when_full == WhenFull::Wait
            && state.queue.len() >= self.capacity
        {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Put::Closed(value);
        }
        let displaced = if state.queue.len() >= self.capacity {
            state.queue.pop_front()
        } else {
            None
        };
        state.queue.push_back(value);
        drop(state);
        self.changed.notify_all();
        displaced.map_or(Put::Stored, Put::Displaced)
    }

    /// Takes the oldest value, waiting for one; `None` once closed and empty.
    pub fn take(&self) -> Option<T> {
        match self.take_until(None) {
            Taken::Value(value) => Some(value),
            Taken::TimedOut | Taken::Closed => None,
        }
    }

    /// As [`take`](Mailbox::take), but waits no longer than until `deadline` on
    /// [`clock::now`]'s clock.
    pub fn take_until(&self, deadline: Option<Duration>) -> Taken<T> {
        let mut state = self.lock();
        loop {
            if let Some(value) = state.queue.pop_front() {
                drop(state);
                self.changed.notify_all();
                return Taken::Value(value);
            }
            if state.closed {
                return Taken::Closed;
            }
            state = match deadline {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_sub(clock::now());
                    if left.is_zero() {
                        return Taken::TimedOut;
                    }
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Lets no further value in and wakes everyone who waits.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether no further value will come in; some may still be inside.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// A value of this type is always whole, so a panic of another thread while
    /// it held the lock does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a mailbox when dropped: also when its thread panics.
pub struct CloseOnDrop<'a, T>(pub &'a Mailbox<T>);

impl<T> Drop for CloseOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn the_newest_value_wins() {
        let mailbox = Mailbox::new(1, WhenFull::Replace);
        assert_eq!(mailbox.put(1), Put::Stored);
        assert_eq!(mailbox.put(2), Put::Displaced(1));
        assert_eq!(mailbox.take(), Some(2));
        assert_eq!(mailbox.take_until(Some(clock::now())), Taken::TimedOut);
    }

    #[test]
    fn a_closed_mailbox_gives_what_it_holds_and_takes_nothing() {
        let mailbox = Mailbox::new(2, WhenFull::Wait);
        assert_eq!(mailbox.put(1), Put::Stored);
        mailbox.close();
        assert_eq!(mailbox.put(2), Put::Closed(2));
        assert_eq!(mailbox.take(), Some(1));
        assert_eq!(mailbox.take_until(None), Taken::Closed);
    }

    #[test]
    fn a_waiting_sender_loses_nothing() {
        let mailbox = Arc::new(Mailbox::new(1, WhenFull::Wait));
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                for i in 0..1000 {
                    assert_eq!(mailbox.put(i), Put::Stored);
                }
                mailbox.close();
            })
        };
        let mut expected = 0;
        while let Some(value) = mailbox.take() {
            assert_eq!(value, expected);
            expected += 1;
        }
        assert_eq!(expected, 1000);
        sender.join().unwrap();
    }

    #[test]
    fn closing_wakes_a_waiting_sender_and_a_waiting_taker() {
        let full = Arc::new(Mailbox::new(1, WhenFull::Wait));
        let empty = Arc::new(Mailbox::<u8>::new(1, WhenFull::Wait));
        assert_eq!(full.put(1), Put::Stored);
        let (f, e) = (Arc::clone(&full), Arc::clone(&empty));
        let sender = thread::spawn(move || f.put(2));
        let taker = thread::spawn(move || e.take());
        full.close();
        empty.close();
        assert_eq!(sender.join().unwrap(), Put::Closed(2));
        assert_eq!(taker.join().unwrap(), None);
    }

    #[test]
    fn a_panicking_thread_closes_its_mailbox() {
        let mailbox = Arc::new(Mailbox::<u8>::new(1, WhenFull::Replace));
        let inner = Arc::clone(&mailbox);
        let thread = thread::spawn(move || {
            let _ = crate::guard::contain(|| {
                let _close = CloseOnDrop(&inner);
                panic!("on purpose");
            });
        });
        assert_eq!(mailbox.take(), None);
        thread.join().unwrap();
    }
}
