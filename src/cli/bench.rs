//! `atrous bench`.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use atrous::mask::Mask;
use atrous::model::artifact::golden;

use super::import::ImportLimits;
use super::{Global, allocations, model, output};

/// Seed of the picture that is segmented.
const PICTURE_SEED: u64 = 1;

/// Arguments of `atrous bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// A model.toml, its folder, an ONNX file, an artifact, or the name of a built-in
    /// model.
    model: String,
    /// Runs that are measured.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// Runs before them that are not, beyond the first one.
    #[arg(long, default_value_t = 3, value_name = "N")]
    warmup: u32,
    #[command(flatten)]
    engine: model::EngineArgs,
    #[command(flatten)]
    limits: ImportLimits,
    /// Show what each operation takes.
    #[arg(long)]
    profile: bool,
}

/// Times a model on a drawn picture.
pub fn run(args: &BenchArgs, global: &Global, start: Instant) -> Result<()> {
    let load = Instant::now();
    let mut opened = model::open_with(
        &args.model,
        None,
        &args.limits.importer(global),
        &args.engine,
    )?;
    let load = load.elapsed();
    let shape = opened.segmenter.shape();
    let picture = golden::picture(PICTURE_SEED, shape.width, shape.height);
    let mut mask = Mask::default();
    opened.segmenter.segment(&picture, &mut mask)?;
    let first = start.elapsed();
    for _ in 0..args.warmup {
        opened.segmenter.segment(&picture, &mut mask)?;
    }

    let mut runs = vec![Duration::ZERO; args.runs as usize];
    let kernels = opened.segmenter.kernels();
    let mut times = vec![Duration::ZERO; kernels.len()];
    let mut least = vec![Duration::MAX; kernels.len()];
    let allocated = allocations::count();
    for run in &mut runs {
        let begin = Instant::now();
        if args.profile {
            opened
                .segmenter
                .segment_timed(&picture, &mut mask, &mut times)?;
        } else {
            opened.segmenter.segment(&picture, &mut mask)?;
        }
        *run = begin.elapsed();
        for (least, time) in least.iter_mut().zip(&times) {
            *least = (*least).min(*time);
        }
    }
    let allocated = allocations::count() - allocated;
    let ms = |time: &Duration| time.as_secs_f64() * 1e3;
    let runs_ms: Vec<f64> = runs.iter().map(ms).collect();
    for (kernel, time) in kernels.iter().zip(&least) {
        if args.profile {
            println!("{kernel:32} {:8.3}", ms(time));
        }
    }
    if global.json {
        return output::print_json(&serde_json::json!({
            "runs_ms": runs_ms, "first_ms": ms(&first), "load_ms": ms(&load),
            "threads": args.engine.threads,
            "allocations_per_run": allocated as f64 / f64::from(args.runs),
        }));
    }
    let mut sorted = runs_ms.clone();
    sorted.sort_by(f64::total_cmp);
    output::print(&format!(
        "{}: median {:.2} ms, min {:.2}, load {:.1} ms, first {:.1} ms\n",
        opened.segmenter.describe(),
        sorted[sorted.len() / 2],
        sorted[0],
        ms(&load),
        ms(&first),
    ))
}
