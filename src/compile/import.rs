//! From the ONNX protobuf to typed nodes with known shapes.
//!
//! Attributes are read and checked here, constants are decoded and folded, and
//! every value gets its shape. What is not supported is collected, and what
//! depends on it is left out, so that one report names every cause.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

use super::constant::{Constant, Data};
use super::fuse::Activation;
use super::shape::{self, WindowShape};
use super::{Fault, Refusal, limits};
use crate::model::manifest::{InputType, Layout, Manifest};
use crate::program::{Coordinates, NearestRule, Resample, Window};

/// Index of a value in [`Source::values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceId(pub usize);

/// A tensor of the ONNX graph.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceValue {
    pub name: String,
    /// `None` where a node before it is not supported.
    pub shape: Option<Vec<usize>>,
    pub constant: Option<Constant>,
}

/// An operator with its checked attributes.
#[derive(Debug, Clone, PartialEq)]
pub enum Operator {
    /// Its axis is that of per-channel scales.
    Quantize {
        axis: i64,
    },
    Dequantize {
        axis: i64,
    },
    Conv {
        groups: u32,
        window: Window,
    },
    Add,
    Mul,
    Concat {
        axis: usize,
    },
    Activation(Activation),
    AveragePool {
        window: Window,
        count_outside: bool,
    },
    MaxPool {
        window: Window,
    },
    Resize(Resample),
    /// Repeats one pixel.
    Tile,
    Transpose(Vec<usize>),
    Reshape,
    /// Another element type with the same values.
    Cast,
    ArgMax {
        axis: usize,
    },
    /// An operator that reads and writes codes: its real counterpart between
    /// DequantizeLinear and QuantizeLinear.
    OnCodes(Box<Operator>),
}

/// A node of the ONNX graph.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceNode {
    pub name: String,
    pub op: String,
    pub operator: Operator,
    /// `None` for an optional input that is left out.
    pub inputs: Vec<Option<SourceId>>,
    pub output: SourceId,
}

/// A graph of typed nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub values: Vec<SourceValue>,
    pub nodes: Vec<SourceNode>,
    /// The picture.
    pub input: SourceId,
    /// The first output.
    pub output: SourceId,
    /// Nodes that are not supported.
    pub refusals: Vec<Refusal>,
}

impl Source {
    pub fn value(&self, id: SourceId) -> &SourceValue {
        &self.values[id.0]
    }

    pub fn constant(&self, id: Option<SourceId>) -> Option<&Constant> {
        self.value(id?).constant.as_ref()
    }
}

/// Reads the graph.
///
/// # Errors
/// [`Fault::Shape`] where it does not hold together or does not fit the
/// manifest. Unsupported nodes are in [`Source::refusals`].
pub fn import(graph: &GraphProto, manifest: &Manifest) -> Result<Source, Fault> {
    let mut importer = Importer::default();
    for tensor in &graph.initializer {
        // A constant that cannot be decoded makes its readers unsupported.
        let constant = Constant::decode(tensor);
        let shape = constant.as_ref().map(|c| c.shape.clone());
        let is_undecoded = constant.is_none();
        let id = importer.define(&tensor.name, &tensor.name, shape, constant)?;
        if is_undecoded {
            importer.undecoded.insert(id);
        }
    }
    let input = importer.picture(graph, manifest)?;
    for (index, node) in graph.node.iter().enumerate() {
        importer.node(node, index)?;
    }
    let output = graph.output.first().map_or("", |o| o.name.as_str());
    let output = *importer.names.get(output).ok_or_else(|| {
        let reason = "no node makes the graph's output".to_owned();
        shape_error(output, reason)
    })?;
    Ok(Source {
        values: importer.values,
        nodes: importer.nodes,
        input,
        output,
        refusals: importer.refusals,
    })
}

fn shape_error(node: &str, reason: String) -> Fault {
    Fault::Shape {
        node: node.to_owned(),
        reason,
    }
}

