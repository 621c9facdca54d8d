//! The figures of a run in one line, for a person or as JSON.
//!
//! The JSON object has one field, `stats`, with: `pipeline` (its name, where there are
//! several); `state`; `final` (whether it is of the
//! whole run, not of the time since the line before); `fps`; `frames` (counts since the
//! start, as in a result's line); `stamp` (what ages are counted from); `age_ms` (from
//! capture to result), `edge_ms` (from capture until pins were driven) and `write_ms`
//! (the part of that after the result), each `{p50, p95, p99, max}` or null;
//! `stages_ms`; `celsius`, `mhz`, `throttled`, each null where the machine does not say.

use std::fmt::Write;
use std::time::Duration;

use atrous::pipeline::histogram::Percentiles;
use atrous::pipeline::stats::{Ages, Snapshot};
use atrous::sink::json::Frames;
use serde::Serialize;

use super::machine::Machine;

/// Which part of a run a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// The time since the line before.
    Window,
    /// All of it.
    Run,
}

impl Span {
    fn rate_and_ages(self, snapshot: &Snapshot) -> (f64, Ages) {
        match self {
            Self::Window => (snapshot.rate, snapshot.ages),
            Self::Run => (snapshot.mean_rate, snapshot.run_ages),
        }
    }
}

/// The line for a person: rate, state, counts, ages, where the time goes, and how the
/// machine is.
pub fn text(snapshot: &Snapshot, span: Span, machine: &Machine) -> String {
    let (rate, ages) = span.rate_and_ages(snapshot);
    let c = &snapshot.counters;
    let mut line = format!(
        "{rate:5.1} fps  {}  in {}  results {}  superseded {}  lost {}  bad {}",
        snapshot.state, c.frames_in, c.inferred, c.superseded, c.driver_lost, c.bad
    );
    // Writing to a String cannot fail.
    for (name, count) in [
        ("undelivered", c.undelivered),
        ("stalls", c.stalls),
        ("restarts", c.restarts),
        ("reopens", c.reopens),
    ] {
        if count > 0 {
            let _ = write!(line, "  {name} {count}");
        }
    }
    if let Some(age) = &ages.result {
        let _ = write!(line, "  age {} ms", percentiles(age));
        if let Some(edge) = &ages.edge {
            let _ = write!(line, "  edge p99 {:.1} ms", ms(edge.p99));
        }
        if span == Span::Window {
            let s = &snapshot.stages;
            let _ = write!(
                line,
                "  (prepare {:.1} + model {:.1} + finish {:.1} ms)",
                ms(s.preprocess),
                ms(s.inference),
                ms(s.postprocess)
            );
        }
    }
    if let Some(celsius) = machine.celsius {
        let _ = write!(line, "  {celsius:.0} °C");
    }
    if let Some(mhz) = machine.mhz {
        let _ = write!(line, "  {mhz} MHz");
    }
    if machine.throttled == Some(true) {
        line += "  throttled";
    }
    line
}

fn percentiles(p: &Percentiles) -> String {
    format!(
        "p50 {:.1} p95 {:.1} p99 {:.1} max {:.1}",
        ms(p.p50),
        ms(p.p95),
        ms(p.p99),
        ms(p.max)
    )
}

#[derive(Serialize)]
struct Object<'a> {
    stats: Stats<'a>,
}

#[derive(Serialize)]
struct Stats<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<&'a str>,
    state: &'static str,
    r#final: bool,
    fps: f64,
    frames: Frames,
    stamp: &'static str,
    age_ms: Option<PercentilesMs>,
    edge_ms: Option<PercentilesMs>,
    write_ms: Option<PercentilesMs>,
    stages_ms: StagesMs,
    #[serde(flatten)]
    machine: Machine,
}

#[derive(Serialize)]
struct StagesMs {
    preprocess: f64,
    inference: f64,
    postprocess: f64,
}

#[derive(Serialize)]
struct PercentilesMs {
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

impl From<Percentiles> for PercentilesMs {
    fn from(p: Percentiles) -> Self {
        Self {
            p50: ms(p.p50),
            p95: ms(p.p95),
            p99: ms(p.p99),
            max: ms(p.max),
        }
    }
}

/// The line as JSON; with the name of the pipeline where there are several.
pub fn json(snapshot: &Snapshot, span: Span, machine: &Machine, pipeline: Option<&str>) -> String {
    let (fps, ages) = span.rate_and_ages(snapshot);
    let object = Object {
        stats: Stats {
            pipeline,
            state: snapshot.state.name(),
            r#final: span == Span::Run,
            fps: (fps * 1e3).round() / 1e3,
            frames: snapshot.counters.into(),
            stamp: snapshot.stamp.name(),
            age_ms: ages.result.map(Into::into),
            edge_ms: ages.edge.map(Into::into),
            write_ms: ages.write.map(Into::into),
            stages_ms: StagesMs {
                preprocess: ms(snapshot.stages.preprocess),
                inference: ms(snapshot.stages.inference),
                postprocess: ms(snapshot.stages.postprocess),
            },
            machine: *machine,
        },
    };
    // Numbers and constant names: nothing that JSON has no word for.
    serde_json::to_string(&object).unwrap_or_default()
}

/// Milliseconds with three decimals.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use atrous::trigger::RunState;

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot {
            state: RunState::Degraded,
            rate: 4.5,
            mean_rate: 7.0,
            ..Snapshot::default()
        };
        snapshot.counters.frames_in = 31;
        snapshot.counters.superseded = 7;
        snapshot.ages.result = Some(Percentiles {
            p50: Duration::from_micros(1500),
            ..Percentiles::default()
        });
        snapshot.run_ages.result = Some(Percentiles {
            p99: Duration::from_millis(80),
            ..Percentiles::default()
        });
        snapshot
    }

    #[test]
    fn a_line_has_state_every_count_and_only_what_is_known() {
        let mut some = snapshot();
        let machine = Machine {
            celsius: Some(61.2),
            throttled: Some(true),
            ..Machine::default()
        };
        let line = text(&some, Span::Window, &machine);
        for part in [
            "4.5 fps  degraded  in 31",
            "superseded 7",
            "p50 1.5",
            "61 °C",
            "throttled",
        ] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains("MHz") && !line.contains("edge"), "{line}");
        let whole = text(&some, Span::Run, &machine);
        assert!(
            whole.contains("7.0 fps") && whole.contains("p99 80.0"),
            "{whole}"
        );
        some.ages = Ages::default();
        let line = text(&some, Span::Window, &Machine::default());
        assert!(
            !line.contains("age") && !line.contains("throttled"),
            "{line}"
        );
    }

    #[test]
    fn json_has_the_same_figures() {
        let text = json(&snapshot(), Span::Run, &Machine::default(), None);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let stats = &value["stats"];
        assert_eq!(stats["state"], "degraded");
        assert_eq!(stats["final"], true);
        assert_eq!(stats["frames"]["in"], 31);
        assert_eq!(stats["age_ms"]["p99"], 80.0);
        assert!(stats["edge_ms"].is_null() && stats["celsius"].is_null());
        assert_eq!(stats["stamp"], "arrival");
        assert!(stats.get("pipeline").is_none());
        let text = json(&snapshot(), Span::Run, &Machine::default(), Some("rear"));
        assert!(text.contains(r#""pipeline":"rear""#), "{text}");
    }
}
