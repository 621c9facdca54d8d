//! `atrous inspect`.

use std::fmt::{self, Write};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use atrous::engine::device::Precision;
use atrous::model::{GraphSummary, Manifest};
use atrous::program::{Output, Program};

use super::import::{ImportLimits, Importer};
use super::model::{self, Placement};
use super::ops::{OpRow, op_rows};
use super::runtime::{self, Require, Runtime, RuntimeArgs};
use super::{Global, output};
use device::OnDevice;
use parts::Parts;

mod device;
mod parts;

/// Arguments of `atrous inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A built-in name (road, nuclei), a model.toml, its folder, an ONNX file, or an artifact.
    model: String,
    /// List every operation of an integer program: shape, multiplications, place in the arena;
    /// and every node that runs in tract beside programs, and why. With --runtime cuda, what
    /// runs on the GPU, every node that does not, and the copies between; no GPU is needed.
    #[arg(long)]
    ops: bool,
    /// Fail with exit code 5 unless the model runs as asked.
    #[arg(long, value_enum, value_name = "WHAT")]
    require: Option<Require>,
    #[command(flatten)]
    runtime: RuntimeArgs,
    #[command(flatten)]
    cpu: model::CpuArgs,
    #[command(flatten)]
    limits: ImportLimits,
}

#[derive(Serialize)]
struct Report<'a> {
    origin: &'a str,
    bytes: u64,
    engine: String,
    /// Why the model, or some of it, runs in tract; absent where it is an integer program.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_tract_because: Option<&'a str>,
    /// What an integer program ends in.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_in: Option<End>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ops: Option<Vec<OpRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Parts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<OnDevice<'a>>,
    graph: Option<&'a GraphSummary>,
    manifest: &'a Manifest,
}

/// Prints what a model is, and opens it to show that it can run. An artifact must
/// give the mask it was compiled with.
pub fn run(args: &InspectArgs, global: &Global) -> Result<()> {
    let wanted = args.runtime.wanted(args.require, global)?;
    let importer = args.limits.importer(global);
    let is_asked = args.ops && args.runtime.runtime() == Runtime::Cuda;
    if is_asked
        && args.require.is_none()
        && let Err(reason) = runtime::is_ready()
    {
        return predict(args, wanted.precision, &importer, &reason, global);
    }
    let mut opened = model::open(&args.model, wanted, &importer, args.cpu.options(1)?)?;
    model::verify(&mut opened)?;
    let (program, parts, reason) = match &opened.placement {
        Placement::Program(program) => (Some(program), None, None),
        Placement::Mixed(parts, reason) => (None, Some(parts), Some(reason.as_str())),
        Placement::Tract(reason) => (None, None, Some(reason.as_str())),
        Placement::Device(_) => (None, None, None),
    };
    let placement = match &opened.placement {
        Placement::Device(placement) if args.ops => Some(OnDevice::new(placement, None)),
        _ => None,
    };
    let report = Report {
        origin: &opened.origin,
        bytes: opened.bytes,
        engine: opened.segmenter.describe(),
        in_tract_because: reason,
        ends_in: program.and_then(|program| End::of(program)),
        ops: program
            .filter(|_| args.ops)
            .map(|program| op_rows(program, &opened.segmenter.kernels())),
        parts: parts
            .filter(|_| args.ops)
            .map(|parts| Parts::of(parts, &opened.segmenter.kernels())),
        placement,
        graph: opened.graph.as_ref(),
        manifest: &opened.manifest,
    };
    show(&report, global)
}

/// Prints what a model would be on a GPU that is not there, because of `reason`.
fn predict(
    args: &InspectArgs,
    precision: Precision,
    importer: &Importer,
    reason: &str,
    global: &Global,
) -> Result<()> {
    let (facts, manifest, graph) = model::for_gpu(&args.model, precision, importer)?;
    let report = Report {
        origin: &facts.origin,
        bytes: facts.bytes,
        engine: "nothing here: the GPU is not ready".into(),
        in_tract_because: None,
        ends_in: None,
        ops: None,
        parts: None,
        placement: Some(OnDevice::new(graph.placement(), Some(reason))),
        graph: Some(&facts.graph),
        manifest: &manifest,
    };
    show(&report, global)
}

