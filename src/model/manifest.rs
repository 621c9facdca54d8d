//! `model.toml`: how a model is fed, how its output is read, and what it is.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::ModelError;
use super::graph::{Element, GraphSummary};
use crate::classes::{Class, Classes, MAX_CLASSES};
use crate::frame;
use crate::postprocess::crf::CrfParams;
use crate::postprocess::upsample::Upsample;
use crate::preprocess::Fit;

/// The manifest format this version reads.
pub const FORMAT: u32 = 1;

/// Order of the axes of a picture tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// Element type of the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InputType {
    /// 32-bit float, normalized by `mean` and `std`.
    F32,
    /// The pixel's byte as it is; `mean` and `std` are not used.
    U8,
}

/// Order of the colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first.
    Bgr,
}

/// The `[input]` table.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Axis order.
    pub layout: Layout,
    /// Element type.
    pub dtype: InputType,
    /// Channel order.
    #[serde(default)]
    pub channels: Channels,
    /// Subtracted from a channel's value (0..=255), in the model's channel order.
    #[serde(default = "half_range")]
    pub mean: [f32; 3],
    /// Then divides it.
    #[serde(default = "half_range")]
    pub std: [f32; 3],
    /// How a picture of another shape is fitted in.
    #[serde(default)]
    pub fit: Fit,
}

fn half_range() -> [f32; 3] {
    [127.5; 3]
}

/// What the model's output tensor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// A score per class and cell.
    Logits,
    /// The class index per pixel, at the input's size.
    Labels,
}

/// The `[output]` table.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Logits or labels.
    pub kind: OutputKind,
    /// Axis order of logits; labels have no channel axis.
    #[serde(default = "nchw")]
    pub layout: Layout,
    /// How logits that are coarser than the input reach its size.
    #[serde(default = "align_corners")]
    pub upsample: Upsample,
    /// Label that means "no class" in this model's ground truth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_index: Option<u8>,
}

/// DeepLab's own convention.
fn align_corners() -> Upsample {
    Upsample::AlignCorners
}

fn nchw() -> Layout {
    Layout::Nchw
}

/// A parsed and checked manifest.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format; see [`FORMAT`].
    pub format: u32,
    /// Short name of the model.
    pub name: String,
    /// Version of the model.
    #[serde(default)]
    pub version: String,
    /// One sentence on what it is for.
    #[serde(default)]
    pub description: String,
    /// The ONNX file, relative to the manifest and inside its folder.
    pub file: String,
    /// SHA-256 of that file in hex.
    pub sha256: String,
    /// SPDX identifier of the licence of the weights.
    pub licence: String,
    /// What a user must know about the licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence_note: Option<String>,
    /// From which data and weights the model was made, and how.
    #[serde(default)]
    pub provenance: String,
    /// How to feed it.
    pub input: Input,
    /// How to read its output.
    pub output: Output,
    /// How `--crf` refines its masks, where that was found out; else the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crf: Option<CrfParams>,
    /// Its classes in label order.
    #[serde(rename = "class")]
    pub classes: Classes,
}

