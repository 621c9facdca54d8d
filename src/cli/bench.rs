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
use super::model::{self, Opened, Placement};
use super::ops::{OpRow, op_rows};
use super::{Global, allocations, output};

/// Seed of the picture that is segmented.
const PICTURE_SEED: u64 = 1;

/// Arguments of `atrous bench`.
#[derive(Debug, Args)]
#[command(
    after_help = "With --json the last line is an object: runs_ms (each measured run), first_ms (from\n\
    the program's start to its first mask), load_ms (opening the model), peak_mb (most memory),\n\
    threads, kernels (those in use), allocations_per_run, model, and with --profile ops."
)]
pub struct BenchArgs {
    /// A built-in name (road), a model.toml, its folder, an ONNX file, or an artifact.
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
    /// Show what each operation takes: the least of all runs.
    #[arg(long)]
    profile: bool,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ops: Vec<Timed>,
}

/// An operation and what it took.
#[derive(Serialize)]
struct Timed {
    #[serde(flatten)]
    row: OpRow,
    ms: f64,
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
    let mut opened = model::open(&args.model, None, &importer, options)?;
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

    let ops = match &opened.placement {
        Placement::Program(program) if args.profile => {
            let rows = op_rows(program, &names).into_iter().zip(&least);
            rows.map(|(row, least)| Timed {
                row,
                ms: ms(*least),
            })
            .collect()
        }
        _ => Vec::new(),
    };
    let mut kernels = names;
    kernels.sort_unstable();
    kernels.dedup();
    let report = Report {
        model: opened.manifest.name.clone(),
        runs_ms: runs.into_iter().map(ms).collect(),
        first_ms: ms(first),
        load_ms: ms(load),
        peak_mb: Sysfs::default()
            .peak_bytes()
            .map_or(f64::NAN, |bytes| bytes as f64 / 1e6),
        threads,
        kernels,
        allocations_per_run: allocated as f64 / f64::from(args.runs),
        ops,
    };
    if global.json {
        return output::print_json(&report);
    }
    let mut text = String::new();
    write(&mut text, &report, &opened, args.profile)?;
    output::print(&text)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn write(out: &mut String, report: &Report, opened: &Opened, profile: bool) -> Result<()> {
    if profile {
        if report.ops.is_empty() {
            writeln!(out, "no profile: the model runs in tract")?;
        } else {
            table(out, &report.ops)?;
        }
    }
    let mut sorted = report.runs_ms.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    writeln!(out, "{}: {}", report.model, opened.segmenter.describe())?;
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
    Ok(())
}

/// A line for each operation, then one for each kind.
fn table(out: &mut String, ops: &[Timed]) -> Result<()> {
    let total: f64 = ops.iter().map(|op| op.ms).sum();
    let line = |out: &mut String, kind: &str, what: &str, kernel: &str, macs: u64, ms: f64| {
        let speed = match macs {
            0 => "-".to_owned(),
            _ => format!("{:.0}", 2e-6 * macs as f64 / ms),
        };
        writeln!(
            out,
            "{kind:<12} {what:<14} {kernel:<28} {:>8.2} {ms:>8.3} {:>5.1} {speed:>6}",
            macs as f64 / 1e6,
            100.0 * ms / total
        )
    };
    writeln!(
        out,
        "{:<12} {:<14} {:<28} {:>8} {:>8} {:>5} {:>6}",
        "operation", "shape", "kernel", "MMAC", "ms", "%", "GOP/s"
    )?;
    for Timed { row, ms } in ops {
        let [height, width, channels] = row.shape;
        let shape = format!("{height}x{width}x{channels}");
        line(out, row.kind, &shape, row.kernel, row.macs, *ms)?;
    }
    let mut kinds: Vec<&str> = ops.iter().map(|op| op.row.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let those = || ops.iter().filter(|op| op.row.kind == kind);
        let (macs, ms) = (
            those().map(|op| op.row.macs).sum(),
            those().map(|op| op.ms).sum(),
        );
        line(
            out,
            kind,
            &format!("{} in all", those().count()),
            "",
            macs,
            ms,
        )?;
    }
    Ok(())
}
