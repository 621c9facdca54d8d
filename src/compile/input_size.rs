//! The same network for another input size.
//!
//! Most operators follow the size of what they read. What a graph says in numbers
//! does not: the sizes of a resize, the repeats of a tile, the kernel of a pool
//! over the whole picture. Such a number means "as large as that tensor"; which
//! one, the size in the old graph tells. A node whose number fits no tensor, or
//! tensors that part ways, is refused by name.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

use super::constant::Constant;
use super::import::{self, Source};
use super::{CompileError, Fault, Refusal};
use crate::frame;
use crate::model::manifest::{Layout, OutputKind};
use crate::model::{Graph, Manifest};

/// The numbers of `TensorProto.DataType` in onnx.proto.
const INT64: i32 = 7;

/// Operators that read a picture and follow its size whatever their attributes.
const FOLLOWING: [&str; 56] = [
    "Abs",
    "Add",
    "ArgMax",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "Max",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "PRelu",
    "Pow",
    "QLinearAdd",
    "QLinearConcat",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearMul",
    "QLinearSigmoid",
    "QuantizeLinear",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    // One that holds a side in numbers no longer fits its input.
    "Reshape",
    "Shape",
    "Sigmoid",
    "Size",
    "Softmax",
    "Softplus",
    "SpaceToDepth",
    "Sqrt",
    "Sub",
    "Tanh",
    "Transpose",
];

/// The graph and its manifest for an input of `width` by `height` pixels; both as
/// they are where that is their size. `path` is for messages.
///
/// # Errors
/// [`CompileError::Bound`] with every node that is bound to the old size and cannot
/// follow; [`CompileError::Shape`] where the graph does not hold together at either
/// size, or where its mask or scores were of the input's size and would no longer be;
/// [`CompileError::TooLarge`].
pub fn at_input_size(
    graph: &Graph,
    manifest: &Manifest,
    (width, height): (u32, u32),
    path: &str,
) -> Result<(Graph, Manifest), CompileError> {
    let old = (manifest.input.width, manifest.input.height);
    if old == (width, height) {
        return Ok((graph.clone(), manifest.clone()));
    }
    let fail = |node: &str, reason: String| CompileError::Shape {
        path: path.to_owned(),
        node: node.to_owned(),
        reason,
    };
    if !frame::size_is_allowed(width, height) {
        let reason = format!("an input of {width}x{height} is not allowed");
        return Err(fail("input", reason));
    }
    let mut target = manifest.clone();
    (target.input.width, target.input.height) = (width, height);
    let mut proto = graph.proto().clone();
    let Some(nodes) = &mut proto.graph else {
        return Err(fail("graph", "there is none".into()));
    };
    match follow(nodes, manifest, &target) {
        Ok(()) => {}
        Err(Unable::Bound(refusals)) => {
            return Err(CompileError::Bound {
                path: path.to_owned(),
                width,
                height,
                refusals,
            });
        }
        Err(Unable::Fault(fault)) => return Err(fault.of(path)),
    }
    let graph = Graph::checked(proto, path).map_err(|error| fail("graph", error.to_string()))?;
    Ok((graph, target))
}

/// Why a graph does not follow.
enum Unable {
    Bound(Vec<Refusal>),
    Fault(Fault),
}

impl From<Fault> for Unable {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn follow(graph: &mut GraphProto, old: &Manifest, new: &Manifest) -> Result<(), Unable> {
    let before = Shapes::of(graph, old)?;
    let picture = before.picture().to_owned();
    // What the old size left in the file would contradict the new one.
    graph.value_info.clear();
    set_sides(graph, &picture, new);

