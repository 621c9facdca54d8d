//! Opening a model for a command, and choosing what runs it.

use std::path::Path;
use std::str::FromStr;

use anyhow::Result;

use atrous::compile::region::{Mixed, compile_regions};
use atrous::engine::Segmenter;
use atrous::engine::mixed::{self, MixedSegmenter};
use atrous::engine::program::{Options, ProgramSegmenter};
use atrous::engine::tract::TractSegmenter;
use atrous::kernels::cpu::{Cpu, Tier};
use atrous::mask::Mask;
use atrous::model::artifact::{Artifact, Golden, golden, is_artifact_path};
use atrous::model::{Graph, GraphSummary, Manifest, Model};
use atrous::program::Program;

use super::exit::{Mismatch, NotMet};
use super::import::{Float, Imported, Importer, Outcome, Refused, Request};

/// Which kernels a command's model may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct CpuArgs {
    /// Use no better kernels than these: scalar, avx2, avxvnni, avx512vnni, avx512vbmi, neon,
    /// dotprod. The masks are the same.
    #[arg(long, value_name = "KIND", env = "ATROUS_CPU", value_parser = Tier::from_str)]
    cpu: Option<Tier>,
}

impl CpuArgs {
    /// The options of an engine.
    pub fn options(self, threads: usize) -> Result<Options> {
        let cpu = match self.cpu {
            Some(tier) => Cpu::limited(tier)?,
            None => Cpu::detect(),
        };
        Ok(Options { cpu, threads })
    }
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
    /// In tract, with parts of it as integer programs, and why not as one.
    Mixed(Box<Mixed>, String),
    /// In tract, and why.
    Tract(String),
}

/// Opens an artifact, or an ONNX model: a quantized one is compiled to an integer
/// program; one of which only some nodes can be runs in tract, with programs in it where
/// they hold most of the work; any other, and a float one, runs in tract.
pub fn open(
    name: &str,
    require: Option<Require>,
    importer: &Importer,
    options: Options,
) -> Result<Opened> {
    if is_artifact_path(Path::new(name)) {
        return open_artifact(name, options);
    }
    let request = Request {
        program_only: require == Some(Require::Int8),
        ..Request::default()
    };
    let Imported { facts, outcome } = importer.import(name, &request)?;
    let (manifest, placement, segmenter): (_, _, Box<dyn Segmenter>) = match outcome {
        Outcome::Program { artifact, .. } => {
            let Artifact {
                manifest, program, ..
            } = *artifact;
            let segmenter = ProgramSegmenter::with(&manifest, &program, options)?;
            let placement = Placement::Program(Box::new(program));
            (manifest, placement, Box::new(segmenter))
        }
        Outcome::Float(Float { reason, .. }) if request.program_only => {
            return Err(NotMet(format!("--require int8: {reason}")).into());
        }
        Outcome::Float(Float { is_float, reason }) => {
            let model = Model::open(name)?;
            if !model.manifest.sha256.eq_ignore_ascii_case(&facts.sha256) {
                let text = format!("{}: it was changed while it was read", facts.origin);
                return Err(Refused::model(text).into());
            }
            let (placement, segmenter) = open_float(&model, is_float, reason, options)?;
            (model.manifest, placement, segmenter)
        }
    };
    Ok(Opened {
        bytes: facts.bytes,
        origin: facts.origin,
        manifest,
        graph: Some(facts.graph),
        golden: None,
        placement,
        segmenter,
    })
}

/// A model that is no program as a whole: in parts, or all of it in tract.
fn open_float(
    model: &Model,
    is_float: bool,
    reason: String,
    options: Options,
) -> Result<(Placement, Box<dyn Segmenter>)> {
    let graph = Graph::parse(&model.onnx, &model.origin)?;
    // A float model is in its place there; of any other a user wants to know.
    if is_float {
        log::info!("runs in tract: {reason}");
    } else {
        match open_mixed(model, &graph, options) {
            Ok(Some((parts, segmenter))) => {
                log::warn!("runs in parts, slower than it could: {reason}");
                let placement = Placement::Mixed(Box::new(parts), reason);
                return Ok((placement, Box::new(segmenter)));
            }
            Ok(None) => {}
            Err(error) => log::debug!("not run in parts: {error:#}"),
        }
        log::warn!("runs in tract, slower than it could: {reason}");
    }
    let segmenter = TractSegmenter::from_graph(model, &graph)?;
    Ok((Placement::Tract(reason), Box::new(segmenter)))
}

/// A quantized graph of which not all has an integer form, in parts; `None` where
/// there are none, or too small ones.
fn open_mixed(
    model: &Model,
    graph: &Graph,
    options: Options,
) -> Result<Option<(Mixed, MixedSegmenter)>> {
    let manifest = &model.manifest;
    let shapes = || mixed::shapes(graph.proto(), manifest);
    let parts = compile_regions(graph, manifest, shapes, &model.origin)?;
    if !parts.is_worth_it() {
        return Ok(None);
    }
    let segmenter = MixedSegmenter::new(model, graph, &parts, options)?;
    Ok(Some((parts, segmenter)))
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
