//! Where tiles lie on a picture that is larger than the model's input.
//!
//! Along each axis tiles begin every `tile - overlap` pixels; the last one ends with the
//! picture, so that it may overlap more. Between two tiles lies a seam, where a pixel is as
//! near to the centre of one as to that of the other.
//!
//! Around each seam `ramp` pixels are shared by its two tiles: the second one's weight
//! rises there from 0 to 1, the first one's falls, and their sum is 1. All other pixels
//! belong to one tile alone, the one whose centre is nearest; without a ramp all pixels do.
//! Where a tile ends, and a model sees least, it has the least weight, or none.

use std::ops::Range;

/// Steps of a weight between 0 and 1. So few that the mean of two codes, and of two such
/// means, is exact in `f32`.
const STEPS: u64 = 256;

/// One tile along one axis, in pixels of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Where the tile begins. It may end behind the picture only where that is the only
    /// tile.
    pub start: u32,
    /// The pixels that it shares with the tile before: as many as the ramp is long, none for
    /// the first tile.
    pub before: Range<u32>,
    /// The pixels behind those, which belong to it alone; there may be none.
    pub own: Range<u32>,
    /// The pixels behind those, which it shares with the next tile; none for the last one.
    pub after: Range<u32>,
}

impl Tile {
    /// All pixels that the tile has a say in.
    pub fn reach(&self) -> Range<u32> {
        self.before.start..self.after.end
    }
}

/// The longest ramp between tiles that overlap by `overlap` pixels, which is less than
/// `tile`: the overlap, unless three tiles would share a pixel.
pub fn longest_ramp(tile: u32, overlap: u32) -> u32 {
    overlap.min(tile - overlap)
}

/// The tiles along one axis, in order.
///
/// `side` is the picture's, `tile` the model's, at least 1 each; `overlap` is below `tile`;
/// `ramp` is at most the [longest](longest_ramp).
pub fn along(side: u32, tile: u32, overlap: u32, ramp: u32) -> impl Iterator<Item = Tile> + Clone {
    assert!(side > 0 && overlap < tile, "tiles of {tile} - {overlap}");
    assert!(ramp <= longest_ramp(tile, overlap), "a ramp of {ramp}");
    let (side, tile, step) = (u64::from(side), u64::from(tile), u64::from(tile - overlap));
    let ramp = u64::from(ramp);
    let last = side.saturating_sub(tile);
    let count = last.div_ceil(step) + 1;
    let start = move |i: u64| (i * step).min(last);
    // Twice a pixel's centre is 2 x + 1, twice the middle between two tiles' centres the
    // sum below: those with 2 x + 1 <= sum are the earlier tile's.
    let seam = move |i: u64| (start(i) + start(i + 1) + tile).div_ceil(2);
    let ramp_start = move |i: u64| {
        let centred = seam(i) - ramp.div_ceil(2);
        // The last seam may be nearer to the one before it than a ramp is long.
        match i.checked_sub(1) {
            Some(before) => centred.max(seam(before) - ramp.div_ceil(2) + ramp),
            None => centred,
        }
    };
    (0..count).map(move |i| {
        // Nothing here is larger than `side`, which was a u32.
        let pixels = |from: u64, to: u64| from as u32..to as u32;
        let shared = |i: u64| (ramp_start(i), ramp_start(i) + ramp);
        let before = i.checked_sub(1).map_or((0, 0), shared);
        let after = if i + 1 < count {
            shared(i)
        } else {
            (side, side)
        };
        Tile {
            start: start(i) as u32,
            before: pixels(before.0, before.1),
            own: pixels(before.1, after.0),
            after: pixels(after.0, after.1),
        }
    })
}

