//! `atrous inspect`.

use std::fmt::{self, Write};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use atrous::engine::Segmenter;
use atrous::engine::tract::TractSegmenter;
use atrous::model::{Graph, GraphSummary, Manifest, Model};

use super::Global;
use super::output;

/// Arguments of `atrous inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A built-in name (road), a model.toml, its folder, or an ONNX file.
    model: String,
    /// Only read the file; do not import it into the engine.
    #[arg(long)]
    no_import: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    origin: &'a str,
    bytes: usize,
    engine: Option<String>,
    graph: GraphSummary,
    manifest: &'a Manifest,
}

/// Prints what a model is, and imports it to show that it can run.
pub fn run(args: &InspectArgs, global: &Global) -> Result<()> {
    let model = Model::open(&args.model)?;
    let graph = Graph::parse(&model.onnx, &model.origin)?.summary();
    let engine = if args.no_import {
        None
    } else {
        Some(TractSegmenter::new(&model)?.describe())
    };
    let report = Report {
        origin: &model.origin,
        bytes: model.onnx.len(),
        engine,
        graph,
        manifest: &model.manifest,
    };
    if global.json {
        return output::print_json(&report);
    }
    let mut text = String::new();
    write(&mut text, &report)?;
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
    row(
        "size",
        &format!(
            "{:.2} MB, {:.2} M parameters",
            report.bytes as f64 / 1e6,
            graph.parameters as f64 / 1e6
        ),
    )?;
    row("sha256", &m.sha256)?;
    row("licence", &m.licence)?;
    row("", "")?;
    row("", m.licence_note.as_deref().unwrap_or_default())?;
    row("provenance", m.provenance.trim())?;
    row(
        "made by",
        &format!("{}, opset {}", graph.producer, graph.opset),
    )?;
    for tensor in &graph.inputs {
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
    for tensor in &graph.outputs {
        row(
            "output",
            &format!("{} {} {}", tensor.name, tensor.element, tensor.shape_text()),
        )?;
    }
    row(
        "classes",
        &format!("{}: {}", m.classes.len(), m.classes.names()),
    )?;
    let mut ops: Vec<(&String, &usize)> = graph.ops.iter().collect();
    ops.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
    let ops: Vec<String> = ops
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    row("operators", &ops.join(", "))?;
    row(
        "runs in",
        report.engine.as_deref().unwrap_or("not imported"),
    )
}
