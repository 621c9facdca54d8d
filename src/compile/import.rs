//! From the ONNX protobuf to typed nodes with known shapes.
//!
//! Attributes are read and checked here, constants are decoded and folded, and
//! every value gets its shape. What is not supported is collected, and what
//! depends on it is left out, so that one report names every cause.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

use super::constant::Constant;
use super::fuse::{Activation, Arithmetic};
use super::{Fault, Refusal, limits, shape};
use crate::model::manifest::{InputType, Layout, Manifest};
use crate::program::{Resample, Window};
use view::{Done, Unread, View};

mod operators;
mod resize;
mod spread;
mod view;
mod windows;

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
    /// A transposed convolution of one group: `pad` are the rows and columns that are cut
    /// off its whole result at the top and the left.
    ConvTranspose {
        kernel: [u32; 2],
        stride: [u32; 2],
        pad: [u32; 2],
    },
    /// Element-wise the largest of its inputs.
    Max,
    /// Channels become pixels, in blocks of this side.
    DepthToSpace(u32),
    /// A product of the last axis with a matrix, and a bias where there is one.
    MatMul {
        /// Whether each row of the matrix makes an output, and not each column.
        transposed: bool,
    },
    Arithmetic(Arithmetic),
    Concat {
        axis: usize,
    },
    Activation(Activation),
    /// A leaky Relu with a slope for each channel.
    PRelu,
    BatchNormalization {
        epsilon: f32,
    },
    AveragePool {
        window: Window,
        count_outside: bool,
    },
    /// Mean over whole axes.
    Mean {
        axes: Vec<usize>,
        keep: bool,
    },
    MaxPool {
        window: Window,
    },
    Resize(Resample),
    /// Repeats one pixel.
    Tile,
    /// Numbers of zeros before and behind each axis.
    Pad(Vec<[usize; 2]>),
    /// Where it begins along each axis; each step is 1.
    Slice(Vec<usize>),
    Transpose(Vec<usize>),
    Reshape,
    Identity,
    /// Another element type with the same values.
    Cast,
    /// Softmax or its logarithm.
    Softmax {
        axis: usize,
    },
    ArgMax {
        axis: usize,
    },
    /// An operator that reads and writes codes: its real counterpart between
    /// DequantizeLinear and QuantizeLinear.
    OnCodes(Box<Operator>, CodeInputs),
}

/// Where the inputs of an operator on codes are. The scale and the zero point of
/// codes follow them, those of the result each other.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeInputs {
    pub operands: Vec<usize>,
    /// Scale of the result.
    pub result: usize,
    /// Of the accumulator's scale.
    pub bias: Option<usize>,
    /// Axis of the second operand that its scales are along.
    pub scale_axis: i64,
}

/// A node of the ONNX graph.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceNode {
    /// Its place in the graph's list of nodes.
    pub index: usize,
    pub name: String,
    pub op: String,
    pub operator: Operator,
    /// `None` for an optional input that is left out.
    pub inputs: Vec<Option<SourceId>>,
    pub output: SourceId,
}

/// Shapes of tensors by their names.
pub type Shapes = HashMap<String, Vec<usize>>;

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
    import_with(graph, manifest, &Shapes::new())
}

/// As [`import`]; the results of nodes that are not supported have the shapes that are
/// given for their names, so that what depends on them is read all the same.
///
/// # Errors
/// As [`import`].
pub fn import_with(
    graph: &GraphProto,
    manifest: &Manifest,
    shapes: &Shapes,
) -> Result<Source, Fault> {
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
        importer.node(node, index, shapes)?;
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

/// How a node is named in messages: its operator and place where it has no name.
pub fn node_name(node: &NodeProto, index: usize) -> String {
    if node.name.is_empty() {
        format!("{} {index}", node.op_type)
    } else {
        node.name.clone()
    }
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

impl Importer {
    fn define(
        &mut self,
        node: &str,
        name: &str,
        shape: Option<Vec<usize>>,
        constant: Option<Constant>,
    ) -> Result<SourceId, Fault> {
        // An empty side must not hide others of any length: parts of shapes are counted too.
        let counted = |shape: &Vec<usize>| {
            let sides: Vec<usize> = shape.iter().map(|&side| side.max(1)).collect();
            shape::elements(&sides).is_some_and(|n| n <= limits::MAX_ELEMENTS)
        };
        if let Some(shape) = &shape
            && !counted(shape)
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

    fn node(&mut self, node: &NodeProto, index: usize, shapes: &Shapes) -> Result<(), Fault> {
        let name = node_name(node, index);
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
            match View::new(&self.values, node, &inputs).fold_or_read() {
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
                    index,
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
                    self.define(&name, first, shapes.get(first).cloned(), None)?;
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
