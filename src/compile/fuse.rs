//! Activation functions on codes: bounds, tables, and tables that vanish into
//! the operation before them.
//!
//! Quantization is monotone, so `Q(clip(x, lo, hi)) == clamp(Q(x), Q(lo), Q(hi))`:
//! a chain of Relu and Clip before a QuantizeLinear is a pair of codes. Any other
//! function of one code is a table of 256.

use std::collections::HashSet;
use std::rc::Rc;

use super::net::{Kind, Net, Table};
use crate::program::{Quant, Resample};

/// A function of one real number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `min(max(x, lo), hi)`, as ONNX defines Clip.
    Clip(f32, f32),
    LeakyRelu(f32),
    Sigmoid,
    Tanh,
    /// `clip(alpha * x + beta, 0, 1)`.
    HardSigmoid(f32, f32),
    HardSwish,
}

impl Activation {
    /// Applies it in f32; only the exponential functions are worked out in f64.
    pub fn apply(self, x: f32) -> f32 {
        let hard_sigmoid = |alpha: f32, beta: f32| (alpha * x + beta).clamp(0.0, 1.0);
        match self {
            Self::Clip(low, high) => x.max(low).min(high),
            Self::LeakyRelu(slope) if x < 0.0 => slope * x,
            Self::LeakyRelu(_) => x,
            Self::Sigmoid => (1.0 / (1.0 + f64::from(-x).exp())) as f32,
            Self::Tanh => f64::from(x).tanh() as f32,
            Self::HardSigmoid(alpha, beta) => hard_sigmoid(alpha, beta),
            Self::HardSwish => x * hard_sigmoid(1.0 / 6.0, 0.5),
        }
    }

    /// The bounds of a Clip.
    pub fn clip(self) -> Option<[f32; 2]> {
        match self {
            Self::Clip(low, high) => Some([low, high]),
            _ => None,
        }
    }
}

/// A function of two real numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

impl Arithmetic {
    /// Applies it in f32.
    pub fn apply(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
        }
    }
}

/// The real number that each code stands for, after functions of it alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve(Rc<[f32; 256]>);

impl Curve {
    /// What DequantizeLinear makes of each code.
    pub fn of(quant: Quant) -> Self {
        Self::from_codes(|code| dequantize(quant, code))
    }

    pub fn from_codes(real: impl Fn(u8) -> f32) -> Self {
        Self(Rc::new(std::array::from_fn(|code| real(code as u8))))
    }

    /// After one more function.
    pub fn then(&self, f: impl Fn(f32) -> f32) -> Self {
        Self(Rc::new(self.0.map(f)))
    }

    /// A function of this and another curve of the same codes.
    pub fn with(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self::from_codes(|code| f(self.at(code), other.at(code)))
    }

    pub fn at(&self, code: u8) -> f32 {
        self.0[usize::from(code)]
    }

    /// Its values quantized.
    pub fn table(&self, to: Quant) -> Table {
        Box::new(self.0.map(|x| quantize(to, x)))
    }

    /// The same, if no value is rounded by it.
    pub fn exact_table(&self, to: Quant) -> Option<Table> {
        let table = self.table(to);
        let mut pairs = self.0.iter().zip(table.iter());
        let is_exact = pairs.all(|(&x, &code)| dequantize(to, code) == x);
        is_exact.then_some(table)
    }
}

/// The code of a real number, as ONNX's QuantizeLinear:
/// `saturate(round_half_even(x / scale) + zero_point)`.
pub fn quantize(quant: Quant, x: f32) -> u8 {
    quant.code(x)
}

/// The real number of a code.
pub fn dequantize(quant: Quant, code: u8) -> f32 {
    quant.real(code)
}

/// A range that leaves every number as it is.
pub const EVERYTHING: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// The range of a Clip after one that kept numbers in `range`.
pub fn clipped(range: [f32; 2], low: f32, high: f32) -> [f32; 2] {
    range.map(|x| Activation::Clip(low, high).apply(x))
}

/// The codes that Clips to a range keep a result within.
pub fn bounds(range: [f32; 2], quant: Quant) -> [u8; 2] {
    range.map(|x| quantize(quant, x))
}

/// Whether a table never orders two codes the other way round.
pub fn is_monotone(table: &[u8; 256]) -> bool {
    table.is_sorted()
}

/// The bounds, if all that a table does is to keep codes within them.
fn clamp_of(table: &[u8; 256]) -> Option<[u8; 2]> {
    let (low, high) = (table[0], table[255]);
    let is_clamp = (0..=255)
        .zip(table)
        .all(|(code, &entry): (u8, &u8)| entry == code.max(low).min(high));
    is_clamp.then_some([low, high])
}

