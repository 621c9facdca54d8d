//! A compiled model as plain data: a flat list of integer operations over one
//! preplanned arena.
//!
//! [`crate::compile`] makes programs, [`crate::model::artifact`] stores them,
//! [`crate::engine::program`] runs them with the kernels of [`crate::kernels`].
//!
//! Every activation is unsigned 8-bit with a scale and a zero point; a model with
//! signed activations is shifted by 128 when it is compiled. Tensors are pictures
//! of batch 1 in row, column, channel order (NHWC). Where two operations follow
//! each other without another reader in between they are one operation here.
//!
//! Real value of a quantized one: `(q - zero_point) * scale`.

use serde::{Deserialize, Serialize};

pub mod check;
pub mod constants;

pub use crate::kernels::{Coordinates, NearestRule, Resample};
pub use check::ProgramError;
pub use constants::Constants;

/// A value's quantization.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quant {
    /// Size of one step; finite and above 0.
    pub scale: f32,
    /// The code that means 0.
    pub zero_point: u8,
}

impl Quant {
    /// The code nearest to a real number, the even step of two; 0 for a NaN.
    pub fn code(self, real: f32) -> u8 {
        // Neighbouring f32 are 1 apart there, so that a sum is rounded, ties to even,
        // without the call that `round_ties_even` is on some processors.
        const SHIFTER: f32 = 12_582_912.0;
        // Beyond 1024 steps the result is 0 or 255 whatever the zero point is. A NaN goes
        // the way of the lowest number.
        let steps = (real / self.scale).max(-1024.0);
        let steps = (steps.min(1024.0) + SHIFTER) - SHIFTER;
        (steps as i32 + i32::from(self.zero_point)).clamp(0, 255) as u8
    }

    /// The real number of a code.
    pub fn real(self, code: u8) -> f32 {
        (f32::from(code) - f32::from(self.zero_point)) * self.scale
    }
}

/// Index of a tensor in [`Program::tensors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TensorId(pub u32);

/// A picture in the arena, or a slice of another one's channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tensor {
    /// Name in the model it came from, for reports.
    pub name: String,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Channels.
    pub channels: u32,
    /// What its codes mean.
    pub quant: Quant,
    /// Where in the arena the first channel of the first pixel lies, in bytes.
    pub offset: u64,
    /// Bytes from one pixel to the next: `channels`, or more for a part of a
    /// concatenation, which is written in place. Rows follow each other without
    /// a gap: a row is `width * pixel_stride` bytes.
    pub pixel_stride: u32,
}

/// A run of elements in [`Program::constants`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// First byte; a multiple of 64.
    pub offset: u64,
    /// Number of elements (not bytes).
    pub len: u64,
}

/// A window that moves over a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: [u32; 2],
    /// Step down and right.
    pub stride: [u32; 2],
    /// Distance between the kernel's own rows and columns.
    pub dilation: [u32; 2],
    /// Border above and left. What lies below and right follows from the sizes;
    /// outside the picture everything is 0 (the zero point).
    pub pad: [u32; 2],
}

/// One operation. Sizes are those of its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// The input picture, three bytes a pixel, to the first tensor: one table of
    /// 256 codes for each of the tensor's three channels.
    Input {
        /// Three channels, at the program's input size.
        output: TensorId,
        /// For each of the tensor's channels the byte of the pixel (0 red, 1
        /// green, 2 blue) it is made from.
        order: [u8; 3],
        /// 768 codes: a table for each of the tensor's channels.
        tables: Span,
    },
    /// Convolution of any kind.
    Conv(Conv),
    /// Element-wise sum of two tensors of one shape:
    /// `clamp(round((a * ka + b * kb) + (z - (za * ka + zb * kb))))` with `ka = sa / s`
    /// and `kb = sb / s`, each operation rounded to f32.
    Add {
        /// First summand.
        a: TensorId,
        /// Second summand.
        b: TensorId,
        /// The sum.
        output: TensorId,
        /// Codes the result is kept within.
        clamp: [u8; 2],
    },
    /// Element-wise product, `b` of the same shape or 1x1 (one factor a channel):
    /// `clamp(round(((a - za) * (b - zb)) * (sa * sb / s)) + z)`, integers first.
    Mul {
        /// First factor.
        a: TensorId,
        /// Second factor.
        b: TensorId,
        /// The product.
        output: TensorId,
        /// Codes the result is kept within.
        clamp: [u8; 2],
    },
    /// Code by code through a table: another quantization, an activation function.
    Map {
        /// From.
        input: TensorId,
        /// To; the same shape.
        output: TensorId,
        /// 256 codes.
        table: Span,
    },
    /// Mean over a window that ignores what lies outside the picture:
    /// `clamp(round((sum - n * zx) * (sx / (s * n))) + z)` over the `n` pixels
    /// inside. The global average pool is a window of the whole picture.
    AveragePool {
        /// From.
        input: TensorId,
        /// To; the same channels.
        output: TensorId,
        /// The window; its dilation is 1.
        window: Window,
        /// Whether pixels outside count (as 0): `n` is then the kernel's size.
        count_outside: bool,
    },
    /// Largest code over a window; both tensors have one quantization.
    MaxPool {
        /// From.
        input: TensorId,
        /// To; the same channels.
        output: TensorId,
        /// The window.
        window: Window,
    },
    /// Element-wise the larger code of two tensors; all three have one shape and one
    /// quantization.
    Max {
        /// One.
        a: TensorId,
        /// The other.
        b: TensorId,
        /// The larger codes.
        output: TensorId,
    },
    /// Channels become pixels (ONNX `DepthToSpace`, order DCR): each pixel turns into
    /// `block` rows and columns, its channels being theirs in the order block row, block
    /// column, channel. The output is the part of that picture that begins at `begin`.
    /// With a block of 1x1 rows and columns are cut off and nothing else. Both tensors have
    /// one quantization.
    DepthToSpace {
        /// From.
        input: TensorId,
        /// To.
        output: TensorId,
        /// Rows and columns that a pixel becomes.
        block: [u32; 2],
        /// Rows above and columns to the left of the output.
        begin: [u32; 2],
    },
    /// Another size; both tensors have one quantization.
    Resize {
        /// From.
        input: TensorId,
        /// To; the same channels.
        output: TensorId,
        /// How.
        resample: Resample,
    },
    /// The class of every pixel of the output mask: the largest code among the
    /// channels, the lowest class where several are equal, after resizing to the
    /// mask's size. Never makes the resized picture.
    Argmax {
        /// Codes of one quantization, a channel for each class.
        input: TensorId,
        /// How the codes reach the mask's size.
        resample: Resample,
    },
}

