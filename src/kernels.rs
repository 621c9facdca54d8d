//! Integer kernels: the arithmetic of a compiled model's operations.
//!
//! A kernel takes slices and numbers; it knows neither programs nor threads. All
//! pictures are of batch 1 in row, column, channel order (NHWC) with unsigned
//! 8-bit codes; a code `q` means `(q - zero_point) * scale`.
//!
//! The kernels of [`scalar`] are the specification: what they give is the result,
//! and a kernel for a particular processor is right when it gives the same bytes.
//! The formulas below and there leave nothing open, the order of the f32
//! operations included. No two f32 operations are fused except where `fma` is written,
//! and every one of them rounds to the nearest f32, ties to even (IEEE 754's default).
//!
//! # What a caller ensures
//!
//! Kernels check shapes by `debug_assert!` only; whoever loads a program checks it.
//! Height, width, channels, strides and dilations are above 0. A clamp's first code
//! is not above its second. Scales and multipliers are finite, and those of a sum
//! are below 2^100, so no result is NaN. In a release build a broken promise
//! gives a panic or wrong codes, nothing worse.
//!
//! # Rounding to a code
//!
//! An f32 `v` becomes a code by `code(v, z, clamp)`:
//!
//! 1. `i = v.round_ties_even() as i32`, which saturates;
//! 2. `i.saturating_add(z)`;
//! 3. not below `clamp[0]`, not above `clamp[1]`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod aligned;
pub mod cpu;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod gather;
pub mod imaging;
pub mod mean_field;
mod runs;
pub mod scalar;
pub mod scratch;
mod steps;
mod taps;
#[cfg(test)]
mod testing;
pub mod variants;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use aligned::AlignedBytes;

/// A picture to read: bytes from its first pixel's first channel on.
///
/// `data` holds at least `(height * width - 1) * pixel_stride + channels` bytes;
/// rows have no gap beyond `width * pixel_stride`. The bytes between two pixels
/// belong to somebody else.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The codes.
    pub data: &'a [u8],
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Bytes from one pixel to the next, at least `channels`.
    pub pixel_stride: usize,
}

impl<'a> Source<'a> {
    /// The channels of one pixel.
    #[inline]
    pub fn pixel(&self, y: usize, x: usize) -> &'a [u8] {
        &self.data[(y * self.width + x) * self.pixel_stride..][..self.channels]
    }

    /// Number of pixels.
    #[inline]
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Whether no byte lies between two pixels.
    #[inline]
    pub fn is_packed(&self) -> bool {
        self.pixel_stride == self.channels
    }

    /// The bytes from pixel `first` on, counted row by row; none beyond the last one.
    #[inline]
    pub fn from_pixel(&self, first: usize) -> &'a [u8] {
        let rest = self.data.get(first * self.pixel_stride..);
        rest.unwrap_or_default()
    }
}

/// A picture to write, or some of its pixels, laid out as a [`Source`]. The bytes
/// between two pixels are left as they are.
#[derive(Debug)]
pub struct Target<'a> {
    /// The codes, from the first channel of the first pixel to write on.
    pub data: &'a mut [u8],
    /// The pixels to write, counted row by row from 0.
    pub range: Range<usize>,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Bytes from one pixel to the next, at least `channels`.
    pub pixel_stride: usize,
}

impl<'a> Target<'a> {
    /// The same target for a while.
    pub fn reborrow(&mut self) -> Target<'_> {
        Target {
            data: self.data,
            range: self.range.clone(),
            ..*self
        }
    }

    /// The first `count` pixels to write, and the others.
    pub fn split_at(self, count: usize) -> (Self, Self) {
        let middle = self.range.start + count;
        // The last pixel's bytes end with its channels.
        let bytes = (count * self.pixel_stride).min(self.data.len());
        let (first, rest) = self.data.split_at_mut(bytes);
        let part = |data: &'a mut [u8], range| Self {
            data,
            range,
            ..self
        };
        (
            part(first, self.range.start..middle),
            part(rest, middle..self.range.end),
        )
    }

    /// The channels of one pixel out of the range.
    #[inline]
    pub fn pixel_mut(&mut self, y: usize, x: usize) -> &mut [u8] {
        let index = y * self.width + x - self.range.start;
        &mut self.data[index * self.pixel_stride..][..self.channels]
    }

    /// Row and column of each pixel to write.
    #[inline]
    pub fn positions(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let width = self.width;
        self.range
            .clone()
            .map(move |index| (index / width, index % width))
    }

    /// The rows to write, where the range is made of whole ones.
    #[inline]
    pub fn rows(&self) -> Range<usize> {
        debug_assert_eq!(self.range.start % self.width, 0);
        debug_assert_eq!(self.range.end % self.width, 0);
        self.range.start / self.width..self.range.end / self.width
    }

    /// Whether no byte lies between two pixels.
    #[inline]
    pub fn is_packed(&self) -> bool {
        self.pixel_stride == self.channels
    }
}

