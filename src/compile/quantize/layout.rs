//! What moves numbers without changing them: concatenations, other sizes, other
//! axes.

use std::rc::Rc;

use super::super::fuse;
use super::super::import::{Operator, SourceNode};
use super::super::limits;
use super::super::net::{Kind, Size, ValueId};
use super::super::transpose::{Axes, Axis};
use super::super::weights::QuantizedWeights;
use super::{COPY, Codes, Inputs, Linear, Pending, PendingKind, Picture, Rejected, State, Walk};
use super::{linear, not_quantized, refused};
use crate::program::Resample;

impl Walk<'_> {
    pub(super) fn concat(
        &mut self,
        node: &SourceNode,
        axis: usize,
        inputs: &Inputs,
    ) -> Result<State, Rejected> {
        let parts: Vec<State> = inputs.0.iter().flatten().cloned().collect();
        let mut axes = Vec::with_capacity(parts.len());
        for part in &parts {
            match part {
                State::Real(codes) | State::Codes(codes) => axes.push(codes.axes),
                State::Pending(pending) => axes.push(pending.axes),
                other => return refused(not_quantized(other)),
            }
        }
        if axes.iter().any(|&a| a != axes[0]) || axes[0].meaning(axis) != Some(Axis::Channel) {
            return refused("it does not join channels");
        }
        let on_codes = parts.iter().filter_map(|part| match part {
            State::Codes(codes) => Some(*codes),
            _ => None,
        });
        let on_codes: Vec<Codes> = on_codes.collect();
        if on_codes.is_empty() {
            return self.pending(node, PendingKind::Concat(parts), axes[0]);
        }
        if on_codes.len() != parts.len() {
            return refused("some of its parts are codes and some are real");
        }
        let first = on_codes[0];
        let quant = self.net.value(first.value).quant;
        let agrees = |p: &Codes| p.signed == first.signed && self.net.value(p.value).quant == quant;
        if !on_codes.iter().all(agrees) {
            return refused("its parts are codes of different scales");
        }
        let size = self.result_size(node, first.axes)?;
        let name = &self.source.value(node.output).name;
        let value = self.net.add_value(name, size, quant)?;
        let parts: Vec<ValueId> = on_codes.iter().map(|p| p.value).collect();
        let kind = Kind::Concat { parts };
        self.net.add_step(&node.name, kind, Some(value))?;
        Ok(State::Codes(Codes { value, ..first }))
    }

    pub(super) fn resized(
        &mut self,
        node: &SourceNode,
        state: &State,
        resample: Resample,
    ) -> Result<State, Rejected> {
        let (Some(axes), Some(size)) = (self.axes_of(state), self.size_of(state)) else {
            return refused(not_quantized(state));
        };
        if axes.size(self.output_shape(node)) == Some(size) {
            return Ok(state.clone());
        }
        if matches!(node.operator, Operator::Tile) && !size.is_pixel() {
            return refused("it repeats more than one pixel");
        }
        let resample = if size.is_pixel() { COPY } else { resample };
        let resize = |input| Kind::Resize { input, resample };
        let pending = match state {
            State::Real(_) | State::Codes(_) => return self.moved(node, state, resize),
            State::Pending(pending) => pending,
            other => return refused(not_quantized(other)),
        };
        // What copies pixels may do so before a function of them as well as after.
        if let (PendingKind::Curve(value, curve), Resample::Nearest(..)) = (&pending.kind, resample)
        {
            let codes = Codes {
                value: *value,
                axes,
                signed: false,
            };
            let State::Real(moved) = self.moved(node, &State::Real(codes), resize)? else {
                return refused(not_quantized(state));
            };
            return Ok(State::Pending(Rc::new(Pending {
                kind: PendingKind::Curve(moved.value, curve.clone()),
                node: pending.node.clone(),
                axes,
                size: self.net.value(moved.value).size,
                range: fuse::EVERYTHING,
            })));
        }
        let codes = self.settled(state)?;
        self.moved(node, &State::Real(codes), resize)
    }

    /// Some of the channels: a convolution whose weights are 1 and 0, so that each
    /// code is kept.
    pub(super) fn sliced(
        &mut self,
        node: &SourceNode,
        state: &State,
        begins: &[usize],
    ) -> Result<State, Rejected> {
        let (Some(axes), Some(size)) = (self.axes_of(state), self.size_of(state)) else {
            return refused(not_quantized(state));
        };
        let left = self.result_size(node, axes)?;
        if left == size {
            return Ok(state.clone());
        }
        if (left.height, left.width) != (size.height, size.width) {
            if left.channels != size.channels {
                return refused("it cuts pixels off and channels as well; make two of it");
            }
            return self.cropped(node, state, axes, begins);
        }
        let codes = match state {
            State::Codes(codes) => *codes,
            state => self.settled(state)?,
        };
        let begin = axes.position(Axis::Channel).map_or(0, |at| begins[at]);
        let (channels, outputs) = (size.channels as usize, left.channels as usize);
        if channels.saturating_mul(outputs) > limits::MAX_SLICE_WEIGHTS {
            return refused(format!(
                "it takes {outputs} of {channels} channels: too many"
            ));
        }
        let mut weights = vec![0; channels * outputs];
        for (output, filter) in weights.chunks_exact_mut(channels).enumerate() {
            filter[begin + output] = 1;
        }
        let linear = Linear {
            input: codes.value,
            groups: 1,
            window: linear::PIXEL,
            channels,
            weights: Rc::new(QuantizedWeights {
                codes: weights,
                scales: vec![1.0],
                zero_points: vec![0],
            }),
            bias: None,
            affine: None,
            spread: None,
        };
        let quant = self.net.value(codes.value).quant;
        let kind = self.convolution(&linear, left, quant, [0, 255])?;
        let name = &self.source.value(node.output).name;
        let value = self.net.add_value(name, left, quant)?;
        self.net.add_step(&node.name, kind, Some(value))?;
        let sliced = Codes { value, ..codes };
        Ok(match state {
            State::Codes(_) => State::Codes(sliced),
            _ => State::Real(sliced),
        })
    }

    /// The same numbers under other axes.
    pub(super) fn renamed(
        &self,
        state: &State,
        axes: impl FnOnce(Axes, Size) -> Option<Axes>,
    ) -> Result<State, Rejected> {
        if let State::Bordered(inner, border) = state {
            // A border belongs to rows and columns, wherever their axes stand; a
            // Reshape would have to know its width.
            let rank = self.axes_of(inner).map(Axes::rank);
            let renamed = self.renamed(inner, axes)?;
            return match self.axes_of(&renamed).map(Axes::rank) == rank {
                true => Ok(State::Bordered(Box::new(renamed), *border)),
                false => refused(not_quantized(state)),
            };
        }
        let (Some(old), Some(size)) = (self.axes_of(state), self.size_of(state)) else {
            return refused("it moves something other than a picture");
        };
        let Some(axes) = axes(old, size) else {
            return refused("it moves pixels, and not only axes");
        };
        Ok(match state.clone() {
            State::Picture(picture) => State::Picture(Picture { axes, ..picture }),
            State::Real(codes) => State::Real(Codes { axes, ..codes }),
            State::Codes(codes) => State::Codes(Codes { axes, ..codes }),
            State::Probabilities(codes) => State::Probabilities(Codes { axes, ..codes }),
            State::Pending(pending) => {
                let pending = Pending {
                    axes,
                    ..(*pending).clone()
                };
                State::Pending(Rc::new(pending))
            }
            other => other,
        })
    }
}
