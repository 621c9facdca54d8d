//! Quantized models the whole way: ONNX to program, program to artifact, and the
//! same mask from each, without allocating.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use atrous::compile::{Ending, at_input_size, compile, compile_to};
use atrous::engine::Segmenter;
use atrous::engine::program::{Options, ProgramSegmenter};
use atrous::kernels::cpu::{Cpu, Tier};
use atrous::logits::Logits;
use atrous::mask::Mask;
use atrous::model::artifact::{Artifact, Golden, golden};
use atrous::model::{Graph, Manifest, Model, sha256_hex};
use atrous::program::Program;
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, tensor_shape_proto,
    type_proto,
};

mod command;
mod onnx;

use onnx::{floats, tensor, value};

/// Models for development that are not part of the repository; cargo runs tests in
/// the package's folder.
const SHARED: &str = "../shared/models";

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[allow(unsafe_code)]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WIDTH: u32 = 10;
const HEIGHT: u32 = 8;
const CLASSES: usize = 4;
/// The weights of class `o` for red, green and blue.
const WEIGHTS: [[i8; 3]; CLASSES] = [[90, -40, 3], [-70, 100, -20], [5, -60, 127], [-3, 1, -9]];
const BIAS: [i32; CLASSES] = [0, 500, -250, 2000];
const INPUT_SCALE: f32 = 1.0 / 128.0;
const WEIGHT_SCALES: [f32; CLASSES] = [0.01, 0.02, 0.015, 0.04];
const OUTPUT_SCALE: f32 = 0.03;
const OUTPUT_ZERO_POINT: u8 = 7;

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        attribute,
        ..onnx::node(op, inputs, output)
    }
}

