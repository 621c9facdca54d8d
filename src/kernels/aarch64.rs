//! Kernels for 64-bit Arm.
//!
//! Most instructions multiply signed bytes, so codes are taken less 128 (one bit flipped)
//! when they are laid out for a product; the difference, `128 * Σ weights`, is part of
//! the bias; those of [`i8mm`] take codes as they are. The loops of [`vector`](super::vector)
//! and of [`conv`] are compiled with the instructions of each set by the module that is named
//! after it.
#![allow(unsafe_code)]

mod codes;
mod conv;
pub(super) mod dotprod;
pub(super) mod elementwise;
pub(super) mod i8mm;
pub(super) mod imaging;
pub(super) mod mean_field;
pub(super) mod neon;
mod quads;
pub(super) mod resample;
pub(super) mod table;
mod windows;
mod words;
