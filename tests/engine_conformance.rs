//! What every segmenter must do, run over each one that this machine has.

use std::path::Path;

use atrous::engine::fake::FakeSegmenter;
use atrous::engine::program::ProgramSegmenter;
use atrous::engine::scores::Scores;
use atrous::engine::tract::TractSegmenter;
use atrous::engine::{EngineError, Segmenter, Shape};
use atrous::logits::Logits;
use atrous::mask::Mask;
use atrous::model::artifact::Artifact;
use atrous::model::{Model, bundled};

/// Models for development that are not part of the repository; cargo runs tests in
/// the package's folder.
const SHARED: &str = "../shared/models";

/// The float form of the built-in road model.
const ROAD: &str = "models/road";

fn segmenters() -> Vec<(String, Box<dyn Segmenter>)> {
    let shape = Shape {
        width: 9,
        height: 5,
        classes: 3,
    };
    let mut all: Vec<(String, Box<dyn Segmenter>)> =
        vec![("fake".into(), Box::new(FakeSegmenter::new(shape)))];
    let float = TractSegmenter::new(&Model::open(ROAD).unwrap()).unwrap();
    all.push(("road in tract".into(), Box::new(float)));
    for name in bundled::names() {
        let Artifact {
            manifest, program, ..
        } = bundled::find(name).unwrap().unwrap();
        let segmenter = ProgramSegmenter::new(&manifest, &program);
        all.push((name.to_owned(), Box::new(segmenter)));
    }
    all
}

fn picture(shape: Shape) -> Vec<u8> {
    let size = shape.width as usize * shape.height as usize * 3;
    (0..size).map(|i| (i * i / 7 + i / 11) as u8).collect()
}

#[test]
fn a_picture_of_the_wrong_size_is_refused_and_nothing_is_written() {
    for (name, mut segmenter) in segmenters() {
        let rgb = picture(segmenter.shape());
        for length in [0, 1, rgb.len() - 1] {
            let mut labels = Mask {
                width: 2,
                height: 1,
                labels: vec![7, 9],
            };
            let before = labels.clone();
            let error = segmenter.segment(&rgb[..length], &mut labels).unwrap_err();
            let expected = EngineError::Input {
                expected: rgb.len(),
                got: length,
            };
            assert_eq!(error, expected, "{name}");
            assert_eq!(labels, before, "{name}");
            assert!(
                segmenter
                    .logits(&rgb[..length], &mut Logits::default())
                    .is_err()
            );
        }
    }
}

#[test]
fn labels_have_the_models_size_are_classes_and_repeat() {
    for (name, mut segmenter) in segmenters() {
        let shape = segmenter.shape();
        let rgb = picture(shape);
        let (mut first, mut second) = (Mask::default(), Mask::new(1000, 3));
        segmenter.segment(&rgb, &mut first).unwrap();
        segmenter.segment(&rgb, &mut second).unwrap();
        assert_eq!((first.width, first.height), (shape.width, shape.height));
        assert!(first.labels.iter().all(|&l| usize::from(l) < shape.classes));
        assert_eq!(first, second, "{name}: the same picture, the same mask");
        assert!(!segmenter.describe().is_empty());
    }
}

#[test]
fn labels_are_the_argmax_of_the_logits() {
    use atrous::postprocess::upsample::UpsampleArgmax;

    let model = Model::open(ROAD).unwrap();
    let mut segmenter = TractSegmenter::new(&model).unwrap();
    let shape = segmenter.shape();
    let rgb = picture(shape);
    let (mut labels, mut logits) = (Mask::default(), Logits::default());
    segmenter.segment(&rgb, &mut labels).unwrap();
    segmenter.logits(&rgb, &mut logits).unwrap();
    assert_eq!(logits.classes, shape.classes);
    let cells = logits.width as usize * logits.height as usize;
    assert_eq!(logits.values.len(), cells * shape.classes);
    let mut plan = UpsampleArgmax::new(
        model.manifest.output.upsample,
        (logits.width, logits.height),
        shape.classes,
        (shape.width, shape.height),
    );
    let mut own = Mask::default();
    plan.run(&logits, &mut own);
    assert_eq!(own, labels);
}

#[test]
fn labels_are_those_that_the_scores_behind_them_say() {
    let mut scored = 0;
    for (name, mut segmenter) in segmenters() {
        let shape = segmenter.shape();
        let rgb = picture(shape);
        let (mut alone, mut labels) = (Mask::default(), Mask::default());
        let mut scores = Scores::default();
        segmenter.segment(&rgb, &mut alone).unwrap();
        let result = segmenter.segment_scored(&rgb, &mut labels, &mut scores);
        let Some(classes) = segmenter.scored_classes() else {
            assert!(matches!(result, Err(EngineError::NoLogits { .. })));
            continue;
        };
        result.unwrap();
        scored += 1;
        assert_eq!(labels, alone, "{name}");
        assert_eq!((scores.classes(), classes), (shape.classes, shape.classes));
        let mut row = vec![0.0; shape.width as usize * shape.classes];
        for y in 0..shape.height {
            scores.row(y, 0..shape.width, &mut row);
            for (scores, &label) in row.chunks_exact(shape.classes).zip(labels.row(y)) {
                let most = scores.iter().copied().fold(f32::MIN, f32::max);
                // Several are the largest where codes hide what decided between them.
                assert_eq!(scores[usize::from(label)], most, "{name}: row {y}");
            }
        }
        let short = segmenter.segment_scored(&rgb[1..], &mut labels, &mut scores);
        assert!(matches!(short, Err(EngineError::Input { .. })), "{name}");
        assert_eq!(labels, alone, "{name}");
    }
    // The float model and each that is built in.
    assert_eq!(scored, 1 + bundled::names().count());
}

#[test]
fn quantized_and_float_models_with_labels_inside_run() {
    for file in [
        "deeplabv3_mnv2_pascal_qdq.onnx",
        "deeplabv3_mnv2_pascal_float.onnx",
    ] {
        let path = Path::new(SHARED).join(file);
        if !path.exists() {
            println!("skipped: {file} is not beside the repository");
            continue;
        }
        let model = Model::open(path.to_str().unwrap()).unwrap();
        let mut segmenter = TractSegmenter::new(&model).unwrap();
        let shape = segmenter.shape();
        assert_eq!((shape.width, shape.height), (513, 513));
        let mut labels = Mask::default();
        segmenter.segment(&picture(shape), &mut labels).unwrap();
        assert!(
            labels.labels.iter().all(|&l| l < 21),
            "PASCAL VOC has 21 classes"
        );
        let error = segmenter.logits(&picture(shape), &mut Logits::default());
        assert!(matches!(error, Err(EngineError::NoLogits { .. })));
    }
}

#[test]
fn a_manifest_that_does_not_fit_the_graph_is_refused() {
    let model = Model::open(ROAD).unwrap();
    let refuse = |change: &dyn Fn(&mut atrous::model::Manifest)| {
        let mut wrong = model.clone();
        change(&mut wrong.manifest);
        let error = TractSegmenter::new(&wrong).err().map(|e| e.to_string());
        error.expect("a manifest that does not fit was taken")
    };
    refuse(&|m| m.input.height = 353);
    let fewer = refuse(&|m| {
        let mut classes: Vec<_> = m.classes.iter().cloned().collect();
        classes.pop();
        m.classes = atrous::classes::Classes::new(classes);
    });
    assert!(fewer.contains("11") && fewer.contains("10"), "{fewer}");
}
