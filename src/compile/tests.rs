//! Whole graphs through the compiler.

use std::path::{Path, PathBuf};

use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

use super::*;
use crate::model::Model;
use crate::program::{Coordinates, Op, Output, Resample};

mod operators;

pub(super) fn bytes(name: &str, data_type: i32, dims: &[i64], raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type,
        raw_data,
        ..Default::default()
    }
}

pub(super) fn float(name: &str, value: f32) -> TensorProto {
    bytes(name, 1, &[], value.to_le_bytes().to_vec())
}

fn byte(name: &str, value: u8) -> TensorProto {
    bytes(name, 2, &[], vec![value])
}

pub(super) fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: format!("{op}:{output}"),
        op_type: op.into(),
        input: inputs.iter().map(|&i| i.into()).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

pub(super) fn value(name: &str, elem_type: i32, sides: &[i64]) -> ValueInfoProto {
    let dim = |&side: &i64| Dimension {
        value: Some(dimension::Value::DimValue(side)),
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type,
        shape: Some(TensorShapeProto {
            dim: sides.iter().map(dim).collect(),
        }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

const MANIFEST: &str = r#"
    format = 1
    name = "tiny"
    file = "tiny.onnx"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
    licence = "MIT"
    [input]
    width = 4
    height = 4
    layout = "nchw"
    dtype = "f32"
    [output]
    kind = "logits"
    [[class]]
    name = "floor"
    colour = [1, 2, 3]
    [[class]]
    name = "wall"
    colour = [4, 5, 6]
"#;

pub(super) fn manifest() -> Manifest {
    Manifest::parse(MANIFEST, "m.toml").unwrap()
}

/// input 4x4 → Q/DQ → Conv 1x1 to 2 channels → Relu → Q/DQ → logits.
pub(super) fn tiny() -> GraphProto {
    GraphProto {
        input: vec![value("input", 1, &[1, 3, 4, 4])],
        output: vec![value("logits", 1, &[1, 2, 4, 4])],
        initializer: vec![
            float("s", 1.0 / 127.5),
            byte("z", 128),
            float("t", 0.05),
            byte("y", 7),
            bytes("w", 2, &[2, 3, 1, 1], vec![128, 129, 130, 0, 255, 5]),
            float("ws", 0.02),
            byte("wz", 130),
        ],
        node: vec![
            node("QuantizeLinear", &["input", "s", "z"], "q"),
            node("DequantizeLinear", &["q", "s", "z"], "x"),
            node("DequantizeLinear", &["w", "ws", "wz"], "wf"),
            node("Conv", &["x", "wf"], "c"),
            node("Relu", &["c"], "r"),
            node("QuantizeLinear", &["r", "t", "y"], "rq"),
            node("DequantizeLinear", &["rq", "t", "y"], "logits"),
        ],
        ..Default::default()
    }
}

fn lower(graph: &GraphProto, manifest: &Manifest) -> Result<Compiled, Fault> {
    super::lower(graph, manifest, Ending::Labels)
}

fn lowered(graph: &GraphProto) -> Result<Compiled, Fault> {
    lower(graph, &manifest())
}

fn refusals(graph: &GraphProto) -> Vec<Refusal> {
    match lowered(graph) {
        Err(Fault::Unsupported(refusals)) => refusals,
        other => panic!("{other:?}"),
    }
}

fn kinds(compiled: &Compiled) -> Vec<&'static str> {
    compiled.report.iter().map(|p| p.kind).collect()
}

#[test]
fn a_convolution_between_quantizations_is_one_operation() {
    let compiled = lowered(&tiny()).unwrap();
    assert_eq!(kinds(&compiled), ["Input", "Conv", "Argmax"]);
    assert_eq!(compiled.report[1].node, "Conv:c+Relu:r");
    assert_eq!(compiled.report[1].macs, 16 * 6);
    let program = &compiled.program;
    assert_eq!((program.width, program.height), (4, 4));
    let Op::Conv(conv) = &program.ops[1] else {
        panic!("{:?}", program.ops)
    };
    // Unsigned weights became signed, and the Relu a lower bound.
    assert_eq!(conv.clamp, [7, 255]);
    let at = |span: crate::program::Span| {
        let start = span.offset as usize;
        &program.constants[start..][..span.len as usize]
    };
    assert_eq!(at(conv.weights), [0, 1, 2, 128, 127, 133]);
    assert_eq!(at(conv.weight_zero_points), [2, 2]);
    let Op::Input { tables, order, .. } = &program.ops[0] else {
        panic!("{:?}", program.ops)
    };
    assert_eq!(*order, [0, 1, 2]);
    // (0 - 127.5) / 127.5 = -1; in floats the scale is a little above 1 / 127.5, so
    // that is a little less than 127.5 steps below 128.
    assert_eq!(at(*tables)[..2], [1, 2]);
    assert_eq!(at(*tables)[255], 255);
}

#[test]
fn signed_codes_give_the_same_program() {
    let unsigned = lowered(&tiny()).unwrap();
    let mut graph = tiny();
    for tensor in &mut graph.initializer {
        if tensor.data_type == 2 {
            tensor.data_type = 3;
            tensor.raw_data.iter_mut().for_each(|b| *b ^= 0x80);
        }
    }
    assert_eq!(lowered(&graph).unwrap(), unsigned);
}

#[test]
fn operators_on_codes_give_the_same_convolution() {
    let mut graph = tiny();
    graph.node.drain(1..6);
    let inputs = ["q", "s", "z", "w", "ws", "wz", "t", "y"];
    graph.node.insert(1, node("QLinearConv", &inputs, "rq"));
    let on_codes = lowered(&graph).unwrap();
    let mut graph = tiny();
    graph.node.remove(4);
    graph.node[4].input[0] = "c".into();
    let between = lowered(&graph).unwrap();
    assert_eq!(on_codes.program.constants, between.program.constants);
    assert_eq!(on_codes.program.ops, between.program.ops);
}

#[test]
fn every_unsupported_node_is_named_once() {
    let mut graph = tiny();
    graph.node[4].op_type = "Erf".into();
    graph.node.push(node("Softmax", &["x"], "other"));
    graph.node.push(node("Relu", &["other"], "after"));
    let named: Vec<_> = refusals(&graph).into_iter().map(|r| r.op).collect();
    assert_eq!(named, ["Erf", "Softmax"]);
}

#[test]
fn a_missing_quantization_is_named_with_its_maker() {
    let mut graph = tiny();
    graph.node.push(node("Conv", &["c", "wf"], "d"));
    graph.initializer[4].dims = vec![3, 2, 1, 1];
    graph.node[2] = node("DequantizeLinear", &["w", "ws", "wz"], "unused");
    graph
        .initializer
        .push(bytes("v", 2, &[2, 3, 1, 1], vec![1; 6]));
    graph
        .node
        .insert(2, node("DequantizeLinear", &["v", "ws", "wz"], "wf"));
    graph
        .initializer
        .push(bytes("u", 2, &[2, 2, 1, 1], vec![1; 4]));
    graph
        .node
        .insert(2, node("DequantizeLinear", &["u", "ws", "wz"], "uf"));
    let last = graph.node.len() - 1;
    graph.node[last].input[1] = "uf".into();
    let refusals = refusals(&graph);
    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].reason.contains("'Conv:c'"), "{refusals:?}");
}

