//! What an evaluation found: for people, and as JSON.

use std::fmt::Write;

use anyhow::Result;
use serde::ser::{Serialize, SerializeMap, Serializer};

use atrous::classes::Classes;
use atrous::eval::Confusion;

use super::super::samples::Skipped;
use super::subject::Subject;
use super::worst::Drawing;

/// Widest matrix that is shown unasked, in columns of text.
const WIDTH: usize = 100;

/// Columns of text for a count in the matrix.
const CELL: usize = 7;

/// The sums of an evaluation.
pub struct Report {
    /// Pictures that were scored.
    pub images: u64,
    /// Pixels that were scored.
    pub pixels: u64,
    /// Pictures that were not.
    pub skipped: Skipped,
    /// From the first picture to the last.
    pub seconds: f64,
    /// Whether there were labels.
    pub labelled: bool,
    /// The tolerance in pixels, where one was given.
    pub boundary: Option<f32>,
    /// The classes.
    pub classes: Classes,
    /// The model.
    pub model: Subject,
    /// Another one, and the pixels of the model (rows) against its own.
    pub against: Option<(Subject, Confusion)>,
    /// The drawings that were written.
    pub worst: Option<Vec<Drawing>>,
}

/// Numbers by class name.
struct ByClass<'a> {
    classes: &'a Classes,
    values: Vec<Option<f64>>,
}

impl Serialize for ByClass<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.classes.iter().map(|class| &class.name);
        serializer.collect_map(names.zip(&self.values))
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.scores(&self.model, &mut map)?;
        let rows: Vec<&[u64]> = self.model.confusion.rows().collect();
        map.serialize_entry("confusion", &self.labelled.then_some(rows))?;
        let names: Vec<&String> = self.classes.iter().map(|class| &class.name).collect();
        map.serialize_entry("classes", &names)?;
        map.serialize_entry("pixels", &self.pixels)?;
        map.serialize_entry("images", &self.images)?;
        map.serialize_entry("skipped", &self.skipped.all())?;
        map.serialize_entry("unreadable", &self.skipped.unreadable)?;
        map.serialize_entry("without_label", &self.skipped.without_label)?;
        map.serialize_entry("seconds", &self.seconds)?;
        map.serialize_entry("boundary_px", &self.boundary)?;
        if let Some((other, agreement)) = &self.against {
            map.serialize_entry("agreement", &agreement.pixel_accuracy())?;
            map.serialize_entry("against", &Against(self, other, agreement))?;
        }
        if let Some(worst) = &self.worst {
            map.serialize_entry("worst", worst)?;
        }
        map.end()
    }
}

/// The second model of a report.
struct Against<'a>(&'a Report, &'a Subject, &'a Confusion);

impl Serialize for Against<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(report, other, agreement) = self;
        let mut map = serializer.serialize_map(None)?;
        report.scores(other, &mut map)?;
        let (theirs, ours) = (&other.confusion, &report.model.confusion);
        let differences =
            |number: fn(&Confusion) -> Option<f64>| difference(number(theirs), number(ours));
        map.serialize_entry("miou_difference", &differences(Confusion::mean_iou))?;
        let iou = |class| difference(theirs.iou(class), ours.iou(class));
        map.serialize_entry("iou_difference", &report.by_class(iou))?;
        let iou = |class| agreement.iou(class);
        map.serialize_entry("agreement_iou", &report.by_class(iou))?;
        map.end()
    }
}

fn difference(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? - b?)
}

impl Report {
    /// The mean IoU of the model.
    pub fn miou(&self) -> Option<f64> {
        self.model.confusion.mean_iou()
    }