/// One quantized 1x1 convolution with ReLU over the picture: four classes.
fn tiny() -> Vec<u8> {
    let axis = AttributeProto {
        name: "axis".into(),
        r#type: 2,
        i: 0,
        ..AttributeProto::default()
    };
    let (h, w) = (i64::from(HEIGHT), i64::from(WIDTH));
    let bias_scales: Vec<f32> = WEIGHT_SCALES.iter().map(|s| s * INPUT_SCALE).collect();
    let graph = GraphProto {
        name: "tiny".into(),
        input: vec![value("input", &[1, 3, h, w])],
        output: vec![value("logits", &[1, CLASSES as i64, h, w])],
        initializer: vec![
            floats("xs", &[INPUT_SCALE]),
            tensor("xz", &[], 2, vec![128]),
            tensor(
                "w",
                &[CLASSES as i64, 3, 1, 1],
                3,
                WEIGHTS.iter().flatten().map(|&v| v as u8).collect(),
            ),
            floats("ws", &WEIGHT_SCALES),
            tensor("wz", &[CLASSES as i64], 3, vec![0; CLASSES]),
            tensor(
                "b",
                &[CLASSES as i64],
                6,
                BIAS.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ),
            floats("bs", &bias_scales),
            tensor("bz", &[CLASSES as i64], 6, vec![0; 4 * CLASSES]),
            floats("ys", &[OUTPUT_SCALE]),
            tensor("yz", &[], 2, vec![OUTPUT_ZERO_POINT]),
        ],
        node: vec![
            node("QuantizeLinear", &["input", "xs", "xz"], "xq", vec![]),
            node("DequantizeLinear", &["xq", "xs", "xz"], "x", vec![]),
            node(
                "DequantizeLinear",
                &["w", "ws", "wz"],
                "wd",
                vec![axis.clone()],
            ),
            node("DequantizeLinear", &["b", "bs", "bz"], "bd", vec![axis]),
            node("Conv", &["x", "wd", "bd"], "y", vec![]),
            node("Relu", &["y"], "r", vec![]),
            node("QuantizeLinear", &["r", "ys", "yz"], "rq", vec![]),
            node("DequantizeLinear", &["rq", "ys", "yz"], "logits", vec![]),
        ],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

/// The model above with stride 2, and a resize to the input's size after it: by sizes
/// in a coordinate mode, or to `twice` the cells.
fn resizing(mode: Option<&str>) -> Vec<u8> {
    let Some(mode) = mode else { return tiny() };
    let mut model = ModelProto::decode(tiny().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    graph.node[4].attribute.push(AttributeProto {
        name: "strides".into(),
        r#type: 7,
        ints: vec![2, 2],
        ..AttributeProto::default()
    });
    let last = graph.node.last_mut().unwrap();
    last.output[0] = "scores".into();
    let text = |name: &str, value: &str| AttributeProto {
        name: name.into(),
        r#type: 3,
        s: value.into(),
        ..AttributeProto::default()
    };
    let (inputs, mode) = match mode {
        "twice" => (["scores", "", "scales", ""], "asymmetric"),
        mode => (["scores", "", "", "sizes"], mode),
    };
    let inputs = if inputs[3].is_empty() {
        &inputs[..3]
    } else {
        &inputs
    };
    let attributes = vec![
        text("mode", "linear"),
        text("coordinate_transformation_mode", mode),
    ];
    graph
        .node
        .push(node("Resize", inputs, "logits", attributes));
    let sizes = [1, CLASSES as i64, HEIGHT.into(), WIDTH.into()];
    let raw = sizes.iter().flat_map(|v| v.to_le_bytes()).collect();
    graph.initializer.push(tensor("sizes", &[4], 7, raw));
    graph
        .initializer
        .push(floats("scales", &[1.0, 1.0, 2.0, 2.0]));
    model.encode_to_vec()
}

fn picture() -> Vec<u8> {
    let size = (WIDTH * HEIGHT * 3) as usize;
    (0..size).map(|i| (i * i * 31 + i * 7) as u8).collect()
}

/// What the tiny model means, written out: integers and one rounding.
fn expected(rgb: &[u8]) -> Vec<u8> {
    let code = |pixel: &[u8], o: usize| {
        let sum: i32 = (0..3)
            .map(|c| {
                let real = (f32::from(pixel[c]) - 127.5) / 127.5;
                let q = ((real / INPUT_SCALE).round_ties_even() as i32 + 128).clamp(0, 255);
                (q - 128) * i32::from(WEIGHTS[o][c])
            })
            .sum();
        let scale = INPUT_SCALE * WEIGHT_SCALES[o] / OUTPUT_SCALE;
        let q = ((sum + BIAS[o]) as f32 * scale).round_ties_even() as i32;
        (q + i32::from(OUTPUT_ZERO_POINT)).clamp(i32::from(OUTPUT_ZERO_POINT), 255)
    };
    let class = |pixel: &[u8]| {
        let codes: Vec<i32> = (0..CLASSES).map(|o| code(pixel, o)).collect();
        let best = codes.iter().max().unwrap();
        codes.iter().position(|c| c == best).unwrap() as u8
    };
    rgb.chunks_exact(3).map(class).collect()
}

fn open(folder: &Path) -> Model {
    let path = folder.join("tiny.onnx");
    std::fs::write(&path, tiny()).unwrap();
    Model::open(path.to_str().unwrap()).unwrap()
}

#[test]
fn onnx_program_and_artifact_give_the_mask_that_the_numbers_say() {
    let folder = tempfile::tempdir().unwrap();
    let model = open(folder.path());
    let graph = Graph::parse(&model.onnx, "tiny").unwrap();
    let program = compile(&graph, &model.manifest, "tiny").unwrap().program;
    program.check().unwrap();

    let rgb = picture();
    let mut segmenter = ProgramSegmenter::new(&model.manifest, &program);
    let mut mask = Mask::default();
    segmenter.segment(&rgb, &mut mask).unwrap();
    assert_eq!(mask.labels, expected(&rgb));
    let classes: std::collections::HashSet<u8> = mask.labels.iter().copied().collect();
    assert!(classes.len() >= 3, "the picture tells the classes apart");

    let golden_picture = golden::picture(7, WIDTH, HEIGHT);
    segmenter.segment(&golden_picture, &mut mask).unwrap();
    let path = folder.path().join("tiny.atrous");
    let artifact = Artifact {
        source_sha256: sha256_hex(&model.onnx),
        manifest: model.manifest,
        program,
        tool: "test".into(),
        golden: Golden::new(7, &mask.labels),
        calibration: None,
    };
    artifact.write(&path).unwrap();
    let read = Artifact::read(&path).unwrap();
    let mut segmenter = ProgramSegmenter::new(&read.manifest, &read.program);
    segmenter.segment(&golden_picture, &mut mask).unwrap();
    assert!(read.golden.matches(&mask.labels));
    segmenter.segment(&rgb, &mut mask).unwrap();
    assert_eq!(mask.labels, expected(&rgb));
}

#[test]
fn a_running_program_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = open(folder.path());
    let graph = Graph::parse(&model.onnx, "tiny").unwrap();
    let program = compile(&graph, &model.manifest, "tiny").unwrap().program;
    let mut segmenter = ProgramSegmenter::new(&model.manifest, &program);
    let (rgb, mut mask) = (picture(), Mask::default());
    segmenter.segment(&rgb, &mut mask).unwrap();
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        segmenter.segment(&rgb, &mut mask).unwrap();
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

#[test]
fn a_float_model_is_no_program() {
    let model = Model::open("models/road").unwrap();
    let graph = Graph::parse(&model.onnx, "road").unwrap();
    let error = compile(&graph, &model.manifest, "road").unwrap_err();
    assert!(
        matches!(error, atrous::compile::CompileError::NotQuantized { .. }),
        "{error}"
    );
}

#[test]
fn quantized_deeplabs_are_programs_and_allocate_nothing() {
    for file in [
        "deeplabv3_mnv2_pascal_qdq.onnx",
        "deeplab_mobilenet_edgetpu_slim_cityscapes_qdq.onnx",
        "bench/dlp257_qdq_u8s8.onnx",
        "bench/dlp257_qdq_s8s8.onnx",
        "bench/lite257_qdq_u8s8.onnx",
        "bench/lite257_qdq_s8s8.onnx",
    ] {
        let path = Path::new(SHARED).join(file);
        if !path.exists() {
            println!("skipped: {file} is not beside the repository");
            continue;
        }
        let model = Model::open(path.to_str().unwrap()).unwrap();
        let graph = Graph::parse(&model.onnx, file).unwrap();
        let compiled = compile(&graph, &model.manifest, file).unwrap();
        compiled.program.check().unwrap();
        let arena = compiled.program.arena_bytes as f64;
        let live = compiled.largest_live_bytes as f64;
        assert!(arena <= 1.3 * live, "{file}: arena {arena}, live {live}");

        let mut segmenter = ProgramSegmenter::new(&model.manifest, &compiled.program);
        let shape = segmenter.shape();
        if shape.width > 257 {
            // Seconds in a build that is made for debugging; the small ones show the same.
            continue;
        }
        let rgb = golden::picture(1, shape.width, shape.height);
        let (mut first, mut second) = (Mask::default(), Mask::default());
        segmenter.segment(&rgb, &mut first).unwrap();
        second.clone_from(&first);
        let before = ALLOCATIONS.get();
        segmenter.segment(&rgb, &mut second).unwrap();
        assert_eq!(ALLOCATIONS.get() - before, 0, "{file}");
        assert_eq!(first, second, "{file}");
    }
}

#[test]
fn quantized_deeplabs_follow_another_input_size() {
    for (file, exported) in [
        ("deeplabv3_mnv2_pascal_qdq.onnx", 513),
        ("deeplab_mobilenet_edgetpu_slim_cityscapes_qdq.onnx", 513),
        ("bench/dlp257_qdq_u8s8.onnx", 257),
        ("bench/lite257_qdq_s8s8.onnx", 257),
    ] {
        let path = Path::new(SHARED).join(file);
        if !path.exists() {
            println!("skipped: {file} is not beside the repository");
            continue;
        }
        let model = Model::open(path.to_str().unwrap()).unwrap();
        let graph = Graph::parse(&model.onnx, file).unwrap();
        assert_eq!(model.manifest.input.width, exported);
        let macs = |graph: &Graph, manifest: &Manifest| {
            let compiled = compile(graph, manifest, file).unwrap();
            compiled.report.iter().map(|op| op.macs).sum::<u64>()
        };
        let (small, manifest) = at_input_size(&graph, &model.manifest, (65, 49), file).unwrap();
        let masks = [Ending::Labels, Ending::Logits].map(|ending| {
            let compiled = compile_to(&small, &manifest, ending, file).unwrap();
            let mut segmenter = ProgramSegmenter::new(&manifest, &compiled.program);
            let mut mask = Mask::default();
            let rgb = golden::picture(1, 65, 49);
            segmenter.segment(&rgb, &mut mask).unwrap();
            mask
        });
        assert_eq!((masks[0].width, masks[0].height), (65, 49));
        assert_eq!(masks[0], masks[1], "{file}");
        // The work shrinks about as the picture does.
        let share = macs(&small, &manifest) as f64 / macs(&graph, &model.manifest) as f64;
        let pixels = 65.0 * 49.0 / f64::from(exported * exported);
        assert!((0.9..2.0).contains(&(share / pixels)), "{file}: {share}");
        // And back: the same program as if it had never been another size.
        let back = (model.manifest.input.width, model.manifest.input.height);
        let (back, manifest) = at_input_size(&small, &manifest, back, file).unwrap();
        assert_eq!(
            compile(&back, &manifest, file).unwrap().program,
            compile(&graph, &model.manifest, file).unwrap().program,
            "{file}"
        );
    }
}

/// Runs a program with every kind of kernels this processor has and 1 to 4 threads.
fn masks_of_all_kinds(manifest: &Manifest, program: &Program, file: &str) {
    let rgb = golden::picture(1, program.width, program.height);
    let mut wanted = None;
    for tier in Tier::ALL.into_iter().filter(|tier| tier.is_available()) {
        for threads in 1..=4 {
            let options = Options {
                cpu: Cpu::limited(tier).unwrap(),
                threads,
            };
            let mut segmenter = ProgramSegmenter::with(manifest, program, options).unwrap();
            assert_eq!(segmenter.threads(), threads);
            let mut mask = Mask::default();
            segmenter.segment(&rgb, &mut mask).unwrap();
            let wanted = wanted.get_or_insert_with(|| mask.clone());
            assert!(mask == *wanted, "{file}: {tier}, {threads} threads");
        }
    }
}

#[test]
fn any_kernels_and_any_number_of_threads_give_one_mask() {
    let folder = tempfile::tempdir().unwrap();
    let model = open(folder.path());
    let graph = Graph::parse(&model.onnx, "tiny").unwrap();
    let compiled = compile(&graph, &model.manifest, "tiny").unwrap();
    masks_of_all_kinds(&model.manifest, &compiled.program, "tiny");
    for file in [
        "deeplabv3_mnv2_pascal_qdq.onnx",
        "deeplab_mobilenet_edgetpu_slim_cityscapes_qdq.onnx",
        "bench/dlp257_qdq_u8s8.onnx",
        "bench/lite257_qdq_s8s8.onnx",
    ] {
        let path = Path::new(SHARED).join(file);
        if !path.exists() {
            println!("skipped: {file} is not beside the repository");
            continue;
        }
        let model = Model::open(path.to_str().unwrap()).unwrap();
        let graph = Graph::parse(&model.onnx, file).unwrap();
        // Small, for the scalar kernels of a build that is made for debugging.
        let (small, manifest) = at_input_size(&graph, &model.manifest, (97, 65), file).unwrap();
        let compiled = compile(&small, &manifest, file).unwrap();
        masks_of_all_kinds(&manifest, &compiled.program, file);
    }
}

#[test]
fn bench_tells_what_it_measured() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.onnx"), tiny()).unwrap();
    let bench = |args: &[&str]| {
        let args = [&["bench", "tiny.onnx", "--runs", "5"], args].concat();
        let out = atrous(&args, folder.path());
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    for threads in [1, 2] {
        let text = bench(&["--json", "--profile", "--threads", &threads.to_string()]);
        let report: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(report["runs_ms"].as_array().unwrap().len(), 5);
        assert_eq!(report["threads"], threads);
        assert_eq!(report["allocations_per_run"], 0.0);
        for key in ["first_ms", "load_ms", "peak_mb"] {
            assert!(report[key].as_f64().unwrap() > 0.0, "{key}");
        }
        assert!(!report["kernels"].as_array().unwrap().is_empty());
        let ops = report["ops"].as_array().unwrap();
        assert!(ops.iter().any(|op| op["kind"] == "conv" && op["macs"] != 0));
        floors_hold(&report);
    }
    let text = bench(&["--profile", "--cpu", "scalar", "--threads", "1"]);
    assert!(
        text.contains("scalar kernels") && text.contains("GOP/s"),
        "{text}"
    );
    assert!(!text.contains("avx") && !text.contains("neon"), "{text}");
    assert!(
        text.contains("floor ms") && text.contains("peak unknown"),
        "{text}"
    );
    let conv = text.lines().find(|line| line.starts_with("conv 1x1"));
    assert!(conv.unwrap().ends_with('-'), "{text}");
    let text = bench(&["--threads", "1"]);
    assert!(!text.contains("floor"), "{text}");
    for bad in [&["--threads", "0"], &["--cpu", "mmx"], &["--runs", "0"]] {
        let args = [&["bench", "tiny.onnx"], &bad[..]].concat();
        assert_eq!(
            atrous(&args, folder.path()).status.code(),
            Some(2),
            "{bad:?}"
        );
    }
}

/// Each class of a profile is beside its floor, and one far above it has a reason.
fn floors_hold(report: &serde_json::Value) {
    let ceilings = &report["ceilings"];
    let copies = ceilings["copies"].as_array().unwrap();
    assert!(!copies.is_empty());
    for copy in copies {
        assert!(copy["gb_per_s"].as_f64().unwrap() > 0.0, "{copy}");
    }
    let has_peak = Cpu::detect().best() != Tier::Scalar;
    assert_eq!(ceilings["peak"].is_object(), has_peak, "{ceilings}");
    let classes = report["classes"].as_array().unwrap();
    let ops = report["ops"].as_array().unwrap();
    let counted: u64 = classes.iter().map(|c| c["ops"].as_u64().unwrap()).sum();
    assert_eq!(counted, ops.len() as u64);
    for class in classes {
        let those = ops.iter().filter(|op| op["class"] == class["class"]);
        let ms: f64 = those.map(|op| op["ms"].as_f64().unwrap()).sum();
        let total = class["ms"].as_f64().unwrap();
        assert!((total - ms).abs() <= 1e-9 * ms, "{class}");
        if class["macs"] != 0 && !has_peak {
            assert!(class["floor_ms"].is_null(), "{class}");
            continue;
        }
        let (floor, ratio) = (&class["floor_ms"], &class["ratio"]);
        let (floor, ratio) = (floor.as_f64().unwrap(), ratio.as_f64().unwrap());
        assert!(
            floor > 0.0 && (ratio * floor - ms).abs() < 1e-9 * ms,
            "{class}"
        );
        assert_eq!(class["why"].is_string(), ratio > 2.0, "{class}");
    }
}

fn atrous(args: &[&str], folder: &Path) -> std::process::Output {
    let mut command = command::atrous();
    command.args(args).current_dir(folder).output().unwrap()
}

#[test]
fn every_command_takes_onnx_and_artifact_alike() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    open(at);
    photo(at);
    compiled(&["tiny.onnx", "-o", "tiny.atrous"], at);
    let hash = |model: &str| results(model, at)[0]["mask_hash"].clone();
    assert!(hash("tiny.onnx").is_string());
    assert_eq!(hash("tiny.onnx"), hash("tiny.atrous"));

    let output = atrous(&["inspect", "tiny.atrous", "--ops", "--json"], at);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let kinds: Vec<&str> = report["ops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["input", "conv", "argmax"]);
    assert_eq!(report["ops"][1]["macs"], 3 * 4 * 80);
}

/// The JSON lines that `run` prints for `photo.png` with a model.
fn results(model: &str, at: &Path) -> Vec<serde_json::Value> {
    let args = [
        "run",
        "photo.png",
        "null:",
        "--json",
        "--model",
        model,
        "--require",
        "int8",
    ];
    let output = atrous(&args, at);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The mask that `run` makes of `photo.png` in tiles.
fn tiled(model: &str, at: &Path) -> image::DynamicImage {
    let args = ["run", "photo.png", "out/", "--visualize", "index", "--tile"];
    let output = atrous(&[&args[..], &["--model", model]].concat(), at);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains("not blended"), "{stderr}");
    image::open(at.join("out/photo_index.png")).unwrap()
}

fn photo(at: &Path) {
    image::RgbImage::from_fn(31, 23, |x, y| {
        image::Rgb([(x * 8) as u8, (y * 11) as u8, (x * y) as u8])
    })
    .save(at.join("photo.png"))
    .unwrap();
}

#[track_caller]
fn compiled(args: &[&str], at: &Path) {
    let output = atrous(&[&["compile"], args].concat(), at);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
}

#[test]
fn an_artifact_that_ends_in_scores_gives_the_same_mask() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    photo(at);
    for (resize, scores) in [
        // The manifest's own way: left to whoever runs it.
        (Some("align_corners"), "5x4"),
        // Another one is part of the program.
        (Some("half_pixel"), "10x8"),
        (None, "10x8"),
    ] {
        std::fs::write(at.join("tiny.onnx"), resizing(resize)).unwrap();
        compiled(&["tiny.onnx", "-o", "labels.atrous"], at);
        let logits = ["tiny.onnx", "--labels", "logits", "-o", "logits.atrous"];
        compiled(&logits, at);
        let labels = &results("labels.atrous", at)[0];
        assert_eq!(
            labels["mask_hash"],
            results("logits.atrous", at)[0]["mask_hash"]
        );
        // Tiles are blended by the scores behind the labels, too.
        let tiled = |model: &str| tiled(model, at);
        assert_eq!(tiled("labels.atrous"), tiled("logits.atrous"));
        let seen = labels["coverage"].as_object().unwrap().values();
        let seen = seen.filter(|share| share.as_f64() > Some(0.0));
        assert!(seen.count() >= 2, "the classes are told apart: {labels}");

        let output = atrous(&["inspect", "logits.atrous"], at);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains(&format!("scores of 4 classes, {scores},")),
            "{text}"
        );
        let output = atrous(&["inspect", "labels.atrous", "--json"], at);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["ends_in"]["labels"]["width"], WIDTH);
    }
}

