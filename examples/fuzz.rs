//! Hostile artifacts and ONNX models by the million, on a stable toolchain.
//!
//! ```sh
//! cargo run --example fuzz -- artifact --inputs 1000000 --seed 1
//! cargo run --example fuzz -- import --inputs 1000000 --seed 1 [--model MODEL.onnx]
//! ```
//!
//! Each input is made from its number and the seed alone; `--only N` makes one again.
//! They are read in a second process of bounded memory, so that an abort and an
//! endless loop are found as well as a panic. Exits with 1 where there was any. The
//! development profile is the right one: there, overflow and broken assumptions panic.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use atrous::compile::Ending;
use atrous::model::Model;
use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, setrlimit};

#[path = "../tests/fuzzing/mod.rs"]
mod fuzzing;

use fuzzing::seed::Seed;
use fuzzing::{Rng, Verdict, artifact, import, seed};

/// No input takes this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// After so many faults there is enough to look at.
const MOST_FAULTS: usize = 20;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// The reader of artifacts, and the engine.
    Artifact,
    /// Parser and compiler of ONNX models, and the engine.
    Import,
}

#[derive(Debug, Parser)]
struct Args {
    kind: Kind,
    #[arg(long, default_value_t = 10_000)]
    inputs: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One input alone, in this process.
    #[arg(long, value_name = "N")]
    only: Option<u64>,
    /// Begin with this input.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// A good model to start from, in place of the small one that has everything.
    #[arg(long)]
    model: Option<String>,
    /// Address space of the process that reads, in MiB.
    #[arg(long, default_value_t = 1024)]
    memory: u64,
    /// Where the reading process notes how far it is.
    #[arg(long, hide = true)]
    note: Option<std::path::PathBuf>,
}

/// How far a process is, as it stands in its file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Note {
    /// The input that is being read.
    input: u64,
    accepted: u64,
}

impl Note {
    fn write(self, file: &File) -> std::io::Result<()> {
        let bytes = [self.input.to_le_bytes(), self.accepted.to_le_bytes()].concat();
        file.write_all_at(&bytes, 0)
    }

    fn read(file: &File) -> Self {
        let mut bytes = [[0; 8]; 2];
        // Before the first note there is none.
        let _ = file.read_exact_at(bytes.as_flattened_mut(), 0);
        let [input, accepted] = bytes.map(u64::from_le_bytes);
        Self { input, accepted }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match (&args.note, args.only) {
        (Some(note), _) => read(&args, note).map(|()| 0),
        (None, Some(index)) => Inputs::new(&args).map(|inputs| {
            println!("{:?}", inputs.check(index));
            0
        }),
        (None, None) => supervise(&args),
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What inputs are made from.
struct Inputs {
    kind: Kind,
    number: u64,
    seed: Seed,
    artifacts: [Vec<u8>; 2],
}

impl Inputs {
    fn new(args: &Args) -> std::io::Result<Self> {
        let seed = match &args.model {
            None => seed::seed(),
            Some(name) => {
                let model = Model::open(name).map_err(std::io::Error::other)?;
                Seed {
                    onnx: model.onnx,
                    manifest: model.manifest,
                }
            }
        };
        Ok(Self {
            kind: args.kind,
            number: args.seed,
            artifacts: [Ending::Labels, Ending::Logits].map(|ending| seed.artifact(ending)),
            seed,
        })
    }

    fn check(&self, index: u64) -> Verdict {
        let mut rng = Rng::new(self.number, index);
        match self.kind {
            Kind::Artifact => {
                let good = &self.artifacts[rng.below(2)];
                artifact::check(&artifact::mutated(good, &mut rng))
            }
            Kind::Import => {
                let file = import::mutated(&self.seed.onnx, &mut rng);
                import::check(&file, &self.seed.manifest, &mut rng)
            }
        }
    }
}

/// The reading process.
fn read(args: &Args, note: &std::path::Path) -> std::io::Result<()> {
    let inputs = Inputs::new(args)?;
    let limit = Some(args.memory << 20);
    let limits = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::As, limits)?;
    let file = File::options().write(true).open(note)?;
    let mut accepted = 0;
    for input in args.from..args.inputs {
        Note { input, accepted }.write(&file)?;
        accepted += u64::from(inputs.check(input) == Verdict::Accepted);
    }
    let input = args.inputs;
    Note { input, accepted }.write(&file)
}

/// The process that watches; how many faults there were.
fn supervise(args: &Args) -> std::io::Result<usize> {
    let start = Instant::now();
    let note = tempfile::NamedTempFile::new()?;
    let (mut from, mut accepted, mut faults) = (args.from, 0, 0);
    while from < args.inputs && faults < MOST_FAULTS {
        Note::default().write(note.as_file())?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(
                args.kind
                    .to_possible_value()
                    .map_or_else(String::new, |v| v.get_name().into()),
            )
            .args(["--inputs", &args.inputs.to_string()])
            .args(["--seed", &args.seed.to_string()])
            .args(["--memory", &args.memory.to_string()])
            .args(["--from", &from.to_string()])
            .args(args.model.iter().flat_map(|model| ["--model", model]))
            .arg("--note")
            .arg(note.path());
        let mut child = command.spawn()?;
        let (mut seen, mut since) = (Note::default(), Instant::now());
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            let now = Note::read(note.as_file());
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() > PATIENCE {
                child.kill()?;
                child.wait()?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let last = Note::read(note.as_file());
        accepted += last.accepted;
        if status.is_some_and(|s| s.success()) {
            from = args.inputs;
            continue;
        }
        faults += 1;
        let how = match status {
            None => format!("no end within {} s", PATIENCE.as_secs()),
            Some(status) => status
                .signal()
                .map_or("a panic".into(), |s| format!("signal {s}")),
        };
        println!(
            "input {}: {how}; repeat with --seed {} --only {0}",
            last.input, args.seed
        );
        from = last.input.max(from) + 1;
    }
    println!(
        "{:?}: seed {}, inputs {}..{from}, {accepted} accepted, {faults} faults, {:.0} s",
        args.kind,
        args.seed,
        args.from,
        start.elapsed().as_secs_f64()
    );
    Ok(faults)
}
