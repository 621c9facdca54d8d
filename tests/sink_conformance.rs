//! What every sink has to do, run over all of them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use atrous::classes::{Class, Classes};
use atrous::mask::Mask;
use atrous::postprocess::effect::Change;
#[cfg(target_os = "linux")]
use atrous::sink::display::{DisplaySink, Geometry, PixelFormat, fbdev::Framebuffer};
use atrous::sink::json::JsonSink;
use atrous::sink::null::NullSink;
use atrous::sink::terminal::{ColourMode, TerminalSink};
use atrous::sink::{
    ClassNames, Effect, Outcome, RuleState, Sink, SinkError, SinkOptions, Visual, open,
};

fn classes() -> Classes {
    let class = |name: &str, colour| Class {
        name: name.into(),
        colour,
    };
    Classes::new(vec![
        class("background", [0, 0, 0]),
        class("road", [128, 64, 128]),
    ])
}

fn outcome(index: u64, width: u32, height: u32) -> Outcome {
    let pixels = (width * height) as usize;
    let labels: Vec<u8> = (0..pixels).map(|i| (i % 2) as u8).collect();
    let mask = Mask {
        width,
        height,
        labels,
    };
    Outcome {
        index,
        sequence: index * 2,
        width,
        height,
        rgb: (0..pixels * 3).map(|i| (i * 7) as u8).collect(),
        truth: Some(mask.clone()),
        mask,
        coverage: vec![0.5, 0.5],
        rules: vec![RuleState {
            name: "near".into(),
            fraction: 0.5,
            active: true,
        }],
        captured: Duration::from_millis(10 * index),
        finished: Duration::from_millis(10 * index + 5),
        ..Outcome::default()
    }
}

fn all_visuals() -> SinkOptions {
    SinkOptions {
        visualize: Visual::ALL.to_vec(),
        effect: Some(Effect {
            change: Change::Cutout,
            kept: ClassNames::parse("road").unwrap(),
        }),
        ..SinkOptions::default()
    }
}

fn jpeg_visuals() -> SinkOptions {
    SinkOptions {
        visualize: vec![Visual::Side, Visual::Truth],
        ..SinkOptions::default()
    }
}

fn terminal(live: bool, mode: ColourMode) -> TerminalSink<io::Sink> {
    TerminalSink::new(io::sink(), |_| Some((60, 20)), live, mode, 0.5)
}

/// A display whose memory is a file, with rows that are farther apart than they are long.
#[cfg(target_os = "linux")]
fn display(folder: &Path, format: PixelFormat) -> Box<dyn Sink> {
    let path = folder.join(format!("{format:?}"));
    let geometry = Geometry {
        width: 160,
        height: 120,
        stride: 160 * format.bytes() + 12,
        format,
    };
    fs::write(&path, vec![0; geometry.length().unwrap()]).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(path);
    let screen = Framebuffer::new(file.unwrap(), "a file", geometry, 0).unwrap();
    Box::new(DisplaySink::new(Box::new(screen), &all_visuals()))
}

/// Every sink that takes more than one result, by name.
fn sinks(folder: &Path) -> Vec<(&'static str, Box<dyn Sink>)> {
    let path = |name: &str| folder.join(name).display().to_string();
    let open = |uri: &str, options: &SinkOptions| open(uri, options).unwrap();
    vec![
        #[cfg(target_os = "linux")]
        ("display, 32 bits", display(folder, PixelFormat::Xrgb8888)),
        #[cfg(target_os = "linux")]
        ("display, 24 bits", display(folder, PixelFormat::Rgb888)),
        #[cfg(target_os = "linux")]
        ("display, 16 bits", display(folder, PixelFormat::Rgb565)),
        ("null", Box::new(NullSink)),
        ("json", Box::new(JsonSink::new(io::sink(), "a buffer"))),
        ("terminal, true", Box::new(terminal(true, ColourMode::True))),
        (
            "terminal, palette",
            Box::new(terminal(true, ColourMode::Palette)),
        ),
        (
            "terminal, letters",
            Box::new(terminal(true, ColourMode::Letters)),
        ),
        (
            "terminal, away",
            Box::new(terminal(false, ColourMode::Letters)),
        ),
        ("folder", open(&path("folder/"), &all_visuals())),
        (
            "numbered png",
            open(&path("png/a_%05d.png"), &all_visuals()),
        ),
        (
            "csv",
            open(&format!("measure:{}", path("m.csv")), &all_visuals()),
        ),
        (
            "table",
            open(&format!("measure:{}", path("m.json")), &all_visuals()),
        ),
        (
            "coco",
            open(&format!("coco:{}", path("coco.json")), &all_visuals()),
        ),
        (
            "polygons",
            open(
                &format!("coco:{}?segmentation=polygon", path("p.json")),
                &all_visuals(),
            ),
        ),
        (
            "numbered jpeg",
            open(&path("jpeg/a_%d.jpg"), &jpeg_visuals()),
        ),
    ]
}

