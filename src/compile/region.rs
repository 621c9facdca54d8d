//! Mixed graphs: the parts of a quantized graph that have an integer form, each a
//! program of its own, and what is left for another engine.
//!
//! Whether a node has an integer form depends on its neighbours: a convolution has one
//! where its result is quantized. So the graph is walked (`quantize::region`) until no
//! node that has one is read, before its result is codes, by a node that has none.
//! What is left is parted into regions (`partition`).
//!
//! A region may have several inputs and outputs, each a tensor of the graph. One
//! without a multiplication is not worth the way in and out, and stays with the others.

use std::collections::{BTreeMap, HashMap};

use tract_onnx::pb::{GraphProto, NodeProto};

use super::import::{self, Operator, Source, SourceId, SourceNode};
use super::quantize::region::{self as walk, Form, Found, Survey};
use super::{CompileError, Ending, Fault, Placed, Refusal, argmax, emit, optimize};
use crate::model::graph::Element;
use crate::model::{Graph, Manifest};
use crate::program::{Quant, Region};
use partition::{Vertex, partition};

mod partition;
#[cfg(test)]
mod tests;

pub use import::Shapes;

/// Most walks over a graph until it is known which nodes have an integer form. Two or
/// three are needed as a rule.
const MAX_WALKS: usize = 16;

/// A tensor of the graph where a region begins or ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// Its name in the graph.
    pub name: String,
    /// Its sides in the graph.
    pub shape: Vec<usize>,
    /// Real numbers (F32), or signed (I8) or unsigned (U8) codes.
    pub element: Element,
    /// What the codes mean, as unsigned ones: 128 more than signed ones.
    pub quant: Quant,
    /// Elements from one row, column and channel to the next.
    pub steps: [usize; 3],
}

/// A part of a graph as a program.
#[derive(Debug, Clone, PartialEq)]
pub struct CompiledRegion {
    /// The program.
    pub region: Region,
    /// One entry for each of its operations, in their order.
    pub report: Vec<Placed>,
    /// The tensors its inputs are made from.
    pub inputs: Vec<Port>,
    /// The tensors its outputs become.
    pub outputs: Vec<Port>,
    /// Whether it ends in the mask, and so takes the place of the graph's output.
    pub gives_mask: bool,
    /// The graph's nodes it stands for, by their places in the graph's list.
    pub nodes: Vec<usize>,
    /// Names of the nodes it reads or is read by and that are in no region.
    pub neighbours: Vec<String>,
    /// Multiplications and additions in its nodes.
    pub macs: u64,
}

/// A graph taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixed {
    /// The parts with an integer form, in the order of their first nodes. No two wait for
    /// each other.
    pub regions: Vec<CompiledRegion>,
    /// The other nodes that depend on the picture, in the graph's order, and why they
    /// are none of a region's.
    pub others: Vec<Refusal>,
    /// Multiplications and additions of all nodes that the output depends on, as far as
    /// they are known.
    pub macs: u64,
}

impl Mixed {
    /// Whether the regions hold half of all multiplications and additions, or more.
    ///
    /// What is in them is several times as fast there; with less than half the rest
    /// decides, and the way in and out of each region costs.
    pub fn is_worth_it(&self) -> bool {
        !self.regions.is_empty() && self.integer_macs() >= self.macs.div_ceil(2)
    }

    /// Multiplications and additions in regions.
    pub fn integer_macs(&self) -> u64 {
        self.regions.iter().map(|region| region.macs).sum()
    }
}

/// Compiles the parts of a quantized graph that have an integer form. `shapes` is asked
/// for the shapes of the nodes' results where some are of operators that the compiler
/// does not know; what reads a result of unknown shape is in no region. `path` is for
/// messages.
///
/// # Errors
/// [`CompileError`] where the graph is not quantized, does not hold together or is too
/// large. That a graph has no region is no error.
pub fn compile_regions(
    graph: &Graph,
    manifest: &Manifest,
    shapes: impl FnOnce() -> Shapes,
    path: &str,
) -> Result<Mixed, CompileError> {
    let proto = graph.proto().graph.as_ref();
    let Some(proto) = proto.filter(|graph| super::is_quantized(graph)) else {
        return Err(CompileError::NotQuantized { path: path.into() });
    };
    take_apart(proto, manifest, shapes).map_err(|fault| fault.of(path))
}