#[test]
fn two_branches_are_joined_in_place_and_summed_in_a_convolution() {
    let mut graph = tiny();
    // A second convolution of the same kind, joined with and added to the first.
    graph.node.splice(
        6..,
        [
            node("DequantizeLinear", &["rq", "t", "y"], "r1"),
            node("Conv", &["x", "wf"], "c2"),
            node("QuantizeLinear", &["c2", "t", "y"], "c2q"),
            node("DequantizeLinear", &["c2q", "t", "y"], "c2d"),
            node("Add", &["r1", "c2d"], "sum"),
            node("QuantizeLinear", &["sum", "t", "z"], "sumq"),
            node("DequantizeLinear", &["sumq", "t", "z"], "sumd"),
            NodeProto {
                attribute: vec![AttributeProto {
                    name: "axis".into(),
                    i: 1,
                    ..Default::default()
                }],
                ..node("Concat", &["r1", "sumd"], "joined")
            },
            node("QuantizeLinear", &["joined", "t", "y"], "jq"),
            node("DequantizeLinear", &["jq", "t", "y"], "logits"),
        ],
    );
    let mut manifest = manifest();
    let numbered = |i| crate::classes::Class {
        name: format!("c{i}"),
        colour: [0; 3],
    };
    manifest.classes = crate::classes::Classes::new((0..4).map(numbered).collect());
    let compiled = lower(&graph, &manifest).unwrap();
    // The sum reads r1, which lies in the concatenation; its result has another
    // zero point, so a table moves it there.
    assert_eq!(kinds(&compiled), ["Input", "Conv", "Conv", "Map", "Argmax"]);
    let Op::Conv(fused) = &compiled.program.ops[2] else {
        panic!()
    };
    let tensors = &compiled.program.tensors;
    let residual = fused.residual.unwrap();
    assert_eq!(tensors[residual.tensor.0 as usize].pixel_stride, 4);
    assert_eq!(tensors[fused.output.0 as usize].pixel_stride, 2);
}