#[derive(Default)]
struct Importer {
    values: Vec<SourceValue>,
    names: HashMap<String, SourceId>,
    nodes: Vec<SourceNode>,
    refusals: Vec<Refusal>,
    /// Constants of a type that the compiler does not read.
    undecoded: HashSet<SourceId>,
}

/// A node that was read: what it is and the shape of its output.
struct Read {
    operator: Operator,
    shape: Vec<usize>,
}

/// Why a node was not read.
enum Unread {
    Unsupported(String),
    Shape(String),
}

fn unsupported<T>(reason: impl Into<String>) -> Result<T, Unread> {
    Err(Unread::Unsupported(reason.into()))
}

fn misshapen<T>(reason: impl Into<String>) -> Result<T, Unread> {
    Err(Unread::Shape(reason.into()))
}

impl Importer {
    fn define(
        &mut self,
        node: &str,
        name: &str,
        shape: Option<Vec<usize>>,
        constant: Option<Constant>,
    ) -> Result<SourceId, Fault> {
        if let Some(shape) = &shape
            && shape::elements(shape).is_none_or(|n| n > limits::MAX_ELEMENTS)
        {
            return Err(Fault::TooLarge {
                what: format!("tensor '{name}' of shape {shape:?}"),
                limit: limits::MAX_ELEMENTS,
            });
        }
        let id = SourceId(self.values.len());
        if self.names.insert(name.to_owned(), id).is_some() {
            return Err(shape_error(node, format!("'{name}' is made twice")));
        }
        self.values.push(SourceValue {
            name: name.to_owned(),
            shape,
            constant,
        });
        Ok(id)
    }

    /// The graph's input, with the sides it leaves open taken from the manifest.
    fn picture(&mut self, graph: &GraphProto, manifest: &Manifest) -> Result<SourceId, Fault> {
        let mut fed = graph
            .input
            .iter()
            .filter(|v| !self.names.contains_key(&v.name));
        let (Some(info), None) = (fed.next(), fed.next()) else {
            let reason = "the graph must have one input, a picture".to_owned();
            return Err(shape_error("input", reason));
        };
        let input = &manifest.input;
        let (width, height) = (input.width as usize, input.height as usize);
        let expected = match input.layout {
            Layout::Nchw => [1, 3, height, width],
            Layout::Nhwc => [1, height, width, 3],
        };
        let (element, sides) = described(info);
        let agrees = sides.len() == 4
            && sides
                .iter()
                .zip(expected)
                .all(|(side, expected)| side.is_none_or(|s| usize::try_from(s) == Ok(expected)));
        // The numbers of `TensorProto.DataType` in onnx.proto.
        let element_agrees = match input.dtype {
            InputType::F32 => element == 1,
            InputType::U8 => element == 2,
        };
        if !agrees || !element_agrees {
            let reason = format!(
                "the graph's input of shape {sides:?} and type {element} is not what the \
                 manifest's [input] says ({expected:?}); correct layout, width, height or dtype"
            );
            return Err(shape_error(&info.name, reason));
        }
        let name = info.name.clone();
        self.define(&name, &name, Some(expected.to_vec()), None)
    }

