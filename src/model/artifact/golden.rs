//! The picture an artifact is proved with, drawn from a number.
//!
//! A stored picture would be as large as the weights, so an artifact names the
//! seed of one. The pattern is part of the file format: it must never change.

/// What the program answers to a known picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    /// Seed of the picture; see [`picture`].
    pub seed: u64,
    /// SHA-256 of the mask in lower-case hex: one label a pixel, row by row.
    pub mask_sha256: String,
}

/// Sides of the pattern's squares as powers of two, and how far right a square's
/// byte is shifted: large shapes with finer ones upon them, and noise. The
/// largest possible sum is 127 + 63 + 31 + 31 = 252.
const OCTAVES: [(u32, u32); 4] = [(6, 1), (4, 2), (2, 3), (0, 3)];

/// The picture of a seed: RGB, three bytes a pixel, row by row.
///
/// Channel `c` of the pixel at column `x`, row `y` is the sum over the octaves
/// `(k, shift)` of `byte(c) >> shift`, where `byte(c)` is byte `c`, the least
/// significant being 0, of
/// `mix(mix(mix(seed, k), x >> k), y >> k)`, and `mix(a, b)` is the finalizer of
/// SplitMix64 over `(a ^ b) + 0x9e3779b97f4a7c15`, all modulo 2^64.
pub fn picture(seed: u64, width: u32, height: u32) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    let seeds = OCTAVES.map(|(k, _)| mix(seed, k.into()));
    for y in 0..height {
        for x in 0..width {
            let mut pixel = [0u8; 3];
            for (&(k, shift), seed) in OCTAVES.iter().zip(seeds) {
                let square = mix(mix(seed, (x >> k).into()), (y >> k).into()).to_le_bytes();
                for (value, byte) in pixel.iter_mut().zip(square) {
                    *value += byte >> shift;
                }
            }
            rgb.extend(pixel);
        }
    }
    rgb
}

fn mix(a: u64, b: u64) -> u64 {
    let mut z = (a ^ b).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sha256_hex;

    #[test]
    fn mix_is_splitmix64() {
        // The first outputs of SplitMix64 with seed 0 (Vigna's reference code):
        // its state before each output is a multiple of the constant added here.
        assert_eq!(mix(0, 0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15, 0), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn the_pattern_is_pinned() {
        let rgb = picture(7, 33, 17);
        assert_eq!(rgb.len(), 33 * 17 * 3);
        assert_eq!(
            sha256_hex(&rgb),
            "f4072088e09c430e43f72c3b3ec090ffe7ec96fd91d54f3e5e6b113a0d6f1b68"
        );
        assert_ne!(rgb, picture(8, 33, 17));
    }

    #[test]
    fn the_pattern_uses_most_of_the_range() {
        let rgb = picture(1, 256, 256);
        assert!(*rgb.iter().min().unwrap() < 32 && *rgb.iter().max().unwrap() > 220);
    }
}
