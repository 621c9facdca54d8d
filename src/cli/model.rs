//! Opening a model for a command, and choosing what runs it.

use std::path::Path;

use anyhow::Result;

use atrous::compile::{CompileError, Compiled, compile};
use atrous::engine::Segmenter;
use atrous::engine::program::{Options, ProgramSegmenter};
use atrous::engine::tract::TractSegmenter;
use atrous::mask::Mask;
use atrous::model::artifact::{Artifact, Golden, golden, is_artifact_path};
use atrous::model::{Graph, GraphSummary, Manifest, Model};
use atrous::program::Program;

use super::exit::{Mismatch, NotMet};

/// How a command's model is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct EngineArgs {
    /// Threads that share the work on one picture.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
}

/// What a command insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Require {
    /// The whole model runs as an integer program.
    Int8,
}

/// A model that is ready to run.
pub struct Opened {
    /// What it is.
    pub manifest: Manifest,
    /// Where it came from.
    pub origin: String,
    /// Size of the model file in bytes.
    pub bytes: u64,
    /// What the ONNX file holds; `None` for an artifact.
    pub graph: Option<GraphSummary>,
    /// What it must answer to a known picture; `None` for an ONNX file.
    pub golden: Option<Golden>,
    /// Where it runs.
    pub placement: Placement,
    /// What runs it.
    pub segmenter: Box<dyn Segmenter>,
}

/// Where a model runs.
pub enum Placement {
    /// As an integer program.
    Program(Box<Program>),
    /// In tract, and why.
    Tract(String),
}

/// Opens an artifact, or an ONNX model: a quantized one is compiled to an integer
/// program; one that cannot be, and a float one, runs in tract.
pub fn open(name: &str, require: Option<Require>) -> Result<Opened> {
    open_with(name, require, &EngineArgs { threads: 1 })
}

/// As [`open`], run as the arguments say.
pub fn open_with(name: &str, require: Option<Require>, engine: &EngineArgs) -> Result<Opened> {
    let options = Options {
        threads: engine.threads,
        ..Options::default()
    };
    if is_artifact_path(Path::new(name)) {
        return open_artifact(name, options);
    }
    let model = Model::open(name)?;
    let graph = Graph::parse(&model.onnx, &model.origin)?;
    let (placement, segmenter): (_, Box<dyn Segmenter>) =
        match compile(&graph, &model.manifest, &model.origin) {
            Ok(Compiled { program, .. }) => {
                let segmenter = ProgramSegmenter::with(&model.manifest, &program, options)?;
                (Placement::Program(Box::new(program)), Box::new(segmenter))
            }
            Err(reason) if require == Some(Require::Int8) => {
                return Err(NotMet(format!("--require int8: {reason}")).into());
            }
            Err(reason) => {
                // A float model is in its place there; of any other a user wants to know.
                match reason {
                    CompileError::NotQuantized { .. } => log::info!("runs in tract: {reason}"),
                    _ => log::warn!("runs in tract, slower than it could: {reason}"),
                }
                let segmenter = TractSegmenter::from_graph(&model, &graph)?;
                (Placement::Tract(reason.to_string()), Box::new(segmenter))
            }
        };
    Ok(Opened {
        bytes: model.onnx.len() as u64,
        origin: model.origin,
        manifest: model.manifest,
        graph: Some(graph.summary()),
        golden: None,
        placement,
        segmenter,
    })
}

fn open_artifact(name: &str, options: Options) -> Result<Opened> {
    let artifact = Artifact::read(Path::new(name))?;
    let segmenter = ProgramSegmenter::with(&artifact.manifest, &artifact.program, options)?;
    Ok(Opened {
        bytes: std::fs::metadata(name)?.len(),
        origin: name.to_owned(),
        manifest: artifact.manifest,
        graph: None,
        golden: Some(artifact.golden),
        placement: Placement::Program(Box::new(artifact.program)),
        segmenter: Box::new(segmenter),
    })
}

/// Holds an artifact to the mask it was compiled with.
pub fn verify(opened: &mut Opened) -> Result<()> {
    let Some(golden) = &opened.golden else {
        return Ok(());
    };
    let shape = opened.segmenter.shape();
    let picture = golden::picture(golden.seed, shape.width, shape.height);
    let mut mask = Mask::default();
    opened.segmenter.segment(&picture, &mut mask)?;
    if golden.matches(&mask.labels) {
        return Ok(());
    }
    let text = format!(
        "{}: this machine does not give the mask that was stored when the model was compiled; \
         the program or the processor is at fault: do not trust its masks, compile it again",
        opened.origin
    );
    Err(Mismatch(text).into())
}
