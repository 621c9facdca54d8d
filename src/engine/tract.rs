//! The model in stock tract, on the CPU: the reference for every other engine.

use std::sync::Arc;

use tract_onnx::Onnx;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

use super::device;
use super::scores::Scores;
use super::{EngineError, Segmenter, Shape};
use crate::guard;
use crate::logits::Logits;
use crate::mask::Mask;
use crate::model::graph::{MAX_ELEMENTS, MAX_RANK};
use crate::model::manifest::{Channels, InputType, Layout, Manifest, OutputKind};
use crate::model::{Graph, Model, ModelError};
use crate::postprocess::upsample::UpsampleArgmax;

/// Most elements of all tensors of a model together, stored ones included: a chain of
/// large ones takes memory and time as one that is too large.
const MAX_SUM: u64 = 1 << 32;

/// Longest message of tract that is passed on, in characters.
const MAX_MESSAGE: usize = 400;

/// A model imported and optimized by tract.
pub struct TractSegmenter {
    name: String,
    shape: Shape,
    plan: Arc<TypedSimplePlan>,
    scale: InputScale,
    output: OutputReader,
    logits: Logits,
    upsample: UpsampleArgmax,
}

impl TractSegmenter {
    /// Imports a model and checks that its tensors are what the manifest says.
    ///
    /// # Errors
    /// [`ModelError::Graph`], naming the node or tensor at fault.
    pub fn new(model: &Model) -> Result<Self, ModelError> {
        Self::from_graph(model, &Graph::parse(&model.onnx, &model.origin)?)
    }

    /// As [`new`](Self::new), for a caller that has the model's graph already.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_graph(model: &Model, graph: &Graph) -> Result<Self, ModelError> {
        Self::of_graph(&model.manifest, &model.origin, graph)
    }

    /// As [`new`](Self::new), for a graph of any origin, which is for messages.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_graph(manifest: &Manifest, origin: &str, graph: &Graph) -> Result<Self, ModelError> {
        Self::adapted(manifest, origin, graph.proto(), &tract_onnx::onnx(), |_| {
            Ok(())
        })
    }

    /// A graph that may hold operators of `framework`'s own; `adapt` completes them once
    /// the graph is typed. `origin` is for messages.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn adapted(
        manifest: &Manifest,
        origin: &str,
        proto: &ModelProto,
        framework: &Onnx,
        adapt: impl FnOnce(&mut TypedModel) -> TractResult<()>,
    ) -> Result<Self, ModelError> {
        let fail = |reason: String| ModelError::Graph {
            path: origin.to_owned(),
            reason,
        };
        let plan = contained(|| import(proto, manifest, framework, adapt))
            .map_err(|reason| fail(format!("cannot be imported: {reason}")))?;
        let output = OutputReader::new(plan.model(), manifest).map_err(fail)?;
        let shape = Shape {
            width: manifest.input.width,
            height: manifest.input.height,
            classes: manifest.classes.len(),
        };
        let upsample = UpsampleArgmax::new(
            manifest.output.upsample,
            output.cells,
            shape.classes,
            (shape.width, shape.height),
        );
        Ok(Self {
            name: manifest.name.clone(),
            shape,
            plan,
            scale: InputScale::new(manifest),
            output,
            logits: Logits::default(),
            upsample,
        })
    }

    fn run(&mut self, rgb: &[u8]) -> Result<TVec<TValue>, EngineError> {
        self.shape.check(rgb)?;
        let run = || {
            let input = self.scale.tensor(rgb).map_err(|e| flat(&e))?;
            let outputs = self.plan.run(tvec!(input.into())).map_err(|e| flat(&e))?;
            match outputs.is_empty() {
                true => Err("it gave no output".to_owned()),
                false => Ok(outputs),
            }
        };
        contained(run).map_err(|reason| self.fault(reason))
    }

    /// Number of values that all of the graph's outputs hold together.
    pub fn output_values(&self) -> u64 {
        let model = self.plan.model();
        let facts = (0..model.outputs.len()).filter_map(|output| model.output_fact(output).ok());
        let shapes = facts.filter_map(|fact| fact.shape.as_concrete());
        shapes
            .map(|s| s.iter().map(|&side| side as u64).product::<u64>())
            .sum()
    }

    /// Whether each of the graph's outputs holds real numbers of 32 bits.
    pub fn real_outputs(&self) -> Vec<bool> {
        let model = self.plan.model();
        let is_real = |output| {
            let fact = model.output_fact(output);
            fact.is_ok_and(|fact| fact.datum_type == f32::datum_type())
        };
        (0..model.outputs.len()).map(is_real).collect()
    }

    /// Gives `see` the place, the shape and the values of each of the graph's outputs that
    /// hold real numbers.
    ///
    /// # Errors
    /// [`EngineError`], and `see` was not called for all of them.
    pub fn outputs(
        &mut self,
        rgb: &[u8],
        mut see: impl FnMut(usize, &[usize], &[f32]),
    ) -> Result<(), EngineError> {
        let outputs = self.run(rgb)?;
        let mut see = |(place, value): (usize, &TValue)| -> TractResult<()> {
            if value.datum_type() == f32::datum_type() {
                see(place, value.shape(), value.try_as_plain_ram()?.as_slice()?);
            }
            Ok(())
        };
        let mut values = outputs.iter().enumerate();
        values
            .try_for_each(&mut see)
            .map_err(|error| self.fault(flat(&error)))
    }

    fn fault(&self, reason: String) -> EngineError {
        EngineError::Run {
            model: self.name.clone(),
            reason,
        }
    }
}

