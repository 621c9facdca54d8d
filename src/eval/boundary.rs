//! How well the borders between classes are met.
//!
//! # Definition
//!
//! A pixel lies on the border of its class if one of its four neighbours is of another
//! class; the picture's own edge is no border. A border pixel of the truth is found if a
//! border pixel that was predicted for the same class lies within the tolerance (Euclidean
//! distance between centres), and a predicted one is right if a true one does. Recall and
//! precision of a class are the shares of these, counted over all pictures; its F-score
//! is their harmonic mean.
//!
//! This is the measure of Csurka, Larlus and Perronnin ("What is a good evaluation
//! measure for semantic segmentation?", BMVC 2013) with their tolerance, 0.75 % of the
//! picture's diagonal, but counted over the set instead of averaged over pictures.
//!
//! Pixels that are not judged are neither border nor neighbour. What lies beyond their
//! edge is unknown, so a predicted border pixel is also right within the tolerance of a
//! pixel of its class that such a pixel touches; that one need not be found.

use super::confusion::{mean, share};
use crate::mask::Mask;

/// How far a border may be off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Tolerance {
    /// 0.75 % of the picture's diagonal.
    #[default]
    Diagonal,
    /// This many pixels, at least 0.
    Pixels(f32),
}

impl Tolerance {
    /// The greatest squared distance within the tolerance, in a picture of this size in
    /// pixels: squared distances are whole numbers.
    pub fn squared(self, width: u32, height: u32) -> u64 {
        match self {
            Self::Diagonal => {
                let (width, height) = (u64::from(width), u64::from(height));
                // 0.0075 squared is 9 / 160000.
                (width * width + height * height) * 9 / 160_000
            }
            // A float outside the range saturates; the cast rounds down.
            Self::Pixels(pixels) => (f64::from(pixels) * f64::from(pixels)) as u64,
        }
    }
}

/// Border pixels of each class, over any number of pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundaryCounts {
    classes: Vec<ClassCounts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct ClassCounts {
    actual: u64,
    found: u64,
    predicted: u64,
    right: u64,
}

impl BoundaryCounts {
    /// Nothing counted yet, of `classes` classes.
    pub fn new(classes: usize) -> Self {
        Self {
            classes: vec![ClassCounts::default(); classes],
        }
    }

    /// Share of the predicted border pixels of a class that are right, 0..=1; `None`
    /// where there are none.
    pub fn precision(&self, class: usize) -> Option<f64> {
        let counts = self.classes[class];
        share(counts.right, counts.predicted)
    }

    /// Share of the true border pixels of a class that are found, 0..=1; `None` where
    /// there are none.
    pub fn recall(&self, class: usize) -> Option<f64> {
        let counts = self.classes[class];
        share(counts.found, counts.actual)
    }

    /// The harmonic mean of precision and recall, 0..=1: 0 where there are border pixels
    /// on one side only, `None` where there are none at all.
    pub fn f_score(&self, class: usize) -> Option<f64> {
        match (self.precision(class), self.recall(class)) {
            (None, None) => None,
            (Some(precision), Some(recall)) if precision + recall > 0.0 => {
                Some(2.0 * precision * recall / (precision + recall))
            }
            _ => Some(0.0),
        }
    }

    /// The mean of [`f_score`](Self::f_score) over the classes that have one.
    pub fn mean_f_score(&self) -> Option<f64> {
        mean((0..self.classes.len()).filter_map(|class| self.f_score(class)))
    }
}

/// A border pixel of the truth.
const ACTUAL: u8 = 1;
/// A judged pixel beside one that is not.
const OPEN: u8 = 2;
/// A border pixel of the prediction.
const PREDICTED: u8 = 4;
/// A border pixel of the truth that is found.
const FOUND: u8 = 8;
/// A border pixel of the prediction that is right.
const RIGHT: u8 = 16;

/// Counts border pixels; its buffers are kept from picture to picture.
///
/// Two sweeps, down and up, in each of which every column remembers the last row with a
/// border pixel of each class. So the work grows with the number of pixels, and with the
/// number of border pixels times the tolerance.
#[derive(Debug, Default)]
pub struct BoundaryScorer {
    marks: Vec<u8>,
    actual: LastRows,
    predicted: LastRows,
}