/// A window that moves over a picture.
///
/// Tap `t` of output row `o` reads input row `o * stride + t * dilation - pad`, and
/// so for columns. What lies below and right of the picture follows from the sizes:
/// a target may have as many rows and columns as its owner likes, and taps outside
/// the picture contribute nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Step down and right.
    pub stride: [usize; 2],
    /// Distance between the kernel's own rows and columns.
    pub dilation: [usize; 2],
    /// Border above and left.
    pub pad: [usize; 2],
}

/// A convolution (ONNX `QLinearConv` with i8 weights and f32 multipliers).
///
/// For output channel `o`, over the taps inside the picture and the input channels
/// of `o`'s group:
///
/// 1. `acc = bias[o] + Σ (x - input_zero_point) * (w - weight_zero_points[o])` in
///    i32, modulo 2^32, so the order of summation is free. With
///    `k = kernel[0] * kernel[1] * input channels of a group`, nothing wraps where
///    `k * 255 * 255 + |bias[o]| < 2^31`; whoever loads a program checks that.
/// 2. `v = acc as f32 * multipliers[o]`: one conversion, one product.
/// 3. `q = code(v, output_zero_point, clamp)`, see the [module](self).
///
/// A [`Residual`] is then added to `q`.
#[derive(Debug, Clone, Copy)]
pub struct ConvArgs<'a> {
    /// Groups; they divide both numbers of channels. Group `g` reads input channels
    /// `g * input / groups ..` and gives output channels `g * output / groups ..`.
    pub groups: usize,
    /// The window.
    pub window: Window,
    /// In the order output channel, kernel row, kernel column, input channel of the
    /// group.
    pub weights: &'a [i8],
    /// One for each output channel; empty where all are 0.
    pub weight_zero_points: &'a [i8],
    /// One for each output channel.
    pub bias: &'a [i32],
    /// One for each output channel: input scale * weight scale / output scale.
    pub multipliers: &'a [f32],
    /// The input's code for 0.
    pub input_zero_point: u8,
    /// The code of `q` for 0.
    pub output_zero_point: u8,
    /// Codes `q` is kept within; an activation is part of it.
    pub clamp: [u8; 2],
}

/// A picture added to a convolution's result as in [`AddArgs`]: `q` is `a`, the
/// picture `b`, and `add.a_zero_point` the convolution's output zero point.
#[derive(Debug, Clone, Copy)]
pub struct Residual<'a> {
    /// The other summand, of the output's shape.
    pub source: Source<'a>,
    /// How it is added.
    pub add: AddArgs,
}

/// A sum of two codes of unlike quantization (`QLinearAdd`).
///
/// Every operation below is rounded to f32; `fma(x, y, z)` is `x * y + z`, rounded once:
///
/// 1. `zeros = fma(a_zero_point, a_scale, b_zero_point * b_scale)`;
/// 2. `offset = output_zero_point - zeros`;
/// 3. `value = fma(a, a_scale, fma(b, b_scale, offset))`;
/// 4. `code(value, 0, clamp)`, see the [module](self).
///
/// With `b_first` `a` and `b` change places in 1 and 3. These are the operations of ONNX
/// Runtime 1.31 on processors with fused multiply-add (found by comparing codes), so that
/// a sum at the middle between two codes goes the way that its sums go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AddArgs {
    /// The first summand's code for 0.
    pub a_zero_point: u8,
    /// The second summand's code for 0.
    pub b_zero_point: u8,
    /// The first summand's scale / the sum's scale.
    pub a_scale: f32,
    /// The second summand's scale / the sum's scale.
    pub b_scale: f32,
    /// The sum's code for 0.
    pub output_zero_point: u8,
    /// Codes the sum is kept within.
    pub clamp: [u8; 2],
    /// Whether the second summand is the graph's first.
    pub b_first: bool,
}

