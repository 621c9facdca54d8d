//! `atrous run`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use atrous::classes::Classes;
use atrous::config::rule::ChipLine;
use atrous::config::{
    CompiledHeartbeat, CompiledRule, ConfigError, Flags, Settings, free_space, heartbeat, rule,
};
use atrous::engine::fake::{FakeSegmenter, Faults};
use atrous::engine::{Segmenter, Shape};
use atrous::gpio::{self, DryEdge, DryLine, GpioError, Pin};
use atrous::pipeline::{self, Parts, Reload};
use atrous::preprocess::Fit;
use atrous::source::uri::SceneRequest;
use atrous::source::{self, Pace, SourceInfo, SourceUri, scene};
use atrous::trigger::Level;

use super::Global;
use super::figures::Figures;
use super::import::{ImportLimits, Importer};
use super::model::{self, Require};
use super::output::tell;
use super::places::Places;
use super::signals;

/// A model name that stands for the scene's own truth.
const TRUTH: &str = "truth";

/// Schemes by which a first argument is known to be a sink, not a source.
const SINK_SCHEMES: [&str; 6] = ["null:", "terminal:", "term:", "json:", "display:", "fb:"];

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
    /// framebuffer), a folder (out/), numbered files (out/mask_%05d.png), one new file
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
    /// Threads that share the work on one picture [default: the board's cores but one].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    cpu: model::CpuArgs,
    /// Stop after this many results.
    #[arg(short = 'n', long, value_name = "N")]
    frames: Option<u64>,
    /// Pictures to make: mask, overlay, index, truth, frame, side (comma separated). A display
    /// shows the first.
    #[arg(long, value_name = "LIST")]
    visualize: Option<String>,
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
            dry_run_gpio: self.dry_run_gpio,
        }
    }
}

