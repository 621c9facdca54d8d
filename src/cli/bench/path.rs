//! What the way from a camera's frame to a result takes around the model.

use std::fmt::Write;

use anyhow::{Result, bail};
use serde::Serialize;

use atrous::engine::Segmenter;
use atrous::model::Manifest;
use atrous::pipeline::stats::Stats;
use atrous::pipeline::worker::Worker;
use atrous::sink::{Outcome, Stages};

use super::super::allocations;
use super::frame::FrameKind;
use super::{BenchArgs, ms};

/// Times the steps of the pipeline's inference thread, on one frame again and again.
///
/// # Errors
/// The frame cannot be drawn, or the model fails.
pub fn measure(
    segmenter: Box<dyn Segmenter>,
    manifest: &Manifest,
    kind: FrameKind,
    args: &BenchArgs,
) -> Result<PathReport> {
    let (fit, classes) = (manifest.input.fit, &manifest.classes);
    let mut worker = Worker::new(segmenter, fit, classes, 0).with_cpu(args.cpu.allowed()?);
    let (mut frame, mut outcome, stats) = (kind.draw()?, Outcome::default(), Stats::default());
    let mut run = || {
        if !worker.process(&mut frame, &mut outcome, &stats)? {
            bail!("the drawn frame cannot be converted; please report it");
        }
        Ok(outcome.stages)
    };
    // Memory grows in the first run.
    run()?;
    for _ in 0..args.warmup {
        run()?;
    }
    let mut runs = Vec::with_capacity(args.runs as usize);
    let allocated = allocations::count();
    for _ in 0..args.runs {
        runs.push(run()?);
    }
    Ok(PathReport::new(&runs, allocations::count() - allocated))
}

/// The median of each step.
#[derive(Debug, Serialize)]
pub struct PathReport {
    preprocess_ms: f64,
    inference_ms: f64,
    postprocess_ms: f64,
    /// What is not inference, as a share of it.
    overhead_percent: f64,
    allocations_per_frame: f64,
}

impl PathReport {
    /// Of at least one run, and of what all of them allocated.
    pub fn new(runs: &[Stages], allocations: u64) -> Self {
        let median = |of: fn(&Stages) -> f64| {
            let mut times: Vec<f64> = runs.iter().map(of).collect();
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let preprocess_ms = median(|s| ms(s.preprocess));
        let inference_ms = median(|s| ms(s.inference));
        let postprocess_ms = median(|s| ms(s.postprocess));
        Self {
            preprocess_ms,
            inference_ms,
            postprocess_ms,
            overhead_percent: (preprocess_ms + postprocess_ms) / inference_ms * 100.0,
            allocations_per_frame: allocations as f64 / runs.len() as f64,
        }
    }

    /// One line.
    pub fn write(&self, out: &mut String) -> Result<()> {
        writeln!(
            out,
            "  preprocess {:.3} ms  inference {:.3}  postprocess {:.3}: {:.1} % around the model; \
             {} allocations a frame",
            self.preprocess_ms,
            self.inference_ms,
            self.postprocess_ms,
            self.overhead_percent,
            self.allocations_per_frame
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_share_is_of_the_medians() {
        let stages = |preprocess, inference, postprocess| Stages {
            preprocess: Duration::from_millis(preprocess),
            inference: Duration::from_millis(inference),
            postprocess: Duration::from_millis(postprocess),
        };
        let report = PathReport::new(&[stages(1, 90, 9), stages(3, 100, 2), stages(8, 110, 1)], 6);
        assert_eq!((report.preprocess_ms, report.postprocess_ms), (3.0, 2.0));
        assert!((report.overhead_percent - 5.0).abs() < 1e-9);
        assert_eq!(report.allocations_per_frame, 2.0);
    }
}
