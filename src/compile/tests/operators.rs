//! What single operators become, and which are refused by name.

use super::*;

/// An attribute of the kind that its value is.
enum Value<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Text(&'a str),
}

use Value::{Float, Int, Ints, Text};

fn with(mut node: NodeProto, attributes: &[(&str, Value)]) -> NodeProto {
    for (name, value) in attributes {
        let mut attribute = AttributeProto {
            name: (*name).into(),
            ..Default::default()
        };
        match value {
            Int(i) => attribute.i = *i,
            Ints(list) => attribute.ints = list.to_vec(),
            Float(f) => attribute.f = *f,
            Text(text) => attribute.s = text.as_bytes().to_vec(),
        }
        node.attribute.push(attribute);
    }
    node
}

fn longs(name: &str, list: &[i64]) -> TensorProto {
    let raw = list.iter().flat_map(|x| x.to_le_bytes()).collect();
    bytes(name, 7, &[list.len() as i64], raw)
}

fn floats(name: &str, dims: &[i64], list: &[f32]) -> TensorProto {
    let raw = list.iter().flat_map(|x| x.to_le_bytes()).collect();
    bytes(name, 1, dims, raw)
}

/// input 4x4 → Q/DQ `x` → the nodes, the last of which makes `y` → Q/DQ → logits, for
/// at most three classes. `wf` is a 1x1 convolution's weights for two channels.
fn graph_of(nodes: Vec<NodeProto>, stored: Vec<TensorProto>) -> GraphProto {
    let mut graph = tiny();
    let tail = [
        node("QuantizeLinear", &["end", "t", "y0"], "yq"),
        node("DequantizeLinear", &["yq", "t", "y0"], "logits"),
    ];
    graph.node.splice(3.., nodes.into_iter().chain(tail));
    graph.initializer.push(byte("y0", 7));
    graph.initializer.extend(stored);
    graph
}

fn three_classes() -> Manifest {
    let mut manifest = manifest();
    let numbered = |i| crate::classes::Class {
        name: format!("c{i}"),
        colour: [0; 3],
    };
    manifest.classes = crate::classes::Classes::new((0..3).map(numbered).collect());
    manifest
}

fn compiled(nodes: Vec<NodeProto>, stored: Vec<TensorProto>) -> Vec<&'static str> {
    kinds(&lower(&graph_of(nodes, stored), &three_classes()).unwrap())
}

