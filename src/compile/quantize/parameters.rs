//! Scales, zero points and constants: what is known before any code is.

use super::super::constant::{Constant, Data};
use super::super::import::SourceNode;
use super::super::net::Size;
use super::super::shape;
use super::super::transpose::{Axes, Axis};
use super::{Dequantized, Rejected, State, Walk, refused};
use crate::program::Quant;

/// Real constants beside a picture.
pub(super) enum Operand {
    /// One number for all.
    One(f32),
    /// One for each channel.
    EachChannel(Vec<f32>),
}

impl Walk<'_> {
    /// The scales and zero points of a Q or DQ node, and whether it is signed.
    pub(super) fn parameters(
        &self,
        scale: &State,
        zero_point: Option<&State>,
    ) -> Result<(Vec<f32>, Vec<i64>, bool), Rejected> {
        let Some(scales) = self.constant(scale).and_then(Constant::floats) else {
            return refused("its scale is not a float constant");
        };
        if !scales.iter().all(|s| s.is_finite() && *s > 0.0) || scales.is_empty() {
            return refused("its scale is not above 0");
        }
        let (zero_points, signed) = match zero_point {
            None => (vec![0], false),
            Some(state) => match self.constant(state) {
                Some(constant) => {
                    let signed = matches!(constant.data, Data::I8(_));
                    (constant.integers().unwrap_or_default(), signed)
                }
                None => return refused("its zero point is not a constant"),
            },
        };
        if zero_points.iter().any(|&z| i32::try_from(z).is_err()) {
            return refused("its zero point is out of range");
        }
        if zero_points.len() != 1 && zero_points.len() != scales.len() {
            return refused(format!(
                "{} zero points for {} scales",
                zero_points.len(),
                scales.len()
            ));
        }
        Ok((scales.to_vec(), zero_points, signed))
    }

    /// The quantization of an activation, in unsigned codes.
    pub(super) fn activation_quant(
        &self,
        scale: &State,
        zero_point: Option<&State>,
    ) -> Result<(Quant, bool), Rejected> {
        let is_byte = zero_point
            .and_then(|z| self.constant(z))
            .is_none_or(|c| matches!(c.data, Data::U8(_) | Data::I8(_)));
        match self.parameters(scale, zero_point)? {
            (scales, zero_points, signed) if scales.len() == 1 && is_byte => {
                let shifted = zero_points[0] + if signed { 128 } else { 0 };
                let quant = Quant {
                    scale: scales[0],
                    zero_point: u8::try_from(shifted).unwrap_or_default(),
                };
                Ok((quant, signed))
            }
            _ => refused("an activation must have one scale and an 8-bit zero point"),
        }
    }

    /// The shape of a constant, or of one after DequantizeLinear; `None` where it is
    /// neither.
    pub(super) fn constant_shape<'s>(&'s self, state: &'s State) -> Option<&'s [usize]> {
        let constant = match state {
            State::Dequantized(dequantized) => self.constant(&dequantized.codes)?,
            other => self.constant(other)?,
        };
        Some(&constant.shape)
    }

    /// The real numbers of a constant; an error where they are not all finite.
    fn numbers(&self, state: &State) -> Result<Vec<f32>, Rejected> {
        let numbers = match state {
            State::Dequantized(dequantized) => self.dequantized_numbers(dequantized),
            other => self
                .constant(other)
                .and_then(|c| Some(c.floats()?.to_vec())),
        };
        match numbers {
            Some(numbers) if numbers.iter().all(|x| x.is_finite()) => Ok(numbers),
            Some(_) => refused("its constant holds a number that is not finite"),
            None => refused("its constant is not of real numbers"),
        }
    }

    fn dequantized_numbers(&self, dequantized: &Dequantized) -> Option<Vec<f32>> {
        let constant = self.constant(&dequantized.codes)?;
        if matches!(constant.data, Data::I64(_)) {
            return None;
        }
        let codes = constant.integers()?;
        let (scales, zeros) = (&dequantized.scales, &dequantized.zero_points);
        let inner = inner_of(&constant.shape, scales.len(), dequantized.axis)?;
        let real = |(i, &code): (usize, &i64)| {
            let channel = i / inner % scales.len();
            let zero = zeros.get(channel).or(zeros.first()).copied().unwrap_or(0);
            (code - zero) as f32 * scales[channel]
        };
        Some(codes.iter().enumerate().map(real).collect())
    }

    /// Constants that are repeated over a picture: `None` where the state is none,
    /// an error where they differ from pixel to pixel.
    pub(super) fn operand(
        &self,
        state: &State,
        axes: Axes,
        size: Size,
    ) -> Result<Option<Operand>, Rejected> {
        let Some(shape) = self.constant_shape(state) else {
            return Ok(None);
        };
        if shape.iter().all(|&side| side == 1) {
            let number = self.numbers(state)?.first().copied();
            return match number {
                Some(number) => Ok(Some(Operand::One(number))),
                None => refused("its constant is empty"),
            };
        }
        let channels = axes.position(Axis::Channel).and_then(|at| {
            // Counted from the end: sides that are missing before are 1.
            let at = (at + shape.len()).checked_sub(axes.rank())?;
            (shape.get(at) == Some(&(size.channels as usize))).then_some(at)
        });
        let sides = shape.iter().enumerate();
        let is_repeated = |at| sides.clone().all(|(i, &side)| i == at || side == 1);
        match channels {
            Some(at) if is_repeated(at) => Ok(Some(Operand::EachChannel(self.numbers(state)?))),
            _ => refused(format!(
                "its constant of shape {shape:?} is neither one number nor one for each channel"
            )),
        }
    }

    /// A constant's one number for each channel, whatever its axes.
    pub(super) fn each_channel(
        &self,
        state: &State,
        channels: usize,
    ) -> Result<Vec<f32>, Rejected> {
        let sides = self.constant_shape(state).and_then(shape::elements);
        if sides != Some(channels as u64) {
            return refused("its parameters are not one number for each channel");
        }
        self.numbers(state)
    }

    /// Whether a constant is one number, and 0.
    pub(super) fn is_zero(&self, state: &State) -> bool {
        let shape = self.constant_shape(state);
        shape.is_some_and(|shape| shape.iter().all(|&side| side == 1))
            && self.numbers(state).is_ok_and(|numbers| numbers == [0.0])
    }

    /// QuantizeLinear of a constant.
    pub(super) fn quantized_constant(
        constant: &Constant,
        scales: &[f32],
        zero_points: &[i64],
        signed: bool,
        axis: i64,
    ) -> Result<Constant, Rejected> {
        let Some(values) = constant.floats() else {
            return refused("it quantizes a constant that is not float");
        };
        let Some(inner) = inner_of(&constant.shape, scales.len(), axis) else {
            return refused("its scales do not fit its axis");
        };
        let code = |(i, &x): (usize, &f32)| {
            let channel = i / inner % scales.len();
            let zero = zero_points.get(channel).or(zero_points.first());
            (x / scales[channel]).round_ties_even() + zero.copied().unwrap_or(0) as f32
        };
        let codes = values.iter().enumerate().map(code);
        let data = if signed {
            Data::I8(codes.map(|c| c as i8).collect())
        } else {
            Data::U8(codes.map(|c| c as u8).collect())
        };
        Ok(Constant {
            shape: constant.shape.clone(),
            data,
        })
    }

    /// Rows, columns and channels of a node's result.
    pub(super) fn result_size(&self, node: &SourceNode, axes: Axes) -> Result<Size, Rejected> {
        match axes.size(self.output_shape(node)) {
            Some(size) => Ok(size),
            None => refused("its result is not one picture"),
        }
    }
}

/// How many elements of a constant follow each other under one of its scales;
/// `None` where the scales do not fit it.
fn inner_of(shape: &[usize], scales: usize, axis: i64) -> Option<usize> {
    if scales == 1 {
        return Some(1);
    }
    let axis = shape::axis(axis, shape.len()).filter(|&axis| shape[axis] == scales)?;
    Some(shape[axis + 1..].iter().product::<usize>().max(1))
}
