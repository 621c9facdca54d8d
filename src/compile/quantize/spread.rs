//! Transposed convolutions, channels that become pixels, parts of a picture, and the
//! element-wise maximum.

use std::rc::Rc;

use super::super::import::SourceNode;
use super::super::limits;
use super::super::net::{Kind, Size, ValueId};
use super::super::transpose::{Axes, Axis};
use super::super::weights::{ChannelAffine, QuantizedWeights};
use super::linear::NO_WEIGHTS;
use super::{Inputs, Linear, PendingKind, Rejected, State, Walk, not_quantized, refused};
use crate::program::{Quant, Window};

/// How a convolution's result becomes a picture of more pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    /// The convolution's own result.
    pub size: Size,
    pub block: [u32; 2],
    pub begin: [u32; 2],
}

impl Spread {
    /// Pixels that one becomes.
    fn pixels(self) -> usize {
        self.block[0] as usize * self.block[1] as usize
    }

    /// Numbers of each channel, for the channels of the convolution.
    pub fn affine(self, affine: &ChannelAffine) -> ChannelAffine {
        ChannelAffine {
            factors: affine.factors.repeat(self.pixels()),
            summands: affine.summands.repeat(self.pixels()),
        }
    }
}

impl Walk<'_> {
    /// A transposed convolution with stride `s` is an ordinary one with `s` times `s` as many
    /// outputs, one set for each place in a block of `s` times `s` pixels, which then become
    /// these pixels.
    ///
    /// Row `y` of the whole result is the sum over taps `k` and input rows `i` with
    /// `y = s i + k`. With `y = s q + r` that is `k = r + s t` and `i = q - t`: a window over
    /// the rows `q - t`, whose taps depend on the place `r` alone.
    pub(super) fn conv_transpose(
        &mut self,
        node: &SourceNode,
        [kernel, stride, pad]: [[u32; 2]; 3],
        inputs: &Inputs,
    ) -> Result<State, Rejected> {
        let codes = self.settled(inputs.required(0)?)?;
        if codes.axes != Axes::NCHW {
            return refused("its input's axes are not batch, channel, row, column");
        }
        let State::Dequantized(weights) = inputs.required(1)? else {
            return refused(NO_WEIGHTS);
        };
        let (weights, shape) = self.weights(weights, 1)?;
        let &[channels, outputs, rows, columns] = shape.as_slice() else {
            return refused("its weights have not four sides");
        };
        if weights.codes.len() != shape.iter().product::<usize>()
            || [rows, columns].map(|n| n as u32) != kernel
        {
            return refused("its weights have another shape than it says");
        }
        let from = self.net.value(codes.value).size;
        // Taps down and right that a place has at most.
        let taps = [0, 1].map(|side| kernel[side].div_ceil(stride[side]));
        let terms = [outputs, channels].map(|n| n as u64);
        let places = stride.iter().chain(&taps).map(|&n| u64::from(n));
        let mut sides = terms.into_iter().chain(places);
        let count = sides.try_fold(1u64, |product, side| product.checked_mul(side));
        if count.is_none_or(|count| count > limits::MAX_CONSTANT_BYTES) {
            return refused("its weights are too many");
        }
        let spread = Spread {
            size: Size {
                height: from.height + taps[0] - 1,
                width: from.width + taps[1] - 1,
                channels: outputs as u32 * stride[0] * stride[1],
            },
            block: stride,
            begin: pad,
        };
        let to = self.result_size(node, Axes::NCHW)?;
        let reaches = |begin: u32, side: u32, from: u32, block: u32| {
            u64::from(begin) + u64::from(side) <= u64::from(from) * u64::from(block)
        };
        if !reaches(pad[0], to.height, spread.size.height, stride[0])
            || !reaches(pad[1], to.width, spread.size.width, stride[1])
        {
            return refused("its output_padding adds rows or columns that no tap reaches");
        }
        let bias = match inputs.optional(2) {
            None => None,
            Some(state) => Some(Rc::new(
                self.bias(state, outputs)?.repeated(spread.pixels()),
            )),
        };
        let linear = Linear {
            input: codes.value,
            groups: 1,
            window: Window {
                kernel: taps,
                stride: [1, 1],
                dilation: [1, 1],
                pad: taps.map(|taps| taps - 1),
            },
            channels,
            weights: Rc::new(by_place(
                &weights,
                [channels, outputs, rows, columns],
                stride,
                taps,
            )),
            bias,
            affine: None,
            spread: Some(spread),
        };
        self.pending(node, PendingKind::Conv(linear), Axes::NCHW)
    }

    /// Pixels of a convolution's channels, see [`Spread`].
    pub(super) fn spread(
        &mut self,
        node: &str,
        name: &str,
        kind: Kind,
        spread: Spread,
        (size, quant): (Size, Quant),
    ) -> Result<ValueId, Rejected> {
        let channels = self.net.add_value(name, spread.size, quant)?;
        self.net.add_step(node, kind, Some(channels))?;
        let value = self.net.add_value(name, size, quant)?;
        let kind = Kind::DepthToSpace {
            input: channels,
            block: spread.block,
            begin: spread.begin,
        };
        self.net.add_step(node, kind, Some(value))?;
        Ok(value)
    }

    pub(super) fn depth_to_space(
        &mut self,
        node: &SourceNode,
        state: &State,
        block: u32,
    ) -> Result<State, Rejected> {
        let state = self.codes_of(state)?;
        if self.axes_of(&state) != Some(Axes::NCHW) {
            return refused("its input's axes are not batch, channel, row, column");
        }
        self.placed(node, &state, |input| Kind::DepthToSpace {
            input,
            block: [block; 2],
            begin: [0; 2],
        })
    }

    /// Rows and columns cut off.
    pub(super) fn cropped(
        &mut self,
        node: &SourceNode,
        state: &State,
        axes: Axes,
        begins: &[usize],
    ) -> Result<State, Rejected> {
        let state = self.codes_of(state)?;
        let begin = [Axis::Row, Axis::Column].map(|axis| {
            let at = axes.position(axis).map_or(0, |at| begins[at]);
            u32::try_from(at).unwrap_or(u32::MAX)
        });
        self.moved(node, &state, |input| Kind::DepthToSpace {
            input,
            block: [1, 1],
            begin,
        })
    }

    /// The largest of tensors; they are given the result's quantization first, which keeps
    /// their order.
    pub(super) fn max(&mut self, node: &SourceNode, inputs: &Inputs) -> Result<State, Rejected> {
        let mut parts = Vec::with_capacity(inputs.0.len());
        let mut axes = None;
        for at in 0..inputs.0.len() {
            let part = inputs.required(at)?.clone();
            match &part {
                State::Real(_) | State::Pending(_) => {}
                other => return refused(not_quantized(other)),
            }
            let of_part = self.axes_of(&part);
            if axes.is_some_and(|axes| of_part != Some(axes)) {
                return refused("its inputs' axes are in different orders");
            }
            axes = of_part;
            parts.push(part);
        }
        let Some(axes) = axes else {
            return refused("it has no inputs");
        };
        self.pending(node, PendingKind::Max(parts), axes)
    }

    /// Codes, or the codes of a real value.
    fn codes_of(&mut self, state: &State) -> Result<State, Rejected> {
        Ok(match state {
            State::Codes(_) => state.clone(),
            other => State::Real(self.settled(other)?),
        })
    }

    /// The larger of the codes of values in one quantization.
    pub(super) fn largest(
        &mut self,
        node: &str,
        name: &str,
        parts: Vec<ValueId>,
    ) -> Result<ValueId, Rejected> {
        let mut parts = parts.into_iter();
        let Some(mut largest) = parts.next() else {
            return refused("it has no inputs");
        };
        for other in parts {
            let of = self.net.value(largest);
            let (size, quant) = (of.size, of.quant);
            let value = self.net.add_value(name, size, quant)?;
            let kind = Kind::Max {
                a: largest,
                b: other,
            };
            self.net.add_step(node, kind, Some(value))?;
            largest = value;
        }
        Ok(largest)
    }
}

