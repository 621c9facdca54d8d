//! Convolutions that keep channels apart.

use std::ops::Range;

use super::Shape;
use crate::kernels::Source;
use crate::kernels::scratch::Scratch;
use crate::kernels::taps::{COLUMNS, ROWS, at, inside};

/// Channels that are summed at once, so that their sums stay in registers.
const BLOCK: usize = 32;

/// Weights of a convolution of as many groups as channels.
#[derive(Debug, Clone)]
pub(super) struct Depthwise {
    /// In the order kernel row, kernel column, channel.
    weights: Vec<i16>,
}

impl Depthwise {
    /// `weight(c, k)` is the weight of channel `c` at tap `k`.
    pub(super) fn pack(shape: &Shape, weight: impl Fn(usize, usize) -> i16) -> Self {
        let channels = shape.outputs;
        let taps = shape.window.kernel[ROWS] * shape.window.kernel[COLUMNS];
        let weights = (0..taps * channels).map(|index| weight(index % channels, index / channels));
        Self {
            weights: weights.collect(),
        }
    }

    /// Number of accumulators.
    pub(super) fn scratch(shape: &Shape) -> usize {
        shape.outputs
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
        let (_, sums) = scratch.conv(0, Self::scratch(shape));
        for pixel in pixels {
            let (y, x) = (pixel / width, pixel % width);
            self.sum(shape, source, y, x, sums);
            finish(y, x, sums);
        }
    }

    /// The sums of all channels of one output pixel.
    #[inline]
    fn sum(&self, shape: &Shape, source: Source<'_>, oy: usize, ox: usize, sums: &mut [i32]) {
        let channels = shape.outputs;
        let zero = i16::from(shape.input_zero_point);
        let window = &shape.window;
        let rows = inside(window, ROWS, oy, source.height);
        let columns = inside(window, COLUMNS, ox, source.width);
        let taps = rows.flat_map(|ky| columns.clone().map(move |kx| (ky, kx)));
        let slices = taps.map(|(ky, kx)| {
            let pixel = source.pixel(at(window, ROWS, oy, ky), at(window, COLUMNS, ox, kx));
            let tap = ky * window.kernel[COLUMNS] + kx;
            (pixel, &self.weights[tap * channels..][..channels])
        });
        let (blocks, tail) = sums.as_chunks_mut::<BLOCK>();
        for (index, block) in blocks.iter_mut().enumerate() {
            let start = index * BLOCK;
            let mut sums = [0i32; BLOCK];
            for (codes, weights) in slices.clone() {
                accumulate(
                    &mut sums,
                    &codes[start..][..BLOCK],
                    &weights[start..][..BLOCK],
                    zero,
                );
            }
            *block = sums;
        }
        tail.fill(0);
        let start = blocks.len() * BLOCK;
        for (codes, weights) in slices {
            accumulate(tail, &codes[start..], &weights[start..], zero);
        }
    }
}

#[inline]
fn accumulate(sums: &mut [i32], codes: &[u8], weights: &[i16], zero: i16) {
    for ((sum, &code), &weight) in sums.iter_mut().zip(codes).zip(weights) {
        let product = i32::from(i16::from(code) - zero) * i32::from(weight);
        *sum = sum.wrapping_add(product);
    }
}
