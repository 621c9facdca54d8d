//! A convolution with constant weights, as the quantizer sees it.

use tract_onnx::pb::NodeProto;

use super::net::{Net, int, ints, text};

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

/// The share of a result's places at which each cell of a window lies on the picture, rows
/// by columns; `input` is rows and columns.
pub fn coverage(node: &NodeProto, kernel: Kernel, input: [usize; 2]) -> Vec<f64> {
    let share = |axis: usize| -> Vec<f64> {
        let get = |name: &str, at: usize, default: i64| {
            ints(node, name).get(at).copied().unwrap_or(default)
        };
        let (stride, dilation) = (get("strides", axis, 1).max(1), get("dilations", axis, 1));
        let (side, taps) = (input[axis] as i64, kernel.window[axis] as i64);
        let reach = dilation * (taps - 1);
        let (before, places) = match text(node, "auto_pad") {
            "SAME_UPPER" | "SAME_LOWER" => {
                let places = (side + stride - 1) / stride;
                let total = ((places - 1) * stride + reach + 1 - side).max(0);
                let upper = text(node, "auto_pad") == "SAME_UPPER";
                ((total + i64::from(!upper)) / 2, places)
            }
            "VALID" => (0, (side - reach - 1) / stride + 1),
            _ => {
                let (before, after) = (get("pads", axis, 0), get("pads", axis + 2, 0));
                (before, (side + before + after - reach - 1) / stride + 1)
            }
        };
        let inside = |tap: i64| {
            let at = |place: i64| place * stride - before + tap * dilation;
            let inside = (0..places).filter(|&place| (0..side).contains(&at(place)));
            inside.count() as f64 / places.max(1) as f64
        };
        (0..taps).map(inside).collect()
    };
    let (rows, columns) = (share(0), share(1));
    rows.iter()
        .flat_map(|r| columns.iter().map(move |c| r * c))
        .collect()
}

/// The scale of one output's weights.
///
/// It makes the squared error of rounding smallest; `importance` is the mean square of what
/// each weight is multiplied with. It is large enough for `bias` to be a sum of products:
/// `step` is the scale of what is read.
pub fn weight_scale(weights: &[f32], importance: &[f64], bias: f32, step: f32) -> f32 {
    let largest = weights.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    // Sums are of 32 bits; the rest of them is for the products.
    let room = bias.abs() / step / (1 << 29) as f32;
    // Scales of sums are products, and must be numbers that no runtime takes for zero.
    let least = room.max(LEAST_SUM / step.min(1.0));
    if largest == 0.0 {
        return least.max(1.0 / LARGEST_WEIGHT);
    }
    let whole = (largest / LARGEST_WEIGHT).max(least);
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
        let shares = coverage(&node, kernel, [4, 10]);
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
