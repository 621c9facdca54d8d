//! `atrous run`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use clap::Args;

use atrous::config::{EffectConfig, Flags, Settings, Tiling};
use atrous::pipeline::stats::Snapshot;
use atrous::pipeline::{self, Parts, fleet};
use atrous::realtime::Role;
use atrous::source::{Pace, SourceInfo};

use super::crf::CrfArgs;
use super::figures::Figures;
use super::import::ImportLimits;
use super::model;
use super::output::tell;
use super::runtime::{Require, RuntimeArgs};
use super::signals;
use super::{Global, apart};

mod lines;
mod models;
mod prepared;
mod scheduler;

pub use models::truth_of;

use models::{Asked, Models};
use prepared::Prepared;

/// Schemes by which a first argument is known to be a sink, not a source.
const SINK_SCHEMES: [&str; 8] = [
    "null:",
    "terminal:",
    "term:",
    "json:",
    "display:",
    "fb:",
    "measure:",
    "coco:",
];

/// Arguments of `atrous run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Environment, where no flag is given: ATROUS_SOURCE, ATROUS_MODEL, ATROUS_BOARD,\n\
    ATROUS_THREADS, ATROUS_CONFIG. ATROUS_LOG sets what is logged (debug).\n\n\
    Ctrl-C, and the signals TERM and QUIT, end a run: pins go to their safe level at once,\n\
    and the program ends within a few seconds, even if a device hangs. HUP reads the rules\n\
    of the run config anew; lines whose rule is unchanged go on undisturbed. Closing the\n\
    terminal ends a run.\n\n\
    A line a second on stderr tells rate, state (starting, live, degraded, safe, stopped),\n\
    counts and ages; with --json it is an object, {\"stats\": {...}}."
)]
pub struct RunArgs {
    /// Source, then sinks. Sources: a picture, folder or pattern ('*.jpg', quoted), - (a Y4M
    /// or MJPEG stream on stdin; '-?pace=live' for a live one), camera (the board file's),
    /// /dev/video0, v4l2:///dev/video0?format=mjpeg&size=640x480&fps=30 (also: reopen=SECONDS,
    /// ctrl.NAME=VALUE, see `atrous devices`), synthetic://road?seed=1&size=640x480&fps=15.
    /// Sinks: terminal:, null:, json:, display: (a monitor, without a desktop;
    /// display:///dev/dri/card1?connector=HDMI-A-1&mode=1280x720 names one), fb:///dev/fb0 (a
    /// framebuffer), measure:cells.csv?min_area=20&mm_per_pixel=0.01 (or .json: area, box,
    /// perimeter and centroid of every component), coco:out.json?classes=Car,Pedestrian
    /// (annotations in COCO's format), a folder (out/), numbered files (out/mask_%05d.png), one new file
    /// (mask.png). Without a sink: terminal: on a terminal, null: elsewhere.
    #[arg(value_name = "SOURCE] [SINK")]
    places: Vec<String>,
    /// Model: a built-in name (road, nuclei), a model.toml, its folder, an ONNX file, or `truth` for
    /// the drawn scene's own mask.
    #[arg(short, long)]
    model: Option<String>,
    /// Fail with exit code 5 unless the model runs as asked.
    #[arg(long, value_enum, value_name = "WHAT")]
    require: Option<Require>,
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// Threads that share the work on one picture [default: the board's cores but one].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    cpu: model::CpuArgs,
    /// Stop after this many results.
    #[arg(short = 'n', long, value_name = "N")]
    frames: Option<u64>,
    /// Pictures to make: mask, overlay, index, truth, frame, side, effect (comma separated). A
    /// display shows the first.
    #[arg(long, value_name = "LIST")]
    visualize: Option<String>,
    /// Edit the picture: cutout, blur, grayscale or replace=PICTURE what does not belong to
    /// --effect-classes. It is the picture `effect`, made where --visualize names no other.
    #[arg(long, value_name = "KIND", requires = "effect_classes")]
    effect: Option<String>,
    /// Classes that an effect leaves as they are (Car,Pedestrian), or all but some (!Car).
    #[arg(long, value_name = "CLASSES", requires = "effect")]
    effect_classes: Option<String>,
    /// Opacity of the overlay, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    alpha: Option<f32>,
    /// Merge regions of fewer pixels than this into their surroundings.
    #[arg(long, value_name = "PIXELS")]
    min_area: Option<u32>,
    /// Let the last masks vote over each pixel: an odd number, 3 to 15. Results are then as old
    /// as the median one.
    #[arg(long, value_name = "MASKS")]
    vote: Option<u32>,
    #[command(flatten)]
    crf: CrfArgs,
    /// Cut pictures larger than the model's input into tiles of its size, which overlap by so
    /// many pixels (--tile=64; --tile alone: a quarter of its sides). Scores are blended in the
    /// overlaps; of a model that gives labels only, the tile whose centre is nearest decides.
    #[arg(long, value_name = "OVERLAP", num_args = 0..=1, require_equals = true)]
    tile: Option<Option<u32>>,
    /// Run config; atrous.toml in the current folder is read if there is one.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Board name or board file; detected if not given.
    #[arg(long)]
    board: Option<String>,
    /// Print the edges of GPIO lines instead of driving them.
    #[arg(long)]
    dry_run_gpio: bool,
    #[command(flatten)]
    limits: ImportLimits,
}

