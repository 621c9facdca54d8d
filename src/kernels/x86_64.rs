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
pub(super) mod resample;
pub(super) mod table;
mod words;

/// The channel of lane `lane` of vector `vector` of a pixel that has `vectors` of
/// `lanes`.
///
/// This is the order that comes out of packing 32-bit numbers twice within parts of
/// 128 bits, so that packed codes lie in the order of the channels.
fn channel(vectors: usize, lanes: usize, vector: usize, lane: usize) -> usize {
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
