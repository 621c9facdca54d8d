//! `atrous eval` as a user meets it: its numbers against ones made by hand, its files,
//! and its answers to folders that do not fit.

#[cfg(feature = "bundled")]
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;

use atrous::model::sha256_hex;
use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage};
use prost::Message;
use serde_json::Value;
use tempfile::TempDir;
use tract_onnx::pb::{GraphProto, ModelProto, OperatorSetIdProto};

mod command;
mod onnx;

use onnx::{floats, node, tensor, value};

const RUNTIME: i32 = 1;
const USAGE: i32 = 2;
const MODEL: i32 = 4;
const REQUIREMENT: i32 = 5;

/// Side of the tiny model's input.
const SIDE: u32 = 8;

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];

/// Pictures for development that are not part of the repository; cargo runs tests in the
/// package's folder.
#[cfg(feature = "bundled")]
const CAMVID: &str = "../shared/data/camvid/val";

/// A model whose class is the channel, of red, green and blue, that is brightest, after
/// they were put into another order.
fn brightest(order: [usize; 3]) -> Vec<u8> {
    let mut weights = [0f32; 9];
    for (class, channel) in order.into_iter().enumerate() {
        weights[3 * class + channel] = 1.0;
    }
    let raw = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let side = i64::from(SIDE);
    let graph = GraphProto {
        name: "brightest".into(),
        input: vec![value("x", &[1, 3, side, side])],
        output: vec![value("y", &[1, 3, side, side])],
        initializer: vec![
            tensor("w", &[3, 3, 1, 1], 1, raw),
            floats("b", &[0.0, 0.0, 0.0]),
        ],
        node: vec![node("Conv", &["x", "w", "b"], "y")],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

/// A folder with models and pictures in it.
struct Bench {
    folder: TempDir,
}

impl Bench {
    /// With the model `rgb` (classes Red, Green, Blue).
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for name in ["images", "labels"] {
            std::fs::create_dir(bench.at(name)).unwrap();
        }
        bench.model("rgb", [0, 1, 2], ["Red", "Green", "Blue"], "");
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds a model; `input` is more of the manifest's table of that name.
    fn model(&self, name: &str, order: [usize; 3], classes: [&str; 3], input: &str) {
        let onnx = brightest(order);
        let mut text = format!(
            "format = 1\nname = \"{name}\"\nfile = \"{name}.onnx\"\nsha256 = \"{}\"\n\
             licence = \"MIT\"\n[input]\nwidth = {SIDE}\nheight = {SIDE}\nlayout = \"nchw\"\n\
             dtype = \"f32\"\n{input}\n[output]\nkind = \"logits\"\nignore_index = 255\n",
            sha256_hex(&onnx)
        );
        for (class, colour) in classes.iter().zip([[200, 0, 0], [0, 200, 0], [0, 0, 200]]) {
            text += &format!("[[class]]\nname = \"{class}\"\ncolour = {colour:?}\n");
        }
        std::fs::write(self.at(&format!("{name}.onnx")), onnx).unwrap();
        std::fs::write(self.at(&format!("{name}.toml")), text).unwrap();
    }

    /// A picture whose columns have these colours, at the model's size.
    fn picture(&self, name: &str, columns: [[u8; 3]; 8]) {
        let picture = RgbImage::from_fn(SIDE, SIDE, |x, _| Rgb(columns[x as usize]));
        picture.save(self.at("images").join(name)).unwrap();
    }

    /// A label whose columns have these values.
    fn label(&self, name: &str, columns: [u8; 8]) {
        let label = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([columns[x as usize]]));
        label.save(self.at("labels").join(name)).unwrap();
    }

    /// A red and green picture, of which one column in eight is labelled otherwise.
    fn pair(&self, stem: &str) {
        let name = format!("{stem}.png");
        let (r, g) = (RED, GREEN);
        self.picture(&name, [r, r, r, r, g, g, g, g]);
        self.label(&name, [0, 0, 0, 0, 0, 1, 1, 1]);
    }

    fn atrous(&self, args: &[&str]) -> Output {
        let mut command = command::atrous();
        command.args(args).current_dir(self.folder.path());
        command.output().unwrap()
    }

    /// Evaluates the model `rgb` on the pictures.
    fn eval(&self, args: &[&str]) -> Output {
        let usual = ["eval", "rgb.toml", "--images", "images"];
        self.atrous(&[&usual, args].concat())
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        parsed(&self.eval(&[&["--labels", "labels", "--json"], args].concat()))
    }

    /// Evaluates with labels; must fail with `code`, say each of `words`, and print nothing.
    #[track_caller]
    fn refused(&self, args: &[&str], code: i32, words: &[&str]) {
        let args = [&["--labels", "labels", "--json"], args].concat();
        refused(&self.eval(&args), code, words);
    }

    /// The names in a folder, sorted.
    fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.at(folder)).unwrap();
        let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }
}

