//! Bias correction: rounded weights make sums that are off by the same amount on average,
//! and the bias takes that back (Nagel et al., 2019).

use super::conv::{Reading, rounded};
use super::net::Net;
use crate::compile::constant::Data;

/// Corrects the bias of the convolution at `node` for weights of these scales, one for each
/// output.
pub fn correct(net: &mut Net, node: usize, scales: &[f32], reading: &Reading<'_>) {
    let Reading {
        kernel,
        held,
        coverage,
    } = reading;
    let node = net.nodes[node].clone();
    let Some(weights) = net.floats(&node, 1) else {
        return;
    };
    let rows = weights.chunks_exact(kernel.row()).zip(scales).enumerate();
    let shifts: Vec<f64> = rows
        .map(|(output, (row, &scale))| {
            let channels = row.chunks_exact(kernel.taps()).enumerate();
            let shifts = channels.map(|(index, taps)| {
                let errors = taps.iter().zip(coverage).map(|(&w, share)| {
                    (f64::from(rounded(w, scale)) * f64::from(scale) - f64::from(w)) * share
                });
                errors.sum::<f64>() * held.mean(kernel.input_of(output, index))
            });
            shifts.sum()
        })
        .collect();
    let Some(bias) = net.stored.get_mut(&node.input[2]) else {
        return;
    };
    if let Data::F32(bias) = &mut bias.data {
        for (bias, shift) in bias.iter_mut().zip(shifts) {
            *bias = (f64::from(*bias) - shift) as f32;
        }
    }
}
