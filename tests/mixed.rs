//! Graphs of which only some nodes have an integer form: what the operators of the
//! mixed graph make is what each node means.

use std::path::Path;

use atrous::compile::compile;
use atrous::compile::region::{Mixed, compile_regions};
use atrous::engine::mixed::{self, MixedSegmenter};
use atrous::engine::program::{Options, ProgramSegmenter};
use atrous::engine::tract::TractSegmenter;
use atrous::engine::{EngineError, Segmenter};
use atrous::logits::Logits;
use atrous::mask::Mask;
use atrous::model::artifact::golden;
use atrous::model::graph::Element;
use atrous::model::{Graph, Manifest, Model, sha256_hex};
use prost::Message;
use safetensors::SafeTensors;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};

mod command;
mod onnx;

use onnx::{floats, node, tensor, value};

/// Models for development that are not part of the repository; cargo runs tests in
/// the package's folder.
const SHARED: &str = "../shared/models";

const WIDTH: usize = 11;
const HEIGHT: usize = 6;
const INPUT_SCALE: f32 = 1.0 / 127.0;
const INPUT_ZERO: i32 = 128;
/// Of the first convolution's codes.
const A_SCALE: f32 = 0.011;
const A_ZERO: i32 = 120;
/// Of the codes of its exponential.
const E_SCALE: f32 = 0.02;
const E_ZERO: i32 = 3;
/// Of the second convolution's codes.
const B_SCALE: f32 = 0.013;
const B_ZERO: i32 = 90;
const WEIGHT_SCALE: f32 = 0.01;
/// Two outputs of three channels, and two of two.
const FIRST: [i8; 6] = [70, -30, 12, -50, 90, 25];
const SECOND: [i8; 4] = [40, -60, 75, -95];

fn quantization(name: &str, scale: f32, zero: i32) -> [TensorProto; 2] {
    [
        floats(&format!("{name}s"), &[scale]),
        tensor(&format!("{name}z"), &[], 2, vec![zero as u8]),
    ]
}

/// `from` as codes, `q` and its name, and those as real numbers, `r` and its name.
fn codes(from: &str, name: &str) -> [NodeProto; 2] {
    let (scale, zero) = (format!("{name}s"), format!("{name}z"));
    let (codes, real) = (format!("q{name}"), format!("r{name}"));
    [
        node("QuantizeLinear", &[from, &scale, &zero], &codes),
        node("DequantizeLinear", &[&codes, &scale, &zero], &real),
    ]
}

/// The picture's codes → convolution → codes `a` → Exp → codes `e` → convolution →
/// codes `b`. The graph ends in `output`, which `tail` makes.
fn exponential(tail: Vec<NodeProto>, output: &str) -> Vec<u8> {
    let bytes = |list: &[i8]| list.iter().map(|&code| code as u8).collect();
    let mut initializer = vec![
        tensor("v", &[2, 3, 1, 1], 3, bytes(&FIRST)),
        tensor("w", &[2, 2, 1, 1], 3, bytes(&SECOND)),
        tensor("ws", &[], 1, WEIGHT_SCALE.to_le_bytes().to_vec()),
        tensor("wz", &[], 3, vec![0]),
    ];
    initializer.extend(quantization("x", INPUT_SCALE, INPUT_ZERO));
    initializer.extend(quantization("a", A_SCALE, A_ZERO));
    initializer.extend(quantization("e", E_SCALE, E_ZERO));
    initializer.extend(quantization("b", B_SCALE, B_ZERO));
    let mut nodes = vec![
        node("DequantizeLinear", &["v", "ws", "wz"], "rv"),
        node("DequantizeLinear", &["w", "ws", "wz"], "rw"),
    ];
    nodes.extend(codes("input", "x"));
    nodes.push(node("Conv", &["rx", "rv"], "c"));
    nodes.extend(codes("c", "a"));
    nodes.push(node("Exp", &["ra"], "exp"));
    nodes.extend(codes("exp", "e"));
    nodes.push(node("Conv", &["re", "rw"], "d"));
    nodes.extend(codes("d", "b"));
    nodes.extend(tail);
    file(GraphProto {
        name: "exponential".into(),
        input: vec![value("input", &[1, 3, HEIGHT as i64, WIDTH as i64])],
        output: vec![value(output, &[1, 2, HEIGHT as i64, WIDTH as i64])],
        initializer,
        node: nodes,
        ..Default::default()
    })
}

