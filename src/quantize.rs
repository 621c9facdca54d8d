//! Post-training quantization: from a float graph and pictures to a quantized graph, which
//! [`compile`] turns into a program.
//!
//! 1. `net`: norms are folded, every convolution gets a bias.
//! 2. `observe`: the graph runs over the pictures, and what each channel held is noted.
//! 3. `equalize`: channels between two convolutions are scaled to use their codes.
//! 4. `place`: which tensors get codes, and which share them (the parts of a concatenation,
//!    what a resize reads and makes).
//! 5. `histogram`, `range`: the graph runs again, and each tensor gets a range.
//! 6. `conv`, `bias`: each output of a convolution gets a scale for its weights; the bias
//!    takes back what their rounding adds on average.
//! 7. `write`: the graph with QuantizeLinear and DequantizeLinear, as ONNX Runtime and
//!    others read it. Activations are unsigned bytes with one scale for each tensor, weights
//!    signed bytes in -127..=127 with one for each output, biases 32-bit integers.
//! 8. `compare`: both graphs run, and the signal-to-noise ratio of each tensor is reported.

use std::collections::HashSet;

use prost::Message;
use thiserror::Error;

use crate::compile;
use crate::model::graph::MAX_NODES;
use crate::model::manifest::{InputType, Manifest};
use crate::model::{Graph, ModelError};

mod bias;
mod compare;
mod conv;
mod equalize;
mod histogram;
mod net;
mod observe;
mod place;
mod range;
mod transposed;
mod write;

pub use compare::Layer;
pub use range::Method;

use compare::compare;
use conv::{Kernel, Reading, weight_scales};
use histogram::Histogram;
use net::Net;
use observe::{Channels, Observer};
use place::Places;
use range::Codes;
use transposed::Transposed;
use write::Scales;

/// How to quantize.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How the ranges of activations are chosen.
    pub method: Method,
    /// Whether channels are equalized.
    pub equalize: bool,
    /// Whether biases are corrected.
    pub correct_bias: bool,
    /// Over how many of the pictures the two graphs are compared.
    pub compared: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: Method::Mse,
            equalize: true,
            correct_bias: true,
            compared: 8,
        }
    }
}

/// What is being done, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The channels are observed.
    Channels,
    /// The ranges are found.
    Ranges,
    /// The graphs are compared.
    Compare,
}

/// A quantized graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// Each tensor that has codes, in the order of the graph.
    pub layers: Vec<Layer>,
    /// Ratio of signal to noise of the graph's first output in decibels, against the graph as
    /// it came; `None` where it holds no real numbers, or nothing was lost.
    pub scores_db: Option<f64>,
    /// Channels that were scaled.
    pub equalized: usize,
    /// Convolutions that got integer weights.
    pub convolutions: usize,
    /// Tensors that never were anything but one value in all pictures.
    pub constant: Vec<String>,
}

/// Why a model was not quantized.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// It has codes already.
    #[error(
        "model '{path}' is quantized already; `atrous compile` makes an artifact of it, and its \
         float original can be quantized anew"
    )]
    Already {
        /// The model.
        path: String,
    },
    /// There is nothing in it that gains from integers.
    #[error("model '{path}' has no convolution with constant weights, so nothing to quantize")]
    Nothing {
        /// The model.
        path: String,
    },
    /// A node or a tensor is at fault.
    #[error("model '{path}', '{node}': {reason}")]
    Graph {
        /// The model.
        path: String,
        /// The node or tensor.
        node: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The ranges cannot be found without pictures.
    #[error("there is no picture to find the ranges of '{path}' with")]
    NoPictures {
        /// The model.
        path: String,
    },
    /// The model cannot be run.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// A [`QuantizeError`] that does not know its model yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    Node {
        node: String,
        reason: String,
    },
    /// The number of a tensor in view.
    NotFinite(usize),
}

impl Fault {
    fn node(node: &str, reason: String) -> Self {
        Self::Node {
            node: node.to_owned(),
            reason,
        }
    }

    /// `tensors` are those in view.
    fn of(self, path: &str, tensors: &[String]) -> QuantizeError {
        let (node, reason) = match self {
            Self::Node { node, reason } => (node, reason),
            Self::NotFinite(number) => {
                let reason = "is infinite or not a number for one of the pictures, so it has no \
                              range: the model is broken, fed otherwise than it was trained, or \
                              works with infinities on purpose";
                (tensors[number].clone(), reason.to_owned())
            }
        };
        QuantizeError::Graph {
            path: path.to_owned(),
            node,
            reason,
        }
    }
}