#[test]
fn logits_of_another_size_are_resampled_as_the_manifest_says() {
    let mut graph = tiny();
    graph.node[3].attribute.push(AttributeProto {
        name: "strides".into(),
        ints: vec![2, 2],
        ..Default::default()
    });
    let compiled = lowered(&graph).unwrap();
    let Some(Op::Argmax { resample, .. }) = compiled.program.ops.last() else {
        panic!()
    };
    assert_eq!(*resample, Resample::Unrounded(Coordinates::AlignCorners));
}

#[test]
fn numbers_that_no_sound_model_has_are_refused() {
    let mut graph = tiny();
    graph.initializer[5] = float("ws", 1e30);
    assert!(matches!(lowered(&graph), Err(Fault::Unsound(_))));
}

#[test]
fn a_picture_that_is_quantized_twice_is_refused() {
    let mut graph = tiny();
    graph
        .node
        .push(node("QuantizeLinear", &["input", "t", "z"], "again"));
    assert!(refusals(&graph)[0].reason.contains("second time"));
}

#[test]
fn an_empty_side_hides_no_long_one() {
    let mut graph = tiny();
    graph.initializer.push(TensorProto {
        name: "empty".into(),
        dims: vec![0, 1 << 40, 1 << 40],
        data_type: 1,
        ..Default::default()
    });
    graph.node.push(node("Flatten", &["empty"], "flat"));
    assert!(matches!(lowered(&graph), Err(Fault::TooLarge { .. })));
}

#[test]
fn a_float_graph_is_not_quantized() {
    let mut graph = tiny();
    assert!(is_quantized(&graph));
    graph.node = vec![node("Relu", &["input"], "logits")];
    assert!(!is_quantized(&graph));
}

#[test]
fn broken_graphs_are_errors_and_no_panics() {
    let breakings: [fn(&mut GraphProto); 14] = [
        |g| g.initializer[4].dims = vec![2, 4, 1, 1],
        |g| g.initializer[4].dims = vec![0, 3, 1, 1],
        |g| g.initializer[4].dims = vec![6],
        |g| g.initializer[0].raw_data = 0f32.to_le_bytes().to_vec(),
        |g| g.initializer[0].raw_data = f32::NAN.to_le_bytes().to_vec(),
        |g| g.initializer[2].data_type = 6,
        |g| g.initializer[6].raw_data = vec![],
        |g| g.node[3].input.truncate(1),
        |g| g.node[3].input.clear(),
        |g| g.node[3].output.clear(),
        |g| g.node[0].input[0] = "s".into(),
        |g| g.node[4].output[0] = "x".into(),
        |g| g.input[0] = value("input", 1, &[1, 3, 9, 9]),
        |g| g.output.clear(),
    ];
    for (i, breaking) in breakings.iter().enumerate() {
        let mut graph = tiny();
        breaking(&mut graph);
        assert!(lowered(&graph).is_err(), "{i}");
    }
    // Any node without inputs, with many, or in another's place.
    for op in [
        "Add",
        "Mul",
        "Concat",
        "Resize",
        "Upsample",
        "Tile",
        "Expand",
        "Transpose",
        "Reshape",
        "ArgMax",
        "Clip",
        "PRelu",
        "AveragePool",
        "MaxPool",
        "GlobalAveragePool",
        "QLinearConv",
        "QLinearAdd",
        "QLinearConcat",
        "QLinearSigmoid",
        "Cast",
        "Constant",
        "QuantizeLinear",
        "DequantizeLinear",
        "QLinearGlobalAveragePool",
        "QLinearAveragePool",
        "QLinearLeakyRelu",
        "QLinearMatMul",
        "QLinearMul",
        "QLinearReduceMean",
        "QLinearSoftmax",
        "QGemm",
        "MatMul",
        "Gemm",
        "Sub",
        "Div",
        "BatchNormalization",
        "Pad",
        "ReduceMean",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Slice",
        "Softmax",
        "Dropout",
        "HardSwish",
    ] {
        for inputs in [
            &[][..],
            &["x"],
            &["x"; 9],
            &["w"; 9],
            &["s"; 9],
            &["q", "s", "z"],
            &["q", "s", "z", "w", "ws", "wz", "t", "y"],
            &["x", "wf"],
            &["x", "w"],
            &["", "x"],
        ] {
            let mut graph = tiny();
            graph.node.insert(3, node(op, inputs, "odd"));
            graph.node.push(node("Relu", &["odd"], "end"));
            let _ = lowered(&graph);
            graph.output[0].name = "odd".into();
            let _ = lowered(&graph);
        }
    }
}

