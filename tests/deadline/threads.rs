//! The same with threads and on the real clock, in small.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use atrous::classes::{Class, Classes};
use atrous::clock;
use atrous::config::CompiledRule;
use atrous::engine::fake::FakeSegmenter;
use atrous::engine::{EngineError, Segmenter, Shape};
use atrous::frame::{Frame, PixelFormat};
use atrous::gpio::{DryEdge, DryLine, Pin};
use atrous::logits::Logits;
use atrous::mask::Mask;
use atrous::pipeline::{self, Parts, PipelineError};
use atrous::postprocess::region::{ClassSet, Region};
use atrous::sink::{Outcome, Sink, SinkError};
use atrous::source::{FrameSource, Next, Pace, SourceError, SourceInfo};
use atrous::trigger::{Level, RuleSpec};

use super::{Random, ms, seed};

const SIDE: u32 = 4;

/// A result says something for so long.
const MAX_AGE: Duration = ms(250);

/// By how much a loaded machine may be late with a deadline.
const SLACK: Duration = ms(500);

/// What goes wrong in the end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Stop,
    EngineFails,
    EnginePanics,
    SourcePanics,
    SinkPanics,
}

/// What the oracle knows: when pictures were taken of which there is a result, and
/// when the pin changed.
#[derive(Debug, Default)]
struct Record {
    results: Mutex<Vec<Duration>>,
    edges: Mutex<Vec<(Duration, Level)>>,
    done: AtomicU64,
}

/// Pictures with the time they were taken in their bytes.
struct Source {
    random: Random,
    sequence: u64,
    end: End,
    record: Arc<Record>,
    until: u64,
}

impl FrameSource for Source {
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
        thread::sleep(match self.random.below(60) {
            0 => ms(600 + self.random.below(400)),
            _ => ms(2 + self.random.below(8)),
        });
        self.sequence += 1;
        let late = self.record.done.load(Ordering::SeqCst) > self.until;
        assert!(!(self.end == End::SourcePanics && late), "made to");
        if self.random.one_in(20) {
            return Err(SourceError::Corrupt {
                what: format!("frame {}", self.sequence),
                reason: "made so".into(),
            });
        }
        (frame.width, frame.height) = (SIDE, SIDE);
        frame.stride = SIDE as usize * 3;
        frame.format = PixelFormat::Rgb8;
        frame.sequence = self.sequence;
        frame.captured = clock::now();
        frame.data.clear();
        frame.data.resize((SIDE * SIDE * 3) as usize, 0);
        let nanos = frame.captured.as_nanos() as u64;
        frame.data[..8].copy_from_slice(&nanos.to_le_bytes());
        let truth = frame.truth.get_or_insert_with(Mask::default);
        truth.resize(SIDE, SIDE);
        truth.labels.fill(1);
        Ok(Next::Frame)
    }

    fn info(&self) -> SourceInfo {
        SourceInfo {
            description: "troubled".into(),
            pace: Pace::Live,
            frames: None,
        }
    }
}

/// A model that is slow, now and then stuck, and in the end fails.
struct Engine {
    inner: FakeSegmenter,
    random: Random,
    end: End,
    record: Arc<Record>,
    until: u64,
}

impl Segmenter for Engine {
    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
        thread::sleep(match self.random.below(40) {
            0 => ms(700),
            _ => ms(self.random.below(30)),
        });
        if self.record.done.fetch_add(1, Ordering::SeqCst) > self.until {
            assert!(self.end != End::EnginePanics, "made to");
            if self.end == End::EngineFails {
                return Err(EngineError::Run {
                    model: "troubled".into(),
                    reason: "made to".into(),
                });
            }
        }
        let stamp: [u8; 8] = rgb[..8].try_into().unwrap();
        let captured = Duration::from_nanos(u64::from_le_bytes(stamp));
        self.record.results.lock().unwrap().push(captured);
        self.inner.segment(rgb, labels)
    }

    fn logits(&mut self, rgb: &[u8], logits: &mut Logits) -> Result<(), EngineError> {
        self.inner.logits(rgb, logits)
    }

    fn describe(&self) -> String {
        "troubled".into()
    }

    fn hint(&mut self, truth: &Mask) {
        self.inner.hint(truth);
    }
}

/// A sink that is slow and may panic.
struct Slow {
    random: Random,
    end: End,
    record: Arc<Record>,
    until: u64,
}

impl Sink for Slow {
    fn consume(&mut self, _: &Outcome, _: &Classes) -> Result<(), SinkError> {
        thread::sleep(ms(self.random.below(50)));
        let late = self.record.done.load(Ordering::SeqCst) > self.until;
        assert!(!(self.end == End::SinkPanics && late), "made to");
        Ok(())
    }

