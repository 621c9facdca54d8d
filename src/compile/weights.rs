//! A convolution's constants in the program's form.

use super::fuse::Arithmetic;
use super::net::Convolution;
use crate::program::{Quant, Window};

/// Quantized constant of a graph: codes with scales and zero points, one for
/// all or one for each output channel.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedWeights {
    /// Signed codes; unsigned ones are shifted by 128, as are their zero points.
    pub codes: Vec<i8>,
    pub scales: Vec<f32>,
    pub zero_points: Vec<i8>,
}

/// A bias as the graph has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Bias {
    /// Codes in the accumulator's scale, whatever that is.
    Accumulator(Vec<i32>),
    /// Codes with scales of their own, one for all or one for each channel, and
    /// with the zero point already subtracted.
    Quantized(Vec<i64>, Vec<f32>),
    /// Real numbers.
    Real(Vec<f32>),
}

impl Bias {
    /// The same for so many times the channels, one after another.
    pub fn repeated(&self, times: usize) -> Self {
        match self {
            Self::Accumulator(codes) => Self::Accumulator(codes.repeat(times)),
            Self::Quantized(codes, scales) => {
                let each = if scales.len() > 1 { times } else { 1 };
                Self::Quantized(codes.repeat(times), scales.repeat(each))
            }
            Self::Real(values) => Self::Real(values.repeat(times)),
        }
    }
}

/// A factor and then a summand of each output channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelAffine {
    pub factors: Vec<f32>,
    pub summands: Vec<f32>,
}

impl ChannelAffine {
    /// Arithmetic between a tensor and one number for each of its channels;
    /// `tensor_first` tells the order. `None` where it is not of this form.
    pub fn of(operation: Arithmetic, numbers: Vec<f32>, tensor_first: bool) -> Option<Self> {
        let all = |number: f32| vec![number; numbers.len()];
        let negated = || numbers.iter().map(|x| -x).collect();
        let (factors, summands) = match (operation, tensor_first) {
            (Arithmetic::Add, _) => (all(1.0), numbers),
            (Arithmetic::Sub, true) => (all(1.0), negated()),
            (Arithmetic::Sub, false) => (all(-1.0), numbers),
            (Arithmetic::Mul, _) => (numbers.clone(), all(0.0)),
            (Arithmetic::Div, true) => (numbers.iter().map(|x| 1.0 / x).collect(), all(0.0)),
            (Arithmetic::Div, false) => return None,
        };
        let is_sound = factors.iter().all(|x: &f32| x.is_finite());
        is_sound.then_some(Self { factors, summands })
    }

    /// This and then another one.
    pub fn then(&self, next: &Self) -> Self {
        let pairs = self.factors.iter().zip(&next.factors);
        let sums = self.summands.iter().zip(&next.factors).zip(&next.summands);
        Self {
            factors: pairs.map(|(a, b)| a * b).collect(),
            summands: sums.map(|((a, b), c)| a * b + c).collect(),
        }
    }
}

/// The shape and operands of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct Operands<'a> {
    pub outputs: usize,
    /// Input channels of a group.
    pub channels: usize,
    pub groups: u32,
    pub window: Window,
    pub weights: &'a QuantizedWeights,
    pub bias: Option<&'a Bias>,
    /// Applied to the sum of products and bias.
    pub affine: Option<&'a ChannelAffine>,
}

/// How far a summand may be from what is added, in steps of the result.
const HALF_STEP: f64 = 0.5;

/// How far a bias' scale may be from the accumulator's, relative to it, for its
/// codes to be taken as they are.
const SCALE_TOLERANCE: f64 = 1e-4;