impl Manifest {
    /// Reads a manifest and checks every value. `path` is for messages.
    ///
    /// # Errors
    /// [`ModelError::Manifest`] with line and column, or the key at fault.
    pub fn parse(text: &str, path: &str) -> Result<Self, ModelError> {
        let fail = |reason: String| ModelError::Manifest {
            path: path.to_owned(),
            reason,
        };
        let manifest: Self =
            toml::from_str(text).map_err(|e| fail(e.to_string().trim_end().to_owned()))?;
        manifest.check().map_err(fail)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!(
                "format is {}; this version reads {FORMAT}",
                self.format
            ));
        }
        if self.name.trim().is_empty() {
            return Err("name is empty".into());
        }
        let mut parts = Path::new(&self.file).components();
        if self.file.is_empty() || !parts.all(|p| matches!(p, Component::Normal(_))) {
            return Err(format!(
                "file '{}' must be a path inside the manifest's folder",
                self.file
            ));
        }
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("sha256 must be 64 hex digits (sha256sum FILE prints them)".into());
        }
        let Input {
            width,
            height,
            mean,
            std,
            ..
        } = &self.input;
        if !frame::size_is_allowed(*width, *height) {
            return Err(format!(
                "input.width and input.height are {width}x{height}; each must be in 1..={}",
                frame::MAX_SIDE
            ));
        }
        if !mean.iter().all(|v| v.is_finite()) {
            return Err("input.mean must hold three finite numbers".into());
        }
        if !std.iter().all(|v| v.is_finite() && *v > 0.0) {
            return Err("input.std must hold three numbers above 0".into());
        }
        if let Some(crf) = &self.crf {
            crf.check()?;
        }
        let classes = self.classes.len();
        if classes == 0 || classes > MAX_CLASSES {
            return Err(format!(
                "{classes} classes; there must be 1 to {MAX_CLASSES}"
            ));
        }
        for (i, class) in self.classes.iter().enumerate() {
            if class.name.trim().is_empty() {
                return Err(format!("class {i} has an empty name"));
            }
            if self.classes.find(&class.name).map(usize::from) != Some(i) {
                return Err(format!("class name '{}' appears twice", class.name));
            }
        }
        Ok(())
    }

    /// A manifest for an ONNX file without one: sizes, layout and element type
    /// from the graph; values scaled to -1..=1 (the usual scaling of DeepLab's
    /// MobileNet family); classes numbered, with colours from a fixed wheel.
    ///
    /// # Errors
    /// [`ModelError::Graph`] where the graph's tensors leave no sure reading.
    pub fn derived(graph: &GraphSummary, path: &Path, sha256: &str) -> Result<Self, ModelError> {
        let fail = |reason: String| ModelError::Graph {
            path: path.display().to_string(),
            reason: format!("{reason}; write a {} beside it", super::MANIFEST_NAME),
        };
        let (input, output) = match (graph.inputs.as_slice(), graph.outputs.as_slice()) {
            ([input], [output, ..]) => (input, output),
            (inputs, _) => {
                return Err(fail(format!("it has {} inputs, not one", inputs.len())));
            }
        };
        let (layout, width, height) = match input.shape.as_slice() {
            [_, Some(3), Some(h), Some(w)] => (Layout::Nchw, *w, *h),
            [_, Some(h), Some(w), Some(3)] => (Layout::Nhwc, *w, *h),
            _ => {
                return Err(fail(format!(
                    "input '{}' is {}, not a fixed picture of 3 channels",
                    input.name,
                    input.shape_text()
                )));
            }
        };
        let dtype = match input.element {
            Element::F32 => InputType::F32,
            Element::U8 => InputType::U8,
            other => return Err(fail(format!("input '{}' is {other}", input.name))),
        };
        let side = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
        let is_few = |classes: u64| classes <= MAX_CLASSES as u64;
        let unknown = || {
            fail(format!(
                "output '{}' is {} {}",
                output.name,
                output.element,
                output.shape_text()
            ))
        };
        let (kind, out_layout, classes) = match (output.element, output.shape.as_slice()) {
            (Element::F32 | Element::U8 | Element::I8, &[_, first, _, last]) => {
                match (first, last) {
                    // The class axis is the one that is not a picture side; one that is
                    // open is a side.
                    (Some(a), Some(d)) if layout == Layout::Nhwc || is_few(d) && a > d => {
                        (OutputKind::Logits, Layout::Nhwc, d)
                    }
                    (None, Some(d)) => (OutputKind::Logits, Layout::Nhwc, d),
                    (Some(a), Some(_)) => (OutputKind::Logits, Layout::Nchw, a),
                    (Some(a), None) if layout == Layout::Nchw => {
                        (OutputKind::Logits, Layout::Nchw, a)
                    }
                    _ => return Err(unknown()),
                }
            }
            (Element::I64 | Element::I32, _) => (OutputKind::Labels, layout, MAX_CLASSES as u64),
            _ => return Err(unknown()),
        };
        let count = usize::try_from(classes).unwrap_or(usize::MAX);
        if count == 0 || count > MAX_CLASSES {
            return Err(fail(format!(
                "output '{}' has {classes} classes",
                output.name
            )));
        }
        let stem = path
            .file_stem()
            .map_or("model".into(), |s| s.to_string_lossy().into_owned());
        let manifest = Self {
            format: FORMAT,
            name: stem,
            version: String::new(),
            description: "derived from the ONNX file alone".into(),
            file: path
                .file_name()
                .map_or(String::new(), |f| f.to_string_lossy().into_owned()),
            sha256: sha256.to_owned(),
            licence: "unknown".into(),
            licence_note: None,
            provenance: String::new(),
            input: Input {
                width: side(width),
                height: side(height),
                layout,
                dtype,
                channels: Channels::Rgb,
                mean: half_range(),
                std: half_range(),
                fit: Fit::Stretch,
            },
            output: Output {
                kind,
                layout: out_layout,
                upsample: Upsample::AlignCorners,
                ignore_index: None,
            },
            crf: None,
            classes: Classes::new((0..count).map(numbered).collect()),
        };
        manifest.check().map_err(fail)?;
        Ok(manifest)
    }
}

