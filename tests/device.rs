//! Models as they are rewritten for a GPU, on the CPU; and what the command line says
//! where there is no GPU. What needs one says that it was skipped.

use std::path::Path;
use std::process::Output;

use atrous::engine::Segmenter;
use atrous::engine::device::{Backend, DeviceGraph, Precision, cuda};
use atrous::engine::tract::TractSegmenter;
use atrous::logits::Logits;
use atrous::mask::Mask;
use atrous::model::{Graph, Manifest, Model};
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

mod command;
mod onnx;

use onnx::{floats, node, tensor, value};

/// Models for development that are not part of the repository; cargo runs tests in
/// the package's folder.
const SHARED: &str = "../shared/models";

const USAGE: i32 = 2;
const MODEL: i32 = 4;
const REQUIREMENT: i32 = 5;

/// A GPU's backend and libraries are here, so what is said in their absence is not.
fn has_gpu(test: &str) -> bool {
    let found = cuda::check().is_ok();
    if found {
        println!("skipped: {test}: it is about a machine without a GPU");
    }
    found
}

fn picture(model: &Model, seed: usize) -> Vec<u8> {
    let input = &model.manifest.input;
    let (width, height) = (input.width as usize, input.height as usize);
    let of = |i: usize| {
        let (x, y) = (i / 3 % width, i / 3 / width);
        (x * (seed + 2) / 3 + y * (seed + 5) / 7 + (i % 3) * 40 + x * y / 60) as u8
    };
    (0..width * height * 3).map(of).collect()
}

fn device(model: &Model, precision: Precision) -> DeviceGraph {
    let graph = Graph::parse(&model.onnx, &model.origin).unwrap();
    DeviceGraph::new(&model.manifest, &model.origin, &graph, precision).unwrap()
}

/// The share of pixels that two masks have in common.
fn agreement(one: &Mask, other: &Mask) -> f64 {
    assert_eq!((one.width, one.height), (other.width, other.height));
    let pairs = one.labels.iter().zip(&other.labels);
    pairs.filter(|(a, b)| a == b).count() as f64 / one.labels.len() as f64
}

/// Holds a rewritten model to the original; gives back the size of the scores that are
/// fetched.
#[track_caller]
fn hold(model: &Model, least: f64) -> (u32, u32) {
    let mut original = TractSegmenter::new(model).unwrap();
    let mut rewritten = device(model, Precision::Single).on(Backend::Cpu).unwrap();
    assert_eq!(rewritten.shape(), original.shape());
    let (mut expected, mut got, mut logits) = Default::default();
    for seed in 0..2 {
        let rgb = picture(model, seed);
        original.segment(&rgb, &mut expected).unwrap();
        rewritten.segment(&rgb, &mut got).unwrap();
        let share = agreement(&expected, &got);
        assert!(share >= least, "{}: {share}", model.origin);
        rewritten.logits(&rgb, &mut logits).unwrap();
    }
    let Logits { width, height, .. } = logits;
    (width, height)
}

#[test]
fn shipped_models_are_the_same_and_nothing_of_them_stays_on_the_cpu() {
    for name in ["models/road", "models/nuclei"] {
        let model = Model::open(name).unwrap();
        let (width, height) = hold(&model, 0.9999);
        assert!(width < model.manifest.input.width && height < model.manifest.input.height);
        let graph = device(&model, Precision::Single);
        let placement = graph.placement();
        assert_eq!(placement.on_host, [], "{name}");
        assert_eq!((placement.to_device, placement.to_host), (1, 1), "{name}");
        assert!(placement.device_nodes() > 50, "{name}: {placement:?}");
    }
}

#[test]
fn models_of_others_are_the_same() {
    for file in [
        "deeplabv3_mnv2_pascal_float.onnx",
        "deeplab_mobilenet_edgetpu_slim_cityscapes_float_tractfix.onnx",
    ] {
        let path = Path::new(SHARED).join(file);
        if !path.exists() {
            println!("skipped: {} is absent", path.display());
            continue;
        }
        let model = Model::open(path.to_str().unwrap()).unwrap();
        hold(&model, 0.9999);
        let graph = device(&model, Precision::Single);
        let placement = graph.placement();
        println!("{file}: {placement:?}");
        assert_eq!(placement.on_host, [], "{file}");
        assert_eq!((placement.to_device, placement.to_host), (1, 1), "{file}");
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints.into(),
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int.into(),
        i: value,
        ..AttributeProto::default()
    }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::String.into(),
        s: value.as_bytes().to_vec(),
        ..AttributeProto::default()
    }
}

