//! ONNX models that lie.

use std::path::Path;

use atrous::compile::{CompileError, Ending, at_input_size, compile_to};
use atrous::model::{Graph, Manifest};
use prost::Message;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

use super::{Rng, Verdict, run};

/// Operators that may take another's place.
const OPERATORS: [&str; 26] = [
    "Add",
    "ArgMax",
    "AveragePool",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "DequantizeLinear",
    "Expand",
    "GlobalAveragePool",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "MaxPool",
    "Mul",
    "QLinearAdd",
    "QLinearConcat",
    "QLinearConv",
    "QuantizeLinear",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Tile",
    "Transpose",
    "Upsample",
];

/// Attributes that operators read.
const ATTRIBUTES: [&str; 12] = [
    "axis",
    "ceil_mode",
    "count_include_pad",
    "dilations",
    "group",
    "kernel_shape",
    "keepdims",
    "pads",
    "perm",
    "strides",
    "to",
    "axes",
];

/// Another model made from a good one.
pub fn mutated(good: &[u8], rng: &mut Rng) -> Vec<u8> {
    let Ok(mut model) = ModelProto::decode(good) else {
        return good.to_vec();
    };
    if let Some(graph) = &mut model.graph {
        for _ in 0..=rng.below(3) {
            change(graph, rng);
        }
    }
    let mut bytes = model.encode_to_vec();
    if rng.one_in(10) {
        rng.spoil(&mut bytes);
    }
    bytes
}

fn change(graph: &mut GraphProto, rng: &mut Rng) {
    let nodes = graph.node.len();
    if nodes == 0 || graph.initializer.is_empty() {
        return;
    }
    let at = rng.below(nodes);
    let tensor = rng.below(graph.initializer.len());
    match rng.below(12) {
        0 | 1 => change_tensor(&mut graph.initializer[tensor], rng),
        2 | 3 => change_attribute(&mut graph.node[at], rng),
        4 => graph.node[at].op_type = (*rng.pick(&OPERATORS)).into(),
        5 => rewire(graph, at, rng),
        6 => drop(graph.node.remove(at)),
        7 => {
            let copy = graph.node[at].clone();
            graph.node.insert(rng.below(nodes), copy);
        }
        8 => graph.node.swap(at, rng.below(nodes)),
        9 => change_sides(graph, rng),
        10 => rename(graph, at, rng),
        _ => {
            let node = &mut graph.node[at];
            match rng.below(4) {
                0 => drop(node.input.pop()),
                1 => node.input.push(String::new()),
                2 => drop(node.output.pop()),
                _ => node.domain = "other".into(),
            }
        }
    }
}

fn change_tensor(tensor: &mut TensorProto, rng: &mut Rng) {
    match rng.below(7) {
        0 if !tensor.dims.is_empty() => {
            let at = rng.below(tensor.dims.len());
            tensor.dims[at] = rng.number(tensor.dims[at]);
        }
        0 | 1 => tensor.dims.push(rng.number(1)),
        2 => rng.spoil(&mut tensor.raw_data),
        3 => tensor.data_type = rng.number(tensor.data_type.into()) as i32 % 24,
        // Its content in another type or count, which its shape still says.
        4 if tensor.data_type == 1 => {
            let float = rng.float();
            for bytes in tensor.raw_data.as_chunks_mut::<4>().0 {
                *bytes = float.to_le_bytes();
            }
        }
        4 | 5 => {
            for bytes in tensor.raw_data.as_chunks_mut::<8>().0 {
                let old = i64::from_le_bytes(*bytes);
                if rng.one_in(3) {
                    *bytes = rng.number(old).to_le_bytes();
                }
            }
        }
        _ => {
            let count = tensor.dims.iter().fold(1i64, |n, &d| n.saturating_mul(d));
            let count = count.clamp(0, 64) as usize;
            tensor.raw_data.clear();
            tensor.float_data = (0..count).map(|_| rng.float()).collect();
            tensor.int64_data = (0..count).map(|_| rng.number(1)).collect();
        }
    }
}

