//! Whole graphs taken apart.

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

use super::super::tests::{bytes, float, manifest, node, tiny, value};
use super::*;
use crate::program::{Op, Output};

/// Made of nodes that read the picture's dequantized codes `x`, and make `logits`, the
/// graph's output.
fn graph(nodes: Vec<NodeProto>) -> GraphProto {
    let mut graph = tiny();
    graph.node.truncate(3);
    graph.node.extend(nodes);
    graph.output = vec![value("logits", 1, &[1, 2, 4, 4])];
    // A second convolution, of two channels.
    graph
        .initializer
        .push(bytes("v", 2, &[2, 2, 1, 1], vec![128, 129, 130, 0]));
    graph
        .node
        .push(node("DequantizeLinear", &["v", "ws", "wz"], "vf"));
    graph.node.rotate_right(1);
    graph
}

/// Quantizes and dequantizes `from`.
fn codes(from: &str, to: &str) -> [NodeProto; 2] {
    let codes = format!("{to}_codes");
    [
        node("QuantizeLinear", &[from, "t", "y"], &codes),
        node("DequantizeLinear", &[&codes, "t", "y"], to),
    ]
}

fn parts(graph: GraphProto, shapes: &[&str]) -> Mixed {
    let shapes = shapes
        .iter()
        .map(|&name| (name.to_owned(), vec![1, 2, 4, 4]))
        .collect();
    let mixed = take_apart(&graph, &manifest(), || shapes).unwrap();
    for region in &mixed.regions {
        region.region.check().unwrap();
        assert_eq!(region.inputs.len(), region.region.inputs.len());
        assert_eq!(region.outputs.len(), region.region.outputs.len());
    }
    mixed
}

fn names(ports: &[Port]) -> Vec<&str> {
    ports.iter().map(|port| port.name.as_str()).collect()
}

fn others(mixed: &Mixed) -> Vec<&str> {
    mixed
        .others
        .iter()
        .map(|other| other.node.as_str())
        .collect()
}

/// Convolution → codes → `middle`, which makes `m` of `a` → codes → convolution → codes.
fn around(middle: NodeProto) -> GraphProto {
    let mut nodes = vec![node("Conv", &["x", "wf"], "c")];
    nodes.extend(codes("c", "a"));
    nodes.push(middle);
    nodes.extend(codes("m", "b"));
    nodes.push(node("Conv", &["b", "vf"], "d"));
    nodes.extend(codes("d", "logits"));
    graph(nodes)
}

#[test]
fn a_whole_graph_is_one_region() {
    let mixed = parts(tiny(), &[]);
    let [region] = mixed.regions.as_slice() else {
        panic!("{mixed:?}")
    };
    assert_eq!(mixed.others, []);
    assert_eq!(names(&region.inputs), ["input"]);
    assert_eq!(region.inputs[0].element, Element::F32);
    // Rows, columns and channels of planes.
    assert_eq!(region.inputs[0].steps, [4, 1, 16]);
    assert!(region.gives_mask && region.outputs.is_empty());
    let body = &region.region.body;
    assert!(matches!(
        body.ops.as_slice(),
        [Op::Conv(_), Op::Argmax { .. }]
    ));
    assert_eq!((mixed.macs, mixed.integer_macs()), (96, 96));
    assert!(mixed.is_worth_it());
}

#[test]
fn an_unknown_operator_parts_a_graph_in_two() {
    let mixed = parts(around(node("Exp", &["a"], "m")), &["m"]);
    let [first, second] = mixed.regions.as_slice() else {
        panic!("{mixed:?}")
    };
    assert_eq!(
        (names(&first.inputs), names(&first.outputs)),
        (vec!["input"], vec!["a"])
    );
    assert_eq!(
        (names(&second.inputs), names(&second.outputs)),
        (vec!["m"], vec![])
    );
    assert_eq!([first.gives_mask, second.gives_mask], [false, true]);
    assert_eq!(first.region.body.output, Output::Codes);
    assert_eq!(
        [&first.neighbours, &second.neighbours],
        [&["Exp:m"], &["Exp:m"]]
    );
    assert_eq!(others(&mixed), ["Exp:m"]);
    assert_eq!([first.macs, second.macs], [96, 64]);
}