/// The one node that is refused, and why.
fn refused(nodes: Vec<NodeProto>, stored: Vec<TensorProto>) -> (String, String) {
    match lower(&graph_of(nodes, stored), &three_classes()) {
        Err(Fault::Unsupported(refusals)) => {
            let [refusal] = refusals.as_slice() else {
                panic!("{refusals:?}")
            };
            (refusal.node.clone(), refusal.reason.clone())
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_refused(nodes: Vec<NodeProto>, stored: Vec<TensorProto>, at: &str, why: &str) {
    let (node, reason) = refused(nodes, stored);
    assert_eq!(node, at, "{reason}");
    assert!(reason.contains(why), "{reason}");
}

fn zeros_around() -> TensorProto {
    longs("pads", &[0, 0, 1, 1, 0, 0, 1, 1])
}

#[test]
fn a_gate_times_its_own_input_is_no_product() {
    let nodes = vec![
        with(
            node("HardSigmoid", &["x"], "gate"),
            &[("alpha", Float(0.5))],
        ),
        node("Mul", &["gate", "x"], "end"),
    ];
    // Below 0 it orders codes the other way round, so the table stays.
    assert_eq!(compiled(nodes, vec![]), ["Input", "Map", "Argmax"]);
}

#[test]
fn arithmetic_with_constants_is_one_table() {
    let nodes = vec![
        node("Add", &["x", "small"], "a"),
        node("Clip", &["a", "zero", "six"], "b"),
        node("Mul", &["x", "b"], "c"),
        node("Div", &["c", "small"], "end"),
    ];
    let stored = vec![float("small", 0.8), float("zero", 0.0), float("six", 6.0)];
    assert_eq!(compiled(nodes, stored), ["Input", "Map", "Argmax"]);
}

#[test]
fn normalization_of_the_picture_is_part_of_its_tables() {
    let mut graph = tiny();
    graph.node[0].input[0] = "scaled".into();
    graph
        .node
        .insert(0, node("Sub", &["input", "mean"], "shifted"));
    graph
        .node
        .insert(1, node("Div", &["shifted", "std"], "scaled"));
    let stored = [
        floats("mean", &[1, 3, 1, 1], &[0.1, 0.2, 0.3]),
        floats("std", &[3, 1, 1], &[0.5, 1.0, 2.0]),
    ];
    graph.initializer.extend(stored);
    assert_eq!(
        kinds(&lowered(&graph).unwrap()),
        ["Input", "Conv", "Argmax"]
    );
}

#[test]
fn factors_and_summands_of_channels_go_into_the_convolution() {
    let nodes = vec![
        node("Conv", &["x", "wf"], "c"),
        node("Mul", &["c", "f"], "d"),
        node("Add", &["d", "f"], "e"),
        node("Relu", &["e"], "end"),
    ];
    let stored = vec![floats("f", &[1, 2, 1, 1], &[-0.5, 2.0])];
    let graph = graph_of(nodes, stored);
    let compiled = lowered(&graph).unwrap();
    assert_eq!(kinds(&compiled), ["Input", "Conv", "Argmax"]);
    let plain = lowered(&tiny()).unwrap();
    let filters = |compiled: &Compiled| {
        let Op::Conv(conv) = &compiled.program.ops[1] else {
            panic!("{:?}", compiled.program.ops)
        };
        let constants = &compiled.program.constants;
        (
            constants.i8s(conv.weights).unwrap().to_vec(),
            constants.f32s(conv.multipliers).unwrap(),
        )
    };
    let ((old, m), (new, n)) = (filters(&plain), filters(&compiled));
    // The sign of the first factor is in the weights.
    assert_eq!(new[..3], [-old[0], -old[1], -old[2]]);
    assert_eq!(new[3..], old[3..]);
    assert_eq!(n, [m[0] * 0.5, m[1] * 2.0]);
}

#[test]
fn a_factor_below_zero_has_no_use_for_the_lowest_weight() {
    let nodes = vec![
        node("Conv", &["x", "wf"], "c"),
        node("Mul", &["c", "f"], "end"),
    ];
    // The second channel has a weight of 0, which is -128 as a signed code.
    let stored = vec![floats("f", &[1, 2, 1, 1], &[0.5, -2.0])];
    assert_refused(nodes, stored, "QuantizeLinear:yq", "-128");
}

#[test]
fn a_slope_for_each_channel_is_a_table_and_a_sum() {
    let nodes = vec![node("PRelu", &["x", "slopes"], "end")];
    let stored = vec![floats("slopes", &[3, 1, 1], &[0.5, -2.0, 0.0])];
    assert_eq!(
        compiled(nodes, stored),
        ["Input", "Map", "Map", "Conv", "Argmax"]
    );
}

#[test]
fn a_border_of_zeros_goes_into_the_window_behind_it() {
    let nodes = vec![
        node("Pad", &["x", "pads"], "p"),
        with(
            node("AveragePool", &["p"], "end"),
            &[("kernel_shape", Ints(&[3, 3]))],
        ),
    ];
    let graph = graph_of(nodes, vec![zeros_around()]);
    let compiled = lower(&graph, &three_classes()).unwrap();
    let Op::AveragePool {
        window,
        count_outside,
        ..
    } = &compiled.program.ops[1]
    else {
        panic!("{:?}", compiled.program.ops)
    };
    assert_eq!((window.pad, *count_outside), ([1, 1], true));
}

#[test]
fn borders_that_are_not_of_zeros_are_refused() {
    let pad = |inputs: &[&str]| node("Pad", inputs, "p");
    let pool = || {
        with(
            node("MaxPool", &["p"], "end"),
            &[("kernel_shape", Ints(&[3, 3]))],
        )
    };
    let value = float("one", 1.0);
    let stored = vec![zeros_around(), value];
    let nodes = vec![pad(&["x", "pads", "one"]), pool()];
    assert_refused(nodes, stored, "Pad:p", "not 0");
    let old = with(
        pad(&["x"]),
        &[
            ("pads", Ints(&[0, 0, 1, 1, 0, 0, 1, 1])),
            ("value", Float(-1.0)),
        ],
    );
    assert_refused(vec![old, pool()], vec![], "Pad:p", "not 0");
    let reflected = with(pad(&["x", "pads"]), &[("mode", Text("reflect"))]);
    let nodes = vec![reflected, pool()];
    assert_refused(nodes, vec![zeros_around()], "Pad:p", "mode reflect");
    let cut = longs("pads", &[0, 0, -1, 0, 0, 0, 0, 0]);
    assert_refused(
        vec![pad(&["x", "pads"]), pool()],
        vec![cut],
        "Pad:p",
        "cuts",
    );
    let batch = longs("pads", &[0, 1, 0, 0, 0, 0, 0, 0]);
    let nodes = vec![pad(&["x", "pads"]), pool()];
    assert_refused(nodes, vec![batch], "Pad:p", "other than rows");
    // Numbers below 0 are smaller than the border.
    let nodes = vec![pad(&["x", "pads"]), pool()];
    assert_refused(nodes, vec![zeros_around()], "MaxPool:end", "the largest");
    let nodes = vec![pad(&["x", "pads"]), node("Sigmoid", &["p"], "end")];
    assert_refused(nodes, vec![zeros_around()], "Sigmoid:end", "border");
    let wide = longs("pads", &[0, 0, 1025, 0, 0, 0, 0, 0]);
    let nodes = vec![pad(&["x", "pads"]), node("Conv", &["p", "wf"], "end")];
    assert_refused(nodes, vec![wide], "Conv:end", "with a border of");
}

#[test]
fn sums_that_would_be_rounded_twice_are_refused() {
    let nodes = vec![
        node("Conv", &["x", "wf"], "c"),
        node("QuantizeLinear", &["c", "t", "z"], "cq"),
        node("DequantizeLinear", &["cq", "t", "z"], "d"),
        node("Sigmoid", &["d"], "e"),
        node("QuantizeLinear", &["e", "t", "z"], "eq"),
        node("DequantizeLinear", &["eq", "t", "z"], "f"),
        node("Add", &["d", "f"], "sum"),
        node("Add", &["sum", "d"], "end"),
    ];
    assert_refused(nodes, vec![], "Add:end", "'Add:sum'");
}

#[test]
fn what_has_no_integer_form_is_refused_by_name() {
    let conv = || node("Conv", &["x", "wf"], "c");
    let one = |node| vec![node];
    type Case = (Vec<NodeProto>, Vec<TensorProto>, &'static str, &'static str);
    let cases: Vec<Case> = vec![
        (
            vec![conv(), node("LeakyRelu", &["c"], "end")],
            vec![],
            "LeakyRelu:end",
            "without a QuantizeLinear",
        ),
        (
            vec![
                conv(),
                node("Relu", &["c"], "r"),
                node("Mul", &["r", "f"], "end"),
            ],
            vec![floats("f", &[2, 1, 1], &[1.0, 2.0])],
            "Mul:end",
            "before that is quantized",
        ),
        (
            one(node("Add", &["x", "f"], "end")),
            vec![floats("f", &[1, 1, 4, 4], &[1.5; 16])],
            "Add:end",
            "one for each channel",
        ),
        (
            one(node("Mul", &["x", "f"], "end")),
            vec![floats("f", &[], &[f32::INFINITY])],
            "Mul:end",
            "not finite",
        ),
        (
            one(node("Div", &["x", "f"], "end")),
            vec![floats("f", &[3, 1, 1], &[1.0, 0.0, 2.0])],
            "Div:end",
            "by 0",
        ),
        (
            one(with(
                node("ReduceMean", &["x"], "end"),
                &[("axes", Ints(&[1, 2]))],
            )),
            vec![],
            "ReduceMean:end",
            "rows and columns",
        ),
        (
            one(with(node("Softmax", &["x"], "end"), &[("axis", Int(3))])),
            vec![],
            "Softmax:end",
            "over the channels",
        ),
        (
            vec![
                with(node("Softmax", &["x"], "soft"), &[("axis", Int(1))]),
                node("Relu", &["soft"], "end"),
            ],
            vec![],
            "Relu:end",
            "Softmax",
        ),
        (
            one(with(
                node("AveragePool", &["x"], "end"),
                &[
                    ("kernel_shape", Ints(&[3, 3])),
                    ("strides", Ints(&[2, 2])),
                    ("ceil_mode", Int(1)),
                    ("count_include_pad", Int(1)),
                ],
            )),
            vec![],
            "AveragePool:end",
            "beyond the border",
        ),
        (
            one(with(
                node("Resize", &["x", "", "", "sizes"], "end"),
                &[("coordinate_transformation_mode", Text("pytorch_half_pixel"))],
            )),
            vec![longs("sizes", &[1, 3, 4, 1])],
            "Resize:end",
            "a side of 1",
        ),
        (
            vec![
                node("GlobalAveragePool", &["x"], "p"),
                node("QuantizeLinear", &["p", "t", "z"], "pq"),
                node("DequantizeLinear", &["pq", "t", "z"], "pd"),
                node("Flatten", &["pd"], "g"),
                with(node("Gemm", &["g", "f"], "end"), &[("alpha", Float(2.0))]),
            ],
            vec![floats("f", &[3, 3], &[1.0; 9])],
            "Gemm:end",
            "alpha",
        ),
        (
            vec![
                with(
                    node("Transpose", &["x"], "n"),
                    &[("perm", Ints(&[0, 2, 3, 1]))],
                ),
                node("MatMul", &["n", "f"], "end"),
            ],
            vec![floats("f", &[3, 3], &[1.0; 9])],
            "MatMul:end",
            "not quantized constants",
        ),
        (
            one(node("MatMul", &["x", "m"], "end")),
            vec![bytes("m", 2, &[4, 4], vec![1; 16])],
            "MatMul:end",
            "last axis",
        ),
        (
            one(node(
                "BatchNormalization",
                &["x", "f", "f", "f", "f"],
                "end",
            )),
            vec![floats("f", &[3], &[-1.0; 3])],
            "BatchNormalization:end",
            "not finite",
        ),
        (
            one(node("Slice", &["x", "ones", "twos", "axes"], "end")),
            vec![
                longs("ones", &[1, 1]),
                longs("twos", &[2, 2]),
                longs("axes", &[1, 2]),
            ],
            "Slice:end",
            "make two of it",
        ),
        (
            one(node("ConvTranspose", &["x", "f"], "end")),
            vec![floats("f", &[3, 2, 2, 2], &[0.5; 24])],
            "ConvTranspose:end",
            "not quantized constants",
        ),
        (
            one(with(
                node("DepthToSpace", &["x"], "end"),
                &[("blocksize", Int(1)), ("mode", Text("CRD"))],
            )),
            vec![],
            "DepthToSpace:end",
            "CRD",
        ),
        (
            one(node("Max", &["x", "f"], "end")),
            vec![floats("f", &[1, 3, 4, 4], &[0.5; 48])],
            "Max:end",
            "constant",
        ),
        (
            one(node("Slice", &["x", "two", "one", "one"], "end")),
            vec![longs("one", &[1]), longs("two", &[2])],
            "Slice:end",
            "nothing is left",
        ),
        (
            vec![
                node("Relu", &["x"], "r"),
                with(
                    node("QuantizeLinear", &["r", "t"], "rq"),
                    &[("output_dtype", Int(3))],
                ),
                node("DequantizeLinear", &["rq", "t"], "end"),
            ],
            vec![],
            "QuantizeLinear:rq",
            "zero point",
        ),
        (
            one(node("Dropout", &["x", "", "f"], "end")),
            vec![float("f", 1.0)],
            "Dropout:end",
            "training_mode",
        ),
    ];
    for (nodes, stored, at, why) in cases {
        assert_refused(nodes, stored, at, why);
    }
}

#[test]
fn softmax_that_must_still_be_resampled_is_refused() {
    let mut graph = tiny();
    let strides = [("strides", Ints(&[2, 2]))];
    graph.node[3] = with(graph.node[3].clone(), &strides);
    let softmax = with(node("Softmax", &["last"], "logits"), &[("axis", Int(1))]);
    graph.node[6].output[0] = "last".into();
    graph.node.push(softmax);
    let refusals = refusals(&graph);
    assert!(
        refusals[0].reason.contains("probabilities of 2x2"),
        "{refusals:?}"
    );
}