#[test]
fn a_message_names_the_first_five() {
    let refusal = |i| Refusal {
        node: format!("n{i}"),
        op: "Erf".into(),
        reason: "no".into(),
    };
    let text = refusals_text(&(0..7).map(refusal).collect::<Vec<_>>());
    assert!(text.contains("7 nodes") && text.contains("'n4'") && text.ends_with("and 2 more"));
    assert!(!text.contains("'n5'"), "{text}");
}

/// The folder of reference models beside the repository, where there is one.
fn shared_models() -> Option<PathBuf> {
    let path = Path::new("../shared/models");
    if !path.is_dir() {
        println!("skipped: no {}", path.display());
        return None;
    }
    Some(path.to_owned())
}

fn compile_file(path: &Path) -> Result<Compiled, CompileError> {
    let name = path.display().to_string();
    let model = Model::open(&name).unwrap();
    let graph = Graph::parse(&model.onnx, &name).unwrap();
    compile(&graph, &model.manifest, &name)
}

/// How many operations there are of each kind.
fn census(compiled: &Compiled) -> std::collections::BTreeMap<&'static str, usize> {
    let mut census = std::collections::BTreeMap::new();
    for placed in &compiled.report {
        *census.entry(placed.kind).or_insert(0) += 1;
    }
    census
}

#[test]
fn reference_models_compile_whole() {
    let Some(models) = shared_models() else {
        return;
    };
    for (file, convs, side) in [
        ("bench/dlp257_qdq_u8s8.onnx", 66, 257),
        ("bench/dlp257_qdq_s8s8.onnx", 66, 257),
        ("bench/dlp513_qdq_u8s8.onnx", 66, 513),
        ("bench/lite257_qdq_u8s8.onnx", 55, 257),
        ("bench/lite257_qdq_s8s8.onnx", 55, 257),
        ("deeplabv3_mnv2_pascal_qdq.onnx", 55, 513),
        (
            "deeplab_mobilenet_edgetpu_slim_cityscapes_qdq.onnx",
            62,
            513,
        ),
    ] {
        let path = models.join(file);
        if !path.is_file() {
            println!("skipped: no {}", path.display());
            continue;
        }
        let compiled = compile_file(&path).unwrap();
        let census = census(&compiled);
        let program = &compiled.program;
        println!(
            "{file}: {census:?}, arena {} of live {}, constants {}, {} MMAC",
            program.arena_bytes,
            compiled.largest_live_bytes,
            program.constants.len(),
            compiled.report.iter().map(|p| p.macs).sum::<u64>() / 1_000_000
        );
        assert_eq!(census["Conv"], convs, "{file}");
        assert_eq!(census["Argmax"], 1, "{file}");
        assert!(!census.contains_key("Add"), "{file}");
        let expected = Output::Labels {
            width: side,
            height: side,
        };
        assert_eq!(program.output, expected, "{file}");
        let bound = compiled.largest_live_bytes * 13 / 10;
        assert!(program.arena_bytes <= bound, "{file}");
    }
}

#[test]
fn a_partly_float_model_is_refused_by_node() {
    let Some(models) = shared_models() else {
        return;
    };
    let path = models.join("bench/dlp257_qopx_u8s8.onnx");
    if path.is_file() {
        let CompileError::Unsupported { refusals, .. } = compile_file(&path).unwrap_err() else {
            panic!("it is refused for another reason")
        };
        println!("{}", refusals_text(&refusals));
        // Its sums of three tensors are rounded once, not twice.
        assert!(refusals.iter().all(|r| r.op == "Add"), "{refusals:?}");
    }
}
