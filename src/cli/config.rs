//! `atrous config`.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};

use atrous::config::{
    ConfigError, DEFAULT_NAME, Flags, Origin, Settings, TEMPLATE, free_space, heartbeat, rule,
};
use atrous::sink;
use atrous::source::scene;

use atrous::engine::program::Options;

use super::apart::{self, Claims};
use super::import::{ImportLimits, Importer};
use super::output::{print, print_json};
use super::places::sink_options;
use super::run::truth_of;
use super::runtime::Wanted;
use super::{Global, model};

/// Arguments of `atrous config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write a commented config to start from.
    Init {
        /// Where to; an existing file is left alone.
        #[arg(default_value = DEFAULT_NAME)]
        path: PathBuf,
    },
    /// Check a config: values, model, classes, rules, pins.
    Check {
        /// The config; atrous.toml in the current folder if not given.
        path: Option<PathBuf>,
        #[command(flatten)]
        limits: ImportLimits,
    },
    /// Show each effective value and where it came from.
    Show {
        /// The config; atrous.toml in the current folder if there is one.
        path: Option<PathBuf>,
    },
}

/// Runs one of the actions.
pub fn run(args: &ConfigArgs, global: &Global) -> Result<()> {
    match &args.action {
        Action::Init { path } => init(path),
        Action::Check { path, limits } => check(path.clone(), &limits.importer(global)),
        Action::Show { path } => show(path.clone(), global),
    }
}

fn init(path: &Path) -> Result<()> {
    let fail = |reason: String| ConfigError::Read {
        path: path.display().to_string(),
        reason,
    };
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path);
    let mut file = file.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => fail("exists already; it is left as it is".into()),
        ErrorKind::PermissionDenied => fail(format!(
            "permission denied; name a file where this user may write: \
             atrous config init ~/{DEFAULT_NAME}"
        )),
        ErrorKind::NotFound => fail("there is no such folder; make it first: mkdir -p".into()),
        _ => fail(e.to_string()),
    })?;
    if let Err(error) = file.write_all(TEMPLATE.as_bytes()) {
        // Half a config would be worse than none.
        let _ = std::fs::remove_file(path);
        return Err(fail(error.to_string()).into());
    }
    print(&format!(
        "wrote {}; `atrous config check {}` checks it\n",
        path.display(),
        path.display()
    ))
}

fn settings(path: Option<PathBuf>) -> Result<Vec<Settings>> {
    let flags = Flags {
        config: path,
        ..Flags::default()
    };
    Ok(Settings::resolve_all(&flags, |key| {
        std::env::var(key).ok()
    })?)
}

fn check(path: Option<PathBuf>, importer: &Importer) -> Result<()> {
    let path = path.unwrap_or_else(|| PathBuf::from(DEFAULT_NAME));
    let all = settings(Some(path.clone()))?;
    let (mut text, mut claims) = (String::new(), Vec::new());
    for settings in &all {
        let (found, wanted) = check_one(settings, importer)?;
        claims.push(wanted);
        match &settings.name {
            None => writeln!(text, "{}: valid; {found}", path.display())?,
            Some(name) => writeln!(text, "{}: pipeline '{name}' valid; {found}", path.display())?,
        }
    }
    apart::check(&claims)?;
    print(&text)
}

