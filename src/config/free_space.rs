//! What is measured of the free ground, as a user writes it.

use serde::{Deserialize, Serialize};

use super::{CompiledRule, ConfigError};
use crate::classes::Classes;
use crate::postprocess::free_space::{At, Plan, Unit};
use crate::postprocess::ground::Ground;

/// Most rows and distances together.
pub const MAX_CORRIDORS: usize = 16;

/// The `[free_space]` table; see [`crate::postprocess::free_space`] for what it means.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FreeSpaceConfig {
    /// Names of the classes that may be driven on; all others block.
    pub drivable: Vec<String>,
    /// Where the scan begins, as a share of the picture's height; its lower edge if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bottom: Option<f64>,
    /// Shares of the picture's width between which the nearest obstacle is looked for; all
    /// of it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<[f64; 2]>,
    /// The same in metres on the ground, right of the middle positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateral: Option<[f64; 2]>,
    /// Shares of the picture's height at which the corridor is measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<f64>,
    /// Metres ahead at which the corridor is measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distances: Vec<f64>,
    /// Whether results list the free rows of every column.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub profile: bool,
    /// The view of the ground; no metres if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground: Option<GroundConfig>,
}

/// The `[free_space.ground]` table: four points, or a matrix.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroundConfig {
    /// Four places in the picture, as shares of its width and height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<[[f64; 2]; 4]>,
    /// The places on the ground that are seen there: metres to the right and ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metres: Option<[[f64; 2]; 4]>,
    /// From the picture to the ground, row by row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<[f64; 9]>,
}

/// Checks the table against a model's classes, and that rules measure only what it says.
/// `None` where nothing is measured.
///
/// # Errors
/// [`ConfigError::FreeSpace`] naming the key at fault, [`ConfigError::Rule`] for a rule
/// that measures what is not declared.
pub fn compile(
    config: Option<&FreeSpaceConfig>,
    classes: &Classes,
    rules: &[CompiledRule],
) -> Result<Option<Plan>, ConfigError> {
    let plan = config
        .map(|config| plan(config, classes).map_err(|reason| ConfigError::FreeSpace { reason }))
        .transpose()?;
    for rule in rules {
        let Some(measure) = &rule.measure else {
            continue;
        };
        let fail = |reason: &str| ConfigError::Rule {
            name: rule.name.clone(),
            reason: reason.into(),
        };
        let Some(plan) = &plan else {
            return Err(fail("measures free space: add a [free_space] table"));
        };
        if measure.unit == Unit::Metres && plan.ground.is_none() {
            return Err(fail(
                "measures metres: add [free_space.ground], or say unit = \"pixels\"",
            ));
        }
        if measure.quantity.is_of_corridors() && plan.corridors.is_empty() {
            return Err(fail(
                "measures the corridor: say where, with rows or distances in [free_space]",
            ));
        }
    }
    Ok(plan)
}

fn plan(config: &FreeSpaceConfig, classes: &Classes) -> Result<Plan, String> {
    if config.drivable.is_empty() {
        return Err("drivable names no class".into());
    }
    let mut drivable = crate::postprocess::region::ClassSet::default();
    for name in &config.drivable {
        let label = classes.find(name).ok_or_else(|| {
            format!(
                "drivable: the model has no class '{name}'; its classes are {}",
                classes.names()
            )
        })?;
        drivable.insert(label);
    }
    let bottom = config.bottom.unwrap_or(1.0);
    if !(bottom > 0.0 && bottom <= 1.0) {
        return Err(format!("bottom = {bottom}: must be above 0, at most 1"));
    }
    let columns = config.columns.unwrap_or([0.0, 1.0]);
    if !(0.0 <= columns[0] && columns[0] < columns[1] && columns[1] <= 1.0) {
        return Err(format!(
            "columns = {columns:?}: must be two shares of the width, the smaller one first"
        ));
    }
    let ground = config.ground.as_ref().map(ground).transpose()?;
    if let Some([left, right]) = config.lateral {
        if !(left.is_finite() && right.is_finite() && left < right) {
            return Err(format!(
                "lateral = [{left}, {right}]: must be two numbers of metres, the smaller one first"
            ));
        }
        if ground.is_none() {
            return Err("lateral is in metres: add [free_space.ground]".into());
        }
    }
    if config.rows.len() + config.distances.len() > MAX_CORRIDORS {
        return Err(format!("more than {MAX_CORRIDORS} rows and distances"));
    }
    if let Some(row) = config.rows.iter().find(|row| !(0.0..1.0).contains(*row)) {
        return Err(format!(
            "rows: {row} is not a share of the height, 0 to below 1"
        ));
    }
    if let Some(metres) = config
        .distances
        .iter()
        .find(|m| !(**m > 0.0 && m.is_finite()))
    {
        return Err(format!(
            "distances: {metres} is not a number of metres ahead"
        ));
    }
    if !config.distances.is_empty() && ground.is_none() {
        return Err("distances are in metres: add [free_space.ground]".into());
    }
    let rows = config.rows.iter().map(|&row| At::Row(row));
    let metres = config.distances.iter().map(|&metres| At::Metres(metres));
    Ok(Plan {
        drivable,
        bottom,
        columns,
        lateral: config.lateral,
        corridors: rows.chain(metres).collect(),
        ground,
        profile: config.profile,
    })
}