fn take_apart(
    graph: &GraphProto,
    manifest: &Manifest,
    shapes: impl FnOnce() -> Shapes,
) -> Result<Mixed, Fault> {
    let mut source = import::import(graph, manifest)?;
    if !source.refusals.is_empty() {
        source = import::import_with(graph, manifest, &shapes())?;
    }
    let links = Links::of(graph, &source);
    let mut parting = Parting::new(&source, manifest, &links)?;
    for _ in 0..MAX_WALKS {
        let is_settled = !parting.withdraw_waiting();
        if is_settled && let Some(numbers) = parting.regions() {
            return parting.compile(&numbers);
        }
        parting.walk_again()?;
    }
    let reason = format!("which nodes have an integer form is not settled in {MAX_WALKS} walks");
    Err(Fault::Shape {
        node: "graph".into(),
        reason,
    })
}

/// The names that a node reads: its inputs, and what its subgraphs use, some of which is
/// their own.
pub fn names_read(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).collect();
    for attribute in &node.attribute {
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            names.extend(graph.node.iter().flat_map(names_read));
            names.extend(graph.output.iter().map(|output| output.name.as_str()));
        }
    }
    names
}

/// How the nodes of a graph hang together.
struct Links {
    nodes: Vec<Link>,
    /// The node that makes the graph's output.
    last: Option<usize>,
}

/// A node of the graph among the others.
struct Link {
    name: String,
    op: String,
    /// Its place in [`Source::nodes`]; `None` where it is not known or stands aside.
    typed: Option<usize>,
    /// Whether it was folded into a constant, or the graph's output does not depend on it.
    is_aside: bool,
    /// What it reads of other nodes, and which.
    reads: Vec<(usize, SourceId)>,
}

impl Links {
    fn of(graph: &GraphProto, source: &Source) -> Self {
        let mut typed = vec![None; graph.node.len()];
        for (place, node) in source.nodes.iter().enumerate() {
            // A region has no place for second results, such as a pool's indices.
            let outputs = graph.node[node.index].output.iter();
            if outputs.filter(|name| !name.is_empty()).count() == 1 {
                typed[node.index] = Some(place);
            }
        }
        let values = source.values.iter().enumerate();
        let ids: HashMap<&str, SourceId> = values
            .map(|(id, value)| (value.name.as_str(), SourceId(id)))
            .collect();
        let mut makers: HashMap<&str, usize> = HashMap::new();
        let mut nodes = Vec::with_capacity(graph.node.len());
        for (index, node) in graph.node.iter().enumerate() {
            let made = names_read(node).into_iter().filter_map(|name| {
                let maker = *makers.get(name)?;
                Some((maker, *ids.get(name)?))
            });
            let reads = made.collect();
            let output = node.output.first().and_then(|name| ids.get(name.as_str()));
            nodes.push(Link {
                name: import::node_name(node, index),
                op: node.op_type.clone(),
                typed: typed[index],
                is_aside: output.is_some_and(|&id| source.value(id).constant.is_some()),
                reads,
            });
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                makers.insert(output, index);
            }
        }
        let output = source.value(source.output).name.as_str();
        let last = makers.get(output).copied();
        let mut is_needed = vec![false; nodes.len()];
        if let Some(last) = last {
            is_needed[last] = true;
        }
        for (index, link) in nodes.iter_mut().enumerate().rev() {
            if is_needed[index] {
                for &(maker, _) in &link.reads {
                    is_needed[maker] = true;
                }
            } else {
                (link.is_aside, link.typed) = (true, None);
                link.reads.clear();
            }
        }
        Self { nodes, last }
    }
}

