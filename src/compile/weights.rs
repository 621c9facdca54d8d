//! A convolution's constants in the program's form.

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
}

/// How far a bias' scale may be from the accumulator's, relative to it, for its
/// codes to be taken as they are.
const SCALE_TOLERANCE: f64 = 1e-4;

/// Lays out a convolution's constants; the error says why they cannot be used.
///
/// A bias whose scale is the accumulator's (`sx * sw`) is taken as stored, which
/// is what ONNX Runtime does; any other is rounded to that scale in f64.
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
    let zero_points = match weights.zero_points.as_slice() {
        list if list.iter().all(|&z| z == 0) => Vec::new(),
        [one] => vec![*one; outputs],
        list => list.to_vec(),
    };
    let mut bias = Vec::with_capacity(outputs);
    let mut multipliers = Vec::with_capacity(outputs);
    for o in 0..outputs {
        let weight_scale = pick(&weights.scales, o);
        // The order of ONNX Runtime's QLinearConv, each operation rounded to f32.
        let multiplier = from.scale * weight_scale / to.scale;
        if !multiplier.is_finite() || multiplier < 0.0 {
            return Err(format!("the scale of output channel {o} is not usable"));
        }
        multipliers.push(multiplier);
        let accumulator = f64::from(from.scale) * f64::from(weight_scale);
        bias.push(match operands.bias {
            None => 0,
            Some(Bias::Accumulator(codes)) => i64::from(*at(codes, o)?),
            Some(Bias::Quantized(codes, scales)) => {
                let code = *at(codes, o)?;
                let scale = if scales.len() == 1 {
                    scales[0]
                } else {
                    *at(scales, o)?
                };
                let scale = f64::from(scale);
                if (scale - accumulator).abs() <= SCALE_TOLERANCE * accumulator {
                    code
                } else {
                    rescaled(code as f64 * scale, accumulator, o)?
                }
            }
            Some(Bias::Real(values)) => rescaled(f64::from(*at(values, o)?), accumulator, o)?,
        });
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

fn at<T>(list: &[T], index: usize) -> Result<&T, String> {
    list.get(index)
        .ok_or_else(|| format!("its bias has {} values", list.len()))
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
        assert!(reason.contains("bias"), "{reason}");
    }

    #[test]
    fn one_zero_point_serves_every_channel() {
        let mut weights = weights();
        weights.zero_points = vec![-9];
        assert_eq!(made(&weights, None).unwrap().weight_zero_points, [-9, -9]);
    }
}
