//! The command line as a user meets it: what it prints, and with which exit code
//! it answers bad input. Nothing here may end in a panic.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

const RUNTIME: i32 = 1;
const USAGE: i32 = 2;
const CAMERA: i32 = 3;
const MODEL: i32 = 4;

fn atrous(args: &[&str], stdin: &[u8], folder: &Path) -> Output {
    let mut command = Command::cargo_bin("atrous").unwrap();
    command
        .args(args)
        .current_dir(folder)
        .write_stdin(stdin.to_vec());
    for name in [
        "ATROUS_SOURCE",
        "ATROUS_MODEL",
        "ATROUS_BOARD",
        "ATROUS_CONFIG",
        "ATROUS_LOG",
    ] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

/// Runs a command that must fail with `code`, say each of `words` on stderr, and
/// print nothing that a program would take for a result.
#[track_caller]
fn refused(args: &[&str], stdin: &[u8], folder: &Path, code: i32, words: &[&str]) {
    let output = atrous(args, stdin, folder);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    for word in words {
        assert!(
            stderr.contains(word),
            "{args:?} should say '{word}': {stderr}"
        );
    }
}

#[track_caller]
fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn frames_and_json_give_that_many_lines() {
    let at = folder();
    let args = [
        "run", "--frames", "30", "--json", "--model", "truth", "null:",
    ];
    let lines = json_lines(&atrous(&args, b"", at.path()));
    assert_eq!(lines.len(), 30);
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(line["index"], i);
        assert_eq!(line["truth"]["pixel_accuracy"], 1.0, "{line}");
        let total: f64 = line["coverage"]
            .as_object()
            .unwrap()
            .values()
            .map(|v| v.as_f64().unwrap())
            .sum();
        assert!((total - 1.0).abs() < 1e-3, "coverage sums to {total}");
    }
}

#[test]
fn sources_that_are_not_there() {
    let at = folder();
    std::fs::create_dir(at.path().join("empty")).unwrap();
    write(at.path(), "empty/notes.txt", "no picture");
    let run = |source: &str, code, words: &[&str]| {
        refused(&["run", source, "null:"], b"", at.path(), code, words);
    };
    run("missing.png", USAGE, &["missing.png"]);
    run("empty", USAGE, &["empty", ".png"]);
    run("none_*.png", USAGE, &["none_*.png"]);
    run("/dev/video9", CAMERA, &["/dev/video9", "atrous devices"]);
    run("rtsp://camera/1", USAGE, &["rtsp", "synthetic"]);
    for size in ["0x0", "0x480", "100000x100000", "640", "axb"] {
        run(&format!("synthetic://road?size={size}"), USAGE, &["size"]);
        run(&format!("v4l2:///dev/video0?size={size}"), USAGE, &["size"]);
    }
    run("synthetic://road?sede=1", USAGE, &["sede"]);
    run("synthetic://moon", USAGE, &["moon"]);
}

#[test]
fn y4m_headers_that_lie() {
    let at = folder();
    let frame = [b"FRAME\n".as_slice(), &[128; 24]].concat();
    for header in [
        "YUV4MPEG2 W0 H4 F25:1\n",
        "YUV4MPEG2 W100000 H100000 F25:1\n",
        "YUV4MPEG2 H4 F25:1\n",
        "YUV4MPEG2 Wx H4 F25:1\n",
        "YUV4MPEG2 W64 H64 F25:1\n",
        "YUV4MPEG2 W4 H4 F25:1 C420p10\n",
    ] {
        let stream = [header.as_bytes(), &frame].concat();
        // No frame gets as far as the model, so any model will do.
        refused(&["run", "-", "null:"], &stream, at.path(), RUNTIME, &[]);
    }
    refused(
        &["run", "-", "null:"],
        b"",
        at.path(),
        RUNTIME,
        &["rpicam-vid"],
    );
    refused(
        &["run", "-", "null:"],
        b"garbage that is no video",
        at.path(),
        RUNTIME,
        &["Y4M"],
    );
}

#[test]
fn models_that_are_none() {
    let at = folder();
    write(at.path(), "text.onnx", "this is a text file\n".repeat(50));
    let inspect = |model: &str, words: &[&str]| {
        refused(&["inspect", model], b"", at.path(), MODEL, words);
        refused(
            &["run", "synthetic://road", "null:", "--model", model],
            b"",
            at.path(),
            MODEL,
            words,
        );
    };
    inspect("missing.onnx", &["missing.onnx"]);
    inspect("text.onnx", &["text.onnx"]);
}

