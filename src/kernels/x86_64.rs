//! Kernels for x86-64.
//!
//! The loops of [`vector`](super::vector) and of [`conv`] are compiled with the
//! instructions of each set by the module that is named after it.
//!
//! Codes are unsigned bytes and weights signed ones. The sum over all taps, those
//! outside the picture reading the zero point, less `zero point * Σ weights`, is the
//! accumulator that [`ConvArgs`](super::ConvArgs) defines; the difference is part of
//! the bias. An accumulator is requantized with the processor's own conversion,
//! which rounds ties to even but does not saturate: convolutions whose values may
//! leave the 32-bit range are left to the scalar kernel.
#![allow(unsafe_code)]

pub(super) mod avx2;
pub(super) mod avx512;
pub(super) mod avxvnni;
mod conv;
mod dot;
pub(super) mod imaging;
pub(super) mod mean_field;
pub(super) mod portable;
pub(super) mod resample;
pub(super) mod table;
mod words;
