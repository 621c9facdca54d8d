use super::*;
use crate::kernels::scalar::testing::{self, Picture};
use proptest::prelude::*;

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

    fn run(&self, scratch: &mut Scratch) -> Picture {
        let mut out = self.out.clone();
        let residual = self.other.as_ref().map(|(other, add)| Residual {
            source: other.source(),
            add: *add,
        });
        let packed = PackedConv::new(&self.args());
        conv(
            self.source.source(),
            &packed,
            residual.as_ref(),
            out.target(),
            scratch,
        );
        out
    }
}

/// Groups, input and output channels of one group.
fn channels() -> impl Strategy<Value = (usize, usize, usize)> {
    prop_oneof![
        (Just(1), 1usize..40, 1usize..40),
        (1usize..80, Just(1), Just(1)),
        (1usize..6, 1usize..6, 1usize..6),
        (1usize..20, Just(1), 1usize..4),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let shapes = (channels(), 1usize..8, 1usize..8, testing::window());
    shapes.prop_flat_map(|((groups, inputs, outputs), height, width, window)| {
        let outputs = groups * outputs;
        let pictures = (
            testing::picture(groups * inputs),
            testing::picture_of(height, width, outputs),
            proptest::option::of((
                testing::picture_of(height, width, outputs),
                testing::add_args(),
            )),
        );
        let numbers = (
            any::<u64>(),
            any::<bool>(),
            any::<u8>(),
            any::<u8>(),
            testing::clamp(),
            testing::scale(),
        );
        (pictures, numbers).prop_map(move |((source, out, other), numbers)| {
            let (seed, zeros, input_zero_point, output_zero_point, clamp, scale) = numbers;
            let signed = |salt: u64, len: usize| -> Vec<i8> {
                let bytes = testing::bytes(seed ^ salt, len);
                bytes.into_iter().map(|byte| byte as i8).collect()
            };
            let taps = window.kernel[0] * window.kernel[1];
            Case {
                source,
                out,
                other,
                groups,
                window,
                weights: signed(1, outputs * taps * inputs),
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
        prop_assert_eq!(first.run(&mut scratch), first.wanted());
        prop_assert_eq!(second.run(&mut scratch), second.wanted());
    }

    #[test]
    fn extreme_codes_and_weights_are_summed_exactly(
        inputs in 1usize..2049, high in any::<bool>(), zero in prop_oneof![Just(0u8), Just(255)],
        positive in any::<bool>(), weight_zero in prop_oneof![Just(-128i8), Just(0), Just(127)],
    ) {
        let code = if high { 255 } else { 0 };
        let weight = if positive { 127 } else { -128 };
        let case = constant(inputs, code, zero, weight, weight_zero);
        prop_assert_eq!(case.run(&mut Scratch::default()), case.wanted());
    }
}

#[test]
fn accumulators_wrap_rather_than_stop() {
    let mut case = constant(2048, 255, 0, 127, -128);
    case.bias = vec![i32::MAX, i32::MAX - 5, i32::MIN, 0, 1 << 30];
    case.multipliers = vec![1e-7; 5];
    assert_eq!(case.run(&mut Scratch::default()), case.wanted());
}

#[test]
fn scratch_is_as_large_as_it_says() {
    let case = constant(20, 1, 0, 1, 0);
    let packed = PackedConv::new(&case.args());
    // 16 patches of 24 i16, and 16 pixels of 5 i32.
    assert_eq!(conv_scratch_bytes(&packed), 16 * 24 * 2 + 16 * 5 * 4);
}
