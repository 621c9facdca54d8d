//! Where tiles lie on a picture that is larger than the model's input.
//!
//! Along each axis tiles begin every `tile - overlap` pixels; the last one ends with the
//! picture, so that it may overlap more. A pixel belongs to the tile whose centre is
//! nearest along each axis, and of two that are equally near to the first. The pixels
//! that belong to a tile are its core: cores cover the picture without gaps, and each
//! keeps about half of the overlap away from the tile's border, where a model sees least.

use std::ops::Range;

/// One tile along one axis, in pixels of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Where the tile begins. It may end behind the picture only where that is the only
    /// tile.
    pub start: u32,
    /// The pixels that belong to it.
    pub core: Range<u32>,
}

/// The tiles along one axis, in order.
///
/// `side` is the picture's, `tile` the model's, at least 1 each; `overlap` is below `tile`.
pub fn along(side: u32, tile: u32, overlap: u32) -> impl Iterator<Item = Tile> + Clone {
    assert!(side > 0 && overlap < tile, "tiles of {tile} - {overlap}");
    let (side, tile, step) = (u64::from(side), u64::from(tile), u64::from(tile - overlap));
    let last = side.saturating_sub(tile);
    let count = last.div_ceil(step) + 1;
    let start = move |i: u64| (i * step).min(last);
    // Twice a pixel's centre is 2 x + 1, twice the middle between two tiles' centres the
    // sum below: those with 2 x + 1 <= sum are the earlier tile's.
    let border = move |i: u64| (start(i) + start(i + 1) + tile).div_ceil(2);
    (0..count).map(move |i| {
        let from = if i == 0 { 0 } else { border(i - 1) };
        let to = if i + 1 == count { side } else { border(i) };
        // Nothing here is larger than `side`, which was a u32.
        Tile {
            start: start(i) as u32,
            core: from as u32..to as u32,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_picture_of_the_models_size_is_one_tile() {
        for (side, tile) in [(8, 8), (5, 8), (1, 1)] {
            let tiles: Vec<_> = along(side, tile, 0).collect();
            let core = 0..side;
            assert_eq!(tiles, [Tile { start: 0, core }]);
        }
    }

    #[test]
    fn the_overlap_is_halved() {
        let tiles: Vec<_> = along(20, 8, 2).map(|t| (t.start, t.core)).collect();
        assert_eq!(tiles, [(0, 0..7), (6, 7..13), (12, 13..20)]);
        // The last one is moved to the end: 13 would be the next start.
        let tiles: Vec<_> = along(14, 8, 3).map(|t| (t.start, t.core)).collect();
        assert_eq!(tiles, [(0, 0..7), (5, 7..10), (6, 10..14)]);
    }

    proptest! {
        #[test]
        fn every_pixel_belongs_to_the_nearest_tile(
            side in 1u32..300, (tile, overlap) in (1u32..60).prop_flat_map(|t| (Just(t), 0..t)),
        ) {
            let tiles: Vec<_> = along(side, tile, overlap).collect();
            let mut next = 0;
            for found in &tiles {
                prop_assert_eq!(found.core.start, next);
                prop_assert!(found.core.end > next);
                next = found.core.end;
                prop_assert!(found.core.start >= found.start);
                prop_assert!(found.core.end <= found.start + tile);
                for x in found.core.clone() {
                    // Twice the distances, in whole numbers.
                    let distance = |t: &Tile| (2 * x + 1).abs_diff(2 * t.start + tile);
                    let nearest = tiles.iter().map(distance).min();
                    prop_assert_eq!(Some(distance(found)), nearest);
                }
            }
            prop_assert_eq!(next, side);
        }
    }
}
