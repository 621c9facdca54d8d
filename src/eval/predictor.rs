//! A model's mask of a picture, at the picture's own size.

use std::time::{Duration, Instant};

use thiserror::Error;

use crate::engine::refine::Refiner;
use crate::engine::{EngineError, Segmenter};
use crate::frame::Frame;
use crate::kernels::cpu::Cpu;
use crate::mask::Mask;
use crate::postprocess::crf::CrfError;
use crate::preprocess::{Fit, PAD, PreprocessError, Preprocessor, WayBack};

/// A segmenter with the way from a picture to its input and back: the mask is the one
/// that the pipeline makes of the same frame before it drops specks.
pub struct Predictor {
    segmenter: Box<dyn Segmenter>,
    preprocessor: Preprocessor,
    model_mask: Mask,
    way_back: WayBack,
    crf: Option<Refiner>,
}

/// Why there is no mask.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PredictError {
    /// The frame is at fault; the next one may be fine.
    #[error(transparent)]
    Frame(#[from] PreprocessError),
    /// The model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The picture cannot be refined.
    #[error(transparent)]
    Crf(#[from] CrfError),
}

impl Predictor {
    /// Around a segmenter whose manifest asks for `fit`.
    pub fn new(segmenter: Box<dyn Segmenter>, fit: Fit) -> Self {
        let shape = segmenter.shape();
        Self {
            segmenter,
            preprocessor: Preprocessor::new((shape.width, shape.height), fit, PAD),
            model_mask: Mask::default(),
            way_back: WayBack::new(Cpu::detect()),
            crf: None,
        }
    }

    /// With masks that are refined.
    pub fn with_crf(mut self, crf: Option<Refiner>) -> Self {
        self.preprocessor.keep_picture(crf.is_some());
        self.crf = crf;
        self
    }

    /// The segmenter.
    pub fn segmenter(&self) -> &dyn Segmenter {
        self.segmenter.as_ref()
    }

    /// Labels every pixel of a frame; `mask` is resized to it. Tells how long that took.
    ///
    /// # Errors
    /// [`PredictError`]; what `mask` holds is then unspecified.
    pub fn predict(&mut self, frame: &Frame, mask: &mut Mask) -> Result<Duration, PredictError> {
        let start = Instant::now();
        let prepared = self.preprocessor.run(frame)?;
        match (&mut self.crf, prepared.source_rgb) {
            (Some(crf), Some(rgb)) => {
                crf.infer(&mut *self.segmenter, prepared.model_rgb)?;
                crf.refine(rgb, &prepared.placement, &mut self.way_back, mask)?;
            }
            _ => {
                self.segmenter
                    .segment(prepared.model_rgb, &mut self.model_mask)?;
                self.way_back
                    .run(&prepared.placement, &self.model_mask, mask);
            }
        }
        Ok(start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Shape;
    use crate::engine::fake::FakeSegmenter;

    #[test]
    fn the_mask_has_the_pictures_size() {
        let shape = Shape {
            width: 2,
            height: 2,
            classes: 4,
        };
        let mut segmenter = FakeSegmenter::new(shape);
        segmenter.hint(&Mask {
            width: 2,
            height: 2,
            labels: vec![0, 1, 2, 3],
        });
        let mut predictor = Predictor::new(Box::new(segmenter), Fit::Stretch);
        let mut frame = Frame {
            width: 4,
            height: 2,
            stride: 12,
            data: vec![0; 24],
            ..Frame::default()
        };
        let mut mask = Mask::default();
        predictor.predict(&frame, &mut mask).unwrap();
        assert_eq!(mask.labels, [0, 0, 1, 1, 2, 2, 3, 3]);
        frame.data.clear();
        let error = predictor.predict(&frame, &mut mask).unwrap_err();
        assert!(matches!(error, PredictError::Frame(_)), "{error}");
    }
}
