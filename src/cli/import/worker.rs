//! The other process: sets its own limits, imports, and writes what came of it to
//! its stdout.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use atrous::engine::program::Options;
use atrous::guard;
use atrous::model::MAX_FILE_BYTES;
use clap::Args;
use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::super::exit;
use super::{Facts, Float, Imported, Outcome, Refused, Request, import};
use crate::cli::compile::{Labels, size_of};

/// Arguments of the hidden command that this program starts itself with.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Id of the process that waits for the answer.
    #[arg(long)]
    parent: i32,
    /// Limit of the address space in MiB.
    #[arg(long)]
    memory: u64,
    /// Limit of the time in seconds.
    #[arg(long)]
    seconds: u64,
    #[arg(long, value_parser = size_of)]
    size: Option<(u32, u32)>,
    #[arg(long, value_enum, default_value_t)]
    labels: Labels,
    #[arg(long)]
    program_only: bool,
    model: String,
}

impl WorkerArgs {
    /// The command line of the same arguments, without the program's name.
    pub fn command_line(
        name: &str,
        request: &Request,
        (memory, timeout): (u64, Duration),
    ) -> Vec<String> {
        let mut line = vec![
            format!("--parent={}", std::process::id()),
            format!("--memory={memory}"),
            format!("--seconds={}", timeout.as_secs()),
        ];
        if let Some((width, height)) = request.size {
            line.push(format!("--size={width}x{height}"));
        }
        let labels = clap::ValueEnum::to_possible_value(&Labels::from(request.ending));
        line.extend(labels.map(|value| format!("--labels={}", value.get_name())));
        if request.program_only {
            line.push("--program-only".into());
        }
        // The model's name may begin with a dash.
        line.extend(["--".into(), name.to_owned()]);
        line
    }

    fn request(&self) -> Request {
        Request {
            size: self.size,
            ending: self.labels.into(),
            program_only: self.program_only,
        }
    }
}

/// The first line of the answer, JSON; the bytes of an artifact follow it where there
/// is a program.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    Program {
        facts: Facts,
        largest_live_bytes: u64,
    },
    Float {
        facts: Facts,
        float: Float,
    },
    /// The model was rejected, with an exit code.
    Refused {
        message: String,
        code: u8,
    },
}

/// Imports under limits, and answers.
pub fn run(args: &WorkerArgs) -> Result<()> {
    confine(args)?;
    let (answer, artifact) = guard::contain(|| imported(args))
        .unwrap_or_else(|panic| {
            Err(Refused::model(format!(
                "model '{}': its import gave up: {panic}; the file is damaged or hostile: fetch \
                 it again from a source you trust",
                args.model
            ))
            .into())
        })
        .unwrap_or_else(|error| {
            let refused = Answer::Refused {
                message: format!("{error:#}"),
                code: exit::code(&error),
            };
            (refused, Vec::new())
        });
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)
        .and_then(|()| out.write_all(&artifact))
        .and_then(|()| out.flush())
        .context("cannot answer")
}

fn imported(args: &WorkerArgs) -> Result<(Answer, Vec<u8>)> {
    let request = args.request();
    let Imported { facts, outcome } = import(&args.model, &request)?;
    match outcome {
        Outcome::Program {
            artifact,
            largest_live_bytes,
        } => {
            let bytes = artifact.to_bytes(&facts.origin)?;
            let answer = Answer::Program {
                facts,
                largest_live_bytes,
            };
            Ok((answer, bytes))
        }
        Outcome::Float { float, source } => {
            if let Some(source) = source.filter(|_| !request.program_only) {
                // Only to see that it can be done: the parent does it again.
                source.segmenter(float.is_float, Options::default())?;
            }
            Ok((Answer::Float { facts, float }, Vec::new()))
        }
    }
}

/// Ties this process to its parent's life and to its limits.
fn confine(args: &WorkerArgs) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot be tied to the parent process")?;
    // It may have ended before that.
    if getppid().map_or(0, Pid::as_raw_pid) != args.parent {
        bail!("this command is started by atrous itself; use `atrous compile`");
    }
    let limits = [
        (Resource::As, args.memory.saturating_mul(1 << 20)),
        // The parent's own clock comes first, unless the parent is stopped.
        (Resource::Cpu, args.seconds.saturating_add(1)),
        // The answer: an artifact, and a line.
        (Resource::Fsize, MAX_FILE_BYTES + (1 << 24)),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        // No higher than what this process was given.
        let given = getrlimit(resource).maximum;
        let limit = given.map_or(limit, |given| given.min(limit));
        // At the higher one of processor time the kernel kills without saying why.
        let margin = u64::from(resource == Resource::Cpu);
        let limits = Rlimit {
            current: Some(limit),
            maximum: Some(given.map_or(limit + margin, |given| given.min(limit + margin))),
        };
        setrlimit(resource, limits).context("cannot limit memory and time")?;
    }
    Ok(())
}