/// Runs the pipeline until the source ends or a signal comes.
pub fn run(args: &RunArgs, global: &Global) -> Result<()> {
    let settings = Settings::resolve(&args.flags(), |key| std::env::var(key).ok())?;
    let places = Places::new(&settings, global)?;
    let mut source = SourceUri::parse(&settings.source.value)?;
    if let SourceUri::Camera(request) = &mut source {
        settings.camera.value.complete(request);
    }
    let source = source::open_parsed(source)?;
    let info = source.info();
    let (segmenter, classes, fit) = open_model(&settings, args, &args.limits.importer(global))?;
    let (rules, heartbeat) = compile_lines(&settings, &classes)?;
    let free_space = free_space::compile(settings.free_space.value.as_ref(), &classes, &rules)?;
    let dry_run = settings.dry_run_gpio.value;
    let open = |rule: &CompiledRule| open_pin(rule, dry_run);
    let pins = rules.iter().map(open).collect::<Result<_>>()?;
    let heartbeat = heartbeat
        .map(|found| Ok((open_heartbeat(&found, dry_run)?, found.spec)))
        .transpose()
        .map_err(|e: GpioError| anyhow::Error::from(e).context("heartbeat"))?;
    let sinks = places.open()?;
    log::info!("source: {}", info.description);
    log::info!("engine: {}", segmenter.describe());

    let (stop, hangup) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    signals::watch(&stop, &hangup)?;
    for hint in places.hints.iter().filter(|_| global.chatty()) {
        tell(hint);
    }

    let limit = settings.frames.value;
    let mut figures = Figures::new(global.chatty(), global.json, places.figures, &info, limit);
    let parts = Parts {
        source,
        segmenter,
        cpu: args.cpu.allowed()?,
        fit,
        classes: classes.clone(),
        rules,
        pins,
        sinks,
        frames: limit,
        min_area: settings.min_area.value,
        vote: settings.vote.value,
        free_space,
        heartbeat,
        watchdog: Duration::from_millis(settings.watchdog_ms.value),
        reload: Some(reload(hangup, &stop, args.flags(), settings, classes)),
    };
    let result = pipeline::run(parts, &stop, &mut |snapshot| {
        // The pipeline sets `stop` when it ends by itself, too.
        figures.show(snapshot, stop.load(Ordering::Relaxed));
    });
    figures.finish();
    let counters = result?;
    judge(&info, counters.inferred, counters.bad)
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

/// The scene whose own truth is taken for a model, where the settings say so, and what
/// is to go wrong with it.
pub fn truth_of(settings: &Settings) -> Result<Option<(SceneRequest, Faults)>> {
    let model = settings.model.value.as_str();
    let (name, faults) = model.split_once('?').unwrap_or((model, ""));
    if name != TRUTH {
        return Ok(None);
    }
    let wrong = |reason: String| ConfigError::Value {
        key: "model".into(),
        origin: settings.model.origin.to_string(),
        reason,
    };
    let faults = Faults::parse(faults).map_err(|reason| wrong(format!("'{model}': {reason}")))?;
    let source = settings.source.value.as_str();
    match SourceUri::parse(source)? {
        SourceUri::Scene(request) => Ok(Some((request, faults))),
        _ => bail!(wrong(format!(
            "'{TRUTH}' needs a synthetic:// source, not '{source}'"
        ))),
    }
}

fn open_model(
    settings: &Settings,
    args: &RunArgs,
    importer: &Importer,
) -> Result<(Box<dyn Segmenter>, Classes, Fit)> {
    if let Some((SceneRequest { width, height, .. }, faults)) = truth_of(settings)? {
        let classes = scene::classes();
        let shape = Shape {
            width,
            height,
            classes: classes.len(),
        };
        let fake = FakeSegmenter::new(shape).with_faults(faults);
        return Ok((Box::new(fake), classes, Fit::Stretch));
    }
    let opened = model::open(
        &settings.model.value,
        args.require,
        importer,
        args.cpu.options(settings.threads.value)?,
    )?;
    let fit = opened.manifest.input.fit;
    Ok((opened.segmenter, opened.manifest.classes, fit))
}

/// Looks up every name that rules and heartbeat use.
fn compile_lines(
    settings: &Settings,
    classes: &Classes,
) -> Result<(Vec<CompiledRule>, Option<CompiledHeartbeat>), ConfigError> {
    let board = &settings.board.value;
    let rules = rule::compile(&settings.rules.value, classes, board)?;
    let heartbeat = settings.heartbeat.value.as_ref();
    let heartbeat = heartbeat
        .map(|config| heartbeat::compile(config, &rules, board))
        .transpose()?;
    Ok((rules, heartbeat))
}

/// How the rules are read anew on SIGHUP: from the same config, with the same flags.
/// A SIGHUP that comes from a terminal being closed sets `stop` instead.
fn reload(
    requested: Arc<AtomicBool>,
    stop: &Arc<AtomicBool>,
    flags: Flags,
    mut settings: Settings,
    classes: Classes,
) -> Reload {
    let dry_run = settings.dry_run_gpio.value;
    let (stop, on_terminal) = (Arc::clone(stop), std::io::stdin().is_terminal());
    let read = move || {
        // The terminal has gone, and with it whoever started the run.
        if on_terminal && !std::io::stdin().is_terminal() {
            stop.store(true, Ordering::Relaxed);
            return None;
        }
        let read = Settings::resolve(&flags, |key| std::env::var(key).ok());
        let found = read.and_then(|found| {
            let rules = compile_lines(&found, &classes)?.0;
            free_space::compile(settings.free_space.value.as_ref(), &classes, &rules)?;
            Ok((rules, found))
        });
        let (rules, found) = match found {
            Ok(found) => found,
            Err(error) => {
                log::error!("rules not reloaded, the old ones stay: {error}");
                return None;
            }
        };
        let changed = settings.changed(&found);
        if !changed.is_empty() {
            log::warn!(
                "only rules are reloaded; {} needs a restart",
                changed.join(", ")
            );
        }
        // The rest of the settings stays what the run was started with.
        settings.rules = found.rules;
        Some(rules)
    };
    Reload {
        requested,
        read: Box::new(read),
        open: Box::new(move |rule| open_pin(rule, dry_run).map_err(|e| format!("{e:#}"))),
    }
}

fn open_pin(rule: &CompiledRule, dry_run: bool) -> Result<Pin> {
    let safe = rule.spec.safe;
    match &rule.line {
        // A rule without a pin has its state all the same: a line that tells nobody.
        None => Ok(Pin::Dry(DryLine::new("", 0, safe, &rule.name, |_| {}))),
        Some(line) => open_line(line, safe, &rule.name, dry_run)
            .with_context(|| format!("rule '{}'", rule.name)),
    }
}

fn open_heartbeat(heartbeat: &CompiledHeartbeat, dry_run: bool) -> Result<Pin, GpioError> {
    open_line(&heartbeat.line, Level::Low, "heartbeat", dry_run)
}

fn open_line(line: &ChipLine, level: Level, user: &str, dry_run: bool) -> Result<Pin, GpioError> {
    if dry_run {
        let tell = |edge: &DryEdge| tell(edge);
        return Ok(Pin::Dry(DryLine::new(
            &line.chip, line.line, level, user, tell,
        )));
    }
    gpio::open_line(&line.chip, line.line, level, "atrous").map(Pin::Line)
}
