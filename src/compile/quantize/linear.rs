//! Convolutions, products of matrices, and factors and summands of each channel.

use std::rc::Rc;

use super::super::constant::Data;
use super::super::fuse;
use super::super::import::SourceNode;
use super::super::net::ValueId;
use super::super::shape;
use super::super::transpose::{Axes, Axis};
use super::super::weights::{Bias, ChannelAffine, QuantizedWeights};
use super::{Dequantized, Inputs, Linear, Pending, PendingKind, Picture, Rejected, State, Walk};
use super::{joined, not_quantized, refused};
use crate::program::Window;

/// A window of one pixel.
pub(super) const PIXEL: Window = Window {
    kernel: [1, 1],
    stride: [1, 1],
    dilation: [1, 1],
    pad: [0, 0],
};

pub(super) const NO_WEIGHTS: &str =
    "its weights are not quantized constants; quantize the model with weights";

/// Largest weight.
const LARGEST: i8 = i8::MAX;

/// A depthwise convolution of codes in steps of `scale` that changes nothing but what
/// `affine` says.
///
/// Each channel's weight stands for 1. It is stored as as many steps as make the
/// channel's summand come nearest to a whole number of steps of the sum.
pub(super) fn channelwise(input: ValueId, scale: f32, affine: ChannelAffine) -> Linear {
    let pairs = affine.factors.iter().zip(&affine.summands);
    let codes: Vec<i8> = pairs
        .map(|(&factor, &summand)| {
            let steps = f64::from(summand) / (f64::from(scale) * f64::from(factor));
            let error = |weight: i8| {
                let exact = steps * f64::from(weight);
                (exact.round_ties_even() - exact).abs() / f64::from(weight)
            };
            let nearest = |a: &i8, b: &i8| error(*a).total_cmp(&error(*b));
            (1..=LARGEST).min_by(nearest).unwrap_or(1)
        })
        .collect();
    let channels = codes.len();
    Linear {
        input,
        groups: channels as u32,
        window: PIXEL,
        channels: 1,
        weights: Rc::new(QuantizedWeights {
            scales: codes.iter().map(|&code| 1.0 / f32::from(code)).collect(),
            codes,
            zero_points: vec![0],
        }),
        bias: None,
        affine: Some(Rc::new(affine)),
        spread: None,
    }
}

