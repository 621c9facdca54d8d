//! A convolution with constant weights, as the quantizer sees it.

use tract_onnx::pb::NodeProto;

use super::net::{Net, int, ints, text};
use super::observe::Channels;
use crate::compile::shape::{self, WindowAttributes, WindowShape};

/// Largest code of a weight: codes are symmetric, so that a pair of products fits 16 bits.
pub const LARGEST_WEIGHT: f32 = 127.0;

/// Least scale of the sums of products.
const LEAST_SUM: f32 = 1e-30;

/// Sides of a convolution's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// Channels that it makes.
    pub outputs: usize,
    /// Channels that it reads.
    pub inputs: usize,
    pub groups: usize,
    /// Rows and columns.
    pub window: [usize; 2],
}

impl Kernel {
    /// Of a node, where it is a convolution over rows and columns whose weights and bias
    /// are constants that fit.
    pub fn of(net: &Net, node: &NodeProto) -> Option<Self> {
        if node.op_type != "Conv" {
            return None;
        }
        let weights = net.constant(node, 1)?;
        let &[outputs, per_group, rows, columns] = weights.shape.as_slice() else {
            return None;
        };
        let groups = usize::try_from(int(node, "group", 1)).ok()?;
        let kernel = Self {
            outputs,
            inputs: per_group.checked_mul(groups)?,
            groups,
            window: [rows, columns],
        };
        let bias = net.floats(node, 2)?;
        let is_whole = groups > 0 && outputs % groups == 0 && weights.len() > 0;
        (is_whole && bias.len() == outputs && weights.floats().is_some()).then_some(kernel)
    }

    /// Weights of one output.
    pub fn row(self) -> usize {
        self.inputs / self.groups * self.taps()
    }

    /// Cells of the window.
    pub fn taps(self) -> usize {
        self.window[0] * self.window[1]
    }

    /// The channel that the weights at `index`, counted over an output's channels, are for.
    pub fn input_of(self, output: usize, index: usize) -> usize {
        let per_group = self.inputs / self.groups;
        output / (self.outputs / self.groups) * per_group + index
    }
}

/// What a convolution reads.
#[derive(Debug, Clone)]
pub struct Reading<'a> {
    pub kernel: Kernel,
    /// What the channels held.
    pub held: &'a Channels,
    /// The share of the result's places at which each cell of the window lies on the picture,
    /// rows by columns.
    pub coverage: Vec<f64>,
}

impl<'a> Reading<'a> {
    /// Of a convolution with constant weights; `None` for any other node, and where `held` is
    /// not what it reads.
    pub fn of(net: &Net, node: &NodeProto, held: &'a Channels) -> Option<Self> {
        let kernel = Kernel::of(net, node)?;
        let &[_, channels, rows, columns] = held.shape.as_slice() else {
            return None;
        };
        let coverage = coverage(node, kernel, [rows, columns])?;
        (channels == kernel.inputs).then_some(Self {
            kernel,
            held,
            coverage,
        })
    }
}

/// The share of a result's places at which each cell of a window lies on the picture, rows
/// by columns; `input` is rows and columns. `None` where the window does not fit it.
fn coverage(node: &NodeProto, kernel: Kernel, input: [usize; 2]) -> Option<Vec<f64>> {
    let shape = shape::window(&WindowAttributes {
        input,
        kernel: kernel.window,
        strides: ints(node, "strides"),
        dilations: ints(node, "dilations"),
        pads: ints(node, "pads"),
        auto_pad: text(node, "auto_pad"),
        round_up: false,
    });
    let WindowShape { window, output, .. } = shape.ok()?;
    let share = |axis: usize| -> Vec<f64> {
        let [stride, dilation, before] =
            [window.stride, window.dilation, window.pad].map(|of| i64::from(of[axis]));
        let inside = |tap: i64| {
            let at = |place: i64| place * stride - before + tap * dilation;
            let places = 0..output[axis] as i64;
            let inside = places.filter(|&place| (0..input[axis] as i64).contains(&at(place)));
            inside.count() as f64 / output[axis] as f64
        };
        (0..kernel.window[axis] as i64).map(inside).collect()
    };
    let (rows, columns) = (share(0), share(1));
    let cells = rows.iter().flat_map(|r| columns.iter().map(move |c| r * c));
    Some(cells.collect())
}