impl RunArgs {
    fn effect(&self) -> Option<EffectConfig> {
        Some(EffectConfig {
            kind: self.effect.clone()?,
            classes: self.effect_classes.clone()?,
        })
    }

    fn flags(&self) -> Flags {
        let is_sink = |p: &&String| SINK_SCHEMES.iter().any(|s| p.starts_with(s));
        let source_first = self.places.first().is_some_and(|p| !is_sink(&p));
        let (source, sinks) = self.places.split_at(usize::from(source_first));
        Flags {
            config: self.config.clone(),
            source: source.first().cloned(),
            model: self.model.clone(),
            board: self.board.clone(),
            sinks: sinks.to_vec(),
            visualize: self.visualize.clone(),
            alpha: self.alpha,
            threads: self.threads,
            frames: self.frames,
            min_area: self.min_area,
            vote: self.vote,
            effect: self.effect(),
            tile: (self.tile).map(|o| o.map_or(Tiling::Switch(true), Tiling::Overlap)),
            dry_run_gpio: self.dry_run_gpio,
        }
    }
}

/// Runs the pipelines until their sources end, one fails, or a signal comes.
pub fn run(args: &RunArgs, global: &Global) -> Result<()> {
    let all = Settings::resolve_all(&args.flags(), |key| std::env::var(key).ok())?;
    let realtime = scheduler::request(&all[0], global)?;
    // The threads that a model starts have the processors of the thread that opens it.
    realtime.enter(Role::Inference);
    let asked = Asked {
        wanted: args.runtime.wanted(args.require, global)?,
        cpu: args.cpu,
        crf: args.crf,
    };
    let mut models = Models::new(&all, asked, args.limits.importer(global))?;
    let mut prepared = Vec::new();
    for settings in all {
        prepared.push(Prepared::new(settings, &mut models, global)?);
    }
    realtime.enter(Role::Other);
    apart::check(&prepared.iter().map(Prepared::claims).collect::<Vec<_>>())?;

    let stop = Arc::<AtomicBool>::default();
    signals::end(&stop)?;
    let cpu = args.cpu.allowed()?;
    let mut runs = Vec::new();
    let mut figures = Vec::new();
    let mut infos = Vec::new();
    for one in prepared {
        for hint in one.places.hints.iter().filter(|_| global.chatty()) {
            tell(hint);
        }
        let hangup = Arc::<AtomicBool>::default();
        signals::hangup(&hangup)?;
        figures.push(Mutex::new(one.figures(global)));
        infos.push(one.info.clone());
        let parts = one.open(args.flags(), hangup, &stop)?;
        runs.push(Parts {
            cpu,
            realtime: realtime.clone(),
            ..parts
        });
    }

    let show = |index: usize, snapshot: &Snapshot, ending: bool| {
        let figures: &Mutex<Figures> = &figures[index];
        let mut figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.show(snapshot, ending);
    };
    let endings = match <[Parts; 1]>::try_from(runs) {
        Ok([only]) => {
            let ending = pipeline::run(only, &stop, &mut |snapshot| {
                // The pipeline sets `stop` when it ends by itself, too.
                show(0, snapshot, stop.load(Ordering::Relaxed));
            });
            vec![ending]
        }
        Err(several) => fleet::run_all(several, &stop, &show),
    };
    for figures in &figures {
        let mut figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.finish();
    }
    let mut result = Ok(());
    for (ending, info) in endings.into_iter().zip(&infos) {
        let judged = ending
            .map_err(Into::into)
            .and_then(|counters| judge(info, counters.inferred, counters.bad));
        result = match (result, judged) {
            (Err(first), Err(further)) => {
                tell(format_args!("{further:#}"));
                Err(first)
            }
            (result, judged) => result.and(judged),
        };
    }
    result
}

/// Whether a run that ended by itself was a success: every picture that was named
/// must have become a result; of a stream, something must have.
fn judge(info: &SourceInfo, inferred: u64, bad: u64) -> Result<()> {
    let named = info.pace == Pace::OnDemand && info.frames.is_some();
    if bad > 0 && (named || inferred == 0) {
        let all = inferred + bad;
        bail!(
            "{bad} of {all} pictures from {} could not be read",
            info.description
        );
    }
    Ok(())
}
