//! A small network with what real ones are made of, quantized.

use prost::Message;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

use super::observe::Observer;
use super::*;
use crate::engine::Segmenter;
use crate::engine::program::ProgramSegmenter;
use crate::engine::tract::TractSegmenter;
use crate::mask::Mask;
use onnx::{floats, node, tensor, value};

#[path = "../../tests/onnx/mod.rs"]
mod onnx;

const WIDTH: u32 = 16;
const HEIGHT: u32 = 12;
const CLASSES: usize = 4;

fn manifest() -> Manifest {
    let classes: String = (0..CLASSES)
        .map(|i| format!("[[class]]\nname = \"c{i}\"\ncolour = [{i}, 0, 0]\n"))
        .collect();
    let text = format!(
        "format = 1\nname = \"small\"\nfile = \"small.onnx\"\nsha256 = \"{}\"\nlicence = \"MIT\"\n\
         [input]\nwidth = {WIDTH}\nheight = {HEIGHT}\nlayout = \"nchw\"\ndtype = \"f32\"\n\
         [output]\nkind = \"logits\"\n{classes}",
        "0".repeat(64)
    );
    Manifest::parse(&text, "small.toml").unwrap()
}

/// Numbers in -1..1, the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn list(&mut self, count: usize, size: f32) -> Vec<f32> {
        (0..count).map(|_| self.next() * size).collect()
    }
}

fn pictures(count: usize) -> Vec<Vec<u8>> {
    let mut numbers = Numbers(7);
    let bytes = (WIDTH * HEIGHT * 3) as usize;
    let picture = |_| {
        let (level, contrast) = (128.0 + 60.0 * numbers.next(), 60.0 * numbers.next());
        let byte = |_| (level + contrast * numbers.next()).clamp(0.0, 255.0) as u8;
        (0..bytes).map(byte).collect()
    };
    (0..count).map(picture).collect()
}

fn with(mut node: NodeProto, attributes: &[(&str, &[i64])]) -> NodeProto {
    for &(name, ints) in attributes {
        node.attribute.push(AttributeProto {
            name: name.into(),
            ints: ints.to_vec(),
            i: ints[0],
            r#type: if ints.len() == 1 { 2 } else { 7 },
            ..Default::default()
        });
    }
    node
}

