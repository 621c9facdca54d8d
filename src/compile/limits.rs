//! What a model may ask for at most, so that a hostile one ends in an error.

use crate::model::graph;
use crate::program::check;

/// Elements of one tensor.
pub const MAX_ELEMENTS: u64 = graph::MAX_ELEMENTS;
/// Operations of a program.
pub const MAX_STEPS: usize = check::MAX_OPS;
/// Tensors of a program.
pub const MAX_VALUES: usize = check::MAX_TENSORS;
/// Bytes of weights, biases, multipliers and tables.
pub const MAX_CONSTANT_BYTES: u64 = 1 << 29;
/// Bytes of the arena.
pub const MAX_ARENA_BYTES: u64 = check::MAX_ARENA_BYTES;
/// Parts of one concatenation.
pub const MAX_PARTS: usize = 1024;
/// Bytes of the names of the nodes that become one operation.
pub const MAX_JOINED_NAMES: usize = 1 << 14;
/// Weights of the convolution that takes some of the channels.
pub const MAX_SLICE_WEIGHTS: usize = 1 << 22;
