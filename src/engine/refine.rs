//! A model with the dense CRF behind it: scores or labels, to labels that follow the
//! picture's edges.

use super::program::Options;
use super::{EngineError, Segmenter, Workers};
use crate::logits::Logits;
use crate::mask::Mask;
use crate::postprocess::crf::unary::{self, Axis, LogitsToPicture};
use crate::postprocess::crf::{CrfError, CrfParams, DenseCrf};
use crate::postprocess::upsample::Upsample;
use crate::preprocess::{Placement, WayBack};

/// Refines what a model says of a picture, at the picture's own size. Its memory is
/// reused.
#[derive(Debug)]
pub struct Refiner {
    crf: DenseCrf,
    upsample: Upsample,
    classes: usize,
    /// Whether the model has turned out to give labels only.
    labels_only: bool,
    logits: Logits,
    to_picture: LogitsToPicture,
    labels: Mask,
}

impl Refiner {
    /// With these parameters, for logits that are upsampled so and `classes` classes. The
    /// masks do not depend on the options. The threads are its own, and sleep while the
    /// model works.
    ///
    /// # Errors
    /// The system's, where it gives no more threads.
    ///
    /// # Panics
    /// If the parameters do not pass [`CrfParams::check`].
    pub fn new(
        params: CrfParams,
        upsample: Upsample,
        classes: usize,
        options: Options,
    ) -> std::io::Result<Self> {
        let workers = Workers::new(options.threads)?;
        Ok(Self {
            crf: DenseCrf::new(params, options.cpu).with_workers(workers),
            upsample,
            classes,
            labels_only: false,
            logits: Logits::default(),
            to_picture: LogitsToPicture::default(),
            labels: Mask::default(),
        })
    }

    /// How masks are refined.
    pub fn params(&self) -> &CrfParams {
        self.crf.params()
    }

    /// Runs the model: its logits are kept where it gives any, else its labels.
    ///
    /// # Errors
    /// As [`Segmenter::segment`].
    pub fn infer(
        &mut self,
        segmenter: &mut dyn Segmenter,
        model_rgb: &[u8],
    ) -> Result<(), EngineError> {
        if !self.labels_only {
            match segmenter.logits(model_rgb, &mut self.logits) {
                Err(EngineError::NoLogits { .. }) => self.labels_only = true,
                result => return result,
            }
        }
        segmenter.segment(model_rgb, &mut self.labels)
    }

    /// Refines what [`infer`](Self::infer) found of a picture, `rgb`, that lay so in the
    /// model's input. `mask` is resized to the picture.
    ///
    /// Logits are interpolated at the centres of the picture's pixels, without
    /// the bars of a letterbox; labels go the way that they go without the CRF.
    ///
    /// # Errors
    /// [`CrfError`].
    ///
    /// # Panics
    /// If the picture does not have the placement's size.
    pub fn refine(
        &mut self,
        rgb: &[u8],
        placement: &Placement,
        way_back: &mut WayBack,
        mask: &mut Mask,
    ) -> Result<(), CrfError> {
        let size = placement.source;
        if self.labels_only {
            way_back.run(placement, &self.labels, mask);
            let confidence = self.crf.params().label_confidence;
            let scores = unary::labels(mask, self.classes, confidence);
            let marginals = self.crf.refine(rgb, size, self.classes, scores)?;
            marginals.labels(mask);
        } else {
            let axes = [
                Axis {
                    source: size.0,
                    model: placement.model.0,
                    start: placement.x,
                    length: placement.width,
                    cells: self.logits.width,
                },
                Axis {
                    source: size.1,
                    model: placement.model.1,
                    start: placement.y,
                    length: placement.height,
                    cells: self.logits.height,
                },
            ];
            let classes = self.logits.classes;
            let scores = (self.to_picture).plan(axes, self.upsample, &mut self.logits);
            let marginals = self.crf.refine(rgb, size, classes, scores)?;
            mask.resize(size.0, size.1);
            marginals.labels(mask);
        }
        Ok(())
    }
}
