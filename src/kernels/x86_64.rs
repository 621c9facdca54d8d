//! Kernels for x86-64.
//!
//! The loops are generic over an [`Isa`](isa::Isa), a set of vector instructions;
//! a module for each set holds its instructions and compiles the loops with them.
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
mod depthwise;
mod epilogue;
mod isa;
pub(super) mod resample;
mod words;
