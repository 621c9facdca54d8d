//! One mask from the tiles of a picture.

use std::ops::Range;

use crate::engine::scores::Scores;
use crate::mask::Mask;
use crate::postprocess::upsample::best_class;
use crate::preprocess::tiles::{self, Tile};

/// Most bytes of the scores that wait for the next row of tiles, and of those that wait
/// for the next tile.
const MOST_BYTES: u64 = 128 << 20;

/// How far tiles are blended, horizontally and vertically: see [`tiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramps {
    /// Columns around a vertical seam.
    pub columns: u32,
    /// Rows around a horizontal seam.
    pub rows: u32,
}

impl Ramps {
    /// No tile is blended with another.
    pub const NONE: Self = Self {
        columns: 0,
        rows: 0,
    };

    /// As long as tiles of a size overlap by so much, but no longer than the scores of a
    /// picture of this width may wait in memory for.
    pub fn longest(tile: (u32, u32), overlap: (u32, u32), width: u32, classes: usize) -> Self {
        let most = |line: u32| {
            let bytes = u64::from(line) * classes.max(1) as u64 * size_of::<f32>() as u64;
            u32::try_from(MOST_BYTES / bytes.max(1)).unwrap_or(u32::MAX)
        };
        Self {
            columns: tiles::longest_ramp(tile.0, overlap.0).min(most(tile.1)),
            rows: tiles::longest_ramp(tile.1, overlap.1).min(most(width)),
        }
    }
}

/// Joins the labels of tiles, which come row by row, each row from left to right.
///
/// A pixel that belongs to one tile has that tile's label. Where tiles share it, the scores
/// of two beside each other are blended first, then those of two rows of tiles, and the
/// first class with the greatest sum is the label. Weights are whole 256ths, so that a blend
/// of codes is exact; one of real numbers rounds each operation to `f32`, in this order.
///
/// Of a picture's scores only those of a seam wait for the tile on its other side: the
/// ramp's rows of the whole picture, and its columns of one tile.
#[derive(Debug, Default)]
pub struct Mosaic {
    /// Scores in the columns shared with the next tile, for each row of the tile's reach.
    strip: Vec<f32>,
    /// Scores in the rows shared with the next row of tiles.
    band: Vec<f32>,
    /// Scores of one row of pixels, from the first column of the tile's reach on.
    row: Vec<f32>,
    /// A tile's weight in each of the columns that it shares with the tile before.
    weights: Vec<f32>,
}

impl Mosaic {
    /// Writes the labels of a tile's own pixels into the picture's mask.
    pub fn add_labels(column: &Tile, row: &Tile, labels: &Mask, mask: &mut Mask) {
        let left = (column.own.start - column.start) as usize;
        let columns = column.own.start as usize..column.own.end as usize;
        for y in row.own.clone() {
            let own = &labels.row(y - row.start)[left..][..columns.len()];
            mask.row_mut(y)[columns.clone()].copy_from_slice(own);
        }
    }

    /// Writes the labels of the pixels that a tile shares with those before it, and keeps
    /// the scores of those that it shares with later ones.
    pub fn add_scores(&mut self, column: &Tile, row: &Tile, scores: &mut Scores, mask: &mut Mask) {
        let classes = scores.classes();
        let ramp = column.before.len().max(column.after.len());
        let strip_row = ramp * classes;
        let band_row = mask.width as usize * classes;
        let band_rows = row.before.len().max(row.after.len());
        self.strip.resize(row.reach().len() * strip_row, 0.0);
        self.band.resize(band_rows * band_row, 0.0);
        self.weights.clear();
        let weight = |pixels: &Range<u32>, at| tiles::weight(at, pixels.len() as u32);
        let across = (0..column.before.len() as u32).map(|at| weight(&column.before, at));
        self.weights.extend(across);
        for (index, y) in row.reach().enumerate() {
            let mut read = |columns: &Range<u32>, out: &mut [f32]| {
                let columns = columns.start - column.start..columns.end - column.start;
                scores.row(y - row.start, columns, out);
            };
            // In a row of its own, the tile's own pixels have their labels.
            let settled = if row.own.contains(&y) {
                column.before.clone()
            } else {
                column.before.start..column.own.end
            };
            self.row.resize(settled.len() * classes, 0.0);
            read(&settled, &mut self.row);
            let strip = &mut self.strip[index * strip_row..][..strip_row];
            let pixels = self.row.chunks_exact_mut(classes);
            let left = strip.chunks_exact(classes);
            for ((left, pixel), &weight) in left.zip(pixels).zip(&self.weights) {
                blend(left, pixel, weight);
            }
            read(&column.after, &mut strip[..column.after.len() * classes]);

            let start = settled.start as usize;
            let in_band = |y: u32| y as usize * band_row + start * classes;
            if row.after.contains(&y) {
                let kept = &mut self.band[in_band(y - row.after.start)..][..self.row.len()];
                kept.copy_from_slice(&self.row);
                continue;
            }
            if row.before.contains(&y) {
                let at = y - row.before.start;
                let above = &self.band[in_band(at)..][..self.row.len()];
                blend(above, &mut self.row, weight(&row.before, at));
            }
            let labels = &mut mask.row_mut(y)[start..];
            for (label, pixel) in labels.iter_mut().zip(self.row.chunks_exact(classes)) {
                *label = best_class(pixel);
            }
        }
    }
}

/// What lies so far from `first` to `second`, into `second`.
fn blend(first: &[f32], second: &mut [f32], weight: f32) {
    for (second, &first) in second.iter_mut().zip(first) {
        *second = first + (*second - first) * weight;
    }
}

#[cfg(test)]
impl Mosaic {
    /// Numbers of scores that wait for the next row of tiles, and for the next tile.
    pub fn waiting(&self) -> (usize, usize) {
        (self.band.len(), self.strip.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ramps_are_as_long_as_the_overlap_until_memory_is_short() {
        let longest = |tile, overlap, width, classes| {
            let ramps = Ramps::longest(tile, overlap, width, classes);
            (ramps.columns, ramps.rows)
        };
        assert_eq!(longest((385, 385), (96, 96), 10_000, 2), (96, 96));
        assert_eq!(longest((513, 513), (128, 128), 10_000, 21), (128, 128));
        assert_eq!(longest((513, 513), (0, 256), 10_000, 1), (0, 256));
        assert_eq!(longest((512, 512), (128, 128), 16_384, 256), (128, 8));
        assert_eq!(longest((4096, 4096), (1024, 1024), 16_384, 256), (32, 8));
        for (tile, width, classes) in [(513, 16_384, 256), (16_384, 16_384, 256), (1, 2, 1)] {
            let ramps = Ramps::longest((tile, tile), (tile / 2, tile / 2), width, classes);
            let bytes = 4 * u64::from(ramps.rows) * u64::from(width) * classes as u64;
            assert!(bytes <= MOST_BYTES, "{ramps:?}");
            let bytes = 4 * u64::from(ramps.columns) * u64::from(tile) * classes as u64;
            assert!(bytes <= MOST_BYTES, "{ramps:?}");
        }
    }
}
