//! One JSON object a line for every result, flushed at once.
//!
//! The fields are stable; new ones may be added:
//!
//! | field | meaning |
//! |---|---|
//! | `pipeline` | whose result it is; absent where a run has one pipeline |
//! | `index` | result count, from 0 |
//! | `sequence` | the source's number of the frame; gaps are lost frames |
//! | `name` | the picture's name; absent where the source has none |
//! | `width`, `height` | of picture and mask, in pixels |
//! | `captured_s` | when the picture was taken, seconds on the monotonic clock |
//! | `stamp` | what `captured_s` is: `exposure` (its start, by the driver), `driver` (the end of the transfer, by the driver) or `arrival` (when the frame reached this program) |
//! | `age_ms` | from taking the picture to its result |
//! | `coverage` | share of each class in the picture, 0..=1, by class name; by number where the model names no such class |
//! | `rules` | list of `{name, fraction, active}`; `fraction` is the danger, 0..=1, of a rule that measures |
//! | `free_space` | `{bottom_row, nearest_px, nearest_m, corridors, free_rows}`, see [`crate::postprocess::free_space`]; absent where it is not measured |
//! | `state` | what the run can be relied on for after this result: `starting`, `live`, `degraded`, `safe` or `stopped`, see [`RunState`](crate::trigger::RunState) |
//! | `stages_ms` | `{preprocess, inference, postprocess}` |
//! | `frames` | counts since the start: `{in, inferred, superseded, driver_lost, bad, undelivered}`, and of the source's troubles: `{stalls, restarts, reopens}` |
//! | `mask_hash` | [`mask_hash`] of the labels, 16 hexadecimal digits: equal masks on two machines have equal hashes |
//! | `truth` | `{pixel_accuracy, miou}`, see [`score`](super::score()); absent where the truth is unknown |
//!
//! `corridors` is a list of `{row, ahead_m, width_px, offset_px, width_m, offset_m}`, and
//! `free_rows`, a number for each column, is there only where the config asks for it.
//! `nearest_px` and `nearest_m` are `"clear"` where nothing is in the way.
//!
//! Milliseconds have three decimals, fractions six. A number that is not finite
//! is `null`.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::fault::fault;
use super::{Counters, Outcome, RuleState, Sink, SinkError, score};
use crate::classes::Classes;
use crate::postprocess::free_space::{Corridor, FreeSpace};

/// Writes JSON lines to a stream.
#[derive(Debug)]
pub struct JsonSink<W> {
    out: W,
    what: String,
    pipeline: Option<String>,
    line: Vec<u8>,
}

impl<W: Write + Send> JsonSink<W> {
    /// A sink on `out`; `what` names it in errors.
    pub fn new(out: W, what: impl Into<String>) -> Self {
        Self {
            out,
            what: what.into(),
            pipeline: None,
            line: Vec::new(),
        }
    }

    /// The same with a name that tells these results from those of other pipelines.
    pub fn of_pipeline(mut self, name: Option<String>) -> Self {
        self.pipeline = name;
        self
    }
}

impl<W: Write + Send> Sink for JsonSink<W> {
    fn consume(&mut self, outcome: &Outcome, classes: &Classes) -> Result<(), SinkError> {
        self.line.clear();
        let line = Line {
            pipeline: self.pipeline.as_deref(),
            ..Line::new(outcome, classes)
        };
        serde_json::to_writer(&mut self.line, &line)
            .map_err(|error| fault(&self.what, &error.into()))?;
        self.line.push(b'\n');
        let written = self
            .out
            .write_all(&self.line)
            .and_then(|()| self.out.flush());
        written.map_err(|error| fault(&self.what, &error))
    }

    fn wants_every_result(&self) -> bool {
        true
    }

    fn wants_picture(&self) -> bool {
        false
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.out.flush().map_err(|error| fault(&self.what, &error))
    }
}

