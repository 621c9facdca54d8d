//! What a model says of each pixel of the picture, as scores for the
//! [CRF](super::DenseCrf).

use crate::logits::Logits;
use crate::mask::Mask;
use crate::postprocess::upsample::{Tap, Upsample};

/// Bounds of a logit; a NaN, which is no score, counts as the least.
const LOGITS: [f32; 2] = [-1e6, 1e6];

/// The rectangle of a model's input that the picture fills, along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// Pixels of the picture.
    pub source: u32,
    /// Pixels of the model's input.
    pub model: u32,
    /// The first of them in the rectangle.
    pub start: u32,
    /// How many are in it, at least 1.
    pub length: u32,
    /// Cells of the logits.
    pub cells: u32,
}

impl Axis {
    /// Where the centre of each of the picture's pixels lies: within the rectangle of
    /// the model's input, between the centres of its pixels, and from there among the
    /// cells as `upsample` says.
    fn taps(self, upsample: Upsample) -> impl Iterator<Item = Tap> {
        let (source, length) = (f64::from(self.source), f64::from(self.length));
        let (model, cells) = (f64::from(self.model), f64::from(self.cells));
        let start = f64::from(self.start);
        (0..self.source).map(move |pixel| {
            let inside = (f64::from(pixel) + 0.5) * length / source - 0.5;
            let position = start + inside.clamp(0.0, length - 1.0);
            let position = match upsample {
                Upsample::AlignCorners => position * (cells - 1.0) / (model - 1.0).max(1.0),
                Upsample::HalfPixel => (position + 0.5) * cells / model - 0.5,
                Upsample::Asymmetric => position * cells / model,
                Upsample::Middle => position - ((model - cells) / 2.0).floor(),
            };
            let position = position.clamp(0.0, cells - 1.0);
            let cell = position as usize;
            Tap {
                cell,
                towards_next: (position - cell as f64) as f32,
            }
        })
    }
}

/// Brings logits to the picture's size. Its memory is reused.
#[derive(Debug, Default)]
pub struct LogitsToPicture {
    columns: Vec<Tap>,
    rows: Vec<Tap>,
}

impl LogitsToPicture {
    /// Plans the way for a picture; `logits` are the model's for it, and those that are
    /// no numbers, or great ones, are bounded. The logits are interpolated between four
    /// cells, first between rows, and their greatest becomes 0. Gives a function for
    /// [`DenseCrf::refine`](super::DenseCrf::refine).
    ///
    /// # Panics
    /// If the axes do not have the logits' cells, a rectangle is empty or the picture
    /// is.
    pub fn plan<'a>(
        &'a mut self,
        [columns, rows]: [Axis; 2],
        upsample: Upsample,
        logits: &'a mut Logits,
    ) -> impl Fn(usize, &mut [f32]) + Sync + 'a {
        assert_eq!(
            (columns.cells, rows.cells),
            (logits.width, logits.height),
            "the cells"
        );
        for axis in [columns, rows] {
            assert!(
                axis.source > 0 && axis.length > 0 && axis.cells > 0,
                "{axis:?}"
            );
        }
        self.columns.clear();
        self.columns.extend(columns.taps(upsample));
        self.rows.clear();
        self.rows.extend(rows.taps(upsample));
        for value in &mut logits.values {
            // A NaN is not at least anything.
            *value = if *value >= LOGITS[0] {
                value.min(LOGITS[1])
            } else {
                LOGITS[0]
            };
        }
        let logits = &*logits;
        move |pixel, scores| {
            let (row, column) = (pixel / self.columns.len(), pixel % self.columns.len());
            let (row, column) = (self.rows[row], self.columns[column]);
            let cell = |x: usize, y: usize| {
                let index = y * logits.width as usize + x;
                &logits.values[index * logits.classes..][..logits.classes]
            };
            let [left, right] = [column.cell, column.other()].map(|x| {
                let ends = cell(x, row.cell).iter().zip(cell(x, row.other()));
                ends.map(|(&a, &b)| a + (b - a) * row.towards_next)
            });
            for (score, (a, b)) in scores.iter_mut().zip(left.zip(right)) {
                *score = a + (b - a) * column.towards_next;
            }
            let best = scores
                .iter()
                .fold(LOGITS[0], |best, &s| if s > best { s } else { best });
            scores.iter_mut().for_each(|score| *score -= best);
        }
    }
}

