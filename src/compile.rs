//! From a quantized ONNX graph to a [`Program`]: everything in integers, or an
//! error that names every node which has no integer form.
//!
//! [`compile`] is a row of passes, each a module of its own: import (protobuf to
//! typed nodes with shapes), quantize (nodes to operations on codes), fuse
//! (activations and tables), argmax (the last resize), prune (dead operations),
//! residual (sums into convolutions), concat (parts in place), plan (the arena)
//! and emit. [`at_input_size`] goes before them where another input size is wanted
//! than the graph was exported for.
//!
//! Three forms of quantized graphs are read: QuantizeLinear and DequantizeLinear
//! around float operators, as ONNX Runtime writes them or as converters from
//! TFLite do, and operators on codes (QLinearConv and the like).
//!
//! What has an integer form, exactly as ONNX Runtime runs it or at most one code apart:
//! convolutions of any kind, products with matrices of weights, sums and products of
//! two tensors, arithmetic with constants, functions of one number, normalization by
//! channel, pools and means over the picture, concatenations and slices of channels, resizes,
//! borders of zeros before a window, reshapes and transposes that move no pixel, and
//! Softmax before the choice of the class. A real result that two operators read
//! without a quantization between them has none: it would be rounded once more than
//! the graph says.
//!
//! Where only some nodes have an integer form, [`region`] compiles the parts of the graph
//! that they make up.

use thiserror::Error;
use tract_onnx::pb::GraphProto;

use crate::model::{Graph, Manifest};
use crate::program::{Program, ProgramError, Resample};

mod argmax;
mod concat;
pub(crate) mod constant;
mod emit;
mod fuse;
mod import;
mod input_size;
mod limits;
mod net;
mod plan;
mod prune;
mod quantize;
pub mod region;
mod residual;
pub(crate) mod shape;
#[cfg(test)]
mod testing;
mod transpose;
mod weights;

pub(crate) use import::node_name;
pub use input_size::at_input_size;

/// What a program ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// The mask at the manifest's input size: the choice of the class, and the
    /// resize before it, are part of the program.
    #[default]
    Labels,
    /// Quantized scores. Whoever runs the program resamples them to the mask's size
    /// as the manifest says; a graph's own last resize is left out where it is that
    /// very one, and stays where it is another. So the mask is the same, but where a
    /// last activation or requantization, which is part of the scores and which the
    /// choice of the class goes without, makes several of them equal.
    Logits,
}

/// A program and where each of its operations came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// The program.
    pub program: Program,
    /// One entry for each of its operations, in their order.
    pub report: Vec<Placed>,
    /// Bytes of the largest set of tensors that live at the same time. The arena
    /// cannot be smaller.
    pub largest_live_bytes: u64,
}

/// An operation of the program and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The ONNX nodes, joined by `+`.
    pub node: String,
    /// The kind of operation: a variant of [`Op`](crate::program::Op).
    pub kind: &'static str,
    /// Rows, columns and channels of its result.
    pub shape: [u32; 3],
    /// Multiplications and additions of a convolution; 0 for anything else.
    pub macs: u64,
}

/// A node that has no integer form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its name, or its operator and place where it has none.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Why, and what to do.
    pub reason: String,
}

/// Why a graph was not compiled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompileError {
    /// Some nodes have no integer form.
    #[error("model '{path}': {}", refusals_text(refusals))]
    Unsupported {
        /// The model.
        path: String,
        /// All of them, in the graph's order.
        refusals: Vec<Refusal>,
    },
    /// The graph is a float graph.
    #[error(
        "model '{path}' is not quantized: it has no QuantizeLinear, DequantizeLinear or QLinear \
         nodes; quantize it first (static quantization, QDQ format), or run it as float"
    )]
    NotQuantized {
        /// The model.
        path: String,
    },
    /// The graph is bound to the input size it was exported for.
    #[error(
        "model '{path}' cannot be compiled for {width}x{height}: {}; export it for that size",
        named(refusals)
    )]
    Bound {
        /// The model.
        path: String,
        /// The input size that was asked for, in pixels.
        width: u32,
        /// Its height.
        height: u32,
        /// The nodes that do not follow it.
        refusals: Vec<Refusal>,
    },
    /// The graph does not hold together or does not fit its manifest.
    #[error("model '{path}', '{node}': {reason}")]
    Shape {
        /// The model.
        path: String,
        /// The node or tensor at fault.
        node: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The program made from the graph cannot be run: numbers that no sound model
    /// has.
    #[error("model '{path}': {fault}")]
    Unsound {
        /// The model.
        path: String,
        /// What is wrong with the program.
        fault: ProgramError,
    },
    /// Something is larger than the compiler allows.
    #[error("model '{path}': {what} is too large; the limit is {limit}")]
    TooLarge {
        /// The model.
        path: String,
        /// What it is.
        what: String,
        /// The limit, in elements, bytes or operations.
        limit: u64,
    },
}

