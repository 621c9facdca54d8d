//! A float graph in the form that the quantizer works on: constants decoded, norms folded,
//! a bias for every convolution.

use std::collections::{BTreeMap, HashMap, HashSet};

use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use super::Fault;
use crate::compile::constant::{Constant, Data};
use crate::compile::node_name;

/// The operator set in which scales may be given for each channel.
pub const OPERATOR_SET: i64 = 13;

/// Operators whose inputs, attributes or default axis changed up to [`OPERATOR_SET`], and the
/// set since which they are as they are there.
const CHANGED: [(&str, i64); 12] = [
    ("Clip", 11),
    ("Hardmax", 13),
    ("LogSoftmax", 13),
    ("Pad", 11),
    ("ReduceSum", 13),
    ("Resize", 11),
    ("Slice", 10),
    ("Softmax", 13),
    ("Split", 13),
    ("Squeeze", 13),
    ("Unsqueeze", 13),
    ("Upsample", 10),
];
/// The oldest operator set that is raised: before it, sums broadcast by attributes.
const OLDEST: i64 = 9;
/// The first format of the file in which constants need not be inputs too.
const FORMAT: i64 = 7;
/// The number of 16-bit floats in `TensorProto.DataType` in onnx.proto.
const FLOAT16: i64 = 10;

/// A float graph.
#[derive(Debug, Clone)]
pub struct Net {
    /// What is around the graph, and its inputs and outputs; it has no nodes.
    pub model: ModelProto,
    /// In the order in which they run.
    pub nodes: Vec<NodeProto>,
    /// Constants by name.
    pub stored: BTreeMap<String, Constant>,
    /// Constants of types that are passed on as they are.
    pub opaque: Vec<TensorProto>,
    /// The picture.
    pub input: String,
    names: Names,
}

/// Names that are taken.
#[derive(Debug, Clone, Default)]
pub struct Names(HashSet<String>);

impl Names {
    /// The name, or one made from it that is free; it is taken from then on.
    pub fn unused(&mut self, name: &str) -> String {
        let mut unused = name.to_owned();
        while self.0.contains(&unused) {
            unused.push('_');
        }
        self.0.insert(unused.clone());
        unused
    }
}

impl Net {
    /// Reads a checked graph.
    ///
    /// # Errors
    /// [`Fault`], naming the node or tensor at fault.
    pub fn new(proto: &ModelProto) -> Result<Self, Fault> {
        let mut model = proto.clone();
        let graph = model.graph.get_or_insert_default();
        let nodes = std::mem::take(&mut graph.node);
        let tensors = std::mem::take(&mut graph.initializer);
        let names: HashSet<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
        let mut fed = graph.input.iter().map(|v| v.name.as_str());
        let Some(input) = fed.find(|name| !names.contains(name)) else {
            let reason = "it has no input for a picture".to_owned();
            return Err(Fault::node("graph", reason));
        };
        let input = input.to_owned();
        let mut types = graph.input.iter().filter_map(element);
        if types.any(|element| i64::from(element) == FLOAT16) {
            let reason = "it reads 16-bit floats: export the model in 32 bits".to_owned();
            return Err(Fault::node(&input, reason));
        }
        graph.input.retain(|value| value.name == input);
        graph.value_info.clear();
        let made = nodes
            .iter()
            .flat_map(|node| node.output.iter().chain(&node.input));
        let around = graph
            .input
            .iter()
            .chain(&graph.output)
            .map(|value| &value.name);
        let taken = made.chain(around).chain(tensors.iter().map(|t| &t.name));
        let taken = Names(taken.cloned().collect());
        let mut net = Self {
            names: taken,
            nodes: Vec::with_capacity(nodes.len()),
            stored: BTreeMap::new(),
            opaque: Vec::new(),
            input,
            model,
        };
        for tensor in tensors {
            match Constant::decode(&tensor) {
                Some(constant) => net.store(&tensor.name, constant)?,
                None => net.opaque.push(tensor),
            }
        }
        for node in nodes {
            net.add(node)?;
        }
        net.upgrade()?;
        net.prune();
        net.fold_norms();
        net.complete_convolutions();
        Ok(net)
    }

