//! Every operator and form of quantized graph that `compile` reads, against ONNX
//! Runtime: the models, the pictures and ONNX Runtime's codes are in `tests/data/ops`,
//! and `tests/data/make_ops.py` makes them.

use std::collections::BTreeMap;
use std::path::Path;

use atrous::compile::region::compile_regions;
use atrous::compile::{CompileError, compile};
use atrous::engine::Segmenter;
use atrous::engine::mixed::{self, MixedSegmenter};
use atrous::engine::program::{Options, ProgramSegmenter};
use atrous::logits::Logits;
use atrous::mask::Mask;
use atrous::model::graph::Element;
use atrous::model::{Graph, Manifest, Model};
use atrous::program::{Op, Output, Program, TensorId};
use prost::Message;
use safetensors::SafeTensors;
use tract_onnx::pb::ModelProto;

/// A model with what ONNX Runtime makes of a picture.
struct Case<'a> {
    /// Operator and form.
    name: &'a str,
    model: &'a [u8],
    /// Rows, columns and channels of the codes.
    shape: [usize; 3],
    codes: &'a [u8],
}

/// A group of cases and the pictures for them by rows and columns.
struct Group<'a> {
    cases: Vec<Case<'a>>,
    pictures: BTreeMap<[usize; 2], &'a [u8]>,
}

impl<'a> Group<'a> {
    fn of(file: &'a SafeTensors) -> Self {
        let mut group = Self {
            cases: Vec::new(),
            pictures: BTreeMap::new(),
        };
        for (name, tensor) in file.iter() {
            let shape = tensor.shape();
            if name.starts_with("input.") {
                group.pictures.insert([shape[0], shape[1]], tensor.data());
            } else if let Some(name) = name.strip_suffix(".output") {
                let model = file.tensor(&format!("{name}.model")).unwrap();
                group.cases.push(Case {
                    name,
                    model: model.data(),
                    shape: shape.try_into().unwrap(),
                    codes: tensor.data(),
                });
            }
        }
        group.cases.sort_by_key(|case| case.name);
        group
    }

    /// The picture that a model is for.
    fn picture(&self, manifest: &Manifest) -> &'a [u8] {
        let input = &manifest.input;
        self.pictures[&[input.height as usize, input.width as usize]]
    }
}

/// What is known of a case's model: how it is fed, and its classes.
fn manifest(graph: &Graph, classes: usize) -> Manifest {
    let input = &graph.summary().inputs[0];
    let side = |at: usize| input.shape[at].unwrap();
    // As the script says: bytes are fed with the channels last.
    let (dtype, layout, height, width) = match input.element {
        Element::U8 => ("u8", "nhwc", side(1), side(2)),
        _ => ("f32", "nchw", side(2), side(3)),
    };
    let mut text = format!(
        "format = 1\nname = 'case'\nfile = 'case.onnx'\nsha256 = '{}'\nlicence = 'MIT'\n\
         [input]\nwidth = {width}\nheight = {height}\nlayout = '{layout}'\ndtype = '{dtype}'\n\
         [output]\nkind = 'logits'\n",
        "0".repeat(64)
    );
    for class in 0..classes {
        text += &format!("[[class]]\nname = 'c{class}'\ncolour = [{class}, 0, 0]\n");
    }
    Manifest::parse(&text, "case.toml").unwrap()
}

/// The program without its choice of the class: it ends in the tensor that the
/// choice reads.
fn ending_in_codes(mut program: Program) -> (Program, TensorId) {
    let Some(Op::Argmax { input, resample }) = program.ops.pop() else {
        panic!("the program does not end in a mask")
    };
    program.output = Output::Logits {
        scores: input,
        resample,
    };
    program.check().unwrap();
    (program, input)
}

/// The codes of our program, which must be of the case's shape.
fn codes(case: &Case, group: &Group) -> Result<Vec<u8>, CompileError> {
    let graph = Graph::parse(case.model, case.name).unwrap();
    let manifest = manifest(&graph, case.shape[2]);
    let compiled = compile(&graph, &manifest, case.name)?;
    let (program, output) = ending_in_codes(compiled.program);
    let quant = program.tensors[output.0 as usize].quant;
    let mut logits = Logits::default();
    let mut segmenter = ProgramSegmenter::new(&manifest, &program);
    let picture = group.picture(&manifest);
    segmenter.logits(picture, &mut logits).unwrap();
    let shape = [
        logits.height as usize,
        logits.width as usize,
        logits.classes,
    ];
    assert_eq!(shape, case.shape, "{}", case.name);
    let code = |x: &f32| (x / quant.scale).round() + f32::from(quant.zero_point);
    Ok(logits.values.iter().map(|x| code(x) as u8).collect())
}

