//! What the kernels of mean field inference work on.
//!
//! The classes of a pixel, and of a lattice's vertex, are a row of `blocks` times
//! [`BLOCK`] numbers; those past the last class are padding. Rows follow each other
//! without a gap. Every operation on them is rounded to f32 and none are fused, in the
//! order given here, so that every kernel gives the same bits.
//!
//! As with the other kernels, who calls ensures the shapes. A broken promise gives a
//! panic or wrong numbers, nothing worse.

use std::f32::consts::LN_2;
use std::ops::Range;

use crate::classes::MAX_CLASSES;

/// Classes worked on at once.
pub const BLOCK: usize = 8;

/// Most blocks of a row.
pub const MAX_BLOCKS: usize = MAX_CLASSES.div_ceil(BLOCK);

/// The score of a padding class.
pub const PADDING: f32 = -1e30;

/// A class whose score is further below the best one than this counts as this far: its
/// probability would be 3e-18, which no sum of probabilities in f32 shows.
pub const NEGLIGIBLE: f32 = -58.0;

/// 1.5 * 2^23: added to a small number it leaves the integer nearest to it in the last
/// bits.
pub const ROUND: f32 = 12_582_912.0;

/// A polynomial for `2^x` with `x` from -1/2 to 1/2, highest power first; its relative
/// error is below 2^-23. The last two numbers are those of the series, the others were
/// fitted for the least such error.
pub const EXP2: [f32; 6] = [
    0.001_330_060_5,
    0.009_669_691,
    0.055_505_585,
    0.240_222_83,
    LN_2,
    1.0,
];

/// For each pixel the vertices of the simplex that it lies in, and its share of each.
#[derive(Debug, Clone, Copy)]
pub struct Corners<'a, const CORNERS: usize> {
    /// Indices of rows.
    pub vertices: &'a [[u32; CORNERS]],
    /// Barycentric coordinates times the pixel's normalization.
    pub weights: &'a [[f32; CORNERS]],
}

impl<const CORNERS: usize> Corners<'_, CORNERS> {
    /// Those of some of the pixels.
    pub fn of(self, pixels: Range<usize>) -> Self {
        Self {
            vertices: &self.vertices[pixels.clone()],
            weights: &self.weights[pixels],
        }
    }
}

/// One pass of a lattice's blur, for some vertices in a row.
///
/// `to[v] = from[v] + 0.5 * (from[before] + from[after])` for each of these vertices.
#[derive(Debug)]
pub struct BlurArgs<'a> {
    /// Blocks of a row, 1 to [`MAX_BLOCKS`].
    pub blocks: usize,
    /// The first vertex.
    pub first: usize,
    /// The vertices before and after each of them in the direction of the pass. One that
    /// does not exist is a row of zeros, the last of `from`.
    pub neighbours: &'a [[u32; 2]],
    /// A row for each vertex of the lattice, and one of zeros.
    pub from: &'a [f32],
    /// A row for each vertex from the first on; those without neighbours here are not
    /// written.
    pub to: &'a mut [f32],
}

/// Messages of one kind that pixels receive.
#[derive(Debug, Clone, Copy)]
pub struct Messages<'a, const CORNERS: usize> {
    /// Of each pixel.
    pub corners: Corners<'a, CORNERS>,
    /// What the sums received are multiplied by.
    pub strength: f32,
    /// A row for each vertex.
    pub from: &'a [f32],
}

impl<const CORNERS: usize> Messages<'_, CORNERS> {
    /// Those of some of the pixels.
    pub fn of(self, pixels: Range<usize>) -> Self {
        Self {
            corners: self.corners.of(pixels),
            ..self
        }
    }
}

/// One step of mean field inference for some pixels: messages and softmax.
///
/// 1. Where there are messages: for the appearance, then for the smoothness, with `s`
///    starting at 0, `s += weight * from[vertex]` over the corners in order, and
///    `score += strength * s`. The sums go to a copy of the scores.
/// 2. The softmax of scores that are logarithms to the base 2: with the highest score
///    `h`, `e = exp2(max(score - h, NEGLIGIBLE))`. For `exp2(x)` the integer nearest to
///    `x`, ties to even, is taken from `x` (by way of [`ROUND`]), [`EXP2`] of the rest
///    evaluated by Horner's rule, and the integer added to its exponent. The sum adds
///    block to block, then lane `i + 4` to lane `i`, `i + 2` to `i`, and `1` to `0`;
///    `p = e * (1 / sum)`.
#[derive(Debug)]
pub struct InferArgs<'a> {
    /// Blocks of a row, 1 to [`MAX_BLOCKS`].
    pub blocks: usize,
    /// By position and colour, and by position.
    pub messages: Option<(Messages<'a, 6>, Messages<'a, 3>)>,
    /// A row for each pixel.
    pub scores: &'a mut [f32],
    /// A row for each pixel, for `p`; without it `p` takes the score's place.
    pub probabilities: Option<&'a mut [f32]>,
}

/// Messages of one kind that pixels send: `to[vertex] += weight * p` over the corners in
/// order, pixel after pixel.
#[derive(Debug)]
pub struct SendArgs<'a, const CORNERS: usize> {
    /// Blocks of a row, 1 to [`MAX_BLOCKS`].
    pub blocks: usize,
    /// A row for each pixel.
    pub probabilities: &'a [f32],
    /// Of each pixel.
    pub corners: Corners<'a, CORNERS>,
    /// A row for each vertex.
    pub to: &'a mut [f32],
}
