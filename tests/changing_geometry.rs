//! A camera that comes back may give frames of another size: everything behind it
//! follows.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use atrous::classes::{Class, Classes};
use atrous::clock;
use atrous::config::CompiledRule;
use atrous::engine::fake::FakeSegmenter;
use atrous::engine::{EngineError, Segmenter, Shape};
use atrous::frame::{Frame, PixelFormat};
use atrous::gpio::{DryLine, Pin};
use atrous::logits::Logits;
use atrous::mask::Mask;
use atrous::pipeline::{self, Parts};
use atrous::postprocess::region::{ClassSet, Region};
use atrous::sink::{Outcome, Sink, SinkError};
use atrous::source::{FrameSource, Next, Pace, SourceError, SourceInfo};
use atrous::trigger::{Level, RuleSpec};

/// Sizes and formats of the frames, in this order.
const FRAMES: [(u32, u32, PixelFormat); 5] = [
    (64, 48, PixelFormat::Grey8),
    (20, 30, PixelFormat::Rgb8),
    (31, 17, PixelFormat::Grey8),
    (128, 96, PixelFormat::Yuyv),
    (64, 48, PixelFormat::Grey8),
];

struct Changing(usize);

impl FrameSource for Changing {
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
        let Some(&(width, height, format)) = FRAMES.get(self.0) else {
            return Ok(Next::End);
        };
        let bytes = match format {
            PixelFormat::Rgb8 => 3,
            PixelFormat::Yuyv => 2,
            _ => 1,
        };
        (frame.width, frame.height, frame.format) = (width, height, format);
        frame.stride = width as usize * bytes;
        frame.data.clear();
        frame.data.resize(frame.stride * height as usize, 90);
        frame.sequence = self.0 as u64;
        frame.captured = clock::now();
        // The left half is class 1.
        let labels = (0..width * height)
            .map(|at| u8::from(at % width < width / 2))
            .collect();
        frame.truth = Some(Mask {
            width,
            height,
            labels,
        });
        self.0 += 1;
        Ok(Next::Frame)
    }

    fn info(&self) -> SourceInfo {
        SourceInfo {
            description: "changing".into(),
            pace: Pace::OnDemand,
            frames: None,
        }
    }
}

/// A model of a fixed size that is told a truth of any.
struct Fixed(FakeSegmenter);

impl Segmenter for Fixed {
    fn shape(&self) -> Shape {
        self.0.shape()
    }

    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
        self.0.segment(rgb, labels)
    }

    fn logits(&mut self, rgb: &[u8], logits: &mut Logits) -> Result<(), EngineError> {
        self.0.logits(rgb, logits)
    }

    fn describe(&self) -> String {
        "fixed".into()
    }

    fn hint(&mut self, truth: &Mask) {
        let Shape { width, height, .. } = self.shape();
        let at = |x: u32, y: u32| {
            let (x, y) = (x * truth.width / width, y * truth.height / height);
            truth.labels[(y * truth.width + x) as usize]
        };
        let labels = (0..width * height)
            .map(|pixel| at(pixel % width, pixel / width))
            .collect();
        self.0.hint(&Mask {
            width,
            height,
            labels,
        });
    }
}

type Seen = Arc<Mutex<Vec<(u32, u32, f32)>>>;

struct Recorder(Seen);

impl Sink for Recorder {
    fn consume(&mut self, outcome: &Outcome, _classes: &Classes) -> Result<(), SinkError> {
        outcome.check()?;
        let fraction = outcome.rules[0].fraction;
        let mut seen = self.0.lock().unwrap();
        seen.push((outcome.width, outcome.height, fraction));
        Ok(())
    }

    fn wants_every_result(&self) -> bool {
        true
    }
}

#[test]
fn masks_and_regions_follow_the_size_of_each_frame() {
    let mut classes = ClassSet::default();
    classes.insert(1);
    // The left half, which class 1 fills.
    let region = Region::polygon(&[[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]).unwrap();
    let spec = RuleSpec {
        on: 0.5,
        off: 0.25,
        dwell: std::time::Duration::ZERO,
        active: Level::High,
        safe: Level::Low,
        max_age: None,
        min_rate: None,
    };
    let shape = Shape {
        width: 32,
        height: 24,
        classes: 2,
    };
    let class = |name: &str| Class {
        name: name.into(),
        colour: [0; 3],
    };
    let seen = Seen::default();
    let parts = Parts {
        rules: vec![CompiledRule {
            name: "left".into(),
            classes,
            region,
            spec,
            measure: None,
            line: None,
        }],
        pins: vec![Pin::Dry(DryLine::new("", 0, Level::Low, "left", |_| {}))],
        sinks: vec![Box::new(Recorder(Arc::clone(&seen)))],
        ..Parts::new(
            Box::new(Changing(0)),
            Box::new(Fixed(FakeSegmenter::new(shape))),
            Classes::new(vec![class("zero"), class("one")]),
        )
    };
    pipeline::run(parts, &Arc::new(AtomicBool::new(false)), &mut |_| {}).unwrap();
    let seen = seen.lock().unwrap();
    let sizes: Vec<(u32, u32)> = seen.iter().map(|&(w, h, _)| (w, h)).collect();
    let expected = FRAMES.map(|(width, height, _)| (width, height));
    assert_eq!(sizes, expected);
    for (width, height, fraction) in seen.iter() {
        assert!(*fraction > 0.9, "{width}x{height}: {fraction}");
    }
}
