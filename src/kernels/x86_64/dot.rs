//! What the sets of instructions of this architecture share.

use crate::kernels::vector::isa::{Isa, VECTORS};

/// Instructions that multiply and add.
///
/// # Safety
/// As [`Isa`].
pub(super) trait Dot: Isa {
    /// In every lane `sum + Σ code * weight` over the codes and weights of the lane: four
    /// bytes each, or two 16-bit numbers.
    unsafe fn dot(sum: Self::Vector, codes: Self::Vector, weights: Self::Vector) -> Self::Vector;
}

/// Vectors that follow each other in memory.
///
/// # Safety
/// As [`Isa`].
#[inline(always)]
pub(super) unsafe fn load_vectors<I: Isa, const K: usize>(from: *const u8) -> [I::Vector; K] {
    // SAFETY: the caller promises `K` vectors, of 32-bit lanes.
    std::array::from_fn(|k| unsafe { I::load(from.add(4 * I::LANES * k)) })
}

/// [`Isa::add_columns`] where column and weights are as many vectors as the sums, or a
/// multiple of them.
///
/// # Safety
/// As [`Isa`].
#[inline(always)]
pub(super) unsafe fn add_columns<I: Dot, const K: usize, const N: usize>(
    mut sums: [I::Vector; VECTORS],
    columns: [&[I::Vector; K]; N],
    weights: [&[I::Vector; K]; N],
) -> [I::Vector; VECTORS] {
    for (column, weights) in columns.into_iter().zip(weights) {
        for k in 0..K {
            let n = k % VECTORS;
            // SAFETY: the caller has the instructions.
            sums[n] = unsafe { I::dot(sums[n], column[k], weights[k]) };
        }
    }
    sums
}

/// The channel of lane `lane` of vector `vector` of a pixel that has `vectors` of
/// `lanes`.
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

/// For each lane of four vectors of a column its three rows' weights and a 0.
pub(super) fn quads<I: Isa>(weight: impl Fn(usize, usize) -> i8) -> Vec<u8> {
    let lanes = (0..VECTORS).flat_map(|vector| (0..I::LANES).map(move |lane| (vector, lane)));
    let channels = lanes.map(|(vector, lane)| I::channel(VECTORS, vector, lane));
    let quads = channels.map(|c| [weight(0, c), weight(1, c), weight(2, c), 0]);
    quads.flatten().map(|weight| weight as u8).collect()
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