    let mut pass = Pass::new(std::mem::take(&mut graph.node), &before);
    // Each round settles at least the first node that is left: what it reads depends
    // on no other of them.
    while !pass.bound.is_empty() && pass.refusals.is_empty() {
        let blocked = pass.blocked();
        let after = Shapes::of_nodes(graph, new, pass.free(&blocked), &picture)?;
        pass.settle(graph, &after, &blocked);
    }
    if !pass.refusals.is_empty() {
        return Err(Unable::Bound(pass.refusals));
    }
    graph.node = pass.nodes;
    let after = Shapes::of(graph, new)?;
    check_output(graph, (old, &before), (new, &after))?;
    for sides in graph.output.iter_mut().filter_map(sides_of) {
        sides.into_iter().for_each(|side| *side = None);
    }
    Ok(())
}

/// The sides of an input or output as the graph declares them.
fn sides_of(value: &mut ValueInfoProto) -> Option<Vec<&mut Option<Dim>>> {
    let TypeValue::TensorType(tensor) = value.r#type.as_mut()?.value.as_mut()?;
    let dims = &mut tensor.shape.as_mut()?.dim;
    Some(dims.iter_mut().map(|d| &mut d.value).collect())
}

/// Declares the picture's size.
fn set_sides(graph: &mut GraphProto, picture: &str, manifest: &Manifest) {
    let input = &manifest.input;
    let [row, column] = spatial_axes(input.layout);
    let values = graph.input.iter_mut().filter(|v| v.name == picture);
    for mut sides in values.filter_map(sides_of) {
        for (axis, side) in [(row, input.height), (column, input.width)] {
            if let Some(declared) = sides.get_mut(axis) {
                **declared = Some(Dim::DimValue(side.into()));
            }
        }
    }
}

/// Which axes of a picture are its rows and columns.
fn spatial_axes(layout: Layout) -> [usize; 2] {
    match layout {
        Layout::Nchw => [2, 3],
        Layout::Nhwc => [1, 2],
    }
}

/// Scores that were as fine as the input stay so: resampled once more they would no
/// longer lie where they did.
fn check_output(
    graph: &GraphProto,
    (old, before): (&Manifest, &Shapes),
    (new, after): (&Manifest, &Shapes),
) -> Result<(), Fault> {
    let name = graph.output.first().map_or("", |o| o.name.as_str());
    if old.output.kind != OutputKind::Logits {
        return Ok(());
    }
    let size = |shapes: &Shapes| {
        let [row, column] = spatial_axes(old.output.layout);
        let shape = shapes.shape(name)?;
        Some([*shape.get(row)?, *shape.get(column)?])
    };
    let input = |m: &Manifest| Some([m.input.height as usize, m.input.width as usize]);
    let (was, is) = (size(before), size(after));
    if was == input(old) && is != input(new) {
        let [height, width] = is.unwrap_or_default();
        return Err(Fault::Shape {
            node: name.to_owned(),
            reason: format!(
                "its scores were of the input's size, but for {}x{} they would be {width}x{height}; \
                 choose a size that the network's strides divide as they divide {}x{}",
                new.input.width, new.input.height, old.input.width, old.input.height
            ),
        });
    }
    Ok(())
}

/// The shapes of a graph's values at one input size.
struct Shapes {
    source: Source,
    names: HashMap<String, usize>,
}

impl Shapes {
    fn of(graph: &GraphProto, manifest: &Manifest) -> Result<Self, Fault> {
        let source = import::import(graph, manifest)?;
        let names = source.values.iter().enumerate();
        let names = names.map(|(i, v)| (v.name.clone(), i)).collect();
        Ok(Self { source, names })
    }

    /// As if the graph had these nodes only.
    fn of_nodes(
        graph: &mut GraphProto,
        manifest: &Manifest,
        nodes: Vec<NodeProto>,
        picture: &str,
    ) -> Result<Self, Fault> {
        let picture = graph.input.iter().find(|v| v.name == picture).cloned();
        let outputs = std::mem::replace(&mut graph.output, picture.into_iter().collect());
        graph.node = nodes;
        let shapes = Self::of(graph, manifest);
        graph.output = outputs;
        graph.node.clear();
        shapes
    }

    /// The shape of a value that is not a constant; `None` where it is not known.
    fn shape(&self, name: &str) -> Option<&[usize]> {
        let value = &self.source.values[*self.names.get(name)?];
        value.shape.as_deref().filter(|_| value.constant.is_none())
    }

    /// As [`shape`](Self::shape), of a picture.
    fn picture_shape(&self, name: &str) -> Option<[usize; 4]> {
        self.shape(name)?.try_into().ok()
    }

    /// The shape of a node's first input and output, where both are pictures.
    fn around(&self, node: &NodeProto) -> Option<([usize; 4], [usize; 4])> {
        let from = self.picture_shape(node.input.first()?)?;
        Some((from, self.picture_shape(node.output.first()?)?))
    }