/// Removes tables: those that change nothing, and those that only keep the codes
/// of an operation with bounds of its own, and no other reader, within narrower
/// ones.
pub fn fold_tables(net: &mut Net) {
    let producers = net.producers();
    let mut reads = net.read_counts();
    let mut gone = HashSet::new();
    for index in 0..net.steps.len() {
        let step = &net.steps[index];
        let (Kind::Map { input, table }, Some(output)) = (&step.kind, step.output) else {
            continue;
        };
        let (input, bounds) = (*input, clamp_of(table));
        let same_quant = net.value(input).quant == net.value(output).quant;
        let Some(bounds) = bounds.filter(|_| same_quant) else {
            continue;
        };
        if bounds != [0, 255] {
            let Some(producer) = producers[input.0].filter(|_| reads[input.0] == 1) else {
                continue;
            };
            let node = step.node.clone();
            let producer = &mut net.steps[producer];
            let clamp = match &mut producer.kind {
                Kind::Conv(conv) => &mut conv.clamp,
                Kind::Add { clamp, .. } | Kind::Mul { clamp, .. } => clamp,
                _ => continue,
            };
            *clamp = clamp.map(|code| code.max(bounds[0]).min(bounds[1]));
            producer.node = format!("{}+{node}", producer.node);
        }
        gone.insert(output);
        net.replace_reads(output, input);
        // The table's reader count passes to what it read.
        reads[input.0] += reads[output.0];
        reads[input.0] -= 1;
    }
    net.steps
        .retain(|step| step.output.is_none_or(|output| !gone.contains(&output)));
}

/// Moves a table from behind a resize that only copies codes to before it, where
/// there are fewer of them: a pooled pixel is mapped once instead of once for
/// each pixel it is spread over.
pub fn hoist_tables(net: &mut Net) {
    let producers = net.producers();
    let reads = net.read_counts();
    for index in 0..net.steps.len() {
        let (Kind::Map { input, table }, Some(mapped)) =
            (&net.steps[index].kind, net.steps[index].output)
        else {
            continue;
        };
        let spread = *input;
        let Some(earlier) = producers[spread.0].filter(|_| reads[spread.0] == 1) else {
            continue;
        };
        let Kind::Resize {
            input: pixels,
            resample: resample @ Resample::Nearest(..),
        } = net.steps[earlier].kind
        else {
            continue;
        };
        let size = net.value(pixels).size;
        if size.elements() >= net.value(spread).size.elements() {
            continue;
        }
        let table = table.clone();
        // The value between the two now is the small one, mapped.
        net.values[spread.0].size = size;
        net.values[spread.0].quant = net.value(mapped).quant;
        net.steps[earlier].kind = Kind::Map {
            input: pixels,
            table,
        };
        net.steps[index].kind = Kind::Resize {
            input: spread,
            resample,
        };
        let (before, after) = net.steps.split_at_mut(index);
        std::mem::swap(&mut before[earlier].node, &mut after[0].node);
    }
}

#[cfg(test)]
mod tests {
    use super::super::net::ValueId;
    use super::super::testing::{conv, net_of, quant};
    use super::*;
    use crate::program::{Coordinates, NearestRule};

    #[test]
    fn quantization_rounds_half_to_even_and_saturates() {
        let q = quant(0.5, 10);
        for (x, code) in [
            (0.25, 10),
            (0.75, 12),
            (-0.25, 10),
            (1e9, 255),
            (-1e9, 0),
            (f32::INFINITY, 255),
        ] {
            assert_eq!(quantize(q, x), code, "{x}");
        }
    }

    #[test]
    fn clipping_commutes_with_quantization() {
        let q = quant(0.03, 7);
        let clips = [(0.0, 6.0), (1.0, 3.0), (4.0, 2.0)];
        let range = |n| {
            let clips = clips.iter().take(n);
            clips.fold(EVERYTHING, |range, &(low, high)| clipped(range, low, high))
        };
        for n in 0..=clips.len() {
            let [low, high] = bounds(range(n), q);
            for i in -3000..3000 {
                let x = i as f32 * 0.01;
                let clip = |x, &(low, high): &(f32, f32)| Activation::Clip(low, high).apply(x);
                let direct = quantize(q, clips.iter().take(n).fold(x, clip));
                assert_eq!(direct, quantize(q, x).max(low).min(high));
            }
        }
    }

    #[test]
    fn a_relu_needs_no_other_quantization_and_most_functions_do() {
        let q = quant(0.03, 7);
        let relu = Curve::of(q).then(|x| x.max(0.0));
        let table = relu.exact_table(q).unwrap();
        assert_eq!((table[0], table[7], table[9]), (7, 7, 9));
        assert_eq!(Curve::of(q).then(|x| x * 0.5).exact_table(q), None);
        assert_eq!(Curve::of(q).then(|x| x.min(1.0)).exact_table(q), None);
    }

