//! The pipeline's promises: counts add up, nothing is lost that must not be, and
//! whatever ends a run leaves the lines safe.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atrous::classes::{Class, Classes};
use atrous::clock;
use atrous::config::CompiledRule;
use atrous::config::rule::ChipLine;
use atrous::engine::fake::FakeSegmenter;
use atrous::engine::{EngineError, Segmenter, Shape};
use atrous::frame::{Frame, PixelFormat};
use atrous::gpio::{DryEdge, DryLine, Pin};
use atrous::logits::Logits;
use atrous::mask::Mask;
use atrous::pipeline::{self, Parts, PipelineError, Reload};
use atrous::postprocess::region::{ClassSet, Region};
use atrous::sink::{Counters, Outcome, Sink, SinkError};
use atrous::source::{FrameSource, Next, Pace, SourceError, SourceInfo};
use atrous::trigger::{Level, RuleSpec, RunState};

const SIZE: u32 = 16;

/// Grey frames whose true mask is all class 1, as many as asked for.
struct Counted {
    next: u64,
    count: u64,
    pace: Pace,
    /// Every frame with this number modulo 10 is corrupt.
    corrupt: Option<u64>,
    /// The source is lost after its frames instead of ending.
    lost: bool,
    /// Time before each frame.
    gap: Duration,
}

impl Counted {
    fn new(count: u64, pace: Pace) -> Self {
        Self {
            next: 0,
            count,
            pace,
            corrupt: None,
            lost: false,
            gap: Duration::ZERO,
        }
    }
}

impl FrameSource for Counted {
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
        if self.next == self.count {
            return if self.lost {
                Err(SourceError::Lost {
                    uri: "test".into(),
                    reason: "unplugged".into(),
                })
            } else {
                Ok(Next::End)
            };
        }
        std::thread::sleep(self.gap);
        let sequence = self.next;
        self.next += 1;
        if self.corrupt.is_some_and(|c| sequence % 10 == c) {
            return Err(SourceError::Corrupt {
                what: format!("frame {sequence}"),
                reason: "made so".into(),
            });
        }
        frame.width = SIZE;
        frame.height = SIZE;
        frame.stride = SIZE as usize;
        frame.format = PixelFormat::Grey8;
        frame.data.clear();
        frame.data.resize((SIZE * SIZE) as usize, 128);
        frame.sequence = sequence;
        frame.captured = clock::now();
        let truth = frame.truth.get_or_insert_with(Mask::default);
        truth.resize(SIZE, SIZE);
        truth.labels.fill(1);
        Ok(Next::Frame)
    }

    fn info(&self) -> SourceInfo {
        SourceInfo {
            description: "counted".into(),
            pace: self.pace,
            frames: Some(self.count),
        }
    }
}

/// Keeps the sequence numbers it sees; may be slow, fail or panic.
struct Recorder {
    seen: Arc<Mutex<Vec<u64>>>,
    every: bool,
    delay: Duration,
    fail_at: Option<u64>,
    panic_at: Option<u64>,
}

impl Recorder {
    fn new(seen: &Arc<Mutex<Vec<u64>>>) -> Self {
        Self {
            seen: Arc::clone(seen),
            every: true,
            delay: Duration::ZERO,
            fail_at: None,
            panic_at: None,
        }
    }
}

impl Sink for Recorder {
    fn consume(&mut self, outcome: &Outcome, _classes: &Classes) -> Result<(), SinkError> {
        std::thread::sleep(self.delay);
        // Not only at that one: a live run may leave any one result out.
        if self.panic_at.is_some_and(|at| outcome.index >= at) {
            panic!("made to");
        }
        if self.fail_at.is_some_and(|at| outcome.index >= at) {
            return Err(SinkError::Write {
                what: "test".into(),
                reason: "disk full".into(),
            });
        }
        self.seen.lock().unwrap().push(outcome.sequence);
        Ok(())
    }

    fn wants_every_result(&self) -> bool {
        self.every
    }
}

/// A model that fails, panics or is slow.
struct Troubled {
    inner: FakeSegmenter,
    delay: Duration,
    calls: u64,
    fail_at: Option<u64>,
    panic_at: Option<u64>,
    /// This call takes [`HANG`].
    hang_at: Option<u64>,
}

const HANG: Duration = Duration::from_secs(2);

