//! What a convolution needs beyond its weights, and whether these kernels can give it.

use std::borrow::Cow;
use std::ops::Range;

use crate::kernels::{AddArgs, ConvArgs, Residual, Source, Target};

/// Effective weights as bytes: `w - zero point`; `None` where one does not fit.
pub fn weights<'a>(args: &ConvArgs<'a>) -> Option<Cow<'a, [i8]>> {
    if args.weight_zero_points.iter().all(|&zero| zero == 0) {
        return Some(Cow::Borrowed(args.weights));
    }
    let rows = args
        .weights
        .chunks_exact(args.weights.len() / args.bias.len());
    let mut effective = Vec::with_capacity(args.weights.len());
    for (row, &zero) in rows.zip(args.weight_zero_points) {
        for weight in row {
            effective.push(weight.checked_sub(zero)?);
        }
    }
    Some(Cow::Owned(effective))
}

/// Biases for sums of codes less `offset`, not less their zero point: less
/// `(input zero point - offset) * Σ weights`. `None` where an accumulator or its product
/// with the multiplier may leave the 32-bit range.
pub fn biases(args: &ConvArgs<'_>, weights: &[i8], offset: i32) -> Option<Vec<i32>> {
    let zero = i64::from(args.input_zero_point) - i64::from(offset);
    let length = weights.len() / args.bias.len();
    let numbers = args.bias.iter().zip(args.multipliers);
    let bias = |((&bias, &multiplier), weights): ((&i32, &f32), &[i8])| {
        // These overflow from 2^24 weights on; a program that passed its check has fewer
        // than 2^16 a channel.
        let sum: i32 = weights.iter().map(|&w| i32::from(w)).sum();
        let size: i32 = weights.iter().map(|&w| i32::from(w).abs()).sum();
        let bias = i64::from(bias) - zero * i64::from(sum);
        let bound = bias.abs() + 255 * i64::from(size);
        let limit = f64::from(1u32 << 30);
        let small = (bound as f64) < limit && bound as f64 * f64::from(multiplier.abs()) < limit;
        small.then_some(bias as i32)
    };
    numbers
        .zip(weights.chunks_exact(length))
        .map(bias)
        .collect()
}

/// Checks, once a run, what the loops rely on: numbers of channels, and that source,
/// summand and target are as long as their sizes say. The target has pixels to write.
/// Returns the summand.
///
/// # Panics
/// Where a caller broke its promise.
pub fn checked_sum(
    source: &Source<'_>,
    inputs: usize,
    residual: Option<&Residual<'_>>,
    target: &Target<'_>,
    outputs: usize,
) -> Option<Sum> {
    let reaches = |data: &[u8], pixels: usize, stride: usize, channels: usize| {
        assert!(data.len() >= (pixels - 1) * stride + channels);
    };
    let Range { start, end } = target.range;
    assert_eq!(source.channels, inputs);
    reaches(source.data, source.pixels(), source.pixel_stride, inputs);
    assert_eq!(target.channels, outputs);
    assert!(end <= target.height * target.width);
    reaches(
        target.data,
        target.range.len(),
        target.pixel_stride,
        outputs,
    );
    residual.map(|residual| {
        let other = &residual.source;
        assert_eq!(other.channels, outputs);
        reaches(other.data, end, other.pixel_stride, outputs);
        Sum::new(residual.source, &residual.add, start)
    })
}

/// The way from accumulators to codes, but for the multipliers.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue {
    /// The code for 0.
    pub zero_point: i16,
    /// Codes are kept within.
    pub clamp: [u8; 2],
}

impl Epilogue {
    pub fn new(args: &ConvArgs<'_>) -> Self {
        Self {
            zero_point: i16::from(args.output_zero_point),
            clamp: args.clamp,
        }
    }
}

/// A picture to add to the codes.
#[derive(Debug, Clone, Copy)]
pub struct Sum {
    /// The other summand's code of the first channel of the first pixel of the target.
    pub data: *const u8,
    /// Its bytes from one pixel to the next.
    pub stride: usize,
    /// The first and the second summand's scale / the sum's.
    pub scales: [f32; 2],
    /// Whether this picture is the first summand.
    pub is_first: bool,
    /// `output zero point - zeros`, see [`AddArgs`].
    pub offset: f32,
    /// Codes of the sum are kept within.
    pub clamp: [u8; 2],
}

impl Sum {
    /// `first` is the first pixel of the target.
    pub fn new(other: Source<'_>, add: &AddArgs, first: usize) -> Self {
        let AddArgs {
            a_zero_point,
            b_zero_point,
            a_scale,
            b_scale,
            output_zero_point,
            clamp,
            b_first,
        } = *add;
        let mut summands = [(a_zero_point, a_scale), (b_zero_point, b_scale)];
        if b_first {
            summands.reverse();
        }
        let [(zero_first, scale_first), (zero_second, scale_second)] = summands;
        let zeros =
            f32::from(zero_first).mul_add(scale_first, f32::from(zero_second) * scale_second);
        Self {
            data: other.from_pixel(first).as_ptr(),
            stride: other.pixel_stride,
            scales: [scale_first, scale_second],
            is_first: b_first,
            offset: f32::from(output_zero_point) - zeros,
            clamp,
        }
    }

    /// The same picture from another pixel and channel on.
    ///
    /// # Safety
    /// Both lie within the picture.
    pub unsafe fn at(&self, pixel: usize, channel: usize) -> Self {
        Self {
            // SAFETY: the caller promises it.
            data: unsafe { self.data.add(pixel * self.stride + channel) },
            ..*self
        }
    }
}
