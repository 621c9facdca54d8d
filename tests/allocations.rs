//! Once a run has settled, no thread of it allocates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use atrous::classes::{Class, Classes};
use atrous::clock;
use atrous::config::CompiledRule;
use atrous::engine::Shape;
use atrous::engine::fake::FakeSegmenter;
use atrous::engine::program::Options;
use atrous::engine::refine::Refiner;
use atrous::frame::{Frame, PixelFormat};
use atrous::gpio::{DryLine, Pin};
use atrous::kernels::cpu::Cpu;
use atrous::mask::Mask;
use atrous::pipeline::{self, Parts};
use atrous::postprocess::crf::CrfParams;
use atrous::postprocess::region::{ClassSet, Region};
use atrous::postprocess::upsample::Upsample;
use atrous::sink::{Outcome, Sink, SinkError};
use atrous::source::{FrameSource, Next, Pace, SourceError, SourceInfo};
use atrous::trigger::{Level, RuleSpec};

/// The allocator that `bench` counts with.
#[path = "../src/cli/allocations.rs"]
mod allocations;

const SIDE: u32 = 64;

/// Results before it counts: every buffer has been used by then.
const WARM: u64 = 100;

/// Results that are counted.
const COUNTED: u64 = 1000;

/// Frames in buffers that are used again, as a camera's are.
struct Source {
    next: u64,
    format: PixelFormat,
}

impl FrameSource for Source {
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
        let bytes = if self.format == PixelFormat::Rgb8 {
            3
        } else {
            2
        };
        (frame.width, frame.height) = (SIDE, SIDE);
        frame.stride = SIDE as usize * bytes;
        frame.format = self.format;
        frame.data.resize(frame.stride * SIDE as usize, 0);
        // Every colour has been there once before it counts.
        frame.data.fill((self.next % WARM) as u8);
        frame.sequence = self.next;
        frame.captured = clock::now();
        let truth = frame.truth.get_or_insert_with(Mask::default);
        truth.resize(SIDE, SIDE);
        truth.labels.fill(0);
        // A speck to be removed.
        truth.labels[5] = 1;
        self.next += 1;
        Ok(Next::Frame)
    }

    fn info(&self) -> SourceInfo {
        SourceInfo {
            description: "endless".into(),
            pace: Pace::OnDemand,
            frames: None,
        }
    }
}

/// Notes the count of allocations at the first and at the last result that count.
struct Watcher(Arc<[AtomicU64; 2]>);

impl Sink for Watcher {
    fn consume(&mut self, outcome: &Outcome, _: &Classes) -> Result<(), SinkError> {
        outcome.check()?;
        for (at, index) in self.0.iter().zip([WARM, WARM + COUNTED]) {
            if outcome.index == index {
                at.store(allocations::count(), Ordering::SeqCst);
            }
        }
        Ok(())
    }

    fn wants_every_result(&self) -> bool {
        true
    }
}

/// Allocations of all threads during [`COUNTED`] results.
fn count(format: PixelFormat, model_side: u32, refining_threads: Option<usize>) -> u64 {
    let shape = Shape {
        width: model_side,
        height: model_side,
        classes: 2,
    };
    let class = |name: &str| Class {
        name: name.into(),
        colour: [0; 3],
    };
    let mut classes = ClassSet::default();
    classes.insert(1);
    let rule = CompiledRule {
        name: "a rule with a name that is not short".into(),
        classes,
        region: Region::whole(),
        spec: RuleSpec {
            on: 0.5,
            off: 0.25,
            dwell: Duration::ZERO,
            active: Level::High,
            safe: Level::Low,
            max_age: Some(Duration::from_secs(10)),
            min_rate: None,
        },
        measure: None,
        line: None,
    };
    let at: Arc<[AtomicU64; 2]> = Arc::default();
    let parts = Parts {
        rules: vec![rule],
        pins: vec![Pin::Dry(DryLine::new("", 0, Level::Low, "", |_| {}))],
        sinks: vec![Box::new(Watcher(Arc::clone(&at)))],
        frames: Some(WARM + COUNTED + 1),
        min_area: 4,
        crf: refining_threads.map(|threads| {
            let cpu = Cpu::detect();
            let (params, upsample) = (CrfParams::default(), Upsample::AlignCorners);
            Refiner::new(params, upsample, 2, Options { cpu, threads }).unwrap()
        }),
        ..Parts::new(
            Box::new(Source { next: 0, format }),
            Box::new(FakeSegmenter::new(shape)),
            Classes::new(vec![class("zero"), class("one")]),
        )
    };
    let stop = Arc::new(AtomicBool::new(false));
    pipeline::run(parts, &stop, &mut |_| {}).unwrap();
    let [from, to] = [0, 1].map(|i: usize| at[i].load(Ordering::SeqCst));
    assert!(from > 0 && to >= from);
    to - from
}

#[test]
fn a_run_that_has_settled_allocates_nothing() {
    for (format, model_side, refining_threads) in [
        (PixelFormat::Rgb8, SIDE, None),
        (PixelFormat::Rgb8, 32, None),
        (PixelFormat::Yuyv, 32, None),
        (PixelFormat::Yuyv, 32, Some(1)),
        (PixelFormat::Yuyv, 32, Some(3)),
    ] {
        let allocated = count(format, model_side, refining_threads);
        assert_eq!(
            allocated, 0,
            "{format:?} into {model_side}x{model_side}, refined by {refining_threads:?}"
        );
    }
}