    fn node(&mut self, node: &NodeProto, index: usize) -> Result<(), Fault> {
        let name = if node.name.is_empty() {
            format!("{} {index}", node.op_type)
        } else {
            node.name.clone()
        };
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            let id = match self.names.get(input) {
                _ if input.is_empty() => None,
                Some(&id) => Some(id),
                None => {
                    let reason = format!("it reads '{input}', which nothing before it makes");
                    return Err(shape_error(&name, reason));
                }
            };
            inputs.push(id);
        }
        let unknown = |id: &SourceId| self.values[id.0].shape.is_none();
        let is_blocked = inputs.iter().flatten().any(unknown);
        // The node that blocks this one has been named, unless it is a constant.
        let result = if is_blocked {
            let undecoded = inputs
                .iter()
                .flatten()
                .find(|id| self.undecoded.contains(*id));
            Err(undecoded.map(|id| {
                let constant = &self.values[id.0].name;
                format!("its constant '{constant}' is of a type that is not supported")
            }))
        } else {
            match (View {
                importer: self,
                node,
                inputs: &inputs,
            })
            .fold_or_read()
            {
                Ok(done) => Ok(done),
                Err(Unread::Unsupported(reason)) => Err(Some(reason)),
                Err(Unread::Shape(reason)) => return Err(shape_error(&name, reason)),
            }
        };
        let mut outputs = node.output.iter().filter(|o| !o.is_empty());
        let first = outputs.next();
        match (result, first) {
            (Ok(Done::Folded(constant)), Some(first)) => {
                self.define(&name, first, Some(constant.shape.clone()), Some(constant))?;
            }
            (Ok(Done::Read(read)), Some(first)) => {
                let output = self.define(&name, first, Some(read.shape), None)?;
                self.nodes.push(SourceNode {
                    name: name.clone(),
                    op: node.op_type.clone(),
                    operator: read.operator,
                    inputs,
                    output,
                });
            }
            (Err(reason), first) => {
                if let Some(reason) = reason {
                    self.refusals.push(Refusal {
                        node: name.clone(),
                        op: node.op_type.clone(),
                        reason,
                    });
                }
                if let Some(first) = first {
                    self.define(&name, first, None, None)?;
                }
            }
            (Ok(_), None) => {}
        }
        // Second outputs (a pool's indices) have no shape: their readers are
        // blocked.
        for other in outputs {
            self.define(&name, other, None, None)?;
        }
        Ok(())
    }
}

/// Element type and sides as the graph declares them.
fn described(info: &ValueInfoProto) -> (i32, Vec<Option<i64>>) {
    let Some(TypeValue::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return (0, Vec::new());
    };
    let dims = tensor.shape.as_ref().map_or(&[][..], |s| &s.dim);
    let side = |value: &Option<Dim>| match value {
        Some(Dim::DimValue(side)) => Some(*side),
        _ => None,
    };
    let sides = dims.iter().map(|d| side(&d.value)).collect();
    (tensor.elem_type, sides)
}

enum Done {
    Folded(Constant),
    Read(Read),
}

/// A node with what is known of its inputs: every one has a shape.
struct View<'a> {
    importer: &'a Importer,
    node: &'a NodeProto,
    inputs: &'a [Option<SourceId>],
}

