//! A segmenter without a model: it gives back the true mask it is hinted.
//!
//! Over a drawn scene it stands in for a perfect and instant model, so that the
//! rest of the way can be run and judged without one (`--model truth`); with
//! [`Faults`], for one that is slow or fails (`--model 'truth?delay_ms=140&panic=5'`).

use std::thread;
use std::time::Duration;

use super::{EngineError, Segmenter, Shape};
use crate::logits::Logits;
use crate::mask::Mask;

/// What goes wrong with a [`FakeSegmenter`], by the number of the picture, from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// How long each picture takes.
    pub delay: Duration,
    /// This picture, and every later one, ends in an error.
    pub error: Option<u64>,
    /// At this picture the thread panics.
    pub panic: Option<u64>,
    /// This picture never ends.
    pub hang: Option<u64>,
}

impl Faults {
    /// Longest delay: a minute.
    const LONGEST: u64 = 60_000;

    /// Reads `delay_ms=140&error=5&panic=5&hang=5`, each at most once.
    ///
    /// # Errors
    /// What is wrong and what is known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let number = |text: &str| text.parse::<u64>().ok();
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let place = match key {
                "delay_ms" => match number(value) {
                    Some(millis @ 0..=Self::LONGEST) => {
                        faults.delay = Duration::from_millis(millis);
                        continue;
                    }
                    _ => {
                        let longest = Self::LONGEST;
                        return Err(format!("{part}: milliseconds from 0 to {longest}"));
                    }
                },
                "error" => &mut faults.error,
                "panic" => &mut faults.panic,
                "hang" => &mut faults.hang,
                _ => {
                    return Err(format!(
                        "unknown option '{key}'; known here: delay_ms, error, panic, hang"
                    ));
                }
            };
            let picture = number(value)
                .ok_or_else(|| format!("{part}: the number of a picture, from 0, was expected"))?;
            if place.replace(picture).is_some() {
                return Err(format!("the option '{key}' is given twice"));
            }
        }
        Ok(faults)
    }

    /// What happens at a picture before there are labels.
    fn strike(&self, picture: u64) -> Result<(), EngineError> {
        thread::sleep(self.delay);
        if self.error.is_some_and(|first| picture >= first) {
            return Err(EngineError::Run {
                model: "truth".into(),
                reason: format!("picture {picture} was to fail"),
            });
        }
        assert!(
            self.panic != Some(picture),
            "picture {picture} was to panic"
        );
        while self.hang == Some(picture) {
            thread::park();
        }
        Ok(())
    }
}

/// Returns the labels it was last hinted, whatever the picture.
#[derive(Debug, Clone)]
pub struct FakeSegmenter {
    shape: Shape,
    mask: Mask,
    faults: Faults,
    /// Pictures so far.
    count: u64,
}

impl FakeSegmenter {
    /// A segmenter of this shape whose labels are all 0.
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            mask: Mask::new(shape.width, shape.height),
            faults: Faults::default(),
            count: 0,
        }
    }

    /// The same with faults.
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// What happens at a picture, whatever is made of it.
    fn begin(&mut self, rgb: &[u8]) -> Result<(), EngineError> {
        self.shape.check(rgb)?;
        self.count += 1;
        self.faults.strike(self.count - 1)
    }
}

impl Segmenter for FakeSegmenter {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
        self.begin(rgb)?;
        labels.resize(self.mask.width, self.mask.height);
        labels.labels.copy_from_slice(&self.mask.labels);
        Ok(())
    }

    fn logits(&mut self, rgb: &[u8], logits: &mut Logits) -> Result<(), EngineError> {
        self.begin(rgb)?;
        logits.width = self.shape.width;
        logits.height = self.shape.height;
        logits.classes = self.shape.classes;
        logits.values.clear();
        logits
            .values
            .resize(self.mask.labels.len() * self.shape.classes, 0.0);
        let cells = logits.values.chunks_exact_mut(self.shape.classes);
        for (cell, &label) in cells.zip(&self.mask.labels) {
            if let Some(score) = cell.get_mut(usize::from(label)) {
                *score = 1.0;
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        "the scene's own truth, no model".into()
    }

    /// What the next calls return: `truth`, sampled at the nearest pixel to the
    /// segmenter's size.
    fn hint(&mut self, truth: &Mask) {
        let Shape { width, height, .. } = self.shape;
        for y in 0..height {
            let from_y = u64::from(y) * u64::from(truth.height) / u64::from(height);
            let from = truth.row(from_y as u32);
            for (x, label) in self.mask.row_mut(y).iter_mut().enumerate() {
                *label = from[x * truth.width as usize / width as usize];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_wrong_ones_named() {
        assert_eq!(Faults::parse(""), Ok(Faults::default()));
        let faults = Faults::parse("delay_ms=140&panic=5&hang=0").unwrap();
        assert_eq!(faults.delay, Duration::from_millis(140));
        assert_eq!(
            (faults.error, faults.panic, faults.hang),
            (None, Some(5), Some(0))
        );
        for (text, words) in [
            ("panik=5", "panic"),
            ("panic", "number"),
            ("panic=-1", "number"),
            ("panic=1&panic=2", "twice"),
            ("delay_ms=60001", "60000"),
        ] {
            let error = Faults::parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn an_error_lasts_and_comes_when_it_was_to() {
        let shape = Shape {
            width: 1,
            height: 1,
            classes: 2,
        };
        let faults = Faults::parse("error=1").unwrap();
        let mut fake = FakeSegmenter::new(shape).with_faults(faults);
        let mut mask = Mask::default();
        assert_eq!(fake.segment(&[0; 3], &mut mask), Ok(()));
        for picture in 1..3 {
            let error = fake.segment(&[0; 3], &mut mask).unwrap_err();
            assert!(
                error.to_string().contains(&format!("picture {picture}")),
                "{error}"
            );
        }
        let error = fake.logits(&[0; 3], &mut Logits::default()).unwrap_err();
        assert!(error.to_string().contains("picture 3"), "{error}");
    }
}
