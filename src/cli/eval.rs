//! `atrous eval`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use atrous::config::{Flags, Settings};
use atrous::engine::MAX_THREADS;
use atrous::eval::{BoundaryScorer, Confusion, PredictError, Tolerance};
use atrous::frame::MAX_SIDE;
use atrous::model::Manifest;

use super::crf::CrfArgs;
use super::exit::{Misused, NotMet};
use super::figures::Pictures;
use super::import::ImportLimits;
use super::model;
use super::runtime::{Require, RuntimeArgs};
use super::samples::{Sample, Samples, Skipped, Step};
use super::signals;
use super::{Global, output};

mod csv;
mod report;
mod scheme;
mod subject;
mod worst;

use csv::{Row, Table};
use report::Report;
use scheme::{Scheme, SchemeArgs};
use subject::Subject;
use worst::{Scene, Worst};

/// Arguments of `atrous eval`.
#[derive(Debug, Args)]
#[command(
    after_help = "Every number is counted over all pictures together, from the confusion matrix of their\n\
    pixels. A class's IoU is the pixels that are of it and were taken for it, by those that\n\
    are either; the mean IoU is over the classes that occur in the truth or in a prediction.\n\
    Pixels that are ignored count nowhere.\n\n\
    A border pixel is right if one of the same class lies within the tolerance in the other\n\
    mask; boundary F is the harmonic mean of the share of the true ones that are found and\n\
    the share of the predicted ones that are right (Csurka et al., BMVC 2013, over the set).\n\n\
    A picture that cannot be read or has no label is named and skipped. If more than one in\n\
    ten cannot be read, that is an error.\n\n\
    With --json the last line is an object: miou, pixel_accuracy, mean_boundary_f; iou,\n\
    precision, recall, boundary_f (each by class name; null where a class does not occur);\n\
    classes (names in order), confusion (pixels: a row a true class, a column a predicted\n\
    one), pixels, images, skipped (unreadable + without_label), model, crf (its parameters,\n\
    or null), seconds, ms_per_picture, boundary_px; with --against agreement (share of pixels with the same\n\
    class) and against (the other model's numbers, their difference to the model's, and\n\
    agreement_iou by class); with --worst worst (name, miou, file)."
)]
pub struct EvalArgs {
    /// A built-in name (road, nuclei), a model.toml, its folder, an ONNX file, or an artifact. Without
    /// one: ATROUS_MODEL, the run config's, or the built-in one, as in `run`.
    model: Option<String>,
    /// The same, as `run` has it.
    #[arg(
        short = 'm',
        long = "model",
        value_name = "MODEL",
        conflicts_with = "model"
    )]
    named_model: Option<String>,
    /// Folder of pictures, PNG or JPEG.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Folder of labels: for each picture a PNG of its name and size with one class index a
    /// pixel, grey or palette.
    #[arg(long, value_name = "DIR", required_unless_present = "against")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    scheme: SchemeArgs,
    /// A second model: on which share of the pixels both agree, and how their scores differ.
    /// It runs on the CPU.
    #[arg(long, value_name = "OTHER")]
    against: Option<String>,
    /// Write a line a picture: name, miou, pixel_accuracy, agreement, ms.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw the pictures with the lowest mean IoU into a new folder: picture, truth and
    /// prediction side by side.
    #[arg(long, value_name = "DIR", requires = "labels")]
    worst: Option<PathBuf>,
    /// How many of them.
    #[arg(long, value_name = "N", default_value_t = 10, requires = "worst",
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    worst_count: u16,
    /// Take the first N pictures only.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Tolerance of the boundary scores in pixels [default: 0.75 % of the picture's diagonal].
    #[arg(long, value_name = "PX", requires = "labels", value_parser = pixels)]
    boundary: Option<f32>,
    /// Show the confusion matrix, however wide it is.
    #[arg(long, requires = "labels")]
    confusion: bool,
    /// Fail with exit code 5 if the mean IoU is less than this, 0 to 1.
    #[arg(long, value_name = "X", requires = "labels", value_parser = fraction)]
    min_miou: Option<f64>,
    /// Fail with exit code 5 unless the model runs as asked.
    #[arg(long, value_enum, value_name = "WHAT")]
    require: Option<Require>,
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// Threads that share the work on one picture [default: the board's cores but one].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MAX_THREADS as i64))]
    threads: Option<u8>,
    #[command(flatten)]
    crf: CrfArgs,
    #[command(flatten)]
    cpu: model::CpuArgs,
    #[command(flatten)]
    limits: ImportLimits,
}

fn pixels(text: &str) -> Result<f32, String> {
    let pixels = text.parse().ok();
    pixels
        .filter(|pixels| (0.0..=MAX_SIDE as f32).contains(pixels))
        .ok_or_else(|| format!("a tolerance is a number of pixels, 0 to {MAX_SIDE}"))
}

