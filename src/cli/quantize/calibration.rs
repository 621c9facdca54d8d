//! The pictures that ranges are found with.

use std::path::Path;

use anyhow::Result;

use atrous::model::Manifest;
use atrous::preprocess::{PAD, Preprocessor};
use atrous::source::picture::PictureSource;

use super::super::figures::Pictures;
use super::super::samples::{Sample, Samples, Step};

/// Most bytes of all pictures together at the model's size.
const MAX_BYTES: usize = 512 << 20;

/// Pictures at the model's size.
pub struct Calibration {
    /// RGB, row by row.
    pub pictures: Vec<Vec<u8>>,
    /// Pictures that could not be read.
    pub skipped: u64,
}

impl Calibration {
    /// Reads at most `most` pictures of a folder, evenly spread, and fits them into the
    /// model's input as a run does.
    ///
    /// # Errors
    /// [`SourceError`](atrous::source::SourceError) where there is none, and that too many
    /// cannot be read.
    pub fn read(folder: &Path, manifest: &Manifest, most: usize) -> Result<Self> {
        let input = &manifest.input;
        let size = (input.width, input.height);
        let bytes = input.width as usize * input.height as usize * 3;
        let fit = (MAX_BYTES / bytes).max(1);
        if fit < most {
            log::info!("at most {fit} pictures of this size are used");
        }
        let source = PictureSource::open(folder)?.thinned(most.min(fit));
        let mut samples = Samples::over(source, None, None)?;
        let mut preprocessor = Preprocessor::new(size, input.fit, PAD);
        let (mut pictures, mut sample) = (Vec::new(), Sample::default());
        let shown = Pictures::new(false, samples.total());
        loop {
            match samples.next(&mut sample, &shown)? {
                Step::Sample => {
                    pictures.push(preprocessor.run(&sample.frame)?.model_rgb.to_vec());
                }
                Step::Skipped => {}
                Step::End => break,
            }
        }
        let skipped = samples.skipped().all();
        Ok(Self { pictures, skipped })
    }
}
