//! The trigger module alone, without std: that this compiles is the proof that
//! the rules need neither clock nor allocator and fit a microcontroller.
#![no_std]

#[path = "../src/trigger.rs"]
pub mod trigger;
