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
    let refused = |reason| Refused::model(format!("model '{name}': {reason}")).into();
    let Some(status) = ended else {
        return Err(refused(importer.out_of_time()));
    };
    if !status.success() {
        log::debug!("the import of '{name}' ended with {status}: {words}");
        return Err(refused(crash(status, &words, importer)));
    }
    let bytes = contents(&mut answer, MAX_FILE_BYTES + (1 << 24))?;
    let imported = match read(&bytes, name) {
        Err(error) if is_out_of_memory(&error.to_string()) => {
            return Err(refused(importer.out_of_memory()));
        }
        read => read?,
    };
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

impl Importer {
    fn out_of_memory(&self) -> String {
        format!(
            "its import needs more than the {} MiB it is allowed; raise --import-memory if you \
             trust the file",
            self.memory
        )
    }

    fn out_of_time(&self) -> String {
        format!(
            "its import was stopped after {} s; raise --import-timeout if you trust the file",
            self.timeout.as_secs()
        )
    }
}

/// Whether what the other process said is that an allocation failed: in the words of
/// the standard library where it aborts and where it does not, and in tract's.
fn is_out_of_memory(words: &str) -> bool {
    let phrases = [
        "memory allocation of ",
        "out of memory",
        "failed to allocate",
    ];
    phrases.iter().any(|phrase| words.contains(phrase))
}

/// What a process that gave no answer died of, and what to do.
fn crash(status: ExitStatus, words: &str, importer: &Importer) -> String {
    if is_out_of_memory(words) {
        return importer.out_of_memory();
    }
    let last = words.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map_or(String::new(), |line| format!(" ({})", line.trim()));
    match status.signal() {
        Some(SIGXCPU) => importer.out_of_time(),
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
            outcome: Outcome::Float {
                float,
                source: None,
            },
        }),
        Answer::Refused { message, code } => Err(Refused { message, code }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn importer(timeout: Duration) -> Importer {
        Importer {
            memory: 100,
            timeout,
            chatty: false,
            verbosity: None,
        }
    }

    fn start(program: &str, args: &[&str]) -> Running {
        Running(Command::new(program).args(args).spawn().unwrap())
    }

    #[test]
    fn one_that_takes_too_long_is_killed() {
        let running = start("sleep", &["60"]);
        let process = std::path::PathBuf::from(format!("/proc/{}", running.0.id()));
        let start = Instant::now();
        let ended = wait(running, &importer(Duration::from_millis(50)), "x").unwrap();
        assert_eq!(ended, None);
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(!process.exists(), "it is gone, and waited for");
    }

    #[test]
    fn an_end_says_what_it_died_of() {
        let importer = importer(Duration::from_secs(60));
        let ended = |script: &str| {
            let running = start("sh", &["-c", script]);
            wait(running, &importer, "x").unwrap().unwrap()
        };
        let text = crash(ended("kill -SEGV $$"), "", &importer);
        assert!(text.contains("signal 11"), "{text}");
        let text = crash(ended("kill -ABRT $$"), "a\nits last words\n\n", &importer);
        assert!(text.contains("signal 6 (its last words)"), "{text}");
        let text = crash(ended("exit 101"), "thread panicked", &importer);
        assert!(text.contains("101 (thread panicked)"), "{text}");
        let text = crash(ended("kill -KILL $$"), "", &importer);
        assert!(text.contains("memory"), "{text}");
        let words = "memory allocation of 8 bytes failed";
        let text = crash(ended("kill -ABRT $$"), words, &importer);
        assert!(
            text.contains("100 MiB") && text.contains("--import-memory"),
            "{text}"
        );
        let text = crash(ended("kill -XCPU $$"), "", &importer);
        assert!(
            text.contains("60 s") && text.contains("--import-timeout"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for bytes in [&b""[..], b"\n", b"{}\n", b"no answer", &[0xff; 9]] {
            let error = read(bytes, "x.onnx").map(|_| ()).unwrap_err();
            assert!(error.to_string().contains("'x.onnx'"), "{error}");
        }
        // A program is promised, and none is there.
        let facts = super::super::Facts {
            origin: "x.onnx".into(),
            bytes: 1,
            sha256: String::new(),
            graph: atrous::model::GraphSummary {
                producer: String::new(),
                opset: 0,
                inputs: Vec::new(),
                outputs: Vec::new(),
                ops: Default::default(),
                parameters: 0,
            },
        };
        let answer = Answer::Program {
            facts,
            largest_live_bytes: 0,
        };
        let line = serde_json::to_vec(&answer).unwrap();
        assert!(read(&line, "x.onnx").is_err());
        let refused = br#"{"refused":{"message":"no","code":5}}"#;
        let error = read(refused, "x.onnx").map(|_| ()).unwrap_err();
        assert_eq!(exit::code(&error), 5);
    }
}