/// Lays out a convolution's constants; the error says why they cannot be used.
///
/// A bias whose scale is the accumulator's (`sx * sw`) is taken as stored, which
/// is what ONNX Runtime does; any other is rounded to that scale in f64. Factors of
/// the channels go into the multipliers, their signs into the weights, and summands
/// into the bias.
pub fn convolution(
    input: super::net::ValueId,
    from: Quant,
    to: Quant,
    clamp: [u8; 2],
    operands: &Operands,
) -> Result<Convolution, String> {
    let Operands {
        outputs,
        channels,
        window,
        weights,
        ..
    } = *operands;
    let [kh, kw] = window.kernel.map(|k| k as usize);
    let taps = kh * kw;
    let per_output = taps * channels;
    let one_or_each = |n: usize| n == 1 || n == outputs;
    if weights.codes.len() != outputs * per_output
        || !one_or_each(weights.scales.len())
        || !one_or_each(weights.zero_points.len())
    {
        return Err("its weights and their scales do not fit each other".into());
    }
    let pick = |list: &[f32], o: usize| if list.len() == 1 { list[0] } else { list[o] };
    let mut laid_out = Vec::with_capacity(weights.codes.len());
    for filter in weights.codes.chunks_exact(per_output.max(1)) {
        for tap in 0..taps {
            laid_out.extend((0..channels).map(|c| filter[c * taps + tap]));
        }
    }
    let mut zero_points = match weights.zero_points.as_slice() {
        [one] => vec![*one; outputs],
        list => list.to_vec(),
    };
    let mut bias = Vec::with_capacity(outputs);
    let mut multipliers = Vec::with_capacity(outputs);
    for o in 0..outputs {
        let weight_scale = pick(&weights.scales, o);
        // The order of ONNX Runtime's QLinearConv, each operation rounded to f32.
        let mut multiplier = from.scale * weight_scale / to.scale;
        let mut accumulator = f64::from(from.scale) * f64::from(weight_scale);
        let mut code = match operands.bias {
            None => 0,
            Some(bias) => bias_code(bias, o, accumulator)?,
        };
        if let Some(affine) = operands.affine {
            let (factor, summand) = (*at(&affine.factors, o)?, *at(&affine.summands, o)?);
            let filter = &mut laid_out[o * per_output..][..per_output];
            if factor == 0.0 {
                filter.fill(0);
                (zero_points[o], code) = (0, 0);
            } else {
                multiplier *= factor.abs();
                accumulator *= f64::from(factor.abs());
            }
            if factor < 0.0 {
                negate(filter, &mut zero_points[o])?;
                code = -code;
            }
            let exact = f64::from(summand) / accumulator;
            let added = rescaled(f64::from(summand), accumulator, o)?;
            if (added as f64 - exact).abs() * f64::from(multiplier) > HALF_STEP {
                return Err(format!(
                    "what is added to output channel {o} is finer than its sums; quantize before \
                     adding"
                ));
            }
            code += added;
        }
        if !multiplier.is_finite() || multiplier < 0.0 {
            return Err(format!("the scale of output channel {o} is not usable"));
        }
        multipliers.push(multiplier);
        bias.push(code);
    }
    if zero_points.iter().all(|&z| z == 0) {
        zero_points.clear();
    }
    let largest = bias.iter().map(|b| b.unsigned_abs()).max().unwrap_or(0);
    let reach = (per_output as u64).saturating_mul(255 * 255);
    if reach.saturating_add(largest) >= 1 << 31 {
        return Err(format!(
            "{per_output} products and a bias of {largest} may overflow 32 bits"
        ));
    }
    Ok(Convolution {
        input,
        groups: operands.groups,
        window,
        weights: laid_out,
        weight_zero_points: zero_points,
        // In range: checked just above.
        bias: bias.into_iter().map(|b| b as i32).collect(),
        multipliers,
        clamp,
        quant: to,
        residual: None,
    })
}

/// A channel's bias in steps of the accumulator.
fn bias_code(bias: &Bias, channel: usize, accumulator: f64) -> Result<i64, String> {
    match bias {
        Bias::Accumulator(codes) => Ok(i64::from(*at(codes, channel)?)),
        Bias::Quantized(codes, scales) => {
            let code = *at(codes, channel)?;
            let scale = if scales.len() == 1 {
                scales[0]
            } else {
                *at(scales, channel)?
            };
            let scale = f64::from(scale);
            if (scale - accumulator).abs() <= SCALE_TOLERANCE * accumulator {
                Ok(code)
            } else {
                rescaled(code as f64 * scale, accumulator, channel)
            }
        }
        Bias::Real(values) => {
            let value = f64::from(*at(values, channel)?);
            rescaled(value, accumulator, channel)
        }
    }
}