/// Stem with batch norm, a dilated depthwise step, a residual sum, image pooling and
/// concatenation, scores. The stem's channels are of very different size.
fn graph() -> ModelProto {
    let mut numbers = Numbers(42);
    let mut stored = vec![
        floats("low", &[0.0]),
        floats("high", &[6.0]),
        floats("scale", &numbers.list(8, 1.0)),
        floats("shift", &numbers.list(8, 0.2)),
        floats("mean", &numbers.list(8, 0.2)),
        floats("variance", &[0.5, 1.0, 2.0, 0.7, 1.5, 0.9, 1.1, 3.0]),
        tensor(
            "sizes",
            &[4],
            7,
            [1i64, 6, 12, 16].map(i64::to_le_bytes).concat(),
        ),
    ];
    let mut weights = |name: &str, dims: [i64; 4], size: f32| {
        let count = dims.iter().product::<i64>() as usize;
        let mut values = numbers.list(count, size);
        if name == "w1" {
            for (index, value) in values.iter_mut().enumerate() {
                *value *= [1.0, 0.05, 0.4, 2.0, 0.02, 0.7, 0.1, 1.3][index / 27];
            }
        }
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        stored.push(tensor(name, &dims, 1, raw));
    };
    weights("w1", [8, 3, 3, 3], 1.0);
    weights("w2", [8, 1, 3, 3], 0.6);
    weights("w3", [8, 8, 1, 1], 0.5);
    weights("w4", [6, 8, 1, 1], 0.5);
    weights("w5", [4, 14, 1, 1], 0.4);
    stored.push(floats("b2", &[0.3, 0.1, -0.2, 0.5, 0.2, 0.0, 0.4, 0.1]));
    let padded: (&str, &[i64]) = ("pads", &[1, 1, 1, 1]);
    let dilated: [(&str, &[i64]); 3] = [
        ("pads", &[2, 2, 2, 2]),
        ("dilations", &[2, 2]),
        ("group", &[8]),
    ];
    let norm = ["stem", "scale", "shift", "mean", "variance"];
    let nodes = vec![
        with(node("Conv", &["input", "w1"], "stem"), &[padded]),
        node("BatchNormalization", &norm, "normed"),
        node("Clip", &["normed", "low", "high"], "x1"),
        with(node("Conv", &["x1", "w2", "b2"], "deep"), &dilated),
        node("Clip", &["deep", "low", "high"], "x2"),
        node("Conv", &["x2", "w3"], "x3"),
        node("Add", &["x3", "x1"], "x4"),
        node("GlobalAveragePool", &["x4"], "mean_of_all"),
        node("Conv", &["mean_of_all", "w4"], "pooled"),
        node("Relu", &["pooled"], "pooled_relu"),
        node("Resize", &["pooled_relu", "", "", "sizes"], "spread"),
        with(
            node("Concat", &["spread", "x4"], "joined"),
            &[("axis", &[1])],
        ),
        node("Conv", &["joined", "w5"], "logits"),
    ];
    let (h, w) = (HEIGHT.into(), WIDTH.into());
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            version: 13,
            ..Default::default()
        }],
        graph: Some(GraphProto {
            node: nodes,
            initializer: stored,
            input: vec![value("input", &[1, 3, h, w])],
            output: vec![value("logits", &[1, CLASSES as i64, h, w])],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn checked(proto: ModelProto) -> Graph {
    Graph::parse(&proto.encode_to_vec(), "small").unwrap()
}

fn run(proto: ModelProto, options: &Options) -> Result<Quantized, QuantizeError> {
    let graph = checked(proto);
    quantize(
        &graph,
        &manifest(),
        "small",
        &pictures(12),
        options,
        |_, _, _| {},
    )
}

/// The values of some tensors for a picture.
fn values(net: &Net, tensors: &[&str], rgb: &[u8]) -> Vec<Vec<f32>> {
    let names: Vec<String> = tensors.iter().map(|&t| t.into()).collect();
    let mut seen = vec![Vec::new(); names.len()];
    let mut observer = Observer::new(net, &manifest(), &names, "small").unwrap();
    observer
        .run(rgb, |tensor, _, values| seen[tensor] = values.to_vec())
        .unwrap();
    seen
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b);
    pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

#[test]
fn folding_norms_changes_nothing() {
    let net = Net::new(&graph()).unwrap();
    assert!(net.nodes.iter().all(|n| n.op_type != "BatchNormalization"));
    let rgb = &pictures(1)[0];
    let folded = values(&net, &["logits"], rgb);
    let mut engine = TractSegmenter::of_graph(&manifest(), "small", &checked(graph())).unwrap();
    let mut plain = Vec::new();
    engine
        .outputs(rgb, |_, _, values| plain = values.to_vec())
        .unwrap();
    assert!(difference(&folded[0], &plain) < 1e-4);
}

#[test]
fn equalizing_changes_no_score_and_fills_the_codes() {
    let before = Net::new(&graph()).unwrap();
    let pairs = equalize::pairs(&before);
    // The first tensor is read twice.
    let tensors: Vec<&str> = pairs.iter().map(|p| p.tensor.as_str()).collect();
    assert_eq!(tensors, ["x2"]);
    let mut after = before.clone();
    let mut held = Channels::default();
    let mut observer = Observer::new(&before, &manifest(), &["x2".into()], "small").unwrap();
    for rgb in &pictures(12) {
        observer
            .run(rgb, |_, shape, values| held.add(shape, values))
            .unwrap();
    }
    let old = held.clone();
    assert!(equalize::equalize(&mut after, &pairs[0], &mut held) > 0);
    for rgb in &pictures(12) {
        let pair = [&before, &after].map(|net| values(net, &["logits"], rgb).remove(0));
        assert!(difference(&pair[0], &pair[1]) < 1e-4);
    }
    let least = |held: &Channels| {
        let sizes = (0..8).map(|c| held.magnitude(c)).filter(|&m| m > 0.0);
        sizes.fold(f32::INFINITY, f32::min)
    };
    let most = |held: &Channels| (0..8).map(|c| held.magnitude(c)).fold(0.0, f32::max);
    assert!(least(&held) > least(&old));
    assert!(most(&held) <= most(&old) * 1.0001);
}

#[test]
fn a_corrected_bias_takes_the_mean_error_back() {
    let float = Net::new(&graph()).unwrap();
    let node = float
        .nodes
        .iter()
        .position(|n| n.output[0] == "deep")
        .unwrap();
    // Scales so coarse that rounding is a matter of whole weights.
    let scales = [0.2; 8];
    let mut held = Channels::default();
    let mut observer = Observer::new(&float, &manifest(), &["x1".into()], "small").unwrap();
    for rgb in &pictures(12) {
        observer
            .run(rgb, |_, shape, values| held.add(shape, values))
            .unwrap();
    }
    let rounded = |mut net: Net| {
        let name = net.nodes[node].input[1].clone();
        if let Some(crate::compile::constant::Data::F32(weights)) =
            net.stored.get_mut(&name).map(|c| &mut c.data)
        {
            weights
                .iter_mut()
                .for_each(|w| *w = conv::rounded(*w, 0.2) * 0.2);
        }
        net
    };
    let mut corrected = float.clone();
    let reading = conv::Reading::of(&float, &float.nodes[node], &held).unwrap();
    bias::correct(&mut corrected, node, &scales, &reading);
    let mean_error = |net: &Net| -> f64 {
        let mut sums = [0.0f64; 8];
        for rgb in &pictures(12) {
            let pair = [net, &float].map(|net| values(net, &["deep"], rgb).remove(0));
            let plane = (WIDTH * HEIGHT) as usize;
            for (at, (a, b)) in pair[0].iter().zip(&pair[1]).enumerate() {
                sums[at / plane] += f64::from(a - b);
            }
        }
        sums.iter().map(|sum| sum.abs()).sum()
    };
    let (plain, corrected) = (
        mean_error(&rounded(float.clone())),
        mean_error(&rounded(corrected)),
    );
    // What is at the border differs a little from what is inside.
    assert!(corrected < plain / 5.0, "{plain} {corrected}");
}

#[test]
fn joined_tensors_share_codes_and_fused_ones_have_none() {
    let places = Places::of(&Net::new(&graph()).unwrap(), |_| true);
    let group = |tensor: &str| {
        let mut found = places.points.iter().filter(|p| p.tensor == tensor);
        found.next().map(|p| p.group)
    };
    assert!(group("deep").is_none() && group("pooled").is_none());
    assert!(group("input").is_some() && group("logits").is_some());
    assert_eq!(group("spread"), group("joined"));
    assert_eq!(group("pooled_relu"), group("spread"));
    // Another operator reads it as well.
    assert_ne!(group("x4"), group("joined"));
}

#[test]
fn the_result_is_a_program_that_chooses_the_same_classes() {
    let quantized = run(graph(), &Options::default()).unwrap();
    assert_eq!(quantized.convolutions, 5);
    assert!(quantized.constant.is_empty(), "{:?}", quantized.constant);
    for layer in &quantized.layers {
        assert!(layer.sqnr_db.unwrap() > 20.0, "{layer:?}");
    }
    let graph_of_codes = Graph::parse(&quantized.onnx, "small").unwrap();
    let compiled = compile::compile(&graph_of_codes, &manifest(), "small").unwrap();
    let mut program = ProgramSegmenter::new(&manifest(), &compiled.program);
    let mut float = TractSegmenter::of_graph(&manifest(), "small", &checked(graph())).unwrap();
    let (mut same, mut all) = (0, 0);
    for rgb in &pictures(12) {
        let (mut a, mut b) = (Mask::default(), Mask::default());
        program.segment(rgb, &mut a).unwrap();
        float.segment(rgb, &mut b).unwrap();
        same += a
            .labels
            .iter()
            .zip(&b.labels)
            .filter(|(a, b)| a == b)
            .count();
        all += a.labels.len();
    }
    assert!(same * 100 >= all * 97, "{same} of {all}");
    assert_eq!(
        run(graph(), &Options::default()).unwrap().onnx,
        quantized.onnx
    );
}

#[test]
fn every_way_of_choosing_ranges_works() {
    let ranges = [Method::MinMax, Method::Percentile(90.0), Method::Mse].map(|method| {
        let options = Options {
            method,
            ..Options::default()
        };
        let quantized = run(graph(), &options).unwrap();
        let inner = quantized.layers.iter().find(|l| l.tensor == "joined");
        inner.unwrap().range[1]
    });
    // Each cuts off more than the one before or as much; a tenth of all is a lot.
    assert!(
        ranges[1] < ranges[2] && ranges[2] <= ranges[0],
        "{ranges:?}"
    );
}

/// A change of the network that must make no difference to how well it is quantized.
fn changed(change: impl FnOnce(&mut GraphProto)) -> ModelProto {
    let mut proto = graph();
    change(proto.graph.as_mut().unwrap());
    proto
}

fn replace(graph: &mut GraphProto, output: &str, nodes: Vec<NodeProto>) {
    let at = graph
        .node
        .iter()
        .position(|n| n.output[0] == output)
        .unwrap();
    graph.node.splice(at..=at, nodes);
}

#[test]
fn unusual_networks_keep_their_scores() {
    let list = |name: &str, values: &[i64]| {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensor(name, &[values.len() as i64], 7, raw)
    };
    let norm = ["x2", "scale", "shift", "mean", "variance"];
    let padded: (&str, &[i64]) = ("pads", &[1, 1, 1, 1]);
    let cases = [
        ("as it is", graph()),
        (
            "a norm that cannot be folded shares the bias of a convolution",
            changed(|graph| {
                let third = [
                    node("BatchNormalization", &norm, "x2n"),
                    node("Conv", &["x2n", "w3", "shift"], "x3"),
                ];
                replace(graph, "x3", third.to_vec());
            }),
        ),
        (
            "a bias from a Constant node of a list",
            changed(|graph| {
                let mut bias = node("Constant", &[], "b1");
                bias.attribute.push(AttributeProto {
                    name: "value_floats".into(),
                    floats: vec![0.5, -0.4, 0.3, 0.2, -0.1, 0.6, 0.1, -0.3],
                    r#type: 6,
                    ..Default::default()
                });
                let conv = with(node("Conv", &["input", "w1", "b1"], "stem"), &[padded]);
                replace(graph, "stem", vec![bias, conv]);
            }),
        ),
        (
            "a bias that is worked out",
            changed(|graph| {
                let sum = node("Add", &["shift", "mean"], "b1");
                let conv = with(node("Conv", &["input", "w1", "b1"], "stem"), &[padded]);
                replace(graph, "stem", vec![sum, conv]);
            }),
        ),
        (
            "features joined with the picture",
            changed(|graph| {
                let joined = node("Concat", &["spread", "x4", "input"], "joined");
                replace(graph, "joined", vec![with(joined, &[("axis", &[1])])]);
                let weights = Numbers(5).list(4 * 17, 0.4);
                let raw = weights.iter().flat_map(|v| v.to_le_bytes()).collect();
                graph.initializer.push(tensor("w6", &[4, 17, 1, 1], 1, raw));
                replace(
                    graph,
                    "logits",
                    vec![node("Conv", &["joined", "w6"], "logits")],
                );
            }),
        ),
        (
            "a size that is taken from a tensor",
            changed(|graph| {
                graph.initializer.push(list("first", &[1, 6]));
                graph.initializer.push(list("from", &[2]));
                graph.initializer.push(list("to", &[4]));
                let nodes = vec![
                    node("Shape", &["x4"], "sides"),
                    node("Slice", &["sides", "from", "to"], "last"),
                    with(node("Concat", &["first", "last"], "all"), &[("axis", &[0])]),
                    node("Resize", &["pooled_relu", "", "", "all"], "spread"),
                ];
                replace(graph, "spread", nodes);
            }),
        ),
        (
            "weights that two convolutions share, a Dropout, and a node for nobody",
            changed(|graph| {
                let nodes = vec![
                    node("Conv", &["x2", "w3"], "x3a"),
                    node("Relu", &["x3a"], "x3b"),
                    node("Dropout", &["x3b"], "x3c"),
                    node("Conv", &["x3c", "w3"], "x3"),
                    node("Sigmoid", &["x3"], "unread"),
                ];
                replace(graph, "x3", nodes);
            }),
        ),
    ];
    for (name, proto) in cases {
        let quantized = run(proto, &Options::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let scores = quantized.scores_db.unwrap();
        assert!(
            scores > 25.0,
            "{name}: {scores} dB, {:#?}",
            quantized.layers
        );
        let again = Graph::parse(&quantized.onnx, "small").unwrap();
        assert!(compile::is_quantized(again.proto().graph.as_ref().unwrap()));
    }
}

#[test]
fn nothing_but_black_is_told() {
    let black = vec![vec![0; (WIDTH * HEIGHT * 3) as usize]];
    let mut proto = graph();
    // Without a bias behind it, black is the same everywhere but at the borders.
    let graph = proto.graph.as_mut().unwrap();
    graph.node.retain(|n| n.output[0] != "stem");
    graph.node.insert(0, node("Conv", &["input", "w0"], "stem"));
    graph.initializer.push(tensor(
        "w0",
        &[8, 3, 1, 1],
        1,
        [0.5f32; 24].map(f32::to_le_bytes).concat(),
    ));
    let graph = checked(proto);
    let options = Options::default();
    let quantized = quantize(&graph, &manifest(), "small", &black, &options, |_, _, _| {}).unwrap();
    assert!(quantized.constant.iter().any(|name| name == "input"));
    assert!(
        quantized
            .layers
            .iter()
            .all(|l| l.scale > 0.0 && l.scale.is_finite())
    );
}

#[test]
fn what_cannot_be_quantized_is_named() {
    let options = Options::default();
    let mut broken = graph();
    let stored = &mut broken.graph.as_mut().unwrap().initializer;
    let weights = stored.iter_mut().find(|t| t.name == "w3").unwrap();
    weights.raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = run(broken, &options).unwrap_err().to_string();
    assert!(error.contains("'w3'") && error.contains("NaN"), "{error}");

    let mut broken = graph();
    let stored = &mut broken.graph.as_mut().unwrap().initializer;
    let weights = stored.iter_mut().find(|t| t.name == "w3").unwrap();
    weights.raw_data[..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let error = run(broken, &options).unwrap_err();
    assert!(matches!(error, QuantizeError::Graph { .. }), "{error}");

    let quantized = run(graph(), &options).unwrap();
    let again = Graph::parse(&quantized.onnx, "small").unwrap();
    let error = quantize(
        &again,
        &manifest(),
        "small",
        &pictures(1),
        &options,
        |_, _, _| {},
    );
    assert!(matches!(error, Err(QuantizeError::Already { .. })));

    let none = quantize(
        &checked(graph()),
        &manifest(),
        "small",
        &[],
        &options,
        |_, _, _| {},
    );
    assert!(matches!(none, Err(QuantizeError::NoPictures { .. })));

    let mut plain = graph();
    let nodes = &mut plain.graph.as_mut().unwrap().node;
    *nodes = vec![node("Concat", &["input"], "logits")];
    let error = run(plain, &options).unwrap_err();
    assert!(
        matches!(
            error,
            QuantizeError::Nothing { .. } | QuantizeError::Model(_)
        ),
        "{error}"
    );

    let mut old = graph();
    old.opset_import[0].version = 9;
    let error = run(old, &options).unwrap_err().to_string();
    assert!(error.contains("operator set 9"), "{error}");
}

#[test]
fn a_picture_keeps_its_bytes_apart() {
    let mut manifest = manifest();
    manifest.input.mean = [127.5; 3];
    manifest.input.std = [127.5; 3];
    let codes = picture_codes(&manifest);
    let code = |byte: u8| ((f32::from(byte) / 127.5 - 1.0) / codes.scale).round_ties_even();
    let mut all: Vec<i32> = (0..=255).map(|byte| code(byte) as i32).collect();
    all.dedup();
    assert!(all.len() >= 255, "{}", all.len());

    manifest.input.mean = [123.675, 116.28, 103.53];
    manifest.input.std = [58.395, 57.12, 57.375];
    let codes = picture_codes(&manifest);
    let [low, high] = codes.range();
    assert!(
        (-2.2..-2.0).contains(&low) && (2.5..2.8).contains(&high),
        "{low} {high}"
    );
}
