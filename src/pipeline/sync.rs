//! What the mailbox is built on. tests/loom puts its own in this place, which try every
//! order in which threads can meet.

pub use std::sync::{Condvar, Mutex, MutexGuard};