fn fraction(text: &str) -> Result<f64, String> {
    let fraction = text.parse().ok();
    fraction
        .filter(|fraction| (0.0..=1.0).contains(fraction))
        .ok_or_else(|| "a mean IoU is a number from 0 to 1, such as 0.65".into())
}

impl EvalArgs {
    fn flags(&self) -> Flags {
        Flags {
            model: self.model.clone().or_else(|| self.named_model.clone()),
            threads: self.threads.map(usize::from),
            ..Flags::default()
        }
    }

    fn tolerance(&self) -> Tolerance {
        self.boundary
            .map_or(Tolerance::default(), Tolerance::Pixels)
    }
}

/// Scores a model on a folder of pictures.
pub fn run(args: &EvalArgs, global: &Global) -> Result<()> {
    let settings = Settings::resolve(&args.flags(), |key| std::env::var(key).ok())?;
    // What can fail at once comes before the models.
    let mut samples = Samples::open(&args.images, args.labels.as_deref(), args.limit)?;
    // From here on there are files under temporary names.
    let stop = Arc::new(AtomicBool::new(false));
    signals::end(&stop)?;
    signals::hangup(&stop)?;
    let mut evaluation = Evaluation::open(args, &settings, global)?;

    let start = Instant::now();
    let shown = Pictures::new(global.chatty(), samples.total());
    let mut sample = Sample::default();
    loop {
        if stop.load(Ordering::Relaxed) {
            bail!(
                "stopped after {} of {} pictures; nothing was written",
                evaluation.images,
                samples.total()
            );
        }
        match samples.next(&mut sample, &shown)? {
            Step::Sample => evaluation.take(&mut sample, &mut samples, &shown)?,
            Step::Skipped => {}
            Step::End => break,
        }
        let skipped = samples.skipped().all();
        shown.show(evaluation.images + skipped, skipped);
    }
    drop(shown);
    if evaluation.images == 0 {
        return Err(samples.nothing_scored().into());
    }
    let seconds = start.elapsed().as_secs_f64();
    let report = evaluation.finish(args, samples.skipped(), seconds)?;
    if global.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.text(args.confusion)?)?;
    }
    judge(args.min_miou, report.miou())
}

/// Whether the model is as good as was required.
fn judge(least: Option<f64>, miou: Option<f64>) -> Result<()> {
    match (least, miou) {
        (Some(least), Some(miou)) if miou < least => Err(NotMet(format!(
            "the mean IoU is {miou:.4}, less than --min-miou {least}"
        ))
        .into()),
        _ => Ok(()),
    }
}

/// Refuses to write a table over a picture or a label.
fn spare_inputs(csv: &Path, inputs: [Option<&Path>; 2]) -> Result<()> {
    // What is not there yet is no input.
    let Some(real) = csv.canonicalize().ok().filter(|real| real.is_file()) else {
        return Ok(());
    };
    let mut inputs = inputs
        .into_iter()
        .flatten()
        .filter_map(|i| i.canonicalize().ok());
    if inputs.any(|input| real == input || real.parent() == Some(&input)) {
        let text = format!(
            "--csv {}: it lies among the pictures or labels, which are not written over; name a \
             file elsewhere",
            csv.display()
        );
        return Err(Misused(text).into());
    }
    Ok(())
}

/// The models, what was counted so far, and what is being written.
struct Evaluation {
    scheme: Scheme,
    tolerance: Tolerance,
    labelled: bool,
    model: Subject,
    other: Option<Subject>,
    /// The model's pixels (rows) against the other's.
    agreement: Confusion,
    /// The last picture's.
    picture_agreement: Confusion,
    scorer: BoundaryScorer,
    judged: Vec<bool>,
    images: u64,
    pixels: u64,
    table: Option<Table>,
    worst: Option<Worst>,
}