impl Segmenter for Troubled {
    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
        std::thread::sleep(self.delay);
        self.calls += 1;
        assert_ne!(self.panic_at, Some(self.calls), "made to");
        if self.hang_at == Some(self.calls) {
            std::thread::sleep(HANG);
        }
        if self.fail_at == Some(self.calls) {
            return Err(EngineError::Run {
                model: "troubled".into(),
                reason: "made to".into(),
            });
        }
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

fn troubled() -> Troubled {
    let shape = Shape {
        width: SIZE,
        height: SIZE,
        classes: 2,
    };
    Troubled {
        inner: FakeSegmenter::new(shape),
        delay: Duration::ZERO,
        calls: 0,
        fail_at: None,
        panic_at: None,
        hang_at: None,
    }
}

type Edges = Arc<Mutex<Vec<Level>>>;

/// A rule that turns on with class 1, safe at low, and the pin that tells its edges.
fn rule(edges: &Edges, max_age: Option<Duration>) -> (CompiledRule, Pin) {
    let mut classes = ClassSet::default();
    classes.insert(1);
    let spec = RuleSpec {
        on: 0.5,
        off: 0.25,
        dwell: Duration::ZERO,
        active: Level::High,
        safe: Level::Low,
        max_age,
        min_rate: None,
    };
    let edges = Arc::clone(edges);
    let report = move |edge: &DryEdge| edges.lock().unwrap().push(edge.level);
    let pin = Pin::Dry(DryLine::new("test", 0, Level::Low, "test", report));
    let rule = CompiledRule {
        name: "one".into(),
        classes,
        region: Region::whole(),
        measure: None,
        spec,
        line: None,
    };
    (rule, pin)
}

fn parts(source: Counted, segmenter: Troubled, sink: Recorder, edges: &Edges) -> Parts {
    let class = |name: &str| Class {
        name: name.into(),
        colour: [0; 3],
    };
    let (rule, pin) = rule(edges, Some(Duration::from_millis(500)));
    Parts {
        rules: vec![rule],
        pins: vec![pin],
        sinks: vec![Box::new(sink)],
        ..Parts::new(
            Box::new(source),
            Box::new(segmenter),
            Classes::new(vec![class("zero"), class("one")]),
        )
    }
}

fn run(parts: Parts) -> Result<Counters, PipelineError> {
    atrous::guard::install();
    pipeline::run(parts, &Arc::new(AtomicBool::new(false)), &mut |_| {})
}

fn edges_of(edges: &Edges) -> Vec<Level> {
    edges.lock().unwrap().clone()
}

/// Safe, on, safe: what every run with at least one result must show.
const WHOLE_STORY: [Level; 3] = [Level::Low, Level::High, Level::Low];

#[test]
fn a_source_that_waits_loses_nothing_even_with_a_slow_sink() {
    let (seen, edges) = Default::default();
    let mut sink = Recorder::new(&seen);
    sink.delay = Duration::from_millis(2);
    let counters = run(parts(
        Counted::new(200, Pace::OnDemand),
        troubled(),
        sink,
        &edges,
    ))
    .unwrap();
    assert_eq!(*seen.lock().unwrap(), (0..200).collect::<Vec<u64>>());
    let expected = Counters {
        frames_in: 200,
        inferred: 200,
        ..Counters::default()
    };
    assert_eq!(counters, expected);
    assert_eq!(edges_of(&edges), WHOLE_STORY);
}

#[test]
fn a_live_source_gives_the_newest_and_every_frame_is_accounted_for() {
    let (seen, edges) = Default::default();
    let mut segmenter = troubled();
    segmenter.delay = Duration::from_millis(5);
    let counters = run(parts(
        Counted::new(5000, Pace::Live),
        segmenter,
        Recorder::new(&seen),
        &edges,
    ))
    .unwrap();
    assert_eq!(counters.frames_in, 5000);
    assert_eq!(counters.inferred + counters.superseded, 5000);
    assert!(counters.superseded > 0);
    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted());
    assert_eq!(
        seen.last(),
        Some(&4999),
        "the newest frame is never the one replaced"
    );
    assert_eq!(seen.len() as u64 + counters.undelivered, counters.inferred);
}

#[test]
fn corrupt_frames_are_counted_and_are_not_taken_for_lost_ones() {
    let (seen, edges) = Default::default();
    let mut source = Counted::new(100, Pace::OnDemand);
    source.corrupt = Some(3);
    let counters = run(parts(source, troubled(), Recorder::new(&seen), &edges)).unwrap();
    let expected = Counters {
        frames_in: 100,
        inferred: 90,
        bad: 10,
        ..Counters::default()
    };
    assert_eq!(counters, expected);
}