    fn store(&mut self, name: &str, constant: Constant) -> Result<(), Fault> {
        let floats = constant.floats().unwrap_or_default();
        if floats.iter().any(|v| v.is_nan()) {
            let reason = "holds NaN: the model was not trained or saved properly".to_owned();
            return Err(Fault::node(name, reason));
        }
        self.stored.insert(name.to_owned(), constant);
        Ok(())
    }

    /// Adds a node, or the constant that it makes.
    fn add(&mut self, mut node: NodeProto) -> Result<(), Fault> {
        let fail = |reason: &str| {
            let name = node_name(&node, self.nodes.len());
            Err(Fault::node(&name, reason.to_owned()))
        };
        if node
            .attribute
            .iter()
            .any(|a| a.g.is_some() || !a.graphs.is_empty())
        {
            return fail("holds a graph of its own: export the model without control flow");
        }
        if node.op_type == "Cast" && int(&node, "to", 0) == FLOAT16 {
            return fail("makes 16-bit floats: export the model in 32 bits");
        }
        let is_constant = node.op_type == "Constant";
        if node.output.is_empty() || (node.input.is_empty() && !is_constant) {
            return fail("reads or makes nothing");
        }
        if node.op_type == "Dropout" {
            // Which drops nothing outside of training.
            node.op_type = "Identity".into();
            node.attribute.clear();
            node.input.truncate(1);
            node.output.truncate(1);
        }
        let made = match node.op_type.as_str() {
            "Constant" => Constant::of_node(&node),
            "Identity" => self.constant(&node, 0).cloned(),
            "Cast" => {
                let input = self.constant(&node, 0);
                input.and_then(|input| input.cast(int(&node, "to", 0)))
            }
            _ => None,
        };
        match (made, &node.output[0]) {
            (Some(constant), output) if !self.wants(output) => {
                self.store(&output.clone(), constant)
            }
            _ => {
                self.nodes.push(node);
                Ok(())
            }
        }
    }

    /// Whether a tensor is an output of the graph.
    fn wants(&self, tensor: &str) -> bool {
        let mut outputs = self.model.graph.iter().flat_map(|graph| &graph.output);
        outputs.any(|output| output.name == tensor)
    }

