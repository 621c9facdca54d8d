//! What the loops ask of a set of vector instructions.

use super::depthwise::{self, Columns, Segment, Windows};
use super::epilogue::{Epilogue, Sum};

/// Vectors of channels that depthwise convolutions sum at once.
pub const VECTORS: usize = 4;

/// A set of vector instructions.
///
/// A vector holds [`LANES`](Self::LANES) 32-bit sums. Several vectors of one pixel
/// hold the sums of `LANES` channels each, in the order of
/// [`channel`](Self::channel).
///
/// # Safety
/// Every unsafe function needs a processor that has the instructions, and pointers to
/// as many bytes as it says it reads or writes.
pub trait Isa: Sized + 'static {
    /// A vector.
    type Vector: Copy;
    /// The three rows of a column of a window, for four vectors of channels.
    type Column: Copy;
    /// The weights of a column.
    type Weights: Copy;
    /// Instructions on vectors of half the size where the processor has them too, or
    /// the same ones.
    type Half: Isa;
    /// 32-bit sums of a vector.
    const LANES: usize;
    /// Bytes of a column's weights.
    const COLUMN_BYTES: usize;
    /// What codes are less by when they are multiplied: 0 where instructions take them
    /// as they are, 128 where they take signed bytes.
    const CODE_OFFSET: i32;

    /// The loop [`depthwise::segment`](super::depthwise::segment), compiled for these
    /// instructions.
    unsafe fn segment(segment: &Segment<'_>);

    /// The loop [`depthwise::slide`], or another one that does the same.
    #[inline(always)]
    unsafe fn slide<const PLAIN: bool>(
        columns: &mut Columns<'_, '_, PLAIN>,
        windows: &Windows<'_, Self>,
        held: [Self::Column; 2],
    ) -> [Self::Column; 2] {
        // SAFETY: the caller promises what the loop asks for.
        unsafe { depthwise::slide(columns, windows, held) }
    }

    /// The loop [`depthwise::stride`], or another one that does the same.
    #[inline(always)]
    unsafe fn stride<const PLAIN: bool>(
        columns: &mut Columns<'_, '_, PLAIN>,
        windows: &Windows<'_, Self>,
        held: Self::Column,
    ) -> Self::Column {
        // SAFETY: the caller promises what the loop asks for.
        unsafe { depthwise::stride(columns, windows, held) }
    }

    /// The channel of lane `lane` of vector `vector` of a pixel that has `vectors`.
    fn channel(vectors: usize, vector: usize, lane: usize) -> usize;

    /// `LANES` sums from memory.
    unsafe fn load(from: *const u8) -> Self::Vector;

    /// Requantizes the sums of `channels` channels of one pixel and stores their codes.
    /// `multipliers` are in the order of the lanes.
    unsafe fn store(
        sums: [Self::Vector; VECTORS],
        multipliers: *const f32,
        epilogue: &Epilogue,
        sum: Option<Sum>,
        channels: usize,
        out: *mut u8,
    );

    /// Reads `channels` codes of three rows, at most four vectors of them.
    unsafe fn column(rows: [*const u8; 3], channels: usize) -> Self::Column;
    /// Reads the `COLUMN_BYTES` that [`column_weights`](Self::column_weights) made.
    unsafe fn load_weights(from: *const u8) -> Self::Weights;
    /// Adds the products of `N` columns to four vectors of sums.
    unsafe fn add_columns<const N: usize>(
        sums: [Self::Vector; VECTORS],
        columns: [&Self::Column; N],
        weights: [&Self::Weights; N],
    ) -> [Self::Vector; VECTORS];
    /// The weights of a column in memory: `weight(row, channel)` for rows `0 .. 3` and
    /// channels `0 .. 4 * LANES`.
    fn column_weights(weight: impl Fn(usize, usize) -> i8) -> Vec<u8>;
}
