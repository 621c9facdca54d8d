//! Reading an ONNX protobuf: what it holds, and whether it may be imported.
//!
//! tract trusts the files it imports. Before any import, [`Graph::parse`] refuses:
//!
//! - more than [`MAX_NODES`] nodes, subgraphs included, and subgraphs nested deeply,
//!   since import time grows about with the cube of the nodes;
//! - tensors that do not hold what their shape says, are kept in another file, or
//!   have more than [`MAX_ELEMENTS`] elements or [`MAX_RANK`] axes;
//! - names that are long, hold control characters, are made twice or by nothing,
//!   and symbolic sides that are more than a name;
//! - a picture input of another batch than 1;
//! - attributes outside their domain: windows, pads, groups, permutations, block
//!   sizes, quantization scales;
//! - stored shapes, scales, repeats and pads that alone make a tensor too large.
//!
//! What only shape inference can tell, the engine checks on the imported model: every
//! tensor's size. What is left (an axis out of range, an operator that gets the wrong
//! inputs, constants that tract computes from each other while it imports) makes tract
//! return an error or panic; [`crate::guard::contain`] turns the panic into an error.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, ModelProto, ValueInfoProto};
use tract_onnx::prelude::Framework;

use super::{ModelError, checks};

/// Most nodes in a graph. Import time grows about with their cube.
pub const MAX_NODES: usize = 4_000;
/// Most elements in one tensor.
pub const MAX_ELEMENTS: u64 = 1 << 28;
/// Longest name or symbolic dimension, in bytes.
pub const MAX_NAME: usize = 1024;
/// Most axes of a tensor.
pub const MAX_RANK: usize = 8;
/// Largest stride, dilation or kernel side of a window, and largest block size.
pub const MAX_WINDOW: i64 = 1 << 16;
/// Most cells of a window's kernel: tract keeps an offset for each.
pub const MAX_KERNEL: u64 = 1 << 20;
/// Largest pad of a window on one side of an axis.
pub const MAX_PAD: i64 = 1 << 10;

/// Element type of a tensor, as far as this program tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// Anything else.
    Other,
}

impl Element {
    /// From the numbers of `TensorProto.DataType` in onnx.proto.
    fn from_onnx(number: i32) -> Self {
        match number {
            1 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            6 => Self::I32,
            7 => Self::I64,
            10 => Self::F16,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::Other => "another type",
        })
    }
}

/// An input or output of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Element type.
    pub element: Element,
    /// Side of each axis; `None` where the graph leaves it open.
    pub shape: Vec<Option<u64>>,
}

impl TensorInfo {
    /// The shape in words, such as `1x3x361x481`; open axes are `?`.
    pub fn shape_text(&self) -> String {
        let sides: Vec<String> = self
            .shape
            .iter()
            .map(|s| s.map_or("?".into(), |v| v.to_string()))
            .collect();
        sides.join("x")
    }
}

/// What a graph holds, for reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphSummary {
    /// Who wrote the file, as it says itself.
    pub producer: String,
    /// Version of the default operator set; 0 where not given.
    pub opset: i64,
    /// Inputs that a caller feeds.
    pub inputs: Vec<TensorInfo>,
    /// Outputs.
    pub outputs: Vec<TensorInfo>,
    /// How often each operator occurs.
    pub ops: BTreeMap<String, usize>,
    /// Number of stored numbers in all.
    pub parameters: u64,
}

impl GraphSummary {
    /// Gives the open sides of picture inputs (four axes, one of them 3 channels) a
    /// width and height in pixels.
    pub(crate) fn close_sides(&mut self, (width, height): (u32, u32)) {
        for input in &mut self.inputs {
            let (rows, columns) = match input.shape.as_mut_slice() {
                [_, Some(3), rows, columns] | [_, rows, columns, Some(3)] => (rows, columns),
                _ => continue,
            };
            rows.get_or_insert(height.into());
            columns.get_or_insert(width.into());
        }
    }
}

/// A decoded and checked ONNX file.
#[derive(Debug, Clone)]
pub struct Graph {
    proto: ModelProto,
}

