//! From typed ONNX nodes to operations on codes.
//!
//! The nodes are walked once, in order, with a note of what each value is: codes,
//! codes that were dequantized, or a real result that waits for its
//! QuantizeLinear. That node gives the result its scale, and with it everything
//! the integer operation needs. Signed codes become unsigned by adding 128 to
//! them and to their zero points.

use std::rc::Rc;

use super::constant::{Constant, Data};
use super::fuse::{self, Activation};
use super::import::{Operator, Source, SourceId, SourceNode};
use super::net::{Kind, Net, Size, Table, ValueId};
use super::transpose::{Axes, Axis};
use super::weights::{self, Bias, Operands, QuantizedWeights};
use super::{Fault, Refusal, limits, shape};
use crate::model::manifest::{Channels, InputType, Layout, Manifest, OutputKind};
use crate::postprocess::upsample::Upsample;
use crate::program::{Coordinates, NearestRule, Quant, Resample, Window};

/// Between pictures of one size, and from a picture of one pixel, every way to
/// resample is this one.
const COPY: Resample = Resample::Nearest(Coordinates::Asymmetric, NearestRule::Floor);

/// Turns the graph into operations on codes.
///
/// # Errors
/// [`Fault::Unsupported`] with every node that has no integer form,
/// [`Fault::TooLarge`], or [`Fault::Shape`].
pub fn quantize(source: &Source, manifest: &Manifest) -> Result<Net, Fault> {
    let mut walk = Walk {
        source,
        manifest,
        net: Net::new((manifest.input.width, manifest.input.height)),
        states: vec![None; source.values.len()],
        refusals: source.refusals.clone(),
        picture: None,
    };
    walk.states[source.input.0] = Some(State::Picture(Picture {
        axes: match manifest.input.layout {
            Layout::Nchw => Axes::NCHW,
            Layout::Nhwc => Axes::NHWC,
        },
        is_codes: manifest.input.dtype == InputType::U8,
        activations: Vec::new(),
    }));
    for node in &source.nodes {
        match walk.node(node) {
            Ok(state) => walk.states[node.output.0] = state,
            Err(Rejected::Refused(reason)) => walk.refuse(node, reason),
            Err(Rejected::Failed(error)) => return Err(error),
        }
    }
    if walk.refusals.is_empty() {
        walk.finish()?;
    }
    if !walk.refusals.is_empty() {
        return Err(Fault::Unsupported(walk.refusals));
    }
    Ok(walk.net)
}

/// What a value of the graph is.
#[derive(Debug, Clone)]
enum State {
    /// The input picture.
    Picture(Picture),
    /// A constant of the graph.
    Stored(SourceId),
    /// A constant that was worked out here.
    Folded(Rc<Constant>),
    /// A constant after DequantizeLinear.
    Dequantized(Rc<Dequantized>),
    /// Codes of the network.
    Codes(Codes),
    /// Codes of the network after DequantizeLinear.
    Real(Codes),
    /// A real result that is not quantized yet.
    Pending(Rc<Pending>),
    /// The class of every pixel of a picture of scores.
    Labels(ValueId),
}

#[derive(Debug, Clone)]
struct Picture {
    axes: Axes,
    /// Bytes, or real numbers that came from them.
    is_codes: bool,
    /// What the graph does to the real numbers before it quantizes them.
    activations: Vec<Activation>,
}

#[derive(Debug, Clone, Copy)]
struct Codes {
    value: ValueId,
    axes: Axes,
    /// Whether the graph's codes are signed: 128 less than the network's.
    signed: bool,
}

#[derive(Debug)]
struct Dequantized {
    codes: State,
    scales: Vec<f32>,
    zero_points: Vec<i64>,
    axis: i64,
}

#[derive(Debug, Clone)]
struct Pending {
    kind: PendingKind,
    /// The nodes it comes from, joined by `+`.
    node: String,
    axes: Axes,
    size: Size,
    activations: Vec<Activation>,
}

#[derive(Debug, Clone)]
enum PendingKind {
    Conv {
        input: ValueId,
        groups: u32,
        window: Window,
        channels: usize,
        weights: Rc<QuantizedWeights>,
        bias: Option<Rc<Bias>>,
    },
    Add(ValueId, ValueId),
    Mul(ValueId, ValueId),
    AveragePool {
        input: ValueId,
        window: Window,
        count_outside: bool,
    },
    Concat(Vec<ValueId>),
    /// A value under its activations.
    Same(ValueId),
}

