//! `atrous bench`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use atrous::board::Board;
use atrous::devices::Sysfs;
use atrous::engine::MAX_THREADS;
use atrous::mask::Mask;
use atrous::model::artifact::golden;

use super::import::ImportLimits;
use super::model::{self, Placement};
use super::runtime::{Require, RuntimeArgs};
use super::{Global, allocations, output};

mod calibration;
mod ceilings;
mod frame;
mod path;
mod profile;
mod reason;
mod totals;
mod work;

use frame::FrameKind;
use path::PathReport;
use profile::Profile;

/// Seed of the picture that is segmented.
const PICTURE_SEED: u64 = 1;

/// Arguments of `atrous bench`.
#[derive(Debug, Args)]
#[command(
    after_help = "With --json the last line is an object: runs_ms (each measured run), first_ms (from\n\
    the program's start to its first mask), load_ms (opening the model), peak_mb (most memory),\n\
    threads, kernels (those in use), allocations_per_run, model; with --profile ops, classes\n\
    (of operations: ms, floor_ms, ratio, and why where the ratio is above 2) and ceilings (peak,\n\
    copies); and with --input the medians preprocess_ms, inference_ms, postprocess_ms and\n\
    overhead_percent, and allocations_per_frame.\n\n\
    The floor of an operation is the more of two: its multiplications at the practical peak of\n\
    the kernels in use, measured on a convolution that suits them; and the bytes it reads and\n\
    writes, each once, at the speed at which this machine copies as many. Both are measured\n\
    after the runs, on as many threads, in some tenths of a second. Scalar kernels have no peak,\n\
    and convolutions no floor with them. An operation without multiplications has only the\n\
    floor of its bytes: where one takes many instructions, that is far too low. A concatenation\n\
    costs nothing: its parts are written in place. A sum after a convolution is part of it."
)]
pub struct BenchArgs {
    /// A built-in name (road, nuclei), a model.toml, its folder, an ONNX file, or an artifact.
    model: String,
    /// Runs that are measured.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// Runs before them, after the first one.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    warmup: u32,
    /// Threads that share the work on one picture [default: the board's cores but one].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MAX_THREADS as i64))]
    threads: Option<u8>,
    #[command(flatten)]
    cpu: model::CpuArgs,
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// Fail with exit code 5 unless the model runs as asked.
    #[arg(long, value_enum, value_name = "WHAT")]
    require: Option<Require>,
    /// Show what each operation takes (the least of all runs) and, for each class of them, the
    /// least it can take on this machine.
    #[arg(long)]
    profile: bool,
    /// Afterwards time as many times the way from such a frame of a camera to a result that no
    /// sink draws, and show what is around the model: WIDTHxHEIGHT:FORMAT, such as 640x480:yuyv.
    /// Formats: rgb, grey, yuyv, nv12, i420, i422, i444.
    #[arg(long, value_name = "FRAME", conflicts_with = "profile")]
    input: Option<FrameKind>,
    #[command(flatten)]
    limits: ImportLimits,
}

/// What was measured.
#[derive(Serialize)]
struct Report {
    model: String,
    runs_ms: Vec<f64>,
    first_ms: f64,
    load_ms: f64,
    peak_mb: f64,
    threads: usize,
    kernels: Vec<&'static str>,
    allocations_per_run: f64,
    #[serde(flatten)]
    profile: Option<Profile>,
    #[serde(flatten)]
    path: Option<PathReport>,
}

/// Times a model on a drawn picture. `start` is when the program began.
pub fn run(args: &BenchArgs, global: &Global, start: Instant) -> Result<()> {
    let threads = match args.threads {
        Some(threads) => usize::from(threads),
        None => Board::detect()?.cpu.threads(),
    };
    let options = args.cpu.options(threads)?;
    let load = Instant::now();
    let importer = args.limits.importer(global);
    let wanted = args.runtime.wanted(args.require, global)?;
    let mut opened = model::open(&args.model, wanted, &importer, options)?;
    let load = load.elapsed();
    let shape = opened.segmenter.shape();
    let picture = golden::picture(PICTURE_SEED, shape.width, shape.height);
    let mut mask = Mask::default();
    opened.segmenter.segment(&picture, &mut mask)?;
    let first = start.elapsed();
    for _ in 0..args.warmup {
        opened.segmenter.segment(&picture, &mut mask)?;
    }

    let names = opened.segmenter.kernels();
    let mut runs = vec![Duration::ZERO; args.runs as usize];
    let mut times = vec![Duration::ZERO; names.len()];
    let mut least = vec![Duration::MAX; names.len()];
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

    // The profile takes memory of its own.
    let peak_bytes = Sysfs::default().peak_bytes();
    let profile = match &opened.placement {
        Placement::Program(program) if args.profile => {
            Some(Profile::new(program, &names, &least, options)?)
        }
        _ => None,
    };
    let description = opened.segmenter.describe();
    let path = match args.input {
        Some(kind) => Some(path::measure(
            opened.segmenter,
            &opened.manifest,
            kind,
            args,
        )?),
        None => None,
    };
    let mut kernels = names;
    kernels.sort_unstable();
    kernels.dedup();
    let report = Report {
        model: opened.manifest.name.clone(),
        runs_ms: runs.into_iter().map(ms).collect(),
        first_ms: ms(first),
        load_ms: ms(load),
        peak_mb: peak_bytes.map_or(f64::NAN, |bytes| bytes as f64 / 1e6),
        threads,
        kernels,
        allocations_per_run: allocated as f64 / f64::from(args.runs),
        profile,
        path,
    };
    if global.json {
        return output::print_json(&report);
    }
    let mut text = String::new();
    write(&mut text, &report, &description, args.profile)?;
    output::print(&text)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn write(out: &mut String, report: &Report, description: &str, profile: bool) -> Result<()> {
    if profile {
        match &report.profile {
            Some(profile) => profile.write(out)?,
            None => writeln!(out, "no profile: the model runs in tract")?,
        }
    }
    let mut sorted = report.runs_ms.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    writeln!(out, "{}: {}", report.model, description)?;
    writeln!(
        out,
        "  {} runs  median {:.2} ms  min {:.2}  p95 {:.2}  max {:.2}",
        sorted.len(),
        at(0.5),
        at(0.0),
        at(0.95),
        at(1.0)
    )?;
    writeln!(
        out,
        "  first mask {:.1} ms after the start, of which {:.1} to open the model; peak {:.1} MB; \
         {} allocations a run",
        report.first_ms, report.load_ms, report.peak_mb, report.allocations_per_run
    )?;
    if let Some(path) = &report.path {
        path.write(out)?;
    }
    Ok(())
}