    #[test]
    fn a_value_times_its_gate_is_a_curve() {
        let q = quant(0.05, 100);
        let x = Curve::of(q);
        let gate = x.then(|x| Activation::HardSigmoid(1.0 / 6.0, 0.5).apply(x));
        let product = x.with(&gate, |a, b| Arithmetic::Mul.apply(a, b));
        assert_eq!(product, x.then(|x| Activation::HardSwish.apply(x)));
    }

    #[test]
    fn activations_take_their_known_values() {
        for (f, x, y) in [
            (Activation::Sigmoid, 0.0, 0.5),
            (Activation::Tanh, 0.0, 0.0),
            (Activation::HardSwish, 3.0, 3.0),
            (Activation::HardSwish, -3.0, 0.0),
            (Activation::HardSigmoid(0.2, 0.5), 1.0, 0.7),
            (Activation::LeakyRelu(0.1), -2.0, -0.2),
        ] {
            assert!((f.apply(x) - y).abs() < 1e-6, "{f:?}");
        }
    }

    #[test]
    fn a_relu_after_a_convolution_becomes_its_bounds() {
        let q = quant(0.1, 100);
        let mut net = net_of(&[(4, q), (4, q), (4, q)]);
        conv(&mut net, 0, 1);
        let relu = Curve::of(q).then(|x| x.max(0.0)).table(q);
        let map = Kind::Map {
            input: ValueId(1),
            table: relu,
        };
        net.add_step("relu", map, Some(ValueId(2))).unwrap();
        fold_tables(&mut net);
        let [step] = net.steps.as_slice() else {
            panic!("{:?}", net.steps)
        };
        let Kind::Conv(conv) = &step.kind else {
            panic!("{step:?}")
        };
        assert_eq!(conv.clamp, [100, 255]);
    }

    #[test]
    fn an_implied_relu_is_dropped_and_a_requantization_stays() {
        let (q, other) = (quant(0.1, 0), quant(0.2, 0));
        for (to, steps) in [(q, 1), (other, 2)] {
            let mut net = net_of(&[(4, q), (4, q), (4, to)]);
            conv(&mut net, 0, 1);
            let map = Kind::Map {
                input: ValueId(1),
                table: Curve::of(q).then(|x| x.max(0.0)).table(to),
            };
            net.add_step("relu", map, Some(ValueId(2))).unwrap();
            fold_tables(&mut net);
            assert_eq!(net.steps.len(), steps);
        }
    }

    #[test]
    fn bounds_of_one_of_two_readers_stay_its_own() {
        let q = quant(0.1, 100);
        let mut net = net_of(&[(4, q); 4]);
        conv(&mut net, 0, 1);
        for (output, high) in [(2, 9.0), (3, 5.0)] {
            let map = Kind::Map {
                input: ValueId(output - 1),
                table: Curve::of(q).then(|x| x.clamp(0.0, high)).table(q),
            };
            net.add_step("clip", map, Some(ValueId(output))).unwrap();
        }
        super::super::testing::add(&mut net, 2, 3, 0);
        fold_tables(&mut net);
        let kinds: Vec<_> = net.steps.iter().map(|s| s.kind.name()).collect();
        assert_eq!(kinds, ["Conv", "Map", "Add"]);
        let Kind::Conv(conv) = &net.steps[0].kind else {
            panic!("{:?}", net.steps)
        };
        assert_eq!(conv.clamp, [100, 190]);
    }

    #[test]
    fn a_pixel_is_mapped_before_it_is_spread() {
        let (q, other) = (quant(0.1, 0), quant(0.2, 0));
        let mut net = net_of(&[(4, q), (4, q), (4, other)]);
        net.values[0].size.height = 1;
        net.values[0].size.width = 1;
        let resample = Resample::Nearest(Coordinates::Asymmetric, NearestRule::Floor);
        let resize = Kind::Resize {
            input: ValueId(0),
            resample,
        };
        net.add_step("spread", resize, Some(ValueId(1))).unwrap();
        let map = Kind::Map {
            input: ValueId(1),
            table: Curve::of(q).table(other),
        };
        net.add_step("map", map, Some(ValueId(2))).unwrap();
        hoist_tables(&mut net);
        let kinds: Vec<_> = net
            .steps
            .iter()
            .map(|s| (s.kind.name(), s.node.as_str(), s.output))
            .collect();
        assert_eq!(
            kinds,
            [
                ("Map", "map", Some(ValueId(1))),
                ("Resize", "spread", Some(ValueId(2)))
            ]
        );
        assert!(net.values[1].size.is_pixel());
        assert_eq!(net.values[1].quant, other);
    }
}