impl Evaluation {
    fn open(args: &EvalArgs, settings: &Settings, global: &Global) -> Result<Self> {
        if let Some(csv) = &args.csv {
            spare_inputs(csv, [Some(args.images.as_path()), args.labels.as_deref()])?;
        }
        let table = args.csv.as_deref().map(Table::create).transpose()?;
        let count = usize::from(args.worst_count);
        let worst = args.worst.as_deref();
        let worst = worst.map(|at| Worst::create(at, count)).transpose()?;
        let importer = args.limits.importer(global);
        let options = args.cpu.options(settings.threads.value)?;
        let wanted = args.runtime.wanted(args.require, global)?;
        let model = model::open(&settings.model.value, wanted, &importer, options)?;
        let open = |name: &str| model::open(name, wanted.of_other(), &importer, options);
        let other = args.against.as_deref().map(open).transpose()?;
        let others = other.as_ref().map(|other| &other.manifest);
        let scheme = Scheme::new(&args.scheme, &model.manifest, others)?;
        let classes = scheme.classes.len();
        let predictions = scheme.predictions.clone();
        let refiner = |manifest: &Manifest| {
            let (upsample, classes) = (manifest.output.upsample, manifest.classes.len());
            let crf = args.crf;
            crf.refiner(manifest.crf, upsample, classes, options)
        };
        let crf = refiner(&model.manifest)?;
        let model = Subject::new(model, crf, predictions, "--map-predictions", classes);
        let against = scheme.against.clone();
        let other = match other {
            Some(other) => {
                let crf = refiner(&other.manifest)?;
                Some(Subject::new(other, crf, against, "--map-against", classes))
            }
            None => None,
        };
        for subject in std::iter::once(&model).chain(&other) {
            log::info!("{}: {}", subject.origin, subject.describe());
        }
        Ok(Self {
            scheme,
            tolerance: args.tolerance(),
            labelled: args.labels.is_some(),
            model,
            other,
            agreement: Confusion::new(classes),
            picture_agreement: Confusion::new(classes),
            scorer: BoundaryScorer::default(),
            judged: Vec::new(),
            images: 0,
            pixels: 0,
            table,
            worst,
        })
    }

    /// Segments and scores one picture. Its label is turned into classes.
    fn take(&mut self, sample: &mut Sample, samples: &mut Samples, shown: &Pictures) -> Result<()> {
        let subjects = std::iter::once(&mut self.model).chain(&mut self.other);
        for subject in subjects {
            match subject.predict(&sample.frame) {
                Ok(()) => {}
                Err(PredictError::Frame(error)) => return samples.skip_unreadable(&error, shown),
                Err(error) => return Err(error).context(sample.name().to_owned()),
            }
            subject.map(sample.name(), &self.scheme)?;
        }
        if self.labelled {
            self.read_truth(sample)?;
        } else {
            self.judged.clear();
            self.judged.resize(self.model.mask.labels.len(), true);
        }
        let subjects = std::iter::once(&mut self.model).chain(&mut self.other);
        for subject in subjects {
            subject.count_time();
            if self.labelled {
                let (truth, scorer) = (&sample.label, &mut self.scorer);
                subject.score(truth, &self.judged, self.tolerance, scorer);
            }
        }
        self.images += 1;
        self.pixels += self.judged.iter().filter(|&&judged| judged).count() as u64;
        self.compare();
        self.write(sample)
    }

    fn read_truth(&mut self, sample: &mut Sample) -> Result<()> {
        let labels = &mut sample.label.labels;
        let mapped = self.scheme.labels.apply(labels, &mut self.judged);
        mapped.map_err(|unknown| {
            let advice = self.scheme.unknown_label(unknown.value);
            let path = sample.label_path.display();
            Misused(format!("label '{path}': {unknown}; {advice}")).into()
        })
    }

    /// Counts on which pixels the models agree.
    fn compare(&mut self) {
        if let Some(other) = &self.other {
            self.picture_agreement.clear();
            let (mine, others) = (&self.model.mask.labels, &other.mask.labels);
            self.picture_agreement
                .add_judged(mine, &self.judged, others);
            self.agreement.merge(&self.picture_agreement);
        }
    }

    /// Writes what is wanted of the last picture alone.
    fn write(&mut self, sample: &Sample) -> Result<()> {
        let miou = self.model.picture.mean_iou();
        if let Some(table) = &mut self.table {
            table.add(&Row {
                name: sample.name(),
                miou,
                pixel_accuracy: self.model.picture.pixel_accuracy(),
                agreement: self.picture_agreement.pixel_accuracy(),
                time: self.model.last,
            })?;
        }
        if let (Some(worst), Some(miou)) = (&mut self.worst, miou) {
            let scene = Scene {
                frame: &sample.frame,
                truth: &sample.label,
                judged: &self.judged,
                prediction: &self.model.mask,
            };
            worst.offer(sample.name(), miou, scene, &self.scheme.classes)?;
        }
        Ok(())
    }

    /// Gives the files their names and sums up.
    fn finish(mut self, args: &EvalArgs, skipped: Skipped, seconds: f64) -> Result<Report> {
        if self.pixels == 0 {
            let text = "no pixel was scored: the labels hold nothing but ignored values; leave \
                        some of --ignore out, or see what the labels hold";
            return Err(Misused(text.into()).into());
        }
        // The table first: without it the drawings have no names.
        if let Some(table) = self.table.take() {
            table.finish()?;
        }
        let worst = self.worst.take().map(Worst::finish).transpose()?;
        Ok(Report {
            images: self.images,
            pixels: self.pixels,
            skipped,
            seconds,
            labelled: self.labelled,
            boundary: args.boundary,
            classes: self.scheme.classes,
            model: self.model,
            against: self.other.map(|other| (other, self.agreement)),
            worst,
        })
    }
}
