//! Measures of every component as a table: `measure:cells.csv`, `measure:cells.json`.
//!
//! A CSV file has a line for each component of each picture. A JSON file has an object for
//! each picture, those without a component among them. Components are numbered from 1 in
//! the reading order of their first pixels, those that are left out as well.

use std::path::PathBuf;

use serde::Serialize;

use super::class_names::ClassNames;
use super::record::Record;
use super::selection::{Selection, path_and_options};
use super::{Outcome, Sink, SinkError};
use crate::classes::Classes;
use crate::postprocess::components::Labeller;
use crate::postprocess::components::shape::Shape;
use crate::postprocess::region::ClassSet;
use crate::query::Query;

const FORM: &str = "measure:FILE.csv or measure:FILE.json, as in \
                    measure:cells.csv?classes=nucleus&min_area=20&mm_per_pixel=0.00025";

/// What is written, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasurePlan {
    path: PathBuf,
    format: Format,
    selection: Selection,
    mm_per_pixel: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
}

impl MeasurePlan {
    /// Reads what follows `measure:`.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn parse(rest: &str) -> Result<Self, String> {
        let (path, options) = path_and_options(rest)?;
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let format = match extension.to_str() {
            Some("csv") => Format::Csv,
            Some("json") => Format::Json,
            _ => return Err(format!("names no .csv or .json file: write {FORM}")),
        };
        let query = Query::parse(
            options,
            &["classes", "min_area", "mm_per_pixel", "neighbours"],
        )?;
        let mm_per_pixel = query.read("mm_per_pixel", "a length from 1e-9 to 1e9", |text| {
            let found = text.parse().ok();
            found.filter(|length| (1e-9..=1e9).contains(length))
        })?;
        Ok(Self {
            path,
            format,
            selection: Selection::of(&query)?,
            mm_per_pixel,
        })
    }

    /// The file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The classes that are measured.
    pub fn classes(&self) -> &ClassNames {
        &self.selection.classes
    }

    /// Creates the file under a temporary name.
    ///
    /// # Errors
    /// [`SinkError::Write`].
    pub fn open(self) -> Result<MeasureSink, SinkError> {
        let mut record = Record::create(&self.path)?;
        match self.format {
            Format::Csv => {
                let scaled = self.mm_per_pixel.map_or("", |_| ",area_mm2,perimeter_mm");
                record.write(format!("{COLUMNS}{scaled}\n").as_bytes())?;
            }
            Format::Json => {
                let head = serde_json::json!({ "mm_per_pixel": self.mm_per_pixel }).to_string();
                let head = head.trim_end_matches('}');
                record.write(format!("{head},\"pictures\":[").as_bytes())?;
            }
        }
        Ok(MeasureSink {
            plan: self,
            record,
            wanted: None,
            labeller: Labeller::default(),
            shapes: Vec::new(),
            pictures: 0,
        })
    }
}

/// The columns that every CSV file has.
const COLUMNS: &str = "picture,index,component,class,label,area_px,x,y,width,height,perimeter_px,\
                       centroid_x,centroid_y";

/// Measures the components of every result.
#[derive(Debug)]
pub struct MeasureSink {
    plan: MeasurePlan,
    record: Record,
    wanted: Option<ClassSet>,
    labeller: Labeller,
    shapes: Vec<Shape>,
    pictures: u64,
}

/// One component, in JSON.
#[derive(Serialize)]
struct Row<'a> {
    component: usize,
    class: &'a str,
    label: u8,
    area_px: u64,
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    perimeter_px: u64,
    centroid_x: f64,
    centroid_y: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    area_mm2: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    perimeter_mm: Option<f64>,
}

