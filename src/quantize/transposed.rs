//! A transposed convolution with constant weights, as the quantizer sees it.

use tract_onnx::pb::NodeProto;

use super::conv::whole_scale;
use super::net::{Net, int};

/// Sides of a transposed convolution's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transposed {
    /// Input channels, output channels, rows, columns.
    pub shape: [usize; 4],
}

impl Transposed {
    /// Of a node, where it is a transposed convolution of one group over rows and columns
    /// whose weights, and bias if it has one, are constants that fit.
    pub fn of(net: &Net, node: &NodeProto) -> Option<Self> {
        if node.op_type != "ConvTranspose" || int(node, "group", 1) != 1 {
            return None;
        }
        let weights = net.constant(node, 1)?;
        let &[inputs, outputs, rows, columns] = weights.shape.as_slice() else {
            return None;
        };
        let has_bias = node.input.get(2).is_some_and(|name| !name.is_empty());
        let fits = !has_bias || net.floats(node, 2).is_some_and(|b| b.len() == outputs);
        (fits && weights.len() > 0 && weights.floats().is_some()).then_some(Self {
            shape: [inputs, outputs, rows, columns],
        })
    }

    /// Weights between one input and one output.
    pub fn taps(self) -> usize {
        self.shape[2] * self.shape[3]
    }

    /// The scales of the weights of each output: the largest weight keeps its size, and the
    /// bias fits a sum of products; `step` is the scale of what is read.
    pub fn scales(self, net: &Net, node: &NodeProto, step: f32) -> Option<Vec<f32>> {
        let weights = net.floats(node, 1)?;
        let bias = net.floats(node, 2);
        // Of each output the largest weight, at first.
        let mut scales = vec![0.0f32; self.shape[1]];
        for (index, plane) in weights.chunks_exact(self.taps()).enumerate() {
            let scale = &mut scales[index % self.shape[1]];
            *scale = plane.iter().fold(*scale, |m, w| m.max(w.abs()));
        }
        for (output, scale) in scales.iter_mut().enumerate() {
            *scale = whole_scale(*scale, bias.map_or(0.0, |bias| bias[output]), step);
        }
        Some(scales)
    }
}
