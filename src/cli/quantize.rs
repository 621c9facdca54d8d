//! `atrous quantize`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use atrous::compile::compile;
use atrous::engine::Segmenter;
use atrous::engine::program::{self, ProgramSegmenter};
use atrous::engine::tract::TractSegmenter;
use atrous::model::artifact::Artifact;
use atrous::model::{Graph, Manifest, sha256_hex};
use atrous::output_file::Partial;
use atrous::quantize::{Method, Options, QuantizeError, Quantized, Stage, quantize};

use super::compile::keep_golden;
use super::import::{ImportLimits, Imported, Importer, Outcome, Request, Source, ungolden};
use super::{Global, output};
use agreement::Other;
use calibration::Calibration;
use names::Names;
use progress::Bar;
use report::Report;

mod agreement;
mod calibration;
mod names;
mod progress;
mod report;

/// Fewer pictures than these make ranges that other pictures leave.
const FEW_PICTURES: usize = 8;

/// Arguments of `atrous quantize`.
#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// A float model: a model.toml, its folder, or an ONNX file.
    model: String,
    /// A folder of pictures such as the model will see; they need no labels.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// What to write: OUT.onnx with OUT.toml for other runtimes, OUT.atrous for this one.
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// How the ranges of activations are chosen.
    #[arg(long, value_enum, default_value_t)]
    method: Ranges,
    /// The share of the values, in percent, that `--method percentile` keeps.
    #[arg(long, default_value_t = 99.99, value_name = "PERCENT", value_parser = percent)]
    percentile: f64,
    /// Use at most this many of the pictures, evenly spread.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pictures: u32,
    /// Leave the channels' scales as they are.
    #[arg(long)]
    no_equalization: bool,
    /// Leave the biases as they are.
    #[arg(long)]
    no_bias_correction: bool,
    /// Compare the masks with those of another model, on the same pictures: `float` for the
    /// model itself before it was quantized.
    #[arg(long, value_name = "MODEL")]
    against: Option<String>,
    /// How many of the tensors with the most noise are listed.
    #[arg(long, default_value_t = 10, value_name = "N")]
    worst: usize,
    #[command(flatten)]
    limits: ImportLimits,
}

/// How ranges are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Ranges {
    /// By the least squared error.
    #[default]
    Mse,
    /// From the smallest to the largest value.
    Minmax,
    /// So that they hold a share of the values.
    Percentile,
}

fn percent(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|v| (50.0..=100.0).contains(v));
    value.ok_or_else(|| "a share is a number in 50..=100".to_owned())
}

/// Quantizes a float model, writes it, and says how good it is.
pub fn run(args: &QuantizeArgs, global: &Global) -> Result<()> {
    let start = Instant::now();
    let importer = args.limits.importer(global);
    // What can fail at once comes before the long work.
    let names = Names::of(&args.output)?;
    let source = float_model(&args.model, &importer)?;
    let Source { model, graph } = &source;
    names.spare(&model.origin)?;
    let mut other = match &args.against {
        None => None,
        Some(name) => Some(Other::open(name, &source, &importer)?),
    };
    let most = args.pictures as usize;
    let calibration = Calibration::read(&args.images, &model.manifest, most)?;
    warn_of_few(&calibration, args);
    let options = Options {
        method: match args.method {
            Ranges::Mse => Method::Mse,
            Ranges::Minmax => Method::MinMax,
            Ranges::Percentile => Method::Percentile(args.percentile),
        },
        equalize: !args.no_equalization,
        correct_bias: !args.no_bias_correction,
        ..Options::default()
    };
    let bar = Bar::new(global.chatty());
    let pictures = &calibration.pictures;
    let quantized = quantize(
        graph,
        &model.manifest,
        &model.origin,
        pictures,
        &options,
        |stage, done, all| bar.show(stage_text(stage), done, all),
    )?;
    warn_of_constants(&quantized);
    let manifest = manifest_of(&model.manifest, &quantized.onnx, &names)?;
    let artifact = match artifact(&quantized, &manifest, &names, &calibration, args) {
        Ok(artifact) => Some(artifact),
        Err(error) => {
            log::warn!("no artifact is written: {error:#}");
            None
        }
    };
    write(&names, &quantized, &manifest, artifact.as_ref())?;
    let against = match &mut other {
        None => None,
        Some(other) => {
            let own = own_segmenter(&quantized, &manifest, artifact.as_ref())?;
            Some(other.agreement(own, pictures, &bar)?)
        }
    };
    drop(bar);
    let report = Report {
        onnx: &names.onnx,
        manifest: &names.manifest,
        artifact: artifact.is_some().then_some(names.artifact.as_path()),
        pictures: pictures.len(),
        skipped: calibration.skipped,
        method: method_text(args),
        convolutions: quantized.convolutions,
        equalized_channels: quantized.equalized,
        constant: &quantized.constant,
        scores_db: quantized.scores_db,
        against,
        seconds: start.elapsed().as_secs_f64(),
        layers: &quantized.layers,
    };
    if global.json {
        return output::print_json(&report);
    }
    output::print(&report.text(args.worst)?)
}

