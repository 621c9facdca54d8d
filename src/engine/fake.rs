//! A segmenter without a model: it gives back the true mask it is hinted.
//!
//! Over a drawn scene it stands in for a perfect and instant model, so that the
//! rest of the way can be run and judged without one (`--model truth`).

use super::{EngineError, Segmenter, Shape};
use crate::logits::Logits;
use crate::mask::Mask;

/// Returns the labels it was last hinted, whatever the picture.
#[derive(Debug, Clone)]
pub struct FakeSegmenter {
    shape: Shape,
    mask: Mask,
}

impl FakeSegmenter {
    /// A segmenter of this shape whose labels are all 0.
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            mask: Mask::new(shape.width, shape.height),
        }
    }
}

impl Segmenter for FakeSegmenter {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
        self.shape.check(rgb)?;
        labels.clone_from(&self.mask);
        Ok(())
    }

    fn logits(&mut self, rgb: &[u8], logits: &mut Logits) -> Result<(), EngineError> {
        self.shape.check(rgb)?;
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