#[test]
fn every_size_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    for (name, mut sink) in sinks(folder.path()) {
        for (index, (width, height)) in
            [(1, 1), (1, 97), (97, 1), (33, 17), (641, 481), (1920, 1080)]
                .into_iter()
                .enumerate()
        {
            sink.consume(&outcome(index as u64, width, height), &classes())
                .unwrap_or_else(|error| panic!("{name}, {width}x{height}: {error}"));
        }
        sink.finish().unwrap();
    }
}

#[test]
fn labels_and_truth_beyond_the_classes_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    for (name, mut sink) in sinks(folder.path()) {
        let mut odd = outcome(0, 5, 3);
        odd.mask.labels.fill(250);
        odd.truth.as_mut().unwrap().labels.fill(255);
        odd.coverage = vec![f32::NAN; 300];
        for classes in [classes(), Classes::default()] {
            let result = sink.consume(&odd, &classes);
            assert_eq!(result, Ok(()), "{name}");
            odd.index += 1;
        }
    }
}

#[test]
fn finish_may_come_twice_or_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for (name, mut sink) in sinks(folder.path()) {
        assert_eq!(sink.finish(), Ok(()), "{name}");
        sink.consume(&outcome(0, 4, 4), &classes()).unwrap();
        assert_eq!(sink.finish(), Ok(()), "{name}");
        assert_eq!(sink.finish(), Ok(()), "{name}");
    }
}

#[test]
fn files_and_json_want_every_result_and_displays_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    for (name, sink) in sinks(folder.path()) {
        let newest_only =
            name == "null" || name.starts_with("terminal") || name.starts_with("display");
        assert_eq!(sink.wants_every_result(), !newest_only, "{name}");
    }
}

#[test]
fn an_inconsistent_result_is_refused_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    for (name, mut sink) in sinks(folder.path()) {
        let good = outcome(3, 4, 4);
        for bad in [
            Outcome::default(),
            Outcome {
                rgb: vec![0; 5],
                ..good.clone()
            },
            Outcome {
                mask: Mask::new(3, 4),
                ..good.clone()
            },
            Outcome {
                truth: Some(Mask::new(9, 9)),
                ..good.clone()
            },
            Outcome {
                width: u32::MAX,
                height: u32::MAX,
                ..good.clone()
            },
        ] {
            // Those that look at pixels must refuse; none may panic.
            let result = sink.consume(&bad, &classes());
            let picture_alone = bad.rgb.len() == 5;
            let looks =
                name != "null" && name != "json" && (sink.wants_picture() || !picture_alone);
            assert_eq!(result.is_err(), looks, "{name}: {result:?}");
        }
        assert_eq!(sink.consume(&good, &classes()), Ok(()), "{name} goes on");
    }
}

/// A stream that fails as the test says.
struct Failing(io::ErrorKind);

impl Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn streams_name_themselves_and_tell_a_lost_reader_apart() {
    for (kind, closed) in [
        (io::ErrorKind::BrokenPipe, true),
        (io::ErrorKind::StorageFull, false),
    ] {
        let json = JsonSink::new(Failing(kind), "stdout");
        let terminal = TerminalSink::new(Failing(kind), |_| None, true, ColourMode::True, 0.5);
        let sinks: [(&str, Box<dyn Sink>); 2] =
            [("stdout", Box::new(json)), ("terminal", Box::new(terminal))];
        for (name, mut sink) in sinks {
            let error = sink.consume(&outcome(0, 4, 4), &classes()).unwrap_err();
            assert_eq!(matches!(error, SinkError::Closed { .. }), closed, "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_no_display_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fb0");
    fs::write(&file, "no framebuffer").unwrap();
    for (uri, word) in [
        (format!("fb://{}", file.display()), "no framebuffer"),
        (format!("display://{}", file.display()), "no graphics card"),
        ("fb:///dev/null".to_owned(), "no framebuffer"),
        ("display:///dev/null".to_owned(), "no graphics card"),
        ("fb:///no/such".to_owned(), "there is no /no/such"),
        ("display:///no/such".to_owned(), "there is no /no/such"),
    ] {
        match open(&uri, &SinkOptions::default()) {
            Err(error @ SinkError::Open { .. }) => {
                let text = error.to_string();
                assert!(text.contains(&uri) && text.contains(word), "{text}");
            }
            Err(error) => panic!("{uri}: {error}"),
            Ok(_) => panic!("{uri} was opened"),
        }
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "no framebuffer");
}

#[test]
fn an_unwritable_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for tail in ["", "/out", "/out/a_%d.png", "/a.png"] {
        // An existing file without extension is no folder either.
        let uri = format!("{}{tail}", file.display());
        match open(&uri, &SinkOptions::default()) {
            Err(SinkError::Write { what, .. }) => assert!(what.contains("file"), "{what}"),
            Err(error) => panic!("{uri}: {error}"),
            Ok(_) => panic!("{uri} was opened"),
        }
    }
}

#[test]
fn a_failed_write_names_the_file_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("{}/", folder.path().display());
    let in_the_way = folder.path().join("frame_000000_overlay.png");
    fs::create_dir(&in_the_way).unwrap();
    let mut sink = open(&uri, &SinkOptions::default()).unwrap();
    let error = sink.consume(&outcome(0, 4, 4), &classes()).unwrap_err();
    assert!(
        error.to_string().contains("frame_000000_overlay.png"),
        "{error}"
    );
    assert_eq!(files(folder.path()), ["frame_000000_overlay.png"]);