/// A graph while it is taken apart.
struct Parting<'a> {
    source: &'a Source,
    manifest: &'a Manifest,
    links: &'a Links,
    /// For each of [`Source::nodes`] whether it may be in a region.
    within: Vec<bool>,
    survey: Survey,
    /// Why nodes of the graph are in no region though they could be.
    reasons: BTreeMap<usize, String>,
}

impl<'a> Parting<'a> {
    fn new(source: &'a Source, manifest: &'a Manifest, links: &'a Links) -> Result<Self, Fault> {
        let mut within = vec![false; source.nodes.len()];
        for place in links.nodes.iter().filter_map(|link| link.typed) {
            within[place] = true;
        }
        let survey = walk::survey(source, manifest, &within)?;
        Ok(Self {
            source,
            manifest,
            links,
            within,
            survey,
            reasons: BTreeMap::new(),
        })
    }

    fn walk_again(&mut self) -> Result<(), Fault> {
        self.survey = walk::survey(self.source, self.manifest, &self.within)?;
        Ok(())
    }

    /// What a node's result is.
    fn found(&self, index: usize) -> Found {
        let link = &self.links.nodes[index];
        match link.typed {
            _ if link.is_aside => Found::Constant,
            Some(place) if self.within[place] => {
                self.survey.found[self.source.nodes[place].output.0]
            }
            _ => Found::Outside,
        }
    }

    fn is_integer(&self, index: usize) -> bool {
        matches!(self.found(index), Found::Coded(_) | Found::Waiting)
    }

    /// What a node reads of other nodes that depend on the picture.
    fn reads(&self, index: usize) -> impl Iterator<Item = (usize, SourceId)> {
        let reads = self.links.nodes[index].reads.iter().copied();
        reads.filter(|&(maker, _)| self.found(maker) != Found::Constant)
    }

    /// Takes a node out of the regions.
    fn withdraw(&mut self, index: usize, reason: String) {
        if let Some(place) = self.links.nodes[index].typed {
            self.within[place] = false;
        }
        self.reasons.insert(index, reason);
    }

    /// Takes out the nodes whose result others read before it is codes. Whether there
    /// were any.
    fn withdraw_waiting(&mut self) -> bool {
        let mut withdrawn = false;
        // Which node that is in no region reads each one.
        let mut read_by: Vec<Option<usize>> = vec![None; self.links.nodes.len()];
        // From the end: a node that is taken out reads others in its turn.
        for index in (0..self.links.nodes.len()).rev() {
            if self.is_integer(index) {
                let leaves = self.links.last == Some(index) && !self.survey.gives_mask;
                let reason = match read_by[index] {
                    _ if self.found(index) != Found::Waiting => continue,
                    Some(reader) => format!(
                        "'{}' reads its result before that is quantized",
                        self.links.nodes[reader].name
                    ),
                    None if leaves => "its result leaves the graph before it is quantized".into(),
                    None => continue,
                };
                self.withdraw(index, reason);
                withdrawn = true;
            }
            for &(maker, _) in &self.links.nodes[index].reads {
                read_by[maker] = read_by[maker].or(Some(index));
            }
        }
        withdrawn
    }

    /// The region of each node; `None` where nodes had to be taken out for it.
    fn regions(&mut self) -> Option<Vec<Option<usize>>> {
        let vertex = |index: usize| Vertex {
            is_integer: self.is_integer(index),
            reads: self.reads(index).map(|(maker, _)| maker).collect(),
            bonds: (self.reads(index))
                .filter(|&(maker, _)| self.found(maker) == Found::Waiting)
                .map(|(maker, _)| maker)
                .collect(),
        };
        let vertices: Vec<Vertex> = (0..self.links.nodes.len()).map(vertex).collect();
        match partition(&vertices) {
            Ok(regions) => Some(regions),
            Err(torn) => {
                for index in torn {
                    let reason = "its result is read before it is quantized, by nodes between \
                                  which another one stands that has no integer form";
                    self.withdraw(index, reason.into());
                }
                None
            }
        }
    }

