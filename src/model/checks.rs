//! The checks of [`Graph::parse`](super::Graph::parse): whether a graph may be imported.
//!
//! Each returns the reason in words, naming the node or tensor at fault.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::f16;

use super::graph::{MAX_ELEMENTS, MAX_KERNEL, MAX_NAME, MAX_NODES, MAX_PAD, MAX_RANK, MAX_WINDOW};

type Checked = Result<(), String>;

/// Deepest nesting of graphs in attributes of nodes.
const MAX_DEPTH: usize = 4;

/// Checks the graph of a model and all that is in it.
pub(super) fn model(graph: &GraphProto) -> Checked {
    check_graph(graph, 0, &mut 0)
}

/// The number of elements of a shape; `None` where it is negative or too large.
pub(super) fn elements(dims: &[i64]) -> Option<u64> {
    let mut sides = dims.iter().map(|&d| u64::try_from(d).ok());
    let product = sides.try_fold(1u64, |product, side| product.checked_mul(side?));
    product.filter(|&n| n <= MAX_ELEMENTS)
}

/// `nodes` counts those of all graphs seen so far.
fn check_graph(graph: &GraphProto, depth: usize, nodes: &mut usize) -> Checked {
    if depth > MAX_DEPTH {
        return Err(format!("subgraphs are nested deeper than {MAX_DEPTH}"));
    }
    *nodes += graph.node.len();
    if *nodes > MAX_NODES {
        return Err(format!(
            "{nodes} nodes; at most {MAX_NODES} are imported: simplify the graph"
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
    let known = Known::new(graph);
    for node in &graph.node {
        check_names(node)?;
        let named = |reason| format!("{}: {reason}", title(node));
        for attribute in &node.attribute {
            check_attribute(attribute, depth, nodes).map_err(named)?;
        }
        check_window(node, &known).map_err(named)?;
        check_scales(node, &known).map_err(named)?;
        check_growth(node, &known).map_err(named)?;
    }
    check_wiring(graph, depth)?;
    if depth == 0 {
        check_batch(graph)?;
    }
    Ok(())
}

/// A node in words: its name, or else what it makes.
fn title(node: &NodeProto) -> String {
    match node.output.first() {
        Some(output) if node.name.is_empty() => {
            format!("the node that makes '{output}' ({})", node.op_type)
        }
        _ => format!("node '{}' ({})", node.name, node.op_type),
    }
}

fn check_value(value: &ValueInfoProto) -> Checked {
    check_name(&value.name)?;
    let dims = sides(value);
    if dims.len() > MAX_RANK {
        return Err(format!("tensor '{}' has {} axes", value.name, dims.len()));
    }
    let mut fixed = Vec::with_capacity(dims.len());
    for dim in dims {
        match dim {
            Some(Dim::DimValue(side)) => fixed.push(*side),
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
    match elements(&fixed) {
        Some(_) => Ok(()),
        None => Err(format!(
            "tensor '{}' has an impossible shape {fixed:?}",
            value.name
        )),
    }
}

/// The sides of a tensor as the graph declares them; none where it says nothing.
fn sides(value: &ValueInfoProto) -> Vec<Option<&Dim>> {
    let tensor = value.r#type.as_ref().and_then(|t| t.value.as_ref());
    let shape = tensor.and_then(|TypeValue::TensorType(t)| t.shape.as_ref());
    shape.map_or_else(Vec::new, |s| {
        s.dim.iter().map(|d| d.value.as_ref()).collect()
    })
}

/// Names are printed and kept in maps.
fn check_name(name: &str) -> Checked {
    if name.len() > MAX_NAME {
        let start: String = name.chars().take(32).collect();
        return Err(format!(
            "the name '{}…' is {} bytes long",
            start.escape_debug(),
            name.len()
        ));
    }
    if name.contains(char::is_control) {
        return Err(format!(
            "the name '{}' holds control characters",
            name.escape_debug()
        ));
    }
    Ok(())
}

fn check_names(node: &NodeProto) -> Checked {
    let values = node.input.iter().chain(&node.output);
    let attributes = node.attribute.iter().map(|a| &a.name);
    let mut all = values
        .chain([&node.name, &node.op_type, &node.domain])
        .chain(attributes);
    all.try_for_each(|name| check_name(name))
}

fn check_tensor(tensor: &TensorProto) -> Checked {
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

fn check_attribute(attribute: &AttributeProto, depth: usize, nodes: &mut usize) -> Checked {
    let name = attribute.name.as_str();
    match name {
        "strides" | "dilations" | "kernel_shape" => within(name, &attribute.ints, 1, MAX_WINDOW)?,
        "pads" => within(name, &attribute.ints, -MAX_PAD, MAX_PAD)?,
        "output_padding" => within(name, &attribute.ints, 0, MAX_PAD)?,
        "group" | "blocksize" => within(name, &[attribute.i], 1, MAX_WINDOW)?,
        "perm" if !is_permutation(&attribute.ints) => {
            return Err("perm is not a permutation: it must name each axis once, from 0 on".into());
        }
        "axes" if attribute.ints.len() > MAX_RANK => {
            return Err(format!(
                "axes names {} axes; at most {MAX_RANK} exist",
                attribute.ints.len()
            ));
        }
        _ => {}
    }
    for tensor in attribute.t.iter().chain(&attribute.tensors) {
        check_tensor(tensor)?;
    }
    for graph in attribute.g.iter().chain(&attribute.graphs) {
        check_graph(graph, depth + 1, nodes)?;
    }
    Ok(())
}

fn within(name: &str, values: &[i64], low: i64, high: i64) -> Checked {
    match values.iter().find(|v| !(low..=high).contains(v)) {
        Some(v) => Err(format!("{name} holds {v}; it must be in {low}..={high}")),
        None => Ok(()),
    }
}

/// Whether every axis from 0 to the last occurs once. tract asserts no such thing: it
/// looks for the cycles of one that is none without end.
fn is_permutation(axes: &[i64]) -> bool {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    axes.len() <= MAX_RANK && sorted.into_iter().eq(0..axes.len() as i64)
}

/// The tensors of a graph whose shape or values its file tells outright.
struct Known<'a> {
    /// Stored tensors: initializers and the values of Constant nodes.
    stored: HashMap<&'a str, &'a TensorProto>,
    /// Elements of the inputs that have a fixed shape.
    inputs: HashMap<&'a str, u64>,
}

impl<'a> Known<'a> {
    fn new(graph: &'a GraphProto) -> Self {
        let constants = graph.node.iter().filter(|n| n.op_type == "Constant");
        let constants = constants.filter_map(|node| {
            let value = node.attribute.iter().find(|a| a.name == "value")?;
            Some((node.output.first()?.as_str(), value.t.as_ref()?))
        });
        let initializers = graph.initializer.iter().map(|t| (t.name.as_str(), t));
        let inputs = graph.input.iter().filter_map(|value| {
            let fixed = sides(value).into_iter().map(|side| match side {
                Some(Dim::DimValue(side)) => Some(*side),
                _ => None,
            });
            let fixed: Option<Vec<i64>> = fixed.collect();
            Some((value.name.as_str(), elements(&fixed?)?))
        });
        Self {
            stored: initializers.chain(constants).collect(),
            inputs: inputs.collect(),
        }
    }

    /// The stored tensor that is a node's input number `index`.
    fn input(&self, node: &NodeProto, index: usize) -> Option<&'a TensorProto> {
        self.stored.get(node.input.get(index)?.as_str()).copied()
    }

    /// Elements of a node's first input, or 1 where only inference can tell.
    fn data_elements(&self, node: &NodeProto) -> u64 {
        let stored = self.input(node, 0).and_then(|t| elements(&t.dims));
        let fed = || self.inputs.get(node.input.first()?.as_str()).copied();
        stored.or_else(fed).unwrap_or(1)
    }
}

/// The values of a stored tensor; `None` for element types that no check needs.
fn values(tensor: &TensorProto) -> Option<Vec<f64>> {
    let raw = &tensor.raw_data;
    Some(match tensor.data_type {
        1 if raw.is_empty() => tensor.float_data.iter().map(|&v| v.into()).collect(),
        1 => raw
            .as_chunks()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b).into())
            .collect(),
        6 if raw.is_empty() => tensor.int32_data.iter().map(|&v| v.into()).collect(),
        6 => raw
            .as_chunks()
            .0
            .iter()
            .map(|&b| i32::from_le_bytes(b).into())
            .collect(),
        // Rounding above 2^53 is no matter: all limits are far below.
        7 if raw.is_empty() => tensor.int64_data.iter().map(|&v| v as f64).collect(),
        7 => raw
            .as_chunks()
            .0
            .iter()
            .map(|&b| i64::from_le_bytes(b) as f64)
            .collect(),
        10 if raw.is_empty() => {
            let bits = tensor.int32_data.iter().map(|&v| v as u16);
            bits.map(|b| f16::from_bits(b).to_f64()).collect()
        }
        10 => raw
            .as_chunks()
            .0
            .iter()
            .map(|&b| f16::from_le_bytes(b).to_f64())
            .collect(),
        _ => return None,
    })
}

fn ints<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    let attribute = node.attribute.iter().find(|a| a.name == name);
    attribute.map_or(&[], |a| &a.ints)
}

/// Windows of convolutions and pools: lists of one length, and kernels that tract can
/// keep offsets for.
fn check_window(node: &NodeProto, known: &Known) -> Checked {
    let weights = match node.op_type.as_str() {
        "Conv" | "ConvTranspose" | "ConvInteger" => known.input(node, 1),
        "QLinearConv" => known.input(node, 3),
        "MaxPool" | "AveragePool" | "LpPool" => None,
        _ => return Ok(()),
    };
    if node.op_type == "ConvTranspose" {
        let shape = ints(node, "output_shape");
        limit("output_shape", 1.0, shape.iter().map(|&s| s as f64))?;
    }
    let kernel = weights.map(|t| t.dims.get(2..).unwrap_or(&[]));
    let mut axes = None;
    if let Some(kernel) = kernel {
        if kernel.is_empty() || kernel.contains(&0) {
            return Err(format!(
                "its weights have shape {:?}; they must have window sides of 1 or more",
                weights.map_or(&[][..], |t| &t.dims)
            ));
        }
        axes = Some(("its weights", kernel.len()));
    }
    for (name, per_axis) in [
        ("kernel_shape", 1),
        ("strides", 1),
        ("dilations", 1),
        ("output_padding", 1),
        ("pads", 2),
    ] {
        let list = ints(node, name);
        if list.is_empty() {
            continue;
        }
        let (by, count) = *axes.get_or_insert((name, list.len() / per_axis));
        if list.len() != count * per_axis || count == 0 {
            return Err(format!(
                "{name} has {} values, which does not fit the {count} axes of {by}",
                list.len()
            ));
        }
    }
    within("pads", ints(node, "pads"), 0, MAX_PAD)?;
    for sides in [kernel.unwrap_or(&[]), ints(node, "kernel_shape")] {
        if elements(sides).is_none_or(|n| n > MAX_KERNEL) {
            return Err(format!(
                "its kernel {sides:?} has more than {MAX_KERNEL} cells"
            ));
        }
    }
    Ok(())
}

/// Scales of quantization divide, so they are above zero.
fn check_scales(node: &NodeProto, known: &Known) -> Checked {
    let scales: &[usize] = match node.op_type.as_str() {
        "QuantizeLinear" | "DequantizeLinear" => &[1],
        "QLinearConv" | "QLinearMatMul" => &[1, 4, 6],
        _ => return Ok(()),
    };
    for tensor in scales.iter().filter_map(|&i| known.input(node, i)) {
        let Some(values) = values(tensor) else {
            continue;
        };
        if values.is_empty() {
            return Err(format!("its scale '{}' is empty", tensor.name));
        }
        if let Some(bad) = values.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
            return Err(format!(
                "its scale '{}' holds {bad}; it must be above 0",
                tensor.name
            ));
        }
    }
    Ok(())
}

