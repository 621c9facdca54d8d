//! Convolutions.

mod dense;
mod depthwise;

use super::round::{requantize, sum};
use crate::kernels::scratch::Scratch;
use crate::kernels::variants::Convolution;
use crate::kernels::{ConvArgs, Residual, Source, Target, Window};
use dense::Dense;
use depthwise::Depthwise;

/// A convolution's numbers, the weights as 16-bit differences from their zero point.
#[derive(Debug, Clone)]
struct Packed {
    shape: Shape,
    weights: Weights,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    output_zero_point: u8,
    clamp: [u8; 2],
}

/// What both ways to sum need to know.
#[derive(Debug, Clone, Copy)]
struct Shape {
    window: Window,
    groups: usize,
    /// Input channels of one group.
    inputs: usize,
    /// Output channels of all groups.
    outputs: usize,
    input_zero_point: u8,
}

#[derive(Debug, Clone)]
enum Weights {
    Dense(Dense),
    Depthwise(Depthwise),
}

/// Packs any convolution. The numbers of channels follow from the lengths: the
/// outputs from `bias`, the inputs from `weights`.
pub fn pack(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Some(Box::new(Packed::new(args)))
}

impl Packed {
    fn new(args: &ConvArgs<'_>) -> Self {
        let outputs = args.bias.len();
        let taps = args.window.kernel[0] * args.window.kernel[1];
        let shape = Shape {
            window: args.window,
            groups: args.groups,
            inputs: args.weights.len() / (outputs * taps),
            outputs,
            input_zero_point: args.input_zero_point,
        };
        debug_assert_eq!(args.weights.len(), outputs * taps * shape.inputs);
        debug_assert_eq!(args.multipliers.len(), outputs);
        debug_assert_eq!(outputs % args.groups, 0);
        debug_assert!([0, outputs].contains(&args.weight_zero_points.len()));
        // From here on a weight is `w - zero point`, which is at most 9 bits and a sign.
        let zero = |o: usize| args.weight_zero_points.get(o).copied().unwrap_or(0);
        let weight = |o: usize, k: usize| {
            i16::from(args.weights[o * taps * shape.inputs + k]) - i16::from(zero(o))
        };
        let weights = if shape.inputs == 1 && args.groups == outputs {
            Weights::Depthwise(Depthwise::pack(&shape, weight))
        } else {
            Weights::Dense(Dense::pack(&shape, weight))
        };
        Self {
            shape,
            weights,
            bias: args.bias.to_vec(),
            multipliers: args.multipliers.to_vec(),
            output_zero_point: args.output_zero_point,
            clamp: args.clamp,
        }
    }

    /// Accumulators of one pixel, bias not yet added, to its codes.
    #[inline]
    fn finish(&self, sums: &[i32], residual: Option<(&Residual<'_>, &[u8])>, out: &mut [u8]) {
        let numbers = self.bias.iter().zip(&self.multipliers);
        for ((out, &sum), (&bias, &multiplier)) in out.iter_mut().zip(sums).zip(numbers) {
            let acc = sum.wrapping_add(bias);
            *out = requantize(acc, multiplier, self.output_zero_point, self.clamp);
        }
        if let Some((residual, codes)) = residual {
            for (out, &code) in out.iter_mut().zip(codes) {
                *out = sum(*out, code, &residual.add);
            }
        }
    }
}

impl Convolution for Packed {
    fn reserve(&self, scratch: &mut Scratch) {
        let (patches, sums) = match &self.weights {
            Weights::Dense(dense) => dense.scratch(&self.shape),
            Weights::Depthwise(_) => (0, Depthwise::scratch(&self.shape)),
        };
        scratch.conv(patches, sums);
    }

    fn run(
        &self,
        source: Source<'_>,
        residual: Option<&Residual<'_>>,
        mut target: Target<'_>,
        scratch: &mut Scratch,
    ) {
        debug_assert_eq!(source.channels, self.shape.groups * self.shape.inputs);
        debug_assert_eq!(target.channels, self.shape.outputs);
        debug_assert!(residual.is_none_or(|r| {
            (r.source.height, r.source.width, r.source.channels)
                == (target.height, target.width, target.channels)
        }));
        let width = target.width;
        let pixels = target.range.clone();
        let mut finish = |y: usize, x: usize, sums: &[i32]| {
            let residual = residual.map(|r| (r, r.source.pixel(y, x)));
            self.finish(sums, residual, target.pixel_mut(y, x));
        };
        match &self.weights {
            Weights::Dense(dense) => {
                dense.run(&self.shape, source, width, pixels, scratch, &mut finish);
            }
            Weights::Depthwise(depthwise) => {
                depthwise.run(&self.shape, source, width, pixels, scratch, &mut finish);
            }
        }
    }
}