#[test]
fn the_limit_ends_an_endless_source() {
    let (seen, edges) = Default::default();
    let mut parts = parts(
        Counted::new(u64::MAX, Pace::OnDemand),
        troubled(),
        Recorder::new(&seen),
        &edges,
    );
    parts.frames = Some(7);
    assert_eq!(run(parts).unwrap().inferred, 7);
    assert_eq!(seen.lock().unwrap().len(), 7);
    assert_eq!(edges_of(&edges), WHOLE_STORY);
}

#[test]
fn a_stop_ends_an_endless_source() {
    let (seen, edges) = Default::default();
    let parts = parts(
        Counted::new(u64::MAX, Pace::Live),
        troubled(),
        Recorder::new(&seen),
        &edges,
    );
    let stop = Arc::new(AtomicBool::new(false));
    let later = Arc::clone(&stop);
    let watcher = {
        let seen = Arc::clone(&seen);
        std::thread::spawn(move || {
            while seen.lock().unwrap().is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            }
            later.store(true, Ordering::Relaxed);
        })
    };
    pipeline::run(parts, &stop, &mut |_| {}).unwrap();
    watcher.join().unwrap();
    assert_eq!(edges_of(&edges), WHOLE_STORY);
}

#[test]
fn a_lost_camera_ends_the_run_with_its_error_and_safe_lines() {
    let (seen, edges) = Default::default();
    let mut source = Counted::new(5, Pace::OnDemand);
    source.lost = true;
    let error = run(parts(source, troubled(), Recorder::new(&seen), &edges)).unwrap_err();
    assert!(
        matches!(error, PipelineError::Source(SourceError::Lost { .. })),
        "{error}"
    );
    assert_eq!(
        seen.lock().unwrap().len(),
        5,
        "what came before is delivered"
    );
    assert_eq!(edges_of(&edges), WHOLE_STORY);
}

#[test]
fn a_failing_model_or_sink_ends_the_run_with_safe_lines() {
    for in_model in [true, false] {
        let (seen, edges) = Default::default();
        let (mut segmenter, mut sink) = (troubled(), Recorder::new(&seen));
        if in_model {
            segmenter.fail_at = Some(4);
        } else {
            sink.fail_at = Some(3);
        }
        let source = Counted::new(u64::MAX, Pace::OnDemand);
        let error = run(parts(source, segmenter, sink, &edges)).unwrap_err();
        match error {
            PipelineError::Engine(_) => assert!(in_model),
            PipelineError::Sink(_) => assert!(!in_model),
            other => panic!("{other}"),
        }
        assert_eq!(edges_of(&edges), WHOLE_STORY);
    }
}

#[test]
fn a_panic_in_any_thread_is_named_and_leaves_the_lines_safe() {
    for in_model in [true, false] {
        let (seen, edges) = Default::default();
        let (mut segmenter, mut sink) = (troubled(), Recorder::new(&seen));
        if in_model {
            segmenter.panic_at = Some(4);
        } else {
            sink.panic_at = Some(3);
        }
        let source = Counted::new(u64::MAX, Pace::Live);
        match run(parts(source, segmenter, sink, &edges)).unwrap_err() {
            PipelineError::Internal { thread, .. } => {
                assert_eq!(thread, if in_model { "inference" } else { "sink" });
            }
            other => panic!("{other}"),
        }
        assert_eq!(edges_of(&edges).last(), Some(&Level::Low));
    }
}

#[test]
fn without_a_result_in_time_the_line_goes_safe_and_comes_back() {
    let (seen, edges) = Default::default();
    let mut source = Counted::new(2, Pace::OnDemand);
    // Twice the rule's max_age.
    source.gap = Duration::from_secs(1);
    run(parts(source, troubled(), Recorder::new(&seen), &edges)).unwrap();
    let (low, high) = (Level::Low, Level::High);
    assert_eq!(edges_of(&edges), [low, high, low, high, low]);
}

