//! From typed ONNX nodes to operations on codes.
//!
//! The nodes are walked once, in order, with a note of what each value is: codes,
//! codes that were dequantized, or a real result that waits for its
//! QuantizeLinear. That node gives the result its scale, and with it everything
//! the integer operation needs. Signed codes become unsigned by adding 128 to
//! them and to their zero points.

use std::rc::Rc;

use super::constant::Constant;
use super::fuse::{self, Curve};
use super::import::{CodeInputs, Operator, Source, SourceId, SourceNode};
use super::net::{Net, Size, Table, ValueId};
use super::transpose::Axes;
use super::weights::{Bias, ChannelAffine, QuantizedWeights};
use super::{Fault, Refusal, limits};
use crate::model::manifest::{InputType, Layout, Manifest};
use crate::program::{Coordinates, NearestRule, Quant, Resample, Window};

mod boundary;
mod ending;
mod layout;
mod linear;
mod parameters;
mod pointwise;
pub mod region;
mod spread;
mod windows;

use spread::Spread;

/// Between pictures of one size, and from a picture of one pixel, every way to
/// resample is this one.
const COPY: Resample = Resample::Nearest(Coordinates::Asymmetric, NearestRule::Floor);

/// Turns the graph into operations on codes.
///
/// # Errors
/// [`Fault::Unsupported`] with every node that has no integer form,
/// [`Fault::TooLarge`], or [`Fault::Shape`].
pub fn quantize(source: &Source, manifest: &Manifest) -> Result<Net, Fault> {
    let input = &manifest.input;
    let mut walk = Walk::new(source, manifest);
    let curves = [0, 1, 2].map(|channel: usize| {
        Curve::from_codes(|byte| match input.dtype {
            // As the float engine scales a pixel.
            InputType::F32 => (f32::from(byte) - input.mean[channel]) / input.std[channel],
            InputType::U8 => f32::from(byte),
        })
    });
    walk.states[source.input.0] = Some(State::Picture(Picture {
        axes: match input.layout {
            Layout::Nchw => Axes::NCHW,
            Layout::Nhwc => Axes::NHWC,
        },
        is_codes: input.dtype == InputType::U8,
        curves,
    }));
    for node in &source.nodes {
        walk.step(node)?;
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
    /// The picture, codes or dequantized codes inside a border of zeros.
    Bordered(Box<State>, Border),
    /// Softmax of codes, in whatever form: what matters is that its largest channel
    /// is theirs.
    Probabilities(Codes),
    /// The class of every pixel of a picture of scores.
    Labels(ValueId),
}

#[derive(Debug, Clone)]
struct Picture {
    axes: Axes,
    /// Bytes, or real numbers that came from them.
    is_codes: bool,
    /// The real number of each byte of each channel.
    curves: [Curve; 3],
}

#[derive(Debug, Clone, Copy)]
struct Codes {
    value: ValueId,
    axes: Axes,
    /// Whether the graph's codes are signed: 128 less than the network's.
    signed: bool,
}

/// Rows above, columns left, rows below, columns right.
type Border = [u32; 4];

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
    /// What Relu and Clip behind it keep it within.
    range: [f32; 2],
}

#[derive(Debug, Clone)]
enum PendingKind {
    Conv(Linear),
    Add(ValueId, ValueId),
    Mul(ValueId, ValueId),
    AveragePool {
        input: ValueId,
        window: Window,
        count_outside: bool,
    },
    /// Dequantized codes or results of their own.
    Concat(Vec<State>),
    /// As of a concatenation; the largest of them.
    Max(Vec<State>),
    /// A function of each code.
    Curve(ValueId, Curve),
    /// A leaky Relu with a slope for each channel.
    PRelu(ValueId, Rc<Vec<f32>>),
}