/// 64-bit FNV-1a over the labels, row by row: start at `0xcbf29ce484222325`;
/// for each byte xor it in, then multiply by `0x100000001b3` modulo 2^64.
pub fn mask_hash(labels: &[u8]) -> u64 {
    labels.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &label| {
        (hash ^ u64::from(label)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<&'a str>,
    index: u64,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    width: u32,
    height: u32,
    captured_s: f64,
    stamp: &'static str,
    age_ms: f64,
    coverage: Coverage<'a>,
    #[serde(serialize_with = "rules")]
    rules: &'a [RuleState],
    #[serde(skip_serializing_if = "Option::is_none")]
    free_space: Option<FreeSpaceLine<'a>>,
    state: &'static str,
    stages_ms: StagesMs,
    frames: Frames,
    mask_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    truth: Option<Truth>,
}

#[derive(Serialize)]
struct FreeSpaceLine<'a> {
    bottom_row: u32,
    nearest_px: Nearest,
    nearest_m: Nearest,
    corridors: Vec<CorridorLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free_rows: Option<&'a [u32]>,
}

/// A distance, or the word for none.
#[derive(Serialize)]
#[serde(untagged)]
enum Nearest {
    At(f64),
    Clear(&'static str),
}

impl Nearest {
    fn new(distance: f32) -> Self {
        if distance == f32::INFINITY {
            Self::Clear("clear")
        } else {
            Self::At(rounded(distance.into(), 1e3))
        }
    }
}

#[derive(Serialize)]
struct CorridorLine {
    row: Option<u32>,
    ahead_m: f64,
    width_px: f64,
    offset_px: f64,
    width_m: f64,
    offset_m: f64,
}

impl<'a> FreeSpaceLine<'a> {
    fn new(space: &'a FreeSpace) -> Self {
        let number = |value: f32| rounded(value.into(), 1e3);
        let corridor = |c: &Corridor| CorridorLine {
            row: c.row,
            ahead_m: number(c.ahead_m),
            width_px: number(c.width_px),
            offset_px: number(c.offset_px),
            width_m: number(c.width_m),
            offset_m: number(c.offset_m),
        };
        Self {
            bottom_row: space.bottom_row,
            nearest_px: Nearest::new(space.nearest_px),
            nearest_m: Nearest::new(space.nearest_m),
            corridors: space.corridors.iter().map(corridor).collect(),
            free_rows: space.profile.then_some(space.free_rows.as_slice()),
        }
    }
}

#[derive(Serialize)]
struct StagesMs {
    preprocess: f64,
    inference: f64,
    postprocess: f64,
}

/// Counts of frames as they stand in a line.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Frames {
    r#in: u64,
    inferred: u64,
    superseded: u64,
    driver_lost: u64,
    bad: u64,
    undelivered: u64,
    stalls: u64,
    restarts: u64,
    reopens: u64,
}

impl From<Counters> for Frames {
    fn from(counters: Counters) -> Self {
        Self {
            r#in: counters.frames_in,
            inferred: counters.inferred,
            superseded: counters.superseded,
            driver_lost: counters.driver_lost,
            bad: counters.bad,
            undelivered: counters.undelivered,
            stalls: counters.stalls,
            restarts: counters.restarts,
            reopens: counters.reopens,
        }
    }
}

#[derive(Serialize)]
struct Truth {
    pixel_accuracy: f64,
    miou: f64,
}

#[derive(Serialize)]
struct Rule<'a> {
    name: &'a str,
    fraction: f64,
    active: bool,
}

struct Coverage<'a> {
    shares: &'a [f32],
    classes: &'a Classes,
}

impl Serialize for Coverage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.shares.len()))?;
        for (label, &share) in self.shares.iter().enumerate() {
            map.serialize_entry(&self.classes.name_or_number(label), &fraction(share.into()))?;
        }
        map.end()
    }
}

fn rules<S: Serializer>(rules: &[RuleState], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rules.iter().map(|rule| Rule {
        name: &rule.name,
        fraction: fraction(rule.fraction.into()),
        active: rule.active,
    }))
}

impl<'a> Line<'a> {
    fn new(outcome: &'a Outcome, classes: &'a Classes) -> Self {
        let scored = outcome
            .truth
            .as_ref()
            .and_then(|t| score(&outcome.mask, t, classes.len()));
        Self {
            pipeline: None,
            index: outcome.index,
            sequence: outcome.sequence,
            name: outcome.name.as_deref(),
            width: outcome.width,
            height: outcome.height,
            captured_s: rounded(outcome.captured.as_secs_f64(), 1e6),
            stamp: outcome.stamp.name(),
            age_ms: millis(outcome.age()),
            coverage: Coverage {
                shares: &outcome.coverage,
                classes,
            },
            rules: &outcome.rules,
            free_space: outcome.free_space.as_ref().map(FreeSpaceLine::new),
            state: outcome.state.name(),
            stages_ms: StagesMs {
                preprocess: millis(outcome.stages.preprocess),
                inference: millis(outcome.stages.inference),
                postprocess: millis(outcome.stages.postprocess),
            },
            frames: outcome.counters.into(),
            mask_hash: format!("{:016x}", mask_hash(&outcome.mask.labels)),
            truth: scored.map(|score| Truth {
                pixel_accuracy: fraction(score.pixel_accuracy),
                miou: fraction(score.miou),
            }),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e3, 1e3)
}

fn fraction(value: f64) -> f64 {
    rounded(value, 1e6)
}

/// Rounded to `1 / steps`. Not finite stays so: JSON has no word for it, and
/// the serializer writes `null`.
fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::Class;
    use crate::frame::Stamp;
    use crate::mask::Mask;
    use crate::sink::Stages;
    use crate::trigger::RunState;

