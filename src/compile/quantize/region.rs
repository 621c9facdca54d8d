//! A part of a graph: which of its nodes have an integer form though others have none,
//! and the network of some of them.
//!
//! A part begins where a real result of another node is quantized, and where it reads
//! codes, or dequantized codes, that another part made. It ends in values that are
//! codes or dequantized codes, or in the choice of the class.

use super::super::import::{Operator, Source, SourceId, SourceNode};
use super::super::net::{Kind, Net, ValueId};
use super::super::prune;
use super::super::transpose::{Axes, Axis};
use super::super::{Fault, Refusal};
use super::{Codes, Rejected, State, Walk, refused};
use crate::model::Manifest;
use crate::model::graph::Element;
use crate::model::manifest::{InputType, Layout};
use crate::program::Quant;

/// The part of the graph that is walked.
pub struct Part {
    /// For each of [`Source::nodes`] whether it belongs to it. Constants always do.
    within: Vec<bool>,
    /// What it is given: the tensor of the graph, and how it is read.
    given: Vec<(SourceId, Form, ValueId)>,
}

/// A tensor of codes, as the graph has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Form {
    /// Real numbers, or signed or unsigned codes.
    pub element: Element,
    /// The quantization, in unsigned codes.
    pub quant: Quant,
    axes: Axes,
}

impl Form {
    /// Elements of the graph's tensor from one row, column and channel to the next.
    pub fn steps(self, shape: &[usize]) -> [usize; 3] {
        [Axis::Row, Axis::Column, Axis::Channel].map(|axis| {
            let place = self.axes.position(axis);
            place.map_or(0, |at| shape[at + 1..].iter().product())
        })
    }
}

/// What a walk over nodes, some without an integer form, has found out about a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found {
    /// A constant, or made of constants.
    Constant,
    /// Codes, or real numbers that are codes.
    Coded(Form),
    /// The result of an integer operation that is not made yet: a quantization has to
    /// follow, or what else its readers are.
    Waiting,
    /// Another node makes it.
    Outside,
}

/// What a walk has found out about a graph.
pub struct Survey {
    /// For each value.
    pub found: Vec<Found>,
    /// Whether the graph's output gives the mask.
    pub gives_mask: bool,
    /// Nodes that have no integer form.
    pub refusals: Vec<Refusal>,
}

/// Finds out which nodes have an integer form. `within` says for each of
/// [`Source::nodes`] whether it may have one.
///
/// # Errors
/// [`Fault::TooLarge`] or [`Fault::Shape`].
pub fn survey(source: &Source, manifest: &Manifest, within: &[bool]) -> Result<Survey, Fault> {
    let mut walk = Walk::over_part(source, manifest, within)?;
    let refused = walk.refusals.len();
    let has_end = walk.state(source.output).is_some();
    if has_end {
        walk.finish()?;
    }
    let gives_mask = has_end && walk.refusals.len() == refused;
    walk.refusals.truncate(refused);
    let values = 0..source.values.len();
    Ok(Survey {
        found: values.map(|id| walk.found(SourceId(id))).collect(),
        gives_mask,
        refusals: walk.refusals,
    })
}

/// A region's network and the tensors of the graph it begins and ends with, in the
/// order of its steps of kind [`Kind::Given`] and [`Kind::Kept`].
pub struct RegionNet {
    pub net: Net,
    pub inputs: Vec<(SourceId, Form)>,
    pub outputs: Vec<(SourceId, Form)>,
}

/// Makes the network of some nodes. `coded` are the values that others make and that
/// are read as codes, `kept` those that others read.
///
/// # Errors
/// As [`survey`], and [`Fault::Unsupported`] where a node has no integer form after all.
pub fn quantize_region(
    source: &Source,
    manifest: &Manifest,
    within: &[bool],
    coded: &[(SourceId, Form)],
    kept: &[SourceId],
    gives_mask: bool,
) -> Result<RegionNet, Fault> {
    let mut walk = Walk::new(source, manifest);
    walk.refusals.clear();
    walk.part = Some(Part {
        within: within.to_vec(),
        given: Vec::new(),
    });
    for &(id, form) in coded {
        match walk.given(id, form) {
            Ok(state) => walk.states[id.0] = Some(state),
            Err(Rejected::Failed(fault)) => return Err(fault),
            Err(Rejected::Refused(reason)) => {
                let node = source.value(id).name.clone();
                return Err(Fault::Shape { node, reason });
            }
        }
    }
    walk.nodes()?;
    let mut outputs = Vec::with_capacity(kept.len());
    for &id in kept {
        let name = &source.value(id).name;
        let (Found::Coded(form), Some(State::Codes(codes) | State::Real(codes))) =
            (walk.found(id), walk.state(id))
        else {
            walk.refusals.push(Refusal {
                node: name.clone(),
                op: "region".into(),
                reason: "it is read outside its region before it is quantized".into(),
            });
            continue;
        };
        let kind = Kind::Kept { input: codes.value };
        walk.net.add_step(name, kind, None)?;
        outputs.push((id, form));
    }
    if gives_mask {
        walk.finish()?;
    }
    if !walk.refusals.is_empty() {
        return Err(Fault::Unsupported(walk.refusals));
    }
    let given = walk.part.map_or(Vec::new(), |part| part.given);
    let mut net = walk.net;
    // The caller writes them before the first operation.
    net.steps.sort_by_key(|step| step.kind != Kind::Given);
    // So that every input is one that is read.
    prune::prune(&mut net);
    let reads = net.read_counts();
    let read = given.into_iter().filter(|(_, _, value)| reads[value.0] > 0);
    Ok(RegionNet {
        net,
        inputs: read.map(|(id, form, _)| (id, form)).collect(),
        outputs,
    })
}

