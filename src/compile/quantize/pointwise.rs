//! Functions of each number: activations, and arithmetic with constants and
//! between tensors.

use std::rc::Rc;

use super::super::fuse::{self, Arithmetic, Curve};
use super::super::import::SourceNode;
use super::super::net::{Kind, Size, ValueId};
use super::super::transpose::Axes;
use super::super::weights::ChannelAffine;
use super::parameters::Operand;
use super::{COPY, Codes, Pending, PendingKind, Picture, Rejected, State, Walk};
use super::{joined, linear, not_quantized, refused};
use crate::program::Quant;

impl Walk<'_> {
    /// The axes of a tensor of the network.
    pub(super) fn axes_of(&self, state: &State) -> Option<Axes> {
        match state {
            State::Picture(picture) => Some(picture.axes),
            State::Real(codes) | State::Codes(codes) | State::Probabilities(codes) => {
                Some(codes.axes)
            }
            State::Pending(pending) => Some(pending.axes),
            State::Bordered(inner, _) => self.axes_of(inner),
            _ => None,
        }
    }

    /// Rows, columns and channels of a tensor of the network.
    pub(super) fn size_of(&self, state: &State) -> Option<Size> {
        match state {
            State::Picture(_) => Some(Size {
                height: self.manifest.input.height,
                width: self.manifest.input.width,
                channels: 3,
            }),
            State::Real(codes) | State::Codes(codes) | State::Probabilities(codes) => {
                Some(self.net.value(codes.value).size)
            }
            State::Pending(pending) => Some(pending.size),
            _ => None,
        }
    }

    /// The function of its codes that a real value is, where it is one.
    fn curve_of(&self, state: &State) -> Option<(ValueId, Curve)> {
        match state {
            State::Real(codes) => {
                let quant = self.net.value(codes.value).quant;
                Some((codes.value, Curve::of(quant)))
            }
            State::Pending(pending) => match &pending.kind {
                PendingKind::Curve(value, curve) => Some((*value, curve.clone())),
                _ => None,
            },
            _ => None,
        }
    }

    /// A real value that is a function of codes, after the nodes in `node`.
    fn of_codes(&self, node: String, axes: Axes, value: ValueId, curve: Curve) -> State {
        State::Pending(Rc::new(Pending {
            kind: PendingKind::Curve(value, curve),
            node,
            axes,
            size: self.net.value(value).size,
            range: fuse::EVERYTHING,
        }))
    }

    /// A function applied to a real value; `clip` tells its bounds where it is a Clip.
    pub(super) fn activated(
        &self,
        node: &SourceNode,
        state: &State,
        f: &dyn Fn(f32) -> f32,
        clip: Option<[f32; 2]>,
    ) -> Result<State, Rejected> {
        let pending = match state {
            State::Picture(picture) if !picture.is_codes => {
                return Ok(State::Picture(Picture {
                    curves: picture.curves.each_ref().map(|curve| curve.then(f)),
                    ..picture.clone()
                }));
            }
            State::Real(codes) => {
                let curve = Curve::of(self.net.value(codes.value).quant).then(f);
                let node = node.name.clone();
                return Ok(self.of_codes(node, codes.axes, codes.value, curve));
            }
            State::Pending(pending) => pending,
            _ => return refused(not_quantized(state)),
        };
        let joined = joined(pending, node)?;
        let mut range = pending.range;
        let kind = match &pending.kind {
            PendingKind::Curve(value, curve) => {
                return Ok(self.of_codes(joined, pending.axes, *value, curve.then(f)));
            }
            PendingKind::Concat(parts) => {
                let parts = parts.iter().map(|part| self.activated(node, part, f, clip));
                PendingKind::Concat(parts.collect::<Result<_, _>>()?)
            }
            kind => {
                let Some([low, high]) = clip.filter(|_| !matches!(kind, PendingKind::PRelu(..)))
                else {
                    return refused(format!(
                        "it follows '{}' without a QuantizeLinear between them; quantize its \
                         input too",
                        pending.node
                    ));
                };
                range = fuse::clipped(range, low, high);
                kind.clone()
            }
        };
        Ok(State::Pending(Rc::new(Pending {
            kind,
            node: joined,
            range,
            ..(**pending).clone()
        })))
    }

    pub(super) fn arithmetic(
        &mut self,
        node: &SourceNode,
        operation: Arithmetic,
        a: &State,
        b: &State,
    ) -> Result<State, Rejected> {
        for (tensor, other, is_first) in [(a, b, true), (b, a, false)] {
            let (Some(axes), Some(size)) = (self.axes_of(tensor), self.size_of(tensor)) else {
                continue;
            };
            let Some(constant) = self.operand(other, axes, size)? else {
                continue;
            };
            if self.output_shape(node).len() != axes.rank() {
                return refused("its constant adds axes");
            }
            return match constant {
                Operand::One(number) => {
                    let f = |x: f32| match is_first {
                        true => operation.apply(x, number),
                        false => operation.apply(number, x),
                    };
                    self.with_number(node, tensor, operation, number, is_first, &f)
                }
                Operand::EachChannel(numbers) => {
                    match ChannelAffine::of(operation, numbers, is_first) {
                        Some(affine) => self.affine(node, tensor, affine),
                        None => refused("it divides constants by a tensor, or a tensor by 0"),
                    }
                }
            };
        }
        self.between_tensors(node, operation, a, b)
    }

    /// Arithmetic with one number: a function of the codes, or a factor or summand of
    /// every channel of a convolution.
    fn with_number(
        &mut self,
        node: &SourceNode,
        tensor: &State,
        operation: Arithmetic,
        number: f32,
        is_first: bool,
        f: &dyn Fn(f32) -> f32,
    ) -> Result<State, Rejected> {
        if let State::Pending(pending) = tensor
            && let PendingKind::Conv(_) = pending.kind
        {
            let numbers = vec![number; pending.size.channels as usize];
            if let Some(affine) = ChannelAffine::of(operation, numbers, is_first) {
                return self.affine(node, tensor, affine);
            }
        }
        self.activated(node, tensor, f, None)
    }

    fn between_tensors(
        &mut self,
        node: &SourceNode,
        operation: Arithmetic,
        a: &State,
        b: &State,
    ) -> Result<State, Rejected> {
        let axes = match (self.axes_of(a), self.axes_of(b)) {
            (Some(a), Some(b)) => a.broadcast(b),
            _ => return refused("it reads a constant tensor, a mask or two constants"),
        };
        let Some(axes) = axes else {
            return refused("its operands' axes are in different orders");
        };
        // A value times its own gate, as a swish is written.
        if let (Some((x, first)), Some((y, second))) = (self.curve_of(a), self.curve_of(b))
            && x == y
        {
            let curve = first.with(&second, |a, b| operation.apply(a, b));
            return Ok(self.of_codes(node.name.clone(), axes, x, curve));
        }
        let (a, b) = (self.settled(a)?, self.settled(b)?);
        let size = |codes: Codes| self.net.value(codes.value).size;
        let is_factor = |factor: Codes, of: Codes| {
            size(factor).is_pixel() && size(factor).channels == size(of).channels
        };
        let (a, b) = if size(a) == size(b) || is_factor(b, a) {
            (a, b)
        } else if is_factor(a, b) {
            (b, a)
        } else {
            return refused("its operands are neither of one size nor one of them one pixel");
        };
        let (whole, pixel) = (size(a), size(b));
        match operation {
            Arithmetic::Mul => self.pending(node, PendingKind::Mul(a.value, b.value), axes),
            Arithmetic::Add => {
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
            Arithmetic::Sub | Arithmetic::Div => {
                refused("a difference or quotient of two tensors has no integer form here")
            }
        }
    }

    pub(super) fn prelu(
        &mut self,
        node: &SourceNode,
        state: &State,
        slope: &State,
    ) -> Result<State, Rejected> {
        let (Some(axes), Some(size)) = (self.axes_of(state), self.size_of(state)) else {
            return refused(not_quantized(state));
        };
        let leaky = |slope: f32| move |x: f32| if x < 0.0 { slope * x } else { x };
        let slopes = match self.operand(slope, axes, size)? {
            Some(Operand::One(slope)) => return self.activated(node, state, &leaky(slope), None),
            Some(Operand::EachChannel(slopes)) => slopes,
            None => return refused("its slope is not a constant"),
        };
        if let State::Picture(picture) = state
            && !picture.is_codes
        {
            let curves = std::array::from_fn(|c| picture.curves[c].then(leaky(slopes[c])));
            return Ok(State::Picture(Picture {
                curves,
                ..picture.clone()
            }));
        }
        let codes = self.settled(state)?;
        let kind = PendingKind::PRelu(codes.value, Rc::new(slopes));
        self.pending(node, kind, codes.axes)
    }

    /// A leaky Relu with a slope for each channel: what is above 0 through a table,
    /// what is below through a depthwise convolution, and their sum, of which one
    /// summand is always 0.
    pub(super) fn emit_prelu(
        &mut self,
        node: &str,
        name: &str,
        value: ValueId,
        slopes: &[f32],
        quant: Quant,
    ) -> Result<ValueId, Rejected> {
        let from = self.net.value(value).quant;
        let size = self.net.value(value).size;
        let above = Curve::of(from).then(|x| x.max(0.0)).table(quant);
        let above = self.mapped(node, name, value, above, quant)?;
        let below = Curve::of(from).then(|x| x.min(0.0)).table(from);
        let below = self.mapped(node, name, value, below, from)?;
        let affine = ChannelAffine {
            factors: slopes.to_vec(),
            summands: vec![0.0; slopes.len()],
        };
        let scaled = linear::channelwise(below, from.scale, affine);
        let conv = self.convolution(&scaled, size, quant, [0, 255])?;
        let below = self.net.add_value(name, size, quant)?;
        self.net.add_step(node, conv, Some(below))?;
        let sum = self.net.add_value(name, size, quant)?;
        let kind = Kind::Add {
            a: below,
            b: above,
            clamp: [0, 255],
        };
        self.net.add_step(node, kind, Some(sum))?;
        Ok(sum)
    }
}