impl BoundaryScorer {
    /// Adds a picture to `counts`. Pixels that are not `judged` may have any label.
    ///
    /// # Panics
    /// If the sizes differ, or the label of a judged pixel is none of the counted classes.
    pub fn add(
        &mut self,
        truth: &Mask,
        judged: &[bool],
        prediction: &Mask,
        tolerance: Tolerance,
        counts: &mut BoundaryCounts,
    ) {
        assert_eq!(
            (truth.width, truth.height),
            (prediction.width, prediction.height),
            "the masks differ in size"
        );
        assert_eq!(truth.labels.len(), judged.len(), "the masks differ in size");
        self.mark(truth, judged, prediction);
        let reach = Reach::new(tolerance.squared(truth.width, truth.height));
        let classes = counts.classes.len();
        self.sweep(truth, prediction, classes, reach, 0..truth.height);
        self.sweep(truth, prediction, classes, reach, (0..truth.height).rev());
        let labels = truth.labels.iter().zip(&prediction.labels);
        for (&mark, (&truth, &prediction)) in self.marks.iter().zip(labels) {
            if mark & ACTUAL != 0 {
                let class = &mut counts.classes[usize::from(truth)];
                class.actual += 1;
                class.found += u64::from(mark & FOUND != 0);
            }
            if mark & PREDICTED != 0 {
                let class = &mut counts.classes[usize::from(prediction)];
                class.predicted += 1;
                class.right += u64::from(mark & RIGHT != 0);
            }
        }
    }

    /// Marks the border pixels of both masks.
    fn mark(&mut self, truth: &Mask, judged: &[bool], prediction: &Mask) {
        let width = truth.width as usize;
        self.marks.clear();
        self.marks.resize(judged.len(), 0);
        let marks = &mut self.marks;
        let mut compare = |a: usize, b: usize| {
            if judged[a] && judged[b] {
                let actual = u8::from(truth.labels[a] != truth.labels[b]) * ACTUAL;
                let predicted = u8::from(prediction.labels[a] != prediction.labels[b]) * PREDICTED;
                marks[a] |= actual | predicted;
                marks[b] |= actual | predicted;
            } else if judged[a] {
                marks[a] |= OPEN;
            } else if judged[b] {
                marks[b] |= OPEN;
            }
        };
        for start in (0..judged.len()).step_by(width.max(1)) {
            for at in start..start + width {
                if at + 1 < start + width {
                    compare(at, at + 1);
                }
                if at + width < judged.len() {
                    compare(at, at + width);
                }
            }
        }
    }

    /// Finds, for each border pixel, one of the other mask in the rows passed so far.
    fn sweep(
        &mut self,
        truth: &Mask,
        prediction: &Mask,
        classes: usize,
        reach: Reach,
        rows: impl Iterator<Item = u32>,
    ) {
        let width = truth.width as usize;
        self.actual.reset(classes, width);
        self.predicted.reset(classes, width);
        for y in rows {
            let marks = &mut self.marks[y as usize * width..][..width];
            let (truth, prediction) = (truth.row(y), prediction.row(y));
            for (x, &mark) in marks.iter().enumerate() {
                if mark & (ACTUAL | OPEN) != 0 {
                    self.actual.note(truth[x], x, y);
                }
                if mark & PREDICTED != 0 {
                    self.predicted.note(prediction[x], x, y);
                }
            }
            for (x, mark) in marks.iter_mut().enumerate() {
                if *mark & (ACTUAL | FOUND) == ACTUAL && self.predicted.meet(truth[x], x, y, reach)
                {
                    *mark |= FOUND;
                }
                if *mark & (PREDICTED | RIGHT) == PREDICTED
                    && self.actual.meet(prediction[x], x, y, reach)
                {
                    *mark |= RIGHT;
                }
            }
        }
    }
}

/// For each class and column the last row that had a border pixel.
#[derive(Debug, Default)]
struct LastRows {
    width: usize,
    rows: Vec<i64>,
    /// For each class the last row that had one in any column.
    last: Vec<i64>,
}

/// A row that no picture is near to.
const NO_ROW: i64 = -(1 << 30);

impl LastRows {
    fn reset(&mut self, classes: usize, width: usize) {
        self.width = width;
        self.rows.clear();
        self.rows.resize(classes * width, NO_ROW);
        self.last.clear();
        self.last.resize(classes, NO_ROW);
    }

    /// Remembers a border pixel of a class in column `x` and row `y`.
    fn note(&mut self, class: u8, x: usize, y: u32) {
        let (class, y) = (usize::from(class), i64::from(y));
        self.rows[class * self.width + x] = y;
        self.last[class] = y;
    }

