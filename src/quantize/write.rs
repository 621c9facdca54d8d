//! The quantized graph: QuantizeLinear and DequantizeLinear around the operators of the
//! float one, weights and biases as codes. It is what ONNX Runtime calls QDQ.

use std::collections::{BTreeMap, HashMap, HashSet};

use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto};

use super::conv::{Kernel, rounded};
use super::net::{Names, Net, encode, vector};
use super::place::{Places, takes_codes};
use super::range::Codes;
use super::transposed::Transposed;
use crate::compile::constant::{Constant, Data};

/// The number of an integer attribute in onnx.proto.
const INT: i32 = 2;

/// What stands for the graph's tensors.
#[derive(Debug, Clone, Default)]
pub struct Scales {
    /// Of each group of points.
    pub groups: Vec<Codes>,
    /// Of the weights of each output of a convolution, by its node.
    pub weights: BTreeMap<usize, Vec<f32>>,
}

/// Writes the graph. The second result is the name of each point's tensor after its codes.
pub fn write(net: &Net, places: &Places, scales: &Scales) -> (ModelProto, Vec<String>) {
    let mut taken = net.names();
    let groups = (0..scales.groups.len()).map(|group| {
        ["scale", "zero_point"].map(|what| taken.unused(&format!("codes_{group}_{what}")))
    });
    let groups = groups.collect();
    let mut writer = Writer {
        net,
        taken,
        groups,
        scales,
        nodes: Vec::new(),
        stored: Vec::new(),
        renamed: HashMap::new(),
    };
    let wiring = net.wiring();
    // What was the result of a node becomes the result of the codes behind it.
    let mut real = HashMap::new();
    let mut names = Vec::with_capacity(places.points.len());
    for point in &places.points {
        let tensor = point.tensor.as_str();
        let name = if wiring.is_output(tensor) {
            real.insert(tensor, writer.taken.unused(&format!("{tensor}_real")));
            tensor.to_owned()
        } else {
            writer.taken.unused(&format!("{tensor}_dequantized"))
        };
        names.push(name);
    }
    for (group, codes) in scales.groups.iter().enumerate() {
        writer.store_codes(group, *codes);
    }
    for (point, name) in places.points.iter().zip(&names) {
        if point.node.is_none() {
            writer.codes(&point.tensor, &point.tensor, name, point.group);
        }
    }
    for (index, node) in net.nodes.iter().enumerate() {
        let mut node = node.clone();
        if takes_codes(net, &node) {
            for input in &mut node.input {
                if let Some(name) = writer.renamed.get(input.as_str()) {
                    input.clone_from(name);
                }
            }
        }
        if let Some(scales) = scales.weights.get(&index) {
            writer.weights(&mut node, scales, places, index);
        }
        for output in &mut node.output {
            if let Some(name) = real.get(output.as_str()) {
                output.clone_from(name);
            }
        }
        writer.nodes.push(node);
        let made = places.points.iter().zip(&names);
        for (point, name) in made.filter(|(point, _)| point.node == Some(index)) {
            let from = real.get(point.tensor.as_str()).unwrap_or(&point.tensor);
            writer.codes(from, &point.tensor, name, point.group);
        }
    }
    (writer.finish(), names)
}

fn scalar(data: Data) -> Constant {
    Constant {
        shape: vec![],
        data,
    }
}

struct Writer<'a> {
    net: &'a Net,
    taken: Names,
    /// The names of each group's scale and zero point.
    groups: Vec<[String; 2]>,
    scales: &'a Scales,
    nodes: Vec<NodeProto>,
    stored: Vec<TensorProto>,
    /// What readers of codes read instead of a tensor.
    renamed: HashMap<String, String>,
}