    fn by_class(&self, value: impl Fn(usize) -> Option<f64>) -> ByClass<'_> {
        ByClass {
            classes: &self.classes,
            values: (0..self.classes.len()).map(value).collect(),
        }
    }

    /// What is known of one model.
    fn scores<M: SerializeMap>(&self, subject: &Subject, map: &mut M) -> Result<(), M::Error> {
        let (confusion, borders) = (&subject.confusion, &subject.borders);
        map.serialize_entry("model", &subject.name)?;
        map.serialize_entry("origin", &subject.origin)?;
        map.serialize_entry("crf", &subject.crf)?;
        map.serialize_entry("ms_per_picture", &self.ms_per_picture(subject))?;
        map.serialize_entry("miou", &confusion.mean_iou())?;
        map.serialize_entry("pixel_accuracy", &confusion.pixel_accuracy())?;
        map.serialize_entry("mean_boundary_f", &borders.mean_f_score())?;
        map.serialize_entry("iou", &self.by_class(|class| confusion.iou(class)))?;
        map.serialize_entry(
            "precision",
            &self.by_class(|class| confusion.precision(class)),
        )?;
        map.serialize_entry("recall", &self.by_class(|class| confusion.recall(class)))?;
        map.serialize_entry("boundary_f", &self.by_class(|class| borders.f_score(class)))
    }

    fn ms_per_picture(&self, subject: &Subject) -> f64 {
        subject.time.as_secs_f64() * 1e3 / self.images.max(1) as f64
    }

    /// The report for people. A matrix that is wide is shown if `confusion` asks for it.
    pub fn text(&self, confusion: bool) -> Result<String> {
        let mut out = String::new();
        self.heading(&mut out)?;
        if self.labelled {
            self.means(&mut out)?;
            self.per_class(&mut out)?;
        }
        if let Some((other, agreement)) = &self.against {
            self.comparison(&mut out, other, agreement)?;
        }
        if self.labelled {
            self.matrix(&mut out, confusion)?;
        }
        self.drawings(&mut out)?;
        Ok(out)
    }

    fn heading(&self, out: &mut String) -> Result<()> {
        let plural = if self.images == 1 { "" } else { "s" };
        let (images, millions) = (self.images, self.pixels as f64 / 1e6);
        let model = &self.model;
        writeln!(out, "{}: {}", model.name, model.describe())?;
        writeln!(
            out,
            "  {images} picture{plural}, {millions:.2} million pixels scored, in {:.1} s; {:.1} ms \
             a picture to its mask",
            self.seconds,
            self.ms_per_picture(model)
        )?;
        let Skipped {
            unreadable,
            without_label,
        } = self.skipped;
        if self.skipped.all() > 0 {
            writeln!(
                out,
                "  skipped {}: {unreadable} not to be read, {without_label} without a label",
                self.skipped.all()
            )?;
        }
        Ok(())
    }

    fn means(&self, out: &mut String) -> Result<()> {
        let model = &self.model;
        let confusion = &model.confusion;
        let occurring = self.occurring(confusion).count();
        let within = match self.boundary {
            Some(pixels) => format!("within {pixels} pixels"),
            None => "within 0.75 % of the diagonal".into(),
        };
        let accuracy = confusion.pixel_accuracy();
        let boundary = model.borders.mean_f_score();
        writeln!(out)?;
        writeln!(
            out,
            "mean IoU         {}   over {occurring} of {} classes",
            long(self.miou()),
            self.classes.len()
        )?;
        writeln!(out, "pixel accuracy   {}", long(accuracy))?;
        writeln!(out, "mean boundary F  {}   {within}", long(boundary))?;
        Ok(())
    }

    /// The classes that occur in the truth or in a prediction.
    fn occurring(&self, confusion: &Confusion) -> impl Iterator<Item = (usize, &str)> {
        let occurs = |&class: &usize| confusion.iou(class).is_some();
        let which: Vec<usize> = (0..self.classes.len()).filter(occurs).collect();
        let name = |class: usize| (class, self.classes.name(class as u8));
        which.into_iter().map(name)
    }

    /// Columns of text for the names of classes.
    fn name_width(&self) -> usize {
        let names = self.classes.iter().map(|class| class.name.chars().count());
        names.max().unwrap_or_default().max("class".len())
    }

    fn per_class(&self, out: &mut String) -> Result<()> {
        let Subject {
            confusion, borders, ..
        } = &self.model;
        let wide = self.name_width();
        writeln!(
            out,
            "\n{:<wide$}    IoU  precision  recall  boundary F  share of the pixels",
            "class"
        )?;
        for (class, name) in self.occurring(confusion) {
            let share = confusion.actual(class) as f64 / self.pixels as f64;
            writeln!(
                out,
                "{name:<wide$}  {}      {}   {}       {}  {:>6.2} %",
                short(confusion.iou(class)),
                short(confusion.precision(class)),
                short(confusion.recall(class)),
                short(borders.f_score(class)),
                100.0 * share
            )?;
        }
        Ok(())
    }

    fn comparison(&self, out: &mut String, other: &Subject, agreement: &Confusion) -> Result<()> {
        writeln!(
            out,
            "\nagainst {} ({}): {}\n  {:.1} ms a picture to its mask",
            other.name,
            other.origin,
            other.describe(),
            self.ms_per_picture(other)
        )?;
        let same = agreement.pixel_accuracy().unwrap_or_default();
        writeln!(
            out,
            "  the same class in {:.3} % of the pixels; mean IoU of one mask with the other {}",
            100.0 * same,
            long(agreement.mean_iou())
        )?;
        let wide = self.name_width();
        if !self.labelled {
            writeln!(out, "\n{:<wide$}  one with the other", "IoU")?;
            for (class, name) in self.occurring(agreement) {
                writeln!(out, "{name:<wide$}  {}", short(agreement.iou(class)))?;
            }
            return Ok(());
        }
        let (ours, theirs) = (&self.model.confusion, &other.confusion);
        let wide = wide.max("pixel accuracy".len());
        writeln!(
            out,
            "\n{:<wide$}   model    other  difference  one with the other",
            "IoU"
        )?;
        let mut line = |name: &str, a: Option<f64>, b: Option<f64>, both: Option<f64>| {
            let difference = difference(b, a);
            let difference = difference.map_or("-".into(), |d| format!("{d:+.4}"));
            let both = both.map_or(String::new(), |both| format!("{both:.4}"));
            let (a, b) = (long(a), long(b));
            let text = format!("{name:<wide$}  {a}   {b}     {difference:>7}  {both}");
            writeln!(out, "{}", text.trim_end())
        };
        let means = (ours.mean_iou(), theirs.mean_iou());
        line("mean", means.0, means.1, agreement.mean_iou())?;
        for (class, name) in self.occurring(agreement) {
            let both = agreement.iou(class);
            line(name, ours.iou(class), theirs.iou(class), both)?;
        }
        let accuracy = (ours.pixel_accuracy(), theirs.pixel_accuracy());
        line("pixel accuracy", accuracy.0, accuracy.1, None)?;
        let borders = (&self.model.borders, &other.borders);
        let f_scores = (borders.0.mean_f_score(), borders.1.mean_f_score());
        line("boundary F", f_scores.0, f_scores.1, None)?;
        Ok(())
    }

    fn matrix(&self, out: &mut String, asked: bool) -> Result<()> {
        let confusion = &self.model.confusion;
        let classes: Vec<(usize, &str)> = self.occurring(confusion).collect();
        let wide = self.name_width();
        if !asked && wide + CELL * classes.len() > WIDTH {
            writeln!(
                out,
                "\nThe confusion matrix of {} classes is wide: --confusion shows it.",
                classes.len()
            )?;
            return Ok(());
        }
        writeln!(
            out,
            "\nHow the pixels of each true class (rows) were taken, in percent:"
        )?;
        write!(out, "{:wide$}", "")?;
        for (_, name) in &classes {
            let short: String = name.chars().take(CELL - 1).collect();
            write!(out, "{short:>CELL$}")?;
        }
        writeln!(out)?;
        let rows: Vec<&[u64]> = confusion.rows().collect();
        for &(truth, name) in &classes {
            write!(out, "{name:<wide$}")?;
            let all = confusion.actual(truth);
            for &(prediction, _) in &classes {
                match all {
                    0 => write!(out, "{:>CELL$}", "-")?,
                    _ => {
                        let share = rows[truth][prediction] as f64 / all as f64;
                        write!(out, "{:>CELL$.1}", 100.0 * share)?;
                    }
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn drawings(&self, out: &mut String) -> Result<()> {
        let Some(drawings) = self.worst.as_deref().filter(|all| !all.is_empty()) else {
            return Ok(());
        };
        writeln!(out, "\nThe lowest mean IoU of a picture:")?;
        for Drawing { miou, file, .. } in drawings {
            writeln!(out, "{miou:.4}  {}", file.display())?;
        }
        Ok(())
    }
}

fn long(value: Option<f64>) -> String {
    value.map_or("     -".into(), |value| format!("{value:.4}"))
}

fn short(value: Option<f64>) -> String {
    value.map_or("    -".into(), |value| format!("{value:.3}"))
}