#[test]
fn the_scores_of_a_program_are_those_of_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    let model = open(folder.path());
    let graph = Graph::parse(&model.onnx, "tiny").unwrap();
    let program = compile_to(&graph, &model.manifest, Ending::Logits, "tiny").unwrap();
    let mut segmenter = ProgramSegmenter::new(&model.manifest, &program.program);
    let (rgb, mut logits, mut mask) = (picture(), Logits::default(), Mask::default());
    segmenter.logits(&rgb, &mut logits).unwrap();
    assert_eq!((logits.width, logits.height), (WIDTH, HEIGHT));
    let first = |scores: &[f32]| {
        let best = scores.iter().copied().fold(f32::MIN, f32::max);
        scores.iter().position(|&s| s == best).unwrap() as u8
    };
    let classes: Vec<u8> = logits.values.chunks_exact(CLASSES).map(first).collect();
    assert_eq!(classes, expected(&rgb));
    segmenter.segment(&rgb, &mut mask).unwrap();
    assert_eq!(mask.labels, expected(&rgb));
}

#[test]
fn a_model_compiled_for_another_size_takes_pictures_of_that_size() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    photo(at);
    std::fs::write(at.join("tiny.onnx"), resizing(Some("align_corners"))).unwrap();
    compiled(&["tiny.onnx", "--size", "22x30", "-o", "large.atrous"], at);
    let output = atrous(&["inspect", "large.atrous", "--json"], at);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["manifest"]["input"]["width"], 22);
    assert_eq!(report["ends_in"]["labels"]["height"], 30);
    results("large.atrous", at);
    for size in ["0x8", "8", "axb", "8x8x8", "99999x8"] {
        let args = ["compile", "tiny.onnx", "--size", size, "-o", "no.atrous"];
        let output = atrous(&args, at);
        assert_eq!(output.status.code(), Some(2), "{size}");
    }
    // A graph that leaves its sides open takes them from the size.
    let mut model = ModelProto::decode(tiny().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    graph.input[0] = value("input", &[1, 3, -1, -1]);
    graph.output[0] = value("logits", &[1, CLASSES as i64, -1, -1]);
    for info in graph.input.iter_mut().chain(&mut graph.output) {
        let kind = info.r#type.as_mut().and_then(|t| t.value.as_mut());
        let Some(type_proto::Value::TensorType(tensor)) = kind else {
            panic!()
        };
        for dim in &mut tensor.shape.as_mut().unwrap().dim[2..] {
            dim.value = Some(tensor_shape_proto::dimension::Value::DimParam(
                "side".into(),
            ));
        }
    }
    std::fs::write(at.join("open.onnx"), model.encode_to_vec()).unwrap();
    let output = atrous(&["compile", "open.onnx", "-o", "no.atrous"], at);
    assert_eq!(output.status.code(), Some(4));
    compiled(&["open.onnx", "--size", "10x8", "-o", "closed.atrous"], at);
    std::fs::write(at.join("tiny.onnx"), tiny()).unwrap();
    compiled(&["tiny.onnx", "-o", "tiny.atrous"], at);
    let hash = |model: &str| results(model, at)[0]["mask_hash"].clone();
    assert_eq!(hash("closed.atrous"), hash("tiny.atrous"));
    // 7x7 cells give 14x14 scores, which are not of a 13x13 input's size.
    std::fs::write(at.join("tiny.onnx"), resizing(Some("twice"))).unwrap();
    let args = ["compile", "tiny.onnx", "--size", "13x13", "-o", "no.atrous"];
    let output = atrous(&args, at);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(
        stderr.contains("'logits'") && stderr.contains("14x14"),
        "{stderr}"
    );
    assert!(!at.join("no.atrous").exists());
}

