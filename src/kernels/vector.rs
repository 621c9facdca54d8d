//! Loops over vectors, whatever the processor.
//!
//! They are generic over traits that name what they need of a set of vector
//! instructions: [`isa::Isa`] for sums and codes, [`words::Words`] for 32-bit integers,
//! [`floats::Floats`] for 32-bit floating-point numbers.
//! The modules of each architecture implement them, and compile the loops with their
//! instructions.
#![allow(unsafe_code)]

pub mod depthwise;
pub mod epilogue;
pub mod floats;
pub mod isa;
pub mod mean_field;
pub mod resample;
pub mod rows;
pub mod words;
