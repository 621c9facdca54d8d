//! This process: starts the other one, waits for it within the time limit, and tells
//! how it ended.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use atrous::model::MAX_FILE_BYTES;
use atrous::model::artifact::Artifact;
use rustix::fs::{MemfdFlags, memfd_create};

use super::progress::Progress;
use super::worker::{Answer, WorkerArgs};
use super::{Imported, Importer, Outcome, Request};
use crate::cli::output::tell;
use crate::cli::{IMPORT_COMMAND, exit};

/// This program, even where its file was replaced or removed meanwhile.
const ITSELF: &str = "/proc/self/exe";
/// Most that is read of what the other process said on stderr, in bytes.
const MAX_WORDS: u64 = 1 << 16;
/// How often the other process is looked at.
const GLANCE: Duration = Duration::from_millis(2);

const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// A model that the other process did not import, with the exit code it had for that.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    message: String,
    /// One of [`exit`]'s.
    pub code: u8,
}

impl Refused {
    /// A model that was rejected.
    pub fn model(message: String) -> Self {
        Self {
            message,
            code: exit::MODEL,
        }
    }
}

/// Imports a model in another process.
///
/// # Errors
/// [`Refused`]; others where there is no other process to be had.
pub fn import(importer: &Importer, name: &str, request: &Request) -> Result<Imported> {
    let (mut answer, mut words) = (memory_file("answer")?, memory_file("words")?);
    let mut command = Command::new(ITSELF);
    command
        .arg0(std::env::args_os().next().unwrap_or_default())
        .args(&importer.verbosity)
        .arg(IMPORT_COMMAND)
        .args(WorkerArgs::command_line(
            name,
            request,
            (importer.memory, importer.timeout),
        ))
        .stdin(Stdio::null())
        .stdout(answer.try_clone()?)
        .stderr(words.try_clone()?);
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {ITSELF} to import '{name}'"))?;
    let ended = wait(Running(child), importer, name)?;

    let words = contents(&mut words, MAX_WORDS)?;
    let words = String::from_utf8_lossy(&words);
    let refused = |message| Refused::model(message).into();
    let Some(status) = ended else {
        return Err(refused(format!(
            "model '{name}': its import was stopped after {} s; raise --import-timeout if you \
             trust the file",
            importer.timeout.as_secs()
        )));
    };
    if !status.success() {
        log::debug!("the import of '{name}' ended with {status}: {words}");
        return Err(refused(format!(
            "model '{name}': {}",
            crash(status, &words, importer)
        )));
    }
    let bytes = contents(&mut answer, MAX_FILE_BYTES + (1 << 24))?;
    let imported = read(&bytes, name)?;
    // Of a float model the import here says the same once more.
    if matches!(imported.outcome, Outcome::Program { .. }) {
        words.lines().for_each(tell);
    }
    Ok(imported)
}

/// A file in memory, for what is written once and read after that.
fn memory_file(name: &str) -> Result<File> {
    let file = memfd_create(format!("atrous-{name}"), MemfdFlags::CLOEXEC);
    Ok(File::from(file.context("cannot make a file in memory")?))
}

fn contents(file: &mut File, limit: u64) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A process that does not outlive its name.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Of one that has ended both are errors.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How the process ended; `None` where its time was up.
fn wait(mut running: Running, importer: &Importer, name: &str) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    let text = format!(
        "importing '{name}' (at most {} MiB and {} s)",
        importer.memory,
        importer.timeout.as_secs()
    );
    let mut progress = Progress::new(text, importer.chatty);
    while start.elapsed() < importer.timeout {
        if let Some(status) = running.0.try_wait()? {
            return Ok(Some(status));
        }
        progress.tick();
        std::thread::sleep(GLANCE);
    }
    Ok(None)
}

/// What a process that gave no answer died of, and what to do.
fn crash(status: ExitStatus, words: &str, importer: &Importer) -> String {
    // The standard library's own last words when an allocation fails.
    if words.contains("memory allocation of ") {
        return format!(
            "its import needs more than the {} MiB it is allowed; raise --import-memory if you \
             trust the file",
            importer.memory
        );
    }
    let last = words.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map_or(String::new(), |line| format!(" ({})", line.trim()));
    match status.signal() {
        Some(SIGXCPU) => format!(
            "its import was stopped after {} s; raise --import-timeout if you trust the file",
            importer.timeout.as_secs()
        ),
        Some(SIGKILL) => "its import was killed, as the system does when memory runs out; lower \
             --import-memory below what is free"
            .into(),
        Some(signal) => format!(
            "its import crashed with signal {signal}{last}; the file is damaged or hostile: fetch \
             it again from a source you trust"
        ),
        None => format!(
            "its import failed with {status}{last}; the file is damaged or hostile: fetch it \
             again from a source you trust"
        ),
    }
}

/// Reads an answer; `name` is for messages.
fn read(bytes: &[u8], name: &str) -> Result<Imported> {
    let end = bytes.iter().position(|&b| b == b'\n');
    let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    let answer = serde_json::from_slice(line);
    match answer.with_context(|| format!("the import of '{name}' gave no answer"))? {
        Answer::Program {
            facts,
            largest_live_bytes,
        } => {
            let artifact = Artifact::parse(rest.get(1..).unwrap_or_default(), &facts.origin)?;
            Ok(Imported {
                facts,
                outcome: Outcome::Program {
                    artifact: Box::new(artifact),
                    largest_live_bytes,
                },
            })
        }
        Answer::Float { facts, float } => Ok(Imported {
            facts,
            outcome: Outcome::Float(float),
        }),
        Answer::Refused { message, code } => Err(Refused { message, code }.into()),
    }
}
