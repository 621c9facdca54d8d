//! A convolution that mixes channels as a product of matrices: the rows of the first.

use crate::kernels::gather::Gather;
use crate::kernels::{ConvArgs, Source, Target};

/// Fewest output channels of a group, where there are several groups: fewer fill no
/// vector, and the scalar kernel is faster.
const LEAST_GROUP: usize = 8;

/// The codes under the window of each output pixel, a row each.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// How rows are laid out.
    pub gather: Gather,
    /// Groups.
    pub groups: usize,
    /// Output channels of all groups.
    pub outputs: usize,
    /// Codes of a row.
    pub depth: usize,
    /// Whether the rows are the picture itself, where the target has its size.
    pub pointwise: bool,
}

impl Rows {
    /// The rows of a convolution, laid out at multiples of `step` bytes; `None` where
    /// its groups are too small.
    pub fn new(args: &ConvArgs<'_>, step: usize) -> Option<Self> {
        let window = args.window;
        let outputs = args.bias.len();
        let depth = args.weights.len() / outputs;
        if args.groups > 1 && outputs / args.groups < LEAST_GROUP {
            return None;
        }
        let plain = window.kernel == [1, 1] && window.stride == [1, 1] && window.pad == [0, 0];
        Some(Self {
            gather: Gather {
                window,
                inputs: depth / (window.kernel[0] * window.kernel[1]),
                zero: args.input_zero_point,
                row_stride: depth.next_multiple_of(step),
            },
            groups: args.groups,
            outputs,
            depth,
            pointwise: plain && args.groups == 1,
        })
    }

    /// Input channels of all groups.
    pub fn inputs(&self) -> usize {
        self.groups * self.gather.inputs
    }

    /// Output channels of a group.
    pub fn group_outputs(&self) -> usize {
        self.outputs / self.groups
    }

    /// Whether the rows lie in the picture as they are.
    pub fn lie_in(&self, source: &Source<'_>, target: &Target<'_>) -> bool {
        self.pointwise && (source.height, source.width) == (target.height, target.width)
    }
}