#[test]
fn behind_a_result_of_unknown_shape_there_is_no_region() {
    let mixed = parts(around(node("Exp", &["a"], "m")), &[]);
    assert_eq!(mixed.regions.len(), 1);
    assert_eq!(names(&mixed.regions[0].outputs), ["a"]);
    assert_eq!(mixed.integer_macs(), 96);
}

#[test]
fn a_result_that_is_read_before_it_is_quantized_is_not_integer() {
    // The convolution's own result goes to Exp.
    let mut graph = around(node("Exp", &["c"], "m"));
    graph
        .node
        .retain(|node| node.output[0] != "a" && node.output[0] != "a_codes");
    let mixed = parts(graph, &["m"]);
    assert_eq!(
        others(&mixed),
        ["QuantizeLinear:q", "DequantizeLinear:x", "Conv:c", "Exp:m"]
    );
    assert!(
        mixed.others[2].reason.contains("'Exp:m'"),
        "{:?}",
        mixed.others
    );
    assert_eq!(names(&mixed.regions[0].inputs), ["m"]);
    // 64 of 160 multiplications.
    assert!(!mixed.is_worth_it());
}

#[test]
fn sums_of_three_are_cut_out() {
    let mut nodes = vec![node("Conv", &["x", "wf"], "c")];
    nodes.extend(codes("c", "a"));
    nodes.push(node("Conv", &["a", "vf"], "d"));
    nodes.extend(codes("d", "b"));
    // The first sum is quantized, and goes on unquantized too.
    nodes.push(node("Add", &["a", "b"], "s1"));
    nodes.extend(codes("s1", "e"));
    nodes.push(node("Conv", &["e", "vf"], "f"));
    nodes.extend(codes("f", "g"));
    nodes.push(node("Add", &["s1", "g"], "s2"));
    nodes.extend(codes("s2", "logits"));
    let mixed = parts(graph(nodes), &[]);
    let [first, second] = mixed.regions.as_slice() else {
        panic!("{mixed:?}")
    };
    assert_eq!(names(&first.outputs), ["a", "b"]);
    assert_eq!(
        (names(&second.inputs), names(&second.outputs)),
        (vec!["s1"], vec!["g"])
    );
    // The last quantization alone is no program.
    let left = [
        "Add:s1",
        "Add:s2",
        "QuantizeLinear:logits_codes",
        "DequantizeLinear:logits",
    ];
    assert_eq!(others(&mixed), left);
    assert!(
        mixed.others[3].reason.contains("worth"),
        "{:?}",
        mixed.others
    );
}

#[test]
fn a_diamond_with_a_float_branch_comes_back_to_another_region() {
    let mut nodes = vec![node("Conv", &["x", "wf"], "c")];
    nodes.extend(codes("c", "a"));
    nodes.push(node("Exp", &["a"], "e"));
    nodes.extend(codes("e", "m"));
    nodes.push(node("Add", &["a", "m"], "sum"));
    nodes.extend(codes("sum", "b"));
    nodes.push(node("Conv", &["b", "vf"], "d"));
    nodes.extend(codes("d", "logits"));
    let mixed = parts(graph(nodes), &["e"]);
    let [first, second] = mixed.regions.as_slice() else {
        panic!("{mixed:?}")
    };
    assert_eq!(names(&first.outputs), ["a"]);
    assert_eq!(names(&second.inputs), ["a", "e"]);
    assert_eq!(others(&mixed), ["Exp:e"]);
}

#[test]
fn codes_that_another_node_reads_leave_as_codes() {
    let mut nodes = vec![node("Conv", &["x", "wf"], "c")];
    nodes.push(node("QuantizeLinear", &["c", "t", "y"], "a"));
    // An operator that is not known here, on codes.
    nodes.push(node("Round", &["a"], "logits"));
    for (signed, element) in [(false, Element::U8), (true, Element::I8)] {
        let mut graph = graph(nodes.clone());
        if signed {
            graph.initializer.push(bytes("i", 3, &[], vec![7]));
            let quantize = graph.node.iter_mut().find(|n| n.output[0] == "a").unwrap();
            quantize.input[2] = "i".into();
        }
        let mixed = parts(graph, &[]);
        let [output] = mixed.regions[0].outputs.as_slice() else {
            panic!("{mixed:?}")
        };
        assert_eq!((output.name.as_str(), output.element), ("a", element));
        assert_eq!(output.quant.zero_point, if signed { 135 } else { 7 });
    }
}