/// Changes the sign of a filter, and of its zero point.
fn negate(filter: &mut [i8], zero_point: &mut i8) -> Result<(), String> {
    for code in filter.iter_mut().chain([zero_point]) {
        *code = code
            .checked_neg()
            .ok_or("a factor below 0 and a weight of -128, which has no opposite")?;
    }
    Ok(())
}

fn at<T>(list: &[T], index: usize) -> Result<&T, String> {
    list.get(index)
        .ok_or_else(|| format!("it has {} values for its channels", list.len()))
}

fn rescaled(value: f64, scale: f64, channel: usize) -> Result<i64, String> {
    let code = (value / scale).round_ties_even();
    if scale > 0.0 && code.abs() < 2f64.powi(31) {
        Ok(code as i64)
    } else if value == 0.0 {
        Ok(0)
    } else {
        Err(format!(
            "the bias of output channel {channel} is too large for the accumulator"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::net::ValueId;
    use super::super::testing::quant;
    use super::*;

    const WINDOW: Window = Window {
        kernel: [1, 2],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [0, 0],
    };

    fn weights() -> QuantizedWeights {
        QuantizedWeights {
            // Two outputs, two channels, two columns.
            codes: vec![1, 2, 3, 4, 5, 6, 7, 8],
            scales: vec![0.5, 0.25],
            zero_points: vec![0],
        }
    }

    fn made(weights: &QuantizedWeights, bias: Option<&Bias>) -> Result<Convolution, String> {
        let operands = Operands {
            outputs: 2,
            channels: 2,
            groups: 1,
            window: WINDOW,
            weights,
            bias,
            affine: None,
        };
        convolution(
            ValueId(0),
            quant(0.1, 3),
            quant(0.7, 4),
            [0, 255],
            &operands,
        )
    }

    #[test]
    fn channels_come_last_and_multipliers_are_in_float() {
        let conv = made(&weights(), None).unwrap();
        assert_eq!(conv.weights, [1, 3, 2, 4, 5, 7, 6, 8]);
        assert_eq!(conv.multipliers, [0.1 * 0.5 / 0.7, 0.1f32 * 0.25 / 0.7]);
        assert!(conv.weight_zero_points.is_empty());
        assert_eq!(conv.bias, [0, 0]);
    }

    #[test]
    fn a_bias_of_the_accumulators_scale_is_taken_as_stored() {
        let bias = Bias::Quantized(vec![70_000, -3], vec![0.1 * 0.5, 0.1 * 0.25]);
        assert_eq!(made(&weights(), Some(&bias)).unwrap().bias, [70_000, -3]);
    }

    #[test]
    fn any_other_bias_is_rounded_to_it() {
        let bias = Bias::Quantized(vec![10, 10], vec![0.1]);
        assert_eq!(made(&weights(), Some(&bias)).unwrap().bias, [20, 40]);
        let bias = Bias::Real(vec![1.0, -1.0]);
        assert_eq!(made(&weights(), Some(&bias)).unwrap().bias, [20, -40]);
    }

    #[test]
    fn what_may_overflow_is_refused() {
        let bias = Bias::Accumulator(vec![i32::MAX, 0]);
        let reason = made(&weights(), Some(&bias)).unwrap_err();
        assert!(reason.contains("32 bits"), "{reason}");
        let reason = made(&weights(), Some(&Bias::Accumulator(vec![1]))).unwrap_err();
        assert!(reason.contains("1 values"), "{reason}");
    }

    #[test]
    fn one_zero_point_serves_every_channel() {
        let mut weights = weights();
        weights.zero_points = vec![-9];
        assert_eq!(made(&weights, None).unwrap().weight_zero_points, [-9, -9]);
    }
}