impl Segmenter for TractSegmenter {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
        let value = &self.run(rgb)?[0];
        let fail = |reason| EngineError::Run {
            model: self.name.clone(),
            reason,
        };
        labels.resize(self.shape.width, self.shape.height);
        match self.output.kind {
            OutputKind::Logits => {
                self.output
                    .read_logits(value, &mut self.logits)
                    .map_err(fail)?;
                self.upsample.run(&self.logits, labels);
                Ok(())
            }
            OutputKind::Labels => {
                read_labels(value, self.shape.classes, &mut labels.labels).map_err(fail)
            }
        }
    }

    fn logits(&mut self, rgb: &[u8], logits: &mut Logits) -> Result<(), EngineError> {
        if self.output.kind == OutputKind::Labels {
            return Err(EngineError::NoLogits {
                model: self.name.clone(),
            });
        }
        let outputs = self.run(rgb)?;
        let read = self.output.read_logits(&outputs[0], logits);
        read.map_err(|reason| self.fault(reason))
    }

    fn scored_classes(&self) -> Option<usize> {
        (self.output.kind == OutputKind::Logits).then_some(self.output.classes)
    }

    fn segment_scored(
        &mut self,
        rgb: &[u8],
        labels: &mut Mask,
        scores: &mut Scores,
    ) -> Result<(), EngineError> {
        if self.output.kind == OutputKind::Labels {
            return Err(EngineError::NoLogits {
                model: self.name.clone(),
            });
        }
        let outputs = self.run(rgb)?;
        let read = |logits: &mut Logits| self.output.read_logits(&outputs[0], logits);
        let kept = scores.keep_logits(self.upsample.upsample(), self.shape, read);
        match kept {
            Ok(logits) => self.upsample.run(logits, labels),
            Err(reason) => return Err(self.fault(reason)),
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let Shape { width, height, .. } = self.shape;
        format!("tract on the CPU, one thread, {width}x{height}")
    }
}

/// Runs `work`; a panic inside tract becomes an error, because a model file is
/// input, and bad input gets a message.
pub(super) fn contained<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    guard::contain(work).unwrap_or_else(|panic| Err(bounded(&format!("tract gave up: {panic}"))))
}

/// An error with its causes, in one line.
pub(super) fn flat(error: &TractError) -> String {
    let mut parts: Vec<String> = error.chain().map(ToString::to_string).collect();
    parts.dedup();
    bounded(&parts.join(": "))
}