#[test]
fn a_graph_without_integer_work_has_no_region() {
    let nodes = vec![
        node("Conv", &["x", "wf"], "c"),
        node("Exp", &["c"], "logits"),
    ];
    let mixed = parts(graph(nodes), &[]);
    assert_eq!(mixed.regions, []);
    assert!(!mixed.is_worth_it());
    assert_eq!(others(&mixed).last(), Some(&"Exp:logits"));
}

#[test]
fn what_a_subgraph_reads_is_an_output() {
    let mut nodes = vec![node("Conv", &["x", "wf"], "c")];
    nodes.extend(codes("c", "a"));
    let mut branch = node("If", &["s"], "logits");
    branch.attribute.push(tract_onnx::pb::AttributeProto {
        name: "then_branch".into(),
        g: Some(GraphProto {
            node: vec![node("Exp", &["a"], "inner")],
            output: vec![ValueInfoProto {
                name: "inner".into(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    });
    nodes.push(branch);
    let mixed = parts(graph(nodes), &[]);
    assert_eq!(names(&mixed.regions[0].outputs), ["a"]);
}

#[test]
fn what_the_output_does_not_depend_on_is_left_out() {
    let mut graph = tiny();
    let mut dead = vec![node("Conv", &["x", "wf"], "c2")];
    dead.extend(codes("c2", "a"));
    dead.push(node("Exp", &["a"], "dead"));
    graph.node.extend(dead);
    let mixed = parts(graph, &[]);
    assert_eq!(
        (mixed.regions.len(), mixed.others.len(), mixed.macs),
        (1, 0, 96)
    );
    assert_eq!(mixed.regions[0].outputs, []);
}

#[test]
fn second_results_keep_a_node_out() {
    let mut nodes = vec![node("Conv", &["x", "wf"], "c")];
    nodes.extend(codes("c", "a"));
    let mut pool = node("MaxPool", &["a"], "p");
    pool.output.push("indices".into());
    pool.attribute.push(tract_onnx::pb::AttributeProto {
        name: "kernel_shape".into(),
        ints: vec![1, 1],
        ..Default::default()
    });
    nodes.push(pool);
    nodes.push(node("Conv", &["p", "vf"], "d"));
    nodes.extend(codes("d", "logits"));
    let mixed = parts(graph(nodes), &[]);
    assert!(others(&mixed).contains(&"MaxPool:p"), "{:?}", mixed.others);
    assert_eq!(names(&mixed.regions[0].outputs), ["a"]);
}

#[test]
fn a_long_graph_of_many_parts_takes_no_long_time() {
    let mut nodes = vec![node("Conv", &["x", "wf"], "c")];
    nodes.extend(codes("c", "a0"));
    let mut shapes = Vec::new();
    for i in 0..300 {
        let [from, exp, conv, to] = [
            format!("a{i}"),
            format!("e{i}"),
            format!("c{i}"),
            format!("a{}", i + 1),
        ];
        nodes.push(node("Exp", &[&from], &exp));
        let quantized = format!("q{i}");
        nodes.extend(codes(&exp, &quantized));
        nodes.push(node("Conv", &[&quantized, "vf"], &conv));
        nodes.extend(codes(&conv, &to));
        shapes.push(exp);
    }
    nodes.push(node("Exp", &["a300"], "logits"));
    let shapes: Vec<&str> = shapes.iter().map(String::as_str).collect();
    let mixed = parts(graph(nodes), &shapes);
    assert_eq!(mixed.regions.len(), 301);
}

#[test]
fn a_scale_that_no_program_can_have_is_an_error() {
    let mut graph = around(node("Exp", &["a"], "m"));
    let scale = graph
        .initializer
        .iter_mut()
        .find(|t: &&mut TensorProto| t.name == "t");
    *scale.unwrap() = float("t", 1e-38);

    let shapes = || Shapes::from([("m".to_owned(), vec![1, 2, 4, 4])]);
    let error = take_apart(&graph, &manifest(), shapes);
    assert!(matches!(error, Err(Fault::Unsound(_))), "{error:?}");
}
