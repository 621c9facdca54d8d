//! Masks as annotations in COCO's format: `coco:annotations.json`.
//!
//! One file for a run: an image for each result, a category for each class, and an
//! annotation for each component (or class) with its run lengths or its outline.

use std::path::PathBuf;

use serde::Serialize;

use super::class_names::ClassNames;
use super::record::Record;
use super::selection::{Selection, path_and_options};
use super::{Outcome, Sink, SinkError};
use crate::classes::Classes;
use crate::postprocess::components::Labeller;
use crate::postprocess::components::segment::{Per, Segment, compressed, outline};
use crate::postprocess::region::ClassSet;
use crate::query::Query;

/// Most images of one file: their list is kept until the end.
const MAX_IMAGES: usize = 1_000_000;

const FORM: &str = "coco:FILE.json, as in coco:out.json?classes=Car&min_area=20&per=component&\
                    segmentation=rle";

/// What is written, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct CocoPlan {
    path: PathBuf,
    selection: Selection,
    per: Per,
    form: Form,
}

/// How the pixels of an annotation are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Run lengths as a string.
    Rle,
    /// Run lengths as numbers.
    Counts,
    /// The corners of the outline.
    Polygon,
}

impl CocoPlan {
    /// Reads what follows `coco:`.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn parse(rest: &str) -> Result<Self, String> {
        let (path, options) = path_and_options(rest)?;
        let extension = path.extension().unwrap_or_default();
        if !extension.eq_ignore_ascii_case("json") {
            return Err(format!("names no .json file: write {FORM}"));
        }
        let known = ["classes", "min_area", "per", "segmentation", "neighbours"];
        let query = Query::parse(options, &known)?;
        let per = query.read("per", "component or class", |text| match text {
            "component" => Some(Per::Component),
            "class" => Some(Per::Class),
            _ => None,
        })?;
        let form = query.read("segmentation", "rle, counts or polygon", |text| {
            Some(match text {
                "rle" => Form::Rle,
                "counts" => Form::Counts,
                "polygon" => Form::Polygon,
                _ => return None,
            })
        })?;
        let (per, form) = (per.unwrap_or_default(), form.unwrap_or(Form::Rle));
        if (per, form) == (Per::Class, Form::Polygon) {
            return Err("a polygon is of one component: leave out per=class".into());
        }
        Ok(Self {
            path,
            selection: Selection::of(&query)?,
            per,
            form,
        })
    }

    /// The file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The classes that are annotated.
    pub fn classes(&self) -> &ClassNames {
        &self.selection.classes
    }

    /// Creates the file under a temporary name.
    ///
    /// # Errors
    /// [`SinkError::Write`].
    pub fn open(self) -> Result<CocoSink, SinkError> {
        let mut record = Record::create(&self.path)?;
        record.write(b"{\"annotations\":[")?;
        Ok(CocoSink {
            plan: self,
            record,
            wanted: None,
            labeller: Labeller::default(),
            annotations: 0,
            images: Vec::new(),
            categories: Vec::new(),
        })
    }
}

/// Annotates every result.
#[derive(Debug)]
pub struct CocoSink {
    plan: CocoPlan,
    record: Record,
    wanted: Option<ClassSet>,
    labeller: Labeller,
    annotations: u64,
    images: Vec<Image>,
    categories: Vec<Category>,
}

#[derive(Debug, Serialize)]
struct Image {
    id: u64,
    width: u32,
    height: u32,
    file_name: String,
}

#[derive(Debug, Serialize)]
struct Category {
    id: usize,
    name: String,
    supercategory: &'static str,
}

#[derive(Serialize)]
struct Annotation {
    id: u64,
    image_id: u64,
    category_id: u8,
    area: u64,
    bbox: [u32; 4],
    iscrowd: u8,
    segmentation: Segmentation,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Segmentation {
    Rle { size: [u32; 2], counts: String },
    Counts { size: [u32; 2], counts: Vec<u32> },
    Polygon([Vec<u32>; 1]),
}

impl CocoSink {
    fn annotate(&mut self, outcome: &Outcome, classes: &Classes) -> Result<(), SinkError> {
        outcome.check_masks()?;
        let what = self.plan.path.display().to_string();
        if self.images.len() == MAX_IMAGES {
            let reason = format!(
                "it has {MAX_IMAGES} images, the most of one file: end the run before with \
                 --frames"
            );
            return Err(SinkError::Write { what, reason });
        }
        let selection = &self.plan.selection;
        let uri = || format!("coco:{what}");
        let wanted = selection.labels(&mut self.wanted, classes, uri)?;
        if self.categories.is_empty() {
            let categories = classes.iter().enumerate().map(|(id, class)| Category {
                id,
                name: class.name.clone(),
                supercategory: "",
            });
            self.categories = categories.collect();
        }
        let how = (self.plan.per, selection.connectivity);
        let least = selection.min_area;
        let segments = (self.labeller).segments(&outcome.mask, &wanted, how, least);
        for segment in segments {
            self.annotations += 1;
            let annotation = Annotation {
                id: self.annotations,
                image_id: outcome.index,
                category_id: segment.class,
                area: segment.area,
                bbox: [segment.x, segment.y, segment.width, segment.height],
                // COCO's tools expect polygons of what is one thing, and run lengths of
                // what is marked as a crowd; they read either of both.
                iscrowd: 0,
                segmentation: self.segmentation(segment, outcome),
            };
            let separator: &[u8] = if self.annotations > 1 { b",\n" } else { b"\n" };
            self.record.write(separator)?;
            self.record.write_json(&annotation)?;
        }
        let name = outcome.name.clone();
        self.images.push(Image {
            id: outcome.index,
            width: outcome.width,
            height: outcome.height,
            file_name: name.unwrap_or_else(|| format!("frame_{:06}", outcome.index)),
        });
        Ok(())
    }

