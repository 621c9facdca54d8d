//! A small good model with an operation of each kind, and its artifact.

use atrous::compile::{Ending, compile_to};
use atrous::model::artifact::{Artifact, Golden};
use atrous::model::{Graph, Manifest, sha256_hex};
use prost::Message;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

#[path = "../onnx/mod.rs"]
mod onnx;

use onnx::{floats, tensor, value};

/// Width, height and classes.
const SIZE: [i64; 2] = [18, 14];
const CLASSES: i64 = 3;

/// A model and what belongs to it.
pub struct Seed {
    /// ONNX.
    pub onnx: Vec<u8>,
    /// How to feed and read it.
    pub manifest: Manifest,
}

fn ints(name: &str, values: &[i64]) -> TensorProto {
    let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, &[values.len() as i64], 7, raw)
}

/// Builds the graph node by node; each result is quantized at once.
#[derive(Default)]
struct Builder {
    nodes: Vec<NodeProto>,
    stored: Vec<TensorProto>,
}

impl Builder {
    fn node(&mut self, op: &str, inputs: &[&str], output: &str) -> &mut NodeProto {
        self.nodes.push(onnx::node(op, inputs, output));
        self.nodes.last_mut().expect("it was just pushed")
    }

    fn quantized(&mut self, op: &str, inputs: &[&str], output: &str, ints: &[(&str, &[i64])]) {
        let real = format!("{output}_real");
        let node = self.node(op, inputs, &real);
        for &(name, ints) in ints {
            node.attribute.push(AttributeProto {
                name: name.into(),
                ints: ints.to_vec(),
                i: ints[0],
                ..AttributeProto::default()
            });
        }
        self.codes(&real, output);
    }

    fn codes(&mut self, real: &str, output: &str) {
        let codes = format!("{output}_codes");
        self.node("QuantizeLinear", &[real, "s", "z"], &codes);
        self.node("DequantizeLinear", &[&codes, "s", "z"], output);
    }

    fn conv(&mut self, input: &str, output: &str, dims: [i64; 4], ints: &[(&str, &[i64])]) {
        let count = dims.iter().product::<i64>() as usize;
        let codes = (0..count).map(|i| (i * 37 % 251) as u8).collect();
        let (weights, real) = (format!("{output}_w"), format!("{output}_wf"));
        self.stored.push(tensor(&weights, &dims, 3, codes));
        self.node("DequantizeLinear", &[&weights, "ws", "wz"], &real);
        self.quantized("Conv", &[input, &real], output, ints);
    }
}

/// A picture, a stem, two branches that are joined, an attention factor, a residual,
/// pools, a resize in between and one at the end.
pub fn seed() -> Seed {
    let [w, h] = SIZE;
    let (fw, fh) = ((w + 1) / 2, (h + 1) / 2);
    let mut b = Builder::default();
    let padded: (&str, &[i64]) = ("pads", &[1, 1, 1, 1]);
    b.codes("input", "x");
    b.conv("x", "stem", [4, 3, 3, 3], &[("strides", &[2, 2]), padded]);
    let spread: [(&str, &[i64]); 3] = [
        ("group", &[4]),
        ("dilations", &[2, 2]),
        ("pads", &[2, 2, 2, 2]),
    ];
    b.conv("stem", "wide", [4, 1, 3, 3], &spread);
    b.node("Clip", &["wide", "low", "high"], "clipped");
    b.codes("clipped", "six");
    b.quantized("Add", &["six", "stem"], "sum", &[]);
    let window: [(&str, &[i64]); 2] = [("kernel_shape", &[3, 3]), padded];
    b.quantized("MaxPool", &["sum"], "most", &window);
    b.quantized("AveragePool", &["most"], "mean", &window);
    b.quantized("GlobalAveragePool", &["mean"], "pooled", &[]);
    b.quantized("Sigmoid", &["pooled"], "gate", &[]);
    b.quantized("Mul", &["mean", "gate"], "scaled", &[]);
    b.node("Resize", &["pooled", "", "", "fine"], "back");
    b.quantized("Concat", &["scaled", "back"], "joined", &[("axis", &[1])]);
    b.quantized("HardSwish", &["joined"], "active", &[]);
    b.conv("active", "scores", [CLASSES, 8, 1, 1], &[]);
    let last = b.node("Resize", &["scores", "", "", "whole"], "logits");
    for (name, text) in [
        ("mode", "linear"),
        ("coordinate_transformation_mode", "half_pixel"),
    ] {
        last.attribute.push(AttributeProto {
            name: name.into(),
            s: text.into(),
            ..AttributeProto::default()
        });
    }
    b.stored.extend([
        floats("s", &[0.05]),
        tensor("z", &[], 2, vec![100]),
        floats("ws", &[0.01]),
        tensor("wz", &[], 3, vec![0]),
        floats("low", &[0.0]),
        floats("high", &[6.0]),
        ints("fine", &[1, 4, fh, fw]),
        ints("whole", &[1, CLASSES, h, w]),
    ]);
    let model = ModelProto {
        ir_version: 8,
        graph: Some(GraphProto {
            name: "seed".into(),
            node: b.nodes,
            initializer: b.stored,
            input: vec![value("input", &[1, 3, h, w])],
            output: vec![value("logits", &[1, CLASSES, h, w])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    let onnx = model.encode_to_vec();
    let classes: String = (0..CLASSES)
        .map(|i| format!("[[class]]\nname = \"c{i}\"\ncolour = [{i}, 0, 0]\n"))
        .collect();
    let text = format!(
        "format = 1\nname = \"seed\"\nfile = \"seed.onnx\"\nsha256 = \"{}\"\nlicence = \"MIT\"\n\
         [input]\nwidth = {w}\nheight = {h}\nlayout = \"nchw\"\ndtype = \"f32\"\n\
         [output]\nkind = \"logits\"\n{classes}",
        sha256_hex(&onnx)
    );
    let manifest = Manifest::parse(&text, "seed.toml").expect("the seed's manifest is valid");
    Seed { onnx, manifest }
}

impl Seed {
    /// Its artifact.
    pub fn artifact(&self, ending: Ending) -> Vec<u8> {
        let graph = Graph::parse(&self.onnx, "seed").expect("the seed is sound");
        let compiled = compile_to(&graph, &self.manifest, ending, "seed");
        let artifact = Artifact {
            manifest: self.manifest.clone(),
            program: compiled.expect("the seed has integer forms").program,
            source_sha256: self.manifest.sha256.clone(),
            tool: "fuzz".into(),
            golden: Golden::new(1, &[]),
            calibration: None,
        };
        artifact.to_bytes("seed").expect("it is small")
    }
}
