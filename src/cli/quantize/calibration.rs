//! The pictures that ranges are found with.

use std::path::Path;

use anyhow::Result;

use atrous::frame::Frame;
use atrous::model::Manifest;
use atrous::preprocess::{PAD, Preprocessor};
use atrous::source::picture::PictureSource;
use atrous::source::{FrameSource, Next, SourceError};

/// Most bytes of all pictures together at the model's size.
const MAX_BYTES: usize = 512 << 20;
/// One picture in so many may be unreadable.
const TOLERATED: usize = 10;

/// Pictures at the model's size.
pub struct Calibration {
    /// RGB, row by row.
    pub pictures: Vec<Vec<u8>>,
    /// Pictures that could not be read.
    pub skipped: usize,
}

/// Too many pictures that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "{skipped} of {all} pictures in '{folder}' cannot be read, more than one in {TOLERATED}; \
     mend or remove them"
)]
pub struct Unreadable {
    skipped: usize,
    all: usize,
    folder: String,
}

impl Calibration {
    /// Reads at most `most` pictures of a folder, evenly spread, and fits them into the
    /// model's input as a run does.
    ///
    /// # Errors
    /// [`SourceError`] where there is none, and [`Unreadable`].
    pub fn read(folder: &Path, manifest: &Manifest, most: usize) -> Result<Self> {
        let input = &manifest.input;
        let size = (input.width, input.height);
        let bytes = input.width as usize * input.height as usize * 3;
        let fit = (MAX_BYTES / bytes).max(1);
        if fit < most {
            log::info!("at most {fit} pictures of this size are used");
        }
        let mut source = PictureSource::open(folder)?.thinned(most.min(fit));
        let mut preprocessor = Preprocessor::new(size, input.fit, PAD);
        let (mut pictures, mut skipped) = (Vec::new(), 0);
        let mut frame = Frame::default();
        loop {
            match source.next_frame(&mut frame) {
                Ok(Next::Frame) => {}
                Ok(Next::End) => break,
                Err(error @ SourceError::Corrupt { .. }) => {
                    log::warn!("{error}; it is skipped");
                    skipped += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            pictures.push(preprocessor.run(&frame)?.model_rgb.to_vec());
        }
        let all = pictures.len() + skipped;
        if skipped * TOLERATED > all {
            let folder = folder.display().to_string();
            return Err(Unreadable {
                skipped,
                all,
                folder,
            }
            .into());
        }
        Ok(Self { pictures, skipped })
    }
}