    fn outcome() -> Outcome {
        Outcome {
            index: 1,
            sequence: 4,
            name: Some("a\"b\n".into()),
            width: 2,
            height: 1,
            rgb: vec![0; 6],
            mask: Mask {
                width: 2,
                height: 1,
                labels: vec![0, 1],
            },
            truth: Some(Mask {
                width: 2,
                height: 1,
                labels: vec![0, 1],
            }),
            coverage: vec![0.1, f32::NAN, 0.5],
            rules: vec![RuleState {
                name: "near".into(),
                fraction: 0.25,
                active: true,
            }],
            free_space: None,
            rule_set: 0,
            state: RunState::Live,
            captured: Duration::from_micros(1_500_000),
            stamp: Stamp::Driver,
            finished: Duration::from_micros(1_512_345),
            stages: Stages {
                inference: Duration::from_nanos(7_654_321),
                ..Stages::default()
            },
            counters: Counters {
                frames_in: 6,
                inferred: 2,
                ..Counters::default()
            },
        }
    }

    fn line(outcome: &Outcome) -> String {
        let class = |name: &str| Class {
            name: name.into(),
            colour: [0; 3],
        };
        let mut bytes = Vec::new();
        let mut sink = JsonSink::new(&mut bytes, "buffer");
        sink.consume(outcome, &Classes::new(vec![class("sky"), class("road")]))
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_fields_are_as_documented() {
        let expected = concat!(
            r#"{"index":1,"sequence":4,"name":"a\"b\n","width":2,"height":1,"#,
            r#""captured_s":1.5,"stamp":"driver","age_ms":12.345,"coverage":{"sky":0.1,"road":null,"2":0.5},"#,
            r#""rules":[{"name":"near","fraction":0.25,"active":true}],"state":"live","#,
            r#""stages_ms":{"preprocess":0.0,"inference":7.654,"postprocess":0.0},"#,
            r#""frames":{"in":6,"inferred":2,"superseded":0,"driver_lost":0,"bad":0,"undelivered":0,"#,
            r#""stalls":0,"restarts":0,"reopens":0},"#,
            r#""mask_hash":"08328707b4eb6e3a","truth":{"pixel_accuracy":1.0,"miou":1.0}}"#,
            "\n"
        );
        assert_eq!(line(&outcome()), expected);
    }

    #[test]
    fn what_is_unknown_is_absent() {
        let line = line(&Outcome {
            name: None,
            truth: None,
            ..outcome()
        });
        assert!(
            !line.contains("\"name\":null") && !line.contains("truth"),
            "{line}"
        );
    }

    #[test]
    fn free_space_is_written_where_it_is_measured() {
        let corridor = Corridor {
            row: Some(3),
            ahead_m: 2.5,
            width_px: 4.0,
            offset_px: -1.0,
            width_m: f32::NAN,
            offset_m: 0.12345,
        };
        let mut outcome = outcome();
        let space = outcome.free_space.insert(FreeSpace {
            bottom_row: 4,
            free_rows: vec![0, 4],
            nearest_px: 0.0,
            nearest_m: f32::INFINITY,
            corridors: vec![corridor],
            profile: false,
        });
        let rest = concat!(
            r#""nearest_px":0.0,"nearest_m":"clear","corridors":[{"row":3,"ahead_m":2.5,"#,
            r#""width_px":4.0,"offset_px":-1.0,"width_m":null,"offset_m":0.123}]"#
        );
        space.profile = true;
        let with = format!(r#""free_space":{{"bottom_row":4,{rest},"free_rows":[0,4]}}"#);
        let text = line(&outcome);
        assert!(text.contains(&with), "{text}");
        let space = outcome.free_space.as_mut().unwrap();
        (space.profile, space.nearest_m) = (false, f32::NAN);
        let text = line(&outcome);
        assert!(
            text.contains(r#""nearest_m":null"#) && !text.contains("free_rows"),
            "{text}"
        );
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // Values published with the algorithm.
        assert_eq!(mask_hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(mask_hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(mask_hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_reader_that_left_is_told_apart() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let result = JsonSink::new(Gone, "stdout").consume(&outcome(), &Classes::default());
        assert_eq!(
            result,
            Err(SinkError::Closed {
                what: "stdout".into()
            })
        );
    }
}
