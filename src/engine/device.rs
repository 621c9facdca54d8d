//! A float model on an accelerator, through one of tract's runtimes.
//!
//! What tract's CUDA backend has no kernel for would be computed on the CPU, with a copy
//! to it and back each time. So such operators are first rewritten into ones it has: resizes
//! into matrix products (`resize`) and pools into slices that are combined (`pool`);
//! and the end of the graph is cut off (`ending`), so that only coarse scores are
//! fetched. The rewritten graph runs on tract's CPU runtime as well, which is how it is
//! held to the original without a GPU.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::runtime::{Runnable, State, runtime_for_name};

use super::tract::{InputScale, OutputReader, check_sizes, contained, flat, parse, read_labels};
use super::{EngineError, Segmenter, Shape, scores};
use crate::logits::Logits;
use crate::mask::Mask;
use crate::model::manifest::{Manifest, OutputKind};
use crate::model::{Graph, ModelError};
use crate::postprocess::upsample::UpsampleArgmax;

pub mod cuda;
mod ending;
mod half;
mod placement;
mod pool;
mod resize;
#[cfg(test)]
mod testing;

pub(super) use ending::Scores;
pub use placement::{HostNode, Placement};

/// Which of tract's runtimes runs a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// An NVIDIA GPU.
    Cuda,
    /// The CPU: the rewritten graph without a GPU, to compare it with the original.
    Cpu,
}

impl Backend {
    fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Cpu => "cpu",
        }
    }
}

/// Bits of a number in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32, as in the file.
    #[default]
    Single,
    /// 16: half the memory, and scores that are off by about a thousandth.
    Half,
}

/// A model's graph, rewritten for a GPU.
pub struct DeviceGraph {
    name: String,
    origin: String,
    shape: Shape,
    precision: Precision,
    model: TypedModel,
    scale: InputScale,
    output: OutputReader,
    upsample: UpsampleArgmax,
    placement: Placement,
}

impl DeviceGraph {
    /// Imports a graph and rewrites it. `origin` is for messages. No GPU is needed.
    ///
    /// # Errors
    /// [`ModelError::Graph`], naming the node or tensor at fault.
    pub fn new(
        manifest: &Manifest,
        origin: &str,
        graph: &Graph,
        precision: Precision,
    ) -> Result<Self, ModelError> {
        let fail = |reason: String| ModelError::Graph {
            path: origin.to_owned(),
            reason,
        };
        let rewritten =
            contained(|| rewritten(manifest, graph, precision).map_err(|error| flat(&error)));
        let (model, scores, placement) =
            rewritten.map_err(|reason| fail(format!("cannot be prepared for a GPU: {reason}")))?;
        let output = match scores {
            Some(scores) => OutputReader::of_scores(&scores),
            None => OutputReader::new(&model, manifest).map_err(fail)?,
        };
        let shape = Shape {
            width: manifest.input.width,
            height: manifest.input.height,
            classes: manifest.classes.len(),
        };
        let upsample = UpsampleArgmax::new(
            scores.map_or(manifest.output.upsample, |scores| scores.upsample),
            output.cells,
            output.classes,
            (shape.width, shape.height),
        );
        Ok(Self {
            name: manifest.name.clone(),
            origin: origin.to_owned(),
            shape,
            precision,
            model,
            scale: InputScale::new(manifest),
            output,
            upsample,
            placement,
        })
    }

    /// Which nodes the GPU takes.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Hands the graph to a runtime, which for CUDA compiles its kernels if it has not yet.
    ///
    /// # Errors
    /// [`ModelError::Graph`] with the runtime's reason.
    pub fn on(self, backend: Backend) -> Result<DeviceSegmenter, ModelError> {
        let fail = |reason: String| ModelError::Graph {
            path: self.origin.clone(),
            reason: format!("the {} runtime does not take it: {reason}", backend.name()),
        };
        let prepare = || {
            let runtime = runtime_for_name(backend.name()).map_err(|error| flat(&error))?;
            let runtime = runtime.ok_or("it is not part of this build")?;
            runtime.prepare(self.model).map_err(|error| flat(&error))
        };
        let runnable = contained(prepare).map_err(fail)?;
        Ok(DeviceSegmenter {
            name: self.name,
            backend,
            shape: self.shape,
            precision: self.precision,
            runnable,
            state: None,
            scale: self.scale,
            output: self.output,
            logits: Logits::default(),
            upsample: self.upsample,
            placement: self.placement,
        })
    }
}