fn file(graph: GraphProto) -> Vec<u8> {
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            version: 17,
            ..Default::default()
        }],
        graph: Some(graph),
        ..Default::default()
    };
    model.encode_to_vec()
}

fn manifest(onnx: &[u8], graph: &Graph, classes: usize) -> Manifest {
    let input = &graph.summary().inputs[0];
    let side = |at: usize| input.shape[at].unwrap();
    let (dtype, layout, height, width) = match input.element {
        Element::U8 => ("u8", "nhwc", side(1), side(2)),
        _ => ("f32", "nchw", side(2), side(3)),
    };
    let mut text = format!(
        "format = 1\nname = 'case'\nfile = 'case.onnx'\nsha256 = '{}'\nlicence = 'MIT'\n\
         [input]\nwidth = {width}\nheight = {height}\nlayout = '{layout}'\ndtype = '{dtype}'\n\
         [output]\nkind = 'logits'\n",
        sha256_hex(onnx)
    );
    for class in 0..classes {
        text += &format!("[[class]]\nname = 'c{class}'\ncolour = [{class}, 0, 0]\n");
    }
    Manifest::parse(&text, "case.toml").unwrap()
}

/// A model, its graph and its parts.
fn parts(onnx: Vec<u8>, classes: usize) -> (Model, Graph, Mixed) {
    let graph = Graph::parse(&onnx, "case.onnx").unwrap();
    let manifest = manifest(&onnx, &graph, classes);
    let model = Model::checked(manifest, onnx, "case.onnx".into()).unwrap();
    let shapes = || mixed::shapes(graph.proto(), &model.manifest);
    let parts = compile_regions(&graph, &model.manifest, shapes, "case.onnx").unwrap();
    (model, graph, parts)
}

fn segmenter(opened: &(Model, Graph, Mixed), threads: usize) -> MixedSegmenter {
    let (model, graph, parts) = opened;
    let options = Options {
        threads,
        ..Options::default()
    };
    MixedSegmenter::new(model, graph, parts, options).unwrap()
}

fn picture() -> Vec<u8> {
    golden::picture(7, WIDTH as u32, HEIGHT as u32)
}

/// Half to even, as QuantizeLinear rounds.
fn code(real: f64, scale: f32, zero: i32) -> i32 {
    ((real / f64::from(scale)).round_ties_even() as i32 + zero).clamp(0, 255)
}

/// A 1x1 convolution of codes.
fn convolution(input: &[i32], zero: i32, weights: &[i8], scale: f64, to: (f32, i32)) -> Vec<i32> {
    let filters = weights.chunks_exact(input.len());
    let sum = |filter: &[i8]| {
        let products = input
            .iter()
            .zip(filter)
            .map(|(&x, &w)| (x - zero) * i32::from(w));
        products.sum::<i32>()
    };
    filters
        .map(|filter| code(f64::from(sum(filter)) * scale, to.0, to.1))
        .collect()
}

/// For each pixel the codes `a` and `b` of the graph, worked out here.
fn expected(rgb: &[u8]) -> Vec<[Vec<i32>; 2]> {
    let pixel = |pixel: &[u8]| {
        let real = |&byte: &u8| f64::from((f32::from(byte) - 127.5) / 127.5);
        let x: Vec<i32> = pixel
            .iter()
            .map(|b| code(real(b), INPUT_SCALE, INPUT_ZERO))
            .collect();
        let scale = f64::from(INPUT_SCALE) * f64::from(WEIGHT_SCALE);
        let a = convolution(&x, INPUT_ZERO, &FIRST, scale, (A_SCALE, A_ZERO));
        let exp = |&a: &i32| (f64::from(a - A_ZERO) * f64::from(A_SCALE)).exp();
        let e: Vec<i32> = a.iter().map(|a| code(exp(a), E_SCALE, E_ZERO)).collect();
        let scale = f64::from(E_SCALE) * f64::from(WEIGHT_SCALE);
        let b = convolution(&e, E_ZERO, &SECOND, scale, (B_SCALE, B_ZERO));
        [a, b]
    };
    rgb.chunks_exact(3).map(pixel).collect()
}