impl Walk<'_> {
    pub(super) fn conv(
        &mut self,
        node: &SourceNode,
        groups: u32,
        window: Window,
        inputs: &Inputs,
    ) -> Result<State, Rejected> {
        let (input, window) = self.windowed(node, inputs.required(0)?, window)?;
        let outputs = self.output_shape(node).get(1).copied().unwrap_or(0);
        let State::Dequantized(weights) = inputs.required(1)? else {
            return refused(NO_WEIGHTS);
        };
        let (weights, shape) = self.weights(weights, 0)?;
        let bias = match inputs.optional(2) {
            None => None,
            Some(state) => Some(Rc::new(self.bias(state, outputs)?)),
        };
        let linear = Linear {
            input,
            groups,
            window,
            channels: shape.get(1).copied().unwrap_or(0),
            weights: Rc::new(weights),
            bias,
            affine: None,
            spread: None,
        };
        self.pending(node, PendingKind::Conv(linear), Axes::NCHW)
    }

    /// A product of channels with a matrix: a convolution of one pixel.
    pub(super) fn mat_mul(
        &mut self,
        node: &SourceNode,
        transposed: bool,
        inputs: &Inputs,
    ) -> Result<State, Rejected> {
        let codes = self.settled(inputs.required(0)?)?;
        let rank = codes.axes.rank();
        if codes.axes.position(Axis::Channel) != rank.checked_sub(1) {
            return refused("its first operand's last axis is not the channels");
        }
        let State::Dequantized(matrix) = inputs.required(1)? else {
            return refused(NO_WEIGHTS);
        };
        let along = if transposed { 0 } else { 1 };
        let (mut weights, shape) = self.weights(matrix, along)?;
        let &[rows, columns] = shape.as_slice() else {
            return refused("its weights are not a matrix");
        };
        let (channels, outputs) = if transposed {
            (columns, rows)
        } else {
            let codes = &weights.codes;
            let column = |c| (0..rows).map(move |r| codes[r * columns + c]);
            weights.codes = (0..columns).flat_map(column).collect();
            (rows, columns)
        };
        let bias = match inputs.optional(2) {
            None => None,
            Some(state) => Some(Rc::new(self.bias(state, outputs)?)),
        };
        let linear = Linear {
            input: codes.value,
            groups: 1,
            window: PIXEL,
            channels,
            weights: Rc::new(weights),
            bias,
            affine: None,
            spread: None,
        };
        self.pending(node, PendingKind::Conv(linear), codes.axes)
    }

    /// Weights with their channels' scales along `axis`, and their shape.
    pub(super) fn weights(
        &self,
        dequantized: &Dequantized,
        axis: usize,
    ) -> Result<(QuantizedWeights, Vec<usize>), Rejected> {
        let Some(constant) = self.constant(&dequantized.codes) else {
            return refused("its weights are not constants");
        };
        let each = dequantized.scales.len() > 1;
        if each && shape::axis(dequantized.axis, constant.shape.len()) != Some(axis) {
            return refused("its weights' scales are not along the output channels");
        }
        // u8 codes move to i8 and take their zero points with them.
        let (codes, shift) = match &constant.data {
            Data::I8(codes) => (codes.clone(), 0),
            Data::U8(codes) => (codes.iter().map(|&c| (c ^ 0x80) as i8).collect(), 128),
            _ => return refused("its weights are not 8-bit codes"),
        };
        let zero_points = dequantized
            .zero_points
            .iter()
            .map(|&z| i8::try_from(z - shift))
            .collect::<Result<_, _>>();
        let Ok(zero_points) = zero_points else {
            return refused("its weights' zero points are not of the weights' type");
        };
        let weights = QuantizedWeights {
            codes,
            scales: dequantized.scales.clone(),
            zero_points,
        };
        Ok((weights, constant.shape.clone()))
    }

    pub(super) fn bias(&self, state: &State, outputs: usize) -> Result<Bias, Rejected> {
        let bias = match state {
            State::Dequantized(dequantized) => {
                let codes = self.constant(&dequantized.codes).map(|c| &c.data);
                let Some(Data::I32(codes)) = codes else {
                    return refused("its bias is not of 32-bit codes");
                };
                let zero_points = &dequantized.zero_points;
                let zero = |i: usize| zero_points.get(i).or(zero_points.first());
                let codes = codes.iter().enumerate();
                let shifted = codes.map(|(i, &c)| i64::from(c) - zero(i).copied().unwrap_or(0));
                Bias::Quantized(shifted.collect(), dequantized.scales.clone())
            }
            other => match self.constant(other).map(|c| &c.data) {
                Some(Data::I32(codes)) => Bias::Accumulator(codes.clone()),
                Some(Data::F32(values)) => Bias::Real(values.clone()),
                _ => return refused("its bias is not a constant"),
            },
        };
        let len = match &bias {
            Bias::Accumulator(codes) => codes.len(),
            Bias::Quantized(codes, _) => codes.len(),
            Bias::Real(values) => values.len(),
        };
        if len != outputs {
            return refused(format!("its bias has {len} values for {outputs} channels"));
        }
        Ok(bias)
    }

    /// A real value times a factor and plus a summand, both of its channel.
    pub(super) fn affine(
        &mut self,
        node: &SourceNode,
        state: &State,
        affine: ChannelAffine,
    ) -> Result<State, Rejected> {
        match state {
            State::Picture(picture) if !picture.is_codes => {
                let curves = std::array::from_fn(|c| {
                    let (factor, summand) = (affine.factors[c], affine.summands[c]);
                    picture.curves[c].then(|x| x * factor + summand)
                });
                Ok(State::Picture(Picture {
                    curves,
                    ..picture.clone()
                }))
            }
            State::Pending(pending) => match &pending.kind {
                PendingKind::Conv(linear) if pending.range == fuse::EVERYTHING => {
                    let joined = joined(pending, node)?;
                    let affine = match &linear.affine {
                        Some(before) => before.then(&affine),
                        None => affine,
                    };
                    let linear = Linear {
                        affine: Some(Rc::new(affine)),
                        ..linear.clone()
                    };
                    Ok(State::Pending(Rc::new(Pending {
                        kind: PendingKind::Conv(linear),
                        node: joined,
                        ..(**pending).clone()
                    })))
                }
                PendingKind::Curve(..) => self.affine_of_codes(node, state, affine),
                _ => refused(not_quantized(state)),
            },
            _ => self.affine_of_codes(node, state, affine),
        }
    }

    fn affine_of_codes(
        &mut self,
        node: &SourceNode,
        state: &State,
        affine: ChannelAffine,
    ) -> Result<State, Rejected> {
        let codes = self.settled(state)?;
        let scale = self.net.value(codes.value).quant.scale;
        let linear = channelwise(codes.value, scale, affine);
        self.pending(node, PendingKind::Conv(linear), codes.axes)
    }

    pub(super) fn batch_normalization(
        &mut self,
        node: &SourceNode,
        epsilon: f32,
        inputs: &Inputs,
    ) -> Result<State, Rejected> {
        let channels = self.output_shape(node).get(1).copied().unwrap_or(0);
        let mut parameters = Vec::with_capacity(4);
        for at in 1..5 {
            parameters.push(self.each_channel(inputs.required(at)?, channels)?);
        }
        let [scale, shift, mean, variance] = parameters.as_slice() else {
            return refused("it has not five inputs");
        };
        let each = |c: usize| {
            let deviation = (f64::from(variance[c]) + f64::from(epsilon)).sqrt();
            let factor = f64::from(scale[c]) / deviation;
            let summand = f64::from(shift[c]) - f64::from(mean[c]) * factor;
            (factor as f32, summand as f32)
        };
        let (factors, summands): (Vec<f32>, Vec<f32>) = (0..channels).map(each).unzip();
        if !factors.iter().chain(&summands).all(|x| x.is_finite()) {
            return refused("its parameters give a number that is not finite");
        }
        let state = inputs.required(0)?;
        if self
            .axes_of(state)
            .is_some_and(|axes| axes.meaning(1) != Some(Axis::Channel))
        {
            return refused("its second axis is not the channels");
        }
        self.affine(node, state, ChannelAffine { factors, summands })
    }
}
