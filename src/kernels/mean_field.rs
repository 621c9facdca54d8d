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

/// The vertices of the simplex that a pixel lies in, and its share of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corners<const CORNERS: usize> {
    /// Indices of rows.
    pub vertices: [u32; CORNERS],
    /// Barycentric coordinates times the pixel's normalization.
    pub weights: [f32; CORNERS],
}

/// One pass of a lattice's blur.
///
/// `to[v] = from[v] + 0.5 * (from[before] + from[after])` for every vertex `v`.
#[derive(Debug)]
pub struct BlurArgs<'a> {
    /// Blocks of a row, 1 to [`MAX_BLOCKS`].
    pub blocks: usize,
    /// The vertices before and after each one in the direction of the pass. One that
    /// does not exist is a row of zeros, the last of `from`.
    pub neighbours: &'a [[u32; 2]],
    /// A row for each vertex, and one of zeros.
    pub from: &'a [f32],
    /// As `from`; the last row is not written.
    pub to: &'a mut [f32],
}

/// How one kind of messages comes and goes.
#[derive(Debug)]
pub struct Messages<'a, const CORNERS: usize> {
    /// Of each pixel.
    pub corners: &'a [Corners<CORNERS>],
    /// What the sums received are multiplied by.
    pub strength: f32,
    /// A row for each vertex, to receive from.
    pub from: &'a [f32],
    /// A row for each vertex, to send to.
    pub to: &'a mut [f32],
}

/// One step of mean field inference for every pixel.
///
/// 1. Where `receive`: for the appearance, then for the smoothness, with `s` starting
///    at 0, `s += weight * from[vertex]` over the corners in order, and
///    `score += strength * s`. The sums go to a copy of the scores.
/// 2. The softmax of scores that are logarithms to the base 2: with the highest score
///    `h`, `e = exp2(max(score - h, NEGLIGIBLE))`. For `exp2(x)` the integer nearest to
///    `x`, ties to even, is taken from `x` (by way of [`ROUND`]), [`EXP2`] of the rest
///    evaluated by Horner's rule, and the integer added to its exponent. The sum adds
///    block to block, then lane `i + 4` to lane `i`, `i + 2` to `i`, and `1` to `0`;
///    `p = e * (1 / sum)`.
/// 3. Where `send`: `to[vertex] += weight * p` over the corners in order, pixel after
///    pixel. Elsewhere `p` takes the score's place.
#[derive(Debug)]
pub struct UpdateArgs<'a> {
    /// Blocks of a row, 1 to [`MAX_BLOCKS`].
    pub blocks: usize,
    /// Whether messages are received.
    pub receive: bool,
    /// Whether messages are sent.
    pub send: bool,
    /// A row for each pixel.
    pub scores: &'a mut [f32],
    /// By position and colour.
    pub appearance: Messages<'a, 6>,
    /// By position.
    pub smoothness: Messages<'a, 3>,
}