#[test]
fn codes_are_right_before_and_behind_a_float_operator() {
    let rgb = picture();
    let expected = expected(&rgb);
    // A float operator last, so that the codes before it can be seen.
    for (which, name, scale, zero) in [(0, "ra", A_SCALE, A_ZERO), (1, "rb", B_SCALE, B_ZERO)] {
        let opened = parts(exponential(vec![node("Exp", &[name], "y")], "y"), 2);
        assert_eq!(opened.2.regions.len(), which + 1);
        let mut logits = Logits::default();
        segmenter(&opened, 1).logits(&rgb, &mut logits).unwrap();
        let got = logits
            .values
            .iter()
            .map(|&y| code(f64::from(y).ln(), scale, zero));
        let wanted = expected
            .iter()
            .flat_map(|codes| codes[which].iter().copied());
        assert_eq!(
            got.collect::<Vec<_>>(),
            wanted.collect::<Vec<_>>(),
            "{name}"
        );
    }
    // The test sees something: not all codes are one.
    assert!(expected.iter().any(|codes| codes[1] != expected[0][1]));
}

#[test]
fn a_region_that_ends_the_graph_gives_its_mask() {
    let rgb = picture();
    let opened = parts(exponential(Vec::new(), "rb"), 2);
    assert_eq!(opened.2.regions.len(), 2);
    let wanted: Vec<u8> = expected(&rgb)
        .iter()
        .map(|[_, b]| u8::from(b[1] > b[0]))
        .collect();
    assert!(wanted.contains(&0) && wanted.contains(&1));
    for threads in [1, 2] {
        let mut segmenter = segmenter(&opened, threads);
        let mut mask = Mask::default();
        segmenter.segment(&rgb, &mut mask).unwrap();
        assert_eq!(mask.labels, wanted);
        let error = segmenter.logits(&rgb, &mut Logits::default()).unwrap_err();
        assert!(matches!(error, EngineError::NoLogits { .. }), "{error}");
    }
}

#[test]
fn the_mixed_graph_is_what_tract_makes_of_the_whole_one() {
    let rgb = picture();
    let opened = parts(exponential(vec![node("Exp", &["rb"], "y")], "y"), 2);
    let (mut ours, mut theirs) = (Logits::default(), Logits::default());
    segmenter(&opened, 1).logits(&rgb, &mut ours).unwrap();
    let mut tract = TractSegmenter::from_graph(&opened.0, &opened.1).unwrap();
    tract.logits(&rgb, &mut theirs).unwrap();
    // One code is a factor of exp(B_SCALE); tract multiplies by the inverse of a scale,
    // so it may round to the other side.
    for (ours, theirs) in ours.values.iter().zip(&theirs.values) {
        assert!(
            (ours.ln() - theirs.ln()).abs() < 1.5 * B_SCALE,
            "{ours} {theirs}"
        );
    }
}

#[test]
fn a_picture_of_the_wrong_size_is_refused() {
    let opened = parts(exponential(Vec::new(), "rb"), 2);
    let error = segmenter(&opened, 1)
        .segment(&[0; 10], &mut Mask::default())
        .unwrap_err();
    assert!(
        matches!(error, EngineError::Input { got: 10, .. }),
        "{error}"
    );
}

/// The mask through a tract graph whose one node is the whole network, and the mask of
/// the bare program.
fn both_masks(opened: &(Model, Graph, Mixed), threads: usize) -> [Mask; 2] {
    let (model, graph, _) = opened;
    let mut program = {
        let compiled = compile(graph, &model.manifest, "case.onnx").unwrap();
        ProgramSegmenter::new(&model.manifest, &compiled.program)
    };
    let shape = program.shape();
    let rgb = golden::picture(3, shape.width, shape.height);
    let mut masks = [Mask::default(), Mask::default()];
    program.segment(&rgb, &mut masks[0]).unwrap();
    segmenter(opened, threads)
        .segment(&rgb, &mut masks[1])
        .unwrap();
    masks
}

