//! What is made of masks, as a user meets it: tiles, measures, annotations, effects.

use std::path::Path;
use std::process::Output;

use image::{Rgb, RgbImage};
use prost::Message;
use serde_json::Value;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, type_proto,
};

mod command;
mod onnx;

const USAGE: i32 = 2;

/// Runs `atrous run` on top of `args`.
fn run(args: &[&str], folder: &Path) -> Output {
    let mut command = command::atrous();
    command.arg("run").args(args).current_dir(folder);
    command.output().unwrap()
}

#[track_caller]
fn runs(args: &[&str], folder: &Path) {
    let output = run(args, folder);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
}

#[track_caller]
fn refused(args: &[&str], folder: &Path, code: i32, words: &[&str]) {
    let output = run(args, folder);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    for word in words {
        assert!(
            stderr.contains(word),
            "{args:?} should say {word}: {stderr}"
        );
    }
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let spot = (x / 23 + y / 31) % 3 == 0;
        let texture = (x * 7 + y * 13) % 29;
        let base = if spot { 70 } else { 205 };
        Rgb([base + texture as u8, 40 + (x % 97) as u8, base])
    })
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[cfg(feature = "bundled")]
mod tiles {
    use atrous::preprocess::tiles::along;
    use image::{DynamicImage, GrayImage};

    use super::*;

    const RUNTIME: i32 = 1;

    /// Side of the model's input.
    const SIDE: u32 = 385;

    fn index(name: &str, folder: &Path) -> GrayImage {
        let path = folder.join("out").join(format!("{name}_index.png"));
        image::open(path).unwrap().to_luma8()
    }

    #[test]
    fn a_pixel_of_one_tile_has_the_label_that_its_crop_gives_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let whole = picture(770, 500);
        whole.save(at.join("whole.png")).unwrap();
        let rows: Vec<_> = along(500, SIDE, 40, 40).collect();
        let columns: Vec<_> = along(770, SIDE, 40, 40).collect();
        let mut crops = Vec::new();
        for row in &rows {
            for column in &columns {
                let (x, y) = (column.start, row.start);
                let name = format!("crop_{x}_{y}");
                let crop = image::imageops::crop_imm(&whole, x, y, SIDE, SIDE).to_image();
                crop.save(at.join(format!("{name}.png"))).unwrap();
                crops.push((name, column.clone(), row.clone()));
            }
        }
        assert_eq!(crops.len(), 6);
        let common = ["--model", "nuclei", "--visualize", "index"];
        runs(
            &[&["whole.png", "out/", "--tile=40"][..], &common].concat(),
            at,
        );
        runs(&[&["crop_*.png", "out/"][..], &common].concat(), at);
        let tiled = index("whole", at);
        for (name, column, row) in &crops {
            let alone = index(name, at);
            for y in row.own.clone() {
                for x in column.own.clone() {
                    let wanted = alone.get_pixel(x - column.start, y - row.start);
                    assert_eq!(tiled.get_pixel(x, y), wanted, "{name}: {x} {y}");
                }
            }
        }
        // A picture of the model's size has one mask, with tiles and without.
        runs(
            &[&["crop_0_0.png", "tiled/", "--tile"][..], &common].concat(),
            at,
        );
        let tiled = image::open(at.join("tiled/crop_0_0_index.png")).unwrap();
        assert_eq!(tiled.to_luma8(), index("crop_0_0", at));
    }

    #[test]
    fn threads_and_processors_give_the_same_blend() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        picture(700, 450).save(at.join("a.png")).unwrap();
        let common = [
            "a.png",
            "--model",
            "nuclei",
            "--visualize",
            "index",
            "--tile",
        ];
        let mut masks = Vec::new();
        for (place, flags) in [
            ("one/", &["--threads", "1"][..]),
            ("three/", &["--threads", "3"]),
            ("plain/", &["--cpu", "scalar"]),
        ] {
            runs(&[&common[..], &[place], flags].concat(), at);
            masks.push(
                image::open(at.join(place).join("a_index.png"))
                    .unwrap()
                    .to_luma8(),
            );
        }
        assert_eq!(masks[0], masks[1]);
        assert_eq!(masks[0], masks[2]);
    }

    #[test]
    fn rows_of_every_png_are_what_the_whole_picture_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let rgb = DynamicImage::from(picture(500, 120));
        rgb.to_luma8().save(at.join("grey.png")).unwrap();
        rgb.to_rgba8().save(at.join("alpha.png")).unwrap();
        rgb.to_rgb16().save(at.join("deep.png")).unwrap();
        rgb.to_rgb8().save(at.join("photo.jpg")).unwrap();
        let common = ["*.png", "--model", "nuclei", "--tile"];
        runs(
            &[&common[..], &["rows/", "--visualize", "index"]].concat(),
            at,
        );
        // An overlay needs the picture, which is then decoded whole.
        runs(
            &[&common[..], &["whole/", "--visualize", "index,overlay"]].concat(),
            at,
        );
        for name in ["grey_index.png", "alpha_index.png", "deep_index.png"] {
            let read = |place: &str| image::open(at.join(place).join(name)).unwrap().to_luma8();
            assert_eq!(read("rows"), read("whole"), "{name}");
        }
        assert_eq!(names(&at.join("whole")).len(), 6);
        runs(&["photo.jpg", "jpeg/", "--model", "nuclei", "--tile"], at);
        let overlay = image::open(at.join("jpeg/photo_overlay.png")).unwrap();
        assert_eq!((overlay.width(), overlay.height()), (500, 120));
    }

    #[test]
    fn a_broken_picture_fails_and_the_next_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        picture(450, 400).save(at.join("b.png")).unwrap();
        let bytes = std::fs::read(at.join("b.png")).unwrap();
        std::fs::write(at.join("a.png"), &bytes[..bytes.len() / 2]).unwrap();
        let args = ["?.png", "out/", "--model", "nuclei", "--tile"];
        let index = [&args[..], &["--visualize", "index"]].concat();
        refused(&index, at, RUNTIME, &["1 of 2 pictures", "a: "]);
        assert_eq!(names(&at.join("out")), ["b_index.png"]);
    }

    #[test]
    fn tiles_that_cannot_be_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        picture(9, 9).save(at.join("a.png")).unwrap();
        let with =
            |flags: &[&'static str]| [&["a.png", "null:", "--model", "nuclei"][..], flags].concat();
        refused(&with(&["--tile=193"]), at, USAGE, &["at most 192"]);
        refused(&with(&["--tile=x"]), at, USAGE, &["--tile"]);
        refused(
            &with(&["--tile", "--vote", "3"]),
            at,
            USAGE,
            &["do not vote"],
        );
        runs(&with(&["--tile=192"]), at);
    }
}