/// The second tile's weight in pixel `at` of a ramp of `ramp` pixels; the first one's is
/// what is missing to 1. A whole number of 256ths.
pub fn weight(at: u32, ramp: u32) -> f32 {
    let (at, ramp) = (u64::from(at), u64::from(ramp));
    // Pixel centres lie at (at + 1/2) / ramp, and the nearest step to that is taken.
    let steps = (STEPS * (2 * at + 1) + ramp) / (2 * ramp);
    steps as f32 / STEPS as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_picture_of_the_models_size_is_one_tile() {
        for (side, tile) in [(8, 8), (5, 8), (1, 1)] {
            let tiles: Vec<_> = along(side, tile, 0, 0).collect();
            let only = Tile {
                start: 0,
                before: 0..0,
                own: 0..side,
                after: side..side,
            };
            assert_eq!(tiles, [only]);
        }
    }

    #[test]
    fn the_overlap_is_halved_or_shared() {
        let own = |side, tile, overlap, ramp| -> Vec<_> {
            let tiles = along(side, tile, overlap, ramp);
            tiles.map(|t| (t.start, t.own)).collect()
        };
        assert_eq!(own(20, 8, 2, 0), [(0, 0..7), (6, 7..13), (12, 13..20)]);
        assert_eq!(own(20, 8, 2, 2), [(0, 0..6), (6, 8..12), (12, 14..20)]);
        // The last one is moved to the end: 13 would be the next start.
        assert_eq!(own(14, 8, 3, 0), [(0, 0..7), (5, 7..10), (6, 10..14)]);
        // Its ramp begins where the one before it ends.
        assert_eq!(own(14, 8, 3, 3), [(0, 0..5), (5, 8..8), (6, 11..14)]);
    }

    #[test]
    fn weights_rise_from_border_to_border() {
        let ramp = |n| -> Vec<f32> { (0..n).map(|at| weight(at, n) * 256.0).collect() };
        assert_eq!(ramp(1), [128.0]);
        assert_eq!(ramp(4), [32.0, 96.0, 160.0, 224.0]);
        assert_eq!(ramp(2048)[..6], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(ramp(2048)[2047], 256.0);
    }

    /// Picture, tile, overlap and ramp.
    fn geometry() -> impl Strategy<Value = (u32, u32, u32, u32)> {
        (1u32..300, 1u32..60)
            .prop_flat_map(|(side, tile)| (Just(side), Just(tile), 0..tile))
            .prop_flat_map(|(side, tile, overlap)| {
                let longest = longest_ramp(tile, overlap);
                (Just(side), Just(tile), Just(overlap), 0..=longest)
            })
    }

    proptest! {
        #[test]
        fn every_pixel_belongs_to_the_nearest_tile((side, tile, overlap, _) in geometry()) {
            // Twice the distances, in whole numbers.
            let distance = |x: u32, t: &Tile| (2 * x + 1).abs_diff(2 * t.start + tile);
            let tiles: Vec<_> = along(side, tile, overlap, 0).collect();
            let mut next = 0;
            for found in &tiles {
                prop_assert_eq!(found.own.start, next);
                prop_assert!(found.own.end > next);
                next = found.own.end;
                prop_assert!(found.before.is_empty() && found.after.is_empty());
                for x in found.own.clone() {
                    let nearest = tiles.iter().map(|t| distance(x, t)).min();
                    prop_assert_eq!(Some(distance(x, found)), nearest);
                }
            }
            prop_assert_eq!(next, side);
        }

        #[test]
        fn weights_sum_to_one_everywhere((side, tile, overlap, ramp) in geometry()) {
            let tiles: Vec<_> = along(side, tile, overlap, ramp).collect();
            let mut sums = vec![0.0; side as usize];
            let mut tiles_of = vec![0; side as usize];
            let mut shared = 0..0;
            for found in &tiles {
                prop_assert_eq!(&found.before, &shared);
                prop_assert_eq!(found.before.end, found.own.start);
                prop_assert_eq!(found.own.end, found.after.start);
                shared = found.after.clone();
                prop_assert!(found.reach().start >= found.start);
                prop_assert!(found.reach().end <= found.start + tile);
                let rising = found.before.clone().map(|x| weight(x - found.before.start, ramp));
                let falling = found.after.clone().map(|x| 1.0 - weight(x - found.after.start, ramp));
                let weights: Vec<f32> =
                    rising.chain(found.own.clone().map(|_| 1.0)).chain(falling).collect();
                let turn = found.before.len();
                prop_assert!(weights[..turn].is_sorted());
                prop_assert!(weights[turn..].is_sorted_by(|a, b| a >= b));
                for (x, weight) in found.reach().zip(weights) {
                    sums[x as usize] += weight;
                    tiles_of[x as usize] += 1;
                }
            }
            prop_assert_eq!(shared, side..side);
            prop_assert!(sums.iter().all(|&sum| sum == 1.0), "{:?}", sums);
            prop_assert!(tiles_of.iter().all(|&n| n <= 2));
        }
    }
}