    fn constant(&self, name: &str) -> Option<&Constant> {
        self.source.values[*self.names.get(name)?].constant.as_ref()
    }

    /// The picture's name.
    fn picture(&self) -> &str {
        &self.source.value(self.source.input).name
    }
}

/// How a node is bound to the old size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    /// Its result has the sides that a constant says.
    Sides,
    /// Its window covers the whole height or width of what it reads.
    Whole,
}

struct Pass<'a> {
    nodes: Vec<NodeProto>,
    /// Indices of those that are still bound to the old size, in order.
    bound: Vec<(usize, Binding)>,
    refusals: Vec<Refusal>,
    before: &'a Shapes,
    /// Values that depend on the picture.
    dependent: HashSet<String>,
}

impl<'a> Pass<'a> {
    /// Finds what is bound to the old size.
    fn new(nodes: Vec<NodeProto>, before: &'a Shapes) -> Self {
        let mut pass = Self {
            nodes,
            bound: Vec::new(),
            refusals: Vec::new(),
            before,
            dependent: HashSet::from([before.picture().to_owned()]),
        };
        for index in 0..pass.nodes.len() {
            let node = &pass.nodes[index];
            if !node.input.iter().any(|name| pass.dependent.contains(name)) {
                continue;
            }
            match binding(node, before) {
                Ok(None) => {}
                Ok(Some(binding)) => pass.bound.push((index, binding)),
                Err(reason) => pass.refuse(index, reason),
            }
            pass.dependent
                .extend(pass.nodes[index].output.iter().cloned());
        }
        pass
    }

    fn refuse(&mut self, index: usize, reason: String) {
        let node = &self.nodes[index];
        let name = if node.name.is_empty() {
            format!("{} {index}", node.op_type)
        } else {
            node.name.clone()
        };
        let op = node.op_type.clone();
        self.refusals.push(Refusal {
            node: name,
            op,
            reason,
        });
    }

