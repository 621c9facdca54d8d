//! How far a quantized graph is from its float one, tensor by tensor.

use serde::Serialize;

use super::QuantizeError;
use super::net::Net;
use super::observe::Observer;
use super::place::Point;
use super::write::Scales;
use crate::model::Manifest;

/// A tensor that has codes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// Its name in the graph.
    pub tensor: String,
    /// The operator that makes it; `picture` for the input.
    pub op: String,
    /// The real numbers of its first and its last code.
    pub range: [f32; 2],
    /// Real distance of two codes.
    pub scale: f32,
    /// The code of zero.
    pub zero_point: u8,
    /// Ratio of signal to noise in decibels, with the noise of all that is before it; `None`
    /// where there is no signal or no noise.
    pub sqnr_db: Option<f64>,
}

impl Layer {
    pub(super) fn new(noise: Noise, point: &Point, net: &Net, scales: &Scales) -> Self {
        let codes = scales.groups[point.group];
        let op = point
            .node
            .map_or("picture", |node| &net.nodes[node].op_type);
        Self {
            tensor: point.tensor.clone(),
            op: op.to_owned(),
            range: codes.range(),
            scale: codes.scale,
            zero_point: codes.zero_point,
            sqnr_db: noise.ratio(),
        }
    }
}

/// Sums of squares of a tensor.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Noise {
    signal: f64,
    noise: f64,
}

impl Noise {
    fn add(&mut self, float: &[f32], quantized: &[f32]) {
        for (float, quantized) in float.chunks(1024).zip(quantized.chunks(1024)) {
            let (mut signal, mut noise) = (0.0f32, 0.0f32);
            for (f, q) in float.iter().zip(quantized) {
                signal += f * f;
                noise += (f - q) * (f - q);
            }
            self.signal += f64::from(signal);
            self.noise += f64::from(noise);
        }
    }

    fn ratio(self) -> Option<f64> {
        (self.signal > 0.0 && self.noise > 0.0).then(|| 10.0 * (self.signal / self.noise).log10())
    }
}

/// Runs both graphs, each with the names of the same tensors, over pictures.
pub fn compare(
    (float, names): (&Net, &[String]),
    (quantized, codes): (&Net, &[String]),
    manifest: &Manifest,
    path: &str,
    pictures: &[&Vec<u8>],
    mut progress: impl FnMut(usize),
) -> Result<Vec<Noise>, QuantizeError> {
    let mut all = vec![Noise::default(); names.len()];
    let mut values = vec![Vec::new(); names.len()];
    let mut float = Observer::new(float, manifest, names, path)?;
    let mut quantized = Observer::new(quantized, manifest, codes, path)?;
    for (done, rgb) in pictures.iter().enumerate() {
        progress(done);
        let keep = |tensor: usize, _: &[usize], seen: &[f32]| {
            values[tensor].clear();
            values[tensor].extend_from_slice(seen);
        };
        float
            .run(rgb, keep)
            .map_err(|fault| fault.of(path, names))?;
        let add = |tensor: usize, _: &[usize], seen: &[f32]| all[tensor].add(&values[tensor], seen);
        quantized
            .run(rgb, add)
            .map_err(|fault| fault.of(path, codes))?;
    }
    Ok(all)
}
