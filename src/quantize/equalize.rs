//! Equalization: the channels between two convolutions are scaled, and the weights behind
//! them scaled back, so that the codes they share are used by all of them.
//!
//! A tensor has one scale, and a channel that stays far below the largest uses few codes of
//! it. Relu passes positive factors, and so does Clip where nothing is cut off that was not
//! before. The idea is cross-layer equalization (Nagel et al., "Data-Free Quantization
//! Through Weight Equalization and Bias Correction", 2019); the factors here come from what
//! the channels held, and how far they go from an estimate of the error that the codes of
//! the tensor and those of the weights behind it make.

use super::conv::{Kernel, LARGEST_WEIGHT};
use super::net::Net;
use super::observe::Channels;
use crate::compile::constant::Data;

/// Shares of the way to equal channels that are tried, in the exponent.
const SHARES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Largest factor.
const LARGEST: f64 = 64.0;
/// How much more than it ever held a channel is given room for, before Clip cuts it off.
const HEADROOM: f64 = 1.25;

/// Two convolutions and the tensor between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The node that makes the channels.
    pub maker: usize,
    /// The one that reads them.
    pub reader: usize,
    /// What it reads.
    pub tensor: String,
}

/// The pairs between which channels may be scaled, in the order of the nodes.
pub fn pairs(net: &Net) -> Vec<Pair> {
    let wiring = net.wiring();
    let mut pairs = Vec::new();
    for (reader, node) in net.nodes.iter().enumerate() {
        let Some(kernel) = Kernel::of(net, node) else {
            continue;
        };
        let tensor = &node.input[0];
        let Some(mut maker) = wiring.sole_maker(tensor, reader) else {
            continue;
        };
        if passes_factors(net, maker) {
            let inner = &net.nodes[maker].input[0];
            match wiring.sole_maker(inner, maker) {
                Some(before) => maker = before,
                None => continue,
            }
        }
        let made = Kernel::of(net, &net.nodes[maker]);
        if made.is_some_and(|made| made.outputs == kernel.inputs) {
            pairs.push(Pair {
                maker,
                reader,
                tensor: tensor.clone(),
            });
        }
    }
    pairs
}

/// Whether a node is a Relu, or a Clip that begins at zero.
fn passes_factors(net: &Net, node: usize) -> bool {
    let node = &net.nodes[node];
    let bound = |input: usize| net.floats(node, input).and_then(|v| v.first().copied());
    match node.op_type.as_str() {
        "Relu" => true,
        "Clip" => bound(1) == Some(0.0) && bound(2).is_some_and(|high| high > 0.0),
        _ => false,
    }
}

/// Scales the channels between a pair, and `held`, which is what they held. Returns how many
/// changed.
pub fn equalize(net: &mut Net, pair: &Pair, held: &mut Channels) -> usize {
    let reader = &net.nodes[pair.reader];
    let Some(kernel) = Kernel::of(net, reader) else {
        return 0;
    };
    let Some(weights) = net.floats(reader, 1) else {
        return 0;
    };
    if held.most.len() != kernel.inputs {
        return 0;
    }
    let most: Vec<f64> = (0..kernel.inputs)
        .map(|c| held.magnitude(c).into())
        .collect();
    let reach = most.iter().copied().fold(0.0, f64::max);
    let towards = |share: f64| -> Vec<f64> {
        let factor = |&most: &f64| match most > 0.0 {
            true => (reach / (most * HEADROOM).min(reach))
                .powf(share)
                .min(LARGEST),
            false => 1.0,
        };
        most.iter().map(factor).collect()
    };
    let errors = SHARES.map(|share| {
        let factors = towards(share);
        (error(kernel, weights, held, &factors), factors)
    });
    let best = errors.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    let factors = best.map_or(Vec::new(), |(_, factors)| factors);
    let changed = factors.iter().filter(|&&factor| factor != 1.0).count();
    if changed > 0 {
        apply(net, pair, kernel, &factors);
        held.scale(&factors);
    }
    changed
}

/// An estimate of the squared error of what the reader makes, up to a common factor: the
/// codes of what it reads have one step, and those of each output's weights another.
fn error(kernel: Kernel, weights: &[f32], held: &Channels, factors: &[f64]) -> f64 {
    let most = (0..kernel.inputs).map(|c| f64::from(held.magnitude(c)) * factors[c]);
    let step = most.fold(0.0, f64::max) / 255.0;
    let mut sum = 0.0;
    for (output, row) in weights.chunks_exact(kernel.row()).enumerate() {
        let (mut largest, mut squares, mut read) = (0.0f64, 0.0, 0.0);
        for (index, taps) in row.chunks_exact(kernel.taps()).enumerate() {
            let channel = kernel.input_of(output, index);
            let factor = factors[channel];
            for &w in taps {
                let w = f64::from(w) / factor;
                largest = largest.max(w.abs());
                squares += w * w;
            }
            read += held.mean_square(channel) * factor * factor * taps.len() as f64;
        }
        let weight_step = largest / f64::from(LARGEST_WEIGHT);
        sum += step * step * squares + weight_step * weight_step * read;
    }
    sum
}

fn apply(net: &mut Net, pair: &Pair, read: Kernel, factors: &[f64]) {
    let maker = net.nodes[pair.maker].clone();
    let Some(made) = Kernel::of(net, &maker) else {
        return;
    };
    change(net, &maker.input[1], |weights| {
        for (row, factor) in weights.chunks_exact_mut(made.row()).zip(factors) {
            row.iter_mut()
                .for_each(|w| *w = (f64::from(*w) * factor) as f32);
        }
    });
    change(net, &maker.input[2], |bias| {
        for (bias, factor) in bias.iter_mut().zip(factors) {
            *bias = (f64::from(*bias) * factor) as f32;
        }
    });
    let reader = net.nodes[pair.reader].input[1].clone();
    change(net, &reader, |weights| {
        for (output, row) in weights.chunks_exact_mut(read.row()).enumerate() {
            for (index, taps) in row.chunks_exact_mut(read.taps()).enumerate() {
                let factor = factors[read.input_of(output, index)];
                taps.iter_mut()
                    .for_each(|w| *w = (f64::from(*w) / factor) as f32);
            }
        }
    });
}

fn change(net: &mut Net, name: &str, change: impl FnOnce(&mut [f32])) {
    if let Some(constant) = net.stored.get_mut(name)
        && let Data::F32(values) = &mut constant.data
    {
        change(values);
    }
}
