//! Hostile inputs for the two readers of files that others wrote: artifacts, and
//! ONNX models. The targets in `fuzz/`, `examples/fuzz.rs` and `tests/fuzz.rs` share it.
//!
//! A mutation knows the file's structure: it lies about lengths, offsets, sizes and
//! names, and puts a good digest under the lie, so that what comes after the first
//! check is reached too. Whatever a reader accepts is also run, since a program that
//! passed its check must run without a fault.

pub mod artifact;
pub mod import;
mod json;
pub mod rng;
mod run;
pub mod seed;

pub use rng::Rng;

/// What became of an input. Neither is a fault: a fault is a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An error that names what is wrong.
    Refused,
    /// A program, which ran where it was small enough.
    Accepted,
}
