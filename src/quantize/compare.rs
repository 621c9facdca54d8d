//! How far a quantized graph is from its float one, tensor by tensor.

use serde::Serialize;

use super::net::Net;
use super::observe::Observer;
use super::place::Point;
use super::write::Scales;
use super::{Fault, QuantizeError};
use crate::engine::tract::TractSegmenter;
use crate::model::{Graph, Manifest};

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
        for (&f, &q) in float.iter().zip(quantized) {
            let (f, q) = (f64::from(f), f64::from(q));
            self.signal += f * f;
            self.noise += (f - q) * (f - q);
        }
    }

    /// In decibels; `None` where there is no signal or no noise.
    pub fn ratio(self) -> Option<f64> {
        (self.signal > 0.0 && self.noise > 0.0).then(|| 10.0 * (self.signal / self.noise).log10())
    }
}

/// Runs both graphs, each with the names of the same tensors, over pictures; `untouched` is
/// the graph as it came. The second result is for its first output, where that is real
/// numbers.
pub fn compare(
    untouched: &Graph,
    (float, names): (&Net, &[String]),
    (quantized, codes): (&Net, &[String]),
    manifest: &Manifest,
    path: &str,
    pictures: &[&Vec<u8>],
    mut progress: impl FnMut(usize),
) -> Result<(Vec<Noise>, Noise), QuantizeError> {
    let mut all = vec![Noise::default(); names.len()];
    let mut values = vec![Vec::new(); names.len()];
    let (mut scores, mut end) = (Noise::default(), Vec::new());
    // The first output may have codes, and be in view already.
    let mut viewed = codes.to_vec();
    let mut outputs = quantized.model.graph.iter().flat_map(|graph| &graph.output);
    let output = outputs.next().map_or("", |output| output.name.as_str());
    let last = codes.iter().position(|name| name == output);
    let last = last.unwrap_or_else(|| {
        viewed.push(output.to_owned());
        codes.len()
    });
    let mut original = TractSegmenter::of_graph(manifest, path, untouched)?;
    let mut float = Observer::new(float, manifest, names, path)?;
    let mut quantized = Observer::new(quantized, manifest, &viewed, path)?;
    for (done, rgb) in pictures.iter().enumerate() {
        progress(done);
        let keep = |tensor: usize, _: &[usize], seen: &[f32]| {
            values[tensor].clear();
            values[tensor].extend_from_slice(seen);
        };
        float
            .run(rgb, keep)
            .map_err(|fault| fault.of(path, names))?;
        let keep = |place: usize, _: &[usize], seen: &[f32]| {
            if place == 0 {
                end.clear();
                end.extend_from_slice(seen);
            }
        };
        let ran = original.outputs(rgb, keep);
        ran.map_err(|error| Fault::node("graph", error.to_string()).of(path, &[]))?;
        let add = |tensor: usize, _: &[usize], seen: &[f32]| {
            if let Some(noise) = all.get_mut(tensor) {
                noise.add(&values[tensor], seen);
            }
            if tensor == last {
                scores.add(&end, seen);
            }
        };
        quantized
            .run(rgb, add)
            .map_err(|fault| fault.of(path, &viewed))?;
    }
    Ok((all, scores))
}
