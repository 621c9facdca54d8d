use proptest::prelude::*;

use crate::kernels::cpu::Tier;
use crate::kernels::scratch::Scratch;
use crate::kernels::testing::{self, Picture};
use crate::kernels::variants::{CONV, PackConv, Variant};
use crate::kernels::{ConvArgs, Residual, Window, scalar};

/// Everything a convolution is made of.
#[derive(Debug, Clone)]
struct Case {
    source: Picture,
    out: Picture,
    other: Option<(Picture, crate::kernels::AddArgs)>,
    groups: usize,
    window: Window,
    weights: Vec<i8>,
    weight_zero_points: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    input_zero_point: u8,
    output_zero_point: u8,
    clamp: [u8; 2],
}

impl Case {
    fn args(&self) -> ConvArgs<'_> {
        ConvArgs {
            groups: self.groups,
            window: self.window,
            weights: &self.weights,
            weight_zero_points: &self.weight_zero_points,
            bias: &self.bias,
            multipliers: &self.multipliers,
            input_zero_point: self.input_zero_point,
            output_zero_point: self.output_zero_point,
            clamp: self.clamp,
        }
    }

    /// The formula, word by word.
    fn wanted(&self) -> Picture {
        let inputs = self.source.channels / self.groups;
        let group_outputs = self.out.channels / self.groups;
        let [kernel_rows, kernel_columns] = self.window.kernel;
        let mut out = self.out.clone();
        out.fill(|y, x, o| {
            let mut acc = i64::from(self.bias[o]);
            let zero = self.weight_zero_points.get(o).copied().unwrap_or(0);
            for (ky, kx, sy, sx) in testing::taps(&self.window, y, x, &self.source) {
                for i in 0..inputs {
                    let code = self.source.at(sy, sx, o / group_outputs * inputs + i);
                    let index = ((o * kernel_rows + ky) * kernel_columns + kx) * inputs + i;
                    acc += (i64::from(code) - i64::from(self.input_zero_point))
                        * (i64::from(self.weights[index]) - i64::from(zero));
                }
            }
            let value = acc as i32 as f32 * self.multipliers[o];
            let q = testing::code(value, self.output_zero_point, self.clamp);
            match &self.other {
                Some((other, add)) => testing::added(q, other.at(y, x, o), add),
                None => q,
            }
        });
        out
    }

    /// What a variant gives where this processor can run it and it is made for the
    /// case: in one go, and in three.
    fn run(&self, variant: &Variant<PackConv>, scratch: &mut Scratch) -> Option<[Picture; 2]> {
        if !variant.tier.is_available() {
            return None;
        }
        let packed = (variant.kernel)(&self.args())?;
        let residual = self.other.as_ref().map(|(other, add)| Residual {
            source: other.source(),
            add: *add,
        });
        let mut outs = [self.out.clone(), self.out.clone()];
        let pixels = self.out.height * self.out.width;
        let split = [0, pixels / 3, pixels / 3 + pixels / 2, pixels];
        for (out, ends) in outs.iter_mut().zip([&[0, pixels][..], &split]) {
            for range in ends.windows(2) {
                let target = out.part(range[0]..range[1]);
                packed.run(self.source.source(), residual.as_ref(), target, scratch);
            }
        }
        Some(outs)
    }

    /// Runs every variant; the number that were made for the case.
    fn check(&self, scratch: &mut Scratch) -> usize {
        let wanted = self.wanted();
        let outs = CONV
            .iter()
            .filter_map(|variant| Some((variant, self.run(variant, scratch)?)));
        let check = |(variant, outs): (&Variant<PackConv>, [Picture; 2])| {
            let name = variant.name;
            assert_eq!(outs[0], wanted, "{name}");
            assert_eq!(outs[1], wanted, "{name}, in parts");
        };
        outs.map(check).count()
    }
}

