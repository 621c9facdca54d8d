//! A model that has no integer program as a whole.

use anyhow::Result;

use atrous::compile::region::{Mixed, compile_regions};
use atrous::engine::Segmenter;
use atrous::engine::mixed::{self, MixedSegmenter};
use atrous::engine::program::Options;
use atrous::engine::tract::TractSegmenter;
use atrous::model::{Graph, Model};

/// A model file that is open.
pub struct Source {
    pub model: Model,
    pub graph: Graph,
}

impl Source {
    /// Opens a model by name.
    ///
    /// # Errors
    /// [`atrous::model::ModelError`].
    pub fn open(name: &str) -> Result<Self> {
        let model = Model::open(name)?;
        let graph = Graph::parse(&model.onnx, &model.origin)?;
        Ok(Self { model, graph })
    }

    /// What runs it: parts of it as integer programs in tract, which are told, where
    /// they hold most of the work of a quantized model; all of it in tract elsewhere.
    ///
    /// # Errors
    /// [`atrous::model::ModelError`].
    pub fn segmenter(
        &self,
        is_float: bool,
        options: Options,
    ) -> Result<(Option<Mixed>, Box<dyn Segmenter>)> {
        if !is_float {
            match self.in_parts(options) {
                Ok(Some((parts, segmenter))) => return Ok((Some(parts), Box::new(segmenter))),
                Ok(None) => {}
                Err(error) => log::debug!("not run in parts: {error:#}"),
            }
        }
        let segmenter = TractSegmenter::from_graph(&self.model, &self.graph)?;
        Ok((None, Box::new(segmenter)))
    }

    /// `None` where there are no parts, or too small ones.
    fn in_parts(&self, options: Options) -> Result<Option<(Mixed, MixedSegmenter)>> {
        let Self { model, graph } = self;
        let shapes = || mixed::shapes(graph.proto(), &model.manifest);
        let parts = compile_regions(graph, &model.manifest, shapes, &model.origin)?;
        if !parts.is_worth_it() {
            return Ok(None);
        }
        let segmenter = MixedSegmenter::new(model, graph, &parts, options)?;
        Ok(Some((parts, segmenter)))
    }
}
