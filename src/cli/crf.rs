//! `--crf`, for the commands that make masks.

use anyhow::{Context, Result};
use clap::Args;

use atrous::engine::program::Options;
use atrous::engine::refine::Refiner;
use atrous::postprocess::crf::CrfParams;
use atrous::postprocess::upsample::Upsample;

/// Whether masks are refined, and how.
#[derive(Debug, Clone, Copy, Args)]
pub struct CrfArgs {
    /// Refine each mask by the picture's colours: a dense CRF, at the picture's own size.
    /// The model's manifest may set it up ([crf]).
    #[arg(long)]
    crf: bool,
    /// Iterations of the CRF [default: the manifest's, or 10].
    #[arg(long, value_name = "N", requires = "crf",
        value_parser = clap::value_parser!(u32).range(0..=i64::from(CrfParams::MAX_ITERATIONS)))]
    crf_iterations: Option<u32>,
}

impl CrfArgs {
    /// What refines the masks of a model, if anything, with its kernels and threads.
    /// `params` are its manifest's.
    pub fn refiner(
        self,
        params: Option<CrfParams>,
        upsample: Upsample,
        classes: usize,
        options: Options,
    ) -> Result<Option<Refiner>> {
        if !self.crf {
            return Ok(None);
        }
        let mut params = params.unwrap_or_default();
        params.iterations = self.crf_iterations.unwrap_or(params.iterations);
        let refiner = Refiner::new(params, upsample, classes, options);
        Ok(Some(refiner.context("the threads of the CRF")?))
    }
}