/// Weights of a transposed convolution (input channel, output channel, row, column) as those
/// of an ordinary one (output channel, input channel, row, column) whose output channels are
/// ordered by row and column of the place in a block, and then by channel. Where a place has
/// fewer taps than others the rest is 0.
fn by_place(
    weights: &QuantizedWeights,
    [inputs, outputs, rows, columns]: [usize; 4],
    stride: [u32; 2],
    taps: [u32; 2],
) -> QuantizedWeights {
    let [down, right] = stride.map(|s| s as usize);
    let [tall, wide] = taps.map(|t| t as usize);
    let zero = |output: usize| {
        let points = &weights.zero_points;
        points.get(output).or(points.first()).copied().unwrap_or(0)
    };
    let mut codes = Vec::with_capacity(down * right * outputs * inputs * tall * wide);
    for row in 0..down {
        for column in 0..right {
            for output in 0..outputs {
                for input in 0..inputs {
                    let plane = (input * outputs + output) * rows * columns;
                    for y in (0..tall).rev().map(|t| row + down * t) {
                        for x in (0..wide).rev().map(|t| column + right * t) {
                            codes.push(if y < rows && x < columns {
                                weights.codes[plane + y * columns + x]
                            } else {
                                zero(output)
                            });
                        }
                    }
                }
            }
        }
    }
    let each = |count: usize| if count > 1 { down * right } else { 1 };
    QuantizedWeights {
        codes,
        scales: weights.scales.repeat(each(weights.scales.len())),
        zero_points: weights.zero_points.repeat(each(weights.zero_points.len())),
    }
}