impl<'a> Row<'a> {
    fn new(component: usize, shape: &Shape, class: &'a str, mm: Option<f64>) -> Self {
        Self {
            component,
            class,
            label: shape.class,
            area_px: shape.area,
            x: shape.x,
            y: shape.y,
            width: shape.width,
            height: shape.height,
            perimeter_px: shape.perimeter,
            centroid_x: (shape.centroid.0 * 1e4).round() / 1e4,
            centroid_y: (shape.centroid.1 * 1e4).round() / 1e4,
            area_mm2: mm.map(|mm| nine_digits(shape.area as f64 * mm * mm)),
            perimeter_mm: mm.map(|mm| nine_digits(shape.perimeter as f64 * mm)),
        }
    }

    fn csv(&self, picture: &str, index: u64) -> String {
        let Self {
            component,
            class,
            label,
            area_px,
            x,
            y,
            width,
            height,
            perimeter_px,
            centroid_x,
            centroid_y,
            ..
        } = self;
        let (picture, class) = (quoted(picture), quoted(class));
        let mut line = format!(
            "{picture},{index},{component},{class},{label},{area_px},{x},{y},{width},{height},\
             {perimeter_px},{centroid_x},{centroid_y}"
        );
        for scaled in [self.area_mm2, self.perimeter_mm].into_iter().flatten() {
            line.push_str(&format!(",{scaled}"));
        }
        line.push('\n');
        line
    }
}

/// The nearest number of nine digits, so that a product shows no digits that its factors
/// do not have.
fn nine_digits(value: f64) -> f64 {
    format!("{value:.8e}").parse().unwrap_or(value)
}

/// A CSV field, in quotes where it must be (RFC 4180).
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

impl MeasureSink {
    fn measure(&mut self, outcome: &Outcome, classes: &Classes) -> Result<(), SinkError> {
        outcome.check_masks()?;
        let uri = || format!("measure:{}", self.plan.path.display());
        let selection = &self.plan.selection;
        let wanted = selection.labels(&mut self.wanted, classes, uri)?;
        let (connectivity, least) = (selection.connectivity, selection.min_area);
        self.labeller
            .shapes(&outcome.mask, connectivity, &mut self.shapes);
        let shapes = (1..).zip(&self.shapes);
        let kept = shapes.filter(|(_, shape)| shape.area >= least && wanted.contains(shape.class));
        let picture = outcome.name.as_deref().unwrap_or_default();
        if self.plan.format == Format::Json {
            let separator = if self.pictures > 0 { ",\n" } else { "\n" };
            let head = serde_json::json!({
                "picture": outcome.name,
                "index": outcome.index,
                "width": outcome.width,
                "height": outcome.height,
            });
            let head = head.to_string();
            let head = head.trim_end_matches('}');
            self.record
                .write(format!("{separator}{head},\"components\":[").as_bytes())?;
        }
        let mut first = true;
        for (number, shape) in kept {
            let class = classes.name_or_number(shape.class.into());
            let row = Row::new(number, shape, &class, self.plan.mm_per_pixel);
            match self.plan.format {
                Format::Csv => {
                    let line = row.csv(picture, outcome.index);
                    self.record.write(line.as_bytes())?;
                }
                Format::Json => {
                    if !std::mem::take(&mut first) {
                        self.record.write(b",")?;
                    }
                    self.record.write_json(&row)?;
                }
            }
        }
        if self.plan.format == Format::Json {
            self.record.write(b"]}")?;
        }
        self.pictures += 1;
        Ok(())
    }
}

impl Sink for MeasureSink {
    fn consume(&mut self, outcome: &Outcome, classes: &Classes) -> Result<(), SinkError> {
        let result = self.measure(outcome, classes);
        if result.is_err() {
            self.record.abandon();
        }
        result
    }

    fn wants_every_result(&self) -> bool {
        true
    }

