use tract_onnx::pb::tensor_shape_proto::Dimension;
use tract_onnx::pb::{AttributeProto, ModelProto, TensorShapeProto, TypeProto, type_proto};

use super::super::{Ending, compile, compile_to};
use super::*;
use crate::program::Program;

fn tensor(name: &str, data_type: i32, dims: &[i64], raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type,
        raw_data,
        ..Default::default()
    }
}

fn float(name: &str, values: &[f32]) -> TensorProto {
    let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let dims: &[i64] = if values.len() == 1 {
        &[]
    } else {
        &[values.len() as i64]
    };
    tensor(name, 1, dims, raw)
}

fn ints(name: &str, values: &[i64]) -> TensorProto {
    let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, INT64, &[values.len() as i64], raw)
}

fn node(op: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[i64])]) -> NodeProto {
    NodeProto {
        name: format!("the {op} of {output}"),
        op_type: op.into(),
        input: inputs.iter().map(|&i| i.into()).collect(),
        output: vec![output.into()],
        attribute: attributes
            .iter()
            .map(|(name, ints)| AttributeProto {
                name: (*name).into(),
                ints: ints.to_vec(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn text(mut node: NodeProto, name: &str, value: &str) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: name.into(),
        s: value.into(),
        ..Default::default()
    });
    node
}

fn value(name: &str, sides: [Option<i64>; 4]) -> ValueInfoProto {
    let dim = |side: Option<i64>| Dimension {
        value: Some(side.map_or(Dim::DimParam("side".into()), Dim::DimValue)),
        ..Default::default()
    };
    let shape = TensorShapeProto {
        dim: sides.into_iter().map(dim).collect(),
    };
    let tensor = type_proto::Tensor {
        elem_type: 1,
        shape: Some(shape),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(TypeValue::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// How the graph says what it means.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// `Global`, or a pool with a kernel as large as the picture.
    is_global: bool,
    /// The operator that spreads the pooled pixel: Resize, Tile or Expand.
    spread: &'static str,
    /// Scales where sizes could stand.
    by_scales: bool,
    /// Sides of the input left open.
    is_open: bool,
}

const PLAIN: Form = Form {
    is_global: true,
    spread: "Resize",
    by_scales: false,
    is_open: false,
};

/// A DeepLab in little, for pictures of `w` by `h`: a strided convolution, its image
/// pooling beside it, both joined, scores, and a resize to the input's size.
fn graph(form: Form, (w, h): (i64, i64)) -> GraphProto {
    let (fw, fh) = ((w + 1) / 2, (h + 1) / 2);
    let qdq = |from: &str, to: &str| {
        let codes = format!("{to}_codes");
        [
            node("QuantizeLinear", &[from, "s", "z"], &codes, &[]),
            node("DequantizeLinear", &[&codes, "s", "z"], to, &[]),
        ]
    };
    let mut nodes = Vec::new();
    nodes.extend(qdq("input", "x"));
    nodes.push(node("DequantizeLinear", &["w1", "s", "wz"], "w1f", &[]));
    nodes.push(node("DequantizeLinear", &["w2", "s", "wz"], "w2f", &[]));
    let window: [(&str, &[i64]); 2] = [("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])];
    nodes.push(node("Conv", &["x", "w1f"], "c", &window));
    nodes.extend(qdq("c", "stem"));
    nodes.push(if form.is_global {
        node("GlobalAveragePool", &["stem"], "p", &[])
    } else {
        let kernel: &[i64] = &[fh, fw];
        node("AveragePool", &["stem"], "p", &[("kernel_shape", kernel)])
    });
    nodes.extend(qdq("p", "pooled"));
    let resize = |from: &str, scales: &str, sizes: &str, to: &str| {
        let inputs: &[&str] = if form.by_scales {
            &[from, "", scales]
        } else {
            &[from, "", "", sizes]
        };
        let node = text(node("Resize", inputs, to, &[]), "mode", "linear");
        text(node, "coordinate_transformation_mode", "align_corners")
    };
    nodes.push(match form.spread {
        "Resize" => resize("pooled", "wide_scales", "wide", "spread"),
        "Tile" => node("Tile", &["pooled", "times"], "spread", &[]),
        "Expand" => node("Expand", &["pooled", "wide"], "spread", &[]),
        other => node(other, &["pooled"], "spread", &[]),
    });
    let mut concat = node("Concat", &["stem", "spread"], "joined", &[]);
    concat.attribute.push(AttributeProto {
        name: "axis".into(),
        i: 1,
        ..Default::default()
    });
    nodes.push(concat);
    nodes.extend(qdq("joined", "j"));
    nodes.push(node("Conv", &["j", "w2f"], "d", &[]));
    nodes.extend(qdq("d", "scores"));
    nodes.push(resize("scores", "last_scales", "last", "logits"));
    let (sw, sh) = (w as f32 / fw as f32, h as f32 / fh as f32);
    let open = |side: i64| (!form.is_open).then_some(side);
    GraphProto {
        input: vec![value("input", [Some(1), Some(3), open(h), open(w)])],
        output: vec![value("logits", [Some(1), Some(2), open(h), open(w)])],
        initializer: vec![
            float("s", &[0.02]),
            tensor("z", 2, &[], vec![120]),
            tensor("wz", 3, &[], vec![0]),
            tensor(
                "w1",
                3,
                &[4, 3, 3, 3],
                (0..108u8).map(|i| i.wrapping_mul(37)).collect(),
            ),
            tensor(
                "w2",
                3,
                &[2, 8, 1, 1],
                (0..16u8).map(|i| i.wrapping_mul(31)).collect(),
            ),
            ints("wide", &[1, 4, fh, fw]),
            ints("times", &[1, 1, fh, fw]),
            float("wide_scales", &[1.0, 1.0, fh as f32, fw as f32]),
            ints("last", &[1, 2, h, w]),
            float("last_scales", &[1.0, 1.0, sh, sw]),
        ],
        node: nodes,
        ..Default::default()
    }
}

fn manifest((width, height): (u32, u32)) -> Manifest {
    let text = format!(
        "format = 1\nname = \"tiny\"\nfile = \"tiny.onnx\"\nsha256 = \"{}\"\nlicence = \"MIT\"\n\
         [input]\nwidth = {width}\nheight = {height}\nlayout = \"nchw\"\ndtype = \"f32\"\n\
         [output]\nkind = \"logits\"\n\
         [[class]]\nname = \"floor\"\ncolour = [1, 2, 3]\n\
         [[class]]\nname = \"wall\"\ncolour = [4, 5, 6]\n",
        "0".repeat(64)
    );
    Manifest::parse(&text, "m.toml").unwrap()
}

fn checked(graph: GraphProto) -> Graph {
    let proto = ModelProto {
        graph: Some(graph),
        ..Default::default()
    };
    Graph::checked(proto, "tiny").unwrap()
}

const OLD: (u32, u32) = (17, 9);

fn resized(graph: GraphProto, size: (u32, u32)) -> Result<(Graph, Manifest), CompileError> {
    at_input_size(&checked(graph), &manifest(OLD), size, "tiny")
}

fn exported(form: Form, (w, h): (u32, u32)) -> Program {
    let graph = checked(graph(form, (w.into(), h.into())));
    compile(&graph, &manifest((w, h)), "tiny").unwrap().program
}

fn old(form: Form) -> GraphProto {
    graph(form, (OLD.0.into(), OLD.1.into()))
}

#[test]
fn a_graph_at_another_size_is_the_one_exported_for_it() {
    for is_global in [true, false] {
        for spread in ["Resize", "Tile", "Expand"] {
            for (by_scales, is_open) in [(false, false), (false, true), (true, false)] {
                let form = Form {
                    is_global,
                    spread,
                    by_scales,
                    is_open,
                };
                for size in [(33, 17), (17, 33), (9, 9), (21, 11), (16, 30)] {
                    let (graph, manifest) = resized(old(form), size).unwrap();
                    assert_eq!((manifest.input.width, manifest.input.height), size);
                    for ending in [Ending::Labels, Ending::Logits] {
                        let compiled = compile_to(&graph, &manifest, ending, "tiny").unwrap();
                        // Scales become sizes, which say the same.
                        let form = Form {
                            by_scales: false,
                            ..form
                        };
                        let (w, h) = (size.0.into(), size.1.into());
                        let direct = checked(super::tests::graph(form, (w, h)));
                        let direct = compile_to(&direct, &manifest, ending, "tiny").unwrap();
                        assert_eq!(compiled, direct, "{form:?} {size:?} {ending:?}");
                    }
                }
            }
        }
    }
    assert_ne!(exported(PLAIN, (33, 17)), exported(PLAIN, OLD));
}

#[test]
fn its_own_size_changes_nothing() {
    let graph = checked(old(PLAIN));
    let (same, manifest) = at_input_size(&graph, &manifest(OLD), OLD, "tiny").unwrap();
    assert_eq!(same.proto(), graph.proto());
    assert_eq!((manifest.input.width, manifest.input.height), OLD);
}

/// The nodes that a change of the graph makes refuse, with their reasons.
fn refused(change: impl FnOnce(&mut GraphProto)) -> Vec<(String, String)> {
    let mut graph = old(PLAIN);
    change(&mut graph);
    match resized(graph, (33, 17)) {
        Err(CompileError::Bound { refusals, .. }) => {
            refusals.into_iter().map(|r| (r.node, r.reason)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn position(graph: &GraphProto, output: &str) -> usize {
    let is_it = |node: &NodeProto| node.output[0] == output;
    graph.node.iter().position(is_it).unwrap()
}

fn set(graph: &mut GraphProto, tensor: TensorProto) {
    let old = graph.initializer.iter_mut().find(|t| t.name == tensor.name);
    *old.unwrap() = tensor;
}

#[test]
fn what_cannot_follow_is_named() {
    // No tensor is 5 by 6.
    let named = refused(|g| set(g, ints("last", &[1, 2, 5, 6])));
    assert_eq!(named.len(), 1);
    assert!(named[0].0.contains("the Resize of logits"), "{named:?}");
    assert!(named[0].1.contains("no tensor of that size"), "{named:?}");

    // A window over the whole picture that does more than pool.
    let named = refused(|g| {
        let at = position(g, "c");
        set(g, tensor("w1", 3, &[4, 3, 9, 17], vec![1; 4 * 3 * 9 * 17]));
        g.node[at].attribute.clear();
        // Only the refusals before this matter.
        let at = position(g, "p");
        g.node.truncate(at);
        g.output[0].name = "stem".into();
    });
    assert!(named[0].1.contains("weights span the whole"), "{named:?}");

    // A pool that leaves one pixel only at the old size.
    let named = refused(|g| {
        let at = position(g, "p");
        let window: [(&str, &[i64]); 2] = [("kernel_shape", &[4, 8]), ("strides", &[5, 9])];
        g.node[at] = node("AveragePool", &["stem"], "p", &window);
    });
    assert!(named[0].1.contains("only at the old size"), "{named:?}");

    // An operator that is not known to follow.
    let named = refused(|g| {
        let at = position(g, "spread");
        g.node[at] = node("Mystery", &["pooled"], "spread", &[]);
    });
    assert!(named[0].0.contains("Mystery"), "{named:?}");

    // Scales that belong to the old size, of an operator without sizes.
    let named = refused(|g| {
        let at = position(g, "logits");
        g.node[at] = text(
            node("Upsample", &["scores", "last_scales"], "logits", &[]),
            "mode",
            "nearest",
        );
        set(g, float("last_scales", &[1.0, 1.0, 2.4, 2.0]));
        g.output[0].name = "logits".into();
    });
    assert!(named[0].0.contains("Upsample"), "{named:?}");
}

#[test]
fn tensors_of_one_size_that_part_ways_are_refused() {
    // A second branch without padding: 9x5 both at 17x9 and, by strides and pads of
    // its own, at another size than the stem's elsewhere.
    let named = refused(|g| {
        let at = position(g, "p");
        let window: [(&str, &[i64]); 3] = [
            ("strides", &[1, 1]),
            ("pads", &[0, 0, 0, 0]),
            ("dilations", &[2, 4]),
        ];
        // From 17x9: 17 - 8 = 9 columns and 9 - 4 = 5 rows.
        g.node
            .insert(at, node("Conv", &["x", "w1f"], "other", &window));
    });
    assert!(named[0].1.contains("part ways"), "{named:?}");
}

#[test]
fn scores_that_would_no_longer_be_of_the_input_s_size_are_refused() {
    let mut graph = old(PLAIN);
    let at = position(&graph, "logits");
    // Twice as many cells at any size: 18x10 fits no input of 17x9, but 34x18 does.
    graph.node[at].input = ["scores", "", "double"].map(String::from).to_vec();
    graph
        .initializer
        .push(float("double", &[1.0, 1.0, 2.0, 2.0]));
    let even = |mut graph: GraphProto, size: (u32, u32)| {
        let (w, h) = (size.0.into(), size.1.into());
        graph.input[0] = value("input", [Some(1), Some(3), Some(h), Some(w)]);
        graph
    };
    for tensor in [ints("wide", &[1, 4, 4, 8]), ints("times", &[1, 1, 4, 8])] {
        set(&mut graph, tensor);
    }
    let graph = checked(even(graph, (16, 8)));
    let from = manifest((16, 8));
    let (same, _) = at_input_size(&graph, &from, (32, 20), "tiny").unwrap();
    compile(&same, &manifest((32, 20)), "tiny").unwrap();
    let error = at_input_size(&graph, &from, (33, 20), "tiny").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("'logits'") && text.contains("34x20"),
        "{text}"
    );
}

#[test]
fn sizes_out_of_bounds_are_refused() {
    for size in [(0, 9), (9, 0), (1 << 20, 9), (16_384, 16_384)] {
        assert!(resized(old(PLAIN), size).is_err(), "{size:?}");
    }
}

#[test]
fn a_tensor_in_the_other_axis_order_tells_too() {
    // A tile of rows and columns, and a tensor whose last two axes moved.
    assert_eq!(twins(&[1, 2], &[2, 3]), [[1, 2], [2, 3]]);
    assert_eq!(twins(&[2, 3], &[1, 2]), [[2, 3], [1, 2]]);
    assert_eq!(twins(&[3], &[1, 2]), [[3], [2]]);
    // In the same order, in none, or not known.
    assert_eq!(twins(&[2, 3], &[2, 3]), [[2, 3]]);
    assert_eq!(twins(&[1, 2, 3], &[2, 3]), [[1, 2, 3]]);
    assert_eq!(twins(&[2, 3], &[]), [[2, 3]]);
}
