//! What runs a model: the CPU, or a GPU.

use std::fmt::Write;

use anyhow::Result;
use clap::{Args, ValueEnum};

use atrous::devices::{CudaEnvironment, CudaPiece, PieceState, Sysfs};
use atrous::engine::device::{Backend, DeviceGraph, DeviceSegmenter, Precision, cuda};
use atrous::model::{Graph, Model};

use super::Global;
use super::exit::{Misused, NotMet};
use super::output::tell;

/// What runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum Runtime {
    /// The CPU: the same mask on every machine.
    #[default]
    Cpu,
    /// An NVIDIA GPU, or an error: float models only.
    Cuda,
    /// The GPU where there is one and the model is a float one, the CPU elsewhere.
    Auto,
}

/// Which runtime a command's model is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct RuntimeArgs {
    /// What runs the model: the CPU, an NVIDIA GPU (float models only, in a build with the
    /// feature cuda), or the GPU where that works, which is told.
    #[arg(
        long,
        value_enum,
        value_name = "WHERE",
        env = "ATROUS_RUNTIME",
        default_value_t
    )]
    runtime: Runtime,
    /// Compute with floats of 16 bits on the GPU.
    #[arg(long)]
    cuda_f16: bool,
}

/// What a command insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Require {
    /// The whole model runs as an integer program.
    Int8,
    /// The model runs on the GPU.
    Cuda,
}

/// How a model is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// What the user insists on.
    pub require: Option<Require>,
    /// Where it is to run.
    pub runtime: Runtime,
    /// Bits of a number on the GPU.
    pub precision: Precision,
    /// Whether to say what `auto` chose.
    chatty: bool,
}

impl Wanted {
    /// The CPU, and nothing is insisted on.
    pub const CPU: Self = Self {
        require: None,
        runtime: Runtime::Cpu,
        precision: Precision::Single,
        chatty: false,
    };

    /// The GPU, or an error.
    pub fn cuda(f16: bool) -> Self {
        Self {
            runtime: Runtime::Cuda,
            precision: precision(f16),
            ..Self::CPU
        }
    }

    /// The same for a model that is compared with this one: on the CPU.
    pub fn of_other(self) -> Self {
        Self {
            require: self.require.filter(|require| *require == Require::Int8),
            ..Self::CPU
        }
    }

    /// Says what `auto` chose.
    pub fn tell_choice(&self, choice: &str, reason: &str) {
        if self.runtime == Runtime::Auto && self.chatty {
            tell(format_args!("runtime: {choice} ({reason})"));
        }
    }
}

fn precision(f16: bool) -> Precision {
    match f16 {
        true => Precision::Half,
        false => Precision::Single,
    }
}

impl RuntimeArgs {
    /// Together with what the user insists on.
    pub fn wanted(self, require: Option<Require>, global: &Global) -> Result<Wanted> {
        let misused = |text: &str| Err(Misused(text.to_owned()).into());
        match (self.runtime, require, self.cuda_f16) {
            (Runtime::Cpu, _, true) => {
                misused("--cuda-f16 is for the GPU; add --runtime cuda, or leave it out")
            }
            (Runtime::Cpu, Some(Require::Cuda), _) => Err(NotMet(
                "--require cuda: models run on the CPU unless asked; add --runtime cuda".into(),
            )
            .into()),
            (Runtime::Cuda, Some(Require::Int8), _) => misused(
                "--require int8 and --runtime cuda exclude each other: the GPU runs float models",
            ),
            (runtime, require, f16) => Ok(Wanted {
                require,
                // Neither may be given up for the other.
                runtime: match require {
                    Some(Require::Cuda) => Runtime::Cuda,
                    Some(Require::Int8) => Runtime::Cpu,
                    None => runtime,
                },
                precision: precision(f16),
                chatty: global.chatty(),
            }),
        }
    }

    /// What was asked for.
    pub fn runtime(self) -> Runtime {
        self.runtime
    }
}

/// Whether the GPU can be used: the backend is built in, and finds its libraries.
///
/// # Errors
/// [`NotMet`], with a line for each piece that is needed.
pub fn ready() -> Result<(), NotMet> {
    cuda::check().map_err(|reason| {
        let pieces = pieces();
        let is_whole = pieces.iter().all(CudaPiece::is_found);
        if is_whole || !cuda::IS_BUILT {
            return not_met(&reason, &pieces);
        }
        log::info!("the CUDA backend says: {reason}");
        not_met("some of what it needs is not here", &pieces)
    })
}

/// The same, in a line.
pub fn is_ready() -> Result<(), String> {
    cuda::check().map_err(|reason| {
        let pieces = pieces();
        let missing = pieces.iter().filter(|piece| !piece.is_found());
        let missing: Vec<&str> = missing.map(|piece| piece.file).collect();
        if !cuda::IS_BUILT || missing.is_empty() {
            reason
        } else {
            format!("not found: {}", missing.join(", "))
        }
    })
}

