//! Rules as a user writes them, and as the pipeline runs them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::board::Board;
use crate::classes::Classes;
use crate::postprocess::free_space::{Measure, Quantity, Unit};
use crate::postprocess::region::{ClassSet, Region};
use crate::trigger::{Level, RuleSpec};

/// Most rules in one config.
pub const MAX_RULES: usize = 32;

/// How old a result may be where a rule does not say.
pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(1);

/// Longest `dwell_ms` and `max_age_ms`: an hour.
pub(super) const MAX_MILLIS: u64 = 3_600_000;

/// A `[[rule]]` table.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Name in logs and results.
    pub name: String,
    /// Names of the classes whose area counts; none for a rule that measures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Polygon corners in 0..=1 of width and height; the whole picture if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Vec<[f32; 2]>>,
    /// The share of the region, 0..=1, from which the rule turns on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<f32>,
    /// The share below which it turns off again; at most `on`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off: Option<f32>,
    /// What is measured of the free space, instead of an area.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<Quantity>,
    /// In which unit `below`, `above` and `clear` are; metres if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The rule turns on at this value and below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f32>,
    /// The rule turns on at this value and above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f32>,
    /// Where it turns off again: at this value and past it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear: Option<f32>,
    /// How long the share must stay there first, in milliseconds.
    #[serde(default)]
    pub dwell_ms: u64,
    /// Age of the newest result past which the line goes safe, in milliseconds, 1
    /// or more; [`DEFAULT_MAX_AGE`] if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_ms: Option<u64>,
    /// Results a second below which the line goes safe, judged over the last
    /// [`RATE_RESULTS`](crate::trigger::RATE_RESULTS); any rate will do if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rate: Option<f32>,
    /// The pin to drive; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<PinRef>,
    /// The level that means "on".
    #[serde(default)]
    pub active: LevelName,
    /// The level to take when nothing is known.
    #[serde(default)]
    pub safe: LevelName,
}

/// How a config names a pin.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum PinRef {
    /// A position on the board's header.
    Header(u8),
    /// A name from the board file.
    Name(String),
    /// A line of a chip, without a board file.
    Line(ChipLine),
}

/// A GPIO line by its chip's label.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ChipLine {
    /// Label of the chip, such as `pinctrl-rp1`.
    pub chip: String,
    /// Offset of the line on the chip.
    pub line: u32,
}

/// A level as written in a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum LevelName {
    /// The line at ground.
    Low,
    /// The line at its supply.
    #[default]
    High,
}

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::Low => Self::Low,
            LevelName::High => Self::High,
        }
    }
}

/// A rule with every name looked up and every value checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CompiledRule {
    /// Name in logs and results.
    pub name: String,
    /// The classes whose area counts.
    pub classes: ClassSet,
    /// Where it counts.
    pub region: Region,
    /// What is measured instead of the classes' area.
    pub measure: Option<Measure>,
    /// Thresholds, times and levels.
    pub spec: RuleSpec,
    /// The line to drive.
    pub line: Option<ChipLine>,
}

/// Checks every rule against a model's classes and a board's pins.
///
/// # Errors
/// [`ConfigError::Rule`], naming the rule, the value and what is allowed.
pub fn compile(
    rules: &[RuleConfig],
    classes: &Classes,
    board: &Board,
) -> Result<Vec<CompiledRule>, ConfigError> {
    if rules.len() > MAX_RULES {
        return Err(ConfigError::Rule {
            name: rules[MAX_RULES].name.clone(),
            reason: format!(
                "there are {} rules; at most {MAX_RULES} are allowed",
                rules.len()
            ),
        });
    }
    let mut compiled: Vec<CompiledRule> = Vec::with_capacity(rules.len());
    for rule in rules {
        let fail = |reason| ConfigError::Rule {
            name: rule.name.clone(),
            reason,
        };
        let done = compile_one(rule, classes, board).map_err(fail)?;
        if compiled.iter().any(|r| r.name == done.name) {
            return Err(fail("two rules have this name".into()));
        }
        let same_line = |r: &&CompiledRule| r.line.is_some() && r.line == done.line;
        if let Some(other) = compiled.iter().find(same_line) {
            return Err(fail(format!(
                "drives the same pin as rule '{}'",
                other.name
            )));
        }
        compiled.push(done);
    }
    Ok(compiled)
}