/// Why a node was not lowered.
enum Rejected {
    Refused(String),
    Failed(Fault),
}

impl From<Fault> for Rejected {
    fn from(error: Fault) -> Self {
        Self::Failed(error)
    }
}

impl From<String> for Rejected {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

fn refused<T>(reason: impl Into<String>) -> Result<T, Rejected> {
    Err(Rejected::Refused(reason.into()))
}

struct Walk<'a> {
    source: &'a Source,
    manifest: &'a Manifest,
    net: Net,
    /// `None` where a node before it was refused.
    states: Vec<Option<State>>,
    refusals: Vec<Refusal>,
    /// The input picture's quantization, what was done to it before, and its codes.
    picture: Option<(Quant, Vec<Activation>, ValueId)>,
}

impl Walk<'_> {
    fn refuse(&mut self, node: &SourceNode, reason: String) {
        self.refusals.push(Refusal {
            node: node.name.clone(),
            op: node.op.clone(),
            reason,
        });
    }

    fn state(&self, id: SourceId) -> Option<State> {
        if self.source.value(id).constant.is_some() {
            return Some(State::Stored(id));
        }
        self.states[id.0].clone()
    }

    fn constant<'s>(&'s self, state: &'s State) -> Option<&'s Constant> {
        match state {
            State::Stored(id) => self.source.constant(Some(*id)),
            State::Folded(constant) => Some(constant),
            _ => None,
        }
    }

    /// What a node's output is; `None` where it follows a refused node.
    fn node(&mut self, node: &SourceNode) -> Result<Option<State>, Rejected> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            let state = input.map(|id| self.state(id));
            // A refused node was named already; what follows it is not at fault.
            if state.as_ref().is_some_and(Option::is_none) {
                return Ok(None);
            }
            inputs.push(state.flatten());
        }
        let input = |index: usize| match inputs.get(index) {
            Some(Some(state)) => Ok(state),
            _ => refused(format!("its input {index} is missing")),
        };
        let optional = |index: usize| inputs.get(index).and_then(Option::as_ref);
        let state = match &node.operator {
            Operator::Quantize { axis } => {
                self.quantize(node, input(0)?, input(1)?, optional(2), *axis)?
            }
            Operator::Dequantize { axis } => {
                self.dequantize(node, input(0)?, input(1)?, optional(2), *axis)?
            }
            Operator::OnCodes(operator) => {
                // Inputs: each operand with its scale and zero point, then the
                // result's two, then the bias; QLinearConcat has the result's first.
                let (operands, result): (Vec<usize>, usize) = match **operator {
                    Operator::Conv { .. } | Operator::Add | Operator::Mul => (vec![0, 3], 6),
                    Operator::Concat { .. } => ((2..inputs.len()).step_by(3).collect(), 0),
                    _ => (vec![0], 3),
                };
                let mut real = Vec::with_capacity(operands.len() + 1);
                for at in operands {
                    // Weights have their channels first.
                    let (scale, zero_point) = (input(at + 1)?, optional(at + 2));
                    real.push(self.dequantize(node, input(at)?, scale, zero_point, 0)?);
                }
                if let (Operator::Conv { .. }, Some(bias)) = (&**operator, optional(8)) {
                    real.push(bias.clone());
                }
                let state = self.real(node, operator, &real)?;
                let (scale, zero_point) = (input(result)?, optional(result + 1));
                self.quantize(node, &state, scale, zero_point, 0)?
            }
            operator => {
                let operands: Vec<State> = inputs.iter().flatten().cloned().collect();
                self.real(node, operator, &operands)?
            }
        };
        Ok(Some(state))
    }

    /// The scales and zero points of a Q or DQ node, and whether it is signed.
    fn parameters(
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
    fn activation_quant(
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

    fn dequantize(
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
                let value = self.picture(&node.name, picture, quant, &[])?;
                let axes = picture.axes;
                Ok(State::Real(Codes {
                    value,
                    axes,
                    signed,
                }))
            }
            _ => refused("its input is not 8-bit codes"),
        }
    }

    fn quantize(
        &mut self,
        node: &SourceNode,
        input: &State,
        scale: &State,
        zero_point: Option<&State>,
        axis: i64,
    ) -> Result<State, Rejected> {
        if let Some(constant) = self.constant(input) {
            let (scales, zero_points, signed) = self.parameters(scale, zero_point)?;
            let folded = quantized(constant, &scales, &zero_points, signed, axis)?;
            return Ok(State::Folded(Rc::new(folded)));
        }
        let (quant, signed) = self.activation_quant(scale, zero_point)?;
        let (value, axes) = match input {
            State::Picture(picture) if !picture.is_codes => {
                let value = self.picture(&node.name, picture, quant, &picture.activations)?;
                (value, picture.axes)
            }
            State::Real(codes) => {
                let name = &self.source.value(node.output).name;
                let value = self.mapped(&node.name, name, codes.value, &[], quant)?;
                (value, codes.axes)
            }
            State::Pending(pending) => {
                let name = &self.source.value(node.output).name;
                (self.emit(pending, name, quant)?, pending.axes)
            }
            _ => return refused("its input is not a real tensor"),
        };
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
        picture: &Picture,
        quant: Quant,
        activations: &[Activation],
    ) -> Result<ValueId, Rejected> {
        let known = self.picture.as_ref();
        if let Some((_, _, value)) = known.filter(|(q, f, _)| *q == quant && f == activations) {
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
        let tables = [0, 1, 2].map(|channel: usize| {
            let mut table: Table = Box::new([0; 256]);
            for (byte, code) in (0..=255u8).zip(table.iter_mut()) {
                *code = if picture.is_codes {
                    byte
                } else {
                    // As the float engine scales a pixel.
                    let x = if input.dtype == InputType::F32 {
                        (f32::from(byte) - input.mean[channel]) / input.std[channel]
                    } else {
                        f32::from(byte)
                    };
                    fuse::quantize(quant, activations.iter().fold(x, |x, f| f.apply(x)))
                };
            }
            table
        });
        let order = match input.channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        };
        let name = &self.source.value(self.source.input).name;
        let value = self.net.add_value(name, size, quant)?;
        let kind = Kind::Input { order, tables };
        self.net.add_step(node, kind, Some(value))?;
        self.picture = Some((quant, activations.to_vec(), value));
        Ok(value)
    }

    /// A value under activations in another quantization: itself where neither
    /// changes a code.
    fn mapped(
        &mut self,
        node: &str,
        name: &str,
        value: ValueId,
        activations: &[Activation],
        quant: Quant,
    ) -> Result<ValueId, Rejected> {
        let from = self.net.value(value).quant;
        let table = fuse::table(from, activations, quant);
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

    /// Adds the operation of a real result, now that its quantization is known.
    fn emit(&mut self, pending: &Pending, name: &str, quant: Quant) -> Result<ValueId, Rejected> {
        let Pending {
            node,
            size,
            activations,
            ..
        } = pending;
        let bounds = fuse::bounds(activations, quant);
        let clamp = |what: &str| match bounds {
            Some(bounds) => Ok(bounds),
            None => refused(format!(
                "an activation other than Relu and Clip follows {what} '{node}' without a \
                 QuantizeLinear between them; quantize its input too"
            )),
        };
        let kind = match &pending.kind {
            PendingKind::Same(value) => {
                return self.mapped(node, name, *value, activations, quant);
            }
            PendingKind::Concat(parts) => {
                let mut mapped = Vec::with_capacity(parts.len());
                for &part in parts {
                    mapped.push(self.mapped(node, name, part, activations, quant)?);
                }
                Kind::Concat { parts: mapped }
            }
            PendingKind::Conv {
                input,
                groups,
                window,
                channels,
                weights,
                bias,
            } => {
                let operands = Operands {
                    outputs: size.channels as usize,
                    channels: *channels,
                    groups: *groups,
                    window: *window,
                    weights,
                    bias: bias.as_deref(),
                };
                let from = self.net.value(*input).quant;
                let clamp = clamp("the convolution")?;
                let conv = weights::convolution(*input, from, quant, clamp, &operands)?;
                Kind::Conv(Box::new(conv))
            }
            &PendingKind::Add(a, b) => Kind::Add {
                a,
                b,
                clamp: clamp("the sum")?,
            },
            &PendingKind::Mul(a, b) => Kind::Mul {
                a,
                b,
                clamp: clamp("the product")?,
            },
            &PendingKind::AveragePool {
                input,
                window,
                count_outside,
            } => {
                // A pool has no bounds of its own.
                clamp("the pool")?;
                Kind::AveragePool {
                    input,
                    window,
                    count_outside,
                }
            }
        };
        let is_pool = matches!(kind, Kind::AveragePool { .. });
        let value = self.net.add_value(name, *size, quant)?;
        self.net.add_step(node, kind, Some(value))?;
        if is_pool {
            return self.mapped(node, name, value, activations, quant);
        }
        Ok(value)
    }

    /// An operator on real values; what only moves codes works on codes as well.
    fn real(
        &mut self,
        node: &SourceNode,
        operator: &Operator,
        operands: &[State],
    ) -> Result<State, Rejected> {
        let Some(first) = operands.first() else {
            return refused("it has no input");
        };
        match operator {
            Operator::Conv { groups, window } => self.conv(node, *groups, *window, operands),
            Operator::Add | Operator::Mul => {
                let [a, b] = operands else {
                    return refused("it has not two inputs");
                };
                let is_sum = *operator == Operator::Add;
                self.element_wise(node, is_sum, a, b)
            }
            Operator::Activation(activation) => self.activated(node, first, *activation),
            Operator::Concat { axis } => self.concat(node, *axis, operands),
            Operator::AveragePool {
                window,
                count_outside,
            } => {
                let input = self.picture_operand(first)?;
                let kind = PendingKind::AveragePool {
                    input,
                    window: *window,
                    count_outside: *count_outside,
                };
                self.pending(node, kind, Axes::NCHW)
            }
            Operator::MaxPool { window } => {
                self.picture_operand(&as_real(first))?;
                let window = *window;
                self.moved(node, first, |input| Kind::MaxPool { input, window })
            }
            Operator::Resize(resample) => self.resized(node, first, *resample),
            Operator::Tile => self.resized(node, first, COPY),
            Operator::Transpose(order) => match first {
                State::Labels(_) => refused("it turns a mask"),
                _ => self.renamed(first, |axes, _| axes.transposed(order)),
            },
            Operator::Reshape => {
                let shape = self.output_shape(node).to_vec();
                match first {
                    // The pixels stay in their order.
                    State::Labels(_) => Ok(first.clone()),
                    _ => self.renamed(first, |axes, size| axes.reshaped(size, &shape)),
                }
            }
            Operator::Cast => match first {
                State::Picture(picture) => Ok(State::Picture(Picture {
                    is_codes: picture.is_codes && node.op == "Identity",
                    ..picture.clone()
                })),
                State::Labels(_) => Ok(first.clone()),
                _ if node.op == "Identity" => Ok(first.clone()),
                _ => refused("it changes a tensor's type inside the network"),
            },
            Operator::ArgMax { axis } => {
                let (State::Real(codes) | State::Codes(codes)) = first else {
                    return refused(not_quantized(first));
                };
                let rest: Vec<Axis> = (0..4).filter_map(|i| codes.axes.meaning(i)).collect();
                let at = |axis| rest.iter().position(|&a| a == axis);
                if codes.axes.meaning(*axis) != Some(Axis::Channel)
                    || at(Axis::Row) > at(Axis::Column)
                {
                    return refused("it does not choose among the channels");
                }
                Ok(State::Labels(codes.value))
            }
            Operator::Quantize { .. } | Operator::Dequantize { .. } | Operator::OnCodes(_) => {
                refused("it cannot stand here")
            }
        }
    }

    fn output_shape(&self, node: &SourceNode) -> &[usize] {
        let shape = &self.source.value(node.output).shape;
        shape.as_deref().unwrap_or(&[])
    }

    /// A real result that waits for its quantization.
    fn pending(&self, node: &SourceNode, kind: PendingKind, axes: Axes) -> Result<State, Rejected> {
        let Some(size) = axes.size(self.output_shape(node)) else {
            return refused("its result is not one picture");
        };
        Ok(State::Pending(Rc::new(Pending {
            kind,
            node: node.name.clone(),
            axes,
            size,
            activations: Vec::new(),
        })))
    }

    /// A dequantized operand whose axes are ONNX's own.
    fn picture_operand(&self, state: &State) -> Result<ValueId, Rejected> {
        match state {
            State::Real(codes) if codes.axes == Axes::NCHW => Ok(codes.value),
            State::Real(_) => refused("its input's axes are not batch, channel, row, column"),
            other => refused(not_quantized(other)),
        }
    }

    fn conv(
        &self,
        node: &SourceNode,
        groups: u32,
        window: Window,
        operands: &[State],
    ) -> Result<State, Rejected> {
        let [input, weights, bias @ ..] = operands else {
            return refused("it has no weights");
        };
        let input = self.picture_operand(input)?;
        let outputs = self.output_shape(node).get(1).copied().unwrap_or(0);
        let (weights, channels) = match weights {
            State::Dequantized(dequantized) => self.weights(dequantized)?,
            _ => {
                return refused(
                    "its weights are not quantized constants; quantize the model with weights",
                );
            }
        };
        let bias = match bias.first() {
            None => None,
            Some(state) => Some(Rc::new(self.bias(state, outputs)?)),
        };
        let kind = PendingKind::Conv {
            input,
            groups,
            window,
            channels,
            weights: Rc::new(weights),
            bias,
        };
        self.pending(node, kind, Axes::NCHW)
    }

    /// A convolution's weights, and the input channels of a group.
    fn weights(&self, dequantized: &Dequantized) -> Result<(QuantizedWeights, usize), Rejected> {
        let Some(constant) = self.constant(&dequantized.codes) else {
            return refused("its weights are not constants");
        };
        let each = dequantized.scales.len() > 1;
        if each && shape::axis(dequantized.axis, constant.shape.len()) != Some(0) {
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
        Ok((weights, constant.shape.get(1).copied().unwrap_or(0)))
    }

    fn bias(&self, state: &State, outputs: usize) -> Result<Bias, Rejected> {
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

    /// A function applied to a real value.
    fn activated(
        &self,
        node: &SourceNode,
        state: &State,
        f: Activation,
    ) -> Result<State, Rejected> {
        let extended = |before: &[Activation]| {
            if before.len() >= limits::MAX_ACTIVATIONS {
                return refused("too many functions follow each other");
            }
            Ok(before.iter().copied().chain([f]).collect())
        };
        let pending = match state {
            State::Picture(picture) if !picture.is_codes => {
                return Ok(State::Picture(Picture {
                    activations: extended(&picture.activations)?,
                    ..picture.clone()
                }));
            }
            State::Real(codes) => Pending {
                kind: PendingKind::Same(codes.value),
                node: node.name.clone(),
                axes: codes.axes,
                size: self.net.value(codes.value).size,
                activations: vec![f],
            },
            State::Pending(pending) => Pending {
                activations: extended(&pending.activations)?,
                node: format!("{}+{}", pending.node, node.name),
                ..(**pending).clone()
            },
            _ => return refused(not_quantized(state)),
        };
        Ok(State::Pending(Rc::new(pending)))
    }

    /// The number that a constant of one element is.
    fn scalar(&self, state: &State) -> Option<f32> {
        if let State::Dequantized(dequantized) = state {
            let codes = self.constant(&dequantized.codes)?.integers()?;
            let ([code], [scale], [zero]) = (
                codes.as_slice(),
                dequantized.scales.as_slice(),
                dequantized.zero_points.as_slice(),
            ) else {
                return None;
            };
            return Some((code - zero) as f32 * scale);
        }
        self.constant(state)?.float()
    }

    fn element_wise(
        &mut self,
        node: &SourceNode,
        is_sum: bool,
        a: &State,
        b: &State,
    ) -> Result<State, Rejected> {
        for (tensor, other) in [(a, b), (b, a)] {
            if let Some(number) = self.scalar(other) {
                let activation = if is_sum {
                    Activation::Shift(number)
                } else {
                    Activation::Scale(number)
                };
                return self.activated(node, tensor, activation);
            }
        }
        let (a, b) = match (a, b) {
            (State::Real(a), State::Real(b)) if a.axes == b.axes => (*a, *b),
            (State::Real(_), State::Real(_)) => {
                return refused("its operands' axes are in different orders");
            }
            (State::Real(_), other) | (other, _) => return refused(not_quantized(other)),
        };
        let size = |codes: Codes| self.net.value(codes.value).size;
        let is_factor = |factor: Codes, of: Codes| {
            size(factor).is_pixel() && size(factor).channels == size(of).channels
        };
        let axes = a.axes;
        let (a, b) = if size(a) == size(b) || is_factor(b, a) {
            (a, b)
        } else if is_factor(a, b) {
            (b, a)
        } else {
            return refused("its operands are neither of one size nor one of them one pixel");
        };
        let (whole, pixel) = (size(a), size(b));
        if !is_sum {
            return self.pending(node, PendingKind::Mul(a.value, b.value), axes);
        }
        let mut summand = b.value;
        if whole != pixel {
            let quant = self.net.value(b.value).quant;
            summand = self.net.add_value(&node.name, whole, quant)?;
            let kind = Kind::Resize {
                input: b.value,
                resample: COPY,
            };
            self.net.add_step(&node.name, kind, Some(summand))?;
        }
        self.pending(node, PendingKind::Add(a.value, summand), axes)
    }

    fn concat(
        &mut self,
        node: &SourceNode,
        axis: usize,
        operands: &[State],
    ) -> Result<State, Rejected> {
        let mut parts = Vec::with_capacity(operands.len());
        for operand in operands {
            match operand {
                State::Real(codes) | State::Codes(codes) => parts.push(*codes),
                other => return refused(not_quantized(other)),
            }
        }
        let first = parts[0];
        let real = operands.iter().filter(|o| matches!(o, State::Real(_)));
        let is_real = match real.count() {
            0 => false,
            n if n == operands.len() => true,
            _ => return refused("some of its parts are codes and some are real"),
        };
        if parts.iter().any(|p| p.axes != first.axes)
            || first.axes.meaning(axis) != Some(Axis::Channel)
        {
            return refused("it does not join channels");
        }
        let values: Vec<ValueId> = parts.iter().map(|p| p.value).collect();
        if is_real {
            return self.pending(node, PendingKind::Concat(values), first.axes);
        }
        let quant = self.net.value(first.value).quant;
        let agrees = |p: &Codes| p.signed == first.signed && self.net.value(p.value).quant == quant;
        if !parts.iter().all(agrees) {
            return refused("its parts are codes of different scales");
        }
        let state = self.pending(node, PendingKind::Concat(values), first.axes)?;
        let State::Pending(pending) = state else {
            return Ok(state);
        };
        let name = &self.source.value(node.output).name;
        let value = self.emit(&pending, name, quant)?;
        Ok(State::Codes(Codes { value, ..first }))
    }

    /// An operation that keeps the quantization of what it moves.
    fn moved(
        &mut self,
        node: &SourceNode,
        state: &State,
        kind: impl FnOnce(ValueId) -> Kind,
    ) -> Result<State, Rejected> {
        let (State::Real(codes) | State::Codes(codes)) = state else {
            return refused(not_quantized(state));
        };
        let Some(size) = codes.axes.size(self.output_shape(node)) else {
            return refused("its result is not one picture");
        };
        let input = self.net.value(codes.value);
        if size.channels != input.size.channels {
            return refused("it changes the number of channels");
        }
        let quant = input.quant;
        let name = &self.source.value(node.output).name;
        let value = self.net.add_value(name, size, quant)?;
        self.net
            .add_step(&node.name, kind(codes.value), Some(value))?;
        let moved = Codes { value, ..*codes };
        Ok(match state {
            State::Real(_) => State::Real(moved),
            _ => State::Codes(moved),
        })
    }

    fn resized(
        &mut self,
        node: &SourceNode,
        state: &State,
        resample: Resample,
    ) -> Result<State, Rejected> {
        let (State::Real(codes) | State::Codes(codes)) = state else {
            return refused(not_quantized(state));
        };
        let size = self.net.value(codes.value).size;
        if codes.axes.size(self.output_shape(node)) == Some(size) {
            return Ok(state.clone());
        }
        if matches!(node.operator, Operator::Tile) && !size.is_pixel() {
            return refused("it repeats more than one pixel");
        }
        let resample = if size.is_pixel() { COPY } else { resample };
        self.moved(node, state, |input| Kind::Resize { input, resample })
    }

    /// The same codes under other axes.
    fn renamed(
        &self,
        state: &State,
        axes: impl FnOnce(Axes, Size) -> Option<Axes>,
    ) -> Result<State, Rejected> {
        let whole = Size {
            height: self.manifest.input.height,
            width: self.manifest.input.width,
            channels: 3,
        };
        let (old, size) = match state {
            State::Picture(picture) => (picture.axes, whole),
            State::Real(codes) | State::Codes(codes) => {
                (codes.axes, self.net.value(codes.value).size)
            }
            State::Pending(pending) => (pending.axes, pending.size),
            _ => return refused("it moves something other than a picture"),
        };
        let Some(axes) = axes(old, size) else {
            return refused("it moves pixels, and not only axes");
        };
        Ok(match state.clone() {
            State::Picture(picture) => State::Picture(Picture { axes, ..picture }),
            State::Real(codes) => State::Real(Codes { axes, ..codes }),
            State::Codes(codes) => State::Codes(Codes { axes, ..codes }),
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

    /// Adds the choice of the class, which every program ends in.
    fn finish(&mut self) -> Result<(), Fault> {
        let output = self.source.output;
        let name = self.source.value(output).name.clone();
        let wrong = |reason: String| {
            Err(Fault::Shape {
                node: name.clone(),
                reason,
            })
        };
        let state = self.state(output);
        let (scores, is_mask) = match &state {
            Some(State::Labels(scores)) => (*scores, true),
            Some(State::Real(codes) | State::Codes(codes)) => (codes.value, false),
            other => {
                let reason = match other {
                    Some(state) => not_quantized(state),
                    None => "it does not depend on the picture".to_owned(),
                };
                self.refusals.push(Refusal {
                    node: name,
                    op: "output".into(),
                    reason,
                });
                return Ok(());
            }
        };
        if is_mask != (self.manifest.output.kind == OutputKind::Labels) {
            let kind = if is_mask { "labels" } else { "logits" };
            return wrong(format!(
                "the graph ends in {kind}; set output.kind in the manifest to \"{kind}\""
            ));
        }
        let Size {
            height,
            width,
            channels,
        } = self.net.value(scores).size;
        let classes = self.manifest.classes.len();
        if channels as usize > classes {
            return wrong(format!(
                "it has {channels} classes, but the manifest has {classes}"
            ));
        }
        let resample = if (width, height) == self.net.mask {
            COPY
        } else if is_mask {
            return wrong(format!(
                "the mask is {width}x{height}, not of the input's size"
            ));
        } else {
            Resample::Bilinear(match self.manifest.output.upsample {
                Upsample::AlignCorners => Coordinates::AlignCorners,
                Upsample::HalfPixel => Coordinates::HalfPixel,
                Upsample::Asymmetric => Coordinates::Asymmetric,
            })
        };
        let kind = Kind::Argmax {
            input: scores,
            resample,
        };
        self.net.add_step(&name, kind, None)
    }
}

/// The same state as if it were dequantized: for checks that both forms share.
fn as_real(state: &State) -> State {
    match state {
        State::Codes(codes) => State::Real(*codes),
        other => other.clone(),
    }
}

/// Why a state cannot be the operand of an integer operation.
fn not_quantized(state: &State) -> String {
    match state {
        State::Pending(pending) => format!(
            "it reads the result of '{}', which is not quantized: no QuantizeLinear follows it",
            pending.node
        ),
        State::Picture(_) => "it reads the picture before it is quantized".into(),
        State::Codes(_) => "it reads codes as if they were real numbers".into(),
        State::Labels(_) => "it reads a mask".into(),
        _ => "it reads a constant tensor where a quantized activation is needed".into(),
    }
}

/// QuantizeLinear of a constant.
fn quantized(
    constant: &Constant,
    scales: &[f32],
    zero_points: &[i64],
    signed: bool,
    axis: i64,
) -> Result<Constant, Rejected> {
    let Some(values) = constant.floats() else {
        return refused("it quantizes a constant that is not float");
    };
    let mut inner = 1;
    if scales.len() > 1 {
        match shape::axis(axis, constant.shape.len()) {
            Some(axis) if constant.shape[axis] == scales.len() => {
                inner = constant.shape[axis + 1..].iter().product();
            }
            _ => return refused("its scales do not fit its axis"),
        }
    }
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