/// A message of tract, which may hold whole lists of a model's making, in one line of
/// at most [`MAX_MESSAGE`] characters.
fn bounded(message: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = message.chars().map(plain).take(MAX_MESSAGE).collect();
    if message.chars().nth(MAX_MESSAGE).is_some() {
        text.push('…');
    }
    text
}

/// The graph with its input's type and sides.
pub(super) fn parse(
    proto: &ModelProto,
    manifest: &Manifest,
    framework: &Onnx,
) -> TractResult<InferenceModel> {
    let input = &manifest.input;
    let (h, w) = (input.height as usize, input.width as usize);
    let shape = match input.layout {
        Layout::Nchw => [1, 3, h, w],
        Layout::Nhwc => [1, h, w, 3],
    };
    let element = match input.dtype {
        InputType::F32 => f32::datum_type(),
        InputType::U8 => u8::datum_type(),
    };
    let mut model = framework.parse(proto, None)?.model;
    if model.input_outlets()?.len() != 1 {
        let count = model.input_outlets()?.len();
        return Err(TractError::msg(format!("it has {count} inputs, not one")));
    }
    model.set_input_fact(0, InferenceFact::dt_shape(element, shape))?;
    Ok(model)
}

fn import(
    proto: &ModelProto,
    manifest: &Manifest,
    framework: &Onnx,
    adapt: impl FnOnce(&mut TypedModel) -> TractResult<()>,
) -> Result<Arc<TypedSimplePlan>, String> {
    let build = || -> TractResult<Arc<TypedSimplePlan>> {
        let mut model = parse(proto, manifest, framework)?.into_typed()?;
        adapt(&mut model)?;
        check_sizes(&model)?;
        // Optimizing unfolds operators, so the sizes are another matter after it.
        let model = model.into_optimized()?;
        check_sizes(&model)?;
        TypedSimplePlan::new(model)
    };
    build().map_err(|e| flat(&e))
}

/// Refuses tensors whose size is open or too large, before a run
/// allocates them.
pub(super) fn check_sizes(model: &TypedModel) -> TractResult<()> {
    let mut sum = 0u64;
    for node in model.nodes() {
        let fail = |reason: String| {
            let op = node.op.name();
            Err(TractError::msg(format!(
                "node '{}' ({op}) {reason}",
                node.name
            )))
        };
        for output in &node.outputs {
            let Some(shape) = output.fact.shape.as_concrete() else {
                let shape = &output.fact.shape;
                return fail(format!(
                    "makes a tensor of open shape {shape:?}; fix all sides"
                ));
            };
            let mut sides = shape.iter().map(|&side| side as u64);
            let count = sides.try_fold(1u64, |n, side| n.checked_mul(side));
            let count = count.filter(|&n| n <= MAX_ELEMENTS);
            let Some(count) = count.filter(|_| shape.len() <= MAX_RANK) else {
                return fail(format!(
                    "makes a tensor of shape {shape:?}; at most {MAX_ELEMENTS} elements and \
                     {MAX_RANK} axes are allowed"
                ));
            };
            sum += count;
        }
        if sum > MAX_SUM {
            return fail(format!(
                "brings all tensors together to {sum} elements; at most {MAX_SUM} are allowed"
            ));
        }
    }
    Ok(())
}

/// Bytes to the input tensor's values.
pub(super) struct InputScale {
    layout: Layout,
    dtype: InputType,
    width: usize,
    height: usize,
    /// For each of the model's channels the byte of the pixel it comes from.
    order: [usize; 3],
    /// For each of the model's channels the value of every byte.
    tables: Box<[[f32; 256]; 3]>,
}