    /// Whether a remembered pixel of a class is within reach of column `x` and row `y`.
    fn meet(&self, class: u8, x: usize, y: u32, reach: Reach) -> bool {
        let (class, y) = (usize::from(class), i64::from(y));
        if (y - self.last[class]).abs() > reach.pixels as i64 {
            return false;
        }
        let rows = &self.rows[class * self.width..][..self.width];
        let near = |column: usize, across: usize| {
            let (across, along) = (across as i64, y - rows[column]);
            across * across + along * along <= reach.squared
        };
        let furthest = x.max(self.width - 1 - x).min(reach.pixels);
        (0..=furthest).any(|across| {
            (across <= x && near(x - across, across))
                || (x + across < self.width && near(x + across, across))
        })
    }
}

/// A distance.
#[derive(Debug, Clone, Copy)]
struct Reach {
    /// Squared, in pixels.
    squared: i64,
    /// The same as a whole number of pixels, rounded down.
    pixels: usize,
}

impl Reach {
    fn new(squared: u64) -> Self {
        // No two pixels are further apart than this, and it keeps the sums above small.
        let squared = squared.min(1 << 40);
        Self {
            squared: squared as i64,
            pixels: squared.isqrt() as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(width: u32, labels: &[u8]) -> Mask {
        Mask {
            width,
            height: labels.len() as u32 / width,
            labels: labels.to_vec(),
        }
    }

    fn score(truth: &Mask, judged: &[bool], prediction: &Mask, pixels: f32) -> BoundaryCounts {
        let mut counts = BoundaryCounts::new(3);
        let mut scorer = BoundaryScorer::default();
        let tolerance = Tolerance::Pixels(pixels);
        scorer.add(truth, judged, prediction, tolerance, &mut counts);
        // What an earlier picture left in the buffers changes nothing.
        let mut again = BoundaryCounts::new(3);
        scorer.add(truth, judged, prediction, tolerance, &mut again);
        assert_eq!(counts, again);
        counts
    }

    /// `columns` of class 0, the others of class 1, in a picture of 8x2.
    fn split(columns: u32) -> Mask {
        let labels: Vec<u8> = (0..16).map(|i| u8::from(i % 8 >= columns)).collect();
        mask(8, &labels)
    }

    #[test]
    fn a_border_within_the_tolerance_is_right() {
        for (columns, pixels, f_score) in [
            (3, 0.0, 1.0),
            (4, 0.0, 0.0),
            (4, 0.9, 0.0),
            (4, 1.0, 1.0),
            (2, 1.0, 1.0),
            (5, 1.9, 0.0),
            (5, 2.0, 1.0),
            (7, 3.9, 0.0),
            (7, 100.0, 1.0),
        ] {
            let counts = score(&split(3), &[true; 16], &split(columns), pixels);
            for class in [0, 1] {
                assert_eq!(counts.f_score(class), Some(f_score), "{columns} {pixels}");
            }
            assert_eq!(counts.f_score(2), None);
            assert_eq!(counts.mean_f_score(), Some(f_score));
        }
    }

    #[test]
    fn distances_are_euclidean() {
        // One pixel of class 1 each, two columns and one row apart.
        let point = |x: usize, y: usize| {
            let mut mask = Mask::new(7, 7);
            mask.row_mut(y as u32)[x] = 1;
            mask
        };
        for (to, pixels, right) in [
            ((4, 3), 2.23, false),
            ((4, 3), 2.24, true),
            ((2, 1), 1.0, true),
            ((2, 1), 0.99, false),
            ((0, 0), 2.82, false),
            ((0, 0), 2.83, true),
        ] {
            let counts = score(&point(2, 2), &[true; 49], &point(to.0, to.1), pixels);
            let share = Some(f64::from(u8::from(right)));
            assert_eq!(counts.precision(1), share, "{to:?} {pixels}");
            assert_eq!(counts.recall(1), share, "{to:?} {pixels}");
        }
    }

    #[test]
    fn precision_and_recall_by_hand() {
        // The truth's border between columns 2 and 3; the prediction has it in the upper
        // row and one more at columns 5 and 6 in both.
        let truth = split(3);
        let mut prediction = split(3);
        prediction.labels = vec![0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2];
        let counts = score(&truth, &[true; 16], &prediction, 0.0);
        // Class 0 is true at (2, 0) and (2, 1). It is predicted at (2, 0), (6, 0), (7, 0),
        // (3, 1), (4, 1) and (5, 1).
        assert_eq!(counts.recall(0), Some(1.0 / 2.0));
        assert_eq!(counts.precision(0), Some(1.0 / 6.0));
        assert_eq!(counts.f_score(0), Some(1.0 / 4.0));
        // Class 1 is true at (3, 0) and (3, 1), predicted at (3, 0), (4, 0) and (5, 0).
        assert_eq!(counts.recall(1), Some(1.0 / 2.0));
        assert_eq!(counts.precision(1), Some(1.0 / 3.0));
        // Class 2 is predicted but never true.
        assert_eq!((counts.recall(2), counts.precision(2)), (None, Some(0.0)));
        assert_eq!(counts.f_score(2), Some(0.0));
    }

    #[test]
    fn what_is_not_judged_changes_nothing() {
        let truth = split(3);
        let judged: Vec<bool> = (0..16).map(|i| !(2..5).contains(&(i % 8))).collect();
        let counts = score(&truth, &judged, &split(3), 1.0);
        // The border is in the strip: nothing is left to find.
        assert_eq!(counts, BoundaryCounts::new(3));
        let mut wild = split(3);
        for (label, judged) in wild.labels.iter_mut().zip(&judged) {
            if !judged {
                *label = 200;
            }
        }
        assert_eq!(score(&wild, &judged, &wild, 1.0), counts);
        assert_eq!(score(&truth, &[false; 16], &split(6), 1.0).f_score(0), None);
    }

    #[test]
    fn beside_a_strip_that_is_not_judged_a_predicted_border_is_right() {
        // The true border lies somewhere in columns 2 to 4.
        let judged: Vec<bool> = (0..16).map(|i| !(2..5).contains(&(i % 8))).collect();
        let counts = score(&split(3), &judged, &split(6), 1.0);
        // Predicted border of class 1 at column 6, which is within 1 of column 5; of
        // class 0 at column 5, which is 4 away from column 1.
        assert_eq!(counts.precision(1), Some(1.0));
        assert_eq!(counts.precision(0), Some(0.0));
        assert_eq!((counts.recall(0), counts.recall(1)), (None, None));
    }

    #[test]
    fn the_default_is_a_share_of_the_diagonal() {
        // 600 pixels: 4.5, squared 20.25.
        assert_eq!(Tolerance::default().squared(480, 360), 20);
        assert_eq!(Tolerance::Pixels(4.5).squared(1, 1), 20);
        assert_eq!(Tolerance::Pixels(0.5).squared(1, 1), 0);
        assert_eq!(Tolerance::default().squared(1, 1), 0);
    }

    #[test]
    fn every_distance_is_as_a_search_of_all_pixels_finds_it() {
        use proptest::prelude::*;

        let (width, height) = (9u32, 7u32);
        let size = (width * height) as usize;
        let labels = || proptest::collection::vec(0..3u8, size);
        let judged = || proptest::collection::vec(proptest::bool::weighted(0.8), size);
        proptest!(|(a in labels(), b in labels(), judged in judged(), pixels in 0..5u8)| {
            let (truth, prediction) = (mask(width, &a), mask(width, &b));
            let counts = score(&truth, &judged, &prediction, f32::from(pixels));
            prop_assert_eq!(counts, searched(&truth, &judged, &prediction, pixels.into()));
        });
    }

    /// The definition, word for word.
    fn searched(truth: &Mask, judged: &[bool], prediction: &Mask, pixels: i64) -> BoundaryCounts {
        let (width, height) = (i64::from(truth.width), i64::from(truth.height));
        let at = |x: i64, y: i64| (y * width + x) as usize;
        let neighbours = |x: i64, y: i64| {
            [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)]
                .into_iter()
                .filter(|&(x, y)| (0..width).contains(&x) && (0..height).contains(&y))
                .map(|(x, y)| at(x, y))
        };
        let places = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let on_border = |mask: &Mask, x: i64, y: i64| {
            judged[at(x, y)]
                && neighbours(x, y).any(|n| judged[n] && mask.labels[n] != mask.labels[at(x, y)])
        };
        let open = |x: i64, y: i64| judged[at(x, y)] && neighbours(x, y).any(|n| !judged[n]);
        let close = |(x, y): (i64, i64), (u, v): (i64, i64)| {
            (x - u).pow(2) + (y - v).pow(2) <= pixels * pixels
        };
        let mut counts = BoundaryCounts::new(3);
        for here in places() {
            let (x, y) = here;
            if on_border(truth, x, y) {
                let label = truth.labels[at(x, y)];
                let class = &mut counts.classes[usize::from(label)];
                class.actual += 1;
                class.found += u64::from(places().any(|(u, v)| {
                    close(here, (u, v))
                        && on_border(prediction, u, v)
                        && prediction.labels[at(u, v)] == label
                }));
            }
            if on_border(prediction, x, y) {
                let label = prediction.labels[at(x, y)];
                let class = &mut counts.classes[usize::from(label)];
                class.predicted += 1;
                class.right += u64::from(places().any(|(u, v)| {
                    close(here, (u, v))
                        && (on_border(truth, u, v) || open(u, v))
                        && truth.labels[at(u, v)] == label
                }));
            }
        }
        counts
    }
}