/// Stored shapes, repeats, scales and pads by which a small file asks for huge tensors.
fn check_growth(node: &NodeProto, known: &Known) -> Checked {
    let list = |name: &str, index: usize, most: usize| match known.input(node, index) {
        Some(tensor) => short_list(name, tensor, most),
        None => Ok(Vec::new()),
    };
    let attribute = |name: &str| ints(node, name).iter().map(|&v| v as f64);
    // A side that is no size, such as the -1 of Reshape, stands for what is left.
    let at_least_one = |sides: Vec<f64>| sides.into_iter().map(|s| s.max(1.0));
    let data = known.data_elements(node) as f64;
    match node.op_type.as_str() {
        "ConstantOfShape" => {
            let shape = list("shape", 0, MAX_RANK)?;
            if let Some(side) = shape.iter().find(|s| **s < 0.0) {
                return Err(format!("its shape holds {side}; it must be 0 or more"));
            }
            limit("shape", 1.0, shape)
        }
        "Expand" => limit("shape", 1.0, at_least_one(list("shape", 1, MAX_RANK)?)),
        "Reshape" => limit("shape", 1.0, at_least_one(list("shape", 1, MAX_RANK)?)),
        "Squeeze" | "Unsqueeze" => list("axes", 1, MAX_RANK).map(drop),
        "Tile" => limit("repeats", data, at_least_one(list("repeats", 1, MAX_RANK)?)),
        "RandomNormal" | "RandomUniform" => limit("shape", 1.0, attribute("shape")),
        "Resize" => {
            // Up to operator set 10 the scales are the second of two inputs.
            let at = if node.input.len() == 2 { 1 } else { 2 };
            let scales = list("scales", at, MAX_RANK)?;
            let sizes = list("sizes", 3, MAX_RANK)?;
            positive("scales", &scales)?;
            positive("sizes", &sizes)?;
            limit("scales", data, scales)?;
            limit("sizes", 1.0, sizes)
        }
        "Upsample" => {
            let mut scales = list("scales", 1, MAX_RANK)?;
            let floats = node.attribute.iter().find(|a| a.name == "scales");
            scales.extend(floats.iter().flat_map(|a| &a.floats).map(|&v| f64::from(v)));
            positive("scales", &scales)?;
            limit("scales", data, scales)
        }
        "Pad" => {
            let mut pads = list("pads", 1, 2 * MAX_RANK)?;
            pads.extend(attribute("pads"));
            let (before, after) = pads.split_at(pads.len() / 2);
            if before.len() != after.len() {
                return Err(format!("pads has {} values, not two an axis", pads.len()));
            }
            let sides = before
                .iter()
                .zip(after)
                .map(|(b, a)| 1.0 + (b + a).max(0.0));
            limit("pads", 1.0, sides)
        }
        "OneHot" => limit("depth", 1.0, list("depth", 1, 1)?),
        "Range" => {
            let mut parts = Vec::with_capacity(3);
            for (index, name) in ["start", "limit", "delta"].iter().enumerate() {
                parts.extend(list(name, index, 1)?);
            }
            let &[start, end, delta] = parts.as_slice() else {
                return Ok(());
            };
            if delta == 0.0 {
                return Err("its delta is 0".into());
            }
            limit("range", 1.0, [(end - start) / delta])
        }
        _ => Ok(()),
    }
}

