//! Which class was taken for which.

/// Pixels by true class (rows) and predicted class (columns), over any number of
/// pictures.
///
/// Between two models it counts agreement: the "truth" is then what the first one says,
/// [`pixel_accuracy`](Self::pixel_accuracy) the share of pixels on which they agree, and
/// [`iou`](Self::iou) how well their areas of a class cover each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// Nothing counted yet, of `classes` classes, at most 256.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            counts: vec![0; classes * classes],
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Forgets what was counted.
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// Counts every pixel of a picture.
    ///
    /// # Panics
    /// If the lengths differ, or a label is no class.
    pub fn add(&mut self, truth: &[u8], prediction: &[u8]) {
        assert_eq!(truth.len(), prediction.len(), "the masks differ in size");
        for (&truth, &prediction) in truth.iter().zip(prediction) {
            self.count_pixel(truth, prediction);
        }
    }

    /// Counts the pixels of a picture that are `judged`.
    ///
    /// # Panics
    /// If the lengths differ, or a label of a judged pixel is no class.
    pub fn add_judged(&mut self, truth: &[u8], judged: &[bool], prediction: &[u8]) {
        assert_eq!(truth.len(), prediction.len(), "the masks differ in size");
        assert_eq!(truth.len(), judged.len(), "the masks differ in size");
        for ((&truth, &judged), &prediction) in truth.iter().zip(judged).zip(prediction) {
            if judged {
                self.count_pixel(truth, prediction);
            }
        }
    }

    #[inline(always)]
    fn count_pixel(&mut self, truth: u8, prediction: u8) {
        let (truth, prediction) = (usize::from(truth), usize::from(prediction));
        assert!(prediction < self.classes, "label {prediction} is no class");
        self.counts[truth * self.classes + prediction] += 1;
    }

    /// Adds what another of as many classes has counted.
    ///
    /// # Panics
    /// If the numbers of classes differ.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.classes, other.classes, "the numbers of classes differ");
        for (count, &more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// The pixels of each true class by predicted class: a row a class.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes.max(1))
    }

    /// All pixels counted.
    pub fn pixels(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Pixels of a class that were taken for it.
    pub fn hits(&self, class: usize) -> u64 {
        self.counts[class * self.classes + class]
    }

    /// Pixels that are of a class.
    pub fn actual(&self, class: usize) -> u64 {
        self.counts[class * self.classes..][..self.classes]
            .iter()
            .sum()
    }

    /// Pixels that were taken for a class.
    pub fn predicted(&self, class: usize) -> u64 {
        let column = self.counts.iter().skip(class).step_by(self.classes);
        column.sum()
    }

    /// Intersection over union of a class, 0..=1; `None` where it occurs neither in the
    /// truth nor in a prediction.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let hits = self.hits(class);
        share(hits, self.actual(class) + self.predicted(class) - hits)
    }

    /// Share of the pixels taken for a class that are of it, 0..=1; `None` where it was
    /// never predicted.
    pub fn precision(&self, class: usize) -> Option<f64> {
        share(self.hits(class), self.predicted(class))
    }

    /// Share of the pixels of a class that were taken for it, 0..=1; `None` where there
    /// are none.
    pub fn recall(&self, class: usize) -> Option<f64> {
        share(self.hits(class), self.actual(class))
    }

    /// The mean of [`iou`](Self::iou) over the classes that have one: those that occur in
    /// the truth or in a prediction. `None` where nothing was counted.
    pub fn mean_iou(&self) -> Option<f64> {
        mean((0..self.classes).filter_map(|class| self.iou(class)))
    }

    /// Share of the pixels whose class is right, 0..=1; `None` where nothing was counted.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let hits = (0..self.classes).map(|class| self.hits(class)).sum();
        share(hits, self.pixels())
    }
}

/// `part / whole`, where there is a whole.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The mean of some numbers, where there is one.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes on ten pixels, two of which are not judged:
    ///
    /// | truth | as 0 | as 1 | as 2 |
    /// |---|---|---|---|
    /// | 0 | 2 | 1 | 0 |
    /// | 1 | 0 | 3 | 0 |
    /// | 2 | 1 | 0 | 1 |
    fn counted() -> Confusion {
        let mut confusion = Confusion::new(3);
        let truth = [0, 0, 0, 1, 1, 1, 2, 2, 9, 0];
        let prediction = [0, 0, 1, 1, 1, 1, 0, 2, 2, 2];
        let judged = [true, true, true, true, true, true, true, true, false, false];
        confusion.add_judged(&truth, &judged, &prediction);
        confusion
    }

    #[track_caller]
    fn near(got: Option<f64>, want: f64) {
        let got = got.unwrap();
        assert!((got - want).abs() < 1e-12, "{got}, not {want}");
    }

    #[test]
    fn three_classes_by_hand() {
        let confusion = counted();
        let rows: Vec<&[u64]> = confusion.rows().collect();
        assert_eq!(rows, [[2, 1, 0], [0, 3, 0], [1, 0, 1]]);
        assert_eq!(confusion.pixels(), 8);
        // Class 0: 2 hits, 3 true, 3 predicted.
        near(confusion.iou(0), 2.0 / 4.0);
        near(confusion.precision(0), 2.0 / 3.0);
        near(confusion.recall(0), 2.0 / 3.0);
        near(confusion.iou(1), 3.0 / 4.0);
        near(confusion.precision(1), 3.0 / 4.0);
        near(confusion.recall(1), 1.0);
        near(confusion.iou(2), 1.0 / 2.0);
        near(confusion.precision(2), 1.0);
        near(confusion.recall(2), 1.0 / 2.0);
        near(confusion.mean_iou(), (0.5 + 0.75 + 0.5) / 3.0);
        near(confusion.pixel_accuracy(), 6.0 / 8.0);
    }

    #[test]
    fn a_class_that_never_occurs_is_no_part_of_the_mean() {
        let mut confusion = Confusion::new(5);
        // Class 2 is predicted but never true, class 4 true but never predicted.
        confusion.add(&[0, 0, 0, 4], &[0, 0, 2, 0]);
        near(confusion.iou(0), 2.0 / 4.0);
        near(confusion.iou(2), 0.0);
        near(confusion.iou(4), 0.0);
        assert_eq!([confusion.iou(1), confusion.iou(3)], [None; 2]);
        assert_eq!([confusion.recall(2), confusion.precision(4)], [None; 2]);
        near(confusion.mean_iou(), 0.5 / 3.0);
    }

    #[test]
    fn nothing_judged_is_no_number() {
        let mut confusion = Confusion::new(2);
        confusion.add_judged(&[0, 7], &[false, false], &[1, 9]);
        assert_eq!(confusion, Confusion::new(2));
        assert_eq!(confusion.mean_iou(), None);
        assert_eq!(confusion.pixel_accuracy(), None);
    }

    #[test]
    fn pictures_add_up() {
        let mut sum = counted();
        sum.merge(&counted());
        assert_eq!(sum.pixels(), 16);
        assert_eq!(sum.mean_iou(), counted().mean_iou());
        // Over the set, not the mean over pictures: 1 of 1 and 1 of 3 are 2 of 4.
        let mut set = Confusion::new(2);
        set.add(&[0], &[0]);
        set.add(&[0, 0, 1], &[0, 1, 1]);
        near(set.iou(0), 2.0 / 3.0);
        set.clear();
        assert_eq!(set, Confusion::new(2));
    }

    #[test]
    #[should_panic(expected = "no class")]
    fn a_label_beyond_the_classes_is_not_counted_for_another() {
        Confusion::new(2).add(&[0, 1], &[1, 2]);
    }
}