/// The float model, after another process has imported it without harm.
fn float_model(name: &str, importer: &Importer) -> Result<Source> {
    let Imported { facts, outcome } = importer.import(name, &Request::default())?;
    match outcome {
        Outcome::Program { .. } => {
            let path = facts.origin;
            Err(QuantizeError::Already { path }.into())
        }
        Outcome::Float {
            source: Some(source),
            ..
        } => Ok(*source),
        Outcome::Float { source: None, .. } => super::model::reopened(name, &facts),
    }
}

fn warn_of_constants(quantized: &Quantized) {
    if let Some(first) = quantized.constant.first() {
        log::warn!(
            "{} of {} tensors had one and the same value in all pictures ('{first}' first): their \
             ranges are guesses; use pictures such as the model will see",
            quantized.constant.len(),
            quantized.layers.len(),
        );
    }
}

fn warn_of_few(calibration: &Calibration, args: &QuantizeArgs) {
    let count = calibration.pictures.len();
    if count < FEW_PICTURES {
        log::warn!(
            "{count} picture{} of '{}': ranges from so few do not fit others; take some dozens",
            if count == 1 { "" } else { "s" },
            args.images.display()
        );
    }
}

fn stage_text(stage: Stage) -> &'static str {
    match stage {
        Stage::Channels => "observing channels",
        Stage::Ranges => "finding ranges",
        Stage::Compare => "comparing with the float model",
    }
}

fn method_text(args: &QuantizeArgs) -> String {
    let ranges = match args.method {
        Ranges::Mse => "least squares".to_owned(),
        Ranges::Minmax => "smallest to largest".to_owned(),
        Ranges::Percentile => format!("{} %", args.percentile),
    };
    let mut text = format!("ranges by {ranges}");
    if !args.no_equalization {
        text.push_str(", channels equalized");
    }
    if !args.no_bias_correction {
        text.push_str(", biases corrected");
    }
    text
}

/// The float model's manifest, for the quantized one.
fn manifest_of(float: &Manifest, onnx: &[u8], names: &Names) -> Result<Manifest> {
    let Some(file) = names.onnx.file_name().and_then(|name| name.to_str()) else {
        bail!("'{}' is no name for a file", names.onnx.display());
    };
    Ok(Manifest {
        file: file.to_owned(),
        sha256: sha256_hex(onnx),
        ..float.clone()
    })
}

fn artifact(
    quantized: &Quantized,
    manifest: &Manifest,
    names: &Names,
    calibration: &Calibration,
    args: &QuantizeArgs,
) -> Result<Artifact> {
    let path = names.onnx.display().to_string();
    let graph = Graph::parse(&quantized.onnx, &path)?;
    let program = compile(&graph, manifest, &path)?.program;
    let mut artifact = ungolden(manifest.clone(), program, &manifest.sha256);
    keep_golden(&mut artifact)?;
    artifact.calibration = Some(format!(
        "{} pictures, {}",
        calibration.pictures.len(),
        method_text(args)
    ));
    Ok(artifact)
}

/// What runs the quantized model: its program, or tract where it has none.
fn own_segmenter(
    quantized: &Quantized,
    manifest: &Manifest,
    artifact: Option<&Artifact>,
) -> Result<Box<dyn Segmenter>> {
    let options = program::Options::default();
    if let Some(artifact) = artifact {
        let segmenter = ProgramSegmenter::with(manifest, &artifact.program, options)?;
        return Ok(Box::new(segmenter));
    }
    let graph = Graph::parse(&quantized.onnx, &manifest.file)?;
    let segmenter = TractSegmenter::of_graph(manifest, &manifest.file, &graph)?;
    Ok(Box::new(segmenter))
}

/// Writes all files, or none. Where there is no artifact, one of an earlier model goes.
fn write(
    names: &Names,
    quantized: &Quantized,
    manifest: &Manifest,
    artifact: Option<&Artifact>,
) -> Result<()> {
    let fault = |path: &Path| format!("'{}' cannot be written", path.display());
    let text = toml::to_string(manifest)?;
    let mut files = vec![
        (&names.onnx, quantized.onnx.clone()),
        (&names.manifest, text.into_bytes()),
    ];
    if let Some(artifact) = artifact {
        let name = names.artifact.display().to_string();
        files.push((&names.artifact, artifact.to_bytes(&name)?));
    }
    let mut written = Vec::new();
    for (path, bytes) in &files {
        if path.is_dir() {
            bail!("{}: it is a folder", fault(path));
        }
        let partial = Partial::write(path, bytes).with_context(|| fault(path))?;
        written.push((partial, *path));
    }
    for (partial, path) in written {
        partial.rename(path).with_context(|| fault(path))?;
    }
    if artifact.is_none() && names.artifact.is_file() {
        log::warn!(
            "'{}' was of another model and is removed",
            names.artifact.display()
        );
        std::fs::remove_file(&names.artifact).with_context(|| fault(&names.artifact))?;
    }
    Ok(())
}
