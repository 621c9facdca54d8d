//! Convolutions that mix channels: the input under the window of some pixels is
//! laid out as rows of a matrix, and multiplied.

use std::ops::Range;

use super::Shape;
use crate::kernels::Source;
use crate::kernels::scratch::Scratch;
use crate::kernels::taps::{COLUMNS, ROWS, at, inside};

/// Pixels laid out at once: enough to read the weights seldom, and few enough for
/// the patches to stay in the first cache.
const PIXELS: usize = 16;
/// Pixels of one tile; each of its weights is loaded once for all of them.
const TILE_PIXELS: usize = 4;
/// Output channels of one tile; `TILE_PIXELS * TILE_OUTPUTS` accumulators have to
/// fit the vector registers of every processor.
const TILE_OUTPUTS: usize = 2;
/// Rows are padded with zeros to a multiple of this, so that no tile has a tail.
const DEPTH_STEP: usize = 8;

/// Weights of a convolution that mixes channels.
#[derive(Debug, Clone)]
pub(super) struct Dense {
    /// In the order output channel, kernel row, kernel column, input channel; each
    /// output channel's are `depth` long, zeros at the end.
    weights: Vec<i16>,
    /// Taps times input channels of a group, padded.
    depth: usize,
}

impl Dense {
    /// `weight(o, k)` is the `k`-th weight of output channel `o`.
    pub(super) fn pack(shape: &Shape, weight: impl Fn(usize, usize) -> i16) -> Self {
        let window = &shape.window;
        let filled = window.kernel[ROWS] * window.kernel[COLUMNS] * shape.inputs;
        let depth = filled.next_multiple_of(DEPTH_STEP);
        let mut weights = vec![0; shape.outputs * depth];
        for (o, row) in weights.chunks_exact_mut(depth).enumerate() {
            for (k, to) in row[..filled].iter_mut().enumerate() {
                *to = weight(o, k);
            }
        }
        Self { weights, depth }
    }

    /// Lengths of the patches and of the accumulators.
    pub(super) fn scratch(&self, shape: &Shape) -> (usize, usize) {
        (PIXELS * self.depth, PIXELS * shape.outputs)
    }

    /// Sums each of `pixels` of a picture `width` wide and hands them to
    /// `finish(y, x, sums)`.
    pub(super) fn run(
        &self,
        shape: &Shape,
        source: Source<'_>,
        width: usize,
        pixels: Range<usize>,
        scratch: &mut Scratch,
        finish: &mut impl FnMut(usize, usize, &[i32]),
    ) {
        let (patches, sums) = self.scratch(shape);
        let (patches, sums) = scratch.conv(patches, sums);
        let group_outputs = shape.outputs / shape.groups;
        for first in pixels.clone().step_by(PIXELS) {
            let count = PIXELS.min(pixels.end - first);
            let patches = &mut patches[..count * self.depth];
            for group in 0..shape.groups {
                for (index, patch) in patches.chunks_exact_mut(self.depth).enumerate() {
                    let pixel = first + index;
                    lay_out(shape, source, group, (pixel / width, pixel % width), patch);
                }
                let start = group * group_outputs;
                let weights = &self.weights[start * self.depth..][..group_outputs * self.depth];
                multiply(
                    patches,
                    weights,
                    self.depth,
                    &mut sums[start..],
                    shape.outputs,
                );
            }
            for (index, sums) in sums.chunks_exact(shape.outputs).take(count).enumerate() {
                let pixel = first + index;
                finish(pixel / width, pixel % width, sums);
            }
        }
    }
}

/// The input under the window of one output pixel, less its zero point; what lies
/// outside the picture is 0 then, and so is the padding at the end.
#[inline]
fn lay_out(
    shape: &Shape,
    source: Source<'_>,
    group: usize,
    (oy, ox): (usize, usize),
    patch: &mut [i16],
) {
    let Shape { window, inputs, .. } = shape;
    let rows = inside(window, ROWS, oy, source.height);
    let columns = inside(window, COLUMNS, ox, source.width);
    if rows.len() * columns.len() * inputs < patch.len() {
        patch.fill(0);
    }
    let zero = i16::from(shape.input_zero_point);
    let copy = |to: &mut [i16], from: &[u8]| {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = i16::from(from) - zero;
        }
    };
    // Neighbouring taps whose channels follow each other are one run.
    let joined = source.pixel_stride == *inputs && window.dilation[COLUMNS] == 1;
    for ky in rows {
        let y = at(window, ROWS, oy, ky);
        let row = &mut patch[ky * window.kernel[COLUMNS] * inputs..];
        if joined && !columns.is_empty() {
            let x = at(window, COLUMNS, ox, columns.start);
            let from = (y * source.width + x) * inputs;
            let len = columns.len() * inputs;
            copy(
                &mut row[columns.start * inputs..][..len],
                &source.data[from..][..len],
            );
        } else {
            for kx in columns.clone() {
                let x = at(window, COLUMNS, ox, kx);
                let from = &source.pixel(y, x)[group * inputs..][..*inputs];
                copy(&mut row[kx * inputs..][..*inputs], from);
            }
        }
    }
}

/// `sums[p * stride + o] = Σ patches[p][k] * weights[o][k]` over the `depth` of
/// both.
fn multiply(patches: &[i16], weights: &[i16], depth: usize, sums: &mut [i32], stride: usize) {
    let mut o = 0;
    for block in weights.chunks(TILE_OUTPUTS * depth) {
        if block.len() == TILE_OUTPUTS * depth {
            multiply_block::<TILE_OUTPUTS>(patches, block, depth, &mut sums[o..], stride);
        } else {
            for (index, row) in block.chunks_exact(depth).enumerate() {
                multiply_block::<1>(patches, row, depth, &mut sums[o + index..], stride);
            }
        }
        o += TILE_OUTPUTS;
    }
}

/// [`multiply`] for `O` output channels.
fn multiply_block<const O: usize>(
    patches: &[i16],
    weights: &[i16],
    depth: usize,
    sums: &mut [i32],
    stride: usize,
) {
    let mut p = 0;
    for block in patches.chunks(TILE_PIXELS * depth) {
        if block.len() == TILE_PIXELS * depth {
            let tile = tile::<TILE_PIXELS, O>(block, weights, depth);
            for (index, row) in tile.iter().enumerate() {
                sums[(p + index) * stride..][..O].copy_from_slice(row);
            }
        } else {
            for (index, patch) in block.chunks_exact(depth).enumerate() {
                let [row] = tile::<1, O>(patch, weights, depth);
                sums[(p + index) * stride..][..O].copy_from_slice(&row);
            }
        }
        p += TILE_PIXELS;
    }
}

/// The scalar products of `P` patches with the weights of `O` output channels.
#[inline]
fn tile<const P: usize, const O: usize>(
    patches: &[i16],
    weights: &[i16],
    depth: usize,
) -> [[i32; O]; P] {
    let patches: [&[i16]; P] = std::array::from_fn(|p| &patches[p * depth..][..depth]);
    let weights: [&[i16]; O] = std::array::from_fn(|o| &weights[o * depth..][..depth]);
    let mut sums = [[0i32; O]; P];
    for k in 0..depth {
        for (sums, patch) in sums.iter_mut().zip(patches) {
            for (sum, weights) in sums.iter_mut().zip(weights) {
                let product = i32::from(patch[k]) * i32::from(weights[k]);
                *sum = sum.wrapping_add(product);
            }
        }
    }
    sums
}