fn with(node: NodeProto, attribute: impl IntoIterator<Item = AttributeProto>) -> NodeProto {
    NodeProto {
        attribute: attribute.into_iter().collect(),
        ..node
    }
}

/// Numbers from -1 to 1.
fn drawn(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let numbers = (0..count).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / (1 << 31) as f32 - 1.0
    });
    numbers.flat_map(f32::to_le_bytes).collect()
}

const CLASSES: i64 = 5;

/// Convolutions with pools of both kinds between them, scores of a quarter of the
/// picture's size, and a resize to 37x29; with the best class, if asked for.
fn small(coordinates: &str, labels: bool) -> Model {
    let mut nodes = vec![
        with(
            node("Conv", &["x", "w0"], "a"),
            [ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])],
        ),
        node("Relu", &["a"], "b"),
        with(
            node("MaxPool", &["b"], "c"),
            [
                ints("kernel_shape", &[3, 3]),
                ints("strides", &[2, 2]),
                ints("pads", &[1, 1, 1, 1]),
            ],
        ),
        with(
            node("AveragePool", &["c"], "d"),
            [ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])],
        ),
        node("GlobalAveragePool", &["c"], "e"),
        node("Add", &["d", "e"], "f"),
        node("Mul", &["f", "half"], "g"),
        node("Conv", &["g", "w1"], "scores"),
        with(
            node("Resize", &["scores", "", "", "sizes"], "fine"),
            [
                text("mode", "linear"),
                text("coordinate_transformation_mode", coordinates),
            ],
        ),
    ];
    let sizes = [1i64, CLASSES, 29, 37].map(i64::to_le_bytes).concat();
    let mut graph = GraphProto {
        name: "small".into(),
        initializer: vec![
            tensor("w0", &[8, 3, 3, 3], 1, drawn(8 * 27, 1)),
            tensor("w1", &[CLASSES, 8, 1, 1], 1, drawn(8 * CLASSES as usize, 2)),
            tensor("sizes", &[4], 7, sizes),
            floats("half", &[0.5]),
        ],
        input: vec![value("x", &[1, 3, 29, 37])],
        ..GraphProto::default()
    };
    if labels {
        nodes.push(with(
            node("ArgMax", &["fine"], "labels"),
            [int("axis", 1), int("keepdims", 0)],
        ));
        let mut output = value("labels", &[1, 29, 37]);
        if let Some(tract_onnx::pb::type_proto::Value::TensorType(tensor)) =
            output.r#type.as_mut().and_then(|t| t.value.as_mut())
        {
            tensor.elem_type = 7;
        }
        graph.output.push(output);
    } else {
        graph.output.push(value("fine", &[1, CLASSES, 29, 37]));
    }
    graph.node = nodes;
    let bytes = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 13,
        }],
        graph: Some(graph),
        ..ModelProto::default()
    }
    .encode_to_vec();
    let graph = Graph::parse(&bytes, "small.onnx").unwrap();
    let path = Path::new("small.onnx");
    let manifest = Manifest::derived(&graph.summary(), path, &"0".repeat(64)).unwrap();
    Model {
        manifest,
        onnx: bytes,
        origin: "small.onnx".into(),
    }
}

#[test]
fn a_resize_and_the_choice_of_the_class_are_left_to_the_reader() {
    for coordinates in ["half_pixel", "align_corners", "asymmetric"] {
        for labels in [false, true] {
            let model = small(coordinates, labels);
            let size = hold(&model, 0.998);
            assert_eq!(size, (10, 8), "{coordinates}, labels {labels}");
            let graph = device(&model, Precision::Single);
            assert_eq!(
                graph.placement().on_host,
                [],
                "{coordinates}, labels {labels}"
            );
        }
    }
    // Ours has no such coordinates, so the resize stays, as products.
    let model = small("half_pixel_symmetric", false);
    assert_eq!(hold(&model, 0.998), (37, 29));
    assert_eq!(device(&model, Precision::Single).placement().on_host, []);
    let model = small("half_pixel_symmetric", true);
    let size = hold(&model, 0.998);
    assert_eq!(size, (37, 29), "only the choice is left to the reader");
}

