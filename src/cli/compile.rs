//! `atrous compile`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;

use atrous::compile::compile;
use atrous::engine::Segmenter;
use atrous::engine::program::ProgramSegmenter;
use atrous::mask::Mask;
use atrous::model::artifact::{Artifact, Golden, golden};
use atrous::model::{Graph, Model, sha256_hex};

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
}

/// Compiles a model, runs it once, and writes the artifact.
pub fn run(args: &CompileArgs, global: &Global) -> Result<()> {
    let start = Instant::now();
    let model = Model::open(&args.model)?;
    let graph = Graph::parse(&model.onnx, &model.origin)?;
    let compiled = compile(&graph, &model.manifest, &model.origin)?;
    let program = compiled.program;

    let mut segmenter = ProgramSegmenter::new(&model.manifest, &program);
    let picture = golden::picture(GOLDEN_SEED, program.width, program.height);
    let mut mask = Mask::default();
    segmenter.segment(&picture, &mut mask)?;

    let macs: u64 = compiled.report.iter().map(|op| op.macs).sum();
    let (ops, constants) = (program.ops.len(), program.constants.len());
    let (arena, live) = (program.arena_bytes, compiled.largest_live_bytes);
    let artifact = Artifact {
        source_sha256: sha256_hex(&model.onnx),
        manifest: model.manifest,
        program,
        tool: format!("atrous {}", env!("CARGO_PKG_VERSION")),
        golden: Golden::new(GOLDEN_SEED, &mask.labels),
        calibration: None,
    };
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
