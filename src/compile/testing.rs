//! Tiny networks for the tests of passes: pictures of 2x2, steps named after
//! their output.

use super::net::{Convolution, Kind, Net, Size, ValueId};
use crate::program::{Coordinates, NearestRule, Quant, Resample, Window};

pub fn quant(scale: f32, zero_point: u8) -> Quant {
    Quant { scale, zero_point }
}

/// Values of these channels and quantizations, and no step.
pub fn net_of(values: &[(u32, Quant)]) -> Net {
    let mut net = Net::new((2, 2));
    for (index, &(channels, quant)) in values.iter().enumerate() {
        let size = Size {
            height: 2,
            width: 2,
            channels,
        };
        net.add_value(&format!("v{index}"), size, quant).unwrap();
    }
    net
}

/// A 1x1 convolution with all weights 1.
pub fn conv(net: &mut Net, input: usize, output: usize) {
    let [from, to] = [input, output].map(|i| net.values[i].size.channels as usize);
    let conv = Convolution {
        input: ValueId(input),
        groups: 1,
        window: Window {
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [0, 0],
        },
        weights: vec![1; from * to],
        weight_zero_points: Vec::new(),
        bias: vec![0; to],
        multipliers: vec![0.1; to],
        clamp: [0, 255],
        quant: net.values[output].quant,
        residual: None,
    };
    let kind = Kind::Conv(Box::new(conv));
    net.add_step(&format!("conv{output}"), kind, Some(ValueId(output)))
        .unwrap();
}

pub fn add(net: &mut Net, a: usize, b: usize, output: usize) {
    let kind = Kind::Add {
        a: ValueId(a),
        b: ValueId(b),
        clamp: [0, 255],
    };
    net.add_step(&format!("add{output}"), kind, Some(ValueId(output)))
        .unwrap();
}

pub fn concat(net: &mut Net, parts: &[usize], output: usize) {
    let parts = parts.iter().copied().map(ValueId).collect();
    net.add_step(
        &format!("concat{output}"),
        Kind::Concat { parts },
        Some(ValueId(output)),
    )
    .unwrap();
}

pub fn argmax(net: &mut Net, input: usize) {
    let kind = Kind::Argmax {
        input: ValueId(input),
        resample: Resample::Nearest(Coordinates::Asymmetric, NearestRule::Floor),
    };
    net.add_step("argmax", kind, None).unwrap();
}
