//! How long a result takes to reach its pin: through the mailbox to the trigger thread, past
//! the rules, to the write. Run with `cargo bench --bench latency`; it takes some seconds.
//!
//! Every result moves the line. The pin is a dry one, so the kernel's part of the write is
//! not in it (an ioctl). Once as any program, once with what `[realtime]` asks for, as far
//! as it is granted.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use atrous::classes::{Class, Classes};
use atrous::clock;
use atrous::config::CompiledRule;
use atrous::engine::Shape;
use atrous::engine::fake::FakeSegmenter;
use atrous::frame::{Frame, PixelFormat};
use atrous::gpio::{DryLine, Pin};
use atrous::mask::Mask;
use atrous::pipeline::{self, Parts};
use atrous::postprocess::region::{ClassSet, Region};
use atrous::realtime::{Realtime, Role};
use atrous::source::{FrameSource, Next, Pace, SourceError, SourceInfo};
use atrous::trigger::{Level, RuleSpec};

const RESULTS: u64 = 2000;
const INTERVAL: Duration = Duration::from_millis(3);
const SHAPE: Shape = Shape {
    width: 16,
    height: 16,
    classes: 2,
};

/// Frames at a steady rate, whose true masks are all of one class and all of the other.
struct Flicker(u64);

impl FrameSource for Flicker {
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
        std::thread::sleep(INTERVAL);
        let (width, height) = (SHAPE.width, SHAPE.height);
        (frame.width, frame.height) = (width, height);
        frame.format = PixelFormat::Rgb8;
        frame.stride = width as usize * 3;
        frame.data.clear();
        frame.data.resize((width * height * 3) as usize, 0);
        let truth = frame.truth.get_or_insert_with(Mask::default);
        (truth.width, truth.height) = (width, height);
        truth.labels.clear();
        let label = (self.0 % 2) as u8;
        truth.labels.resize((width * height) as usize, label);
        frame.sequence = self.0;
        frame.captured = clock::now();
        self.0 += 1;
        Ok(Next::Frame)
    }

    fn info(&self) -> SourceInfo {
        SourceInfo {
            description: "flicker".into(),
            pace: Pace::Live,
            frames: None,
        }
    }
}

fn measure(realtime: Realtime) -> String {
    let class = |name: &str| Class {
        name: name.into(),
        colour: [0; 3],
    };
    let mut classes = ClassSet::default();
    classes.insert(1);
    realtime.enter(Role::Other);
    let parts = Parts {
        rules: vec![CompiledRule {
            name: "flicker".into(),
            classes,
            region: Region::whole(),
            measure: None,
            spec: RuleSpec {
                on: 0.5,
                off: 0.5,
                dwell: Duration::ZERO,
                active: Level::High,
                safe: Level::Low,
                max_age: Some(Duration::from_secs(1)),
                min_rate: None,
            },
            line: None,
        }],
        pins: vec![Pin::Dry(DryLine::new("", 0, Level::Low, "", |_| {}))],
        frames: Some(RESULTS),
        realtime,
        ..Parts::new(
            Box::new(Flicker(0)),
            Box::new(FakeSegmenter::new(SHAPE)),
            Classes::new(vec![class("off"), class("on")]),
        )
    };
    let mut write = None;
    let stop = Arc::new(AtomicBool::new(false));
    let counters = pipeline::run(parts, &stop, &mut |snapshot| {
        write = snapshot.run_ages.write;
    });
    match (counters, write) {
        (Ok(counters), Some(p)) => format!(
            "{} results: p50 {:?}  p95 {:?}  p99 {:?}  max {:?}",
            counters.inferred, p.p50, p.p95, p.p99, p.max
        ),
        (Ok(_), None) => "the line never moved".into(),
        (Err(error), _) => error.to_string(),
    }
}

fn main() {
    // cargo asks for tests, too, and there are none.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    println!("from the result to the pin, an edge every {INTERVAL:?}");
    println!("ordinary threads: {}", measure(Realtime::default()));
    let asked = Realtime {
        lock_memory: true,
        priority: Some(40),
        ..Realtime::default()
    };
    let (granted, report) = asked.request();
    for line in &report.refused {
        println!("refused: {line}");
    }
    println!("[realtime]:       {}", measure(granted));
}