/// Is given the number, the shape and the values of a tensor in view.
type See<'a> = &'a mut dyn FnMut(usize, &[usize], &[f32]);

/// Quantizes a float graph. `pictures` are RGB at the model's size, `path` is for messages,
/// and `progress` is told how many pictures of how many a stage is done with.
///
/// One graph, one list of pictures and the same options give the same bytes each time on one
/// machine.
///
/// # Errors
/// [`QuantizeError`].
pub fn quantize(
    graph: &Graph,
    manifest: &Manifest,
    path: &str,
    pictures: &[Vec<u8>],
    options: &Options,
    mut progress: impl FnMut(Stage, usize, usize),
) -> Result<Quantized, QuantizeError> {
    let path_of = || path.to_owned();
    let proto = graph.proto();
    if proto.graph.as_ref().is_some_and(compile::is_quantized) {
        return Err(QuantizeError::Already { path: path_of() });
    }
    if pictures.is_empty() {
        return Err(QuantizeError::NoPictures { path: path_of() });
    }
    let mut net = Net::new(proto).map_err(|fault| fault.of(path, &[]))?;
    let convolutions: Vec<usize> = (0..net.nodes.len())
        .filter(|&node| Kernel::of(&net, &net.nodes[node]).is_some())
        .collect();
    if convolutions.is_empty() {
        return Err(QuantizeError::Nothing { path: path_of() });
    }
    let read: Vec<String> = read_by(&net, &convolutions);
    let mut held = vec![Channels::default(); read.len()];
    let mut observer = Observer::new(&net, manifest, &read, path)?;
    let mut watch = |stage: Stage, observer: &mut Observer, tensors: &[String], see: See<'_>| {
        for (done, rgb) in pictures.iter().enumerate() {
            progress(stage, done, pictures.len());
            let ran = observer.run(rgb, &mut *see);
            ran.map_err(|fault| fault.of(path, tensors))?;
        }
        Ok::<(), QuantizeError>(())
    };
    watch(
        Stage::Channels,
        &mut observer,
        &read,
        &mut |tensor, shape, values| {
            held[tensor].add(shape, values);
        },
    )?;
    drop(observer);
    let held_by = |tensor: &str| read.iter().position(|name| name == tensor);
    let mut equalized = 0;
    if options.equalize {
        for pair in equalize::pairs(&net) {
            if let Some(at) = held_by(&pair.tensor) {
                equalized += equalize::equalize(&mut net, &pair, &mut held[at]);
            }
        }
    }

    let names_of = |places: &Places| -> Vec<String> {
        places.points.iter().map(|p| p.tensor.clone()).collect()
    };
    let candidates = names_of(&Places::of(&net, |_| true));
    let real = Observer::new(&net, manifest, &candidates, path)?.are_real();
    let real = candidates.iter().zip(real).filter(|(_, real)| *real);
    let real: HashSet<&str> = real.map(|(name, _)| name.as_str()).collect();
    let places = Places::of(&net, |tensor| real.contains(tensor));
    check_size(&net, &places, convolutions.len()).map_err(|fault| fault.of(path, &[]))?;
    let names = names_of(&places);
    let mut histograms = vec![Histogram::default(); names.len()];
    let mut observer = Observer::new(&net, manifest, &names, path)?;
    watch(
        Stage::Ranges,
        &mut observer,
        &names,
        &mut |tensor, _, values| {
            histograms[tensor].add(values);
        },
    )?;
    drop(observer);
    let groups = codes(&net, &places, &histograms, manifest, options.method);

    let float = net.clone();
    let mut scales = Scales {
        groups,
        ..Scales::default()
    };
    for &node in &convolutions {
        let tensor = net.nodes[node].input[0].clone();
        let point = places.points.iter().find(|p| p.tensor == tensor);
        let (Some(point), Some(at)) = (point, held_by(&tensor)) else {
            continue;
        };
        let Some(reading) = Reading::of(&net, &net.nodes[node], &held[at]) else {
            continue;
        };
        let step = scales.groups[point.group].scale;
        let Some(weights) = weight_scales(&net, &net.nodes[node], &reading, step) else {
            continue;
        };
        if options.correct_bias {
            bias::correct(&mut net, node, &weights, &reading);
        }
        scales.weights.insert(node, weights);
    }
    for (index, node) in net.nodes.iter().enumerate() {
        let point = (places.points.iter()).find(|p| node.input.first() == Some(&p.tensor));
        let (Some(point), Some(transposed)) = (point, Transposed::of(&net, node)) else {
            continue;
        };
        let step = scales.groups[point.group].scale;
        if let Some(weights) = transposed.scales(&net, node, step) {
            scales.weights.insert(index, weights);
        }
    }
    let (model, codes) = write::write(&net, &places, &scales);
    let onnx = model.encode_to_vec();
    let written = Net::new(&model).map_err(|fault| fault.of(path, &[]))?;

    let pictures = evenly(pictures, options.compared);
    let (layers, scores) = compare(
        graph,
        (&float, &names),
        (&written, &codes),
        manifest,
        path,
        &pictures,
        |done| progress(Stage::Compare, done, pictures.len()),
    )?;
    let layers = layers.into_iter().zip(&places.points);
    let layers = layers.map(|(noise, point)| Layer::new(noise, point, &net, &scales));
    let constant = |(_, histogram): &(&String, &Histogram)| {
        histogram
            .extent()
            .is_some_and(|[least, most]| least == most)
    };
    Ok(Quantized {
        layers: layers.collect(),
        scores_db: scores.ratio(),
        equalized,
        convolutions: scales.weights.len(),
        constant: (names.iter().zip(&histograms))
            .filter(constant)
            .map(|(name, _)| name.clone())
            .collect(),
        onnx,
    })
}

