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
    /// The bits from `FROM` on of four vectors' elements, which are 0 to 255, as bytes.
    ///
    /// `FROM` is above 16.
    #[inline(always)]
    unsafe fn store_high_bytes<const FROM: u32>(values: [Self::Vector; 4], to: *mut u8) {
        for (n, value) in values.into_iter().enumerate() {
            // SAFETY: the caller promises room for four vectors of bytes.
            unsafe {
                Self::store_bytes(Self::shift_right::<FROM>(value), to.add(n * Self::LANES));
            }
        }
    }
    /// The bits of `a` where `mask` has ones, those of `b` elsewhere, where it has to
    /// have no others.
    #[inline(always)]
    unsafe fn select(mask: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        // SAFETY: the caller promises the instructions; `b` has no bit of the mask.
        unsafe { Self::or(Self::and(mask, a), b) }
    }
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