#[test]
fn rules_that_cannot_work() {
    let at = folder();
    let good = "[[rule]]\nname = \"stop\"\nclasses = [\"Car\"]\non = 0.2\noff = 0.1\n\
                region = [[0.1, 0.5], [0.9, 0.5], [0.5, 1.0]]\n";
    let run = |text: &str, words: &[&str]| {
        write(at.path(), "c.toml", text);
        let args = [
            "run", "--config", "c.toml", "--model", "truth", "-n", "1", "null:",
        ];
        refused(&args, b"", at.path(), USAGE, words);
    };
    run(
        &good.replace("Car", "Tank"),
        &["stop", "Tank", "Pedestrian"],
    );
    run(&good.replace(", [0.5, 1.0]]", "]"), &["stop", "2"]);
    run(
        &good.replace("on = 0.2", "on = 0.05"),
        &["stop", "on", "off"],
    );
    run(&good.replace("0.9, 0.5", "1.9, 0.5"), &["stop", "1.9"]);
    run(&format!("{good}pin = \"GPIO17\"\n"), &["stop", "GPIO17"]);
    run(&format!("{good}colour = 1\n"), &["colour", "line 7"]);
    write(at.path(), "c.toml", good);
    let args = [
        "run", "--config", "c.toml", "--model", "truth", "-n", "2", "--json", "null:",
    ];
    let lines = json_lines(&atrous(&args, b"", at.path()));
    assert_eq!(lines[1]["rules"][0]["name"], "stop");
}

#[test]
fn a_dry_line_tells_its_edges() {
    let at = folder();
    let config = "dry_run_gpio = true\n[[rule]]\nname = \"road\"\nclasses = [\"Road\"]\non = 0.01\n\
                  off = 0.005\nsafe = \"low\"\npin = { chip = \"pinctrl-rp1\", line = 17 }\n";
    write(at.path(), "c.toml", config);
    let args = [
        "run", "--config", "c.toml", "--model", "truth", "-n", "3", "null:",
    ];
    let output = atrous(&args, b"", at.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let edges: Vec<&str> = stderr
        .lines()
        .filter(|l| l.contains("pinctrl-rp1:17"))
        .collect();
    assert_eq!(
        edges.len(),
        3,
        "safe at the start, on, safe at the end: {stderr}"
    );
    assert!(edges[0].contains("low") && edges[1].contains("high") && edges[2].contains("low"));
}

#[test]
fn config_init_writes_what_check_accepts() {
    let at = folder();
    let init = atrous(&["config", "init"], b"", at.path());
    assert!(init.status.success());
    refused(&["config", "init"], b"", at.path(), USAGE, &["exists"]);
    if cfg!(feature = "bundled") {
        let check = atrous(&["config", "check"], b"", at.path());
        assert!(
            check.status.success(),
            "{}",
            String::from_utf8_lossy(&check.stderr)
        );
    }
    let show = atrous(&["config", "show", "--json"], b"", at.path());
    let value: serde_json::Value = serde_json::from_slice(&show.stdout).unwrap();
    assert_eq!(value["alpha"]["origin"], "atrous.toml");
    assert_eq!(value["frames"]["origin"], "default");
}

#[test]
fn outputs_that_cannot_be() {
    let at = folder();
    let run = |sink: &str, code, words: &[&str]| {
        let args = [
            "run",
            "synthetic://road?pace=demand",
            sink,
            "--model",
            "truth",
            "-n",
            "2",
        ];
        refused(&args, b"", at.path(), code, words);
    };
    write(at.path(), "file", "in the way");
    run("file/", RUNTIME, &["file"]);
    run("ftp://host/", USAGE, &["ftp"]);
    run("mask_%d_%d.png", USAGE, &["%"]);
}

#[test]
fn devices_and_doctor_answer_on_any_machine() {
    let at = folder();
    let output = atrous(&["devices", "--json"], b"", at.path());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["cpu"]["cores"].as_u64().unwrap() >= 1, "{value}");
    let output = atrous(&["doctor", "--json"], b"", at.path());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["checks"].as_array().unwrap().len() >= 4, "{value}");
}