/// The cases that ONNX Runtime checks, each operator in each form of quantized graph.
#[test]
fn a_wholly_integer_graph_gives_the_same_mask_either_way() {
    let mut compared = 0;
    for file in std::fs::read_dir("tests/data/ops").unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (name, onnx) in file.iter() {
            let Some(name) = name.strip_suffix(".model") else {
                continue;
            };
            let classes = file.tensor(&format!("{name}.output")).unwrap().shape()[2];
            let opened = parts(onnx.data().to_vec(), classes);
            // One without multiplications stays in tract.
            if opened.2.regions.len() == 1 && opened.2.others.is_empty() {
                let [program, mixed] = both_masks(&opened, 1);
                assert_eq!(program, mixed, "{name}");
                compared += 1;
            }
        }
    }
    println!("{compared} models");
    assert!(compared > 40, "{compared}");
}

fn shared(file: &str) -> Option<Vec<u8>> {
    let bytes = std::fs::read(Path::new(SHARED).join(file));
    if bytes.is_err() {
        println!("skipped: no {SHARED}/{file}");
    }
    bytes.ok()
}

#[test]
fn a_real_network_gives_the_same_mask_either_way() {
    let Some(onnx) = shared("bench/lite257_qdq_u8s8.onnx") else {
        return;
    };
    let opened = parts(onnx, 21);
    assert_eq!((opened.2.regions.len(), opened.2.others.len()), (1, 0));
    for threads in [1, 2] {
        let [program, mixed] = both_masks(&opened, threads);
        assert_eq!(program, mixed);
    }
}

#[test]
fn sums_of_three_leave_the_rest_of_a_network_integer() {
    let Some(onnx) = shared("bench/dlp257_qopx_u8s8.onnx") else {
        return;
    };
    let opened = parts(onnx, 21);
    let parts = &opened.2;
    assert!(
        parts.others.iter().all(|other| other.op == "Add"),
        "{:?}",
        parts.others
    );
    assert_eq!(parts.integer_macs(), parts.macs);
    assert!(parts.is_worth_it());
    let rgb = golden::picture(1, 257, 257);
    let mut masks = [1, 2].map(|threads| {
        let mut mask = Mask::default();
        segmenter(&opened, threads)
            .segment(&rgb, &mut mask)
            .unwrap();
        mask
    });
    let [one, two] = &mut masks;
    assert_eq!(one, two);
    assert!(one.labels.iter().any(|&label| label != one.labels[0]));
}

#[test]
fn the_operator_of_regions_is_not_for_files() {
    let onnx = exponential(vec![node("AtrousRegion", &["rb"], "y")], "y");
    let opened = parts(onnx, 2);
    assert!(
        opened
            .2
            .others
            .iter()
            .any(|other| other.op == "AtrousRegion")
    );
    let (model, graph, parts) = &opened;
    let error = MixedSegmenter::new(model, graph, parts, Options::default())
        .err()
        .unwrap();
    assert!(error.to_string().contains("AtrousRegion"), "{error}");
}

#[test]
fn inspect_tells_what_runs_where_and_require_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mixed.onnx");
    std::fs::write(&path, exponential(Vec::new(), "rb")).unwrap();
    let inspect = |arguments: &[&str]| {
        let mut command = command::atrous();
        command
            .arg("inspect")
            .arg(&path)
            .args(arguments)
            .output()
            .unwrap()
    };
    let output = inspect(&["--ops"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "mixed graph",
        "2 integer regions",
        "region 1",
        "to the mask",
        "beside it in tract: Exp exp",
        "in tract: 1 nodes",
    ] {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
    let output = inspect(&["--ops", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["parts"]["regions"].as_array().unwrap().len(), 2);
    assert_eq!(report["parts"]["in_tract"][0]["node"], "Exp exp");
    let output = inspect(&["--require", "int8"]);
    assert_eq!(output.status.code(), Some(5));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("Exp exp"), "{text}");
}
