//! One engine in the hands of several pipelines.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::scores::Scores;
use super::{EngineError, Segmenter, Shape};
use crate::logits::Logits;
use crate::mask::Mask;

/// A handle on an engine that others have handles on, too. Each call waits until no
/// other handle is in use; who comes next is up to the system, so pipelines take turns
/// before ([`crate::pipeline::turns`]).
pub struct SharedSegmenter {
    engine: Arc<Mutex<Box<dyn Segmenter>>>,
    shape: Shape,
    scored_classes: Option<usize>,
    description: String,
}

impl SharedSegmenter {
    /// The first handle.
    pub fn new(engine: Box<dyn Segmenter>) -> Self {
        Self {
            shape: engine.shape(),
            scored_classes: engine.scored_classes(),
            description: engine.describe(),
            engine: Arc::new(Mutex::new(engine)),
        }
    }

    /// One handle more.
    pub fn another(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            shape: self.shape,
            scored_classes: self.scored_classes,
            description: self.description.clone(),
        }
    }

    /// The engine, unless a panic has left it half way through a picture.
    fn lock(&self) -> Result<MutexGuard<'_, Box<dyn Segmenter>>, EngineError> {
        self.engine.lock().map_err(|_| EngineError::Run {
            model: self.description.clone(),
            reason: "it panicked with the picture of another pipeline".into(),
        })
    }
}

impl Segmenter for SharedSegmenter {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
        self.lock()?.segment(rgb, labels)
    }

    fn logits(&mut self, rgb: &[u8], logits: &mut Logits) -> Result<(), EngineError> {
        self.lock()?.logits(rgb, logits)
    }

    fn scored_classes(&self) -> Option<usize> {
        self.scored_classes
    }

    fn segment_scored(
        &mut self,
        rgb: &[u8],
        labels: &mut Mask,
        scores: &mut Scores,
    ) -> Result<(), EngineError> {
        self.lock()?.segment_scored(rgb, labels, scores)
    }

    fn kernels(&self) -> Vec<&'static str> {
        self.lock().map_or_else(|_| Vec::new(), |e| e.kernels())
    }

    fn segment_timed(
        &mut self,
        rgb: &[u8],
        labels: &mut Mask,
        times: &mut [Duration],
    ) -> Result<(), EngineError> {
        self.lock()?.segment_timed(rgb, labels, times)
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn hint(&mut self, truth: &Mask) {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.hint(truth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fake::{FakeSegmenter, Faults};
    use crate::guard;

    const SHAPE: Shape = Shape {
        width: 2,
        height: 1,
        classes: 3,
    };

    #[test]
    fn handles_give_what_the_engine_gives() {
        let mut one = SharedSegmenter::new(Box::new(FakeSegmenter::new(SHAPE)));
        let mut other = one.another();
        let truth = Mask {
            width: 2,
            height: 1,
            labels: vec![2, 1],
        };
        let mut labels = Mask::default();
        assert_eq!(other.shape(), SHAPE);
        other.hint(&truth);
        other.segment(&[0; 6], &mut labels).unwrap();
        assert_eq!(labels, truth);
        assert!(one.segment(&[0; 5], &mut labels).is_err());
    }

    #[test]
    fn after_a_panic_every_handle_refuses() {
        let faults = Faults::parse("panic=0").unwrap();
        let fake = FakeSegmenter::new(SHAPE).with_faults(faults);
        let mut one = SharedSegmenter::new(Box::new(fake));
        let mut other = one.another();
        let mut labels = Mask::default();
        assert!(guard::contain(|| one.segment(&[0; 6], &mut labels)).is_err());
        let error = other.segment(&[0; 6], &mut labels).unwrap_err();
        assert!(error.to_string().contains("another pipeline"), "{error}");
    }
}
