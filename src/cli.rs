//! The command line: the only place that prints.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

mod allocations;
mod apart;
mod bench;
mod compile;
mod config;
mod crf;
mod devices;
mod doctor;
mod eval;
mod exit;
mod figures;
mod import;
mod inspect;
mod model;
mod ops;
mod output;
mod places;
mod quantize;
mod run;
mod runtime;
mod safe;
mod samples;
mod signals;
mod warm;

/// Semantic segmentation from a camera frame to a GPIO pin.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 ok, 1 runtime fault, 2 usage or config, 3 camera lost,\n\
    4 model rejected, 5 a requirement not met, 6 verification mismatch.\n\n\
    Try: atrous run                    a drawn street, segmented in the terminal\n     \
         atrous run photo.jpg out/     a picture, the overlay written to out/\n     \
         atrous run camera             the board's camera (/dev/video0)"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Say more on stderr (-v: information, -vv: debugging, -vvv: everything).
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    /// Say less on stderr: no stats and hints (-q), no warnings either (-qq).
    #[arg(short, long, action = ArgAction::Count, global = true, conflicts_with = "verbose")]
    quiet: u8,
    /// When to use colour.
    #[arg(long, value_enum, default_value_t, global = true, value_name = "WHEN")]
    color: Color,
    /// Machine-readable output on stdout.
    #[arg(long, global = true)]
    json: bool,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The hidden command by which this program imports a model in another process.
const IMPORT_COMMAND: &str = "import-worker";

#[derive(Debug, Subcommand)]
enum Command {
    /// Segment frames from a camera, picture, stream or drawn scene.
    Run(run::RunArgs),
    /// Time a model on this machine.
    Bench(bench::BenchArgs),
    /// Score a model on pictures with labels, or against another model.
    Eval(eval::EvalArgs),
    /// Compile a quantized model to an artifact that starts at once.
    Compile(compile::CompileArgs),
    /// Quantize a float model with pictures, to an artifact and an ONNX file.
    Quantize(quantize::QuantizeArgs),
    /// Show what a model is: inputs, outputs, classes, operators, hash, licence.
    Inspect(inspect::InspectArgs),
    /// Compile the kernels of a GPU ahead, by running a model on it once.
    Warm(warm::WarmArgs),
    /// List cameras, GPIO chips, displays and what the CPU can do.
    Devices(devices::DevicesArgs),
    /// Check that this machine is ready, and say how to fix what is not.
    Doctor(doctor::DoctorArgs),
    /// Write, check or show the run config.
    Config(config::ConfigArgs),
    /// Drive every line in the config, of rules and heartbeat, to its safe level, and end.
    Safe(safe::SafeArgs),
    /// Import a model for another process of this program.
    #[command(name = IMPORT_COMMAND, hide = true)]
    Import(import::worker::WorkerArgs),
}

impl Global {
    /// Whether hints and stats are wanted.
    fn chatty(&self) -> bool {
        self.quiet == 0
    }

    /// Whether to colour what goes to stdout.
    fn colour_stdout(&self) -> bool {
        self.colour(std::io::stdout().is_terminal())
    }

    fn colour(&self, terminal: bool) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        }
    }

    /// `told` is a library that tells what it does, where the command is about that.
    fn start_log(&self, told: Option<&str>) {
        let level = match (self.verbose, self.quiet) {
            (_, 2..) => log::LevelFilter::Error,
            (0, _) => log::LevelFilter::Warn,
            (1, _) => log::LevelFilter::Info,
            (2, _) => log::LevelFilter::Debug,
            _ => log::LevelFilter::Trace,
        };
        let style = match self.color {
            Color::Auto => env_logger::WriteStyle::Auto,
            Color::Always => env_logger::WriteStyle::Always,
            Color::Never => env_logger::WriteStyle::Never,
        };
        // tract's own messages are for its developers, so they need -vvv.
        let others = if self.verbose >= 3 {
            level
        } else {
            level.min(log::LevelFilter::Error)
        };
        let mut log = env_logger::Builder::new();
        log.filter_level(others).filter_module("atrous", level);
        if let Some(library) = told.filter(|_| self.chatty()) {
            log.filter_module(library, level.max(log::LevelFilter::Info));
        }
        log.parse_env("ATROUS_LOG")
            .write_style(style)
            .format(|out, record| {
                let (level, time) = (record.level(), out.timestamp_millis());
                let style = out.default_level_style(level);
                // A message may name a file or a device.
                let text = record.args().to_string();
                let text = output::visible(&text);
                writeln!(out, "[{time} {style}{level:<5}{style:#}] {text}")
            })
            .init();
    }
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let start = std::time::Instant::now();
    atrous::guard::install();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Prints help and version to stdout, everything else to stderr.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                exit::USAGE
            } else {
                exit::OK
            });
        }
    };
    let told = matches!(cli.command, Command::Warm(_)).then_some(warm::TELLS);
    cli.global.start_log(told);
    let result = match &cli.command {
        Command::Run(args) => run::run(args, &cli.global),
        Command::Bench(args) => bench::run(args, &cli.global, start),
        Command::Eval(args) => eval::run(args, &cli.global),
        Command::Compile(args) => compile::run(args, &cli.global),
        Command::Quantize(args) => quantize::run(args, &cli.global),
        Command::Inspect(args) => inspect::run(args, &cli.global),
        Command::Warm(args) => warm::run(args, &cli.global),
        Command::Devices(args) => devices::run(args, &cli.global),
        Command::Doctor(args) => doctor::run(args, &cli.global),
        Command::Config(args) => config::run(args, &cli.global),
        Command::Safe(args) => safe::run(args, &cli.global),
        Command::Import(args) => import::worker::run(args),
    };
    exit::report(result)
}