/// Hands a graph to the GPU.
///
/// # Errors
/// [`NotMet`] where something is missing that only this shows, such as headers; else what
/// is wrong with the graph.
pub fn on_gpu(graph: DeviceGraph) -> Result<DeviceSegmenter> {
    graph.on(Backend::Cuda).map_err(|error| {
        let pieces = pieces();
        match pieces.iter().all(CudaPiece::is_found) {
            true => error.into(),
            false => not_met(&error.to_string(), &pieces).into(),
        }
    })
}

/// A model's graph, rewritten for the GPU; nodes that stay on the CPU are told of.
pub fn graph_of(model: &Model, graph: &Graph, precision: Precision) -> Result<DeviceGraph> {
    let graph = DeviceGraph::new(&model.manifest, &model.origin, graph, precision)?;
    let on_host = &graph.placement().on_host;
    if !on_host.is_empty() {
        let names: Vec<&str> = on_host.iter().map(|node| node.node.as_str()).collect();
        log::warn!(
            "{} nodes stay on the CPU, with copies from and to the GPU: {}; `atrous inspect --ops \
             --runtime cuda` tells why",
            names.len(),
            names.join(", ")
        );
    }
    Ok(graph)
}

/// What is there of CUDA.
pub fn pieces() -> Vec<CudaPiece> {
    Sysfs::default().cuda(&CudaEnvironment::of_process())
}

fn not_met(reason: &str, pieces: &[CudaPiece]) -> NotMet {
    let mut text = format!("--runtime cuda: {reason}");
    for piece in pieces {
        let _ = write!(text, "\n  {}", line(piece));
    }
    text.push_str(
        "\nOn a Jetson with JetPack 6.1 or later `sudo apt install nvidia-jetpack` brings them \
         all; without --runtime cuda the model runs on the CPU.",
    );
    NotMet(text)
}

/// A piece in a line: whether it was found, its file, where or in which package it is.
pub fn line(piece: &CudaPiece) -> String {
    let CudaPiece {
        name,
        file,
        package,
        state,
    } = piece;
    let (word, rest) = match state {
        PieceState::Found(path) => ("found", path.display().to_string()),
        PieceState::OutOfPath(path) => (
            "missing",
            format!(
                "it is {}, where the loader does not look: add that folder to LD_LIBRARY_PATH",
                path.display()
            ),
        ),
        PieceState::Empty(path) => (
            "missing",
            format!(
                "{} is empty; in a container: run it with --runtime nvidia",
                path.display()
            ),
        ),
        PieceState::Missing => ("missing", format!("package {package}")),
    };
    format!("{word:<8} {file:<17} {name:<16} {rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(runtime: Runtime, cuda_f16: bool) -> RuntimeArgs {
        RuntimeArgs { runtime, cuda_f16 }
    }

    fn global() -> Global {
        Global {
            verbose: 0,
            quiet: 0,
            color: super::super::Color::Never,
            json: false,
        }
    }

    #[test]
    fn what_is_insisted_on_decides_over_auto() {
        let wanted = |runtime, require| args(runtime, false).wanted(require, &global());
        let auto = |require| wanted(Runtime::Auto, require).unwrap().runtime;
        assert_eq!(auto(None), Runtime::Auto);
        assert_eq!(auto(Some(Require::Cuda)), Runtime::Cuda);
        assert_eq!(auto(Some(Require::Int8)), Runtime::Cpu);
        let error = wanted(Runtime::Cpu, Some(Require::Cuda)).unwrap_err();
        assert!(error.is::<NotMet>(), "{error}");
        let error = wanted(Runtime::Cuda, Some(Require::Int8)).unwrap_err();
        assert!(error.is::<Misused>(), "{error}");
        let error = args(Runtime::Cpu, true)
            .wanted(None, &global())
            .unwrap_err();
        assert!(error.is::<Misused>(), "{error}");
        let half = args(Runtime::Cuda, true).wanted(None, &global()).unwrap();
        assert_eq!(half.precision, Precision::Half);
    }

    #[test]
    fn a_refusal_has_a_line_for_each_piece() {
        let piece = |file, state| CudaPiece {
            name: "driver",
            file,
            package: "a-package",
            state,
        };
        let pieces = [
            piece("a.so", PieceState::Found("/lib/a.so".into())),
            piece("b.so", PieceState::Missing),
            piece("c.so", PieceState::OutOfPath("/opt/c.so".into())),
            piece("d.so", PieceState::Empty("/lib/d.so".into())),
        ];
        let NotMet(text) = not_met("no driver", &pieces);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines[0], "--runtime cuda: no driver");
        assert!(lines[1].starts_with("found") && lines[1].ends_with("/lib/a.so"));
        assert!(lines[2].starts_with("missing") && lines[2].ends_with("a-package"));
        assert!(lines[3].contains("/opt/c.so") && lines[3].contains("LD_LIBRARY_PATH"));
        assert!(lines[4].contains("is empty"));
        assert!(lines[5].contains("nvidia-jetpack"));
    }
}