/// The values of a stored tensor that can only be a short list; none where it holds
/// another type than tract takes there.
fn short_list(name: &str, tensor: &TensorProto, most: usize) -> Result<Vec<f64>, String> {
    let count = elements(&tensor.dims).unwrap_or(u64::MAX);
    if count > most as u64 {
        return Err(format!(
            "its {name} '{}' has {count} values; at most {most} make sense",
            tensor.name
        ));
    }
    Ok(values(tensor).unwrap_or_default())
}

fn positive(name: &str, values: &[f64]) -> Checked {
    match values.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
        Some(bad) => Err(format!("its {name} hold {bad}; they must be above 0")),
        None => Ok(()),
    }
}

/// Refuses a tensor of `data` elements times all `factors` that is too large.
fn limit(name: &str, data: f64, factors: impl IntoIterator<Item = f64>) -> Checked {
    let product = factors.into_iter().fold(data, |product, f| product * f);
    // Also where it is not a number.
    if product <= MAX_ELEMENTS as f64 {
        return Ok(());
    }
    Err(format!(
        "a tensor of {product:.3e} elements follows from its {name}; at most {MAX_ELEMENTS} \
         are allowed"
    ))
}

/// Every value is made once, and what is read or put out is made by something.
fn check_wiring(graph: &GraphProto, depth: usize) -> Checked {
    let mut made: HashSet<&str> = HashSet::new();
    let fed = graph.input.iter().map(|v| &v.name);
    let results = graph.node.iter().flat_map(|n| &n.output);
    for name in fed.chain(results).filter(|name| !name.is_empty()) {
        if !made.insert(name) {
            return Err(format!("two things make the value '{name}'"));
        }
    }
    let results: HashSet<&str> = graph
        .node
        .iter()
        .flat_map(|n| &n.output)
        .map(String::as_str)
        .collect();
    let mut stored = HashSet::new();
    for tensor in &graph.initializer {
        // An input may have the name of an initializer: it is then its default.
        if !stored.insert(tensor.name.as_str()) || results.contains(tensor.name.as_str()) {
            return Err(format!("two things make the value '{}'", tensor.name));
        }
    }
    made.extend(stored);
    for output in &graph.output {
        if !made.contains(output.name.as_str()) {
            return Err(format!(
                "nothing makes the output '{}'; the graph is incomplete, export it again",
                output.name
            ));
        }
    }
    // Nodes of a subgraph also read the values of the graphs around it.
    for node in graph.node.iter().filter(|_| depth == 0) {
        let mut read = node.input.iter().filter(|name| !name.is_empty());
        if let Some(name) = read.find(|name| !made.contains(name.as_str())) {
            return Err(format!(
                "{} reads '{name}', which nothing makes; the graph is incomplete, export it again",
                title(node)
            ));
        }
    }
    Ok(())
}