impl Writer<'_> {
    fn store_codes(&mut self, group: usize, codes: Codes) {
        let [scale, zero] = self.groups[group].clone();
        let data = [
            (scale, Data::F32(vec![codes.scale])),
            (zero, Data::U8(vec![codes.zero_point])),
        ];
        let stored = data.map(|(name, data)| encode(&name, &scalar(data)));
        self.stored.extend(stored);
    }

    /// Rounds `from` to codes, and makes `to` of them, which stands for `tensor`.
    fn codes(&mut self, from: &str, tensor: &str, to: &str, group: usize) {
        let [scale, zero] = self.groups[group].clone();
        let codes = self.taken.unused(&format!("{tensor}_quantized"));
        self.node("QuantizeLinear", &[from, &scale, &zero], &codes, None);
        self.node("DequantizeLinear", &[&codes, &scale, &zero], to, None);
        self.renamed.insert(tensor.to_owned(), to.to_owned());
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str, axis: Option<i64>) {
        let axis = axis.map(|axis| AttributeProto {
            name: "axis".into(),
            i: axis,
            r#type: INT,
            ..Default::default()
        });
        self.nodes.push(NodeProto {
            name: format!("{output}_{op}"),
            op_type: op.into(),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![output.to_owned()],
            attribute: axis.into_iter().collect(),
            ..Default::default()
        });
    }

    /// Stores the weights and the bias, if any, of a convolution or transposed convolution
    /// as codes.
    fn weights(&mut self, node: &mut NodeProto, scales: &[f32], places: &Places, index: usize) {
        let net = self.net;
        let original = &net.nodes[index];
        // How many weights follow each other for one output, and the axis of the outputs.
        let (run, axis) = match (Kernel::of(net, original), Transposed::of(net, original)) {
            (Some(kernel), _) => (kernel.row(), 0),
            (None, Some(transposed)) => (transposed.taps(), 1),
            (None, None) => return,
        };
        let (Some(stored), Some(weights)) = (net.constant(original, 1), net.floats(original, 1))
        else {
            return;
        };
        let read = places.points.iter().find(|p| p.tensor == original.input[0]);
        let Some(step) = read.map(|point| self.scales.groups[point.group].scale) else {
            return;
        };
        let runs = weights.chunks_exact(run).zip(scales.iter().cycle());
        let codes = runs
            .flat_map(|(run, &scale)| run.iter().map(move |&w| rounded(w, scale) as i8))
            .collect();
        let shape = stored.shape.clone();
        self.dequantized(node, (1, axis), shape, Data::I8(codes), scales.to_vec());
        let Some(bias) = net.floats(original, 2) else {
            return;
        };
        let sums: Vec<f32> = scales.iter().map(|scale| step * scale).collect();
        let bias = (bias.iter().zip(&sums))
            .map(|(&b, &scale)| (f64::from(b) / f64::from(scale)).round_ties_even() as i32)
            .collect();
        self.dequantized(node, (2, 0), vec![sums.len()], Data::I32(bias), sums);
    }

    /// Stores codes with a scale for each output, which are along `axis`, and none for zero,
    /// and makes an input of a node of them.
    fn dequantized(
        &mut self,
        node: &mut NodeProto,
        (input, axis): (usize, i64),
        shape: Vec<usize>,
        codes: Data,
        scales: Vec<f32>,
    ) {
        let name = &node.input[input];
        let [stored, real, scale, zero] = ["quantized", "dequantized", "scale", "zero_point"]
            .map(|what| self.taken.unused(&format!("{name}_{what}")));
        let zeros = Constant {
            shape: vec![scales.len()],
            data: match codes {
                Data::I8(_) => Data::I8(vec![0; scales.len()]),
                _ => Data::I32(vec![0; scales.len()]),
            },
        };
        let codes = Constant { shape, data: codes };
        self.stored.push(encode(&stored, &codes));
        self.stored.push(encode(&scale, &vector(scales)));
        self.stored.push(encode(&zero, &zeros));
        self.node(
            "DequantizeLinear",
            &[&stored, &scale, &zero],
            &real,
            Some(axis),
        );
        node.input[input] = real;
    }

    fn finish(self) -> ModelProto {
        let mut model = self.net.to_model(&[]);
        model.producer_name = "atrous".into();
        model.producer_version = env!("CARGO_PKG_VERSION").into();
        let graph = model.graph.get_or_insert_default();
        graph.node = self.nodes;
        graph.initializer.extend(self.stored);
        let read: HashSet<&str> = graph
            .node
            .iter()
            .flat_map(|node| node.input.iter().map(String::as_str))
            .collect();
        let outputs: HashSet<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
        // The float weights among them are read no more.
        let is_used = |name: &str| read.contains(name) || outputs.contains(name);
        graph.initializer.retain(|t| is_used(&t.name));
        model
    }
}