#[test]
fn a_stop_does_not_wait_for_the_model_before_lines_go_safe() {
    let (seen, edges): (_, Edges) = Default::default();
    let mut segmenter = troubled();
    segmenter.hang_at = Some(2);
    let mut parts = parts(
        Counted::new(u64::MAX, Pace::Live),
        segmenter,
        Recorder::new(&seen),
        &edges,
    );
    // So that it is not the age which makes the line safe.
    parts.rules[0].spec.max_age = None;
    let stop = Arc::new(AtomicBool::new(false));
    let safe_while_hanging = {
        let (edges, stop) = (Arc::clone(&edges), Arc::clone(&stop));
        std::thread::spawn(move || {
            while edges_of(&edges).len() < 2 {
                std::thread::sleep(Duration::from_millis(1));
            }
            stop.store(true, Ordering::Relaxed);
            // Well before the model comes back.
            std::thread::sleep(HANG / 2);
            edges_of(&edges)
        })
    };
    pipeline::run(parts, &stop, &mut |_| {}).unwrap();
    assert_eq!(safe_while_hanging.join().unwrap(), WHOLE_STORY);
}

#[test]
fn a_panic_of_the_observer_leaves_lines_safe() {
    let (seen, edges): (_, Edges) = Default::default();
    let parts = parts(
        Counted::new(u64::MAX, Pace::Live),
        troubled(),
        Recorder::new(&seen),
        &edges,
    );
    atrous::guard::install();
    let stop = Arc::new(AtomicBool::new(false));
    let result = atrous::guard::contain(|| {
        pipeline::run(parts, &stop, &mut |_| panic!("nowhere to write to"))
    });
    assert!(result.is_err());
    assert_eq!(edges_of(&edges), WHOLE_STORY);
}

#[test]
fn a_region_without_a_pixel_keeps_its_line_safe() {
    let (seen, edges): (_, Edges) = Default::default();
    let mut parts = parts(
        Counted::new(3, Pace::OnDemand),
        troubled(),
        Recorder::new(&seen),
        &edges,
    );
    let speck = [[0.001, 0.001], [0.002, 0.001], [0.001, 0.002]];
    parts.rules[0].region = Region::polygon(&speck).unwrap();
    // Were the region taken for empty of class 1, the line would go high.
    parts.rules[0].spec.active = Level::Low;
    run(parts).unwrap();
    assert_eq!(edges_of(&edges), [Level::Low]);
}

#[test]
fn inference_that_hangs_ends_the_run_with_safe_lines() {
    let (seen, edges): (_, Edges) = Default::default();
    let mut segmenter = troubled();
    segmenter.hang_at = Some(3);
    let source = Counted::new(u64::MAX, Pace::Live);
    let mut parts = parts(source, segmenter, Recorder::new(&seen), &edges);
    parts.watchdog = HANG / 4;
    // So that it is not the age which makes the line safe.
    parts.rules[0].spec.max_age = None;
    match run(parts).unwrap_err() {
        PipelineError::Hung { thread, .. } => assert_eq!(thread, "inference"),
        other => panic!("{other}"),
    }
    assert_eq!(edges_of(&edges), WHOLE_STORY);
}

/// The thread that drives the lines hangs in a write that never comes back. The run
/// ends all the same.
#[test]
fn lines_are_taken_from_a_trigger_thread_that_hangs() {
    let (seen, edges): (_, Edges) = Default::default();
    let source = Counted::new(u64::MAX, Pace::Live);
    let mut parts = parts(source, troubled(), Recorder::new(&seen), &edges);
    let second: Edges = Default::default();
    let (mut rule, _) = rule(&Edges::default(), None);
    rule.name = "two".into();
    parts.rules.push(rule);
    let hangs = {
        let second = Arc::clone(&second);
        move |edge: &DryEdge| {
            second.lock().unwrap().push(edge.level);
            if edge.level == Level::High {
                loop {
                    std::thread::park();
                }
            }
        }
    };
    let pin = DryLine::new("test", 1, Level::Low, "two", hangs);
    parts.pins.push(Pin::Dry(pin));
    match run(parts).unwrap_err() {
        PipelineError::Hung { thread, .. } => assert_eq!(thread, "trigger"),
        other => panic!("{other}"),
    }
    // The line before the one that hangs had gone on, and went safe past the thread.
    assert_eq!(edges_of(&edges), WHOLE_STORY);
}

