//! Which tensors get codes, and which of them share a quantization.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::NodeProto;

use super::conv::Kernel;
use super::net::{Net, Wiring};
use super::transposed::Transposed;

/// Operators that have an integer form between tensors of codes; Conv and ConvTranspose with
/// constant weights over rows and columns.
const ARITHMETIC: [&str; 20] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Conv",
    "ConvTranspose",
    "Div",
    "Elu",
    "GlobalAveragePool",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Max",
    "Mul",
    "PRelu",
    "ReduceMean",
    "Relu",
    "Sigmoid",
    "Sub",
    "Tanh",
];

/// Operators that move values or mix them between the smallest and the largest, so that
/// their result has the quantization of what they read.
const KEEPING: [&str; 14] = [
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Identity",
    "MaxPool",
    "Pad",
    "Reshape",
    "Resize",
    "Slice",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// Operators that choose among values: they read codes, and what they make has none.
const CHOOSING: [&str; 3] = ["ArgMax", "LogSoftmax", "Softmax"];

/// Operators that Relu and Clip behind them become a part of.
const FUSING: [&str; 7] = [
    "Add",
    "AveragePool",
    "Conv",
    "ConvTranspose",
    "GlobalAveragePool",
    "Mul",
    "Sub",
];

/// The tensors that get codes.
#[derive(Debug, Clone)]
pub struct Places {
    /// In the order in which they are made.
    pub points: Vec<Point>,
    /// Number of groups.
    pub groups: usize,
}

/// A tensor that gets codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its name.
    pub tensor: String,
    /// The node that makes it; `None` for the picture.
    pub node: Option<usize>,
    /// Points of one group have one scale and one zero point.
    pub group: usize,
}

impl Places {
    /// Chooses them among the tensors of real numbers, which `is_real` tells.
    pub fn of(net: &Net, is_real: impl Fn(&str) -> bool) -> Self {
        let wiring = net.wiring();
        let mut points = Vec::new();
        if net.is_real_picture() && reads_codes(net, &wiring, &net.input) {
            points.push((net.input.clone(), None));
        }
        for (index, node) in net.nodes.iter().enumerate() {
            let Some(output) = node.output.first() else {
                continue;
            };
            let waits = is_fused(net, &wiring, output) || is_scaling(net, &wiring, output);
            if !is_quantizable(net, node) || waits || !is_real(output) {
                continue;
            }
            if wiring.is_output(output) || reads_codes(net, &wiring, output) {
                points.push((output.clone(), Some(index)));
            }
        }
        let numbers: HashMap<&str, usize> = points
            .iter()
            .enumerate()
            .map(|(number, (tensor, _))| (tensor.as_str(), number))
            .collect();
        let mut groups = Groups::new(points.len());
        // The picture has codes of its own, and so has what only moves its pixels.
        let mut pictures = HashSet::from([net.input.as_str()]);
        for (number, (tensor, node)) in points.iter().enumerate() {
            let Some(node) = node.map(|node| &net.nodes[node]) else {
                continue;
            };
            if !KEEPING.contains(&node.op_type.as_str()) {
                continue;
            }
            let is_concat = node.op_type == "Concat";
            if !is_concat && pictures.contains(node.input[0].as_str()) {
                pictures.insert(tensor);
            }
            let read = &node.input[..if is_concat { node.input.len() } else { 1 }];
            for input in read {
                // A part that others read too keeps codes of its own and is rescaled.
                let is_own = wiring.is_read_by_one(input).is_some();
                let shares = !is_concat || (is_own && !pictures.contains(input.as_str()));
                if let Some(&input) = numbers.get(input.as_str()).filter(|_| shares) {
                    groups.join(number, input);
                }
            }
            debug_assert_eq!(numbers.get(tensor.as_str()), Some(&number));
        }
        let (group_of, groups) = groups.numbered();
        let points = points.into_iter().zip(group_of);
        Self {
            points: points
                .map(|((tensor, node), group)| Point {
                    tensor,
                    node,
                    group,
                })
                .collect(),
            groups,
        }
    }
}

/// Whether a node has an integer form between tensors of codes.
fn is_quantizable(net: &Net, node: &NodeProto) -> bool {
    match node.op_type.as_str() {
        "Conv" => Kernel::of(net, node).is_some(),
        "ConvTranspose" => Transposed::of(net, node).is_some(),
        op => ARITHMETIC.contains(&op) || KEEPING.contains(&op),
    }
}

/// Whether a node reads codes where there are some.
pub fn takes_codes(net: &Net, node: &NodeProto) -> bool {
    is_quantizable(net, node) || CHOOSING.contains(&node.op_type.as_str())
}

fn reads_codes(net: &Net, wiring: &Wiring, tensor: &str) -> bool {
    let mut readers = wiring.readers(tensor).iter();
    readers.any(|&reader| takes_codes(net, &net.nodes[reader]))
}

/// Whether a tensor is rounded only after the Relu or Clip which alone reads it.
fn is_fused(net: &Net, wiring: &Wiring, tensor: &str) -> bool {
    let maker = wiring.maker(tensor).map(|maker| &net.nodes[maker]);
    let reader = wiring
        .is_read_by_one(tensor)
        .map(|reader| &net.nodes[reader]);
    let (Some(maker), Some(reader)) = (maker, reader) else {
        return false;
    };
    FUSING.contains(&maker.op_type.as_str()) && matches!(reader.op_type.as_str(), "Relu" | "Clip")
}

/// Whether a tensor is a step on the way from a picture of bytes to real numbers: what
/// reads it is a further one, by constants.
fn is_scaling(net: &Net, wiring: &Wiring, tensor: &str) -> bool {
    let by_constant = |index: usize| {
        let node = &net.nodes[index];
        let is_constant = |input: &String| net.stored.contains_key(input);
        let arithmetic = matches!(node.op_type.as_str(), "Add" | "Sub" | "Mul" | "Div");
        node.op_type == "Cast" || (arithmetic && node.input.iter().any(is_constant))
    };
    let mut at = tensor;
    if net.is_real_picture() || !wiring.is_read_by_one(tensor).is_some_and(by_constant) {
        return false;
    }
    while at != net.input {
        let Some(maker) = wiring.maker(at).filter(|&maker| by_constant(maker)) else {
            return false;
        };
        let mut inputs = net.nodes[maker].input.iter();
        match inputs.find(|input| !net.stored.contains_key(*input)) {
            Some(input) => at = input,
            None => return false,
        }
    }
    true
}

/// Sets of numbers that are joined.
struct Groups {
    parents: Vec<usize>,
}

impl Groups {
    fn new(count: usize) -> Self {
        Self {
            parents: (0..count).collect(),
        }
    }

    fn root(&self, mut number: usize) -> usize {
        while self.parents[number] != number {
            number = self.parents[number];
        }
        number
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    /// The set of each number, counted from 0, and how many there are.
    fn numbered(&self) -> (Vec<usize>, usize) {
        let mut numbers = HashMap::new();
        let sets = (0..self.parents.len()).map(|number| {
            let next = numbers.len();
            *numbers.entry(self.root(number)).or_insert(next)
        });
        let sets = sets.collect();
        (sets, numbers.len())
    }
}
