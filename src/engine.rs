//! Running a model: RGB in at the model's size, labels or logits out.

use std::time::Duration;

use thiserror::Error;

use crate::logits::Logits;
use crate::mask::Mask;

pub mod device;
pub mod fake;
pub mod mixed;
pub mod program;
pub mod refine;
pub mod scores;
pub mod shared;
pub mod tract;

pub use crate::workers::{MAX_THREADS, Workers};

use scores::Scores;

/// The fixed shape of a model's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Input (and mask) width in pixels.
    pub width: u32,
    /// Input (and mask) height in pixels.
    pub height: u32,
    /// Number of classes: every label is below it.
    pub classes: usize,
}

impl Shape {
    /// Whether `rgb` is a picture of this size.
    ///
    /// # Errors
    /// [`EngineError::Input`] where it has another length.
    pub fn check(&self, rgb: &[u8]) -> Result<(), EngineError> {
        let expected = self.width as usize * self.height as usize * 3;
        if rgb.len() == expected {
            Ok(())
        } else {
            Err(EngineError::Input {
                expected,
                got: rgb.len(),
            })
        }
    }
}

/// A model that is ready to run.
pub trait Segmenter: Send {
    /// The shapes this segmenter works with.
    fn shape(&self) -> Shape;

    /// Labels every pixel of one picture.
    ///
    /// `rgb` holds `height * width * 3` bytes, row-major, red first, in 0..=255;
    /// normalization happens inside. `labels` is resized to the model's size.
    ///
    /// # Errors
    /// [`EngineError::Input`] where `rgb` has another length; `labels` is then
    /// untouched.
    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError>;

    /// Scores instead of labels, at the model's output resolution.
    ///
    /// # Errors
    /// As [`segment`](Self::segment), and [`EngineError::NoLogits`] where the
    /// model gives labels only.
    fn logits(&mut self, rgb: &[u8], logits: &mut Logits) -> Result<(), EngineError>;

    /// Of how many classes [`segment_scored`](Self::segment_scored) gives scores; `None`
    /// where there are none.
    fn scored_classes(&self) -> Option<usize> {
        None
    }

    /// As [`segment`](Self::segment), and keeps the scores that the labels were chosen
    /// from, which are there before a class is chosen also in models that give labels.
    ///
    /// # Errors
    /// As [`segment`](Self::segment), and [`EngineError::NoLogits`] where the engine does
    /// not [have them](Self::scored_classes).
    fn segment_scored(
        &mut self,
        _rgb: &[u8],
        _labels: &mut Mask,
        _scores: &mut Scores,
    ) -> Result<(), EngineError> {
        Err(EngineError::NoLogits {
            model: self.describe(),
        })
    }

    /// The name of the kernel of each operation; empty where the engine does not know
    /// its operations.
    fn kernels(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// As [`segment`](Self::segment), and writes to `times` what each operation of
    /// [`kernels`](Self::kernels) took.
    ///
    /// # Errors
    /// As [`segment`](Self::segment).
    fn segment_timed(
        &mut self,
        rgb: &[u8],
        labels: &mut Mask,
        _times: &mut [Duration],
    ) -> Result<(), EngineError> {
        self.segment(rgb, labels)
    }

    /// Which engine this is and how it runs, for logs.
    fn describe(&self) -> String;

    /// The true mask of the next picture, where the source knows it. Models
    /// ignore it; the fake gives it back.
    fn hint(&mut self, _truth: &Mask) {}
}

/// Why a picture could not be segmented.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The picture has another size than the model.
    #[error("the model takes {expected} bytes of RGB, got {got}")]
    Input {
        /// Bytes the model wants.
        expected: usize,
        /// Bytes it was given.
        got: usize,
    },
    /// The model ends in labels.
    #[error("model '{model}' gives labels only; ask for labels, or use a model with logits")]
    NoLogits {
        /// The model's name.
        model: String,
    },
    /// The engine failed while running.
    #[error("model '{model}' failed to run: {reason}")]
    Run {
        /// The model's name.
        model: String,
        /// The engine's own message.
        reason: String,
    },
}
