//! Importing an ONNX model for a command.
//!
//! A file that did not come with this program is imported in a process of its own,
//! under limits of memory and time ([`supervisor`] and [`worker`]): a library that
//! aborts, or that never ends, ends there. What comes back is an artifact in
//! memory, checked like any other, or the reason there is none. A model that has to
//! run in tract is tried in that process first, and only then imported here.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};

use atrous::compile::{CompileError, Compiled, Ending, at_input_size, compile_to};
use atrous::devices::Sysfs;
use atrous::model::artifact::{Artifact, Golden, is_artifact_path};
use atrous::model::{Graph, GraphSummary, Manifest, Model, bundled};
use atrous::program::Program;

use super::Global;

mod float;
mod progress;
mod supervisor;
pub mod worker;

pub use float::Source;
pub use supervisor::Refused;

/// Most memory for an import where no flag says otherwise, in MiB.
const DEFAULT_MEMORY: u64 = 2048;
/// Least memory that lets an import start at all, in MiB.
const LEAST_MEMORY: u64 = 64;
/// Longest import where no flag says otherwise, in seconds.
const DEFAULT_SECONDS: u64 = 60;

/// Limits of the process that imports a model file.
#[derive(Debug, Clone, Args)]
pub struct ImportLimits {
    /// Most memory to import an ONNX file in, in MiB of address space [default: 2048, or the
    /// machine's memory where that is less].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(LEAST_MEMORY..1 << 24))]
    import_memory: Option<u64>,
    /// Longest time to import an ONNX file in, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_SECONDS, value_parser = clap::value_parser!(u64).range(1..1 << 24))]
    import_timeout: u64,
}

impl ImportLimits {
    /// An importer under these limits, as talkative and colourful as the command.
    pub fn importer(&self, global: &Global) -> Importer {
        let total = || Sysfs::default().memory().total_bytes;
        let machine = || total().map_or(DEFAULT_MEMORY, |bytes| bytes >> 20);
        let memory = self.import_memory;
        Importer {
            memory: memory.unwrap_or_else(|| DEFAULT_MEMORY.min(machine()).max(LEAST_MEMORY)),
            timeout: Duration::from_secs(self.import_timeout),
            chatty: global.chatty(),
            verbosity: verbosity(global),
        }
    }
}

/// The flags by which the other process logs what this one would.
fn verbosity(global: &Global) -> Option<String> {
    let flags = |letter: &str, times: u8| format!("-{}", letter.repeat(times.into()));
    match (global.verbose, global.quiet) {
        (0, 0) => None,
        (0, quiet) => Some(flags("q", quiet)),
        (verbose, _) => Some(flags("v", verbose)),
    }
}

/// How a command imports models.
#[derive(Debug, Clone)]
pub struct Importer {
    /// In MiB.
    memory: u64,
    timeout: Duration,
    /// Whether a long import is told of.
    chatty: bool,
    verbosity: Option<String>,
}

/// What is wanted of a model.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Another input size than the manifest's: width and height in pixels.
    pub size: Option<(u32, u32)>,
    /// What its program is to end in.
    pub ending: Ending,
    /// Whether only an integer program will do.
    pub program_only: bool,
}

/// An imported model.
pub struct Imported {
    pub facts: Facts,
    pub outcome: Outcome,
}

/// What is known of a model, whatever runs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Where it came from.
    pub origin: String,
    /// Size of the ONNX file.
    pub bytes: u64,
    /// Its digest, in lower-case hex.
    pub sha256: String,
    /// What it holds.
    pub graph: GraphSummary,
}

/// What became of a model.
pub enum Outcome {
    /// An integer program, with a golden pair that says nothing yet.
    Program {
        artifact: Box<Artifact>,
        /// Bytes of the largest set of tensors that live at the same time.
        largest_live_bytes: u64,
    },
    /// It has no integer program.
    Float {
        float: Float,
        /// The file, where it was imported in this process.
        source: Option<Box<Source>>,
    },
}

/// Why a model has no integer program.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Float {
    /// Whether it is a float model, and none that was quantized in vain.
    pub is_float: bool,
    /// The compiler's reason.
    pub reason: String,
}

impl Importer {
    /// Imports a model by name: manifest, folder or ONNX file.
    ///
    /// # Errors
    /// Those of the import itself, or [`Refused`].
    pub fn import(&self, name: &str, request: &Request) -> Result<Imported> {
        if bundled::file(name).is_some() || is_artifact_path(Path::new(name)) {
            let text = format!(
                "model '{name}' is compiled already, and no graph is left of it; give the ONNX \
                 file it was made from"
            );
            return Err(Refused::model(text).into());
        }
        supervisor::import(self, name, request)
    }
}

/// Imports a model in this process.
fn import(name: &str, request: &Request) -> Result<Imported> {
    let model = Model::open_for(name, request.size)?;
    let graph = Graph::parse(&model.onnx, &model.origin)?;
    let facts = Facts {
        origin: model.origin.clone(),
        bytes: model.onnx.len() as u64,
        // The file was held to it.
        sha256: model.manifest.sha256.to_ascii_lowercase(),
        graph: graph.summary(),
    };
    let outcome = match compiled(&graph, &model, request) {
        Ok((compiled, manifest)) => Outcome::Program {
            largest_live_bytes: compiled.largest_live_bytes,
            artifact: Box::new(ungolden(manifest, compiled.program, &facts.sha256)),
        },
        Err(error) => Outcome::Float {
            float: Float {
                is_float: matches!(error, CompileError::NotQuantized { .. }),
                reason: error.to_string(),
            },
            source: Some(Box::new(Source { model, graph })),
        },
    };
    Ok(Imported { facts, outcome })
}

/// A program as an artifact of no mask: whoever keeps it runs it and says of which.
pub fn ungolden(manifest: Manifest, program: Program, source_sha256: &str) -> Artifact {
    Artifact {
        manifest,
        program,
        source_sha256: source_sha256.to_owned(),
        tool: format!("atrous {}", env!("CARGO_PKG_VERSION")),
        golden: Golden::new(0, &[]),
        calibration: None,
    }
}

fn compiled(
    graph: &Graph,
    model: &Model,
    request: &Request,
) -> Result<(Compiled, Manifest), CompileError> {
    let path = &model.origin;
    match request.size {
        None => {
            let compiled = compile_to(graph, &model.manifest, request.ending, path)?;
            Ok((compiled, model.manifest.clone()))
        }
        Some(size) => {
            let (graph, manifest) = at_input_size(graph, &model.manifest, size, path)?;
            let compiled = compile_to(&graph, &manifest, request.ending, path)?;
            Ok((compiled, manifest))
        }
    }
}