#[test]
fn sixteen_bits_give_nearly_the_same() {
    let model = small("half_pixel", false);
    let mut single = device(&model, Precision::Single).on(Backend::Cpu).unwrap();
    let half = device(&model, Precision::Half);
    assert_eq!(half.placement().on_host, []);
    let mut half = half.on(Backend::Cpu).unwrap();
    assert!(half.describe().contains("16 bits"), "{}", half.describe());
    let rgb = picture(&model, 1);
    let (mut expected, mut got) = (Logits::default(), Logits::default());
    single.logits(&rgb, &mut expected).unwrap();
    half.logits(&rgb, &mut got).unwrap();
    assert_ne!(
        expected.values, got.values,
        "of 16 bits they must differ a little"
    );
    let most = expected
        .values
        .iter()
        .fold(0f32, |most, v| most.max(v.abs()));
    for (a, b) in expected.values.iter().zip(&got.values) {
        assert!((a - b).abs() < 0.01 * most, "{a} and {b}");
    }
}

#[test]
fn a_wrong_picture_is_refused_and_a_segmenter_works_on() {
    let model = small("half_pixel", true);
    let mut segmenter = device(&model, Precision::Single).on(Backend::Cpu).unwrap();
    let mut labels = Mask::default();
    assert!(segmenter.segment(&[0; 5], &mut labels).is_err());
    assert!(labels.labels.is_empty());
    segmenter.segment(&picture(&model, 0), &mut labels).unwrap();
    assert_eq!(labels.labels.len(), 29 * 37);
}

#[test]
fn without_the_backend_a_graph_says_so() {
    if has_gpu("without_the_backend_a_graph_says_so") {
        return;
    }
    let error = device(&small("half_pixel", true), Precision::Single).on(Backend::Cuda);
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains("small.onnx") && error.contains("cuda"),
        "{error}"
    );
}