/// A picture comes alone.
fn check_batch(graph: &GraphProto) -> Checked {
    let stored: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    for input in &graph.input {
        if let [Some(Dim::DimValue(batch)), _, _, _] = sides(input).as_slice()
            && *batch != 1
            && !stored.contains(input.name.as_str())
        {
            return Err(format!(
                "input '{}' has batch {batch}; export the model for one picture (batch 1)",
                input.name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{TensorShapeProto, TypeProto, tensor_shape_proto, type_proto};

    use super::*;

    fn reason(graph: &GraphProto) -> String {
        model(graph).unwrap_err()
    }

    fn value(name: &str, sides: &[Dim]) -> ValueInfoProto {
        let dim = sides.iter().map(|side| tensor_shape_proto::Dimension {
            value: Some(side.clone()),
            ..Default::default()
        });
        let tensor = type_proto::Tensor {
            elem_type: 1,
            shape: Some(TensorShapeProto { dim: dim.collect() }),
        };
        let r#type = Some(TypeProto {
            value: Some(TypeValue::TensorType(tensor)),
            ..Default::default()
        });
        ValueInfoProto {
            name: name.into(),
            r#type,
            ..Default::default()
        }
    }

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            name: format!("the {op}"),
            op_type: op.into(),
            input: inputs.iter().map(|&i| i.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..Default::default()
        }
    }

    fn with(mut node: NodeProto, name: &str, ints: &[i64]) -> NodeProto {
        node.attribute.push(AttributeProto {
            name: name.into(),
            ints: ints.to_vec(),
            i: ints.first().copied().unwrap_or(0),
            ..Default::default()
        });
        node
    }

    fn stored(name: &str, ints: &[i64]) -> TensorProto {
        TensorProto {
            name: name.into(),
            dims: vec![ints.len() as i64],
            data_type: 7,
            raw_data: ints.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ..Default::default()
        }
    }

    fn floats(name: &str, values: &[f32]) -> TensorProto {
        TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: 1,
            float_data: values.to_vec(),
            ..Default::default()
        }
    }

    /// A graph from a picture `x` to `y` through one node, with stored tensors.
    fn graph(node: NodeProto, stored: &[TensorProto]) -> GraphProto {
        GraphProto {
            input: vec![value("x", &[1, 3, 16, 16].map(Dim::DimValue))],
            output: vec![value("y", &[])],
            node: vec![node],
            initializer: stored.to_vec(),
            ..Default::default()
        }
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
    fn nodes_are_counted_with_those_of_subgraphs() {
        let chain = |length: usize| -> Vec<NodeProto> {
            let name = |i: usize| match i {
                0 => "x".to_owned(),
                i if i == length => "y".to_owned(),
                i => format!("a{i}"),
            };
            let nodes = (0..length).map(|i| node("Relu", &[&name(i)], &name(i + 1)));
            nodes.collect()
        };
        let mut whole = graph(node("Relu", &["x"], "y"), &[]);
        whole.node = chain(MAX_NODES);
        assert_eq!(model(&whole), Ok(()));
        whole.node = chain(MAX_NODES + 1);
        assert!(reason(&whole).contains(&format!("{} nodes", MAX_NODES + 1)));

        whole.node = chain(MAX_NODES / 2 + 1);
        let inner = AttributeProto {
            name: "then_branch".into(),
            g: Some(whole.clone()),
            ..Default::default()
        };
        assert_eq!(model(&whole), Ok(()));
        whole.node[0].attribute.push(inner);
        assert!(reason(&whole).contains(&format!("{} nodes", MAX_NODES + 2)));
    }

    #[test]
    fn nested_expressions_as_sides_are_refused() {
        let graph = GraphProto {
            input: vec![value("x", &[Dim::DimParam("(".repeat(60))])],
            ..Default::default()
        };
        assert!(reason(&graph).contains("plain name"));
    }

    #[test]
    fn a_batch_of_pictures_is_refused() {
        let mut whole = graph(node("Relu", &["x"], "y"), &[]);
        for batch in [0, 9] {
            whole.input = vec![value("x", &[batch, 3, 16, 16].map(Dim::DimValue))];
            let reason = reason(&whole);
            assert!(
                reason.contains(&format!("'x' has batch {batch}")),
                "{reason}"
            );
        }
        let mut open = [1, 3, 16, 16].map(Dim::DimValue);
        open[0] = Dim::DimParam("N".into());
        whole.input = vec![value("x", &open)];
        assert_eq!(model(&whole), Ok(()));
    }

    #[test]
    fn names_that_steer_a_terminal_are_refused_and_shown_harmless() {
        let mut sly = node("Relu", &["x"], "y");
        sly.name = "\u{1b}[31mred".into();
        let reason = reason(&graph(sly, &[]));
        assert!(reason.contains("control characters"), "{reason}");
        assert!(!reason.contains(char::is_control), "{reason}");
    }

    #[test]
    fn windows_out_of_range_are_refused() {
        for (name, ints) in [
            ("strides", [1, 0]),
            ("dilations", [1, 0]),
            ("kernel_shape", [1, 0]),
            ("kernel_shape", [1 << 14, 1 << 14]),
            ("output_padding", [1, MAX_PAD + 1]),
        ] {
            let reason = reason(&graph(with(node("Conv", &["x"], "y"), name, &ints), &[]));
            let word = name.split('_').next().unwrap();
            assert!(
                reason.contains("the Conv") && reason.contains(word),
                "{reason}"
            );
        }
        for pad in [-1, MAX_PAD + 1, 60_000] {
            let conv = with(node("Conv", &["x"], "y"), "pads", &[0, 0, 0, pad]);
            let reason = reason(&graph(conv, &[]));
            assert!(reason.contains("pads holds"), "{reason}");
        }
    }

    #[test]
    fn lists_of_a_window_must_be_of_one_length() {
        let mut weights = floats("w", &[0.0; 81]);
        weights.dims = vec![3, 3, 3, 3];
        let refused = |node: NodeProto| reason(&graph(node, std::slice::from_ref(&weights)));
        let conv = || node("Conv", &["x", "w"], "y");
        for (name, ints) in [
            ("pads", &[1][..]),
            ("pads", &[1, 1]),
            ("strides", &[1; 5]),
            ("dilations", &[1]),
            ("kernel_shape", &[3, 3, 3]),
        ] {
            let reason = refused(with(conv(), name, ints));
            assert!(
                reason.contains(name) && reason.contains("2 axes"),
                "{reason}"
            );
        }
        let pool = with(node("MaxPool", &["x"], "y"), "kernel_shape", &[2, 2]);
        let error = refused(with(pool, "pads", &[0, 0, 0]));
        assert!(error.contains("2 axes of kernel_shape"), "{error}");

        let good = with(with(conv(), "pads", &[1; 4]), "strides", &[2, 2]);
        assert_eq!(model(&graph(good, std::slice::from_ref(&weights))), Ok(()));
        for dims in [vec![81], vec![0, 3, 0, 0]] {
            weights.dims = dims;
            weights
                .float_data
                .truncate(if weights.dims.len() == 1 { 81 } else { 0 });
            let reason = reason(&graph(conv(), std::slice::from_ref(&weights)));
            assert!(reason.contains("its weights"), "{reason}");
        }
    }

    #[test]
    fn a_perm_that_is_no_permutation_is_refused() {
        let transpose = |perm: &[i64]| {
            let node = with(node("Transpose", &["x"], "y"), "perm", perm);
            model(&graph(node, &[]))
        };
        assert_eq!(transpose(&[0, 2, 3, 1]), Ok(()));
        for perm in [
            &[0, 0, 0, 0][..],
            &[0, 1, 2, 9],
            &[-1, 0, 1, 2],
            &[1],
            &[0, 1, 2, 3, 4, 5, 6, 7, 8],
        ] {
            let reason = transpose(perm).unwrap_err();
            assert!(reason.contains("permutation"), "{reason}");
        }
    }

    #[test]
    fn block_sizes_and_groups_start_at_one() {
        for (op, name) in [
            ("DepthToSpace", "blocksize"),
            ("SpaceToDepth", "blocksize"),
            ("Conv", "group"),
        ] {
            for size in [0, -2, MAX_WINDOW + 1] {
                let reason = reason(&graph(with(node(op, &["x"], "y"), name, &[size]), &[]));
                assert!(reason.contains(&format!("{name} holds {size}")), "{reason}");
            }
        }
    }

    #[test]
    fn scales_of_quantization_are_above_zero() {
        let quantize = |tensor: TensorProto| {
            let node = node("QuantizeLinear", &["x", "s"], "y");
            model(&graph(node, &[tensor]))
        };
        assert_eq!(quantize(floats("s", &[0.5, 1e-9])), Ok(()));
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let reason = quantize(floats("s", &[0.5, bad])).unwrap_err();
            assert!(reason.contains("scale 's'"), "{reason}");
            // The same as stored bytes.
            let mut raw = floats("s", &[]);
            (raw.dims, raw.raw_data) = (vec![1], bad.to_le_bytes().to_vec());
            assert!(quantize(raw).is_err());
        }
        let mut half = floats("s", &[]);
        (half.dims, half.data_type) = (vec![1], 10);
        half.int32_data = vec![i32::from(f16::from_f32(0.5).to_bits())];
        assert_eq!(quantize(half.clone()), Ok(()));
        half.int32_data = vec![0];
        assert!(quantize(half).is_err());
        assert!(quantize(floats("s", &[])).unwrap_err().contains("empty"));
    }

    #[test]
    fn stored_shapes_that_make_a_tensor_too_large_are_refused() {
        let big = 1 << 20;
        let nan = f32::NAN;
        for (op, inputs, tensors) in [
            ("ConstantOfShape", &["a"][..], vec![stored("a", &[1 << 40])]),
            ("ConstantOfShape", &["a"], vec![stored("a", &[-1])]),
            ("Expand", &["x", "a"], vec![stored("a", &[big, big])]),
            ("Expand", &["x", "a"], vec![stored("a", &[1; 9])]),
            ("Reshape", &["x", "a"], vec![stored("a", &[-1, big, big])]),
            ("Unsqueeze", &["x", "a"], vec![stored("a", &[4; 2000])]),
            // With the 768 elements of x.
            ("Tile", &["x", "a"], vec![stored("a", &[1, 1, 1, big])]),
            (
                "Resize",
                &["x", "", "a"],
                vec![floats("a", &[1.0, 1.0, 1e3, 1e3])],
            ),
            (
                "Resize",
                &["x", "", "a"],
                vec![floats("a", &[1.0, 1.0, nan, 1.0])],
            ),
            (
                "Resize",
                &["x", "", "a"],
                vec![floats("a", &[1.0, 1.0, -2.0, 1.0])],
            ),
            (
                "Resize",
                &["x", "a"],
                vec![floats("a", &[1.0, 1.0, 1e3, 1e3])],
            ),
            (
                "Resize",
                &["x", "", "", "a"],
                vec![stored("a", &[1, 3, big, big])],
            ),
            (
                "Resize",
                &["x", "", "", "a"],
                vec![stored("a", &[1, 3, 0, 4])],
            ),
            (
                "Upsample",
                &["x", "a"],
                vec![floats("a", &[1.0, 1.0, 1e3, 1e3])],
            ),
            (
                "Pad",
                &["x", "a"],
                vec![stored("a", &[0, 0, big, big, 0, 0, 0, 0])],
            ),
            ("Pad", &["x", "a"], vec![stored("a", &[0, 0, 1])]),
            ("OneHot", &["x", "a"], vec![stored("a", &[1 << 40])]),
            (
                "Range",
                &["a", "b", "c"],
                vec![
                    stored("a", &[0]),
                    stored("b", &[1 << 40]),
                    stored("c", &[1]),
                ],
            ),
            (
                "Range",
                &["a", "b", "c"],
                vec![stored("a", &[0]), stored("b", &[5]), stored("c", &[0])],
            ),
        ] {
            let reason = reason(&graph(node(op, inputs, "y"), &tensors));
            assert!(reason.contains(&format!("the {op}")), "{reason}");
        }
        for (op, inputs, tensor) in [
            ("ConstantOfShape", &["a"][..], stored("a", &[2, 0])),
            ("Expand", &["x", "a"], stored("a", &[1, 3, 16, 16])),
            ("Reshape", &["x", "a"], stored("a", &[0, -1])),
            ("Tile", &["x", "a"], stored("a", &[1, 1, 2, 2])),
            (
                "Resize",
                &["x", "", "a"],
                floats("a", &[1.0, 1.0, 4.0, 4.0]),
            ),
            ("Resize", &["x", "", "a"], floats("a", &[])),
            ("Pad", &["x", "a"], stored("a", &[0, 0, -1, -1, 0, 0, 1, 1])),
        ] {
            let graph = graph(node(op, inputs, "y"), &[tensor]);
            assert_eq!(model(&graph), Ok(()), "{op}");
        }
        let random = with(node("RandomUniform", &[], "y"), "shape", &[big, big]);
        assert!(reason(&graph(random, &[])).contains("shape"));
        let conv = with(
            node("ConvTranspose", &["x"], "y"),
            "output_shape",
            &[big, big],
        );
        assert!(reason(&graph(conv, &[])).contains("output_shape"));
    }

    #[test]
    fn shapes_in_constant_nodes_are_seen_too() {
        let mut constant = node("Constant", &[], "a");
        constant.attribute.push(AttributeProto {
            name: "value".into(),
            t: Some(stored("", &[1 << 40])),
            ..Default::default()
        });
        let mut whole = graph(node("ConstantOfShape", &["a"], "y"), &[]);
        whole.node.insert(0, constant);
        assert!(reason(&whole).contains("the ConstantOfShape"));
    }

    #[test]
    fn values_are_made_once_and_by_something() {
        let whole = graph(node("Relu", &["x"], "y"), &[]);
        assert_eq!(model(&whole), Ok(()));

        let mut twice = whole.clone();
        twice.node.push(node("Relu", &["x"], "y"));
        assert!(reason(&twice).contains("two things make the value 'y'"));
        let again = graph(node("Relu", &["x"], "y"), &[stored("y", &[1])]);
        assert!(reason(&again).contains("two things make the value 'y'"));
        let same = graph(
            node("Relu", &["x"], "y"),
            &[stored("a", &[1]), stored("a", &[2])],
        );
        assert!(reason(&same).contains("two things make the value 'a'"));

        let mut missing = whole.clone();
        missing.output = vec![value("z", &[])];
        assert!(reason(&missing).contains("nothing makes the output 'z'"));
        let unread = graph(node("Add", &["x", "b"], "y"), &[]);
        assert!(reason(&unread).contains("the Add' (Add) reads 'b'"));

        // The default of an input has the input's name; an optional output has none.
        let mut default = graph(node("Add", &["x", "b"], "y"), &[stored("b", &[1])]);
        default.input.push(value("b", &[]));
        default.node[0]
            .output
            .extend([String::new(), String::new()]);
        assert_eq!(model(&default), Ok(()));
    }
}