/// A class that has only a number; colours by the bit-interleaving that PASCAL
/// VOC's development kit uses for its palette, which keeps near indices apart.
pub fn numbered(index: usize) -> Class {
    let mut colour = [0u8; 3];
    for bit in 0..3 {
        for (channel, value) in colour.iter_mut().enumerate() {
            let set = (index >> (3 * bit + channel)) & 1;
            *value |= (set as u8) << (7 - bit);
        }
    }
    Class {
        name: format!("class {index}"),
        colour,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        format = 1
        name = "tiny"
        file = "tiny.onnx"
        sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
        licence = "MIT"
        [input]
        width = 33
        height = 17
        layout = "nchw"
        dtype = "f32"
        [output]
        kind = "logits"
        [[class]]
        name = "floor"
        colour = [1, 2, 3]
        [[class]]
        name = "wall"
        colour = [4, 5, 6]
    "#;

    fn reason(text: &str) -> String {
        Manifest::parse(text, "m.toml").unwrap_err().to_string()
    }

    #[test]
    fn reads_a_minimal_manifest() {
        let manifest = Manifest::parse(GOOD, "m.toml").unwrap();
        assert_eq!(manifest.input.mean, [127.5; 3]);
        assert_eq!(manifest.classes.find("WALL"), Some(1));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let text = GOOD.replace("name = \"tiny\"", "name = \"tiny\"\ncolour_space = 3");
        let error = reason(&text);
        assert!(
            error.contains("colour_space") && error.contains("line 4"),
            "{error}"
        );
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (from, to, word) in [
            ("format = 1", "format = 2", "format"),
            ("width = 33", "width = 0", "input.width"),
            ("width = 33", "width = 100000", "input.width"),
            ("\"tiny.onnx\"", "\"../tiny.onnx\"", "inside"),
            ("\"tiny.onnx\"", "\"/tiny.onnx\"", "inside"),
            ("sha256 = \"0", "sha256 = \"x", "sha256"),
            ("\"wall\"", "\"Floor\"", "twice"),
            (
                "dtype = \"f32\"",
                "dtype = \"f32\"\nstd = [1.0, 0.0, 1.0]",
                "input.std",
            ),
        ] {
            let error = reason(&GOOD.replace(from, to));
            assert!(error.contains(word), "{to}: {error}");
        }
    }

    #[test]
    fn the_crf_table_is_optional_and_checked() {
        assert_eq!(Manifest::parse(GOOD, "m.toml").unwrap().crf, None);
        let with = |table: &str| {
            GOOD.replace(
                "[[class]]\n        name = \"floor\"",
                &format!("{table}\n[[class]]\nname = \"floor\""),
            )
        };
        let manifest = Manifest::parse(&with("[crf]\ntheta_beta = 5.0"), "m.toml").unwrap();
        let expected = CrfParams {
            theta_beta: 5.0,
            ..CrfParams::default()
        };
        assert_eq!(manifest.crf, Some(expected));
        let written = toml::to_string(&manifest).unwrap();
        assert_eq!(Manifest::parse(&written, "m.toml").unwrap(), manifest);
        for (line, word) in [
            ("theta_beta = 0.1", "crf.theta_beta"),
            ("theta_alpha = nan", "crf.theta_alpha"),
            ("theta_gamma = 1e9", "crf.theta_gamma"),
            ("appearance_weight = -1.0", "crf.appearance_weight"),
            ("smoothness_weight = inf", "crf.smoothness_weight"),
            ("iterations = 101", "crf.iterations"),
            ("label_confidence = 1.0", "crf.label_confidence"),
            ("theta = 3.0", "theta"),
        ] {
            let error = reason(&with(&format!("[crf]\n{line}")));
            assert!(error.contains(word), "{line}: {error}");
        }
    }

    /// A graph of one f32 input and output of these shapes; 0 is an open side.
    fn graph(input: [u64; 4], output: [u64; 4]) -> GraphSummary {
        let tensor = |name: &str, shape: [u64; 4]| super::super::graph::TensorInfo {
            name: name.into(),
            element: Element::F32,
            shape: shape.map(|side| (side > 0).then_some(side)).to_vec(),
        };
        GraphSummary {
            producer: String::new(),
            opset: 17,
            inputs: vec![tensor("x", input)],
            outputs: vec![tensor("y", output)],
            ops: Default::default(),
            parameters: 0,
        }
    }

    #[test]
    fn open_sides_are_given_and_classes_found() {
        let derive = |graph: &GraphSummary| {
            let manifest = Manifest::derived(graph, Path::new("a.onnx"), &"0".repeat(64))?;
            let Input { width, height, .. } = manifest.input;
            Ok::<_, ModelError>((
                (width, height),
                manifest.output.layout,
                manifest.classes.len(),
            ))
        };
        for (input, output, layout) in [
            ([1, 3, 0, 0], [1, 21, 0, 0], Layout::Nchw),
            ([1, 0, 0, 3], [1, 0, 0, 21], Layout::Nhwc),
            ([1, 3, 0, 0], [1, 0, 0, 21], Layout::Nhwc),
            ([1, 3, 0, 99], [1, 21, 99, 99], Layout::Nchw),
        ] {
            let mut graph = graph(input, output);
            derive(&graph).unwrap_err();
            graph.close_sides((99, 77));
            assert_eq!(derive(&graph).unwrap(), ((99, 77), layout, 21), "{input:?}");
        }
        for (input, output) in [
            ([1, 3, 9, 9], [1, 0, 0, 0]),
            ([1, 9, 9, 3], [1, 9, 9, 0]),
            ([1, 4, 0, 0], [1, 21, 0, 0]),
        ] {
            let mut graph = graph(input, output);
            graph.close_sides((9, 7));
            derive(&graph).unwrap_err();
        }
    }

    #[test]
    fn numbered_colours_differ() {
        let colours: std::collections::HashSet<_> = (0..256).map(|i| numbered(i).colour).collect();
        assert_eq!(colours.len(), 256);
    }
}
