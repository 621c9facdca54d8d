//! Opening a model for a command, and choosing what runs it.

use std::path::Path;
use std::str::FromStr;

use anyhow::Result;

use atrous::compile::region::Mixed;
use atrous::engine::Segmenter;
use atrous::engine::device::{self, DeviceGraph, Precision};
use atrous::engine::program::{Options, ProgramSegmenter};
use atrous::kernels::cpu::{Cpu, Tier};
use atrous::mask::Mask;
use atrous::model::artifact::{Artifact, Golden, golden, is_artifact_path};
use atrous::model::{GraphSummary, Manifest, bundled};
use atrous::program::Program;

use super::exit::{Mismatch, NotMet};
use super::import::{Facts, Float, Imported, Importer, Outcome, Refused, Request, Source};
use super::runtime::{self, Require, Runtime, Wanted};

/// Which kernels a command's model may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct CpuArgs {
    /// Use no better kernels than these: scalar, avx2, avxvnni, avx512vnni, avx512vbmi, neon,
    /// dotprod, i8mm. The masks are the same.
    #[arg(long, value_name = "KIND", env = "ATROUS_CPU", value_parser = Tier::from_str)]
    cpu: Option<Tier>,
}

impl CpuArgs {
    /// The kernels to choose from.
    pub fn allowed(self) -> Result<Cpu> {
        Ok(match self.cpu {
            Some(tier) => Cpu::limited(tier)?,
            None => Cpu::detect(),
        })
    }

    /// The options of an engine.
    pub fn options(self, threads: usize) -> Result<Options> {
        let cpu = self.allowed()?;
        Ok(Options { cpu, threads })
    }
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
    /// On a GPU.
    Device(device::Placement),
}

/// Opens a model where it is wanted.
pub fn open(name: &str, wanted: Wanted, importer: &Importer, options: Options) -> Result<Opened> {
    match wanted.runtime {
        Runtime::Cpu => on_cpu(name, wanted.require, importer, options),
        Runtime::Cuda => {
            runtime::ready()?;
            on_gpu(name, wanted.precision, importer)
        }
        Runtime::Auto => {
            let ready = runtime::is_ready();
            let opened = ready.and_then(|()| {
                let opened = on_gpu(name, wanted.precision, importer);
                opened.map_err(|error| format!("{error:#}"))
            });
            match opened {
                Ok(opened) => {
                    wanted.tell_choice("cuda", &opened.segmenter.describe());
                    Ok(opened)
                }
                Err(reason) => {
                    wanted.tell_choice("cpu", reason.lines().next().unwrap_or_default());
                    on_cpu(name, wanted.require, importer, options)
                }
            }
        }
    }
}

/// A float model's graph, rewritten for a GPU, and what is known of the model.
pub fn for_gpu(
    name: &str,
    precision: Precision,
    importer: &Importer,
) -> Result<(Facts, Manifest, DeviceGraph)> {
    let refused = |what: &str| {
        let text = format!(
            "model '{name}' {what}, and the GPU runs float models only; name its float ONNX file \
             (of a built-in model it is in models/), or leave out --runtime cuda"
        );
        Err(Refused::model(text).into())
    };
    if bundled::file(name).is_some() || is_artifact_path(Path::new(name)) {
        return refused("is an integer program");
    }
    let Imported { facts, outcome } = importer.import(name, &Request::default())?;
    match outcome {
        Outcome::Program { .. } => refused("is quantized"),
        Outcome::Float { float, .. } if !float.is_float => refused("is quantized"),
        Outcome::Float { source, .. } => {
            let Source { model, graph } = match source {
                Some(source) => *source,
                None => reopened(name, &facts)?,
            };
            let graph = runtime::graph_of(&model, &graph, precision)?;
            Ok((facts, model.manifest, graph))
        }
    }
}

fn on_gpu(name: &str, precision: Precision, importer: &Importer) -> Result<Opened> {
    let (facts, manifest, graph) = for_gpu(name, precision, importer)?;
    let placement = graph.placement().clone();
    let segmenter = runtime::on_gpu(graph)?;
    Ok(Opened {
        bytes: facts.bytes,
        origin: facts.origin,
        manifest,
        graph: Some(facts.graph),
        golden: None,
        placement: Placement::Device(placement),
        segmenter: Box::new(segmenter),
    })
}

/// Opens an artifact, or an ONNX model: a quantized one is compiled to an integer
/// program; one of which only some nodes can be runs in tract, with programs in it where
/// they hold most of the work; any other, and a float one, runs in tract.
fn on_cpu(
    name: &str,
    require: Option<Require>,
    importer: &Importer,
    options: Options,
) -> Result<Opened> {
    if let Some(artifact) = bundled::find(name) {
        let bytes = bundled::file(name).map_or(0, |bytes| bytes.len() as u64);
        return of_artifact(artifact?, format!("built-in {name}"), bytes, options);
    }
    if is_artifact_path(Path::new(name)) {
        let artifact = Artifact::read(Path::new(name))?;
        let bytes = std::fs::metadata(name)?.len();
        return of_artifact(artifact, name.to_owned(), bytes, options);
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
        Outcome::Float { float, .. } if request.program_only => {
            return Err(NotMet(format!("--require int8: {}", float.reason)).into());
        }
        Outcome::Float { float, source } => {
            let source = match source {
                Some(source) => *source,
                None => reopened(name, &facts)?,
            };
            let Float { is_float, reason } = float;
            let (parts, segmenter) = source.segmenter(is_float, options)?;
            // A float model is in its place in tract; of any other a user wants to know.
            let placement = match parts {
                Some(parts) => {
                    log::warn!("runs in parts, slower than it could: {reason}");
                    Placement::Mixed(Box::new(parts), reason)
                }
                None if is_float => {
                    log::info!("runs in tract: {reason}");
                    Placement::Tract(reason)
                }
                None => {
                    log::warn!("runs in tract, slower than it could: {reason}");
                    Placement::Tract(reason)
                }
            };
            (source.model.manifest, placement, segmenter)
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

/// The file that another process has imported, if it is still the same.
pub fn reopened(name: &str, facts: &Facts) -> Result<Source> {
    let source = Source::open(name)?;
    if source
        .model
        .manifest
        .sha256
        .eq_ignore_ascii_case(&facts.sha256)
    {
        return Ok(source);
    }
    let text = format!("{}: it was changed while it was read", facts.origin);
    Err(Refused::model(text).into())
}

fn of_artifact(artifact: Artifact, origin: String, bytes: u64, options: Options) -> Result<Opened> {
    let segmenter = ProgramSegmenter::with(&artifact.manifest, &artifact.program, options)?;
    Ok(Opened {
        bytes,
        origin,
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