    fs::remove_dir(&in_the_way).unwrap();
    fs::remove_dir(folder.path()).unwrap();
    let error = sink.consume(&outcome(1, 4, 4), &classes()).unwrap_err();
    assert!(error.to_string().contains("unmounted"), "{error}");
}

#[test]
fn a_folder_gets_every_picture_of_every_result() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(&folder.path().display().to_string(), &all_visuals()).unwrap();
    let mut named = outcome(0, 6, 4);
    for name in ["../street", "../street"] {
        named.name = Some(name.into());
        sink.consume(&named, &classes()).unwrap();
    }
    let without_truth = Outcome {
        truth: None,
        ..outcome(2, 6, 4)
    };
    sink.consume(&without_truth, &classes()).unwrap();
    let mut expected = Vec::new();
    for stem in ["_street", "_street_2", "frame_000002"] {
        for visual in Visual::ALL {
            if stem != "frame_000002" || visual != Visual::Truth {
                expected.push(format!("{stem}_{visual}.png"));
            }
        }
    }
    expected.sort();
    assert_eq!(files(folder.path()), expected);
}

#[test]
fn pictures_read_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| image::open(folder.path().join(name)).unwrap();
    let outcome = outcome(0, 7, 5);
    open(&format!("{}/", folder.path().display()), &all_visuals())
        .unwrap()
        .consume(&outcome, &classes())
        .unwrap();
    let index = read("frame_000000_index.png");
    assert_eq!(index.color(), image::ColorType::L8);
    assert_eq!(index.as_bytes(), outcome.mask.labels);
    assert_eq!(read("frame_000000_frame.png").as_bytes(), outcome.rgb);
    assert_eq!(
        read("frame_000000_mask.png").as_bytes(),
        read("frame_000000_truth.png").as_bytes()
    );
    assert_eq!(
        read("frame_000000_mask.png").as_bytes()[3..6],
        [128, 64, 128]
    );
    let side = read("frame_000000_side.png");
    assert_eq!((side.width(), side.height()), (21, 5));
}

#[test]
fn a_single_file_takes_one_result_and_jpeg_no_indices() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut sink = open(&path("mask.jpg"), &SinkOptions::default()).unwrap();
    sink.consume(&outcome(0, 8, 8), &classes()).unwrap();
    let error = sink
        .consume(&outcome(1, 8, 8), &classes())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("mask.jpg") && error.contains("%05d"),
        "{error}"
    );
    assert_eq!(files(folder.path()), ["mask.jpg"]);

    let refused = |options: SinkOptions| match open(&path("mask.jpg"), &options) {
        Err(error @ SinkError::BadUri { .. }) => error.to_string(),
        other => panic!("{:?}", other.err()),
    };
    assert!(refused(all_visuals()).contains(".png"));
    assert!(
        refused(SinkOptions {
            jpeg_quality: 0,
            ..SinkOptions::default()
        })
        .contains("quality")
    );
    assert!(
        refused(SinkOptions {
            visualize: vec![],
            ..SinkOptions::default()
        })
        .contains("overlay")
    );
}

#[test]
fn what_is_there_already_is_replaced_only_where_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let path = |name: &str| at.join(name).display().to_string();
    for name in ["mine.png", "theirs_0.png", "theirs_1.png"] {
        fs::write(at.join(name), "a picture").unwrap();
    }
    let options = SinkOptions {
        keep: [at.join("theirs_1.png")].into(),
        ..SinkOptions::default()
    };
    let refusal = |uri: &str| match open(uri, &options) {
        Err(error @ SinkError::BadUri { .. }) => error.to_string(),
        other => panic!("{:?}", other.err()),
    };
    assert!(refusal(&path("mine.png")).contains("exists already"));
    assert!(refusal(&path("theirs_1.png")).contains("source itself"));

    let mut numbered = open(&path("theirs_%d.png"), &options).unwrap();
    numbered.consume(&outcome(0, 4, 4), &classes()).unwrap();
    let error = numbered.consume(&outcome(1, 4, 4), &classes()).unwrap_err();
    assert!(error.to_string().contains("theirs_1.png"), "{error}");
    assert!(image::open(at.join("theirs_0.png")).is_ok());
    for name in ["mine.png", "theirs_1.png"] {
        assert_eq!(fs::read_to_string(at.join(name)).unwrap(), "a picture");
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
