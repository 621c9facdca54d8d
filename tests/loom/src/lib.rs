//! The mailbox on loom's mutex and condition variable, for tests/mailbox.rs.

/// What the mailbox is built on.
mod sync {
    pub use loom::sync::{Condvar, Mutex, MutexGuard};
}

/// A clock that stands still: loom has no time, and its waits never time out.
mod clock {
    use std::time::Duration;

    pub fn now() -> Duration {
        Duration::from_secs(1)
    }
}

#[path = "../../../src/pipeline/mailbox.rs"]
pub mod mailbox;