fn ground(config: &GroundConfig) -> Result<Ground, String> {
    let ground = match (&config.picture, &config.metres, &config.matrix) {
        (Some(picture), Some(metres), None) => Ground::from_points(picture, metres),
        (None, None, Some(matrix)) => Ground::from_matrix(matrix),
        _ => {
            return Err(
                "ground: give picture and metres, four points each, or matrix, nine numbers".into(),
            );
        }
    };
    ground.map_err(|error| format!("ground: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;
    use crate::classes::Class;
    use crate::config::{RunConfig, rule};

    const RULE: &str =
        "[[rule]]\nname = \"stop\"\nmeasure = \"nearest\"\nbelow = 1.5\nclear = 1.8\n";
    const GROUND: &str = "[free_space.ground]\nmatrix = [1, 0, -0.5, 0, 0, 1.5, 0, 1, -0.5]\n";

    fn compiled(text: &str) -> Result<(Option<Plan>, Vec<CompiledRule>), String> {
        let config = RunConfig::parse(text, "a.toml").map_err(|e| e.to_string())?;
        let class = |name: &str| Class {
            name: name.into(),
            colour: [0; 3],
        };
        let classes = Classes::new(vec![class("Road"), class("Car")]);
        let board = Board::by_name("host").unwrap();
        let rules = rule::compile(&config.rules, &classes, &board).map_err(|e| e.to_string())?;
        let plan = compile(config.free_space.as_ref(), &classes, &rules);
        Ok((plan.map_err(|e| e.to_string())?, rules))
    }

    fn refused(text: &str) -> String {
        compiled(text).unwrap_err()
    }

    #[test]
    fn a_table_and_a_rule_become_a_plan_and_a_measure() {
        let table = "[free_space]\ndrivable = [\"road\"]\nrows = [0.7]\ndistances = [4.0]\n";
        let (plan, rules) = compiled(&format!("{RULE}{table}{GROUND}")).unwrap();
        let plan = plan.unwrap();
        assert!(plan.drivable.contains(0) && !plan.drivable.contains(1));
        assert_eq!(plan.corridors, [At::Row(0.7), At::Metres(4.0)]);
        let measure = rules[0].measure.unwrap();
        assert_eq!(
            (measure.on, measure.clear, measure.falling),
            (1.5, 1.8, true)
        );
        assert_eq!((rules[0].spec.on, rules[0].spec.off), (1.0, 0.0));
        assert_eq!(compiled("").unwrap().0, None);
    }

    #[test]
    fn each_fault_is_named() {
        let table = |rest: &str| format!("[free_space]\ndrivable = [\"Road\"]\n{rest}\n");
        for (text, word) in [
            ("[free_space]\ndrivable = []\n".to_owned(), "names no class"),
            (
                "[free_space]\ndrivable = [\"Sea\"]\n".to_owned(),
                "Road, Car",
            ),
            (table("bottom = 0.0"), "bottom"),
            (table("bottom = nan"), "bottom"),
            (table("columns = [0.6, 0.4]"), "columns"),
            (table("lateral = [-1.0, 1.0]"), "ground"),
            (table(&format!("lateral = [1.0, nan]\n{GROUND}")), "lateral"),
            (table("rows = [1.0]"), "rows"),
            (table(&format!("rows = {:?}", [0.5; 17])), "16"),
            (table("distances = [3.0]"), "ground"),
            (table(&format!("distances = [-3.0]\n{GROUND}")), "distances"),
            (table("[free_space.ground]"), "nine numbers"),
            (
                table("[free_space.ground]\nmatrix = [0, 0, 0, 0, 0, 0, 0, 0, 0]"),
                "no inverse",
            ),
            (table("speed = 3"), "speed"),
            (RULE.to_owned(), "rule 'stop'"),
            (format!("{RULE}{}", table("")), "pixels"),
            (
                format!(
                    "{}unit = \"pixels\"\n{}",
                    RULE.replace("nearest", "width"),
                    table("")
                ),
                "rows or distances",
            ),
        ] {
            let error = refused(&text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_rule_says_which_way_danger_lies() {
        for (from, to, word) in [
            ("clear = 1.8", "clear = 1.2", "below"),
            ("clear = 1.8", "", "clear"),
            ("below = 1.5", "above = 1.5", "above"),
            ("below = 1.5", "below = 1.5\nabove = 1.2", "below or above"),
            ("below = 1.5", "below = nan", "number"),
            ("below = 1.5", "below = 1.5\non = 0.5", "on and off"),
            ("below = 1.5", "below = 1.5\nclasses = [\"Car\"]", "classes"),
            (
                "measure = \"nearest\"",
                "classes = [\"Car\"]\non = 0.2\noff = 0.1",
                "measure",
            ),
        ] {
            let error = refused(&RULE.replace(from, to));
            assert!(error.contains(word), "{to}: {error}");
        }
    }
}