impl View<'_> {
    fn shape(&self, index: usize) -> Result<&[usize], Unread> {
        let id = self.inputs.get(index).copied().flatten();
        match id.and_then(|id| self.importer.values[id.0].shape.as_deref()) {
            Some(shape) => Ok(shape),
            None => misshapen(format!("input {index} is missing")),
        }
    }

    fn constant(&self, index: usize) -> Option<&Constant> {
        let id = self.inputs.get(index).copied().flatten()?;
        self.importer.values[id.0].constant.as_ref()
    }

    /// A constant that the operator must know when it is compiled.
    fn known(&self, index: usize, what: &str) -> Result<&Constant, Unread> {
        match self.constant(index) {
            Some(constant) => Ok(constant),
            None => unsupported(format!("its {what} is not a constant")),
        }
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        let found = self.node.attribute.iter().find(|a| a.name == name);
        found.map_or(default, |a| a.i)
    }

    fn float(&self, name: &str, default: f32) -> f32 {
        let found = self.node.attribute.iter().find(|a| a.name == name);
        found.map_or(default, |a| a.f)
    }

    fn ints(&self, name: &str) -> &[i64] {
        let found = self.node.attribute.iter().find(|a| a.name == name);
        found.map_or(&[], |a| &a.ints)
    }

    fn text(&self, name: &str, default: &'static str) -> &str {
        let found = self.node.attribute.iter().find(|a| a.name == name);
        found.map_or(default, |a| std::str::from_utf8(&a.s).unwrap_or("?"))
    }

    fn axis(&self, default: i64, rank: usize) -> Result<usize, Unread> {
        let axis = self.int("axis", default);
        match shape::axis(axis, rank) {
            Some(axis) => Ok(axis),
            None => misshapen(format!("axis {axis} of a tensor of {rank} axes")),
        }
    }

    fn fold_or_read(&self) -> Result<Done, Unread> {
        match self.folded()? {
            Some(constant) => Ok(Done::Folded(constant)),
            None => self.read().map(Done::Read),
        }
    }

    /// The node's value where it is a constant of a kind that models compute
    /// instead of storing.
    fn folded(&self) -> Result<Option<Constant>, Unread> {
        if self.node.op_type == "Constant" {
            let value = |name: &str| self.node.attribute.iter().find(|a| a.name == name);
            let stored = value("value").and_then(|a| a.t.as_ref());
            let constant = if let Some(tensor) = stored {
                Constant::decode(tensor)
            } else if let Some(a) = value("value_float") {
                Some(Constant {
                    shape: vec![],
                    data: Data::F32(vec![a.f]),
                })
            } else if let Some(a) = value("value_int") {
                Some(Constant {
                    shape: vec![],
                    data: Data::I64(vec![a.i]),
                })
            } else {
                value("value_ints").map(|a| Constant {
                    shape: vec![a.ints.len()],
                    data: Data::I64(a.ints.clone()),
                })
            };
            return match constant {
                Some(constant) => Ok(Some(constant)),
                None => unsupported("a constant of this type"),
            };
        }
        let Some(input) = self.constant(0) else {
            return Ok(None);
        };
        let folded = match self.node.op_type.as_str() {
            "Identity" => Some(input.clone()),
            "Cast" => input.cast(self.int("to", 0)),
            "Reshape" => {
                let shape = self.reshaped()?;
                Some(Constant {
                    shape,
                    data: input.data.clone(),
                })
            }
            _ => return Ok(None),
        };
        match folded {
            Some(constant) => Ok(Some(constant)),
            None => unsupported("of a constant of this type"),
        }
    }

    fn read(&self) -> Result<Read, Unread> {
        let op = self.node.op_type.as_str();
        match self.node.domain.as_str() {
            "" | "ai.onnx" | "com.microsoft" => {}
            other => return unsupported(format!("an operator of the domain '{other}'")),
        }
        if let Some(real) = op.strip_prefix("QLinear") {
            // Where the data are among the inputs: pairs of scale and zero point
            // follow each operand.
            let operands: &[usize] = match real {
                "Conv" => &[0, 3],
                "Add" | "Mul" => &[0, 3],
                _ => &[0],
            };
            let read = self.operator(real, operands)?;
            return Ok(Read {
                operator: Operator::OnCodes(Box::new(read.operator)),
                shape: read.shape,
            });
        }
        self.operator(op, &[0, 1])
    }

    /// An operator on real values; `at` tells which inputs are its operands.
    fn operator(&self, op: &str, at: &[usize]) -> Result<Read, Unread> {
        let same = |operator| {
            let shape = self.shape(0)?.to_vec();
            Ok(Read { operator, shape })
        };
        let activation = |f| same(Operator::Activation(f));
        let second = at.get(1).copied().unwrap_or(1);
        match op {
            "QuantizeLinear" => same(Operator::Quantize {
                axis: self.int("axis", 1),
            }),
            "DequantizeLinear" => same(Operator::Dequantize {
                axis: self.int("axis", 1),
            }),
            "Conv" => self.conv(second),
            "Add" | "Mul" => {
                let (a, b) = (self.shape(0)?, self.shape(second)?);
                let Some(shape) = shape::broadcast(a, b) else {
                    return misshapen(format!("{a:?} and {b:?} do not fit each other"));
                };
                let operator = if op == "Add" {
                    Operator::Add
                } else {
                    Operator::Mul
                };
                Ok(Read { operator, shape })
            }
            "Concat" => self.concat(),
            "Relu" => activation(Activation::Clip(0.0, f32::INFINITY)),
            "Clip" => {
                let bound = |index, name, default| -> Result<f32, Unread> {
                    if self.inputs.get(index).copied().flatten().is_none() {
                        return Ok(self.float(name, default));
                    }
                    match self.known(index, name)?.float() {
                        Some(bound) if !bound.is_nan() => Ok(bound),
                        _ => unsupported(format!("its {name} is not one number")),
                    }
                };
                let low = bound(1, "min", f32::NEG_INFINITY)?;
                let high = bound(2, "max", f32::INFINITY)?;
                activation(Activation::Clip(low, high))
            }
            "LeakyRelu" => activation(Activation::LeakyRelu(self.float("alpha", 0.01))),
            "PRelu" => match self.known(1, "slope")?.float() {
                Some(slope) => activation(Activation::LeakyRelu(slope)),
                None => unsupported("its slope is not one number"),
            },
            "Sigmoid" => activation(Activation::Sigmoid),
            "Tanh" => activation(Activation::Tanh),
            "HardSigmoid" => activation(Activation::HardSigmoid(
                self.float("alpha", 0.2),
                self.float("beta", 0.5),
            )),
            "HardSwish" => activation(Activation::HardSwish),
            "GlobalAveragePool" => self.global_average_pool(),
            "AveragePool" => {
                let count_outside = self.int("count_include_pad", 0) != 0;
                let (window, shape) = self.pool(count_outside)?;
                Ok(Read {
                    operator: Operator::AveragePool {
                        window,
                        count_outside,
                    },
                    shape,
                })
            }
            "MaxPool" => {
                let (window, shape) = self.pool(false)?;
                Ok(Read {
                    operator: Operator::MaxPool { window },
                    shape,
                })
            }
            "Resize" => self.resize(),
            "Upsample" => self.upsample(),
            "Tile" | "Expand" => self.tile(op),
            "Transpose" => {
                let input = self.shape(0)?;
                let order: Option<Vec<usize>> = match self.ints("perm") {
                    [] => Some((0..input.len()).rev().collect()),
                    order => order.iter().map(|&i| usize::try_from(i).ok()).collect(),
                };
                let shape = order.as_ref().and_then(|order| {
                    let sides = order.iter().map(|&i| input.get(i).copied());
                    sides.collect::<Option<Vec<_>>>()
                });
                match (order, shape) {
                    (Some(order), Some(shape)) if order.len() == input.len() => Ok(Read {
                        operator: Operator::Transpose(order),
                        shape,
                    }),
                    _ => misshapen("its perm does not fit its input"),
                }
            }
            "Reshape" => Ok(Read {
                operator: Operator::Reshape,
                shape: self.reshaped()?,
            }),
            "Cast" | "Identity" => same(Operator::Cast),
            "ArgMax" => self.arg_max(),
            _ => unsupported(
                "it has no integer form here; keep it out of the graph or run the model in tract",
            ),
        }
    }

    fn conv(&self, weights: usize) -> Result<Read, Unread> {
        let (input, weights) = (self.shape(0)?, self.shape(weights)?);
        let (&[batch, channels, ..], &[outputs, per_group, kh, kw]) = (input, weights) else {
            return unsupported(format!("weights of shape {weights:?}: only 2-D pictures"));
        };
        let groups = self.int("group", 1);
        let count = usize::try_from(groups).unwrap_or(0);
        let fits = count > 0
            && per_group > 0
            && outputs > 0
            && outputs.checked_rem(count) == Some(0)
            && per_group.checked_mul(count) == Some(channels);
        if !fits {
            return misshapen(format!(
                "weights {weights:?} in {groups} groups do not fit an input of {channels} channels"
            ));
        }
        let declared = self.ints("kernel_shape");
        if !declared.is_empty() && declared != [kh as i64, kw as i64] {
            return misshapen(format!(
                "kernel_shape {declared:?} is not that of its weights"
            ));
        }
        let window = self.window([kh, kw], input)?;
        let [height, width] = window.output;
        Ok(Read {
            operator: Operator::Conv {
                groups: groups as u32,
                window: window.window,
            },
            shape: vec![batch, outputs, height, width],
        })
    }

    /// The window of a convolution or pool over an NCHW input.
    fn window(&self, kernel: [usize; 2], input: &[usize]) -> Result<WindowShape, Unread> {
        let &[_, _, height, width] = input else {
            return unsupported(format!("an input of shape {input:?}: only 2-D pictures"));
        };
        shape::window(&shape::WindowAttributes {
            input: [height, width],
            kernel,
            strides: self.ints("strides"),
            dilations: self.ints("dilations"),
            pads: self.ints("pads"),
            auto_pad: self.text("auto_pad", "NOTSET"),
            round_up: self.int("ceil_mode", 0) != 0,
        })
        .or_else(misshapen)
    }

    fn pool(&self, count_outside: bool) -> Result<(Window, Vec<usize>), Unread> {
        if self.int("channels_last", 0) != 0 {
            return unsupported("channels_last is set");
        }
        if count_outside && self.int("ceil_mode", 0) != 0 {
            return unsupported("ceil_mode together with count_include_pad");
        }
        let input = self.shape(0)?;
        let side = |i: usize| {
            let side = self.ints("kernel_shape").get(i).copied();
            side.and_then(|s| usize::try_from(s).ok()).unwrap_or(0)
        };
        let read = self.window([side(0), side(1)], input)?;
        if read.window.dilation != [1, 1] {
            return unsupported("a pool with dilation");
        }
        if !read.always_inside {
            return unsupported("some of its windows lie outside the picture");
        }
        let [height, width] = read.output;
        let shape = vec![input[0], input[1], height, width];
        Ok((read.window, shape))
    }

    fn global_average_pool(&self) -> Result<Read, Unread> {
        let &[batch, channels, height, width] = self.shape(0)? else {
            return unsupported("its input is not a picture");
        };
        if self.int("channels_last", 0) != 0 {
            return unsupported("channels_last is set");
        }
        let (Ok(height), Ok(width)) = (u32::try_from(height), u32::try_from(width)) else {
            return misshapen("its input is too large");
        };
        let window = Window {
            kernel: [height, width],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [0, 0],
        };
        Ok(Read {
            operator: Operator::AveragePool {
                window,
                count_outside: false,
            },
            shape: vec![batch, channels, 1, 1],
        })
    }

    fn concat(&self) -> Result<Read, Unread> {
        // QLinearConcat starts with the result's scale and zero point; then each
        // part has its own after it.
        let on_codes = self.node.op_type == "QLinearConcat";
        let (start, step) = if on_codes { (2, 3) } else { (0, 1) };
        let parts: Vec<usize> = (start..self.inputs.len()).step_by(step).collect();
        if parts.len() > limits::MAX_PARTS {
            return unsupported(format!(
                "{} parts; at most {} are joined",
                parts.len(),
                limits::MAX_PARTS
            ));
        }
        let mut shape = self.shape(start)?.to_vec();
        let axis = self.axis(1, shape.len())?;
        let mut total = 0usize;
        for part in parts {
            let part = self.shape(part)?;
            let others = |s: &[usize]| {
                let sides = s.iter().enumerate().filter(|(i, _)| *i != axis);
                sides.map(|(_, &side)| side).collect::<Vec<_>>()
            };
            if part.len() != shape.len() || others(part) != others(&shape) {
                return misshapen(format!("its parts {shape:?} and {part:?} do not fit"));
            }
            total = total.saturating_add(part[axis]);
        }
        shape[axis] = total;
        Ok(Read {
            operator: Operator::Concat { axis },
            shape,
        })
    }

    fn resize(&self) -> Result<Read, Unread> {
        for (name, default) in [("antialias", 0), ("exclude_outside", 0)] {
            if self.int(name, default) != 0 {
                return unsupported(format!("{name} is set"));
            }
        }
        if !self.ints("axes").is_empty() {
            return unsupported("axes is given; give sizes for all axes");
        }
        if self.text("keep_aspect_ratio_policy", "stretch") != "stretch" {
            return unsupported("keep_aspect_ratio_policy is not stretch");
        }
        // Before opset 11 the second input was scales, and positions asymmetric.
        let is_old = self.inputs.len() == 2;
        let default = if is_old { "asymmetric" } else { "half_pixel" };
        let coordinates = match self.text("coordinate_transformation_mode", default) {
            "align_corners" => Coordinates::AlignCorners,
            "half_pixel" | "pytorch_half_pixel" => Coordinates::HalfPixel,
            "asymmetric" => Coordinates::Asymmetric,
            other => return unsupported(format!("coordinate_transformation_mode {other}")),
        };
        let default = if is_old {
            "floor"
        } else {
            "round_prefer_floor"
        };
        let nearest = match self.text("nearest_mode", default) {
            "floor" => NearestRule::Floor,
            "ceil" => NearestRule::Ceil,
            "round_prefer_floor" => NearestRule::RoundPreferFloor,
            "round_prefer_ceil" => NearestRule::RoundPreferCeil,
            other => return unsupported(format!("nearest_mode {other}")),
        };
        let scales = if is_old { 1 } else { 2 };
        self.resized(coordinates, nearest, scales, 3)
    }

    fn upsample(&self) -> Result<Read, Unread> {
        self.resized(Coordinates::Asymmetric, NearestRule::Floor, 1, usize::MAX)
    }

    fn resized(
        &self,
        coordinates: Coordinates,
        nearest: NearestRule,
        scales: usize,
        sizes: usize,
    ) -> Result<Read, Unread> {
        let resample = match self.text("mode", "nearest") {
            "nearest" => Resample::Nearest(coordinates, nearest),
            "linear" | "bilinear" => Resample::Bilinear(coordinates),
            other => return unsupported(format!("mode {other}")),
        };
        let input = self.shape(0)?;
        let has = |index: usize| {
            let id = self.inputs.get(index).copied().flatten();
            id.is_some_and(|id| self.importer.values[id.0].shape.as_deref() != Some(&[0]))
        };
        let shape = if has(sizes) {
            let sizes = self.known(sizes, "sizes")?.integers().unwrap_or_default();
            shape::sides(&sizes)
        } else {
            let scales = self.known(scales, "scales")?.floats().unwrap_or_default();
            let exact = coordinates == Coordinates::AlignCorners;
            shape::scaled(input, scales, exact)
        };
        match shape {
            Some(shape) if shape.len() == input.len() => Ok(Read {
                operator: Operator::Resize(resample),
                shape,
            }),
            _ => unsupported("its sizes or scales do not give whole sides"),
        }
    }

    fn tile(&self, op: &str) -> Result<Read, Unread> {
        let input = self.shape(0)?;
        let what = self.known(1, "shape")?.integers().unwrap_or_default();
        let shape = shape::sides(&what).and_then(|sides| {
            if op == "Expand" {
                return shape::broadcast(input, &sides);
            }
            let pairs = input.iter().zip(&sides);
            let product: Option<Vec<usize>> = pairs.map(|(a, b)| a.checked_mul(*b)).collect();
            product.filter(|_| sides.len() == input.len())
        });
        match shape {
            Some(shape) => Ok(Read {
                operator: Operator::Tile,
                shape,
            }),
            None => misshapen(format!("{input:?} cannot be repeated to {what:?}")),
        }
    }

    fn reshaped(&self) -> Result<Vec<usize>, Unread> {
        let input = self.shape(0)?;
        let target = match self.constant(1) {
            Some(constant) => constant.integers().unwrap_or_default(),
            None => self.ints("shape").to_vec(),
        };
        match shape::reshaped(input, &target) {
            Some(shape) => Ok(shape),
            None => misshapen(format!("{input:?} cannot become {target:?}")),
        }
    }

    fn arg_max(&self) -> Result<Read, Unread> {
        if self.int("select_last_index", 0) != 0 {
            return unsupported("select_last_index is set");
        }
        let mut shape = self.shape(0)?.to_vec();
        let axis = self.axis(0, shape.len())?;
        if self.int("keepdims", 1) != 0 {
            shape[axis] = 1;
        } else {
            shape.remove(axis);
        }
        Ok(Read {
            operator: Operator::ArgMax { axis },
            shape,
        })
    }
}
