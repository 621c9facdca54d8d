//! `atrous config`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use atrous::config::{ConfigError, DEFAULT_NAME, Flags, Origin, Settings, TEMPLATE, rule};
use atrous::model::Model;
use atrous::sink;
use atrous::source::SourceUri;

use super::Global;

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
        Action::Check { path } => check(path.clone()),
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
        std::io::ErrorKind::AlreadyExists => fail("exists already; it is left as it is".into()),
        _ => fail(e.to_string()),
    })?;
    if let Err(error) = file.write_all(TEMPLATE.as_bytes()) {
        // Half a config would be worse than none.
        let _ = std::fs::remove_file(path);
        return Err(fail(error.to_string()).into());
    }
    println!(
        "wrote {}; `atrous config check {}` checks it",
        path.display(),
        path.display()
    );
    Ok(())
}

fn settings(path: Option<PathBuf>) -> Result<Settings> {
    let flags = Flags {
        config: path,
        ..Flags::default()
    };
    Ok(Settings::resolve(&flags, |key| std::env::var(key).ok())?)
}

fn check(path: Option<PathBuf>) -> Result<()> {
    let path = path.unwrap_or_else(|| PathBuf::from(DEFAULT_NAME));
    let settings = settings(Some(path.clone()))?;
    SourceUri::parse(&settings.source.value)?;
    for sink in &settings.sinks.value {
        sink::check(sink)?;
    }
    let model = Model::open(&settings.model.value)?;
    let classes = &model.manifest.classes;
    let rules = rule::compile(&settings.rules.value, classes, &settings.board.value)?;
    println!(
        "{}: valid; model {} with {} classes, {} rules, board {}",
        path.display(),
        model.manifest.name,
        classes.len(),
        rules.len(),
        settings.board.value.name
    );
    Ok(())
}

fn show(path: Option<PathBuf>, global: &Global) -> Result<()> {
    let s = settings(path)?;
    let visualize: Vec<String> = s.visualize.value.iter().map(ToString::to_string).collect();
    let rules: Vec<&str> = s.rules.value.iter().map(|r| r.name.as_str()).collect();
    let rows: [(&str, serde_json::Value, &Origin); 10] = [
        ("source", s.source.value.into(), &s.source.origin),
        ("model", s.model.value.into(), &s.model.origin),
        ("board", s.board.value.name.clone().into(), &s.board.origin),
        ("sinks", s.sinks.value.into(), &s.sinks.origin),
        ("visualize", visualize.into(), &s.visualize.origin),
        ("alpha", f64::from(s.alpha.value).into(), &s.alpha.origin),
        ("frames", s.frames.value.into(), &s.frames.origin),
        ("min_area", s.min_area.value.into(), &s.min_area.origin),
        (
            "dry_run_gpio",
            s.dry_run_gpio.value.into(),
            &s.dry_run_gpio.origin,
        ),
        ("rules", rules.into(), &s.rules.origin),
    ];
    let mut out = std::io::stdout().lock();
    if global.json {
        let object: serde_json::Map<String, serde_json::Value> = rows
            .into_iter()
            .map(|(key, value, origin)| {
                let pair = serde_json::json!({ "value": value, "origin": origin.to_string() });
                (key.to_owned(), pair)
            })
            .collect();
        return writeln!(out, "{}", serde_json::Value::Object(object)).context("stdout");
    }
    for (key, value, origin) in rows {
        let value = value.to_string();
        writeln!(out, "{key:<13} {value:<28} ({origin})").context("stdout")?;
    }
    Ok(())
}