#[test]
fn help_names_the_commands_and_exit_codes() {
    let at = folder();
    let text = String::from_utf8(atrous(&["--help"], b"", at.path()).stdout).unwrap();
    for word in [
        "run",
        "inspect",
        "devices",
        "doctor",
        "config",
        "Exit codes",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(atrous(&["fly"], b"", at.path()).status.code(), Some(USAGE));
}

#[cfg(feature = "bundled")]
mod with_the_built_in_model {
    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x * y) as u8]))
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture(48, 32).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn road_onnx() -> Vec<u8> {
        std::fs::read(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/models/road/road.onnx"
        ))
        .unwrap()
    }

    fn road_manifest() -> String {
        std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/models/road/model.toml"
        ))
        .unwrap()
    }

    #[test]
    fn the_built_in_model_segments_the_built_in_scene() {
        let at = folder();
        let lines = json_lines(&atrous(
            &["run", "--frames", "3", "--json", "null:"],
            b"",
            at.path(),
        ));
        assert_eq!(lines.len(), 3);
        for line in &lines {
            assert!(
                line["truth"]["pixel_accuracy"].as_f64().unwrap() > 0.6,
                "{line}"
            );
        }
    }

    #[test]
    fn a_picture_becomes_a_mask_of_its_own_size() {
        let at = folder();
        picture(97, 61).save(at.path().join("photo.png")).unwrap();
        let output = atrous(
            &["run", "photo.png", "out/", "--visualize", "mask,index"],
            b"",
            at.path(),
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let index = image::open(at.path().join("out/photo_index.png")).unwrap();
        assert_eq!((index.width(), index.height()), (97, 61));
        assert!(index.as_luma8().unwrap().pixels().all(|p| p.0[0] < 11));
        assert!(at.path().join("out/photo_mask.png").exists());
        assert_eq!(std::fs::read_dir(at.path().join("out")).unwrap().count(), 2);
    }

    #[test]
    fn broken_pictures() {
        let at = folder();
        for (name, format) in [
            ("cut.png", ImageFormat::Png),
            ("cut.jpg", ImageFormat::Jpeg),
        ] {
            let bytes = encoded(format);
            for keep in [bytes.len() / 2, bytes.len() - 20, 3, 0] {
                write(at.path(), name, &bytes[..keep]);
                refused(&["run", name, "null:"], b"", at.path(), RUNTIME, &[name]);
            }
        }
        write(at.path(), "text.png", "this is not a picture");
        refused(
            &["run", "text.png", "null:"],
            b"",
            at.path(),
            RUNTIME,
            &["text.png"],
        );
    }

    #[test]
    fn a_bad_picture_in_a_folder_is_named_and_the_rest_is_done() {
        let at = folder();
        std::fs::create_dir(at.path().join("in")).unwrap();
        let good = encoded(ImageFormat::Png);
        write(at.path(), "in/a.png", &good);
        write(at.path(), "in/b.png", &good[..good.len() / 2]);
        write(at.path(), "in/c.png", &good);
        let args = ["run", "in", "out/", "--visualize", "index"];
        refused(&args, b"", at.path(), RUNTIME, &["b.png", "1 of 3"]);
        assert!(at.path().join("out/a_index.png").exists());
        assert!(at.path().join("out/c_index.png").exists());
        assert_eq!(std::fs::read_dir(at.path().join("out")).unwrap().count(), 2);
    }

    #[test]
    fn an_mjpeg_stream_goes_on_after_a_broken_frame() {
        let at = folder();
        let jpeg = encoded(ImageFormat::Jpeg);
        let cut = &jpeg[..jpeg.len() * 2 / 3];
        let stream = [&jpeg, cut, &jpeg].concat();
        let lines = json_lines(&atrous(
            &["run", "-", "null:", "--json"],
            &stream,
            at.path(),
        ));
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["frames"]["bad"], 1, "{}", lines[1]);
    }

    #[test]
    fn models_that_do_not_match_their_manifest() {
        let at = folder();
        let onnx = road_onnx();
        let manifest = road_manifest();
        let inspect = |model: &str, words: &[&str]| {
            refused(&["inspect", model], b"", at.path(), MODEL, words);
        };

        write(at.path(), "half.onnx", &onnx[..onnx.len() / 2]);
        inspect("half.onnx", &["half.onnx", "part"]);

        write(at.path(), "road.onnx", &onnx);
        write(at.path(), "model.toml", &manifest);
        let output = atrous(&["inspect", "model.toml"], b"", at.path());
        assert!(output.status.success());

        write(
            at.path(),
            "model.toml",
            manifest.replacen("format = 1", "format = 1\ncolour = 2", 1),
        );
        inspect("model.toml", &["model.toml", "colour", "line 2"]);

        let sha = manifest.lines().find(|l| l.starts_with("sha256")).unwrap();
        let wrong = format!("sha256 = \"{}\"", "0".repeat(64));
        write(at.path(), "model.toml", manifest.replace(sha, &wrong));
        inspect("model.toml", &["road.onnx", "SHA-256"]);

        write(
            at.path(),
            "model.toml",
            manifest.replacen("name = \"Sky\"", "name = \"Road\"", 1),
        );
        inspect("model.toml", &["Road", "twice"]);

        write(
            at.path(),
            "model.toml",
            manifest.replacen("height = 361", "height = 353", 1),
        );
        let output = atrous(&["inspect", "model.toml"], b"", at.path());
        assert_eq!(
            output.status.code(),
            Some(MODEL),
            "the graph's own sizes are fixed"
        );
    }
}