impl Graph {
    /// Decodes the protobuf and checks it. `path` is for messages.
    ///
    /// # Errors
    /// [`ModelError::Graph`], naming the node or tensor at fault.
    pub fn parse(bytes: &[u8], path: &str) -> Result<Self, ModelError> {
        let fail = |reason: String| ModelError::Graph {
            path: path.to_owned(),
            reason,
        };
        let proto = tract_onnx::onnx()
            .proto_model_for_read(&mut &*bytes)
            .map_err(|error| {
                let mut causes = error.chain().filter_map(|e| e.downcast_ref::<io::Error>());
                fail(if causes.any(|e| e.kind() == io::ErrorKind::OutOfMemory) {
                    "out of memory while its protobuf was decoded".into()
                } else {
                    "not an ONNX file, or only part of one (its protobuf cannot be decoded); \
                     check its size against the original"
                        .into()
                })
            })?;
        Self::checked(proto, path)
    }

    /// Checks a decoded protobuf. `path` is for messages.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn checked(proto: ModelProto, path: &str) -> Result<Self, ModelError> {
        let fail = |reason: String| ModelError::Graph {
            path: path.to_owned(),
            reason,
        };
        let Some(graph) = &proto.graph else {
            return Err(fail(
                "holds no graph; it is not an ONNX model, or only part of one".into(),
            ));
        };
        checks::model(graph).map_err(fail)?;
        if graph.output.is_empty() {
            return Err(fail("the graph has no output".into()));
        }
        Ok(Self { proto })
    }

    /// The decoded protobuf.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// What the graph holds.
    pub fn summary(&self) -> GraphSummary {
        let empty = GraphProto::default();
        let graph = self.proto.graph.as_ref().unwrap_or(&empty);
        let stored = |name: &str| graph.initializer.iter().any(|t| t.name == name);
        let mut ops = BTreeMap::new();
        for node in &graph.node {
            *ops.entry(node.op_type.clone()).or_insert(0) += 1;
        }
        // The file says this of itself, and it is printed: nothing that steers a
        // terminal passes, nor more than a line's worth.
        let producer: String = [&self.proto.producer_name, &self.proto.producer_version]
            .map(|part| {
                let shown = part.chars().filter(|c| !c.is_control());
                shown.take(80).collect::<String>()
            })
            .join(" ");
        let default_set = self.proto.opset_import.iter().find(|o| o.domain.is_empty());
        GraphSummary {
            producer: producer.trim().to_owned(),
            opset: default_set.map_or(0, |o| o.version),
            inputs: graph
                .input
                .iter()
                .filter(|v| !stored(&v.name))
                .map(tensor_info)
                .collect(),
            outputs: graph.output.iter().map(tensor_info).collect(),
            ops,
            parameters: graph
                .initializer
                .iter()
                .filter_map(|t| checks::elements(&t.dims))
                .sum(),
        }
    }
}

fn tensor_info(value: &ValueInfoProto) -> TensorInfo {
    let tensor = value.r#type.as_ref().and_then(|t| t.value.as_ref());
    let tensor = tensor.map(|TypeValue::TensorType(t)| t);
    let dims = tensor
        .and_then(|t| t.shape.as_ref())
        .map_or(&[][..], |s| &s.dim);
    TensorInfo {
        name: value.name.clone(),
        element: tensor.map_or(Element::Other, |t| Element::from_onnx(t.elem_type)),
        shape: dims
            .iter()
            .map(|d| match d.value {
                Some(Dim::DimValue(v)) => u64::try_from(v).ok(),
                _ => None,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_a_model() {
        let error = Graph::parse(b"this is a text file, not a model\n", "a.onnx").unwrap_err();
        assert!(error.to_string().contains("a.onnx"), "{error}");
    }

    #[test]
    fn an_empty_file_is_not_a_model() {
        assert!(Graph::parse(b"", "a.onnx").is_err());
    }

    #[test]
    fn a_producer_cannot_steer_the_terminal() {
        let proto = ModelProto {
            producer_name: "tool\u{1b}[2J".into(),
            ..Default::default()
        };
        assert_eq!(Graph { proto }.summary().producer, "tool[2J");
    }
}