/// A convolution before its result's scale is known.
#[derive(Debug, Clone)]
struct Linear {
    input: ValueId,
    groups: u32,
    window: Window,
    /// Input channels of a group.
    channels: usize,
    weights: Rc<QuantizedWeights>,
    bias: Option<Rc<Bias>>,
    /// What factors and summands of each channel do to the result.
    affine: Option<Rc<ChannelAffine>>,
    /// Where its channels become pixels.
    spread: Option<Spread>,
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
    /// The input picture's quantization, its tables and its codes.
    picture: Option<(Quant, [Table; 3], ValueId)>,
    /// Set where only some of the nodes are walked.
    part: Option<region::Part>,
}

/// The inputs of a node; `None` for one that is left out.
struct Inputs(Vec<Option<State>>);

impl Inputs {
    fn required(&self, index: usize) -> Result<&State, Rejected> {
        match self.optional(index) {
            Some(state) => Ok(state),
            None => refused(format!("its input {index} is missing")),
        }
    }

    fn optional(&self, index: usize) -> Option<&State> {
        self.0.get(index)?.as_ref()
    }
}

impl<'a> Walk<'a> {
    /// At the graph's start, where nothing is known yet but its constants.
    fn new(source: &'a Source, manifest: &'a Manifest) -> Self {
        Self {
            source,
            manifest,
            net: Net::new((manifest.input.width, manifest.input.height)),
            states: vec![None; source.values.len()],
            refusals: source.refusals.clone(),
            picture: None,
            part: None,
        }
    }