impl InputScale {
    pub(super) fn new(manifest: &Manifest) -> Self {
        let input = &manifest.input;
        let mut tables = Box::new([[0.0; 256]; 3]);
        for (channel, table) in tables.iter_mut().enumerate() {
            for (byte, value) in table.iter_mut().enumerate() {
                *value = (byte as f32 - input.mean[channel]) / input.std[channel];
            }
        }
        Self {
            layout: input.layout,
            dtype: input.dtype,
            width: input.width as usize,
            height: input.height as usize,
            order: match input.channels {
                Channels::Rgb => [0, 1, 2],
                Channels::Bgr => [2, 1, 0],
            },
            tables,
        }
    }

    pub(super) fn tensor(&self, rgb: &[u8]) -> TractResult<Tensor> {
        match self.dtype {
            InputType::F32 => {
                let mut values = vec![0.0; rgb.len()];
                self.spread(rgb, &mut values, |channel, byte| {
                    self.tables[channel][usize::from(byte)]
                });
                Tensor::from_shape(&self.tensor_shape(), &values)
            }
            InputType::U8 => {
                let mut values = vec![0; rgb.len()];
                self.spread(rgb, &mut values, |_, byte| byte);
                Tensor::from_shape(&self.tensor_shape(), &values)
            }
        }
    }

    fn tensor_shape(&self) -> [usize; 4] {
        match self.layout {
            Layout::Nchw => [1, 3, self.height, self.width],
            Layout::Nhwc => [1, self.height, self.width, 3],
        }
    }

    /// Writes every pixel's channels where the layout wants them.
    fn spread<T>(&self, rgb: &[u8], values: &mut [T], convert: impl Fn(usize, u8) -> T) {
        let plane = self.width * self.height;
        for (i, pixel) in rgb.chunks_exact(3).enumerate() {
            for channel in 0..3 {
                let at = match self.layout {
                    Layout::Nchw => channel * plane + i,
                    Layout::Nhwc => i * 3 + channel,
                };
                values[at] = convert(channel, pixel[self.order[channel]]);
            }
        }
    }
}

/// How the output tensor is read.
pub(super) struct OutputReader {
    pub(super) kind: OutputKind,
    pub(super) layout: Layout,
    /// Width and height of the logits.
    pub(super) cells: (u32, u32),
    pub(super) classes: usize,
}

impl OutputReader {
    pub(super) fn new(model: &TypedModel, manifest: &Manifest) -> Result<Self, String> {
        let fact = model.output_fact(0).map_err(|e| flat(&e))?;
        let shape = fact
            .shape
            .as_concrete()
            .ok_or("its output has no fixed shape")?;
        let classes = manifest.classes.len();
        let (kind, layout) = (manifest.output.kind, manifest.output.layout);
        let input = (manifest.input.width, manifest.input.height);
        let side = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
        let cells = match kind {
            OutputKind::Labels => {
                let sides: Vec<usize> = shape.iter().copied().filter(|&s| s != 1).collect();
                let wanted: Vec<usize> = [input.1 as usize, input.0 as usize]
                    .into_iter()
                    .filter(|&s| s != 1)
                    .collect();
                if sides != wanted {
                    return Err(format!(
                        "its output is {shape:?}, but labels must be {}x{} (height x width)",
                        input.1, input.0
                    ));
                }
                input
            }
            OutputKind::Logits => {
                let (c, h, w) = match (layout, shape) {
                    (Layout::Nchw, &[1, c, h, w]) | (Layout::Nhwc, &[1, h, w, c]) => (c, h, w),
                    _ => return Err(format!("its output is {shape:?}, not four axes of batch 1")),
                };
                if c != classes {
                    return Err(format!(
                        "its output {shape:?} has {c} classes, but the manifest names {classes}"
                    ));
                }
                if h == 0 || w == 0 {
                    return Err(format!("its output {shape:?} is empty"));
                }
                (side(w), side(h))
            }
        };
        Ok(Self {
            kind,
            layout,
            cells,
            classes,
        })
    }

    /// Of a graph whose end was cut off.
    pub(super) fn of_scores(scores: &device::Scores) -> Self {
        let side = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
        let (classes, height, width) = scores.size;
        Self {
            kind: OutputKind::Logits,
            layout: scores.layout,
            cells: (side(width), side(height)),
            classes,
        }
    }