    /// Makes the programs of the regions that are worth it.
    fn compile(mut self, numbers: &[Option<usize>]) -> Result<Mixed, Fault> {
        let count = numbers.iter().flatten().max().map_or(0, |&last| last + 1);
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (index, number) in numbers.iter().enumerate() {
            if let Some(number) = number {
                members[*number].push(index);
            }
        }
        let mut regions = Vec::with_capacity(count);
        let mut in_region = vec![false; numbers.len()];
        for nodes in members {
            let macs = nodes.iter().map(|&index| self.macs(index)).sum();
            if macs == 0 {
                for index in nodes {
                    let reason = "nothing around it multiplies, so that a program is not worth \
                                  the way in and out";
                    self.reasons.insert(index, reason.into());
                }
                continue;
            }
            for &index in &nodes {
                in_region[index] = true;
            }
            let region = self.region(nodes, numbers, macs)?;
            regions.push(region);
        }
        for region in &mut regions {
            region.neighbours = self.neighbours(&region.nodes, &in_region);
        }
        let nodes = 0..numbers.len();
        let is_other = |&index: &usize| !in_region[index] && self.found(index) != Found::Constant;
        Ok(Mixed {
            regions,
            others: nodes
                .clone()
                .filter(is_other)
                .map(|i| self.other(i))
                .collect(),
            macs: nodes.map(|index| self.macs(index)).sum(),
        })
    }

    /// The program of one region.
    fn region(
        &self,
        nodes: Vec<usize>,
        numbers: &[Option<usize>],
        macs: u64,
    ) -> Result<CompiledRegion, Fault> {
        let number = numbers[nodes[0]];
        let output = |index: usize| {
            let place = self.links.nodes[index].typed;
            place.map(|place| self.source.nodes[place].output)
        };
        let within = self.with_constants(&nodes);
        let mut coded: Vec<(SourceId, Form)> = Vec::new();
        for &index in &nodes {
            for (maker, id) in self.reads(index) {
                if let Found::Coded(form) = self.found(maker)
                    && numbers[maker] != number
                    && coded.iter().all(|&(known, _)| known != id)
                {
                    coded.push((id, form));
                }
            }
        }
        let last = self.links.last.filter(|&last| numbers[last] == number);
        let gives_mask = last.is_some() && self.survey.gives_mask;
        let mut is_kept = vec![false; numbers.len()];
        for (index, other) in numbers.iter().enumerate() {
            if *other != number {
                for (maker, _) in self.reads(index) {
                    is_kept[maker] = true;
                }
            }
        }
        let kept = nodes.iter().filter(|&&index| is_kept[index]);
        let kept: Vec<SourceId> = kept.filter_map(|&index| output(index)).collect();
        let made = walk::quantize_region(
            self.source,
            self.manifest,
            &within,
            &coded,
            &kept,
            gives_mask,
        )?;
        let mut net = made.net;
        let plan = optimize(&mut net, argmax::merge_resize)?;
        let (region, report) = emit::emit_region(&net, &plan, Ending::Labels)?;
        region.check().map_err(Fault::Unsound)?;
        let ports = |ports: &[(SourceId, Form)]| ports.iter().map(|p| self.port(p)).collect();
        let compiled = CompiledRegion {
            inputs: ports(&made.inputs),
            outputs: ports(&made.outputs),
            region,
            report,
            gives_mask,
            nodes,
            neighbours: Vec::new(),
            macs,
        };
        let (ports, region) = ([&compiled.inputs, &compiled.outputs], &compiled.region);
        if ports.map(Vec::len) != [&region.inputs, &region.outputs].map(Vec::len) {
            return Err(Fault::Shape {
                node: self.links.nodes[compiled.nodes[0]].name.clone(),
                reason: "its region's program lost an input or output".into(),
            });
        }
        Ok(compiled)
    }

