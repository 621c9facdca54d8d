//! `atrous compile`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};

use atrous::compile::Ending;
use atrous::engine::Segmenter;
use atrous::engine::program::ProgramSegmenter;
use atrous::frame::{self, MAX_SIDE};
use atrous::mask::Mask;
use atrous::model::artifact::{Artifact, Golden, golden};

use super::import::{ImportLimits, Outcome, Refused, Request};
use super::{Global, output};

/// Seed of the picture that every artifact carries its mask of.
const GOLDEN_SEED: u64 = 1;

/// Arguments of `atrous compile`.
#[derive(Debug, Args)]
pub struct CompileArgs {
    /// A quantized model: a model.toml, its folder, or an ONNX file.
    model: String,
    /// The artifact to write.
    #[arg(short, long, value_name = "FILE.atrous")]
    output: PathBuf,
    /// Compile it for another input size than its manifest's, in pixels, such as 513x257.
    #[arg(long, value_name = "WxH", value_parser = size_of)]
    size: Option<(u32, u32)>,
    /// What the program ends in: the mask, or quantized scores, which are resampled to the
    /// mask's size when it runs.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    labels: Labels,
    #[command(flatten)]
    limits: ImportLimits,
}

/// Where the class of a pixel is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Labels {
    /// In the program.
    #[default]
    Argmax,
    /// By whoever runs it: the program ends in scores.
    Logits,
}

impl From<Labels> for Ending {
    fn from(labels: Labels) -> Self {
        match labels {
            Labels::Argmax => Self::Labels,
            Labels::Logits => Self::Logits,
        }
    }
}

impl From<Ending> for Labels {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Labels => Self::Argmax,
            Ending::Logits => Self::Logits,
        }
    }
}

/// Reads `WIDTHxHEIGHT`.
///
/// # Errors
/// What a size must be.
pub fn size_of(text: &str) -> Result<(u32, u32), String> {
    let size = text
        .split_once(['x', 'X'])
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    size.filter(|&(w, h)| frame::size_is_allowed(w, h))
        .ok_or_else(|| format!("a size is WIDTHxHEIGHT, such as 513x257, sides in 1..={MAX_SIDE}"))
}

/// Runs an artifact's program once and keeps what it answers.
pub fn keep_golden(artifact: &mut Artifact) -> Result<()> {
    let program = &artifact.program;
    let mut segmenter = ProgramSegmenter::new(&artifact.manifest, program);
    let picture = golden::picture(GOLDEN_SEED, program.width, program.height);
    let mut mask = Mask::default();
    segmenter.segment(&picture, &mut mask)?;
    artifact.golden = Golden::new(GOLDEN_SEED, &mask.labels);
    Ok(())
}

/// Compiles a model, runs it once, and writes the artifact.
pub fn run(args: &CompileArgs, global: &Global) -> Result<()> {
    let start = Instant::now();
    let request = Request {
        size: args.size,
        ending: args.labels.into(),
        program_only: true,
    };
    let imported = args.limits.importer(global).import(&args.model, &request)?;
    let (mut artifact, live) = match imported.outcome {
        Outcome::Program {
            artifact,
            largest_live_bytes,
        } => (artifact, largest_live_bytes),
        Outcome::Float { float, .. } => return Err(Refused::model(float.reason).into()),
    };
    keep_golden(&mut artifact)?;
    let program = &artifact.program;
    let macs: u64 = program.ops.iter().map(|op| program.macs(op)).sum();
    let (ops, constants) = (program.ops.len(), program.constants.len());
    let arena = program.arena_bytes;
    artifact.write(&args.output)?;
    if global.json {
        return output::print_json(&serde_json::json!({
            "output": args.output, "ops": ops, "macs": macs, "arena_bytes": arena,
            "largest_live_bytes": live, "constant_bytes": constants,
        }));
    }
    output::print(&format!(
        "{}: {ops} operations, {:.2} GMAC, constants {:.2} MB, arena {:.2} MB (largest live set \
         {:.2} MB), in {:.1} s\n",
        args.output.display(),
        macs as f64 / 1e9,
        constants as f64 / 1e6,
        arena as f64 / 1e6,
        live as f64 / 1e6,
        start.elapsed().as_secs_f64()
    ))
}