#[track_caller]
fn parsed(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "should say '{word}': {stderr}");
    }
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
}

#[track_caller]
fn near(value: &Value, want: f64) {
    let got = value.as_f64().unwrap();
    assert!((got - want).abs() < 1e-9, "{got}, not {want}");
}

#[test]
fn the_numbers_are_those_made_by_hand() {
    let bench = Bench::new();
    bench.pair("a");
    let found = bench.json(&["--boundary", "1"]);
    // Red: 32 of 40 pixels. Green: 24 that are right of 32 taken for it.
    near(&found["iou"]["Red"], 0.8);
    near(&found["iou"]["Green"], 0.75);
    assert_eq!(found["iou"]["Blue"], Value::Null);
    near(&found["precision"]["Red"], 1.0);
    near(&found["recall"]["Red"], 0.8);
    near(&found["precision"]["Green"], 0.75);
    near(&found["recall"]["Green"], 1.0);
    assert_eq!(found["recall"]["Blue"], Value::Null);
    near(&found["miou"], 0.775);
    near(&found["pixel_accuracy"], 0.875);
    // The border is one column off.
    near(&found["mean_boundary_f"], 1.0);
    near(&found["boundary_f"]["Red"], 1.0);
    assert_eq!(found["boundary_f"]["Blue"], Value::Null);
    let rows = serde_json::json!([[32, 8, 0], [0, 24, 0], [0, 0, 0]]);
    assert_eq!(found["confusion"], rows);
    assert_eq!(
        found["classes"],
        serde_json::json!(["Red", "Green", "Blue"])
    );
    assert_eq!(found["model"], "rgb");
    assert_eq!(
        (&found["images"], &found["skipped"]),
        (&1.into(), &0.into())
    );
    assert_eq!(found["pixels"], 64);
    assert!(found["seconds"].as_f64().unwrap() > 0.0);
    near(&bench.json(&["--boundary", "0"])["mean_boundary_f"], 0.0);
    // 0.75 % of the diagonal is less than a pixel.
    near(&bench.json(&[])["mean_boundary_f"], 0.0);

    // Counted over the set: a picture of one class that is all right.
    bench.picture("b.png", [RED; 8]);
    bench.label("b.png", [0; 8]);
    let found = bench.json(&[]);
    near(&found["iou"]["Red"], 96.0 / 104.0);
    near(&found["pixel_accuracy"], 120.0 / 128.0);
    near(&bench.json(&["--limit", "1"])["miou"], 0.775);
}