fn compile_one(
    rule: &RuleConfig,
    classes: &Classes,
    board: &Board,
) -> Result<CompiledRule, String> {
    if rule.name.trim().is_empty() {
        return Err("its name is empty".into());
    }
    let (measure, [on, off]) = thresholds(rule)?;
    if rule.classes.is_empty() && measure.is_none() {
        return Err("it names no class".into());
    }
    let mut set = ClassSet::default();
    for name in &rule.classes {
        let label = classes.find(name).ok_or_else(|| {
            format!(
                "the model has no class '{name}'; its classes are {}",
                classes.names()
            )
        })?;
        set.insert(label);
    }
    let region = match &rule.region {
        None => Region::whole(),
        Some(points) => Region::polygon(points).map_err(|e| e.to_string())?,
    };
    for (key, value) in [
        ("dwell_ms", Some(rule.dwell_ms)),
        ("max_age_ms", rule.max_age_ms),
    ] {
        if value.is_some_and(|v| v > MAX_MILLIS) {
            return Err(format!("{key} is longer than an hour"));
        }
    }
    if rule.max_age_ms == Some(0) {
        return Err(
            "max_age_ms is 0, so that no result is ever young enough; 1000 is a second".into(),
        );
    }
    let max_age = rule
        .max_age_ms
        .map_or(DEFAULT_MAX_AGE, Duration::from_millis);
    let spec = RuleSpec {
        on,
        off,
        dwell: Duration::from_millis(rule.dwell_ms),
        active: rule.active.into(),
        safe: rule.safe.into(),
        max_age: Some(max_age),
        min_rate: rule.min_rate,
    };
    spec.check().map_err(|e| e.to_string())?;
    let line = rule
        .pin
        .as_ref()
        .map(|pin| find_line(pin, board))
        .transpose()?;
    Ok(CompiledRule {
        name: rule.name.clone(),
        classes: set,
        region,
        measure,
        spec,
        line,
    })
}

/// The lines that rules drive, each with its rule's name and its safe level: what is
/// known without a model.
///
/// # Errors
/// [`ConfigError::Rule`] for a pin that the board does not have.
pub fn safe_levels(
    rules: &[RuleConfig],
    board: &Board,
) -> Result<Vec<(String, ChipLine, Level)>, ConfigError> {
    let one = |rule: &RuleConfig| {
        let pin = rule.pin.as_ref()?;
        Some(match find_line(pin, board) {
            Ok(line) => Ok((rule.name.clone(), line, rule.safe.into())),
            Err(reason) => Err(ConfigError::Rule {
                name: rule.name.clone(),
                reason,
            }),
        })
    };
    rules.iter().filter_map(one).collect()
}

/// The line that a pin is, by the board's own names where it is not named in full.
///
/// # Errors
/// What the board has instead.
pub(super) fn find_line(pin: &PinRef, board: &Board) -> Result<ChipLine, String> {
    match pin {
        PinRef::Line(line) => Ok(line.clone()),
        PinRef::Header(number) => pin_line(board, &number.to_string()),
        PinRef::Name(name) => pin_line(board, name),
    }
}