fn rewritten(
    manifest: &Manifest,
    graph: &Graph,
    precision: Precision,
) -> TractResult<(TypedModel, Option<ending::Scores>, Placement)> {
    let model = parse(graph.proto(), manifest, &tract_onnx::onnx())?.into_typed()?;
    check_sizes(&model)?;
    let mut model = model.into_decluttered()?;
    let scores = ending::cut(&mut model, manifest)?;
    resize::rewrite(&mut model)?;
    pool::rewrite(&mut model)?;
    if precision == Precision::Half {
        half::translate(&mut model)?;
    }
    model.compact()?;
    check_sizes(&model)?;
    let placement = Placement::predict(&model)?;
    Ok((model, scores, placement))
}

/// A model on an accelerator.
pub struct DeviceSegmenter {
    name: String,
    backend: Backend,
    shape: Shape,
    precision: Precision,
    runnable: Box<dyn Runnable>,
    /// Made by the first run, in its thread: CUDA's streams belong to threads.
    state: Option<Box<dyn State>>,
    scale: InputScale,
    output: OutputReader,
    logits: Logits,
    upsample: UpsampleArgmax,
    placement: Placement,
}

impl DeviceSegmenter {
    /// The graph as its runtime has it.
    pub fn plan(&self) -> Option<&Arc<TypedModel>> {
        self.runnable.typed_model()
    }

    fn run(&mut self, rgb: &[u8]) -> Result<TValue, EngineError> {
        self.shape.check(rgb)?;
        // A run that failed may leave its state half-way.
        let mut state = self.state.take();
        let run = || {
            let input = self.scale.tensor(rgb).map_err(|error| flat(&error))?;
            let wanted = self.runnable.input_fact(0).map_err(|error| flat(&error))?;
            let input = input.cast_to_dt(wanted.datum_type).map_err(|e| flat(&e))?;
            let state = match &mut state {
                Some(state) => state,
                None => state.insert(self.runnable.spawn().map_err(|error| flat(&error))?),
            };
            let outputs = state.run(tvec!(input.into_owned().into()));
            let output = outputs.map_err(|error| flat(&error))?.into_iter().next();
            output.ok_or_else(|| "it gave no output".to_owned())
        };
        let output = contained(run).map_err(|reason| fault(&self.name, reason))?;
        self.state = state;
        Ok(output)
    }
}

fn fault(model: &str, reason: String) -> EngineError {
    EngineError::Run {
        model: model.to_owned(),
        reason,
    }
}

impl Segmenter for DeviceSegmenter {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
        let value = self.run(rgb)?;
        labels.resize(self.shape.width, self.shape.height);
        // What is fetched from a GPU is copied when it is read.
        let read = contained(|| match self.output.kind {
            OutputKind::Logits => {
                self.output.read_logits(&value, &mut self.logits)?;
                self.upsample.run(&self.logits, labels);
                Ok(())
            }
            OutputKind::Labels => read_labels(&value, self.shape.classes, &mut labels.labels),
        });
        read.map_err(|reason| fault(&self.name, reason))
    }

    /// Scores are as coarse as what is fetched: a last resize is not part of the graph.
    fn logits(&mut self, rgb: &[u8], logits: &mut Logits) -> Result<(), EngineError> {
        if self.output.kind == OutputKind::Labels {
            return Err(EngineError::NoLogits {
                model: self.name.clone(),
            });
        }
        let value = self.run(rgb)?;
        let read = contained(|| self.output.read_logits(&value, logits));
        read.map_err(|reason| fault(&self.name, reason))
    }

    fn scored_classes(&self) -> Option<usize> {
        (self.output.kind == OutputKind::Logits).then_some(self.output.classes)
    }

    fn segment_scored(
        &mut self,
        rgb: &[u8],
        labels: &mut Mask,
        scores: &mut scores::Scores,
    ) -> Result<(), EngineError> {
        if self.output.kind == OutputKind::Labels {
            return Err(EngineError::NoLogits {
                model: self.name.clone(),
            });
        }
        let value = self.run(rgb)?;
        let upsample = self.upsample.upsample();
        let read = |logits: &mut Logits| contained(|| self.output.read_logits(&value, logits));
        match scores.keep_logits(upsample, self.shape, read) {
            Ok(logits) => self.upsample.run(logits, labels),
            Err(reason) => return Err(fault(&self.name, reason)),
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let Shape { width, height, .. } = self.shape;
        let place = match self.backend {
            Backend::Cuda => "the GPU (CUDA)",
            Backend::Cpu => "the CPU, as rewritten for a GPU",
        };
        let bits = match self.precision {
            Precision::Single => 32,
            Precision::Half => 16,
        };
        format!(
            "tract on {place}, floats of {bits} bits, {width}x{height}, {} of {} nodes on the GPU",
            self.placement.device_nodes(),
            self.placement.device_nodes() + self.placement.on_host.len()
        )
    }
}
