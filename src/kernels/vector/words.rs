//! Vectors of 32-bit integers.

/// Vectors of [`LANES`](Self::LANES) 32-bit integers.
///
/// # Safety
/// Every function needs a processor that has the instructions, and pointers to as
/// many elements as it reads or writes.
pub trait Words: 'static {
    /// A vector.
    type Vector: Copy;
    /// Its elements.
    const LANES: usize;

    /// The same element everywhere.
    unsafe fn splat(value: i32) -> Self::Vector;
    /// From memory.
    unsafe fn load(from: *const i32) -> Self::Vector;
    /// To memory.
    unsafe fn store(value: Self::Vector, to: *mut i32);
    /// Bytes, widened.
    unsafe fn load_bytes(from: *const u8) -> Self::Vector;
    /// Elements of 0 to 255 as bytes.
    unsafe fn store_bytes(value: Self::Vector, to: *mut u8);
    /// `a + b`.
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`.
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b`.
    unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a & b`.
    unsafe fn and(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a | b`.
    unsafe fn or(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger.
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `value << BITS`.
    unsafe fn shift_left<const BITS: u32>(value: Self::Vector) -> Self::Vector;
    /// `value >> BITS`, zeros coming in.
    unsafe fn shift_right<const BITS: u32>(value: Self::Vector) -> Self::Vector;
    /// Element `indices[i]` of `value` in place `i`.
    unsafe fn permute(value: Self::Vector, indices: Self::Vector) -> Self::Vector;
}