    /// For each of [`Source::nodes`] whether it is one of these nodes, or makes a constant
    /// that they depend on.
    fn with_constants(&self, nodes: &[usize]) -> Vec<bool> {
        let mut within = vec![false; self.within.len()];
        let mut waiting = nodes.to_vec();
        while let Some(index) = waiting.pop() {
            let Some(place) = self.links.nodes[index].typed else {
                continue;
            };
            if !std::mem::replace(&mut within[place], true) {
                let makers = self.links.nodes[index]
                    .reads
                    .iter()
                    .map(|&(maker, _)| maker);
                waiting.extend(makers.filter(|&maker| self.found(maker) == Found::Constant));
            }
        }
        within
    }

    /// The names of the nodes beside a region's that are in none.
    fn neighbours(&self, nodes: &[usize], in_region: &[bool]) -> Vec<String> {
        let mut is_near = vec![false; in_region.len()];
        let mut is_here = vec![false; in_region.len()];
        for &index in nodes {
            is_here[index] = true;
            for (maker, _) in self.reads(index) {
                is_near[maker] = true;
            }
        }
        for (index, is_near) in is_near.iter_mut().enumerate() {
            *is_near |= self.reads(index).any(|(maker, _)| is_here[maker]);
        }
        let near = (0..in_region.len()).filter(|&index| is_near[index] && !in_region[index]);
        near.map(|index| self.links.nodes[index].name.clone())
            .collect()
    }

    fn port(&self, (id, form): &(SourceId, Form)) -> Port {
        let value = self.source.value(*id);
        let shape = value.shape.clone().unwrap_or_default();
        Port {
            name: value.name.clone(),
            steps: form.steps(&shape),
            element: form.element,
            quant: form.quant,
            shape,
        }
    }

    /// Multiplications and additions of a node.
    fn macs(&self, index: usize) -> u64 {
        let place = self.links.nodes[index].typed;
        place.map_or(0, |place| macs(self.source, &self.source.nodes[place]))
    }

    /// A node that is none of a region's, and why.
    fn other(&self, index: usize) -> Refusal {
        let Link { name, op, .. } = &self.links.nodes[index];
        let refused = |refusal: &&Refusal| refusal.node == *name && refusal.op == *op;
        let reason = match (
            self.reasons.get(&index),
            self.survey.refusals.iter().find(refused),
        ) {
            (Some(reason), _) => reason.clone(),
            (None, Some(refusal)) => refusal.reason.clone(),
            (None, None) => match self
                .reads(index)
                .find(|&(maker, _)| !self.is_integer(maker))
            {
                Some((maker, _)) => format!(
                    "it reads the result of '{}', which is not codes",
                    self.links.nodes[maker].name
                ),
                None => "it reads what is not codes".into(),
            },
        };
        Refusal {
            node: name.clone(),
            op: op.clone(),
            reason,
        }
    }
}

/// Multiplications and additions of a convolution or a product with a matrix; 0 for
/// anything else.
fn macs(source: &Source, node: &SourceNode) -> u64 {
    let (operator, second) = match &node.operator {
        Operator::OnCodes(operator, inputs) => (&**operator, inputs.operands.get(1).copied()),
        operator => (operator, Some(1)),
    };
    let shape = |id: SourceId| source.value(id).shape.as_deref().unwrap_or(&[]);
    let elements = |sides: &[usize]| super::shape::elements(sides).unwrap_or(0);
    let weights = second
        .and_then(|at| *node.inputs.get(at)?)
        .map_or(0, |id| elements(shape(id)));
    let result = shape(node.output);
    let repeated = match operator {
        // Each weight is used at each pixel of the result.
        Operator::Conv { .. } => result.get(2..).map_or(0, elements),
        Operator::MatMul { .. } => result.split_last().map_or(0, |(_, sides)| elements(sides)),
        _ => 0,
    };
    weights.saturating_mul(repeated)
}