    /// Walks over a node, and notes what its output is or why it was refused.
    fn step(&mut self, node: &SourceNode) -> Result<(), Fault> {
        match self.node(node) {
            Ok(state) => self.states[node.output.0] = state,
            Err(Rejected::Refused(reason)) => self.refuse(node, reason),
            Err(Rejected::Failed(error)) => return Err(error),
        }
        Ok(())
    }

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
                return self.entry(node);
            }
            inputs.push(state.flatten());
        }
        let inputs = Inputs(inputs);
        let state = match &node.operator {
            Operator::Quantize { axis } => {
                let (scale, zero_point) = (inputs.required(1)?, inputs.optional(2));
                self.quantize(node, inputs.required(0)?, scale, zero_point, *axis)?
            }
            Operator::Dequantize { axis } => {
                let (scale, zero_point) = (inputs.required(1)?, inputs.optional(2));
                self.dequantize(node, inputs.required(0)?, scale, zero_point, *axis)?
            }
            Operator::OnCodes(operator, places) => {
                self.on_codes(node, operator, places, &inputs)?
            }
            operator => self.real(node, operator, &inputs)?,
        };
        Ok(Some(state))
    }

    /// An operator on codes: what it is on real numbers, between a DequantizeLinear
    /// for each operand and a QuantizeLinear.
    fn on_codes(
        &mut self,
        node: &SourceNode,
        operator: &Operator,
        places: &CodeInputs,
        inputs: &Inputs,
    ) -> Result<State, Rejected> {
        let mut real = Vec::with_capacity(places.operands.len() + 1);
        for &at in &places.operands {
            let (scale, zero_point) = (inputs.required(at + 1)?, inputs.optional(at + 2));
            let codes = inputs.required(at)?;
            let state = self.dequantize(node, codes, scale, zero_point, places.scale_axis)?;
            real.push(Some(state));
        }
        if let Some(bias) = places.bias {
            real.push(inputs.optional(bias).cloned());
        }
        let state = self.real(node, operator, &Inputs(real))?;
        let scale = inputs.required(places.result)?;
        self.quantize(node, &state, scale, inputs.optional(places.result + 1), 0)
    }

    /// An operator on real values; what only moves codes works on codes as well.
    fn real(
        &mut self,
        node: &SourceNode,
        operator: &Operator,
        inputs: &Inputs,
    ) -> Result<State, Rejected> {
        let first = inputs.required(0)?;
        match operator {
            &Operator::Conv { groups, window } => self.conv(node, groups, window, inputs),
            &Operator::ConvTranspose {
                kernel,
                stride,
                pad,
            } => self.conv_transpose(node, [kernel, stride, pad], inputs),
            &Operator::DepthToSpace(block) => self.depth_to_space(node, first, block),
            Operator::Max => self.max(node, inputs),
            &Operator::MatMul { transposed } => self.mat_mul(node, transposed, inputs),
            &Operator::Arithmetic(operation) => {
                self.arithmetic(node, operation, first, inputs.required(1)?)
            }
            &Operator::Activation(activation) => {
                self.activated(node, first, &|x| activation.apply(x), activation.clip())
            }
            Operator::PRelu => self.prelu(node, first, inputs.required(1)?),
            &Operator::BatchNormalization { epsilon } => {
                self.batch_normalization(node, epsilon, inputs)
            }
            Operator::Concat { axis } => self.concat(node, *axis, inputs),
            &Operator::AveragePool {
                window,
                count_outside,
            } => self.average_pool(node, first, window, count_outside),
            Operator::Mean { axes, keep } => self.mean(node, first, axes, *keep),
            &Operator::MaxPool { window } => self.max_pool(node, first, window),
            Operator::Resize(resample) => self.resized(node, first, *resample),
            Operator::Tile => self.resized(node, first, COPY),
            Operator::Pad(around) => self.padded(first, inputs.optional(2), around),
            Operator::Slice(begins) => self.sliced(node, first, begins),
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
            Operator::Identity => Ok(first.clone()),
            Operator::Cast => match first {
                State::Picture(picture) => Ok(State::Picture(Picture {
                    is_codes: false,
                    ..picture.clone()
                })),
                State::Labels(_) => Ok(first.clone()),
                _ => refused("it changes a tensor's type inside the network"),
            },
            Operator::Softmax { axis } => self.softmax(first, *axis),
            Operator::ArgMax { axis } => self.arg_max(first, *axis),
            Operator::Quantize { .. } | Operator::Dequantize { .. } | Operator::OnCodes(..) => {
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
            range: fuse::EVERYTHING,
        })))
    }

    /// The codes that stand for a real value. A function that no code is rounded by,
    /// such as a Relu, becomes an operation of its own.
    fn settled(&mut self, state: &State) -> Result<Codes, Rejected> {
        match state {
            State::Real(codes) => Ok(*codes),
            State::Pending(pending) => {
                let PendingKind::Curve(value, curve) = &pending.kind else {
                    return refused(not_quantized(state));
                };
                let quant = self.net.value(*value).quant;
                let Some(table) = curve.exact_table(quant) else {
                    return refused(not_quantized(state));
                };
                let value = self.mapped(&pending.node, &pending.node, *value, table, quant)?;
                Ok(Codes {
                    value,
                    axes: pending.axes,
                    signed: false,
                })
            }
            other => refused(not_quantized(other)),
        }
    }
}

/// The names of the nodes that a result comes from, and of one more.
fn joined(pending: &Pending, node: &SourceNode) -> Result<String, Rejected> {
    let joined = format!("{}+{}", pending.node, node.name);
    if joined.len() > limits::MAX_JOINED_NAMES {
        return refused("too many functions follow each other; quantize between them");
    }
    Ok(joined)
}

/// Why a state cannot be the operand of an integer operation.
fn not_quantized(state: &State) -> String {
    match state {
        State::Pending(pending) => format!(
            "it reads the result of '{}' before that is quantized; put a QuantizeLinear and a \
             DequantizeLinear between the two, as the QDQ format does",
            pending.node
        ),
        State::Picture(_) => "it reads the picture before it is quantized".into(),
        State::Codes(_) => "it reads codes as if they were real numbers".into(),
        State::Labels(_) => "it reads a mask".into(),
        State::Bordered(..) => {
            "it reads a border that Pad has made, which only a convolution or a pool can take in"
                .into()
        }
        State::Probabilities(_) => {
            "it reads the result of Softmax, which may only be the output or go to ArgMax; put \
             Softmax last, or leave it out"
                .into()
        }
        _ => "it reads a constant tensor where a quantized activation is needed".into(),
    }
}
