//! Running a graph over pictures and looking at its tensors.

use std::collections::HashMap;

use super::net::Net;
use super::{Fault, QuantizeError};
use crate::engine::tract::TractSegmenter;
use crate::model::{Graph, Manifest};

/// Most values of all tensors in view together, for one picture: two gibibytes.
const MAX_VALUES: u64 = 1 << 29;

/// What the channels of a tensor held, the second of its axes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Channels {
    /// Sides of the tensor.
    pub shape: Vec<usize>,
    /// Of each channel.
    pub least: Vec<f32>,
    /// Of each channel.
    pub most: Vec<f32>,
    sum: Vec<f64>,
    squares: Vec<f64>,
    /// Values of each channel.
    count: u64,
}

impl Channels {
    /// Takes values in row-major order into account; those of another shape than before
    /// are left out.
    pub fn add(&mut self, shape: &[usize], values: &[f32]) {
        let channels = shape.get(1).copied().unwrap_or(1);
        if self.shape.is_empty() {
            self.shape = shape.to_vec();
            self.least = vec![f32::INFINITY; channels];
            self.most = vec![f32::NEG_INFINITY; channels];
            self.sum = vec![0.0; channels];
            self.squares = vec![0.0; channels];
        }
        if self.shape != shape || channels == 0 {
            return;
        }
        let plane: usize = shape.iter().skip(2).product();
        for (index, plane) in values.chunks_exact(plane.max(1)).enumerate() {
            let channel = index % channels;
            let (mut least, mut most) = (self.least[channel], self.most[channel]);
            // f32 in runs is fast and exact enough; f64 between them keeps it so.
            for run in plane.chunks(1024) {
                let (mut sum, mut squares) = (0.0f32, 0.0f32);
                for &v in run {
                    least = least.min(v);
                    most = most.max(v);
                    sum += v;
                    squares += v * v;
                }
                self.sum[channel] += f64::from(sum);
                self.squares[channel] += f64::from(squares);
            }
            (self.least[channel], self.most[channel]) = (least, most);
        }
        self.count += (values.len() / channels) as u64;
    }

    /// Mean of a channel.
    pub fn mean(&self, channel: usize) -> f64 {
        self.sum[channel] / self.count.max(1) as f64
    }

    /// Mean of the squares of a channel's values.
    pub fn mean_square(&self, channel: usize) -> f64 {
        self.squares[channel] / self.count.max(1) as f64
    }

    /// Multiplies what each channel held with a positive factor.
    pub fn scale(&mut self, factors: &[f64]) {
        for (channel, &factor) in factors.iter().enumerate().take(self.most.len()) {
            self.least[channel] *= factor as f32;
            self.most[channel] *= factor as f32;
            self.sum[channel] *= factor;
            self.squares[channel] *= factor * factor;
        }
    }

    /// The largest magnitude in a channel.
    pub fn magnitude(&self, channel: usize) -> f32 {
        self.most[channel].max(-self.least[channel]).max(0.0)
    }
}

/// A graph that runs in tract, with some of its tensors in view.
pub struct Observer {
    engine: TractSegmenter,
    /// Of the graph's outputs in order, the number of the tensor in view.
    viewed: Vec<Option<usize>>,
}

impl Observer {
    /// Gets a graph ready to run with `tensors` in view.
    ///
    /// # Errors
    /// [`QuantizeError::Model`] where tract refuses the graph.
    pub fn new(
        net: &Net,
        manifest: &Manifest,
        tensors: &[String],
        path: &str,
    ) -> Result<Self, QuantizeError> {
        let graph = net.model.graph.as_ref();
        let outputs = graph.map_or(&[][..], |graph| &graph.output);
        let numbers: HashMap<&str, usize> = tensors
            .iter()
            .enumerate()
            .map(|(number, name)| (name.as_str(), number))
            .collect();
        let number = |name: &str| numbers.get(name).copied();
        let mut viewed: Vec<_> = outputs.iter().map(|o| number(&o.name)).collect();
        let own = |name: &str| outputs.iter().any(|o| o.name == name);
        let further: Vec<String> = tensors.iter().filter(|t| !own(t)).cloned().collect();
        viewed.extend(further.iter().map(|name| number(name)));
        let graph = Graph::checked(net.to_model(&further), path)?;
        let engine = TractSegmenter::of_graph(manifest, path, &graph)?;
        let values = engine.output_values();
        if values > MAX_VALUES {
            let reason = format!(
                "its tensors hold {values} values for one picture, and all of them are looked \
                 at together: at most {MAX_VALUES} are allowed; use a smaller input size"
            );
            return Err(Fault::node("graph", reason).of(path, &[]));
        }
        Ok(Self { engine, viewed })
    }

    /// Whether each tensor in view holds real numbers.
    pub fn are_real(&self) -> Vec<bool> {
        let count = self
            .viewed
            .iter()
            .flatten()
            .max()
            .map_or(0, |most| most + 1);
        let mut real = vec![false; count];
        for (viewed, is_real) in self.viewed.iter().zip(self.engine.real_outputs()) {
            if let Some(number) = *viewed {
                real[number] = is_real;
            }
        }
        real
    }

    /// Runs the graph over a picture: RGB at the model's size. `see` is given the number,
    /// shape and values of each tensor in view.
    ///
    /// # Errors
    /// [`Fault`] where a value is not finite; what the engine says otherwise.
    pub fn run(
        &mut self,
        rgb: &[u8],
        mut see: impl FnMut(usize, &[usize], &[f32]),
    ) -> Result<(), Fault> {
        let mut fault = None;
        let viewed = &self.viewed;
        self.engine
            .outputs(rgb, |output, shape, values| {
                let Some(number) = viewed[output] else { return };
                if values.iter().all(|v| v.is_finite()) {
                    see(number, shape, values);
                } else {
                    fault = Some(number);
                }
            })
            .map_err(|error| Fault::node("graph", error.to_string()))?;
        match fault {
            None => Ok(()),
            Some(number) => Err(Fault::NotFinite(number)),
        }
    }
}