    /// The values whose size is not known until every bound node is settled.
    fn blocked(&self) -> HashSet<String> {
        let mut blocked = HashSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let is_bound = self.bound.iter().any(|&(bound, _)| bound == index);
            if is_bound || node.input.iter().any(|name| blocked.contains(name)) {
                blocked.extend(node.output.iter().filter(|o| !o.is_empty()).cloned());
            }
        }
        blocked
    }

    /// The nodes that make none of `blocked`.
    fn free(&self, blocked: &HashSet<String>) -> Vec<NodeProto> {
        let is_free = |node: &&NodeProto| !node.output.iter().any(|o| blocked.contains(o));
        self.nodes.iter().filter(is_free).cloned().collect()
    }

    /// Settles every bound node that reads nothing blocked.
    fn settle(&mut self, graph: &mut GraphProto, after: &Shapes, blocked: &HashSet<String>) {
        let (waiting, ready) = self.bound.iter().partition(|&&(index, _)| {
            let inputs = &self.nodes[index].input;
            inputs.iter().any(|name| blocked.contains(name))
        });
        self.bound = waiting;
        let ready: Vec<(usize, Binding)> = ready;
        for (index, binding) in ready {
            let settled = match binding {
                Binding::Sides => self.new_sides(index, after).and_then(|sides| match sides {
                    Some(sides) => self.set_result(index, sides, after, graph),
                    None => Ok(()),
                }),
                Binding::Whole => self.widen(index, after),
            };
            if let Err(reason) = settled {
                self.refuse(index, reason);
            }
        }
    }

    /// The sides of a node's result at the new size: those of the tensors that had
    /// its sides at the old one. `None` where nothing changes.
    fn new_sides(&self, index: usize, after: &Shapes) -> Result<Option<[usize; 4]>, String> {
        let node = &self.nodes[index];
        let (Some((from, mut to)), Some(now)) = (
            self.before.around(node),
            node.input
                .first()
                .and_then(|name| after.picture_shape(name)),
        ) else {
            return Err("the size of what it reads is not known".into());
        };
        let mut axes = changed(from, to);
        axes.extend(changed(from, now));
        axes.sort_unstable();
        axes.dedup();
        if axes.is_empty() {
            return Ok(None);
        }
        let mut found: Vec<Vec<usize>> = Vec::new();
        for name in &self.dependent {
            let (Some(old), Some(new)) =
                (self.before.picture_shape(name), after.picture_shape(name))
            else {
                continue;
            };
            for twins in twins(&axes, &changed(old, new)) {
                let sides = twins.iter().map(|&twin| new[twin]).collect();
                let fits = axes
                    .iter()
                    .zip(&twins)
                    .all(|(&axis, &twin)| to[axis] == old[twin]);
                if fits && !found.contains(&sides) {
                    found.push(sides);
                }
            }
        }
        match found.as_slice() {
            [sides] => {
                for (&axis, &side) in axes.iter().zip(sides) {
                    to[axis] = side;
                }
                Ok(Some(to))
            }
            [] => Err(format!(
                "its result is {to:?} whatever the input's size, and no tensor of that size tells \
                 how it should follow"
            )),
            _ => Err(format!(
                "its result is {to:?}, and tensors of that size part ways at the new one"
            )),
        }
    }

    /// Makes a node's result have these sides.
    fn set_result(
        &mut self,
        index: usize,
        sides: [usize; 4],
        after: &Shapes,
        graph: &mut GraphProto,
    ) -> Result<(), String> {
        let node = &mut self.nodes[index];
        let from = node
            .input
            .first()
            .and_then(|name| after.picture_shape(name));
        let from = from.unwrap_or([1; 4]);
        let numbers = match node.op_type.as_str() {
            "Tile" => {
                let pairs = sides.iter().zip(from);
                let repeats =
                    pairs.map(|(&to, from)| to.checked_rem(from).map(|rest| (to / from, rest)));
                match repeats.collect::<Option<Vec<_>>>() {
                    Some(repeats) if repeats.iter().all(|&(_, rest)| rest == 0) => {
                        repeats.into_iter().map(|(times, _)| times).collect()
                    }
                    _ => return Err(format!("{from:?} cannot be repeated to {sides:?}")),
                }
            }
            _ => sides.to_vec(),
        };
        let Some(output) = node.output.first() else {
            return Err("it has no output".into());
        };
        let mut name = format!("{output}/sides");
        while self.before.names.contains_key(&name) {
            name.push('/');
        }
        let at = if node.op_type == "Resize" { 3 } else { 1 };
        node.input.resize(at + 1, String::new());
        if at == 3 {
            // Scales, which sizes take the place of.
            node.input[2].clear();
        }
        node.input[at].clone_from(&name);
        graph.initializer.push(TensorProto {
            name,
            dims: vec![4],
            data_type: INT64,
            int64_data: numbers.into_iter().map(|n| n as i64).collect(),
            ..TensorProto::default()
        });
        Ok(())
    }

    /// Makes a pool's window as large as what it reads, where it was.
    fn widen(&mut self, index: usize, after: &Shapes) -> Result<(), String> {
        let node = &mut self.nodes[index];
        let name = node.input.first().map_or("", String::as_str);
        let (Some(old), Some(new)) = (self.before.picture_shape(name), after.picture_shape(name))
        else {
            return Err("the size of what it reads is not known".into());
        };
        let kernel = node.attribute.iter_mut().find(|a| a.name == "kernel_shape");
        for (axis, side) in kernel
            .into_iter()
            .flat_map(|a| a.ints.iter_mut().enumerate())
        {
            let (old, new) = (old[2 + axis], new[2 + axis]);
            if *side != old as i64 {
                continue;
            }
            if old == 1 && new != 1 {
                return Err(format!(
                    "its window of one pixel covered the whole of what it reads, which is now {new} \
                     pixels: it may mean either"
                ));
            }
            *side = new as i64;
        }
        Ok(())
    }
}

/// The axes in which two shapes differ.
fn changed(a: [usize; 4], b: [usize; 4]) -> Vec<usize> {
    (0..4).filter(|&axis| a[axis] != b[axis]).collect()
}

/// The axes of another tensor that mean the same as `axes`: each list holds one for
/// each. That tensor's rows and columns are among those that `moved` with the size.
fn twins(axes: &[usize], moved: &[usize]) -> Vec<Vec<usize>> {
    let is_in = |axes: &[usize], layout| axes.iter().all(|a| spatial_axes(layout).contains(a));
    let mut twins = vec![axes.to_vec()];
    for (own, other) in [(Layout::Nchw, Layout::Nhwc), (Layout::Nhwc, Layout::Nchw)] {
        if is_in(axes, own) && is_in(moved, other) && !moved.is_empty() {
            let [row, column] = spatial_axes(other);
            let twin = |&axis: &usize| {
                if axis == spatial_axes(own)[0] {
                    row
                } else {
                    column
                }
            };
            twins.push(axes.iter().map(twin).collect());
        }
    }
    twins
}

