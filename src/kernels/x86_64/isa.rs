//! What the loops ask of a set of vector instructions.

use super::conv::Tile;
use super::depthwise::Segment;
use super::epilogue::{Epilogue, Sum};

/// A set of vector instructions.
///
/// A vector holds [`LANES`](Self::LANES) 32-bit sums. Several vectors of one pixel
/// hold the sums of `LANES` channels each, in the order of [`channel`].
///
/// # Safety
/// Every function needs a processor that has the instructions, and pointers to as
/// many bytes as it says it reads or writes.
pub(super) trait Isa: 'static {
    /// A vector.
    type Vector: Copy;
    /// The three rows of a column of a window, for four vectors of channels.
    type Column: Copy;
    /// Instructions on vectors of half the size where the processor has them too, or
    /// the same ones.
    type Half: Isa;
    /// 32-bit sums of a vector: 8 or 16.
    const LANES: usize;
    /// Most pixels of a tile whose pixels have 1, 2, 3 or 4 vectors; 0 where tiles of
    /// so many are not made.
    const PIXELS: [usize; 4];
    /// Products that one lane sums in [`dot`](Self::dot): 4 bytes, or 2 16-bit numbers.
    const DEPTH: usize;
    /// Bytes of the weights that [`add_column`](Self::add_column) reads.
    const COLUMN_BYTES: usize;

    /// The loop [`conv::tiles`](super::conv::tiles), compiled for these instructions.
    unsafe fn tiles(tile: &Tile<'_>, pixels: usize);
    /// The loop [`depthwise::segment`](super::depthwise::segment), likewise.
    unsafe fn segment(segment: &Segment<'_>);

    /// `LANES` sums, or weights, from memory.
    unsafe fn load(from: *const u8) -> Self::Vector;
    /// The same four bytes in every lane.
    unsafe fn broadcast(from: *const u8) -> Self::Vector;
    /// In every lane `sum + Σ code * weight` over the `DEPTH` codes and weights of the
    /// lane.
    unsafe fn dot(sum: Self::Vector, codes: Self::Vector, weights: Self::Vector) -> Self::Vector;

    /// Requantizes the sums of `channels` channels of one pixel and stores their codes.
    /// `multipliers` are in the order of the lanes; `N` is 1 to 4.
    unsafe fn store<const N: usize>(
        sums: [Self::Vector; N],
        multipliers: *const f32,
        epilogue: &Epilogue,
        sum: Option<Sum>,
        channels: usize,
        out: *mut u8,
    );

    /// Reads `channels` codes of three rows, at most four vectors of them.
    unsafe fn column(rows: [*const u8; 3], channels: usize) -> Self::Column;
    /// Adds a column's products to four vectors of sums. Its weights are
    /// made by [`column_weights`](Self::column_weights).
    unsafe fn add_column(
        sums: [Self::Vector; 4],
        column: &Self::Column,
        weights: *const u8,
    ) -> [Self::Vector; 4];
    /// The `COLUMN_BYTES` bytes that [`add_column`](Self::add_column) reads, of
    /// `weight(row, channel)` for rows `0 .. 3` and channels `0 .. 4 * LANES`.
    fn column_weights(weight: impl Fn(usize, usize) -> i8) -> Vec<u8>;
}

/// The channel of lane `lane` of vector `vector` of a pixel that has `vectors`.
///
/// This is the order that comes out of packing 32-bit numbers twice within parts of
/// 128 bits, so that packed codes lie in the order of the channels.
pub(super) fn channel(vectors: usize, lanes: usize, vector: usize, lane: usize) -> usize {
    match (vectors, vector) {
        (4, _) => lane / 4 * 16 + vector * 4 + lane % 4,
        (2, _) | (3, 0 | 1) => lane / 4 * 8 + vector * 4 + lane % 4,
        _ => vector * lanes + lane,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_one_lane() {
        for lanes in [8, 16] {
            for vectors in 1..=4 {
                let lane = |vector| (0..lanes).map(move |lane| (vector, lane));
                let mut channels: Vec<usize> = (0..vectors)
                    .flat_map(lane)
                    .map(|(vector, lane)| channel(vectors, lanes, vector, lane))
                    .collect();
                channels.sort_unstable();
                assert!(channels.into_iter().eq(0..vectors * lanes));
            }
        }
    }
}