    fn wants_picture(&self) -> bool {
        false
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        if self.plan.format == Format::Json {
            self.record.write(b"\n]}\n")?;
        }
        self.record.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::Class;
    use crate::mask::Mask;

    fn classes() -> Classes {
        let class = |name: &str| Class {
            name: name.into(),
            colour: [0; 3],
        };
        Classes::new(vec![class("ground"), class("a, \"b\"")])
    }

    fn outcome(index: u64, name: Option<&str>) -> Outcome {
        Outcome {
            index,
            name: name.map(str::to_owned),
            width: 4,
            height: 2,
            mask: Mask {
                width: 4,
                height: 2,
                labels: vec![1, 0, 0, 1, 1, 0, 0, 0],
            },
            ..Outcome::default()
        }
    }

    fn written(options: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (name, query) = options.split_once('?').unwrap_or((options, ""));
        let path = folder.path().join(name);
        let plan = MeasurePlan::parse(&format!("{}?{query}", path.display())).unwrap();
        let mut sink = plan.open().unwrap();
        sink.consume(&outcome(0, Some("x,y")), &classes()).unwrap();
        sink.consume(&outcome(1, None), &classes()).unwrap();
        sink.finish().unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn csv_is_as_documented() {
        let text = written("m.csv?min_area=2&mm_per_pixel=0.1");
        let want = "picture,index,component,class,label,area_px,x,y,width,height,perimeter_px,\
            centroid_x,centroid_y,area_mm2,perimeter_mm\n\
            \"x,y\",0,1,\"a, \"\"b\"\"\",1,2,0,0,1,2,6,0.5,1,0.02,0.6\n\
            \"x,y\",0,2,ground,0,5,1,0,3,2,10,2.3,1.1,0.05,1\n\
            ,1,1,\"a, \"\"b\"\"\",1,2,0,0,1,2,6,0.5,1,0.02,0.6\n\
            ,1,2,ground,0,5,1,0,3,2,10,2.3,1.1,0.05,1\n";
        assert_eq!(text, want);
        // Without a scale there are no millimetres, and specks count.
        let text = written("m.csv?classes=!ground");
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(
            text.contains("\n\"x,y\",0,3,") && !text.contains("mm"),
            "{text}"
        );
    }

    #[test]
    fn json_is_one_object() {
        let text = written("m.json?classes=ground");
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(all["mm_per_pixel"], serde_json::Value::Null);
        assert_eq!(all["pictures"][0]["picture"], "x,y");
        assert_eq!(all["pictures"][1]["components"][0]["area_px"], 5);
        assert_eq!(all["pictures"][1]["components"][0]["component"], 2);
        // Pictures without a component are listed.
        let text = written("m.json?min_area=99&mm_per_pixel=1");
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(all["pictures"].as_array().unwrap().len(), 2);
        assert_eq!(all["pictures"][0]["components"], serde_json::json!([]));
    }

    #[test]
    fn a_run_without_results_gives_a_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.json");
        let plan = MeasurePlan::parse(&path.display().to_string()).unwrap();
        plan.open().unwrap().finish().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(all["pictures"], serde_json::json!([]));
    }

    #[test]
    fn a_result_that_contradicts_itself_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.csv");
        let plan = MeasurePlan::parse(&path.display().to_string()).unwrap();
        let mut sink = plan.open().unwrap();
        let mut bad = outcome(0, None);
        bad.mask.labels.pop();
        assert!(sink.consume(&bad, &classes()).is_err());
        sink.finish().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (rest, word) in [
            ("", "no .csv"),
            ("a.txt", "no .csv"),
            ("a.csv?scale=1", "known here: classes"),
            ("a.csv?mm_per_pixel=0", "1e-9"),
            ("a.csv?mm_per_pixel=NaN", "1e-9"),
            ("a.csv?mm_per_pixel=inf", "1e-9"),
            ("a.csv?min_area=-1", "number of pixels"),
            ("a.csv?neighbours=6", "4 or 8"),
            ("a.csv?classes=a,,b", "empty class name"),
            ("a%zz.csv", "hexadecimal"),
        ] {
            let error = MeasurePlan::parse(rest).unwrap_err();
            assert!(error.contains(word), "{rest}: {error}");
        }
    }
}