fn with_group(name: &str, mut check: impl FnMut(&Group)) {
    let path = format!("tests/data/ops/{name}.safetensors");
    let bytes = std::fs::read(Path::new(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let group = Group::of(&file);
    assert!(!group.cases.is_empty(), "{path} holds no case");
    check(&group);
}

/// Runs all cases of a group. Codes may be `steps` apart, and `percent` of a case's
/// may be unequal.
fn compare(group: &str, steps: u8, percent: usize) {
    with_group(group, |group| {
        let mut failures = Vec::new();
        for case in &group.cases {
            let ours = match codes(case, group) {
                Ok(codes) => codes,
                Err(error) => {
                    failures.push(error.to_string());
                    continue;
                }
            };
            let pairs = ours.iter().zip(case.codes);
            let apart: Vec<u8> = pairs.map(|(a, b)| a.abs_diff(*b)).collect();
            let unequal = apart.iter().filter(|&&d| d > 0).count();
            let largest = apart.iter().copied().max().unwrap_or(0);
            let line = format!(
                "{}: {unequal} of {} codes unequal, at most {largest} apart",
                case.name,
                apart.len()
            );
            println!("{line}");
            if largest > steps || unequal * 100 > percent * apart.len() {
                failures.push(line);
            }
        }
        assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    });
}

#[test]
fn convolutions_give_the_same_codes() {
    compare("conv", 0, 0);
}

#[test]
fn functions_of_one_number_are_at_most_a_step_apart() {
    compare("function", 1, 1);
}

#[test]
fn sums_products_and_concatenations_give_the_same_codes() {
    compare("join", 0, 0);
}

#[test]
fn pools_are_at_most_a_step_apart() {
    // ONNX Runtime sums in float where a pool is not of the whole picture.
    compare("pool", 1, 10);
}

#[test]
fn resizes_are_at_most_a_step_apart() {
    // ONNX Runtime cuts fractions off where it resizes codes, and here they are rounded.
    compare("resize", 1, 60);
}

#[test]
fn other_pixels_are_at_most_a_step_apart() {
    // ONNX Runtime convolves backwards in float.
    compare("space", 1, 1);
}

#[test]
fn products_of_matrices_are_at_most_a_step_apart() {
    compare("matrix", 1, 1);
}

#[test]
fn blocks_of_networks_are_at_most_a_step_apart() {
    compare("block", 1, 1);
}

#[test]
fn softmax_has_the_class_of_its_scores() {
    with_group("softmax", |group| {
        for case in &group.cases {
            let graph = Graph::parse(case.model, case.name).unwrap();
            let classes = case.shape[2];
            let manifest = manifest(&graph, classes);
            let compiled = compile(&graph, &manifest, case.name).unwrap();
            let mut segmenter = ProgramSegmenter::new(&manifest, &compiled.program);
            let mut mask = Mask::default();
            segmenter
                .segment(group.picture(&manifest), &mut mask)
                .unwrap();
            assert_eq!(
                mask.labels.len() * classes,
                case.codes.len(),
                "{}",
                case.name
            );
            let pixels = case.codes.chunks(classes).zip(&mask.labels);
            let mut ties = 0;
            for (pixel, &label) in pixels {
                let largest = pixel.iter().max().unwrap();
                // Where quantized probabilities are equal the scores decide.
                ties += usize::from(pixel.iter().filter(|&p| p == largest).count() > 1);
                assert_eq!(pixel[usize::from(label)], *largest, "{}", case.name);
            }
            println!("{}: {ties} ties of {}", case.name, mask.labels.len());
            assert!(
                ties < mask.labels.len() / 2,
                "{}: hardly a class",
                case.name
            );
        }
    });
}

/// Groups of fixtures.
const GROUPS: [&str; 9] = [
    "block", "conv", "function", "join", "matrix", "pool", "resize", "softmax", "space",
];

/// Numbers that no node expects, and some that one does.
const ODD: [i64; 12] = [
    0,
    1,
    -1,
    2,
    3,
    5,
    -4,
    255,
    1 << 20,
    1 << 40,
    i64::MAX,
    i64::MIN,
];

/// A sequence of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// Breaks one thing in a graph.
fn damage(model: &mut ModelProto, numbers: &mut Numbers) {
    let graph = model.graph.as_mut().unwrap();
    let nodes = graph.node.len();
    let from = numbers.below(nodes);
    let other = graph.node[from].clone();
    let node = &mut graph.node[numbers.below(nodes)];
    let stored = graph.initializer.len();
    if node.input.is_empty() {
        return;
    }
    let place = numbers.below(node.input.len());
    let odd = ODD[numbers.below(ODD.len())];
    match numbers.below(9) {
        0 => node.input.truncate(place),
        1 => node.input[place] = String::new(),
        2 => {
            let read = other.input.get(numbers.below(other.input.len()));
            node.input[place] = read.cloned().unwrap_or_default();
        }
        3 => node.op_type = other.op_type,
        4 => node.attribute = other.attribute,
        5 => {
            for attribute in &mut node.attribute {
                attribute.i = odd;
                attribute.f = odd as f32;
                let at = numbers.below(attribute.ints.len());
                if let Some(number) = attribute.ints.get_mut(at) {
                    *number = odd;
                }
            }
        }
        6 => {
            let tensor = &mut graph.initializer[numbers.below(stored)];
            let at = numbers.below(tensor.dims.len());
            if let Some(side) = tensor.dims.get_mut(at) {
                *side = odd;
            }
        }
        7 => {
            let tensor = &mut graph.initializer[numbers.below(stored)];
            let at = numbers.below(tensor.raw_data.len());
            if let Some(byte) = tensor.raw_data.get_mut(at) {
                *byte ^= 1 << numbers.below(8);
            }
        }
        _ => {
            let types = [1, 2, 3, 6, 7, 10, 11];
            graph.initializer[numbers.below(stored)].data_type = types[numbers.below(types.len())];
        }
    }
}

/// Runs what is left of a damaged model in parts, if it has any: an error is as good as
/// a mask. Whether it had any.
fn runs_in_parts(graph: &Graph, manifest: &Manifest, onnx: Vec<u8>, picture: &[u8]) -> bool {
    let shapes = || mixed::shapes(graph.proto(), manifest);
    let Ok(parts) = compile_regions(graph, manifest, shapes, "damaged") else {
        return false;
    };
    let arenas = parts
        .regions
        .iter()
        .map(|part| part.region.body.arena_bytes);
    if parts.regions.is_empty() || arenas.max() > Some(SMALL) {
        return false;
    }
    let model = Model {
        manifest: manifest.clone(),
        onnx,
        origin: "damaged".into(),
    };
    if let Ok(mut segmenter) = MixedSegmenter::new(&model, graph, &parts, Options::default()) {
        let _ = segmenter.segment(picture, &mut Mask::default());
    }
    true
}

/// Largest arena of a damaged model that is run as well.
const SMALL: u64 = 1 << 20;

#[test]
fn damaged_models_are_errors_or_run() {
    // What tract panics about is contained, and not for this test's output.
    atrous::guard::install();
    let (mut refused, mut ran, mut parted) = (0, 0, 0);
    for name in GROUPS {
        with_group(name, |group| {
            // The cases of one group are much alike.
            for (index, case) in group.cases.iter().enumerate().step_by(3) {
                let mut numbers = Numbers(index as u64);
                let sound = Graph::parse(case.model, case.name).unwrap();
                let manifest = manifest(&sound, case.shape[2]);
                for _ in 0..40 {
                    let mut model = ModelProto::decode(case.model).unwrap();
                    for _ in 0..1 + numbers.below(2) {
                        damage(&mut model, &mut numbers);
                    }
                    let onnx = model.encode_to_vec();
                    let Ok(graph) = Graph::parse(&onnx, case.name) else {
                        refused += 1;
                        continue;
                    };
                    let Ok(compiled) = compile(&graph, &manifest, case.name) else {
                        let picture = group.picture(&manifest);
                        parted += i32::from(runs_in_parts(&graph, &manifest, onnx, picture));
                        refused += 1;
                        continue;
                    };
                    if compiled.program.arena_bytes <= SMALL {
                        let mut segmenter = ProgramSegmenter::new(&manifest, &compiled.program);
                        let picture = group.picture(&manifest);
                        segmenter.segment(picture, &mut Mask::default()).unwrap();
                        ran += 1;
                    }
                }
            }
        });
    }
    println!("{refused} refused, {parted} of them in parts, {ran} ran");
    assert!(refused > 1000 && parted > 100 && ran > 100);
}