fn change_attribute(node: &mut NodeProto, rng: &mut Rng) {
    if node.attribute.is_empty() || rng.one_in(5) {
        let len = rng.below(6);
        node.attribute.push(AttributeProto {
            name: (*rng.pick(&ATTRIBUTES)).into(),
            i: rng.number(1),
            f: rng.float(),
            ints: (0..len).map(|_| rng.number(1)).collect(),
            ..AttributeProto::default()
        });
        return;
    }
    let at = rng.below(node.attribute.len());
    let attribute = &mut node.attribute[at];
    match rng.below(6) {
        0..=2 if !attribute.ints.is_empty() => {
            let at = rng.below(attribute.ints.len());
            attribute.ints[at] = rng.number(attribute.ints[at]);
        }
        3 => drop(attribute.ints.pop()),
        4 => rng.spoil(&mut attribute.s),
        5 => drop(node.attribute.remove(at)),
        _ => {
            attribute.i = rng.number(attribute.i);
            attribute.f = rng.float();
        }
    }
}

/// A node reads something else.
fn rewire(graph: &mut GraphProto, at: usize, rng: &mut Rng) {
    let made = graph.node.iter().flat_map(|n| n.output.iter());
    let stored = graph.initializer.iter().map(|t| &t.name);
    let names: Vec<String> = made.chain(stored).cloned().collect();
    let input = &mut graph.node[at].input;
    if let (false, false) = (input.is_empty(), names.is_empty()) {
        let slot = rng.below(input.len());
        input[slot].clone_from(rng.pick(&names));
    }
}

/// An input or output of another shape.
fn change_sides(graph: &mut GraphProto, rng: &mut Rng) {
    let values = if rng.one_in(3) {
        &mut graph.output
    } else {
        &mut graph.input
    };
    for value in values {
        let Some(TypeValue::TensorType(tensor)) =
            value.r#type.as_mut().and_then(|t| t.value.as_mut())
        else {
            continue;
        };
        if rng.one_in(8) {
            tensor.elem_type = rng.below(20) as i32;
        }
        let Some(shape) = &mut tensor.shape else {
            continue;
        };
        match (rng.below(5), shape.dim.is_empty()) {
            (0, _) => drop(shape.dim.pop()),
            (_, true) => {}
            (1, _) => {
                let at = rng.below(shape.dim.len());
                shape.dim[at].value = Some(Dim::DimParam("((((side".repeat(rng.below(400))));
            }
            _ => {
                let at = rng.below(shape.dim.len());
                shape.dim[at].value = Some(Dim::DimValue(rng.number(8)));
            }
        }
    }
}

/// A name that is long, empty, taken, or steers a terminal.
fn rename(graph: &mut GraphProto, at: usize, rng: &mut Rng) {
    let taken = graph.node[rng.below(graph.node.len())].output.first();
    let name = match rng.below(4) {
        0 => "n".repeat(rng.below(4000)),
        1 => String::new(),
        2 => "\u{1b}[2J\n".into(),
        _ => taken.cloned().unwrap_or_default(),
    };
    let node = &mut graph.node[at];
    match rng.below(3) {
        0 => node.name = name,
        1 => node.output = vec![name],
        _ => graph.initializer[0].name = name,
    }
}

/// Reads a model and compiles it, to both endings and, one time in four, for another
/// size; `manifest` is the good model's.
pub fn check(file: &[u8], manifest: &Manifest, rng: &mut Rng) -> Verdict {
    let Ok(graph) = Graph::parse(file, "fuzz.onnx") else {
        return Verdict::Refused;
    };
    let derived = Manifest::derived(&graph.summary(), Path::new("fuzz.onnx"), &manifest.sha256);
    let manifests = [Some(manifest.clone()), derived.ok()];
    let mut verdict = Verdict::Refused;
    for manifest in manifests.into_iter().flatten() {
        let mut known = (graph.clone(), manifest);
        if rng.one_in(4) {
            let size = (1 + rng.below(40) as u32, 1 + rng.below(40) as u32);
            match at_input_size(&known.0, &known.1, size, "fuzz.onnx") {
                Ok(other) => known = other,
                Err(error) => told(&error),
            }
        }
        for ending in [Ending::Labels, Ending::Logits] {
            match compile_to(&known.0, &known.1, ending, "fuzz.onnx") {
                Ok(compiled) => {
                    compiled.program.check().expect("what is compiled is sound");
                    run::run(&known.1, &compiled.program);
                    verdict = Verdict::Accepted;
                }
                Err(error) => told(&error),
            }
        }
    }
    verdict
}

fn told(error: &CompileError) {
    assert!(error.to_string().len() < 1 << 16, "an endless message");
}