    /// Leaves out what no output of the graph depends on.
    fn prune(&mut self) {
        let outputs = self.model.graph.iter().flat_map(|graph| &graph.output);
        let mut needed: HashSet<String> = outputs.map(|output| output.name.clone()).collect();
        let mut kept: Vec<NodeProto> = Vec::with_capacity(self.nodes.len());
        for node in std::mem::take(&mut self.nodes).into_iter().rev() {
            if node.output.iter().any(|output| needed.contains(output)) {
                needed.extend(node.input.iter().cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
    }

    /// The constant that an input of a node names.
    pub fn constant(&self, node: &NodeProto, input: usize) -> Option<&Constant> {
        self.stored.get(node.input.get(input)?)
    }

    /// The elements of a float constant that an input of a node names.
    pub fn floats(&self, node: &NodeProto, input: usize) -> Option<&[f32]> {
        self.constant(node, input)?.floats()
    }

    /// How the graph's tensors are connected.
    pub fn wiring(&self) -> Wiring {
        let mut wiring = Wiring::default();
        for (index, node) in self.nodes.iter().enumerate() {
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                wiring.maker.insert(output.clone(), index);
            }
            for input in node.input.iter().filter(|name| !name.is_empty()) {
                wiring.readers.entry(input.clone()).or_default().push(index);
            }
        }
        let graph = self.model.graph.as_ref();
        let outputs = graph.map_or(&[][..], |graph| &graph.output);
        wiring.outputs = outputs.iter().map(|o| o.name.clone()).collect();
        wiring
    }

    /// Whether the picture comes as real numbers, and not as bytes.
    pub fn is_real_picture(&self) -> bool {
        let graph = self.model.graph.as_ref();
        let input = graph.and_then(|graph| graph.input.first());
        // The number of floats in `TensorProto.DataType` in onnx.proto.
        input.and_then(element) == Some(1)
    }

    /// Raises the operator set to one that knows scales for each channel.
    fn upgrade(&mut self) -> Result<(), Fault> {
        self.model.ir_version = self.model.ir_version.max(FORMAT);
        let sets = self.model.opset_import.iter_mut();
        let Some(set) = sets.into_iter().find(|set| set.domain.is_empty()) else {
            return Ok(());
        };
        if set.version >= OPERATOR_SET {
            return Ok(());
        }
        let version = set.version;
        let changed = |node: &&NodeProto| {
            let mut changes = CHANGED.iter();
            changes.any(|&(op, since)| op == node.op_type && version < since)
        };
        if version < OLDEST {
            let reason = format!(
                "it is of operator set {version}; export the model for {OPERATOR_SET} or later"
            );
            return Err(Fault::node("graph", reason));
        }
        if let Some(node) = self.nodes.iter().find(changed) {
            let reason = format!(
                "{} means something else in operator set {} than in {OPERATOR_SET}, the first \
                 with scales for each channel: export the model for {OPERATOR_SET} or later",
                node.op_type, version
            );
            return Err(Fault::node(&node.name, reason));
        }
        set.version = OPERATOR_SET;
        Ok(())
    }

    /// Folds each BatchNormalization into the convolution before it, where nothing else
    /// reads that.
    fn fold_norms(&mut self) {
        let wiring = self.wiring();
        let mut folded = Vec::new();
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if node.op_type != "BatchNormalization" {
                continue;
            }
            let conv = wiring.sole_maker(&node.input[0], index);
            let Some(conv) = conv.filter(|&at| self.nodes[at].op_type == "Conv") else {
                continue;
            };
            if self.fold_norm(conv, index).is_some() {
                folded.push(index);
            }
        }
        for index in folded.into_iter().rev() {
            self.nodes.remove(index);
        }
    }

    /// `None` where the two are not of constants that fit.
    fn fold_norm(&mut self, conv: usize, norm: usize) -> Option<()> {
        let node = &self.nodes[norm];
        let epsilon = node.attribute.iter().find(|a| a.name == "epsilon");
        let epsilon = epsilon.map_or(1e-5, |a| f64::from(a.f));
        let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|input| self.floats(node, input));
        let (scale, shift, mean, variance) = (scale?, shift?, mean?, variance?);
        let before = &self.nodes[conv];
        let weights = self.constant(before, 1)?;
        let channels = *weights.shape.first()?;
        let lists = [scale, shift, mean, variance];
        if channels == 0 || lists.iter().any(|list| list.len() != channels) {
            return None;
        }
        let factor = |o: usize| f64::from(scale[o]) / (f64::from(variance[o]) + epsilon).sqrt();
        let mut kernel = weights.floats()?.to_vec();
        let row = kernel.len() / channels;
        for (o, row) in kernel.chunks_exact_mut(row.max(1)).enumerate() {
            row.iter_mut()
                .for_each(|w| *w = (f64::from(*w) * factor(o)) as f32);
        }
        let old = match before.input.get(2).filter(|name| !name.is_empty()) {
            None => None,
            // One that is worked out while the graph runs cannot be folded into.
            Some(_) => Some(self.floats(before, 2).filter(|old| old.len() == channels)?),
        };
        let bias = (0..channels).map(|o| {
            let old = old.map_or(0.0, |old| f64::from(old[o]));
            ((old - f64::from(mean[o])) * factor(o) + f64::from(shift[o])) as f32
        });
        let bias = vector(bias.collect());
        let kernel = Constant {
            shape: weights.shape.clone(),
            data: Data::F32(kernel),
        };
        let output = node.output[0].clone();
        self.set_constant(conv, 1, "folded", kernel);
        self.set_constant(conv, 2, "folded_bias", bias);
        self.nodes[conv].output[0] = output;
        Some(())
    }

    /// Gives every convolution a bias, and constants that nothing else reads.
    fn complete_convolutions(&mut self) {
        let mut readers: HashMap<String, usize> = HashMap::new();
        let read = self.nodes.iter().flat_map(|node| &node.input);
        for name in read {
            *readers.entry(name.clone()).or_default() += 1;
        }
        for index in 0..self.nodes.len() {
            if self.nodes[index].op_type != "Conv" {
                continue;
            }
            let Some(weights) = self.constant(&self.nodes[index], 1) else {
                continue;
            };
            let channels = weights.shape.first().copied().unwrap_or(0);
            if self.nodes[index].input.get(2).is_none_or(String::is_empty) {
                self.set_constant(index, 2, "bias", vector(vec![0.0; channels]));
            }
            for (input, what) in [(1, "own_weights"), (2, "own_bias")] {
                let name = &self.nodes[index].input[input];
                let is_shared = readers.get(name).is_some_and(|&n| n > 1) || self.wants(name);
                if let Some(constant) = self.stored.get(name).filter(|_| is_shared).cloned() {
                    self.set_constant(index, input, what, constant);
                }
            }
        }
    }