/// A convolution with everything that follows it.
///
/// For output channel `o`: `acc = bias[o] + Σ (x - zx) * (w - zw[o])` in i32; then
/// `q = clamp(round(acc as f32 * multiplier[o]) + z)`, rounding half to even; then
/// the residual, if any, is added as in [`Op::Add`] with `q` as `a`, or as `b` where the
/// residual is `first`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    /// From.
    pub input: TensorId,
    /// To.
    pub output: TensorId,
    /// Groups: input channels `g * ci / groups ..` feed output channels
    /// `g * co / groups ..`.
    pub groups: u32,
    /// The window.
    pub window: Window,
    /// i8, in the order output channel, kernel row, kernel column, input channel
    /// of the group.
    pub weights: Span,
    /// i8, one for each output channel; empty where all are 0.
    pub weight_zero_points: Span,
    /// i32, one for each output channel.
    pub bias: Span,
    /// f32, one for each output channel: `sx * sw[o] / s`.
    pub multipliers: Span,
    /// Codes `q` is kept within: an activation is part of it.
    pub clamp: [u8; 2],
    /// Quantization of `q`: the output's, unless a residual follows.
    pub quant: Quant,
    /// Added to `q`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residual: Option<Residual>,
}

/// A tensor added to a convolution's result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// The other summand, of the output's shape.
    pub tensor: TensorId,
    /// Codes the sum is kept within.
    pub clamp: [u8; 2],
    /// Whether it is the sum's first summand, and `q` the second.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
}

/// What a program ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Output {
    /// A mask: the last operation is [`Op::Argmax`].
    Labels {
        /// Mask width in pixels.
        width: u32,
        /// Mask height in pixels.
        height: u32,
    },
    /// Quantized scores, one channel for each class.
    Logits {
        /// The scores.
        scores: TensorId,
        /// How their reader is to bring them to the mask's size and choose the class: as an
        /// [`Op::Argmax`] with this would.
        resample: Resample,
    },
    /// Nothing of its own: it is the body of a [`Region`], which names its results.
    Codes,
}

/// A compiled model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Width of the input picture in pixels.
    pub width: u32,
    /// Height of the input picture in pixels.
    pub height: u32,
    /// The tensors.
    pub tensors: Vec<Tensor>,
    /// The operations, in an order in which they can run.
    pub ops: Vec<Op>,
    /// What it ends in.
    pub output: Output,
    /// Bytes of the arena all tensors lie in.
    pub arena_bytes: u64,
    /// Weights, biases, multipliers and tables, little-endian; every span is
    /// aligned to 64 bytes.
    #[serde(skip)]
    pub constants: Constants,
}

impl Program {
    /// Multiplications (with an addition each) of one of its operations: those of a
    /// convolution, 0 of anything else. The program has passed its check.
    pub fn macs(&self, op: &Op) -> u64 {
        let Op::Conv(conv) = op else { return 0 };
        let output = &self.tensors[conv.output.0 as usize];
        // Each output channel has its share of the weights, and uses it at each pixel.
        u64::from(output.height) * u64::from(output.width) * conv.weights.len
    }
}

/// A part of a model as a program: pictures of codes in, pictures of codes or the mask
/// out. The caller fills the inputs before each run.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Its operations, none of which is [`Op::Input`]. It ends in [`Output::Labels`] or
    /// [`Output::Codes`]; width and height are the mask's.
    pub body: Program,
    /// Tensors that no operation writes: the caller does, before the first one.
    pub inputs: Vec<TensorId>,
    /// Tensors that hold a result when the last operation is done.
    pub outputs: Vec<TensorId>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn codes_are_rounded_half_to_even_and_saturate(
            bits in any::<u32>(), halves in -4000i32..4000, zero_point in any::<u8>(),
        ) {
            let quant = Quant { scale: 0.5, zero_point };
            for real in [f32::from_bits(bits), halves as f32 / 4.0] {
                let steps = (real / 0.5).round_ties_even();
                let expected = (steps + f32::from(zero_point)) as u8;
                prop_assert_eq!(quant.code(real), expected, "{}", real);
            }
        }

        #[test]
        fn a_code_survives_the_way_to_a_real_number(
            code in any::<u8>(), zero_point in any::<u8>(), scale in 1e-30f32..1e30,
        ) {
            let quant = Quant { scale, zero_point };
            prop_assert_eq!(quant.code(quant.real(code)), code);
        }
    }
}