#[test]
fn bad_artifacts_and_unmet_requirements_have_their_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    open(at);
    assert!(
        atrous(&["compile", "tiny.onnx", "-o", "tiny.atrous"], at)
            .status
            .success()
    );
    let good = std::fs::read(at.join("tiny.atrous")).unwrap();
    let code = |args: &[&str]| {
        let output = atrous(args, at);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!stderr.contains("panicked"), "{stderr}");
        output.status.code()
    };
    for keep in [0, 7, 100, good.len() / 2, good.len() - 1] {
        std::fs::write(at.join("cut.atrous"), &good[..keep]).unwrap();
        assert_eq!(
            code(&["inspect", "cut.atrous"]),
            Some(4),
            "cut to {keep} bytes"
        );
    }
    for at_byte in [9, 200, good.len() / 2, good.len() - 40] {
        let mut bad = good.clone();
        bad[at_byte] ^= 1;
        std::fs::write(at.join("bad.atrous"), bad).unwrap();
        assert_eq!(
            code(&["inspect", "bad.atrous"]),
            Some(4),
            "byte {at_byte} changed"
        );
    }
    assert_eq!(code(&["inspect", "none.atrous"]), Some(4));
    assert_eq!(
        code(&["compile", "tiny.onnx", "-o", "no/folder/x.atrous"]),
        Some(1)
    );
    // The float form of the built-in model, which has an integer form.
    let float = std::env::current_dir().unwrap().join("models/road");
    let float = float.to_str().unwrap();
    assert_eq!(code(&["inspect", float, "--require", "int8"]), Some(5));
    for model in [float, "road", "tiny.atrous"] {
        assert_eq!(code(&["compile", model, "-o", "again.atrous"]), Some(4));
        assert!(!at.join("again.atrous").exists());
    }
    if cfg!(feature = "bundled") {
        assert_eq!(code(&["inspect", "road", "--require", "int8"]), Some(0));
    }
}