/// Checks one pipeline; tells what it has and what it wants for itself.
fn check_one(settings: &Settings, importer: &Importer) -> Result<(String, Claims)> {
    let options = sink_options(settings)?;
    sink::check(&settings.sinks.value, &options)?;
    let (name, classes) = if truth_of(settings)?.is_some() {
        ("truth".to_owned(), scene::classes())
    } else {
        let manifest = model::open(
            &settings.model.value,
            Wanted::CPU,
            importer,
            Options::default(),
        )?
        .manifest;
        (manifest.name, manifest.classes)
    };
    sink::check_classes(&settings.sinks.value, &options, &classes)?;
    let board = &settings.board.value;
    let rules = rule::compile(&settings.rules.value, &classes, board)?;
    let heartbeat = settings.heartbeat.value.as_ref();
    let heartbeat = heartbeat
        .map(|config| heartbeat::compile(config, &rules, board))
        .transpose()?;
    free_space::compile(settings.free_space.value.as_ref(), &classes, &rules)?;
    if let Some(realtime) = &settings.realtime.value {
        realtime.compile(board)?;
    }
    let found = format!(
        "model {name} with {}, {}, board {}",
        count(classes.len(), "class", "classes"),
        count(rules.len(), "rule", "rules"),
        board.name
    );
    Ok((found, Claims::new(settings, &rules, heartbeat.as_ref())))
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What is shown of a setting.
type Row = (&'static str, serde_json::Value, Origin);

fn show(path: Option<PathBuf>, global: &Global) -> Result<()> {
    let all = settings(path)?;
    if global.json {
        let mut objects = Vec::new();
        for settings in all {
            let name = settings.name.clone();
            let rows = rows(settings)?.into_iter();
            let pairs = rows.map(|(key, value, origin)| {
                let pair = serde_json::json!({ "value": value, "origin": origin.to_string() });
                (key.to_owned(), pair)
            });
            objects.push((name, pairs.collect::<serde_json::Map<_, _>>()));
        }
        return match &objects[..] {
            [(None, only)] => print_json(only),
            several => {
                print_json(&serde_json::Map::from_iter(several.iter().map(
                    |(name, rows)| (name.clone().unwrap_or_default(), rows.clone().into()),
                )))
            }
        };
    }
    let mut text = String::new();
    for settings in all {
        if let Some(name) = &settings.name {
            writeln!(text, "pipeline {name}")?;
        }
        for (key, value, origin) in rows(settings)? {
            let value = value.to_string();
            writeln!(text, "{key:<13} {value:<28} ({origin})")?;
        }
    }
    print(&text)
}

fn rows(s: Settings) -> Result<Vec<Row>> {
    let visualize: Vec<String> = s.visualize.value.iter().map(ToString::to_string).collect();
    let rules: Vec<&str> = s.rules.value.iter().map(|r| r.name.as_str()).collect();
    let drivable = s.free_space.value.map(|space| space.drivable);
    let engine = serde_json::to_value(s.engine_use)?;
    let mut rows: Vec<Row> = vec![
        ("source", s.source.value.into(), s.source.origin.clone()),
        ("model", s.model.value.into(), s.model.origin),
        ("board", s.board.value.name.into(), s.board.origin),
        ("sinks", s.sinks.value.into(), s.sinks.origin),
        ("visualize", visualize.into(), s.visualize.origin),
        ("alpha", f64::from(s.alpha.value).into(), s.alpha.origin),
        ("frames", s.frames.value.into(), s.frames.origin),
        ("threads", s.threads.value.into(), s.threads.origin),
        ("min_area", s.min_area.value.into(), s.min_area.origin),
        ("vote", s.vote.value.into(), s.vote.origin),
        (
            "effect",
            serde_json::to_value(&s.effect.value)?,
            s.effect.origin,
        ),
        ("tile", serde_json::to_value(s.tile.value)?, s.tile.origin),
        ("free_space", drivable.into(), s.free_space.origin),
        (
            "dry_run_gpio",
            s.dry_run_gpio.value.into(),
            s.dry_run_gpio.origin,
        ),
        (
            "watchdog_ms",
            s.watchdog_ms.value.into(),
            s.watchdog_ms.origin,
        ),
        (
            "heartbeat",
            serde_json::to_value(&s.heartbeat.value)?,
            s.heartbeat.origin,
        ),
        (
            "camera",
            serde_json::to_value(&s.camera.value)?,
            s.camera.origin,
        ),
        (
            "realtime",
            serde_json::to_value(&s.realtime.value)?,
            s.realtime.origin,
        ),
        ("rules", rules.into(), s.rules.origin),
    ];
    if s.name.is_some() {
        rows.insert(2, ("engine", engine, s.source.origin));
    }
    Ok(rows)
}
