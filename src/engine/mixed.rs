//! A graph of which only some parts have an integer form: one graph in tract, in which
//! each of these parts is one operator that runs a program.
//!
//! The parts come from [`crate::compile::region`]. At the borders between them and
//! tract's own operators lie the tensors that the graph has there: codes, or real
//! numbers that are quantized on the way in and dequantized on the way out, in the
//! graph's layout.

use std::sync::Arc;

use super::program::Options;
use super::program::region::Regions;
use super::scores::Scores;
use super::tract::TractSegmenter;
use super::{EngineError, Segmenter, Shape};
use crate::compile::region::Mixed;
use crate::logits::Logits;
use crate::mask::Mask;
use crate::model::manifest::OutputKind;
use crate::model::{Graph, Model, ModelError};
use operator::{Machine, RegionOperator};

mod operator;
mod rest;
mod shapes;
mod transfer;

pub use shapes::shapes;

/// Why a graph could not be opened in parts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MixedError {
    /// tract rejects the rest of the graph.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The system gives no more threads.
    #[error("threads could not be started: {0}")]
    Threads(#[from] std::io::Error),
}

/// A graph in tract with programs in it.
pub struct MixedSegmenter {
    tract: TractSegmenter,
    /// The kernels of the regions' operations, region after region.
    kernels: Vec<&'static str>,
    /// What it is made of, for logs.
    made_of: String,
}

impl MixedSegmenter {
    /// Imports what `mixed` has left of the model's graph, with its regions in it.
    /// Where one of them ends in the mask there are labels only, and no logits.
    ///
    /// # Errors
    /// [`ModelError::Graph`], naming the node at fault, or the system's, where it gives
    /// no more threads.
    pub fn new(
        model: &Model,
        graph: &Graph,
        mixed: &Mixed,
        options: Options,
    ) -> Result<Self, MixedError> {
        let programs: Vec<_> = mixed.regions.iter().map(|part| &part.region).collect();
        let regions = Regions::new(&programs, options)?;
        let kernels = regions.kernels();
        let threads = match regions.threads() {
            1 => "one thread".to_owned(),
            n => format!("{n} threads"),
        };
        let operations: usize = programs.iter().map(|region| region.body.ops.len()).sum();
        let made_of = format!(
            "{operations} operations in {} integer {} with {:.0} % of the multiplications, {} \
             kernels, {threads}, and {} nodes in tract",
            programs.len(),
            if programs.len() == 1 {
                "region"
            } else {
                "regions"
            },
            100.0 * mixed.integer_macs() as f64 / mixed.macs.max(1) as f64,
            options.cpu.best(),
            mixed.others.len(),
        );
        let mut manifest = model.manifest.clone();
        if mixed.regions.iter().any(|region| region.gives_mask) {
            manifest.output.kind = OutputKind::Labels;
        }
        let machine = Arc::new(Machine::new(regions, mixed, &manifest));
        let proto = rest::graph(graph.proto(), mixed, &manifest);
        let mut framework = tract_onnx::onnx();
        RegionOperator::register(&mut framework);
        let tract =
            TractSegmenter::adapted(&manifest, &model.origin, &proto, &framework, |model| {
                RegionOperator::complete(model, &machine)
            })?;
        Ok(Self {
            tract,
            kernels,
            made_of,
        })
    }
}

impl Segmenter for MixedSegmenter {
    fn shape(&self) -> Shape {
        self.tract.shape()
    }

    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
        self.tract.segment(rgb, labels)
    }

    fn logits(&mut self, rgb: &[u8], logits: &mut Logits) -> Result<(), EngineError> {
        self.tract.logits(rgb, logits)
    }

    fn scored_classes(&self) -> Option<usize> {
        self.tract.scored_classes()
    }

    fn segment_scored(
        &mut self,
        rgb: &[u8],
        labels: &mut Mask,
        scores: &mut Scores,
    ) -> Result<(), EngineError> {
        self.tract.segment_scored(rgb, labels, scores)
    }

    fn kernels(&self) -> Vec<&'static str> {
        self.kernels.clone()
    }

    fn describe(&self) -> String {
        let Shape { width, height, .. } = self.shape();
        format!("mixed graph, {}, {width}x{height}", self.made_of)
    }
}