/// A float model of 11x6 pixels that sees one pixel at a time: its scores are the picture's
/// colours, or its labels the largest of them.
fn local_model(gives_labels: bool) -> Vec<u8> {
    let sides = [1, 3, 6, 11];
    let mut nodes = vec![onnx::node("Add", &["input", "zero"], "scores")];
    let mut output = onnx::value("scores", &sides);
    if gives_labels {
        let number = |name: &str, i| AttributeProto {
            name: name.into(),
            r#type: 2,
            i,
            ..AttributeProto::default()
        };
        nodes.push(NodeProto {
            attribute: vec![number("axis", 1), number("keepdims", 0)],
            ..onnx::node("ArgMax", &["scores"], "labels")
        });
        output = onnx::value("labels", &[1, 6, 11]);
        if let Some(type_proto::Value::TensorType(tensor)) =
            output.r#type.as_mut().and_then(|t| t.value.as_mut())
        {
            // Whole numbers of 64 bits.
            tensor.elem_type = 7;
        }
    }
    let graph = GraphProto {
        name: "local".into(),
        input: vec![onnx::value("input", &sides)],
        output: vec![output],
        initializer: vec![onnx::floats("zero", &[0.0])],
        node: nodes,
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            version: 17,
            ..OperatorSetIdProto::default()
        }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

#[test]
fn tiles_of_a_model_that_sees_one_pixel_at_a_time_leave_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let whole = picture(61, 37);
    whole.save(at.join("a.png")).unwrap();
    for gives_labels in [false, true] {
        std::fs::write(at.join("local.onnx"), local_model(gives_labels)).unwrap();
        for tile in ["--tile", "--tile=3", "--tile=0"] {
            let args = [
                "a.png",
                "out/",
                "--visualize",
                "index",
                "--model",
                "local.onnx",
            ];
            let output = run(&[&args[..], &[tile]].concat(), at);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{stderr}");
            let told = gives_labels && tile != "--tile=0";
            assert_eq!(stderr.contains("not blended"), told, "{tile}: {stderr}");
            let mask = image::open(at.join("out/a_index.png")).unwrap().to_luma8();
            for (pixel, label) in whole.pixels().zip(mask.pixels()) {
                let most = pixel.0.iter().max();
                let first = pixel.0.iter().position(|value| Some(value) == most);
                assert_eq!(first, Some(usize::from(label.0[0])), "{tile}");
            }
        }
    }
}

#[test]
fn pictures_of_a_single_pixel_have_a_mask() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, width, height) in [("dot", 1, 1), ("thin", 1, 300), ("low", 300, 1)] {
        picture(width, height)
            .save(at.join(format!("{name}.png")))
            .unwrap();
    }
    if cfg!(feature = "bundled") {
        let all = "mask,overlay,index,frame,side";
        runs(
            &["*.png", "out/", "--visualize", all, "--min-area", "9"],
            at,
        );
        assert_eq!(names(&at.join("out")).len(), 15);
    }
}

