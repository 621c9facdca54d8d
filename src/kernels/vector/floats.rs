//! Vectors of 32-bit floating-point numbers.

use crate::kernels::mean_field::BLOCK;

/// Vectors of [`BLOCK`] numbers. Every operation rounds to the nearest f32.
///
/// # Safety
/// Every function needs a processor that has the instructions.
pub trait Floats: 'static {
    /// A vector.
    type Vector: Copy;

    /// The same number everywhere.
    unsafe fn splat(value: f32) -> Self::Vector;
    /// From memory.
    unsafe fn load(from: &[f32; BLOCK]) -> Self::Vector;
    /// To memory.
    unsafe fn store(value: Self::Vector, to: &mut [f32; BLOCK]);
    /// `a + b`.
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`.
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b`.
    unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The greater; which of two zeros is open, as is what a NaN makes.
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The bits of `a` and those of `power << 23`, added as integers: a product by a
    /// power of two that is given in the last bits of a number.
    unsafe fn raise(a: Self::Vector, power: Self::Vector) -> Self::Vector;
    /// For each of four vectors the greatest of its numbers.
    unsafe fn fold_max(values: [Self::Vector; 4]) -> [f32; 4];
    /// For each of four vectors the sum of its numbers: lane `i + 4` is added to lane
    /// `i`, then `i + 2` to `i`, and `1` to `0`.
    unsafe fn fold_sum(values: [Self::Vector; 4]) -> [f32; 4];
}
