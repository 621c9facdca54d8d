//! The heartbeat line as a user writes it, and as the pipeline drives it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::rule::{ChipLine, CompiledRule, DEFAULT_MAX_AGE, MAX_MILLIS, PinRef, find_line};
use crate::board::Board;
use crate::trigger::HeartbeatSpec;

/// Edges a second where the config does not say.
pub const DEFAULT_MAX_RATE: f32 = 10.0;

/// The `[heartbeat]` table.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatConfig {
    /// The pin to toggle.
    pub pin: PinRef,
    /// Most edges a second, 0.01..=1000; [`DEFAULT_MAX_RATE`] if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<f32>,
    /// Age from which a result is no sign of life, in milliseconds, 1 to an hour's;
    /// [`DEFAULT_MAX_AGE`] if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_ms: Option<u64>,
}

/// A heartbeat with its pin looked up and its rate checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledHeartbeat {
    /// The line to drive.
    pub line: ChipLine,
    /// How it beats.
    pub spec: HeartbeatSpec,
}

/// Checks a heartbeat against the board's pins and the rules'.
///
/// # Errors
/// [`ConfigError::Heartbeat`], saying what is wrong and what is allowed.
pub fn compile(
    config: &HeartbeatConfig,
    rules: &[CompiledRule],
    board: &Board,
) -> Result<CompiledHeartbeat, ConfigError> {
    let fail = |reason| ConfigError::Heartbeat { reason };
    let rate = config.max_rate.unwrap_or(DEFAULT_MAX_RATE);
    if !(0.01..=1000.0).contains(&rate) {
        return Err(fail(format!(
            "max_rate = {rate}: must be from 0.01 to 1000 (edges a second)"
        )));
    }
    let line = find_line(&config.pin, board).map_err(fail)?;
    if let Some(rule) = rules.iter().find(|rule| rule.line.as_ref() == Some(&line)) {
        return Err(fail(format!("has the same pin as rule '{}'", rule.name)));
    }
    let max_age = match config.max_age_ms {
        None => DEFAULT_MAX_AGE,
        Some(millis @ 1..=MAX_MILLIS) => Duration::from_millis(millis),
        Some(millis) => {
            return Err(fail(format!(
                "max_age_ms = {millis}: must be from 1 to {MAX_MILLIS}"
            )));
        }
    };
    Ok(CompiledHeartbeat {
        line,
        spec: HeartbeatSpec {
            interval: Duration::from_secs_f64(1.0 / f64::from(rate)),
            max_age,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::{Class, Classes};
    use crate::config::{RunConfig, rule};

    fn compiled(text: &str) -> Result<CompiledHeartbeat, String> {
        let config = RunConfig::parse(text, "a.toml").unwrap();
        let board = Board::by_name("raspberry-pi-5").unwrap();
        let classes = Classes::new(vec![Class {
            name: "Car".into(),
            colour: [0; 3],
        }]);
        let rules = rule::compile(&config.rules, &classes, &board).unwrap();
        compile(&config.heartbeat.unwrap(), &rules, &board).map_err(|e| e.to_string())
    }

    #[test]
    fn the_rate_becomes_an_interval() {
        let heartbeat = compiled("[heartbeat]\npin = \"GPIO17\"\nmax_rate = 4").unwrap();
        assert_eq!(heartbeat.spec.interval, Duration::from_millis(250));
        assert_eq!(heartbeat.line.line, 17);
        let heartbeat = compiled("[heartbeat]\npin = 11").unwrap();
        assert_eq!(heartbeat.spec.interval, Duration::from_millis(100));
    }

    #[test]
    fn each_fault_is_named() {
        for rate in ["0", "nan", "-1", "1e9"] {
            let text = format!("[heartbeat]\npin = 11\nmax_rate = {rate}");
            assert!(compiled(&text).unwrap_err().contains("max_rate"));
        }
        let error = compiled("[heartbeat]\npin = \"GPIO99\"").unwrap_err();
        assert!(error.contains("GPIO99"), "{error}");
        let rule =
            "[[rule]]\nname = \"stop\"\nclasses = [\"Car\"]\non = 0.1\noff = 0.1\npin = 11\n";
        let error = compiled(&format!("{rule}[heartbeat]\npin = \"GPIO17\"")).unwrap_err();
        assert!(error.contains("rule 'stop'"), "{error}");
    }
}
