//! QuantizeLinear and DequantizeLinear: where real results become codes.

use std::rc::Rc;

use super::super::fuse::{self, Curve};
use super::super::import::SourceNode;
use super::super::net::{Kind, Size, Table, ValueId};
use super::super::weights::{self, Operands};
use super::{Codes, Dequantized, Linear, Pending, PendingKind, Rejected, State, Walk};
use super::{not_quantized, refused};
use crate::model::manifest::Channels;
use crate::program::Quant;

impl Walk<'_> {
    pub(super) fn dequantize(
        &mut self,
        node: &SourceNode,
        input: &State,
        scale: &State,
        zero_point: Option<&State>,
        axis: i64,
    ) -> Result<State, Rejected> {
        if self.constant(input).is_some() {
            let (scales, zero_points, _) = self.parameters(scale, zero_point)?;
            return Ok(State::Dequantized(Rc::new(Dequantized {
                codes: input.clone(),
                scales,
                zero_points,
                axis,
            })));
        }
        let (quant, signed) = self.activation_quant(scale, zero_point)?;
        match input {
            State::Codes(codes) => {
                let made = self.net.value(codes.value).quant;
                if made != quant || codes.signed != signed {
                    return refused(format!(
                        "it reads codes with scale {} and zero point {}, but they were made with \
                         {} and {}",
                        quant.scale, quant.zero_point, made.scale, made.zero_point
                    ));
                }
                Ok(State::Real(*codes))
            }
            State::Picture(picture) if picture.is_codes && !signed => {
                let table: Table = Box::new(std::array::from_fn(|code| code as u8));
                let tables = [table.clone(), table.clone(), table];
                let value = self.picture(&node.name, quant, tables)?;
                let axes = picture.axes;
                Ok(State::Real(Codes {
                    value,
                    axes,
                    signed,
                }))
            }
            State::Bordered(inner, border) => {
                let inner = self.dequantize(node, inner, scale, zero_point, axis)?;
                Ok(State::Bordered(Box::new(inner), *border))
            }
            State::Probabilities(_) => Ok(input.clone()),
            _ => refused("its input is not 8-bit codes"),
        }
    }

    pub(super) fn quantize(
        &mut self,
        node: &SourceNode,
        input: &State,
        scale: &State,
        zero_point: Option<&State>,
        axis: i64,
    ) -> Result<State, Rejected> {
        if let Some(constant) = self.constant(input) {
            let (scales, zero_points, signed) = self.parameters(scale, zero_point)?;
            let folded = Self::quantized_constant(constant, &scales, &zero_points, signed, axis)?;
            return Ok(State::Folded(Rc::new(folded)));
        }
        let (quant, signed) = self.activation_quant(scale, zero_point)?;
        let axes = match input {
            State::Picture(picture) if !picture.is_codes => {
                let tables = picture.curves.each_ref().map(|curve| curve.table(quant));
                let value = self.picture(&node.name, quant, tables)?;
                return Ok(State::Codes(Codes {
                    value,
                    axes: picture.axes,
                    signed,
                }));
            }
            State::Real(codes) => codes.axes,
            State::Pending(pending) => pending.axes,
            // A border of zeros stays one in any scale.
            State::Bordered(inner, border) => {
                let inner = self.quantize(node, inner, scale, zero_point, axis)?;
                return Ok(State::Bordered(Box::new(inner), *border));
            }
            State::Probabilities(_) => return Ok(input.clone()),
            _ => return refused("its input is not a real tensor"),
        };
        let name = self.source.value(node.output).name.clone();
        let value = self.emit(&node.name, input, &name, quant)?;
        Ok(State::Codes(Codes {
            value,
            axes,
            signed,
        }))
    }

    /// The input picture in a quantization.
    fn picture(
        &mut self,
        node: &str,
        quant: Quant,
        tables: [Table; 3],
    ) -> Result<ValueId, Rejected> {
        let known = self.picture.as_ref();
        if let Some((_, _, value)) = known.filter(|(q, t, _)| *q == quant && *t == tables) {
            return Ok(*value);
        }
        if !self.net.steps.is_empty() {
            return refused(
                "it quantizes the input picture a second time, in another way; quantize it once",
            );
        }
        let input = &self.manifest.input;
        let size = Size {
            height: input.height,
            width: input.width,
            channels: 3,
        };
        let order = match input.channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        };
        let name = &self.source.value(self.source.input).name;
        let value = self.net.add_value(name, size, quant)?;
        let kind = Kind::Input {
            order,
            tables: tables.clone(),
        };
        self.net.add_step(node, kind, Some(value))?;
        self.picture = Some((quant, tables, value));
        Ok(value)
    }

    /// A value through a table: itself where no code changes its meaning.
    pub(super) fn mapped(
        &mut self,
        node: &str,
        name: &str,
        value: ValueId,
        table: Table,
        quant: Quant,
    ) -> Result<ValueId, Rejected> {
        let from = self.net.value(value).quant;
        let changes = from != quant || (0..=255).zip(table.iter()).any(|(a, b): (u8, &u8)| a != *b);
        if !changes {
            return Ok(value);
        }
        let size = self.net.value(value).size;
        let output = self.net.add_value(name, size, quant)?;
        let kind = Kind::Map {
            input: value,
            table,
        };
        self.net.add_step(node, kind, Some(output))?;
        Ok(output)
    }

    /// Codes of a real value in a quantization.
    fn emit(
        &mut self,
        node: &str,
        state: &State,
        name: &str,
        quant: Quant,
    ) -> Result<ValueId, Rejected> {
        match state {
            State::Real(codes) => {
                let from = self.net.value(codes.value).quant;
                let table = Curve::of(from).table(quant);
                self.mapped(node, name, codes.value, table, quant)
            }
            State::Pending(pending) => self.emit_pending(pending, name, quant),
            other => refused(not_quantized(other)),
        }
    }

    /// Adds the operation of a real result, now that its quantization is known.
    fn emit_pending(
        &mut self,
        pending: &Pending,
        name: &str,
        quant: Quant,
    ) -> Result<ValueId, Rejected> {
        let Pending {
            kind, node, size, ..
        } = pending;
        let clamp = fuse::bounds(pending.range, quant);
        let kind = match kind {
            PendingKind::Curve(value, curve) => {
                return self.mapped(node, name, *value, curve.table(quant), quant);
            }
            PendingKind::Concat(parts) => {
                let mut placed = Vec::with_capacity(parts.len());
                for part in parts {
                    placed.push(self.emit(node, part, name, quant)?);
                }
                Kind::Concat { parts: placed }
            }
            PendingKind::PRelu(value, slopes) => {
                return self.emit_prelu(node, name, *value, slopes, quant);
            }
            PendingKind::Max(parts) => {
                let mut coded = Vec::with_capacity(parts.len());
                for part in parts {
                    coded.push(self.emit(node, part, name, quant)?);
                }
                let value = self.largest(node, name, coded)?;
                return self.kept_within(node, name, value, clamp, quant);
            }
            PendingKind::Conv(linear) => {
                let own = linear.spread.map_or(*size, |spread| spread.size);
                let kind = self.convolution(linear, own, quant, clamp)?;
                match linear.spread {
                    Some(spread) => {
                        return self.spread(node, name, kind, spread, (*size, quant));
                    }
                    None => kind,
                }
            }
            &PendingKind::Add(a, b) => Kind::Add { a, b, clamp },
            &PendingKind::Mul(a, b) => Kind::Mul { a, b, clamp },
            &PendingKind::AveragePool {
                input,
                window,
                count_outside,
            } => Kind::AveragePool {
                input,
                window,
                count_outside,
            },
        };
        let is_pool = matches!(kind, Kind::AveragePool { .. });
        let value = self.net.add_value(name, *size, quant)?;
        self.net.add_step(node, kind, Some(value))?;
        if is_pool {
            // A pool has no bounds of its own.
            return self.kept_within(node, name, value, clamp, quant);
        }
        Ok(value)
    }

    /// Codes within bounds.
    fn kept_within(
        &mut self,
        node: &str,
        name: &str,
        value: ValueId,
        clamp: [u8; 2],
        quant: Quant,
    ) -> Result<ValueId, Rejected> {
        let kept = Box::new(std::array::from_fn(|code| {
            (code as u8).clamp(clamp[0], clamp[1])
        }));
        self.mapped(node, name, value, kept, quant)
    }

    /// A convolution with its result's scale.
    pub(super) fn convolution(
        &self,
        linear: &Linear,
        size: Size,
        quant: Quant,
        clamp: [u8; 2],
    ) -> Result<Kind, Rejected> {
        let affine = linear.affine.as_deref();
        let of_places = linear
            .spread
            .zip(affine)
            .map(|(s, affine)| s.affine(affine));
        let operands = Operands {
            outputs: size.channels as usize,
            channels: linear.channels,
            groups: linear.groups,
            window: linear.window,
            weights: &linear.weights,
            bias: linear.bias.as_deref(),
            affine: of_places.as_ref().or(affine),
        };
        let from = self.net.value(linear.input).quant;
        let conv = weights::convolution(linear.input, from, quant, clamp, &operands)?;
        Ok(Kind::Conv(Box::new(conv)))
    }
}