fn atrous(args: &[&str]) -> Output {
    command::atrous().args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn refused(args: &[&str], code: i32, words: &[&str]) {
    let output = atrous(args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?}");
    for word in words {
        assert!(text.contains(word), "{args:?} should say '{word}': {text}");
    }
}

#[test]
fn without_a_gpu_every_command_names_what_is_missing() {
    if has_gpu("without_a_gpu_every_command_names_what_is_missing") {
        return;
    }
    let pieces = [
        "libcuda.so.1",
        "nvidia-l4t-cuda",
        "libcudart.so.12",
        "libnvrtc.so.12",
        "libcublas.so.12",
        "libcudnn.so.9",
        "cuda_fp16.h",
        "cuda/std/cstdint",
    ];
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().to_str().unwrap();
    let picture = image::RgbImage::new(8, 8);
    picture.save(folder.path().join("a.png")).unwrap();
    let road = "models/road";
    let gpu = ["--runtime", "cuda"];
    for args in [
        &[
            "run", "--frames", "1", "null:", "--model", road, gpu[0], gpu[1],
        ][..],
        &[
            "run",
            "--frames",
            "1",
            "null:",
            "--model",
            road,
            "--runtime",
            "auto",
            "--require",
            "cuda",
        ],
        &["bench", road, "--runs", "1", gpu[0], gpu[1]],
        &["inspect", road, gpu[0], gpu[1]],
        &[
            "inspect",
            road,
            "--ops",
            gpu[0],
            gpu[1],
            "--require",
            "cuda",
        ],
        &[
            "eval",
            road,
            "--images",
            images,
            "--against",
            road,
            gpu[0],
            gpu[1],
        ],
        &["warm", road],
    ] {
        refused(args, REQUIREMENT, &pieces);
    }
    let cpu = ["inspect", road, "--require", "cuda"];
    refused(&cpu, REQUIREMENT, &["--runtime cuda"]);
}

#[test]
fn arguments_that_exclude_each_other_are_refused() {
    let road = "models/road";
    let f16 = ["bench", road, "--cuda-f16"];
    refused(&f16, USAGE, &["--runtime cuda"]);
    let int8 = ["inspect", road, "--runtime", "cuda", "--require", "int8"];
    refused(&int8, USAGE, &["exclude"]);
    refused(&["inspect", road, "--runtime", "gpu"], USAGE, &["cuda"]);
}

#[test]
fn auto_says_in_a_line_what_it_chose_and_why() {
    if has_gpu("auto_says_in_a_line_what_it_chose_and_why") {
        return;
    }
    let args = ["inspect", "models/road", "--runtime", "auto"];
    let output = atrous(&args);
    let text = stderr(&output);
    assert!(output.status.success(), "{text}");
    let told: Vec<&str> = text
        .lines()
        .filter(|l| l.starts_with("runtime: "))
        .collect();
    let [line] = *told else {
        panic!("one line, not {told:?}");
    };
    assert!(line.starts_with("runtime: cpu ("), "{line}");
    let quiet = atrous(&[&args[..], &["-q"]].concat());
    assert!(!stderr(&quiet).contains("runtime: "));
}

#[test]
fn inspect_predicts_what_would_run_on_a_gpu() {
    if has_gpu("inspect_predicts_what_would_run_on_a_gpu") {
        return;
    }
    let output = atrous(&["inspect", "models/road", "--ops", "--runtime", "cuda"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", stderr(&output));
    for words in [
        "predicted, for want of a GPU",
        "Conv",
        "on the CPU: 0 nodes",
        "copies of each run: 1 to the GPU, 1 to the CPU",
    ] {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
    let json = [
        "inspect",
        "models/road",
        "--ops",
        "--runtime",
        "cuda",
        "--json",
        "--cuda-f16",
    ];
    let output = atrous(&json);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let placement = &report["placement"];
    assert_eq!(placement["to_device"], 1);
    assert_eq!(placement["on_host"].as_array().unwrap().len(), 0);
    assert!(placement["predicted_because"].is_string());
}

#[test]
fn a_quantized_model_is_refused_with_what_to_do() {
    if has_gpu("a_quantized_model_is_refused_with_what_to_do") {
        return;
    }
    for model in ["road", "models/road/road.atrous"] {
        let args = ["inspect", model, "--ops", "--runtime", "cuda"];
        refused(&args, MODEL, &[model, "float ONNX file"]);
    }
    let path = Path::new(SHARED).join("deeplabv3_mnv2_pascal_qdq.onnx");
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return;
    }
    let path = path.to_str().unwrap();
    refused(
        &["inspect", path, "--ops", "--runtime", "cuda"],
        MODEL,
        &["quantized"],
    );
}

#[test]
fn devices_and_doctor_tell_of_the_gpu() {
    let devices = atrous(&["devices", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&devices.stdout).unwrap();
    let pieces = report["cuda"]["pieces"].as_array().unwrap();
    assert!(pieces.iter().any(|piece| piece["file"] == "libcudnn.so.9"));
    assert_eq!(report["cuda"]["built_for"].is_null(), !cuda::IS_BUILT);
    let text = atrous(&["devices"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("gpu "));
    let doctor = atrous(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["name"] == "gpu"));
}

/// On a GPU: the masks, and what was predicted.
#[test]
fn on_a_gpu_masks_are_the_same_and_nodes_are_where_they_were_predicted() {
    if let Err(reason) = cuda::check() {
        let first = reason.lines().next().unwrap_or_default();
        println!("skipped: no GPU is ready: {first}");
        return;
    }
    for (name, precision, least) in [
        ("models/road", Precision::Single, 0.999),
        ("models/nuclei", Precision::Single, 0.999),
        ("models/road", Precision::Half, 0.98),
    ] {
        let model = Model::open(name).unwrap();
        let graph = device(&model, precision);
        let predicted = graph.placement().clone();
        let mut gpu = graph.on(Backend::Cuda).unwrap();
        let mut cpu = TractSegmenter::new(&model).unwrap();
        let (mut expected, mut got) = (Mask::default(), Mask::default());
        for seed in 0..2 {
            let rgb = picture(&model, seed);
            cpu.segment(&rgb, &mut expected).unwrap();
            gpu.segment(&rgb, &mut got).unwrap();
            let share = agreement(&expected, &got);
            assert!(share >= least, "{name}: {share}");
        }
        let plan = gpu.plan().unwrap();
        let copies = |op: &str| {
            plan.nodes()
                .iter()
                .filter(|node| node.op.name() == op)
                .count()
        };
        let found = (copies("DeviceSyncToDevice"), copies("DeviceSyncToHost"));
        assert_eq!(found, (predicted.to_device, predicted.to_host), "{name}");
    }
}