    fn segmentation(&self, segment: Segment, outcome: &Outcome) -> Segmentation {
        let size = [outcome.height, outcome.width];
        match self.plan.form {
            Form::Rle => Segmentation::Rle {
                size,
                counts: compressed(&segment.counts),
            },
            Form::Counts => Segmentation::Counts {
                size,
                counts: segment.counts,
            },
            Form::Polygon => {
                let corners = outline(
                    &outcome.mask,
                    segment.first,
                    self.plan.selection.connectivity,
                );
                Segmentation::Polygon([corners.into_iter().flat_map(|(x, y)| [x, y]).collect()])
            }
        }
    }
}

impl Sink for CocoSink {
    fn consume(&mut self, outcome: &Outcome, classes: &Classes) -> Result<(), SinkError> {
        let result = self.annotate(outcome, classes);
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
        self.record.write(b"\n],\"images\":")?;
        self.record.write_json(&self.images)?;
        self.record.write(b",\n\"categories\":")?;
        self.record.write_json(&self.categories)?;
        self.record.write(b"}\n")?;
        self.record.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::Class;
    use crate::mask::Mask;
    use serde_json::{Value, json};

    fn annotated(query: &str) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        let plan = CocoPlan::parse(&format!("{}?{query}", path.display())).unwrap();
        let class = |name: &str| Class {
            name: name.into(),
            colour: [0; 3],
        };
        let classes = Classes::new(vec![class("ground"), class("ring")]);
        let mut outcome = Outcome {
            index: 3,
            width: 5,
            height: 3,
            mask: Mask {
                width: 5,
                height: 3,
                labels: vec![1, 1, 1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0],
            },
            ..Outcome::default()
        };
        let mut sink = plan.open().unwrap();
        sink.consume(&outcome, &classes).unwrap();
        (outcome.index, outcome.name) = (4, Some("b".into()));
        sink.consume(&outcome, &classes).unwrap();
        sink.finish().unwrap();
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn a_file_is_what_coco_reads() {
        let file = annotated("classes=ring");
        let images = json!([
            { "id": 3, "width": 5, "height": 3, "file_name": "frame_000003" },
            { "id": 4, "width": 5, "height": 3, "file_name": "b" },
        ]);
        assert_eq!(file["images"], images);
        assert_eq!(file["categories"][1]["name"], "ring");
        let annotations = file["annotations"].as_array().unwrap();
        assert_eq!(annotations.len(), 4);
        let first = json!({
            "id": 1, "image_id": 3, "category_id": 1, "area": 8, "bbox": [0, 0, 3, 3],
            "iscrowd": 0, "segmentation": { "size": [3, 5], "counts": "04105" },
        });
        assert_eq!(annotations[0], first);
        assert_eq!(annotations[3]["id"], 4);
        assert_eq!(annotations[3]["image_id"], 4);
    }

    #[test]
    fn other_forms_are_had_for_the_asking() {
        let file = annotated("classes=ring&segmentation=counts&per=class");
        assert_eq!(file["annotations"].as_array().unwrap().len(), 2);
        let counts = &file["annotations"][0]["segmentation"]["counts"];
        assert_eq!(*counts, json!([0, 4, 1, 4, 3, 1, 2]));
        let file = annotated("classes=ring&segmentation=polygon&min_area=2");
        assert_eq!(file["annotations"].as_array().unwrap().len(), 2);
        let polygon = &file["annotations"][0]["segmentation"];
        assert_eq!(*polygon, json!([[3, 0, 3, 3, 0, 3, 0, 0]]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (rest, word) in [
            ("a.csv", ".json"),
            ("", ".json"),
            ("a.json?per=pixel", "component or class"),
            ("a.json?segmentation=x", "rle, counts or polygon"),
            ("a.json?per=class&segmentation=polygon", "leave out"),
            ("a.json?neighbours=5", "4 or 8"),
        ] {
            let error = CocoPlan::parse(rest).unwrap_err();
            assert!(error.contains(word), "{rest}: {error}");
        }
    }
}
