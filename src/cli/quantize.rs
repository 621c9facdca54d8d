//! `atrous quantize`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use atrous::compile::compile;
use atrous::engine::program::{self, ProgramSegmenter};
use atrous::engine::tract::TractSegmenter;
use atrous::engine::{Segmenter, Shape};
use atrous::mask::Mask;
use atrous::model::artifact::{Artifact, Golden, golden};
use atrous::model::{Graph, MANIFEST_NAME, Manifest, sha256_hex};
use atrous::output_file::Partial;
use atrous::quantize::{Layer, Method, Options, Quantized, Stage, quantize};

use super::compile::GOLDEN_SEED;
use super::exit::Misused;
use super::import::{ImportLimits, Imported, Importer, Outcome, Refused, Request, Source};
use super::{Global, output};
use calibration::Calibration;
use progress::Bar;

mod calibration;
mod progress;

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

/// What is printed of a quantization.
#[derive(Debug, Serialize)]
struct Report<'a> {
    onnx: &'a Path,
    manifest: &'a Path,
    /// `None` where the graph has parts without an integer form.
    artifact: Option<&'a Path>,
    pictures: usize,
    skipped: usize,
    method: String,
    convolutions: usize,
    equalized_channels: usize,
    /// Tensors that had one value in all pictures.
    constant: &'a [String],
    /// Signal to noise of the scores in decibels, against the model as it came.
    scores_db: Option<f64>,
    against: Option<Agreement>,
    seconds: f64,
    layers: &'a [Layer],
}

/// How often two models choose the same class.
#[derive(Debug, Clone, Serialize)]
struct Agreement {
    model: String,
    /// Share of the model's input pixels, 0..=1.
    pixels: f64,
    pictures: usize,
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
    output::print(&text(&report, args.worst)?)
}