/// Why a pass failed: a [`CompileError`] that does not know its model yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    Unsupported(Vec<Refusal>),
    Shape { node: String, reason: String },
    TooLarge { what: String, limit: u64 },
    Unsound(ProgramError),
}

impl Fault {
    fn of(self, path: &str) -> CompileError {
        let path = path.to_owned();
        match self {
            Self::Unsupported(refusals) => CompileError::Unsupported { path, refusals },
            Self::Shape { node, reason } => CompileError::Shape { path, node, reason },
            Self::TooLarge { what, limit } => CompileError::TooLarge { path, what, limit },
            Self::Unsound(fault) => CompileError::Unsound { path, fault },
        }
    }
}

/// Most refusals a message names.
const NAMED_REFUSALS: usize = 5;

fn refusals_text(refusals: &[Refusal]) -> String {
    let count = match refusals.len() {
        1 => "1 node has no integer form".to_owned(),
        n => format!("{n} nodes have no integer form"),
    };
    format!("{count}: {}", named(refusals))
}

/// The first refusals by their nodes' names, and how many more there are.
fn named(refusals: &[Refusal]) -> String {
    let mut lines: Vec<String> = refusals
        .iter()
        .take(NAMED_REFUSALS)
        .map(|Refusal { node, op, reason }| format!("'{node}' ({op}): {reason}"))
        .collect();
    if refusals.len() > NAMED_REFUSALS {
        lines.push(format!("and {} more", refusals.len() - NAMED_REFUSALS));
    }
    lines.join("; ")
}

/// Compiles a quantized graph to a program that ends in the mask at the manifest's
/// input size. `path` is for messages.
///
/// A graph's own ArgMax or last resize is merged into the last step, and logits of
/// another size are resampled as the manifest says.
///
/// # Errors
/// [`CompileError`], naming the nodes at fault.
pub fn compile(graph: &Graph, manifest: &Manifest, path: &str) -> Result<Compiled, CompileError> {
    compile_to(graph, manifest, Ending::Labels, path)
}

/// As [`compile`], to a program of either ending.
///
/// # Errors
/// As [`compile`].
pub fn compile_to(
    graph: &Graph,
    manifest: &Manifest,
    ending: Ending,
    path: &str,
) -> Result<Compiled, CompileError> {
    let proto = graph.proto().graph.as_ref();
    let Some(proto) = proto.filter(|graph| is_quantized(graph)) else {
        return Err(CompileError::NotQuantized { path: path.into() });
    };
    lower(proto, manifest, ending).map_err(|fault| fault.of(path))
}

/// Whether any node of the graph makes or reads codes.
pub(crate) fn is_quantized(graph: &GraphProto) -> bool {
    graph.node.iter().any(|node| {
        let op = node.op_type.as_str();
        op.starts_with("QLinear") || matches!(op, "QGemm" | "QuantizeLinear" | "DequantizeLinear")
    })
}

fn lower(graph: &GraphProto, manifest: &Manifest, ending: Ending) -> Result<Compiled, Fault> {
    let source = import::import(graph, manifest)?;
    let mut net = quantize::quantize(&source, manifest)?;
    let plan = optimize(&mut net, |net| match ending {
        Ending::Labels => argmax::merge_resize(net),
        Ending::Logits => {
            let reader = Resample::Bilinear(manifest.output.upsample.into());
            argmax::leave_resize(net, reader);
        }
    })?;
    let (program, report) = emit::emit(&net, &plan, ending)?;
    program.check().map_err(Fault::Unsound)?;
    Ok(Compiled {
        program,
        report,
        largest_live_bytes: plan.largest_live,
    })
}

/// The passes between the walk over the nodes and the program; `end` is what becomes of
/// the last resize.
fn optimize(net: &mut net::Net, end: impl FnOnce(&mut net::Net)) -> Result<plan::Plan, Fault> {
    fuse::fold_tables(net);
    fuse::hoist_tables(net);
    end(net);
    // Before sums are fused, so that a dead reader keeps no convolution apart.
    prune::prune(net);
    residual::fuse_residuals(net);
    concat::place_parts(net)?;
    plan::plan(net)
}

#[cfg(test)]
mod tests;
