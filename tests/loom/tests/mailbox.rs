//! Every order in which threads can meet at a mailbox: no wake-up is lost, nobody is left
//! waiting at a shutdown, and the newest value wins. loom fails a test in which all
//! threads wait.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use atrous_loom::mailbox::{CloseOnDrop, Mailbox, Put, Taken, WhenFull};

const PAST: Option<Duration> = Some(Duration::ZERO);

#[test]
fn a_taker_gets_every_value_that_is_waited_for() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new(1, WhenFull::Wait));
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let _close = CloseOnDrop(&mailbox);
                assert_eq!(mailbox.put(1), Put::Stored);
                assert_eq!(mailbox.put(2), Put::Stored);
            })
        };
        assert_eq!(mailbox.take(), Some(1));
        assert_eq!(mailbox.take(), Some(2));
        assert_eq!(mailbox.take(), None);
        sender.join().unwrap();
    });
}

#[test]
fn the_newest_value_wins_and_every_other_comes_back() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new(1, WhenFull::Replace));
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let _close = CloseOnDrop(&mailbox);
                let puts = [1, 2, 3].map(|value| mailbox.put(value));
                puts.into_iter()
                    .filter_map(|put| match put {
                        Put::Displaced(old) => Some(old),
                        _ => None,
                    })
                    .collect::<Vec<i32>>()
            })
        };
        let mut taken = Vec::new();
        while let Some(value) = mailbox.take() {
            taken.push(value);
        }
        let displaced = sender.join().unwrap();
        assert!(taken.is_sorted());
        assert_eq!(taken.last(), Some(&3));
        let mut all = [taken, displaced].concat();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
    });
}

#[test]
fn closing_wakes_a_sender_and_a_taker_that_wait() {
    loom::model(|| {
        let full = Arc::new(Mailbox::new(1, WhenFull::Wait));
        let empty = Arc::new(Mailbox::<i32>::new(1, WhenFull::Wait));
        assert_eq!(full.put(1), Put::Stored);
        let (f, e) = (Arc::clone(&full), Arc::clone(&empty));
        let sender = thread::spawn(move || f.put(2));
        let taker = thread::spawn(move || e.take_until(None));
        full.close();
        empty.close();
        assert_eq!(sender.join().unwrap(), Put::Closed(2));
        assert_eq!(taker.join().unwrap(), Taken::Closed);
    });
}

/// The pipeline at its end: a source that puts, a thread that passes on, and a
/// supervisor that closes both mailboxes at any time.
#[test]
fn a_shutdown_at_any_time_leaves_nobody_waiting() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let frames = Arc::new(Mailbox::new(1, WhenFull::Replace));
        let outcomes = Arc::new(Mailbox::new(1, WhenFull::Wait));
        let source = {
            let frames = Arc::clone(&frames);
            thread::spawn(move || {
                let _close = CloseOnDrop(&frames);
                for value in 0..2 {
                    if matches!(frames.put(value), Put::Closed(_)) {
                        break;
                    }
                }
            })
        };
        let worker = {
            let (frames, outcomes) = (Arc::clone(&frames), Arc::clone(&outcomes));
            thread::spawn(move || {
                let _close = CloseOnDrop(&outcomes);
                let _stop = CloseOnDrop(&frames);
                while let Some(frame) = frames.take() {
                    if matches!(outcomes.put(frame), Put::Closed(_)) {
                        break;
                    }
                }
            })
        };
        // One result, and then a stop in the middle of whatever the others do.
        let first = outcomes.take();
        assert!(first.is_some());
        frames.close();
        outcomes.close();
        source.join().unwrap();
        worker.join().unwrap();
    });
}

#[test]
fn a_deadline_that_has_passed_waits_for_nobody() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new(1, WhenFull::Replace));
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.put(1))
        };
        let first = mailbox.take_until(PAST);
        assert!(matches!(first, Taken::TimedOut | Taken::Value(1)));
        sender.join().unwrap();
        if first == Taken::TimedOut {
            assert_eq!(mailbox.take_until(PAST), Taken::Value(1));
        }
    });
}