/// How a node that reads what depends on the picture is bound to the old size;
/// `None` where it follows by itself, or is refused by the compiler anyway.
///
/// # Errors
/// Why it cannot follow.
fn binding(node: &NodeProto, before: &Shapes) -> Result<Option<Binding>, String> {
    let is_picture = |name: &String| before.picture_shape(name).is_some();
    if !node.input.iter().any(is_picture) {
        return Ok(None);
    }
    let op = node.op_type.as_str();
    if FOLLOWING.contains(&op) {
        return Ok(None);
    }
    let Some((from, to)) = before.around(node) else {
        return match op {
            "Resize" | "Upsample" | "Tile" | "Expand" | "Conv" | "QLinearConv" | "AveragePool"
            | "MaxPool" | "QLinearAveragePool" => Ok(None),
            _ => Err(unknown()),
        };
    };
    match op {
        "Resize" | "Upsample" => resized(node, from, before),
        "Tile" | "Expand" => {
            let is_stored = node
                .input
                .get(1)
                .is_some_and(|n| before.constant(n).is_some());
            Ok((is_stored && from != to).then_some(Binding::Sides))
        }
        "Conv" | "QLinearConv" => {
            let weights = node.input.get(if op == "Conv" { 1 } else { 3 });
            let kernel = weights.and_then(|name| {
                let constant = before.constant(name).map(|c| c.shape.as_slice());
                constant.or_else(|| before.shape(name))
            });
            let side = |axis: usize| kernel.and_then(|k| k.get(axis)).copied().unwrap_or(1);
            if (2..4).any(|axis| from[axis] > 1 && to[axis] == 1 && side(axis) > 1) {
                return Err("its weights span the whole of what it reads".into());
            }
            Ok(None)
        }
        "AveragePool" | "MaxPool" | "QLinearAveragePool" => pooled(node, from, to),
        _ => Err(unknown()),
    }
}

fn unknown() -> String {
    "whether it follows another size is not known".into()
}

fn resized(node: &NodeProto, from: [usize; 4], before: &Shapes) -> Result<Option<Binding>, String> {
    let stored = |index: usize| before.constant(node.input.get(index)?);
    let is_old = node.op_type == "Upsample" || node.input.len() == 2;
    if !is_old && stored(3).is_some_and(|sizes| sizes.len() > 0) {
        return Ok(Some(Binding::Sides));
    }
    let scales = stored(if is_old { 1 } else { 2 }).and_then(Constant::floats);
    let follows = |(&scale, side): (&f32, usize)| {
        // From one pixel to many, a scale is a size.
        (scale == 1.0 || side > 1) && (scale.fract() == 0.0 || scale.recip().fract() == 0.0)
    };
    match scales {
        Some(scales) if !scales.iter().zip(from).all(follows) => {
            if is_old {
                return Err(format!(
                    "its scales {scales:?} belong to the old size, and it takes no sizes"
                ));
            }
            Ok(Some(Binding::Sides))
        }
        _ => Ok(None),
    }
}

fn pooled(node: &NodeProto, from: [usize; 4], to: [usize; 4]) -> Result<Option<Binding>, String> {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let kernel = attribute("kernel_shape").map_or(&[][..], |a| &a.ints);
    let pads = attribute("pads").map_or(&[][..], |a| &a.ints);
    let is_same = attribute("auto_pad").is_some_and(|a| a.s.starts_with(b"SAME"));
    let mut binding = None;
    for axis in 0..2 {
        let (input, output) = (from[2 + axis], to[2 + axis]);
        let padded = is_same
            || [axis, axis + 2]
                .iter()
                .any(|&i| pads.get(i).is_some_and(|&p| p != 0));
        if output != 1 {
            continue;
        }
        if kernel.get(axis) == Some(&(input as i64)) && !padded {
            binding = Some(Binding::Whole);
        } else if input > 1 {
            return Err("its window covers the whole of what it reads only at the old size".into());
        }
    }
    Ok(binding)
}

#[cfg(test)]
mod tests;