/// The scales of the weights of each output of a convolution; `step` is the scale of what it
/// reads.
pub fn weight_scales(
    net: &Net,
    node: &NodeProto,
    reading: &Reading<'_>,
    step: f32,
) -> Option<Vec<f32>> {
    let Reading {
        kernel,
        held,
        coverage,
    } = reading;
    let (weights, bias) = (net.floats(node, 1)?, net.floats(node, 2)?);
    let rows = weights.chunks_exact(kernel.row()).zip(bias).enumerate();
    let scales = rows.map(|(output, (row, &bias))| {
        let importance: Vec<f64> = (0..kernel.inputs / kernel.groups)
            .flat_map(|index| {
                let square = held.mean_square(kernel.input_of(output, index));
                coverage.iter().map(move |share| share * square)
            })
            .collect();
        weight_scale(row, &importance, bias, step)
    });
    Some(scales.collect())
}

/// The least scale of weights beside a bias, where `step` is that of what is read.
fn least_scale(bias: f32, step: f32) -> f32 {
    // Sums are of 32 bits; the rest of them is for the products.
    let room = bias.abs() / step / (1 << 29) as f32;
    // Scales of sums are products, and must be numbers that no runtime takes for zero.
    room.max(LEAST_SUM / step.min(1.0))
}

/// The scale in which the largest weight is the largest code; any will do where all are 0.
pub fn whole_scale(largest: f32, bias: f32, step: f32) -> f32 {
    let largest = if largest == 0.0 { 1.0 } else { largest };
    (largest / LARGEST_WEIGHT).max(least_scale(bias, step))
}

/// The scale of one output's weights.
///
/// It makes the squared error of rounding smallest; `importance` is the mean square of what
/// each weight is multiplied with. It is large enough for `bias` to be a sum of products:
/// `step` is the scale of what is read.
fn weight_scale(weights: &[f32], importance: &[f64], bias: f32, step: f32) -> f32 {
    let largest = weights.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    let whole = whole_scale(largest, bias, step);
    if largest == 0.0 {
        return whole;
    }
    let least = least_scale(bias, step);
    let error = |scale: f32| -> f64 {
        let each = weights.iter().zip(importance);
        each.map(|(&w, &importance)| f64::from(w - rounded(w, scale) * scale).powi(2) * importance)
            .sum()
    };
    let shares = (0..16).map(|step| whole * (1.0 - step as f32 / 80.0));
    let scales = shares.filter(|&scale| scale >= least);
    let best = scales.map(|scale| (error(scale), scale));
    best.min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(whole, |(_, scale)| scale)
}

/// The code of a weight, as a real number.
pub fn rounded(weight: f32, scale: f32) -> f32 {
    (weight / scale)
        .round_ties_even()
        .clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::AttributeProto;

    #[test]
    fn a_window_hangs_over_the_border_by_its_dilation() {
        let list = |name: &str, ints: &[i64]| AttributeProto {
            name: name.into(),
            ints: ints.to_vec(),
            ..Default::default()
        };
        let node = NodeProto {
            attribute: vec![list("pads", &[2, 1, 2, 1]), list("dilations", &[2, 1])],
            ..Default::default()
        };
        let kernel = Kernel {
            outputs: 1,
            inputs: 1,
            groups: 1,
            window: [3, 3],
        };
        let shares = coverage(&node, kernel, [4, 10]).unwrap();
        let rows = [0.5, 1.0, 0.5];
        let columns = [0.9, 1.0, 0.9];
        for (at, share) in shares.iter().enumerate() {
            assert!(
                (share - rows[at / 3] * columns[at % 3]).abs() < 1e-12,
                "{at}"
            );
        }
    }

    #[test]
    fn a_scale_never_makes_a_bias_overflow() {
        let scale = weight_scale(&[1e-9, -1e-9], &[1.0, 1.0], 3.0, 0.01);
        assert!(3.0 / (0.01 * scale) <= (1 << 30) as f32);
        assert!(weight_scale(&[0.0; 4], &[1.0; 4], 0.0, 1.0) > 0.0);
    }

    #[test]
    fn weights_of_nothing_but_zeros_have_a_sound_scale() {
        for step in [1.0, 1e-9, 1e-36] {
            let scale = weight_scale(&[0.0; 4], &[1.0; 4], 0.0, step);
            assert!(
                scale * step >= f32::MIN_POSITIVE && scale.is_finite(),
                "{step}"
            );
        }
    }

    #[test]
    fn a_scale_fits_the_weights_that_matter() {
        let weights = [0.5, 0.27, -0.13, 1.0];
        // What nothing is multiplied with may be cut off.
        let [plain, cut] =
            [1.0, 0.0].map(|last| weight_scale(&weights, &[1.0, 1.0, 1.0, last], 0.0, 1.0));
        assert!((0.8 / 127.0..=1.0 / 127.0).contains(&plain), "{plain}");
        let error = |scale: f32| -> f32 {
            let kept = weights[..3].iter();
            kept.map(|&w| (w - rounded(w, scale) * scale).powi(2)).sum()
        };
        assert!(error(cut) < error(plain), "{cut} {plain}");
    }
}
