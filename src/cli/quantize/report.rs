//! What is printed of a quantization.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use atrous::quantize::Layer;

use super::agreement::Agreement;

/// What is printed of a quantization.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    pub onnx: &'a Path,
    pub manifest: &'a Path,
    /// `None` where the graph has parts without an integer form.
    pub artifact: Option<&'a Path>,
    pub pictures: usize,
    pub skipped: u64,
    pub method: String,
    pub convolutions: usize,
    pub equalized_channels: usize,
    /// Tensors that had one value in all pictures.
    pub constant: &'a [String],
    /// Signal to noise of the scores in decibels, against the model as it came.
    pub scores_db: Option<f64>,
    pub against: Option<Agreement>,
    pub seconds: f64,
    pub layers: &'a [Layer],
}

impl Report<'_> {
    /// The tensors with the most noise, at most `worst`, and what was made.
    pub fn text(&self, worst: usize) -> Result<String> {
        let mut out = String::new();
        let mut noisy: Vec<&Layer> = self.layers.iter().filter(|l| l.sqnr_db.is_some()).collect();
        noisy.sort_by(|a, b| {
            a.sqnr_db
                .unwrap_or(0.0)
                .total_cmp(&b.sqnr_db.unwrap_or(0.0))
        });
        if worst > 0 && !noisy.is_empty() {
            writeln!(
                out,
                "{:>7}  {:<18} {:>21}  tensor with the most noise",
                "SQNR dB", "operator", "range"
            )?;
            for layer in noisy.iter().take(worst) {
                let [low, high] = layer.range;
                let range = format!("{low:.4} .. {high:.4}");
                let ratio = layer.sqnr_db.unwrap_or(0.0);
                writeln!(
                    out,
                    "{ratio:>7.1}  {:<18} {range:>21}  {}",
                    layer.op, layer.tensor
                )?;
            }
        }
        if let Some(scores) = self.scores_db {
            writeln!(out, "scores: {scores:.1} dB against the model as it came")?;
        }
        if let Some(Agreement {
            model,
            pixels,
            pictures,
        }) = &self.against
        {
            writeln!(
                out,
                "masks: the same class as {model} on {:.2} % of the pixels of {pictures} pictures",
                100.0 * pixels
            )?;
        }
        let artifact = self.artifact.map(|path| format!(" and {}", path.display()));
        writeln!(
            out,
            "{}{}: {} convolutions in integers, {} pictures, {}, in {:.1} s",
            self.onnx.display(),
            artifact.unwrap_or_default(),
            self.convolutions,
            self.pictures,
            self.method,
            self.seconds
        )?;
        Ok(out)
    }
}
