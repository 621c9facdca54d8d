//! The lines of a pipeline: rules and heartbeat looked up, their pins, other rules later.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use atrous::classes::Classes;
use atrous::config::rule::ChipLine;
use atrous::config::{
    CompiledHeartbeat, CompiledRule, ConfigError, Flags, Settings, free_space, heartbeat, rule,
};
use atrous::gpio::{self, DryEdge, DryLine, GpioError, Pin};
use atrous::pipeline::{Reload, journal};
use atrous::trigger::{HeartbeatSpec, Level};

use crate::cli::output::tell;

/// Looks up every name that rules and heartbeat use.
pub fn compile(
    settings: &Settings,
    classes: &Classes,
) -> Result<(Vec<CompiledRule>, Option<CompiledHeartbeat>), ConfigError> {
    let board = &settings.board.value;
    let rules = rule::compile(&settings.rules.value, classes, board)?;
    let heartbeat = settings.heartbeat.value.as_ref();
    let heartbeat = heartbeat
        .map(|config| heartbeat::compile(config, &rules, board))
        .transpose()?;
    Ok((rules, heartbeat))
}

/// How the rules are read anew on SIGHUP: from the same config, with the same flags.
/// A SIGHUP that comes from a terminal being closed sets `stop` instead.
pub fn reload(
    requested: Arc<AtomicBool>,
    stop: &Arc<AtomicBool>,
    flags: Flags,
    mut settings: Settings,
    classes: Classes,
) -> Reload {
    let dry_run = settings.dry_run_gpio.value;
    let run = journal::prefix(settings.name.as_deref());
    let (stop, on_terminal) = (Arc::clone(stop), std::io::stdin().is_terminal());
    let read = move || {
        // The terminal has gone, and with it whoever started the run.
        if on_terminal && !std::io::stdin().is_terminal() {
            stop.store(true, Ordering::Relaxed);
            return None;
        }
        let read = Settings::resolve_all(&flags, |key| std::env::var(key).ok());
        let found = read.and_then(|all| {
            let found = all.into_iter().find(|found| found.name == settings.name);
            let found = found.ok_or_else(|| gone(&settings))?;
            let rules = compile(&found, &classes)?.0;
            free_space::compile(settings.free_space.value.as_ref(), &classes, &rules)?;
            Ok((rules, found))
        });
        let (rules, found) = match found {
            Ok(found) => found,
            Err(error) => {
                log::error!("{run}rules not reloaded, the old ones stay: {error}");
                return None;
            }
        };
        let changed = settings.changed(&found);
        if !changed.is_empty() {
            log::warn!(
                "{run}only rules are reloaded; {} needs a restart",
                changed.join(", ")
            );
        }
        // The rest of the settings stays what the run was started with.
        settings.rules = found.rules;
        Some(rules)
    };
    Reload {
        requested,
        read: Box::new(read),
        open: Box::new(move |rule| open_pin(rule, dry_run).map_err(|e| format!("{e:#}"))),
    }
}

/// What is said of a pipeline that the config has no longer.
fn gone(settings: &Settings) -> ConfigError {
    ConfigError::Pipeline {
        path: settings.source.origin.to_string(),
        name: settings.name.clone().unwrap_or_default(),
        reason: "it is not in the config any more; that needs a restart".into(),
    }
}

/// A pin for each rule, at its safe level; with `dry_run` one that prints its edges.
pub fn open_pins(rules: &[CompiledRule], dry_run: bool) -> Result<Vec<Pin>> {
    rules.iter().map(|rule| open_pin(rule, dry_run)).collect()
}

fn open_pin(rule: &CompiledRule, dry_run: bool) -> Result<Pin> {
    let safe = rule.spec.safe;
    match &rule.line {
        // A rule without a pin has its state all the same: a line that tells nobody.
        None => Ok(Pin::Dry(DryLine::new("", 0, safe, &rule.name, |_| {}))),
        Some(line) => open_line(line, safe, &rule.name, dry_run)
            .with_context(|| format!("rule '{}'", rule.name)),
    }
}

/// The pin of the heartbeat, low, and the least time between two edges.
pub fn open_heartbeat(
    heartbeat: Option<CompiledHeartbeat>,
    dry_run: bool,
) -> Result<Option<(Pin, HeartbeatSpec)>> {
    let Some(CompiledHeartbeat { line, spec }) = heartbeat else {
        return Ok(None);
    };
    let pin = open_line(&line, Level::Low, "heartbeat", dry_run).context("heartbeat")?;
    Ok(Some((pin, spec)))
}

fn open_line(line: &ChipLine, level: Level, user: &str, dry_run: bool) -> Result<Pin, GpioError> {
    if dry_run {
        let tell = |edge: &DryEdge| tell(edge);
        return Ok(Pin::Dry(DryLine::new(
            &line.chip, line.line, level, user, tell,
        )));
    }
    gpio::open_line(&line.chip, line.line, level, "atrous").map(Pin::Line)
}