impl<'a> Walk<'a> {
    /// Walks over some of the nodes.
    fn over_part(
        source: &'a Source,
        manifest: &'a Manifest,
        within: &[bool],
    ) -> Result<Self, Fault> {
        let mut walk = Self::new(source, manifest);
        walk.part = Some(Part {
            within: within.to_vec(),
            given: Vec::new(),
        });
        walk.nodes()?;
        Ok(walk)
    }

    fn nodes(&mut self) -> Result<(), Fault> {
        let source = self.source;
        for (index, node) in source.nodes.iter().enumerate() {
            if self.part.as_ref().is_none_or(|part| part.within[index]) {
                self.step(node)?;
            }
        }
        Ok(())
    }

    fn found(&self, id: SourceId) -> Found {
        match self.state(id) {
            None => Found::Outside,
            Some(State::Stored(_) | State::Folded(_) | State::Dequantized(_)) => Found::Constant,
            Some(State::Codes(codes)) => {
                let element = if codes.signed {
                    Element::I8
                } else {
                    Element::U8
                };
                Found::Coded(self.form(codes, element))
            }
            Some(State::Real(codes)) => Found::Coded(self.form(codes, Element::F32)),
            Some(_) => Found::Waiting,
        }
    }

    fn form(&self, codes: Codes, element: Element) -> Form {
        Form {
            element,
            quant: self.net.value(codes.value).quant,
            axes: codes.axes,
        }
    }

    /// What a node's output is that reads what is not made here: codes, where a part is
    /// walked and the node quantizes a real picture, or takes the input picture's bytes
    /// for codes.
    pub(super) fn entry(&mut self, node: &SourceNode) -> Result<Option<State>, Rejected> {
        let (Some(_), Some(&Some(id))) = (&self.part, node.inputs.first()) else {
            return Ok(None);
        };
        let is_bytes = id == self.source.input && self.manifest.input.dtype == InputType::U8;
        let element = match &node.operator {
            Operator::Quantize { .. } if !is_bytes => Element::F32,
            Operator::Dequantize { .. } if is_bytes => Element::U8,
            _ => return Ok(None),
        };
        let parameter = |at: usize| node.inputs.get(at).copied().flatten();
        let (Some(scale), zero_point) = (parameter(1), parameter(2)) else {
            return refused("its scale is missing");
        };
        let Some(scale) = self.state(scale) else {
            return Ok(None);
        };
        let zero_point = match zero_point.map(|id| self.state(id)) {
            Some(None) => return Ok(None),
            Some(state) => state,
            None => None,
        };
        let (quant, signed) = self.activation_quant(&scale, zero_point.as_ref())?;
        let form = Form {
            element,
            quant,
            axes: match self.manifest.input.layout {
                Layout::Nhwc if id == self.source.input => Axes::NHWC,
                _ => Axes::NCHW,
            },
        };
        Ok(Some(match self.given(id, form)? {
            State::Real(codes) => State::Codes(Codes { signed, ..codes }),
            State::Codes(codes) => State::Real(codes),
            other => other,
        }))
    }

    /// A tensor of the graph that others make, as codes that the caller writes.
    fn given(&mut self, id: SourceId, form: Form) -> Result<State, Rejected> {
        let shape = self.source.value(id).shape.as_deref().unwrap_or(&[]);
        let Some(size) = form.axes.size(shape) else {
            return refused(format!(
                "what it reads, of shape {shape:?}, is not one picture of batch 1"
            ));
        };
        let known = self.part.as_ref().and_then(|part| {
            let same = |(i, f, _): &&(SourceId, Form, ValueId)| *i == id && *f == form;
            part.given.iter().find(same).map(|(_, _, value)| *value)
        });
        let value = match known {
            Some(value) => value,
            None => {
                let name = &self.source.value(id).name;
                let value = self.net.add_value(name, size, form.quant)?;
                self.net.add_step(name, Kind::Given, Some(value))?;
                if let Some(part) = &mut self.part {
                    part.given.push((id, form, value));
                }
                value
            }
        };
        let codes = Codes {
            value,
            axes: form.axes,
            signed: form.element == Element::I8,
        };
        Ok(match form.element {
            Element::F32 => State::Real(codes),
            _ => State::Codes(codes),
        })
    }
}