/// Groups, input and output channels of one group.
fn channels() -> impl Strategy<Value = (usize, usize, usize)> {
    prop_oneof![
        (Just(1), 1usize..40, 1usize..40),
        (Just(1), 1usize..300, 1usize..200),
        (1usize..200, Just(1), Just(1)),
        (1usize..6, 1usize..6, 1usize..6),
        (2usize..5, 1usize..20, 8usize..40),
        (1usize..20, Just(1), 1usize..4),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let shapes = (channels(), 1usize..8, 1usize..8, testing::window());
    shapes.prop_flat_map(|(channels, height, width, window)| {
        let source = testing::picture(channels.0 * channels.1);
        case_of(source, channels, (height, width), window)
    })
}

/// Windows of three rows and columns that keep channels apart: most models' only ones.
fn three_by_three() -> impl Strategy<Value = Case> {
    let shapes = (
        1usize..70,
        (1usize..5, 1usize..40),
        (1usize..4, 1usize..4),
        (0usize..4, 0usize..4),
    );
    shapes.prop_flat_map(|(channels, (height, width), (stride, dilation), pad)| {
        let window = Window {
            kernel: [3, 3],
            stride: [stride; 2],
            dilation: [dilation; 2],
            pad: [pad.0, pad.1],
        };
        let source = testing::picture_of(height, width, channels);
        let size = (height.div_ceil(stride), width.div_ceil(stride));
        case_of(source, (channels, 1, 1), size, window)
    })
}

/// A convolution of that many groups, and input and output channels of one.
fn case_of(
    source: impl Strategy<Value = Picture>,
    (groups, inputs, outputs): (usize, usize, usize),
    (height, width): (usize, usize),
    window: Window,
) -> impl Strategy<Value = Case> {
    let outputs = groups * outputs;
    let pictures = (
        source,
        testing::picture_of(height, width, outputs),
        proptest::option::of((
            testing::picture_of(height, width, outputs),
            testing::add_args(),
        )),
    );
    let numbers = (
        any::<u64>(),
        any::<bool>(),
        (1i8..5, prop_oneof![Just(1usize), Just(3)]),
        any::<u8>(),
        prop_oneof![Just(0u8), any::<u8>()],
        testing::clamp(),
        testing::scale(),
    );
    (pictures, numbers).prop_map(move |((source, out, other), numbers)| {
        let (seed, zeros, (divisor, every), input_zero_point, output_zero_point, clamp, scale) =
            numbers;
        let signed = |salt: u64, len: usize| -> Vec<i8> {
            let bytes = testing::bytes(seed ^ salt, len);
            bytes.into_iter().map(|byte| byte as i8).collect()
        };
        let taps = window.kernel[0] * window.kernel[1];
        // Some kernels have a quicker way for small weights: all of them, or some.
        let mut weights = signed(1, outputs * taps * inputs);
        for small in weights.chunks_mut(40).step_by(every) {
            small.iter_mut().for_each(|weight| *weight /= divisor);
        }
        Case {
            source,
            out,
            other,
            groups,
            window,
            weights,
            weight_zero_points: signed(2, if zeros { outputs } else { 0 }),
            bias: signed(3, outputs)
                .into_iter()
                .map(|b| i32::from(b) * 50)
                .collect(),
            multipliers: signed(4, outputs)
                .into_iter()
                .map(|m| scale * ((f32::from(m) + 200.0) / 4000.0))
                .collect(),
            input_zero_point,
            output_zero_point,
            clamp,
        }
    })
}

/// A 1x1 convolution of constant codes and weights.
fn constant(inputs: usize, code: u8, zero: u8, weight: i8, weight_zero: i8) -> Case {
    let mut source = Picture::new(3, 3, inputs, inputs);
    source.fill(|_, _, _| code);
    Case {
        source,
        out: Picture::new(3, 3, 5, 7),
        other: None,
        groups: 1,
        window: Window {
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [0, 0],
        },
        weights: vec![weight; 5 * inputs],
        weight_zero_points: vec![weight_zero; 5],
        bias: vec![-77, 0, 1, 1 << 20, i32::from(i16::MIN)],
        multipliers: vec![1e-6; 5],
        input_zero_point: zero,
        output_zero_point: 128,
        clamp: [0, 255],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_convolution_follows_its_formula(first in case(), second in case()) {
        // One scratch for both: what the first leaves there must not matter.
        let mut scratch = Scratch::default();
        first.check(&mut scratch);
        second.check(&mut scratch);
    }

    #[test]
    fn windows_of_three_rows_and_columns_follow_their_formula(case in three_by_three()) {
        case.check(&mut Scratch::default());
    }

    #[test]
    fn extreme_codes_and_weights_are_summed_exactly(
        inputs in 1usize..2049, high in any::<bool>(), zero in prop_oneof![Just(0u8), Just(255)],
        positive in any::<bool>(), weight_zero in prop_oneof![Just(-128i8), Just(0), Just(127)],
    ) {
        let code = if high { 255 } else { 0 };
        let weight = if positive { 127 } else { -128 };
        let case = constant(inputs, code, zero, weight, weight_zero);
        case.check(&mut Scratch::default());
    }

    #[test]
    fn codes_and_weights_at_the_edge_of_a_quicker_way_are_summed_exactly(
        inputs in 1usize..400, seed in any::<u64>(), weight in prop_oneof![
            Just(42i8), Just(43), Just(51), Just(63), Just(64), Just(85), Just(86), Just(127),
        ],
    ) {
        // Products of one sign: the sums of n of them leave 16 bits from some weight on,
        // and 85 is the largest of three. Some pixels have codes of the other end.
        let mut case = constant(inputs, 0, 7, weight, 0);
        let ends = testing::bytes(seed, 9);
        case.source.fill(|y, x, _| if ends[3 * y + x] < 128 { 0 } else { 255 });
        let negative = testing::bytes(seed ^ 1, 5);
        for (weights, negative) in case.weights.chunks_mut(inputs).zip(negative) {
            if negative < 128 {
                weights.iter_mut().for_each(|weight| *weight = -*weight);
            }
        }
        case.multipliers = vec![1e-3; 5];
        case.check(&mut Scratch::default());
    }
}

#[test]
fn accumulators_wrap_rather_than_stop() {
    let mut case = constant(2048, 255, 0, 127, -128);
    case.bias = vec![i32::MAX, i32::MAX - 5, i32::MIN, 0, 1 << 30];
    case.multipliers = vec![1e-7; 5];
    case.check(&mut Scratch::default());
}

#[test]
fn a_target_may_reach_beyond_its_source() {
    let mut case = constant(8, 200, 3, 1, 0);
    case.out = Picture::new(5, 7, 5, 5);
    case.check(&mut Scratch::default());
}

#[test]
fn every_variant_of_this_processor_is_made_for_a_plain_convolution() {
    let dense = constant(20, 200, 3, 1, 0);
    let names = |case: &Case| {
        let kernels = CONV.iter().filter(|variant| variant.tier.is_available());
        let made = kernels.filter(|variant| (variant.kernel)(&case.args()).is_some());
        made.map(|variant| variant.name).collect::<Vec<_>>()
    };
    let depthwise = Case {
        groups: 5,
        source: Picture::new(3, 3, 5, 5),
        weights: vec![-3; 5],
        ..dense.clone()
    };
    // VBMI adds tables and no products.
    let tiers = Tier::ALL
        .into_iter()
        .filter(|&tier| tier != Tier::Avx512Vbmi);
    let tiers = tiers.filter(|tier| tier.is_available());
    for tier in tiers.map(Tier::name) {
        assert!(
            names(&dense).iter().any(|name| name.contains(tier)),
            "{tier}"
        );
        assert!(
            names(&depthwise).iter().any(|name| name.contains(tier)),
            "{tier}"
        );
    }
}

#[test]
fn a_run_needs_no_more_memory_than_was_reserved() {
    for case in [constant(20, 1, 0, 1, 0), constant(1200, 9, 9, -100, 0)] {
        for variant in CONV.iter().filter(|variant| variant.tier.is_available()) {
            let packed = (variant.kernel)(&case.args())
                .unwrap_or_else(|| scalar::pack(&case.args()).unwrap());
            let mut scratch = Scratch::default();
            packed.reserve(&mut scratch);
            let reserved = scratch.reserved();
            packed.run(
                case.source.source(),
                None,
                case.out.clone().target(),
                &mut scratch,
            );
            assert_eq!(scratch.reserved(), reserved, "{}", variant.name);
        }
    }
}
