//! `atrous quantize` as a user meets it.

use std::path::Path;
use std::process::Output;

use prost::Message;
use tempfile::TempDir;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, OperatorSetIdProto};

use onnx::{floats, node, tensor, value};

mod command;
mod onnx;

const RUNTIME: i32 = 1;
const USAGE: i32 = 2;
const MODEL: i32 = 4;
const WIDTH: u32 = 24;
const HEIGHT: u32 = 16;

/// Two convolutions and three classes.
fn model() -> ModelProto {
    let weights = |name: &str, dims: [i64; 4]| {
        let count = dims.iter().product::<i64>();
        let values = (0..count).map(|i| ((i * 37 % 23) as f32 - 11.0) / 23.0);
        tensor(name, &dims, 1, values.flat_map(f32::to_le_bytes).collect())
    };
    let mut stem = node("Conv", &["input", "w1", "b1"], "stem");
    stem.attribute.push(AttributeProto {
        name: "pads".into(),
        ints: vec![1; 4],
        r#type: 7,
        ..Default::default()
    });
    let (h, w) = (HEIGHT.into(), WIDTH.into());
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            version: 13,
            ..Default::default()
        }],
        graph: Some(GraphProto {
            node: vec![
                stem,
                node("Clip", &["stem", "low", "high"], "x"),
                node("Conv", &["x", "w2"], "logits"),
            ],
            initializer: vec![
                weights("w1", [6, 3, 3, 3]),
                weights("w2", [3, 6, 1, 1]),
                floats("b1", &[0.1, 0.2, -0.1, 0.4, 0.0, 0.3]),
                floats("low", &[0.0]),
                floats("high", &[6.0]),
            ],
            input: vec![value("input", &[1, 3, h, w])],
            output: vec![value("logits", &[1, 3, h, w])],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A folder with a model, `count` pictures, and a place for what is made.
fn folder(count: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("small.onnx"), model().encode_to_vec()).unwrap();
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    for number in 0..count {
        let picture = image::RgbImage::from_fn(40, 30, |x, y| {
            let byte = |k: u32| ((x * k + y * (7 - k) + number * 29) % 256) as u8;
            image::Rgb([byte(1), byte(3), byte(6)])
        });
        picture
            .save(pictures.join(format!("{number}.png")))
            .unwrap();
    }
    folder
}

fn atrous(args: &[&str], folder: &Path) -> Output {
    let mut command = command::atrous();
    command.args(args).current_dir(folder).output().unwrap()
}

const USUAL: [&str; 6] = [
    "quantize",
    "small.onnx",
    "--images",
    "pictures",
    "-o",
    "out/small",
];

/// Runs the usual command, which must fail and leave nothing behind.
#[track_caller]
fn refused(folder: &Path, code: i32, words: &[&str]) {
    let output = atrous(&USUAL, folder);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "'{word}' is missing: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
    let written = std::fs::read_dir(folder.join("out")).map_or(0, Iterator::count);
    assert_eq!(written, 0);
}

#[test]
fn a_float_model_becomes_an_artifact_and_a_graph() {
    let folder = folder(12);
    let mut args = USUAL.to_vec();
    args.extend(["--against", "float", "--json"]);
    let output = atrous(&args, folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["pictures"], 12);
    assert_eq!(report["convolutions"], 2);
    assert!(
        report["against"]["pixels"].as_f64().unwrap() > 0.97,
        "{report}"
    );
    assert!(report["layers"][0]["sqnr_db"].as_f64().unwrap() > 20.0);

    // Both run, whole, in integers, and choose the same classes.
    let masks = ["out/small.onnx", "out/small.atrous"].map(|model| {
        let to = format!("{model}.masks/");
        let args = [
            "run",
            "pictures",
            &to,
            "--model",
            model,
            "--visualize",
            "index",
            "--require",
            "int8",
        ];
        let output = atrous(&args, folder.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let masks =
            (0..12).map(|n| std::fs::read(folder.path().join(format!("{to}{n}_index.png"))));
        masks.map(Result::unwrap).collect::<Vec<_>>()
    });
    assert_eq!(masks[0], masks[1]);

    let again = atrous(
        &[
            "quantize",
            "out/small.onnx",
            "--images",
            "pictures",
            "-o",
            "twice",
        ],
        folder.path(),
    );
    assert_eq!(again.status.code(), Some(MODEL));
    assert!(String::from_utf8_lossy(&again.stderr).contains("quantized already"));
    assert!(!folder.path().join("twice.onnx").exists());
}

#[test]
fn pictures_that_cannot_be_read_are_named_and_counted() {
    let folder = folder(19);
    std::fs::write(folder.path().join("pictures/broken.png"), b"no picture").unwrap();
    let mut args = USUAL.to_vec();
    args.push("--json");
    let output = atrous(&args, folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.contains("broken.png"),
        "{stderr}"
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["pictures"], &report["skipped"]),
        (&19.into(), &1.into())
    );
}

#[test]
fn too_many_unreadable_pictures_are_an_error() {
    let folder = folder(5);
    std::fs::write(folder.path().join("pictures/broken.png"), b"no picture").unwrap();
    refused(folder.path(), RUNTIME, &["1 of 6 pictures", "broken.png"]);
}

#[test]
fn no_pictures_are_an_error() {
    let folder = folder(0);
    refused(folder.path(), USAGE, &["no picture in this folder"]);
    std::fs::remove_dir(folder.path().join("pictures")).unwrap();
    refused(folder.path(), USAGE, &["no such file or folder"]);
}

#[test]
fn a_broken_model_is_an_error() {
    let folder = folder(3);
    let mut broken = model();
    let weights = &mut broken.graph.as_mut().unwrap().initializer[0].raw_data;
    weights[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(folder.path().join("small.onnx"), broken.encode_to_vec()).unwrap();
    refused(folder.path(), MODEL, &["'w1'", "NaN"]);
}

#[test]
fn one_black_picture_is_warned_of() {
    let folder = folder(0);
    let black = image::RgbImage::new(40, 30);
    black
        .save(folder.path().join("pictures/black.png"))
        .unwrap();
    let output = atrous(&USUAL, folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("1 picture of"), "{stderr}");
    assert!(stderr.contains("one and the same value"), "{stderr}");
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let folder = folder(3);
    std::fs::remove_dir(folder.path().join("out")).unwrap();
    refused(folder.path(), USAGE, &["out/small", "no such folder"]);
}

#[test]
fn the_float_model_is_not_written_over() {
    let folder = folder(8);
    let float = std::fs::read(folder.path().join("small.onnx")).unwrap();
    for output in ["small", "small.onnx", "./small.atrous"] {
        let args = [
            "quantize",
            "small.onnx",
            "--images",
            "pictures",
            "-o",
            output,
        ];
        let output = atrous(&args, folder.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(USAGE), "{stderr}");
        assert!(stderr.contains("belongs to the float model"), "{stderr}");
    }
    let after = std::fs::read(folder.path().join("small.onnx")).unwrap();
    assert_eq!(after, float);
    assert!(!folder.path().join("small.atrous").exists());
}

#[test]
fn a_folder_is_no_name_and_files_come_together() {
    let folder = folder(8);
    std::fs::create_dir(folder.path().join("out/small.atrous")).unwrap();
    let args = [
        "quantize",
        "small.onnx",
        "--images",
        "pictures",
        "-o",
        "out/",
    ];
    assert_eq!(atrous(&args, folder.path()).status.code(), Some(USAGE));
    let output = atrous(&USUAL, folder.path());
    assert_eq!(output.status.code(), Some(RUNTIME));
    let left: Vec<_> = std::fs::read_dir(folder.path().join("out"))
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn another_model_to_compare_with_must_be_alike() {
    let folder = folder(8);
    let run = |other: &str| {
        let mut args = USUAL.to_vec();
        args.extend(["--against", other, "--json"]);
        atrous(&args, folder.path())
    };
    let output = run("nothing.onnx");
    assert_eq!(output.status.code(), Some(MODEL));
    assert!(!folder.path().join("out/small.onnx").exists());
    // Itself, by its file, is as good as `float`.
    let output = run("small.onnx");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let pixels = report["against"]["pixels"].as_f64().unwrap();
    assert!(pixels > 0.97, "{report}");
}
