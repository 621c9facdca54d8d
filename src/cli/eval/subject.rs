//! A model under evaluation, and what was counted of it.

use std::time::Duration;

use atrous::engine::refine::Refiner;
use atrous::eval::{
    BoundaryCounts, BoundaryScorer, Confusion, LabelMap, PredictError, Predictor, Tolerance,
};
use atrous::frame::Frame;
use atrous::mask::Mask;
use atrous::postprocess::crf::CrfParams;

use super::super::exit::Misused;
use super::super::model::Opened;
use super::scheme::Scheme;

/// A model with its counts over the pictures so far.
pub struct Subject {
    /// The model's name.
    pub name: String,
    /// Where the model came from.
    pub origin: String,
    /// Its mask of the last picture, in the classes that are scored.
    pub mask: Mask,
    /// Its pixels against the labels.
    pub confusion: Confusion,
    /// Its borders against those of the labels.
    pub borders: BoundaryCounts,
    /// The last picture's pixels against its label.
    pub picture: Confusion,
    /// What the last picture took.
    pub last: Duration,
    /// What all of them took.
    pub time: Duration,
    /// How the masks are refined, if they are.
    pub crf: Option<CrfParams>,
    predictor: Predictor,
    map: LabelMap,
    flag: &'static str,
}

impl Subject {
    /// `crf` refines the masks, if anything does. `map` leads from the model's classes
    /// to those that are scored, and is set by `flag`.
    pub fn new(
        opened: Opened,
        crf: Option<Refiner>,
        map: LabelMap,
        flag: &'static str,
        classes: usize,
    ) -> Self {
        let fit = opened.manifest.input.fit;
        Self {
            name: opened.manifest.name,
            origin: opened.origin,
            mask: Mask::default(),
            confusion: Confusion::new(classes),
            borders: BoundaryCounts::new(classes),
            picture: Confusion::new(classes),
            last: Duration::ZERO,
            time: Duration::ZERO,
            crf: crf.as_ref().map(|crf| *crf.params()),
            predictor: Predictor::new(opened.segmenter, fit).with_crf(crf),
            map,
            flag,
        }
    }

    /// What runs the model, and what comes after it.
    pub fn describe(&self) -> String {
        let engine = self.predictor.segmenter().describe();
        match &self.crf {
            Some(crf) => format!("{engine}; dense CRF, {} iterations", crf.iterations),
            None => engine,
        }
    }

    /// Segments a frame.
    ///
    /// # Errors
    /// [`PredictError::Frame`] where the frame is at fault.
    pub fn predict(&mut self, frame: &Frame) -> Result<(), PredictError> {
        self.last = self.predictor.predict(frame, &mut self.mask)?;
        Ok(())
    }

    /// Brings the last mask, of the picture `name`, to the classes that are scored.
    pub fn map(&mut self, name: &str, scheme: &Scheme) -> Result<(), Misused> {
        self.map.rename(&mut self.mask.labels).map_err(|unknown| {
            Misused(format!(
                "model '{}' predicts class {} in picture '{name}', and {}",
                self.name,
                unknown.value,
                scheme.unknown_prediction(unknown.value, self.flag)
            ))
        })
    }

    /// Counts the time of the last picture.
    pub fn count_time(&mut self) {
        self.time += self.last;
    }

    /// Scores the last mask.
    pub fn score(
        &mut self,
        truth: &Mask,
        judged: &[bool],
        tolerance: Tolerance,
        scorer: &mut BoundaryScorer,
    ) {
        self.picture.clear();
        self.picture
            .add_judged(&truth.labels, judged, &self.mask.labels);
        self.confusion.merge(&self.picture);
        scorer.add(truth, judged, &self.mask, tolerance, &mut self.borders);
    }
}