    /// Makes an input of a node a constant of its own.
    pub fn set_constant(&mut self, node: usize, input: usize, what: &str, constant: Constant) {
        let name = format!("{}_{what}", self.nodes[node].output[0]);
        let name = self.names.unused(&name);
        let inputs = &mut self.nodes[node].input;
        inputs.resize(inputs.len().max(input + 1), String::new());
        inputs[input] = name.clone();
        self.stored.insert(name, constant);
    }

    /// The names that are taken.
    pub fn names(&self) -> Names {
        self.names.clone()
    }

    /// The graph as a model, with further tensors as outputs behind its own.
    pub fn to_model(&self, further: &[String]) -> ModelProto {
        let mut model = self.model.clone();
        let graph = model.graph.get_or_insert_default();
        graph.node = self.nodes.clone();
        let stored = self.stored.iter();
        graph.initializer = stored.map(|(name, c)| encode(name, c)).collect();
        graph.initializer.extend(self.opaque.iter().cloned());
        let like = graph.output.first().cloned().unwrap_or_default();
        for name in further {
            let mut value = like.clone();
            value.name.clone_from(name);
            value.r#type = None;
            graph.output.push(value);
        }
        model
    }
}

/// Who makes a tensor and who reads it.
#[derive(Debug, Default)]
pub struct Wiring {
    maker: HashMap<String, usize>,
    readers: HashMap<String, Vec<usize>>,
    outputs: HashSet<String>,
}

impl Wiring {
    /// The node that makes a tensor.
    pub fn maker(&self, tensor: &str) -> Option<usize> {
        self.maker.get(tensor).copied()
    }

    /// The nodes that read a tensor, one as often as it does.
    pub fn readers(&self, tensor: &str) -> &[usize] {
        self.readers.get(tensor).map_or(&[], Vec::as_slice)
    }

    /// Whether a tensor is an output of the graph.
    pub fn is_output(&self, tensor: &str) -> bool {
        self.outputs.contains(tensor)
    }

    /// The node that makes a tensor which `reader` alone reads.
    pub fn sole_maker(&self, tensor: &str, reader: usize) -> Option<usize> {
        self.is_read_by_one(tensor)
            .filter(|&found| found == reader)
            .and_then(|_| self.maker(tensor))
    }

    /// The one node that reads a tensor which is no output.
    pub fn is_read_by_one(&self, tensor: &str) -> Option<usize> {
        match self.readers(tensor) {
            &[reader] if !self.is_output(tensor) => Some(reader),
            _ => None,
        }
    }
}

/// The number of an input's element type.
fn element(value: &ValueInfoProto) -> Option<i32> {
    let kind = value.r#type.as_ref()?.value.as_ref()?;
    let TypeValue::TensorType(tensor) = kind;
    Some(tensor.elem_type)
}

/// A list of floats.
pub fn vector(values: Vec<f32>) -> Constant {
    Constant {
        shape: vec![values.len()],
        data: Data::F32(values),
    }
}

/// A constant as ONNX stores it.
pub fn encode(name: &str, constant: &Constant) -> TensorProto {
    // The numbers of `TensorProto.DataType` in onnx.proto.
    let (data_type, raw_data) = match &constant.data {
        Data::F32(v) => (1, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Data::U8(v) => (2, v.clone()),
        Data::I8(v) => (3, v.iter().map(|&x| x as u8).collect()),
        Data::I32(v) => (6, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Data::I64(v) => (7, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
    };
    TensorProto {
        name: name.to_owned(),
        dims: constant.shape.iter().map(|&side| side as i64).collect(),
        data_type,
        raw_data,
        ..Default::default()
    }
}

/// An integer attribute of a node.
pub fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |a| a.i)
}

/// A list of integers, an attribute of a node.
pub fn ints<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    attribute(node, name).map_or(&[], |a| &a.ints)
}

/// A text attribute of a node; empty where it has none.
pub fn text<'a>(node: &'a NodeProto, name: &str) -> &'a str {
    let bytes = attribute(node, name).map_or(&[][..], |a| &a.s);
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}