/// Checks that the quantized graph can be imported again.
fn check_size(net: &Net, places: &Places, convolutions: usize) -> Result<(), Fault> {
    let count = net.nodes.len() + 2 * (places.points.len() + convolutions);
    if count <= MAX_NODES {
        return Ok(());
    }
    let reason = format!(
        "of {} nodes and {} tensors to quantize the quantized graph would have {count} nodes; at \
         most {MAX_NODES} are imported",
        net.nodes.len(),
        places.points.len()
    );
    Err(Fault::node("graph", reason))
}

/// The tensors that some nodes read first, each once.
fn read_by(net: &Net, nodes: &[usize]) -> Vec<String> {
    let mut read: Vec<String> = Vec::with_capacity(nodes.len());
    for &node in nodes {
        let tensor = &net.nodes[node].input[0];
        if !read.contains(tensor) {
            read.push(tensor.clone());
        }
    }
    read
}

/// At most `count` of a list, evenly spread.
fn evenly<T>(list: &[T], count: usize) -> Vec<&T> {
    let count = count.min(list.len());
    (0..count).map(|i| &list[i * list.len() / count]).collect()
}

/// The codes of each group.
fn codes(
    net: &Net,
    places: &Places,
    histograms: &[Histogram],
    manifest: &Manifest,
    method: Method,
) -> Vec<Codes> {
    let wiring = net.wiring();
    let group = |group: usize| {
        let mut all = Histogram::default();
        let mut method = method;
        for (point, histogram) in places.points.iter().zip(histograms) {
            if point.group != group {
                continue;
            }
            // What only moves the picture's pixels is in its group, and nothing else.
            if point.node.is_none() {
                return picture_codes(manifest);
            }
            // An output is for whoever reads it: nothing of it is cut off.
            if wiring.is_output(&point.tensor) {
                method = Method::MinMax;
            }
            all.merge(histogram);
        }
        Codes::of(range::choose(&all, method))
    };
    (0..places.groups).map(group).collect()
}

/// Codes for the values that a picture's bytes have.
///
/// Bytes are one step of codes apart, or a little less: where zero lies between two bytes,
/// as it does for `byte / 127.5 - 1`, steps of just that width put every byte half way
/// between two codes.
fn picture_codes(manifest: &Manifest) -> Codes {
    let input = &manifest.input;
    let values: Vec<f32> = (0..3)
        .flat_map(|channel| {
            let (mean, std) = (input.mean[channel], input.std[channel]);
            (0..=255u8).map(move |byte| (f32::from(byte) - mean) / std)
        })
        .collect();
    debug_assert!(input.dtype == InputType::F32);
    let (low, high) = values.iter().fold((0.0f32, 0.0f32), |(low, high), &v| {
        (low.min(v), high.max(v))
    });
    let error = |codes: Codes| -> f64 {
        let zero = f32::from(codes.zero_point);
        let errors = values.iter().map(|&v| {
            let code = ((v / codes.scale).round_ties_even() + zero).clamp(0.0, 255.0);
            f64::from(v - (code - zero) * codes.scale).powi(2)
        });
        errors.sum()
    };
    let widths = (0..=8).map(|i| 1.0 + i as f32 / 512.0);
    let tried = widths.map(|width| Codes::of([low * width, high * width]));
    let best = tried.min_by(|a, b| error(*a).total_cmp(&error(*b)));
    best.unwrap_or(Codes::of([low, high]))
}

#[cfg(test)]
mod tests;