/// A product of two codes (`QLinearMul`).
///
/// 1. `p = (a - a_zero_point) * (b - b_zero_point)` in i32;
/// 2. `code(p as f32 * scale, output_zero_point, clamp)`, see the [module](self).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MulArgs {
    /// The first factor's code for 0.
    pub a_zero_point: u8,
    /// The second factor's code for 0.
    pub b_zero_point: u8,
    /// The factors' scales' product / the product's scale.
    pub scale: f32,
    /// The product's code for 0.
    pub output_zero_point: u8,
    /// Codes the product is kept within.
    pub clamp: [u8; 2],
}

/// A mean over a window (`QLinearAveragePool`, `QLinearGlobalAveragePool`).
///
/// 1. `n` is the number of taps inside the picture, or of all the kernel's taps
///    where `count_outside`;
/// 2. `sum = Σ (x - input_zero_point)` over the taps inside, in i32 modulo 2^32;
///    nothing wraps below 2^23 taps;
/// 3. `m = scale / n as f32`: one conversion, one division;
/// 4. `code(sum as f32 * m, output_zero_point, clamp)`, see the [module](self).
///
/// Where `n` is 0 the mean is 0: `code(0, output_zero_point, clamp)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoolArgs {
    /// The window.
    pub window: Window,
    /// Whether taps outside the picture count, as 0.
    pub count_outside: bool,
    /// The input's code for 0.
    pub input_zero_point: u8,
    /// The input's scale / the output's scale.
    pub scale: f32,
    /// The output's code for 0.
    pub output_zero_point: u8,
    /// Codes the mean is kept within.
    pub clamp: [u8; 2],
}

/// How a picture gets another size (ONNX `Resize`).
///
/// Rows and columns are treated alike and apart. The position of an output row is a
/// ratio of integers by [`Coordinates`], and no step below rounds but where it says
/// so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Resample {
    /// The pixel nearest to the position, kept within the picture.
    Nearest(Coordinates, NearestRule),
    /// Bilinear in fixed point.
    ///
    /// The position is rounded to the nearest 1/2048, ties up, and kept within
    /// `0 ..= m - 1`: a row `y` and a fraction `fy` of `0 ..= 2047`. With `t` and
    /// `b` the codes of rows `y` and `y + 1` (of row `y` alone where `fy` is 0),
    /// left and right, the result is
    /// `(s + 2^21) >> 22` of the u32 sum
    /// `s = tl * (2048 - fy) * (2048 - fx) + tr * (2048 - fy) * fx
    ///    + bl * fy * (2048 - fx) + br * fy * fx`.
    Bilinear(Coordinates),
    /// As [`Bilinear`](Self::Bilinear), but a choice of the class compares `s >> 8` instead of
    /// the codes: a difference that rounding would hide decides. A resized picture has the
    /// codes of `Bilinear`.
    Unrounded(Coordinates),
}

/// How a choice of the class compares bilinear sums: `(s + half) >> dropped`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comparison {
    /// What is added to a sum.
    pub half: i32,
    /// How many of its lowest bits do not count; 8 or more.
    pub dropped: u32,
}

impl Comparison {
    /// That of a resample which sums.
    pub fn of(resample: Resample) -> Self {
        let (half, dropped) = match resample {
            Resample::Unrounded(_) => (0, 8),
            Resample::Bilinear(_) | Resample::Nearest(..) => (1 << 21, 22),
        };
        Self { half, dropped }
    }
}

/// Where an output pixel `o` of `n` lies among `m` input pixels
/// (`coordinate_transformation_mode` of ONNX `Resize`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Coordinates {
    /// `o * (m - 1) / (n - 1)`, 0 where `n` is 1.
    AlignCorners,
    /// `(o + 1/2) * m / n - 1/2`.
    HalfPixel,
    /// `o * m / n`.
    Asymmetric,
    /// `o - floor((n - m) / 2)`: the input is the middle of the output, pixel for pixel.
    Middle,
}

/// Which pixel is nearest to a position between two (`nearest_mode` of ONNX
/// `Resize`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NearestRule {
    /// The one before.
    Floor,
    /// The one after.
    Ceil,
    /// The nearer; at the middle the one before.
    RoundPreferFloor,
    /// The nearer; at the middle the one after.
    RoundPreferCeil,
}