/// The float model, after another process has imported it without harm.
fn float_model(name: &str, importer: &Importer) -> Result<Source> {
    let Imported { facts, outcome } = importer.import(name, &Request::default())?;
    match outcome {
        Outcome::Program { .. } => {
            let text = format!(
                "model '{}' is quantized already; `atrous compile` makes an artifact of it, and \
                 its float original can be quantized anew",
                facts.origin
            );
            Err(Refused::model(text).into())
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

/// The files that are written.
struct Names {
    onnx: PathBuf,
    manifest: PathBuf,
    artifact: PathBuf,
}

impl Names {
    /// The names that `-o` stands for, in a folder that is there.
    fn of(output: &Path) -> Result<Self> {
        let misused = |reason: &str| {
            let text = format!("--output {}: {reason}", output.display());
            Err(Misused(text).into())
        };
        let is_folder = output.as_os_str().as_encoded_bytes().ends_with(b"/") || output.is_dir();
        let Some(name) = output.file_name().filter(|_| !is_folder) else {
            return misused("it is a folder; name the files in it, such as FOLDER/model");
        };
        let folder = output.parent().unwrap_or(Path::new(""));
        if !folder.as_os_str().is_empty() && !folder.is_dir() {
            return misused("there is no such folder; make it first");
        }
        let known = ["onnx", "toml", "atrous"];
        let extension = Path::new(name).extension().and_then(|e| e.to_str());
        let stem = match extension {
            Some(extension) if known.contains(&extension) => output.with_extension(""),
            _ => output.to_owned(),
        };
        let with = |extension: &str| {
            let mut name = stem.clone().into_os_string();
            name.push(".");
            name.push(extension);
            PathBuf::from(name)
        };
        let [onnx, manifest, artifact] = known.map(with);
        Ok(Self {
            onnx,
            manifest,
            artifact,
        })
    }

    /// Refuses to write over the float model or its manifest.
    fn spare(&self, model: &str) -> Result<()> {
        let model = Path::new(model);
        let own = [
            model.to_owned(),
            model.with_extension("toml"),
            model.with_file_name(MANIFEST_NAME),
        ];
        let real = |path: &Path| path.canonicalize().ok();
        for target in [&self.onnx, &self.manifest] {
            if real(target)
                .is_some_and(|target| own.iter().any(|own| real(own) == Some(target.clone())))
            {
                let text = format!(
                    "'{}' belongs to the float model and is not written over; choose another \
                     --output",
                    target.display()
                );
                return Err(Misused(text).into());
            }
        }
        Ok(())
    }
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
    let mut segmenter = ProgramSegmenter::new(manifest, &program);
    let picture = golden::picture(GOLDEN_SEED, program.width, program.height);
    let mut mask = Mask::default();
    segmenter.segment(&picture, &mut mask)?;
    Ok(Artifact {
        manifest: manifest.clone(),
        program,
        source_sha256: manifest.sha256.clone(),
        tool: format!("atrous {}", env!("CARGO_PKG_VERSION")),
        golden: Golden::new(GOLDEN_SEED, &mask.labels),
        calibration: Some(format!(
            "{} pictures, {}",
            calibration.pictures.len(),
            method_text(args)
        )),
    })
}

/// A model whose masks the quantized one's are compared with.
struct Other {
    name: String,
    segmenter: Box<dyn Segmenter>,
}

impl Other {
    /// Opens a model of the float one's size and classes; `float` is that one itself.
    fn open(name: &str, float: &Source, importer: &Importer) -> Result<Self> {
        let Source { model, graph } = float;
        let segmenter: Box<dyn Segmenter> = match name {
            "float" => Box::new(TractSegmenter::from_graph(model, graph)?),
            _ => {
                let options = program::Options::default();
                super::model::open(name, None, importer, options)?.segmenter
            }
        };
        let own = Shape {
            width: model.manifest.input.width,
            height: model.manifest.input.height,
            classes: model.manifest.classes.len(),
        };
        if segmenter.shape() != own {
            let [other, own] = [segmenter.shape(), own].map(|shape| {
                let Shape {
                    width,
                    height,
                    classes,
                } = shape;
                format!("{width}x{height} and {classes} classes")
            });
            let text = format!(
                "model '{name}' has an input of {other}, the model to quantize one of {own}: \
                 their masks cannot be compared"
            );
            return Err(Refused::model(text).into());
        }
        Ok(Self {
            name: name.to_owned(),
            segmenter,
        })
    }

    /// Runs both models over the pictures.
    fn agreement(
        &mut self,
        mut own: Box<dyn Segmenter>,
        pictures: &[Vec<u8>],
        bar: &Bar,
    ) -> Result<Agreement> {
        let (mut theirs, mut ours) = (Mask::default(), Mask::default());
        let (mut same, mut all) = (0, 0);
        for (done, rgb) in pictures.iter().enumerate() {
            bar.show("comparing masks", done, pictures.len());
            self.segmenter.segment(rgb, &mut theirs)?;
            own.segment(rgb, &mut ours)?;
            let pairs = theirs.labels.iter().zip(&ours.labels);
            same += pairs.filter(|(a, b)| a == b).count();
            all += ours.labels.len();
        }
        Ok(Agreement {
            model: self.name.clone(),
            pixels: same as f64 / all.max(1) as f64,
            pictures: pictures.len(),
        })
    }
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

fn text(report: &Report, worst: usize) -> Result<String> {
    let mut out = String::new();
    let mut noisy: Vec<&Layer> = report
        .layers
        .iter()
        .filter(|l| l.sqnr_db.is_some())
        .collect();
    noisy.sort_by(|a, b| {
        a.sqnr_db
            .unwrap_or(0.0)
            .total_cmp(&b.sqnr_db.unwrap_or(0.0))
    });
    if worst > 0 && !noisy.is_empty() {
        writeln!(
            out,
            "{:>7}  {:<18} {:>21}  tensor with the most noise",
            "SQNR dB", "operator", "range"
        )?;
        for layer in noisy.iter().take(worst) {
            let [low, high] = layer.range;
            let range = format!("{low:.4} .. {high:.4}");
            let ratio = layer.sqnr_db.unwrap_or(0.0);
            writeln!(
                out,
                "{ratio:>7.1}  {:<18} {range:>21}  {}",
                layer.op, layer.tensor
            )?;
        }
    }
    if let Some(scores) = report.scores_db {
        writeln!(out, "scores: {scores:.1} dB against the model as it came")?;
    }
    if let Some(Agreement {
        model,
        pixels,
        pictures,
    }) = &report.against
    {
        writeln!(
            out,
            "masks: the same class as {model} on {:.2} % of the pixels of {pictures} pictures",
            100.0 * pixels
        )?;
    }
    let artifact = report
        .artifact
        .map(|path| format!(" and {}", path.display()));
    writeln!(
        out,
        "{}{}: {} convolutions in integers, {} pictures, {}, in {:.1} s",
        report.onnx.display(),
        artifact.unwrap_or_default(),
        report.convolutions,
        report.pictures,
        report.method,
        report.seconds
    )?;
    Ok(out)
}