    pub(super) fn read_logits(&self, value: &TValue, logits: &mut Logits) -> Result<(), String> {
        let cast = value.cast_to::<f32>().map_err(|e| flat(&e))?;
        let plain = cast.try_as_plain_ram().map_err(|e| flat(&e))?;
        let values = plain.as_slice::<f32>().map_err(|e| flat(&e))?;
        (logits.width, logits.height) = self.cells;
        logits.classes = self.classes;
        let plane = self.cells.0 as usize * self.cells.1 as usize;
        logits.values.resize(plane * self.classes, 0.0);
        if values.len() != logits.values.len() {
            return Err(format!("its output has {} values", values.len()));
        }
        match self.layout {
            Layout::Nhwc => logits.values.copy_from_slice(values),
            Layout::Nchw => {
                for (class, scores) in values.chunks_exact(plane).enumerate() {
                    let cells = logits.values.iter_mut().skip(class).step_by(self.classes);
                    for (cell, score) in cells.zip(scores) {
                        *cell = *score;
                    }
                }
            }
        }
        Ok(())
    }
}

pub(super) fn read_labels(value: &TValue, classes: usize, labels: &mut [u8]) -> Result<(), String> {
    let cast = value.cast_to::<i64>().map_err(|e| flat(&e))?;
    let plain = cast.try_as_plain_ram().map_err(|e| flat(&e))?;
    let values = plain.as_slice::<i64>().map_err(|e| flat(&e))?;
    if values.len() != labels.len() {
        return Err(format!("its output has {} labels", values.len()));
    }
    for (label, &value) in labels.iter_mut().zip(values) {
        *label = match u8::try_from(value) {
            Ok(v) if usize::from(v) < classes => v,
            _ => {
                return Err(format!(
                    "it gave label {value}, but the manifest names {classes} classes"
                ));
            }
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(shapes: &[&[usize]]) -> TypedModel {
        let mut model = TypedModel::default();
        for (i, shape) in shapes.iter().enumerate() {
            model
                .add_source(format!("x{i}"), f32::fact(*shape))
                .unwrap();
        }
        model
    }

    #[test]
    fn tensors_that_are_too_large_are_refused_by_node() {
        let most = MAX_ELEMENTS as usize;
        assert!(check_sizes(&sources(&[&[1, 3, 16, 16], &[most]])).is_ok());
        for shape in [&[1, most + 1][..], &[1 << 16, 1 << 16], &[1; MAX_RANK + 1]] {
            let error = check_sizes(&sources(&[&[2], shape])).unwrap_err();
            assert!(error.to_string().contains("'x1'"), "{error}");
        }
        let mut open = sources(&[]);
        let side = open.symbols.sym("N").to_dim();
        open.add_source("x", f32::fact([side])).unwrap();
        let error = check_sizes(&open).unwrap_err().to_string();
        assert!(error.contains("open shape"), "{error}");
    }

    #[test]
    fn tensors_that_are_too_large_together_are_refused() {
        let most = MAX_ELEMENTS as usize;
        let fit = (MAX_SUM / MAX_ELEMENTS) as usize;
        assert!(check_sizes(&sources(&vec![&[most][..]; fit])).is_ok());
        let error = check_sizes(&sources(&vec![&[most][..]; fit + 1])).unwrap_err();
        assert!(error.to_string().contains(&format!("'x{fit}'")), "{error}");
    }

    #[test]
    fn messages_are_one_short_line() {
        assert_eq!(bounded("a\nb"), "a b");
        let long = bounded(&"ä".repeat(MAX_MESSAGE + 1));
        assert_eq!(long.chars().count(), MAX_MESSAGE + 1);
        assert!(long.ends_with('…'));
        assert_eq!(bounded(&"ä".repeat(MAX_MESSAGE)), "ä".repeat(MAX_MESSAGE));
    }
}