fn show(report: &Report<'_>, global: &Global) -> Result<()> {
    if global.json {
        return output::print_json(report);
    }
    let mut text = String::new();
    write(&mut text, report)?;
    output::print(&text)
}

fn write(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let Report {
        manifest: m, graph, ..
    } = report;
    let title = format!("{} {}", m.name, m.version);
    writeln!(out, "{}", title.trim())?;
    let mut row = |key: &str, value: &str| -> fmt::Result {
        if value.is_empty() {
            Ok(())
        } else {
            writeln!(out, "  {key:<11} {value}")
        }
    };
    row("what", &m.description)?;
    row("from", report.origin)?;
    let parameters = graph.map_or(String::new(), |graph| {
        format!(", {:.2} M parameters", graph.parameters as f64 / 1e6)
    });
    row(
        "size",
        &format!("{:.2} MB{parameters}", report.bytes as f64 / 1e6),
    )?;
    row("sha256", &m.sha256)?;
    row("licence", &m.licence)?;
    row("", "")?;
    row("", m.licence_note.as_deref().unwrap_or_default())?;
    row("provenance", m.provenance.trim())?;
    if let Some(graph) = graph {
        row(
            "made by",
            &format!("{}, opset {}", graph.producer, graph.opset),
        )?;
    }
    for tensor in graph.iter().flat_map(|graph| &graph.inputs) {
        row(
            "input",
            &format!("{} {} {}", tensor.name, tensor.element, tensor.shape_text()),
        )?;
    }
    let i = &m.input;
    row(
        "",
        &format!(
            "{}x{} pixels, (value - {:?}) / {:?}, {:?} when the shape differs",
            i.width, i.height, i.mean, i.std, i.fit
        )
        .to_lowercase(),
    )?;
    for tensor in graph.iter().flat_map(|graph| &graph.outputs) {
        row(
            "output",
            &format!("{} {} {}", tensor.name, tensor.element, tensor.shape_text()),
        )?;
    }
    row(
        "classes",
        &format!("{}: {}", m.classes.len(), m.classes.names()),
    )?;
    if let Some(graph) = graph {
        let mut ops: Vec<(&String, &usize)> = graph.ops.iter().collect();
        ops.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
        let ops: Vec<String> = ops
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        row("operators", &ops.join(", "))?;
    }
    row("runs in", &report.engine)?;
    let end = report.ends_in.as_ref();
    row("ends in", &end.map_or(String::new(), ToString::to_string))?;
    row("because", report.in_tract_because.unwrap_or_default())?;
    for op in report.ops.iter().flatten() {
        writeln!(out, "{op}")?;
    }
    if let Some(parts) = &report.parts {
        write!(out, "{parts}")?;
    }
    match &report.placement {
        Some(placement) => write!(out, "{placement}"),
        None => Ok(()),
    }
}

/// What a program ends in; sizes in pixels or cells.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Labels {
        width: u32,
        height: u32,
    },
    Logits {
        width: u32,
        height: u32,
        classes: u32,
        scale: f32,
        zero_point: u8,
    },
}

impl End {
    fn of(program: &Program) -> Option<Self> {
        Some(match program.output {
            Output::Labels { width, height } => Self::Labels { width, height },
            // A part of a model, which no file holds.
            Output::Codes => return None,
            Output::Logits { scores, .. } => {
                let scores = program.tensors.get(scores.0 as usize)?;
                Self::Logits {
                    width: scores.width,
                    height: scores.height,
                    classes: scores.channels,
                    scale: scores.quant.scale,
                    zero_point: scores.quant.zero_point,
                }
            }
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Labels { width, height } => write!(f, "labels, {width}x{height}"),
            Self::Logits {
                width,
                height,
                classes,
                scale,
                zero_point,
            } => write!(
                f,
                "scores of {classes} classes, {width}x{height}, 8 bits of scale {scale} and zero \
                 point {zero_point}"
            ),
        }
    }
}