#[test]
fn people_get_tables() {
    let bench = Bench::new();
    bench.pair("a");
    let output = bench.eval(&["--labels", "labels", "--boundary", "2"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for word in [
        "mean IoU         0.7750",
        "over 2 of 3 classes",
        "pixel accuracy   0.8750",
        "within 2 pixels",
        "Red    0.800      1.000   0.800       1.000   62.50 %",
        "Red     80.0   20.0\n",
        "Green    0.0  100.0\n",
    ] {
        assert!(text.contains(word), "'{word}': {text}");
    }
    assert!(!text.contains("Blue"), "{text}");
}

#[test]
fn files_have_a_line_and_a_drawing_for_each_picture() {
    let bench = Bench::new();
    bench.pair("b");
    bench.picture("a.png", [BLUE; 8]);
    bench.label("a.png", [2, 2, 2, 2, 2, 2, 2, 255]);
    bench.picture("c.png", [BLUE; 8]);
    bench.label("c.png", [1; 8]);
    let worst = ["--worst", "worst", "--worst-count", "2"];
    let found = bench.json(&[&["--csv", "a.csv"], &worst[..]].concat());

    let text = std::fs::read_to_string(bench.at("a.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "name,miou,pixel_accuracy,agreement,ms");
    let starts = [
        "a,1.000000,1.000000,,",
        "b,0.775000,0.875000,,",
        "c,0.000000,0.000000,,",
    ];
    for (line, start) in lines[1..].iter().zip(starts) {
        let ms = line.strip_prefix(start);
        let ms = ms.unwrap_or_else(|| panic!("{line}, not {start}"));
        assert!(ms.parse::<f64>().unwrap() > 0.0, "{line}");
    }
    assert_eq!(lines.len(), 4);

    assert_eq!(bench.files("worst"), ["01_c.png", "02_b.png"]);
    assert_eq!(found["worst"][0]["name"], "c");
    assert_eq!(found["worst"][1]["file"], "worst/02_b.png");
    near(&found["worst"][1]["miou"], 0.775);
    let drawing = image::open(bench.at("worst/02_b.png")).unwrap();
    let drawing = drawing.into_rgb8();
    assert_eq!(drawing.dimensions(), (3 * SIDE, SIDE));
    let pixel = |panel: u32, x: u32| drawing.get_pixel(panel * SIDE + x, 3).0;
    assert_eq!(pixel(0, 4), GREEN);
    assert_eq!(pixel(1, 4), [200, 0, 0]);
    assert_eq!(pixel(2, 4), [0, 200, 0]);
    // What is not known is black.
    bench.json(&["--worst", "all"]);
    let drawing = image::open(bench.at("all/03_a.png")).unwrap().into_rgb8();
    assert_eq!(drawing.get_pixel(2 * SIDE - 1, 0).0, [0; 3]);
}

#[test]
fn the_masks_that_run_writes_are_the_masks_that_are_scored() {
    let bench = Bench::new();
    bench.model("boxed", [1, 2, 0], ["A", "B", "C"], "fit = \"letterbox\"");
    // Of other sizes and shapes than the model's input, and all of noise.
    for (name, width, height) in [("a.png", 29, 13), ("b.png", 5, 31), ("c.png", 8, 8)] {
        let noise = |x: u32, y: u32| {
            let hash = (x * 31 + y * 57 + width).wrapping_mul(2_654_435_761) >> 7;
            Rgb([hash as u8, (hash >> 8) as u8, (hash >> 16) as u8])
        };
        let picture = RgbImage::from_fn(width, height, noise);
        picture.save(bench.at("images").join(name)).unwrap();
    }
    for model in ["rgb.toml", "boxed.toml"] {
        let run = bench.atrous(&[
            "run",
            "images",
            "masks/",
            "-m",
            model,
            "--visualize",
            "index",
        ]);
        assert!(run.status.success(), "{run:?}");
        for stem in ["a", "b", "c"] {
            let mask = bench.at(&format!("masks/{stem}_index.png"));
            std::fs::rename(mask, bench.at(&format!("labels/{stem}.png"))).unwrap();
        }
        let args = ["eval", "-m", model, "--images", "images"];
        let args = [&args[..], &["--labels", "labels", "--json"]].concat();
        let found = parsed(&bench.atrous(&args));
        for number in ["miou", "pixel_accuracy", "mean_boundary_f"] {
            assert_eq!(found[number], 1.0, "{model}: {found}");
        }
        assert_eq!(found["pixels"], 29 * 13 + 5 * 31 + 64);
    }
}

#[test]
fn ignored_values_count_nowhere_and_others_must_be_classes() {
    let bench = Bench::new();
    bench.pair("a");
    bench.label("a.png", [0, 0, 0, 0, 11, 1, 255, 12]);
    bench.refused(
        &["--csv", "a.csv", "--worst", "worst"],
        USAGE,
        &[
            "labels/a.png",
            "value 11 (8 pixels)",
            "0 to 2",
            "--ignore 11,255",
        ],
    );
    let words = ["value 12", "--ignore 11,12,255", "--map 12:CLASS"];
    bench.refused(&["--ignore", "11"], USAGE, &words);
    // Nothing of an evaluation that failed is left.
    let files = bench.files(".");
    assert!(
        !files.iter().any(|f| f.contains("csv") || f == "worst"),
        "{files:?}"
    );

    let found = bench.json(&["--ignore", "11,12"]);
    assert_eq!(found["pixels"], 48 - 8);
    assert_eq!(found["miou"], 1.0);
    // A predicted class is not counted where the truth is ignored.
    bench.picture("a.png", [RED, RED, RED, RED, BLUE, GREEN, BLUE, BLUE]);
    let found = bench.json(&["--ignore", "11,12"]);
    assert_eq!(found["iou"]["Blue"], Value::Null);
    assert_eq!(found["miou"], 1.0);
    bench.refused(
        &["--ignore", "0,1,11,12"],
        USAGE,
        &["no pixel was scored", "--ignore"],
    );
}

#[test]
fn labels_are_mapped_all_at_once() {
    let bench = Bench::new();
    bench.pair("a");
    bench.label("a.png", [1, 1, 1, 1, 0, 0, 0, 7]);
    let found = bench.json(&["--map", "0:1,1:0,7:1"]);
    assert_eq!(found["miou"], 1.0);
    bench.refused(
        &["--map", "0:1,7:3"],
        USAGE,
        &["--map 7:3", "no class 3", "0 to 2", "Red, Green, Blue"],
    );
    bench.refused(&["--map", "7"], USAGE, &["FROM:TO"]);
    bench.refused(&["--map", "7:1,7:2"], USAGE, &["7 is mapped twice"]);
    bench.refused(
        &["--map", "7:1", "--ignore", "7"],
        USAGE,
        &["--map 7:1", "--ignore"],
    );
    bench.refused(
        &["--map-predictions", "3:1"],
        USAGE,
        &["3 classes", "0 to 2"],
    );
}

#[test]
fn a_model_with_other_classes_is_mapped() {
    let bench = Bench::new();
    bench.pair("a");
    // The labels know warm (0) and cold (1).
    bench.label("a.png", [0, 0, 0, 0, 1, 1, 1, 1]);
    let found = bench.json(&["--map-predictions", "0:0,1:1,2:1", "--names", "warm,cold"]);
    assert_eq!(found["miou"], 1.0);
    assert_eq!(found["classes"], serde_json::json!(["warm", "cold"]));
    let found = bench.json(&["--map-predictions", "0:0,1:1,2:1"]);
    assert_eq!(found["iou"]["class 1"], 1.0);

    // A class that was forgotten is named when it turns up, not before.
    let forgotten = ["--map-predictions", "0:0", "--names", "warm,cold"];
    assert_eq!(bench.json(&forgotten)["miou"], 1.0);
    bench.picture("a.png", [BLUE; 8]);
    let words = [
        "'rgb'",
        "class 2",
        "picture 'a'",
        "--map-predictions 2:CLASS",
    ];
    bench.refused(&forgotten, USAGE, &words);
}

#[test]
fn two_models_are_compared_with_labels_and_without() {
    let bench = Bench::new();
    bench.model("swapped", [1, 0, 2], ["Red", "Green", "Blue"], "");
    bench.pair("a");
    bench.picture("b.png", [RED, BLUE, BLUE, BLUE, BLUE, BLUE, BLUE, BLUE]);
    bench.label("b.png", [0, 2, 2, 2, 2, 2, 2, 255]);

    // Without labels all pixels count: 64 differ, of 128, and a column of b.
    let args = ["--against", "swapped.toml", "--json", "--csv", "a.csv"];
    let found = parsed(&bench.eval(&args));
    near(&found["agreement"], 56.0 / 128.0);
    near(&found["against"]["agreement_iou"]["Blue"], 1.0);
    assert_eq!(found["miou"], Value::Null);
    assert_eq!(found["confusion"], Value::Null);
    assert_eq!(found["against"]["model"], "swapped");
    let text = std::fs::read_to_string(bench.at("a.csv")).unwrap();
    assert!(text.contains("\na,,,0.000000,"), "{text}");
    assert!(text.contains("\nb,,,0.875000,"), "{text}");

    let found = bench.json(&["--against", "swapped.toml"]);
    near(&found["agreement"], 48.0 / 120.0);
    // Red and green the wrong way round: of a, 8 pixels are right by chance.
    let (ours, theirs) = (&found["iou"], &found["against"]["iou"]);
    near(&theirs["Green"], 0.0);
    near(&theirs["Red"], 8.0 / (48.0 + 32.0 - 8.0));
    near(&theirs["Blue"], 1.0);
    let difference = theirs["Red"].as_f64().unwrap() - ours["Red"].as_f64().unwrap();
    near(&found["against"]["iou_difference"]["Red"], difference);
    let difference = found["against"]["miou"].as_f64().unwrap() - found["miou"].as_f64().unwrap();
    near(&found["against"]["miou_difference"], difference);

    // Mapped the other way round it is the same model.
    let found = bench.json(&["--against", "swapped.toml", "--map-against", "0:1,1:0"]);
    assert_eq!(found["agreement"], 1.0);
    assert_eq!(found["against"]["miou_difference"], 0.0);

    for labels in [&[][..], &["--labels", "labels"]] {
        let args = [&["--against", "swapped.toml"], labels].concat();
        let text = String::from_utf8(bench.eval(&args).stdout).unwrap();
        assert!(text.contains("against swapped"), "{text}");
        assert!(text.contains("the same class in 4"), "{text}");
    }
}

#[test]
fn folders_that_do_not_fit() {
    let bench = Bench::new();
    bench.refused(&[], USAGE, &["images", "no picture", ".png"]);
    bench.pair("a");
    let eval = |images: &str, labels: &str| {
        let args = ["eval", "rgb.toml", "--images", images, "--labels", labels];
        bench.atrous(&args)
    };
    refused(&eval("nowhere", "labels"), USAGE, &["nowhere"]);
    let words = ["--labels nowhere", "no such folder"];
    refused(&eval("images", "nowhere"), USAGE, &words);
    std::fs::create_dir(bench.at("empty")).unwrap();
    let words = ["no picture has a label", "empty/a.png"];
    refused(&eval("images", "empty"), USAGE, &words);
    // Pictures are no labels.
    let words = ["images/a.png", "colours", "8 bits"];
    refused(&eval("images", "images"), USAGE, &words);
    refused(&bench.eval(&[]), USAGE, &["--labels"]);
    let args = ["--against", "rgb.toml", "--min-miou", "0.5"];
    refused(&bench.eval(&args), USAGE, &["--labels"]);
    let args = [
        "eval",
        "none.onnx",
        "--images",
        "images",
        "--labels",
        "labels",
    ];
    refused(&bench.atrous(&args), MODEL, &["none.onnx"]);
    bench.refused(&["-m", "rgb.toml"], USAGE, &["--model"]);
}

#[test]
fn labels_that_are_none() {
    let bench = Bench::new();
    bench.pair("a");
    let write = |label: ImageBuffer<Luma<u16>, Vec<u16>>| {
        label.save(bench.at("labels/a.png")).unwrap();
    };
    write(ImageBuffer::new(SIDE, SIDE));
    bench.refused(&[], USAGE, &["labels/a.png", "16 bits"]);
    GrayImage::new(SIDE, SIDE + 1)
        .save(bench.at("labels/a.png"))
        .unwrap();
    bench.refused(&[], USAGE, &["labels/a.png", "8x9", "8x8", "nearest"]);
    std::fs::write(bench.at("labels/a.png"), "text").unwrap();
    bench.refused(&[], USAGE, &["labels/a.png", "no PNG"]);
}

#[test]
fn a_palette_says_nothing_about_the_classes() {
    let bench = Bench::new();
    bench.pair("a");
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIDE, SIDE);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_palette(vec![77; 12]);
    let mut writer = encoder.write_header().unwrap();
    // A row of 0 0 0 0 0 1 1 1.
    writer
        .write_image_data(&[0b0000_0000, 0b0001_0101].repeat(8))
        .unwrap();
    writer.finish().unwrap();
    std::fs::write(bench.at("labels/a.png"), bytes).unwrap();
    near(&bench.json(&[])["miou"], 0.775);
}

#[test]
fn what_cannot_be_read_is_named_and_counted_up_to_a_tenth() {
    let bench = Bench::new();
    for i in 0..19 {
        bench.pair(&format!("{i:02}"));
    }
    let whole = std::fs::read(bench.at("images/03.png")).unwrap();
    std::fs::write(bench.at("images/03.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::remove_file(bench.at("labels/05.png")).unwrap();
    let output = bench.eval(&["--labels", "labels", "--json"]);
    let found = parsed(&output);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("images/03.png"), "{stderr}");
    assert!(stderr.contains("no label 'labels/05.png'"), "{stderr}");
    assert_eq!(found["images"], 17);
    assert_eq!(found["skipped"], 2);
    assert_eq!(
        (&found["unreadable"], &found["without_label"]),
        (&1.into(), &1.into())
    );
    near(&found["miou"], 0.775);

    // A damaged label is as bad as a damaged picture.
    let whole = std::fs::read(bench.at("labels/07.png")).unwrap();
    std::fs::write(bench.at("labels/07.png"), &whole[..whole.len() - 30]).unwrap();
    bench.refused(
        &["--csv", "a.csv"],
        RUNTIME,
        &["labels/07.png", "2 of 19", "one in 10"],
    );
    assert!(!bench.files(".").iter().any(|name| name.contains("csv")));
    // The first three are whole.
    assert_eq!(bench.json(&["--limit", "3"])["images"], 3);
    // One of four is more than a tenth.
    bench.refused(&["--limit", "4"], RUNTIME, &["images/03.png", "1 of 4"]);
}

#[test]
fn outputs_that_cannot_be() {
    let bench = Bench::new();
    bench.pair("a");
    bench.refused(
        &["--csv", "nowhere/a.csv"],
        RUNTIME,
        &["--csv nowhere/a.csv"],
    );
    for place in ["images", "/dev/null", "/dev/stdout"] {
        bench.refused(&["--csv", place], USAGE, &[place, "no regular file"]);
    }
    bench.refused(
        &["--worst", "images"],
        USAGE,
        &["--worst images", "not empty"],
    );
    bench.refused(&["--worst", "rgb.toml"], RUNTIME, &["--worst rgb.toml"]);
    assert_eq!(bench.files("images"), ["a.png"]);
    for (flag, value) in [
        ("--boundary", "-1"),
        ("--boundary", "nan"),
        ("--boundary", "inf"),
        ("--min-miou", "69"),
        ("--ignore", "256"),
        ("--limit", "0"),
        ("--threads", "0"),
        ("--names", "a,a"),
    ] {
        bench.refused(&[&format!("{flag}={value}")], USAGE, &[flag]);
    }
}

#[test]
fn a_model_that_is_not_good_enough_is_told_by_the_exit_code() {
    let bench = Bench::new();
    bench.pair("a");
    assert!(
        bench
            .eval(&["--labels", "labels", "--min-miou", "0.775"])
            .status
            .success()
    );
    let output = bench.eval(&["--labels", "labels", "--json", "--min-miou", "0.78"]);
    assert_eq!(output.status.code(), Some(REQUIREMENT));
    // The numbers are told all the same.
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    near(&found["miou"], 0.775);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("0.7750") && stderr.contains("--min-miou 0.78"),
        "{stderr}"
    );
    bench.refused(&["--require", "int8"], REQUIREMENT, &["int8"]);
}

#[test]
fn the_model_may_come_from_the_environment_or_the_run_config() {
    let bench = Bench::new();
    bench.pair("a");
    std::fs::write(bench.at("atrous.toml"), "model = \"rgb.toml\"\n").unwrap();
    let args = ["eval", "--images", "images", "--labels", "labels", "--json"];
    assert_eq!(parsed(&bench.atrous(&args))["model"], "rgb");
}

#[test]
fn a_signal_ends_an_evaluation_and_nothing_is_left() {
    use rustix::process::{Pid, Signal, kill_process};

    let bench = Bench::new();
    // Large enough, and so many, that it does not end by itself before the signal comes.
    let side = 700;
    RgbImage::from_pixel(side, side, Rgb(RED))
        .save(bench.at("images/000.png"))
        .unwrap();
    GrayImage::new(side, side)
        .save(bench.at("labels/000.png"))
        .unwrap();
    for folder in ["images", "labels"] {
        for i in 1..400 {
            let copy = bench.at(&format!("{folder}/{i:03}.png"));
            std::fs::hard_link(bench.at(&format!("{folder}/000.png")), copy).unwrap();
        }
    }
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("atrous"))
        .args(["eval", "-m", "rgb.toml", "--images", "images"])
        .args(["--labels", "labels", "--csv", "a.csv", "--worst", "worst"])
        .current_dir(bench.folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    // Once a picture is drawn the evaluation is well on its way.
    while !bench.at("worst").exists() || bench.files("worst").is_empty() {
        assert!(std::time::Instant::now() < deadline, "nothing is drawn");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(RUNTIME), "{said}");
    assert!(
        said.contains("stopped after") && said.contains("of 400"),
        "{said}"
    );
    let files = bench.files(".");
    assert_eq!(files, ["images", "labels", "rgb.onnx", "rgb.toml"]);
}

#[test]
fn a_mask_is_refined_as_manifest_and_flags_say() {
    let bench = Bench::new();
    let crf = "[crf]\ntheta_beta = 200.0\niterations = 3\n";
    bench.model("refined", [0, 1, 2], ["Red", "Green", "Blue"], crf);
    // One pixel is a little more blue than red.
    let odd = |x, y| (x, y) == (3, 4);
    let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| {
        Rgb(if odd(x, y) {
            [190, 40, 191]
        } else {
            [200, 40, 60]
        })
    });
    picture.save(bench.at("images/a.png")).unwrap();
    bench.label("a.png", [0; 8]);
    let eval = |model: &str, flags: &[&str]| {
        let args = ["eval", model, "--images", "images", "--labels", "labels"];
        parsed(&bench.atrous(&[&args[..], &["--json"], flags].concat()))
    };
    let plain = eval("refined.toml", &[]);
    near(&plain["pixel_accuracy"], 63.0 / 64.0);
    assert!(plain["crf"].is_null(), "{plain}");
    let refined = eval("refined.toml", &["--crf"]);
    near(&refined["pixel_accuracy"], 1.0);
    assert_eq!(refined["crf"]["theta_beta"], 200.0);
    assert_eq!(refined["crf"]["iterations"], 3);
    let short = eval("refined.toml", &["--crf", "--crf-iterations", "0"]);
    near(&short["pixel_accuracy"], 63.0 / 64.0);
    assert_eq!(short["crf"]["iterations"], 0);
    // Of another model the defaults.
    let other = eval("rgb.toml", &["--crf", "--against", "refined.toml"]);
    assert_eq!(other["crf"]["theta_beta"], 13.0);
    assert_eq!(other["against"]["crf"]["theta_beta"], 200.0);

    bench.model(
        "wrong",
        [0, 1, 2],
        ["Red", "Green", "Blue"],
        "[crf]\ntheta = 1.0\n",
    );
    let args = [
        "eval",
        "wrong.toml",
        "--images",
        "images",
        "--labels",
        "labels",
    ];
    refused(&bench.atrous(&args), MODEL, &["wrong.toml", "theta"]);
}

/// Against counts made here, word for word, of the masks that `run` writes.
#[cfg(feature = "bundled")]
#[test]
fn photographs_are_scored_as_their_masks_say() {
    let camvid = Path::new(CAMVID);
    if !camvid.exists() {
        println!("skipped: {CAMVID} is not beside the repository");
        return;
    }
    const CLASSES: usize = 11;
    let bench = Bench::new();
    let mut names: Vec<_> = std::fs::read_dir(camvid.join("images"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let step = names.len() / 3;
    for path in names.iter().step_by(step).take(3) {
        let name = path.file_name().unwrap();
        std::fs::copy(path, bench.at("images").join(name)).unwrap();
        let label = Path::new(name).with_extension("png");
        let from = camvid.join("labels").join(&label);
        std::fs::copy(from, bench.at("labels").join(&label)).unwrap();
    }
    let run = bench.atrous(&[
        "run",
        "images",
        "masks/",
        "-m",
        "road",
        "--visualize",
        "index",
    ]);
    assert!(run.status.success(), "{run:?}");
    let mut counts = [[0u64; CLASSES]; CLASSES];
    for label in bench.files("labels") {
        let open = |path: PathBuf| image::open(path).unwrap().into_luma8().into_raw();
        let mask = label.replace(".png", "_index.png");
        let mask = open(bench.at("masks").join(mask));
        for (truth, mask) in open(bench.at("labels").join(label)).into_iter().zip(mask) {
            if usize::from(truth) < CLASSES {
                counts[usize::from(truth)][usize::from(mask)] += 1;
            }
        }
    }
    let args = ["eval", "road", "--images", "images", "--labels", "labels"];
    let args = [&args[..], &["--ignore", "11", "--json"]].concat();
    let found = parsed(&bench.atrous(&args));
    assert_eq!(found["confusion"], serde_json::json!(counts));
    let mut ious = Vec::new();
    for (class, row) in counts.iter().enumerate() {
        let predicted: u64 = counts.iter().map(|row| row[class]).sum();
        let union = row.iter().sum::<u64>() + predicted - row[class];
        if union > 0 {
            ious.push(row[class] as f64 / union as f64);
        }
    }
    near(&found["miou"], ious.iter().sum::<f64>() / ious.len() as f64);
    assert!(found["mean_boundary_f"].as_f64().unwrap() > 0.3, "{found}");
}