const SCENE: [&str; 5] = [
    "synthetic://road?size=160x120",
    "--model",
    "truth",
    "-n",
    "2",
];

#[test]
fn every_pixel_is_measured_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let sinks = [
        "measure:out/m.csv?mm_per_pixel=0.5",
        "measure:m.json?neighbours=4",
    ];
    runs(&[&SCENE[..], &sinks].concat(), at);
    let text = std::fs::read_to_string(at.join("out/m.csv")).unwrap();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| columns.iter().position(|c| *c == name).unwrap();
    let mut area = [0u64; 2];
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let frame: usize = fields[column("index")].parse().unwrap();
        let pixels: u64 = fields[column("area_px")].parse().unwrap();
        area[frame] += pixels;
        let mm2: f64 = fields[column("area_mm2")].parse().unwrap();
        assert_eq!(mm2, pixels as f64 / 4.0);
    }
    assert_eq!(area, [160 * 120; 2]);
    let json: Value = serde_json::from_slice(&std::fs::read(at.join("m.json")).unwrap()).unwrap();
    let components = json["pictures"][1]["components"].as_array().unwrap();
    let area = components.iter().map(|c| c["area_px"].as_u64().unwrap());
    assert_eq!(area.sum::<u64>(), 160 * 120);
}

#[test]
fn annotations_cover_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    runs(
        &[&SCENE[..], &["coco:c.json?classes=Road&per=class"]].concat(),
        at,
    );
    let file: Value = serde_json::from_slice(&std::fs::read(at.join("c.json")).unwrap()).unwrap();
    assert_eq!(file["images"].as_array().unwrap().len(), 2);
    let annotations = file["annotations"].as_array().unwrap();
    assert_eq!(annotations.len(), 2);
    let road = annotations[0]["category_id"].as_u64().unwrap() as usize;
    assert_eq!(file["categories"][road]["name"], "Road");
}

#[test]
fn tables_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (sink, word) in [
        ("measure:m.txt", ".csv"),
        ("measure:m.csv?classes=Unicorn", "no class 'Unicorn'"),
        ("coco:c.json?classes=Unicorn", "no class 'Unicorn'"),
        ("coco:", ".json"),
    ] {
        refused(&[&SCENE[..], &[sink]].concat(), at, USAGE, &[word]);
    }
    let twice = ["measure:a.json", "coco:a.json"];
    refused(&[&SCENE[..], &twice].concat(), at, USAGE, &["its own"]);
    assert_eq!(names(at), Vec::<String>::new());
}

#[test]
fn effects_are_drawn_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    picture(31, 17).save(at.join("back.png")).unwrap();
    for kind in ["cutout", "blur", "grayscale", "replace=back.png"] {
        let place = format!("{kind}/").replace('=', "_");
        let flags = ["--effect", kind, "--effect-classes", "!Road", &place];
        runs(&[&SCENE[..], &flags].concat(), at);
        let image = image::open(at.join(&place).join("frame_000001_effect.png")).unwrap();
        assert_eq!((image.width(), image.height()), (160, 120));
        let alpha = image.to_rgba8().pixels().map(|p| p.0[3]).min();
        assert_eq!(alpha == Some(0), kind == "cutout", "{kind}");
        let again = format!("again_{place}");
        let flags = ["--effect", kind, "--effect-classes", "!Road", &again];
        runs(&[&SCENE[..], &flags].concat(), at);
        let bytes = |place: &str| std::fs::read(at.join(place).join("frame_000001_effect.png"));
        assert_eq!(bytes(&place).unwrap(), bytes(&again).unwrap(), "{kind}");
    }
}

#[test]
fn effects_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("text.png"), "no picture").unwrap();
    for (flags, word) in [
        (&["--effect", "blur"][..], "--effect-classes"),
        (
            &["--effect", "melt", "--effect-classes", "Road"],
            "grayscale",
        ),
        (
            &["--effect", "blur", "--effect-classes", "Unicorn"],
            "no class 'Unicorn'",
        ),
        (
            &["--effect", "blur", "--effect-classes", "Road,"],
            "empty class name",
        ),
        (
            &["--effect", "replace=no.png", "--effect-classes", "Road"],
            "no.png",
        ),
        (
            &["--effect", "replace=text.png", "--effect-classes", "Road"],
            "text.png",
        ),
        (&["--visualize", "effect"], "no effect is chosen"),
        (
            &["a_%d.jpg", "--effect", "cutout", "--effect-classes", "Road"],
            "alpha",
        ),
    ] {
        refused(&[&SCENE[..], flags, &["out/"]].concat(), at, USAGE, &[word]);
    }
    assert_eq!(names(at), ["text.png"]);
}
