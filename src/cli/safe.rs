//! `atrous safe`: what a service manager calls after a run that could not tidy up.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use atrous::config::{Flags, Settings, heartbeat, rule};
use atrous::gpio;
use atrous::trigger::Level;

use super::Global;
use super::output::tell;

/// Arguments of `atrous safe`.
#[derive(Debug, Args)]
#[command(
    after_help = "A run leaves its lines safe by itself, however it ends, unless it is killed\n\
    outright. For that case a systemd unit has this command as its ExecStopPost. No model and\n\
    no camera is opened. A line that another program holds is an error."
)]
pub struct SafeArgs {
    /// Run config; atrous.toml in the current folder is read if there is one.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Board name or board file; detected if not given.
    #[arg(long)]
    board: Option<String>,
}

/// Drives every line, also after one that could not be driven; the first error counts.
pub fn run(args: &SafeArgs, global: &Global) -> Result<()> {
    let flags = Flags {
        config: args.config.clone(),
        board: args.board.clone(),
        ..Flags::default()
    };
    let all = Settings::resolve_all(&flags, |key| std::env::var(key).ok())?;
    let mut lines = Vec::new();
    for settings in &all {
        let board = &settings.board.value;
        lines.extend(rule::safe_levels(&settings.rules.value, board)?);
        if let Some(config) = &settings.heartbeat.value {
            let line = heartbeat::compile(config, &[], board)?.line;
            lines.push(("heartbeat".into(), line, Level::Low));
        }
    }
    if lines.is_empty() && global.chatty() {
        tell("nothing in the config drives a line");
    }
    let mut first = None;
    for (name, line, level) in lines {
        // The kernel drives a line from the moment it is asked for; most keep the level after that.
        match gpio::open_line(&line.chip, line.line, level, "atrous").with_context(|| name.clone())
        {
            Ok(_) if global.chatty() => {
                tell(format_args!("{name}: {}:{} {level}", line.chip, line.line));
            }
            Ok(_) => {}
            Err(error) if first.is_some() => tell(format_args!("{error:#}")),
            Err(error) => first = Some(error),
        }
    }
    first.map_or(Ok(()), Err)
}
