//! Several pipelines in one process: fair turns, and one answer to any failure.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use atrous::config::CompiledRule;
use atrous::engine::fake::{FakeSegmenter, Faults};
use atrous::engine::shared::SharedSegmenter;
use atrous::engine::{Segmenter, Shape};
use atrous::gpio::{DryEdge, DryLine, Pin};
use atrous::pipeline::fleet::{Ending, run_all};
use atrous::pipeline::turns::Turns;
use atrous::pipeline::{Parts, PipelineError};
use atrous::postprocess::region::{ClassSet, Region};
use atrous::source::{open, scene};
use atrous::trigger::{Level, RuleSpec};

type Edges = Arc<Mutex<Vec<Level>>>;

fn engine(faults: &str) -> Box<dyn Segmenter> {
    let shape = Shape {
        width: 32,
        height: 24,
        classes: scene::classes().len(),
    };
    let faults = Faults::parse(faults).unwrap();
    Box::new(FakeSegmenter::new(shape).with_faults(faults))
}

/// A pipeline on a drawn street with a rule that is on while there are results.
fn parts(uri: &str, segmenter: Box<dyn Segmenter>, edges: &Edges) -> Parts {
    let mut classes = ClassSet::default();
    (0..scene::classes().len()).for_each(|class| classes.insert(class as u8));
    let edges = Arc::clone(edges);
    let report = move |edge: &DryEdge| edges.lock().unwrap().push(edge.level);
    Parts {
        rules: vec![CompiledRule {
            name: "any".into(),
            classes,
            region: Region::whole(),
            measure: None,
            spec: RuleSpec {
                on: 0.5,
                off: 0.25,
                dwell: Duration::ZERO,
                active: Level::High,
                safe: Level::Low,
                max_age: None,
                min_rate: None,
            },
            line: None,
        }],
        pins: vec![Pin::Dry(DryLine::new("", 0, Level::Low, "", report))],
        ..Parts::new(open(uri).unwrap(), segmenter, scene::classes())
    }
}

/// As many pipelines as there are sources, on one engine.
fn sharing(uris: &[&str], engine: Box<dyn Segmenter>) -> (Vec<Parts>, Vec<Edges>) {
    let shared = SharedSegmenter::new(engine);
    let turns = Arc::new(Turns::new(uris.len()));
    let edges: Vec<Edges> = uris.iter().map(|_| Edges::default()).collect();
    let runs = uris.iter().zip(&edges).map(|(uri, edges)| Parts {
        turns: Some(Arc::clone(&turns)),
        ..parts(uri, Box::new(shared.another()), edges)
    });
    (runs.collect(), edges)
}

fn run(runs: Vec<Parts>, stop: &AtomicBool) -> Vec<Ending> {
    atrous::guard::install();
    run_all(runs, stop, &|_, _, _| {})
}

fn until_stopped_after(time: Duration, runs: Vec<Parts>) -> Vec<Ending> {
    let stop = Arc::new(AtomicBool::new(false));
    let timer = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            std::thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
        })
    };
    let endings = run(runs, &stop);
    timer.join().unwrap();
    endings
}

fn last(edges: &Edges) -> Option<Level> {
    edges.lock().unwrap().last().copied()
}

#[test]
fn cameras_that_share_an_engine_get_the_same_number_of_results() {
    let uris = [
        "synthetic://road?size=32x24&fps=200",
        "synthetic://road?size=32x24&fps=200&seed=2",
        "synthetic://road?size=32x24&fps=200&seed=3",
    ];
    let (runs, edges) = sharing(&uris, engine("delay_ms=15"));
    let endings = until_stopped_after(Duration::from_secs(2), runs);
    let mut results = Vec::new();
    for ending in endings {
        let c = ending.unwrap();
        assert_eq!(c.frames_in, c.inferred + c.superseded + c.bad, "{c:?}");
        results.push(c.inferred);
    }
    let (least, most) = (results.iter().min(), results.iter().max());
    // They take turns, so none is more than one ahead; and one at each end of the run.
    let apart = most.unwrap() - least.unwrap();
    assert!(*least.unwrap() >= 3 && apart <= 3, "{results:?}");
    for edges in &edges {
        let edges = edges.lock().unwrap();
        assert_eq!(*edges, [Level::Low, Level::High, Level::Low]);
    }
}

#[test]
fn sources_that_wait_lose_nothing_and_end_each_by_itself() {
    let uris = [
        "synthetic://road?size=32x24&pace=demand&frames=40",
        "synthetic://road?size=32x24&pace=demand&frames=7",
    ];
    let (runs, _) = sharing(&uris, engine("delay_ms=2"));
    let endings = run(runs, &AtomicBool::new(false));
    let results: Vec<u64> = endings.into_iter().map(|e| e.unwrap().inferred).collect();
    assert_eq!(results, [40, 7]);
}

#[test]
fn one_that_fails_ends_all_with_their_lines_safe() {
    for (faults, internal) in [("error=5", false), ("panic=5", true)] {
        let (broken, whole) = (Edges::default(), Edges::default());
        let uri = "synthetic://road?size=32x24&fps=100";
        let runs = vec![
            parts(uri, engine("delay_ms=1"), &whole),
            parts(uri, engine(faults), &broken),
        ];
        let endings = run(runs, &AtomicBool::new(false));
        assert!(endings[0].is_ok(), "{faults}: {:?}", endings[0]);
        match &endings[1] {
            Err(PipelineError::Internal { .. }) if internal => {}
            Err(PipelineError::Engine(_)) if !internal => {}
            other => panic!("{faults}: {other:?}"),
        }
        for edges in [&broken, &whole] {
            assert_eq!(last(edges), Some(Level::Low), "{faults}");
        }
    }
}

#[test]
fn a_panic_in_a_shared_engine_reaches_everyone() {
    let uris = ["synthetic://road?size=32x24&fps=100"; 2];
    let (runs, edges) = sharing(&uris, engine("panic=6"));
    let endings = run(runs, &AtomicBool::new(false));
    let panicked = |e: &Ending| matches!(e, Err(PipelineError::Internal { .. }));
    assert_eq!(endings.iter().filter(|e| panicked(e)).count(), 1);
    for edges in &edges {
        assert_eq!(last(edges), Some(Level::Low));
    }
}

#[test]
fn a_shared_engine_that_hangs_is_named_and_every_line_safe() {
    let uris = ["synthetic://road?size=32x24&fps=100"; 3];
    let (mut runs, edges) = sharing(&uris, engine("hang=8"));
    for run in &mut runs {
        run.watchdog = Duration::from_millis(300);
    }
    let started = Instant::now();
    let endings = run(runs, &AtomicBool::new(false));
    let hung = |e: &Ending| {
        matches!(
            e,
            Err(PipelineError::Hung {
                thread: "inference",
                ..
            })
        )
    };
    // Those who wait for a turn do not hang.
    assert_eq!(endings.iter().filter(|e| hung(e)).count(), 1, "{endings:?}");
    assert_eq!(
        endings.iter().filter(|e| e.is_ok()).count(),
        2,
        "{endings:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(30));
    for edges in &edges {
        assert_eq!(last(edges), Some(Level::Low));
    }
}