    fn wants_every_result(&self) -> bool {
        true
    }
}

fn parts(record: &Arc<Record>, end: End, seed: u64, until: u64) -> Parts {
    let shape = Shape {
        width: SIDE,
        height: SIDE,
        classes: 2,
    };
    let class = |name: &str| Class {
        name: name.into(),
        colour: [0; 3],
    };
    let mut classes = ClassSet::default();
    classes.insert(1);
    let rule = CompiledRule {
        name: "one".into(),
        classes,
        region: Region::whole(),
        spec: RuleSpec {
            on: 0.5,
            off: 0.25,
            dwell: ms(0),
            active: Level::High,
            safe: Level::Low,
            max_age: Some(MAX_AGE),
            min_rate: None,
        },
        measure: None,
        line: None,
    };
    let edges = Arc::clone(record);
    let report = move |edge: &DryEdge| {
        let at = clock::now();
        edges.edges.lock().unwrap().push((at, edge.level));
    };
    let record = || Arc::clone(record);
    Parts {
        rules: vec![rule],
        pins: vec![Pin::Dry(DryLine::new("test", 0, Level::Low, "one", report))],
        sinks: vec![Box::new(Slow {
            random: Random(seed ^ 1),
            end,
            record: record(),
            until,
        })],
        ..Parts::new(
            Box::new(Source {
                random: Random(seed),
                sequence: 0,
                end,
                record: record(),
                until,
            }),
            Box::new(Engine {
                inner: FakeSegmenter::new(shape),
                random: Random(!seed),
                end,
                record: record(),
                until,
            }),
            Classes::new(vec![class("zero"), class("one")]),
        )
    }
}

/// Checks every span of time in which the pin was not at its safe level.
fn judge(record: &Record) {
    let results = record.results.lock().unwrap();
    let edges = record.edges.lock().unwrap();
    let ends = edges.iter().skip(1).map(|&(at, _)| at);
    for (&(from, level), until) in edges.iter().zip(ends) {
        if level == Level::Low {
            continue;
        }
        // Nothing may be missing at any time in it: not before the first capture, not
        // between two, not after the last.
        let reach = MAX_AGE + SLACK;
        let mut covered = from;
        for &captured in results.iter().filter(|&&captured| captured < until) {
            if captured <= covered {
                covered = covered.max(captured + reach);
            }
        }
        assert!(covered > from, "high at {from:?} with nothing to say so");
        assert!(
            covered >= until,
            "high from {from:?} to {until:?}, known to {covered:?}"
        );
    }
    assert_eq!(edges.last().unwrap().1, Level::Low, "safe in the end");
}

#[test]
fn threads_with_faults_leave_no_pin_unsafe() {
    let seed = seed();
    println!("ATROUS_SEED={seed}");
    atrous::guard::install();
    let ends = [
        End::Stop,
        End::EngineFails,
        End::EnginePanics,
        End::SourcePanics,
        End::SinkPanics,
    ];
    // At the same time, since they mostly sleep.
    let runs = ends.map(|end| thread::spawn(move || run(end, seed)));
    for run in runs {
        run.join().unwrap();
    }
}

fn run(end: End, seed: u64) {
    const RESULTS: u64 = 120;
    let record = Arc::new(Record::default());
    let stop = Arc::new(AtomicBool::new(false));
    let mut observe = |_: &pipeline::stats::Snapshot| {};
    let watcher = {
        let (record, stop) = (Arc::clone(&record), Arc::clone(&stop));
        thread::spawn(move || {
            while end == End::Stop && record.done.load(Ordering::SeqCst) < RESULTS {
                thread::sleep(ms(5));
            }
            stop.fetch_or(end == End::Stop, Ordering::SeqCst);
        })
    };
    let result = pipeline::run(parts(&record, end, seed, RESULTS), &stop, &mut observe);
    watcher.join().unwrap();
    match (end, result) {
        (End::Stop, Ok(_)) => {}
        (End::EngineFails, Err(PipelineError::Engine(_))) => {}
        (End::EnginePanics, Err(PipelineError::Internal { thread, .. })) => {
            assert_eq!(thread, "inference");
        }
        (End::SourcePanics, Err(PipelineError::Internal { thread, .. })) => {
            assert_eq!(thread, "capture");
        }
        (End::SinkPanics, Err(PipelineError::Internal { thread, .. })) => {
            assert_eq!(thread, "sink");
        }
        (end, result) => panic!("{end:?} gave {result:?}"),
    }
    judge(&record);
    let edges = record.edges.lock().unwrap();
    assert!(
        edges.len() > 5,
        "{end:?}: the pin went safe and came back: {edges:?}"
    );
}