/// What is measured, if anything, and the numbers at which the rule turns on and off.
fn thresholds(rule: &RuleConfig) -> Result<(Option<Measure>, [f32; 2]), String> {
    let Some(quantity) = rule.measure else {
        let extra = [rule.below, rule.above, rule.clear];
        if extra.iter().any(Option::is_some) || rule.unit.is_some() {
            return Err("unit, below, above and clear are for a rule with a measure".into());
        }
        let (Some(on), Some(off)) = (rule.on, rule.off) else {
            return Err("it needs on and off: shares of the region's area".into());
        };
        return Ok((None, [on, off]));
    };
    if !rule.classes.is_empty() || rule.region.is_some() {
        return Err("it has a measure, so classes and region have no meaning".into());
    }
    if rule.on.is_some() || rule.off.is_some() {
        return Err("it has a measure: say below or above and clear, not on and off".into());
    }
    let (on, falling) = match (rule.below, rule.above) {
        (Some(on), None) => (on, true),
        (None, Some(on)) => (on, false),
        _ => return Err("say below or above: where the measure means danger".into()),
    };
    let Some(clear) = rule.clear else {
        return Err("say clear: where the measure means no danger any more".into());
    };
    if !(on.is_finite() && clear.is_finite()) {
        return Err(format!("{on} and {clear}: not both are a number"));
    }
    if falling && clear < on || !falling && clear > on {
        let (name, side) = if falling {
            ("below", "below")
        } else {
            ("above", "above")
        };
        return Err(format!(
            "clear = {clear} lies {side} {name} = {on}: it must lie on the other side, or be equal"
        ));
    }
    let measure = Measure {
        quantity,
        unit: rule.unit.unwrap_or_default(),
        on,
        clear,
        falling,
    };
    // Danger is exactly 1 and 0 there.
    Ok((Some(measure), [1.0, 0.0]))
}

fn pin_line(board: &Board, name: &str) -> Result<ChipLine, String> {
    let pin = board.find_pin(name).map_err(|e| e.to_string())?;
    Ok(ChipLine {
        chip: pin.chip.clone(),
        line: pin.line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::Class;

    fn rule() -> RuleConfig {
        RuleConfig {
            name: "stop".into(),
            classes: vec!["car".into()],
            region: None,
            on: Some(0.1),
            off: Some(0.05),
            measure: None,
            unit: None,
            below: None,
            above: None,
            clear: None,
            dwell_ms: 0,
            max_age_ms: None,
            min_rate: None,
            pin: None,
            active: LevelName::High,
            safe: LevelName::High,
        }
    }

    fn reason(change: impl FnOnce(&mut RuleConfig)) -> String {
        let class = |name: &str| Class {
            name: name.into(),
            colour: [0; 3],
        };
        let classes = Classes::new(vec![class("Road"), class("Car")]);
        let board = Board::by_name("raspberry-pi-5").unwrap();
        let mut rule = rule();
        change(&mut rule);
        match compile(&[rule], &classes, &board) {
            Ok(rules) => format!("ok {:?}", rules[0].line),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(reason(|_| {}), "ok None");
        assert!(reason(|r| r.classes = vec!["Cart".into()]).contains("Road, Car"));
        let two = vec![[0.0, 0.0], [1.0, 1.0]];
        assert!(reason(|r| r.region = Some(two)).contains("2"));
        assert!(reason(|r| r.on = Some(0.01)).contains("below"));
        assert!(reason(|r| r.off = None).contains("needs on and off"));
        assert!(reason(|r| r.on = Some(f32::NAN)).starts_with("rule 'stop'"));
        assert!(reason(|r| r.dwell_ms = u64::MAX).contains("dwell_ms"));
        assert!(reason(|r| r.max_age_ms = Some(0)).contains("max_age_ms"));
        assert!(reason(|r| r.min_rate = Some(0.0)).contains("min_rate"));
        assert!(reason(|r| r.min_rate = Some(f32::NAN)).contains("min_rate"));
        assert!(reason(|r| r.pin = Some(PinRef::Name("GPIO99".into()))).contains("GPIO99"));
    }

    #[test]
    fn pins_are_found_by_header_and_name() {
        let by_header = reason(|r| r.pin = Some(PinRef::Header(11)));
        let by_name = reason(|r| r.pin = Some(PinRef::Name("GPIO17".into())));
        assert_eq!(by_header, by_name);
        assert!(
            by_name.contains("pinctrl-rp1") && by_name.contains("17"),
            "{by_name}"
        );
    }
}