#[test]
fn the_state_is_in_results_and_in_figures() {
    let (seen, edges) = Default::default();
    let parts = parts(
        Counted::new(50, Pace::OnDemand),
        troubled(),
        Recorder::new(&seen),
        &edges,
    );
    let mut last = None;
    atrous::guard::install();
    let stop = Arc::new(AtomicBool::new(false));
    pipeline::run(parts, &stop, &mut |snapshot| last = Some(snapshot.clone())).unwrap();
    let last = last.unwrap();
    assert_eq!(last.state, RunState::Stopped);
    let (ages, edge) = (last.run_ages.result.unwrap(), last.run_ages.edge.unwrap());
    assert!(ages.p50 <= ages.p95 && ages.p95 <= ages.p99 && ages.p99 <= ages.max);
    assert!(edge.max >= last.run_ages.write.unwrap().max);
}

/// A rule on a line of its own, and a pin for it that tells its edges.
fn lined(name: &str, line: u32, on: f32, edges: &Edges) -> (CompiledRule, Pin) {
    let (mut rule, _) = rule(&Edges::default(), Some(Duration::from_secs(60)));
    rule.name = name.into();
    rule.line = Some(ChipLine {
        chip: "test".into(),
        line,
    });
    rule.spec.on = on;
    let edges = Arc::clone(edges);
    let report = move |edge: &DryEdge| edges.lock().unwrap().push(edge.level);
    let pin = DryLine::new("test", line, rule.spec.safe, name, report);
    (rule, Pin::Dry(pin))
}

#[test]
fn reloaded_rules_leave_unchanged_lines_alone_and_release_others() {
    let (low, high) = (Level::Low, Level::High);
    let (seen, unused) = Default::default();
    let [kept, changed, removed, new]: [Edges; 4] = Default::default();
    let mut source = Counted::new(u64::MAX, Pace::Live);
    source.gap = Duration::from_millis(2);
    let mut parts = parts(source, troubled(), Recorder::new(&seen), &unused);
    let before = [
        lined("removed", 0, 0.5, &removed),
        lined("kept", 1, 0.5, &kept),
        lined("changed", 2, 0.5, &changed),
    ];
    let (rules, pins): (Vec<_>, Vec<_>) = before.into_iter().unzip();
    let same = rules[1].clone();
    (parts.rules, parts.pins) = (rules, pins);

    let requested = Arc::new(AtomicBool::new(false));
    let mut calls = 0;
    let read = {
        // The pin of a changed rule is not opened again.
        let other = lined("changed", 2, 0.75, &Edges::default()).0;
        let more = lined("new", 3, 0.5, &Edges::default()).0;
        move || {
            calls += 1;
            match calls {
                // Rules that are no good change nothing.
                1 => None,
                // Nor do those whose pin cannot be had.
                2 => Some(vec![lined("absent", 9, 0.5, &Edges::default()).0]),
                _ => Some(vec![more.clone(), same.clone(), other.clone()]),
            }
        }
    };
    let open = {
        let new = Arc::clone(&new);
        move |rule: &CompiledRule| match rule.name.as_str() {
            "new" => Ok(lined("new", 3, 0.5, &new).1),
            other => Err(format!("no line for {other}")),
        }
    };
    parts.reload = Some(Reload {
        requested: Arc::clone(&requested),
        read: Box::new(read),
        open: Box::new(open),
    });
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (stop, kept, new) = (Arc::clone(&stop), Arc::clone(&kept), Arc::clone(&new));
        let (changed, removed) = (Arc::clone(&changed), Arc::clone(&removed));
        std::thread::spawn(move || {
            let wait = |done: &dyn Fn() -> bool| {
                while !done() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            };
            wait(&|| edges_of(&kept).len() == 2 && edges_of(&changed).len() == 2);
            for _ in 0..2 {
                requested.store(true, Ordering::Relaxed);
                wait(&|| !requested.load(Ordering::Relaxed));
            }
            assert_eq!(edges_of(&removed), [low, high]);
            requested.store(true, Ordering::Relaxed);
            wait(&|| edges_of(&new).len() == 2 && edges_of(&changed).len() == 4);
            assert_eq!(edges_of(&removed), [low, high, low]);
            stop.store(true, Ordering::Relaxed);
        })
    };
    atrous::guard::install();
    pipeline::run(parts, &stop, &mut |_| {}).unwrap();
    watcher.join().unwrap();
    assert_eq!(edges_of(&kept), [low, high, low], "no glitch");
    assert_eq!(edges_of(&changed), [low, high, low, high, low]);
    assert_eq!(edges_of(&new), [low, high, low]);
}
