//! Reading an ONNX protobuf: what it holds, and whether it is safe to import.
//!
//! tract trusts the files it imports; these checks refuse, before any import,
//! what would make it allocate without bound, overflow its stack or panic.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};
use tract_onnx::prelude::Framework;

use super::ModelError;

/// Most nodes in a graph. Import time grows faster than linearly with them.
pub const MAX_NODES: usize = 10_000;
/// Most elements in one tensor.
pub const MAX_ELEMENTS: u64 = 1 << 28;
/// Longest name or symbolic dimension, in bytes.
pub const MAX_NAME: usize = 1024;
/// Most axes of a tensor.
pub const MAX_RANK: usize = 8;
/// Largest stride, dilation, kernel side or pad of a window.
pub const MAX_WINDOW: i64 = 1 << 16;

/// Element type of a tensor, as far as this program tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
            .map_err(|_| {
                fail(
                    "not an ONNX file, or only part of one (its protobuf cannot be decoded); \
                 check its size against the original"
                        .into(),
                )
            })?;
        let Some(graph) = &proto.graph else {
            return Err(fail(
                "holds no graph; it is not an ONNX model, or only part of one".into(),
            ));
        };
        check_graph(graph, 0).map_err(fail)?;
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
        let default_set = self.proto.opset_import.iter().find(|o| o.domain.is_empty());
        GraphSummary {
            producer: format!(
                "{} {}",
                self.proto.producer_name, self.proto.producer_version
            )
            .trim()
            .to_owned(),
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
                .filter_map(|t| elements(&t.dims))
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

/// The number of elements of a shape; `None` where it is negative or too large.
fn elements(dims: &[i64]) -> Option<u64> {
    let mut sides = dims.iter().map(|&d| u64::try_from(d).ok());
    let product = sides.try_fold(1u64, |product, side| product.checked_mul(side?));
    product.filter(|&n| n <= MAX_ELEMENTS)
}

fn check_graph(graph: &GraphProto, depth: usize) -> Result<(), String> {
    if depth > 4 {
        return Err("subgraphs are nested deeper than 4".into());
    }
    if graph.node.len() > MAX_NODES {
        return Err(format!(
            "{} nodes; at most {MAX_NODES} are imported",
            graph.node.len()
        ));
    }
    for value in graph
        .input
        .iter()
        .chain(&graph.output)
        .chain(&graph.value_info)
    {
        check_value(value)?;
    }
    for tensor in &graph.initializer {
        check_tensor(tensor)?;
    }
    for node in &graph.node {
        check_node(node, depth)?;
    }
    Ok(())
}

fn check_value(value: &ValueInfoProto) -> Result<(), String> {
    check_name(&value.name)?;
    let Some(TypeValue::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return Ok(());
    };
    let dims = tensor.shape.as_ref().map_or(&[][..], |s| &s.dim);
    if dims.len() > MAX_RANK {
        return Err(format!("tensor '{}' has {} axes", value.name, dims.len()));
    }
    let mut sides = Vec::with_capacity(dims.len());
    for dim in dims {
        match &dim.value {
            Some(Dim::DimValue(side)) => sides.push(*side),
            // An expression here is parsed recursively by the importer, so only
            // plain symbols pass.
            Some(Dim::DimParam(symbol)) => {
                let plain = |c: char| c.is_alphanumeric() || "_-.:/ ".contains(c);
                if symbol.len() > 64 || !symbol.chars().all(plain) {
                    return Err(format!(
                        "tensor '{}' has a symbolic side that is not a plain name",
                        value.name
                    ));
                }
            }
            None => {}
        }
    }
    match elements(&sides) {
        Some(_) => Ok(()),
        None => Err(format!(
            "tensor '{}' has an impossible shape {sides:?}",
            value.name
        )),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.len() > MAX_NAME {
        let start: String = name.chars().take(32).collect();
        return Err(format!("the name '{start}…' is {} bytes long", name.len()));
    }
    Ok(())
}

fn check_tensor(tensor: &TensorProto) -> Result<(), String> {
    check_name(&tensor.name)?;
    let name = &tensor.name;
    // The number of `EXTERNAL` in TensorProto.DataLocation.
    if tensor.data_location == Some(1) || !tensor.external_data.is_empty() {
        return Err(format!(
            "tensor '{name}' is stored in another file; save the model as one file"
        ));
    }
    if tensor.dims.len() > MAX_RANK {
        return Err(format!("tensor '{name}' has {} axes", tensor.dims.len()));
    }
    let Some(count) = elements(&tensor.dims) else {
        return Err(format!(
            "tensor '{name}' has an impossible shape {:?}",
            tensor.dims
        ));
    };
    if !tensor.raw_data.is_empty() {
        let Some(size) = element_bytes(tensor.data_type) else {
            return Err(format!(
                "tensor '{name}' holds raw data of type {}, which is not supported",
                tensor.data_type
            ));
        };
        if tensor.raw_data.len() as u64 != count * size {
            return Err(format!(
                "tensor '{name}' of shape {:?} needs {} bytes, but {} are stored",
                tensor.dims,
                count * size,
                tensor.raw_data.len()
            ));
        }
        return Ok(());
    }
    let typed = [
        tensor.float_data.len(),
        tensor.int32_data.len(),
        tensor.int64_data.len(),
        tensor.string_data.len(),
        tensor.double_data.len(),
        tensor.uint64_data.len(),
    ];
    let stored = typed.iter().copied().max().unwrap_or(0) as u64;
    if stored != count {
        return Err(format!(
            "tensor '{name}' of shape {:?} needs {count} values, but {stored} are stored",
            tensor.dims
        ));
    }
    Ok(())
}

/// Bytes of one element by the numbers of `TensorProto.DataType`.
fn element_bytes(data_type: i32) -> Option<u64> {
    match data_type {
        2 | 3 | 9 => Some(1),
        4 | 5 | 10 | 16 => Some(2),
        1 | 6 | 12 => Some(4),
        7 | 11 | 13 => Some(8),
        _ => None,
    }
}

fn check_node(node: &NodeProto, depth: usize) -> Result<(), String> {
    for name in node
        .input
        .iter()
        .chain(&node.output)
        .chain([&node.name, &node.op_type])
    {
        check_name(name)?;
    }
    for attribute in &node.attribute {
        check_attribute(attribute, depth)
            .map_err(|reason| format!("node '{}' ({}): {reason}", node.name, node.op_type))?;
    }
    Ok(())
}

fn check_attribute(attribute: &AttributeProto, depth: usize) -> Result<(), String> {
    let window = |low: i64| {
        let bad = attribute
            .ints
            .iter()
            .find(|v| !(low..=MAX_WINDOW).contains(v));
        bad.map_or(Ok(()), |v| {
            Err(format!(
                "{} holds {v}; it must be in {low}..={MAX_WINDOW}",
                attribute.name
            ))
        })
    };
    match attribute.name.as_str() {
        "strides" | "dilations" | "kernel_shape" => window(1)?,
        "pads" | "output_padding" => window(-MAX_WINDOW)?,
        "group" if attribute.i < 1 => {
            return Err(format!("group is {}; it must be 1 or more", attribute.i));
        }
        _ => {}
    }
    for tensor in attribute.t.iter().chain(&attribute.tensors) {
        check_tensor(tensor)?;
    }
    for graph in attribute.g.iter().chain(&attribute.graphs) {
        check_graph(graph, depth + 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(graph: &GraphProto) -> String {
        check_graph(graph, 0).unwrap_err()
    }

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
    fn tensors_must_hold_what_their_shape_says() {
        let mut tensor = TensorProto {
            name: "w".into(),
            dims: vec![2, 3],
            data_type: 1,
            raw_data: vec![0; 24],
            ..Default::default()
        };
        assert_eq!(check_tensor(&tensor), Ok(()));
        tensor.raw_data.pop();
        assert!(
            check_tensor(&tensor)
                .unwrap_err()
                .contains("needs 24 bytes, but 23")
        );
        for dims in [vec![-1, 6], vec![1 << 40, 1 << 40], vec![1 << 30]] {
            tensor.dims = dims;
            assert!(check_tensor(&tensor).unwrap_err().contains("impossible"));
        }
    }

    #[test]
    fn nested_expressions_as_sides_are_refused() {
        let value: ValueInfoProto = {
            use tract_onnx::pb::{TensorShapeProto, TypeProto, tensor_shape_proto, type_proto};
            let dim = tensor_shape_proto::Dimension {
                value: Some(Dim::DimParam("(".repeat(60))),
                ..Default::default()
            };
            let shape = Some(TensorShapeProto { dim: vec![dim] });
            let tensor = type_proto::Tensor {
                elem_type: 1,
                shape,
            };
            let value = Some(TypeValue::TensorType(tensor));
            let r#type = Some(TypeProto {
                value,
                ..Default::default()
            });
            ValueInfoProto {
                name: "x".into(),
                r#type,
                ..Default::default()
            }
        };
        let graph = GraphProto {
            input: vec![value],
            ..Default::default()
        };
        assert!(reason(&graph).contains("plain name"));
    }

    #[test]
    fn windows_of_zero_are_refused() {
        for name in ["strides", "dilations", "kernel_shape"] {
            let attribute = AttributeProto {
                name: name.into(),
                ints: vec![1, 0],
                ..Default::default()
            };
            let node = NodeProto {
                name: "conv1".into(),
                op_type: "Conv".into(),
                attribute: vec![attribute],
                ..Default::default()
            };
            let graph = GraphProto {
                node: vec![node],
                ..Default::default()
            };
            let reason = reason(&graph);
            assert!(
                reason.contains("conv1") && reason.contains(name),
                "{reason}"
            );
        }
    }
}