/// Labels that are right with probability `confidence`, the other classes sharing the
/// rest. A label that is no class says nothing. Gives a function for
/// [`DenseCrf::refine`](super::DenseCrf::refine).
pub fn labels(mask: &Mask, classes: usize, confidence: f32) -> impl Fn(usize, &mut [f32]) + Sync {
    let others = (1.0 - confidence) / classes.saturating_sub(1).max(1) as f32;
    // Of the least confidence allowed, and of the greatest, this is finite.
    let gap = (confidence / others).ln();
    // What is more probable is 0, whichever it is.
    let (label_score, other_score) = (gap.min(0.0), (-gap).min(0.0));
    move |pixel, scores| {
        let label = usize::from(mask.labels[pixel]);
        let known = label < classes;
        scores.fill(if known { other_score } else { 0.0 });
        if known {
            scores[label] = label_score;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(width: u32, height: u32, classes: usize, values: Vec<f32>) -> Logits {
        Logits {
            width,
            height,
            classes,
            values,
        }
    }

    /// The scores of every pixel of a picture.
    fn at_picture(axes: [Axis; 2], upsample: Upsample, logits: &Logits) -> Vec<f32> {
        let mut way = LogitsToPicture::default();
        let mut logits = logits.clone();
        let classes = logits.classes;
        let fill = way.plan(axes, upsample, &mut logits);
        let pixels = axes[0].source as usize * axes[1].source as usize;
        let mut scores = vec![0.0; pixels * classes];
        for (pixel, row) in scores.chunks_exact_mut(classes).enumerate() {
            fill(pixel, row);
        }
        scores
    }

    fn whole(source: u32, model: u32, cells: u32) -> Axis {
        Axis {
            source,
            model,
            start: 0,
            length: model,
            cells,
        }
    }

    #[test]
    fn a_picture_of_the_models_size_gets_the_scores_as_they_are() {
        let logits = logits(3, 2, 2, (0..12).map(|i| ((i * 7) % 5) as f32).collect());
        for upsample in [
            Upsample::AlignCorners,
            Upsample::HalfPixel,
            Upsample::Asymmetric,
            Upsample::Middle,
        ] {
            let got = at_picture([whole(3, 3, 3), whole(2, 2, 2)], upsample, &logits);
            for (got, own) in got
                .as_chunks::<2>()
                .0
                .iter()
                .zip(logits.values.as_chunks::<2>().0)
            {
                let best = own[0].max(own[1]);
                assert_eq!(*got, own.map(|score| score - best));
            }
        }
    }

    #[test]
    fn coarse_scores_are_interpolated_where_the_model_says() {
        // Class 0 has 0 everywhere, class 1 minus the column.
        let logits = logits(3, 1, 2, vec![0.0, 0.0, 0.0, -1.0, 0.0, -2.0]);
        let second = |upsample| -> Vec<f32> {
            let scores = at_picture([whole(5, 5, 3), whole(1, 1, 1)], upsample, &logits);
            scores.as_chunks::<2>().0.iter().map(|s| -s[1]).collect()
        };
        let close = |got: Vec<f32>, want: [f32; 5]| {
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < 1e-6, "{got} {want}");
            }
        };
        close(second(Upsample::AlignCorners), [0.0, 0.5, 1.0, 1.5, 2.0]);
        close(second(Upsample::HalfPixel), [0.0, 0.4, 1.0, 1.6, 2.0]);
        close(second(Upsample::Asymmetric), [0.0, 0.6, 1.2, 1.8, 2.0]);
    }

    #[test]
    fn the_bars_of_a_letterbox_are_left_out() {
        // Four cells of which the picture fills the middle two, at twice their size.
        let axis = Axis {
            source: 4,
            model: 4,
            start: 1,
            length: 2,
            cells: 4,
        };
        let far = vec![0.0, 50.0, 0.0, -1.0, 0.0, -2.0, 0.0, 50.0];
        let logits = logits(4, 1, 2, far);
        let got = at_picture([axis, whole(1, 1, 1)], Upsample::HalfPixel, &logits);
        let second: Vec<f32> = got.as_chunks::<2>().0.iter().map(|s| s[1]).collect();
        assert_eq!(second, [-1.0, -1.25, -1.75, -2.0]);
    }

    #[test]
    fn what_is_no_number_says_nothing() {
        let (nan, infinite) = (f32::NAN, f32::INFINITY);
        let values = vec![nan, 1.0, nan, nan, infinite, 0.0, -infinite, f32::MAX];
        let logits = logits(4, 1, 2, values);
        let got = at_picture(
            [whole(4, 4, 4), whole(1, 1, 1)],
            Upsample::HalfPixel,
            &logits,
        );
        assert!(got.iter().all(|s| s.is_finite() && *s <= 0.0), "{got:?}");
        let best: Vec<bool> = got.iter().map(|&s| s == 0.0).collect();
        assert_eq!(best, [false, true, true, true, true, false, false, true]);
    }

    #[test]
    fn labels_share_out_their_confidence() {
        let mask = Mask {
            width: 3,
            height: 1,
            labels: vec![0, 2, 255],
        };
        for confidence in [0.7, 0.2, f32::MIN_POSITIVE, 1.0 - f32::EPSILON] {
            let fill = labels(&mask, 4, confidence);
            let mut row = [0.0; 4];
            for (pixel, label) in [(0, 0), (1, 2)] {
                fill(pixel, &mut row);
                assert!(row.iter().all(|s| s.is_finite()), "{row:?}");
                let sum: f32 = row.iter().map(|s| s.exp()).sum();
                let share = row[label].exp() / sum;
                assert!((share - confidence).abs() < 1e-5, "{share} {confidence}");
            }
            fill(2, &mut row);
            assert_eq!(row, [0.0; 4]);
        }
        let mut one = [1.0];
        labels(&mask, 1, 0.7)(0, &mut one);
        assert_eq!(one, [0.0]);
    }
}
