//! The scores that an engine's labels were chosen from, at the mask's size.

use std::ops::Range;

use super::Shape;
use crate::kernels::scratch::Scratch;
use crate::kernels::variants::Resampler;
use crate::kernels::{Resample, Source, Target};
use crate::logits::Logits;
use crate::postprocess::upsample::{Tap, Upsample, plan};

/// Bounds of a score: what lies between two of them is finite. A NaN, which is no score,
/// counts as the least.
const BOUNDS: [f32; 2] = [-1e30, 1e30];

/// What a model says of one picture, before the best class is taken: codes of one
/// quantization or real numbers, at the resolution the model gives them in.
///
/// [`row`](Self::row) brings them to the mask's size, a row at a time: the whole is never
/// there. The scores of two pictures of one model are of one scale. Memory is reused.
#[derive(Debug, Default)]
pub struct Scores {
    classes: usize,
    /// Width and height of the mask.
    size: (u32, u32),
    form: Form,
    logits: Logits,
    codes: Codes,
    reals: Reals,
}

/// Which of both was kept last.
#[derive(Debug, Default, Clone, Copy)]
enum Form {
    #[default]
    None,
    Codes(Resample, Resampler),
    Reals,
}

#[derive(Debug, Default)]
struct Codes {
    width: usize,
    height: usize,
    values: Vec<u8>,
    /// A row of the mask, and which one it is.
    row: Vec<u8>,
    row_is: Option<u32>,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Reals {
    /// Columns and rows of the cells and of the mask that these are for.
    planned: Option<(Upsample, [u32; 4])>,
    columns: Vec<Tap>,
    rows: Vec<Tap>,
}

impl Scores {
    /// Number of classes that have scores; 0 before there are any.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Keeps codes, which `kernel` would bring to the mask's size so: rounded to codes, also
    /// where the class was chosen before that.
    pub fn keep_codes(
        &mut self,
        source: Source<'_>,
        resample: Resample,
        kernel: Resampler,
        shape: Shape,
    ) {
        self.classes = source.channels;
        self.size = (shape.width, shape.height);
        self.form = Form::Codes(resample, kernel);
        let codes = &mut self.codes;
        (codes.width, codes.height) = (source.width, source.height);
        codes.row_is = None;
        codes.values.clear();
        if source.is_packed() {
            let bytes = source.pixels() * source.channels;
            codes.values.extend_from_slice(&source.data[..bytes]);
        } else {
            for y in 0..source.height {
                for x in 0..source.width {
                    codes.values.extend_from_slice(source.pixel(y, x));
                }
            }
        }
    }

    /// Keeps the logits that `read` writes, which `upsample` brings to the mask's size;
    /// gives them back for labels to be made of them.
    ///
    /// # Errors
    /// That of `read`.
    pub fn keep_logits<E>(
        &mut self,
        upsample: Upsample,
        shape: Shape,
        read: impl FnOnce(&mut Logits) -> Result<(), E>,
    ) -> Result<&Logits, E> {
        read(&mut self.logits)?;
        self.classes = self.logits.classes;
        self.size = (shape.width, shape.height);
        self.form = Form::Reals;
        let cells = (self.logits.width, self.logits.height);
        let wanted = Some((upsample, [cells.0, cells.1, shape.width, shape.height]));
        if self.reals.planned != wanted {
            self.reals.columns = plan(upsample, cells.0, self.size.0);
            self.reals.rows = plan(upsample, cells.1, self.size.1);
            self.reals.planned = wanted;
        }
        Ok(&self.logits)
    }

    /// Writes the scores of some columns of the mask's row `y`, [`classes`](Self::classes)
    /// for each pixel, all finite. Codes are whole numbers from 0 to 255, as the model's own
    /// resize rounds them. Of equal scores the lowest class is the label.
    ///
    /// # Panics
    /// If there are no scores, the mask has no such pixels or `out` has another length.
    pub fn row(&mut self, y: u32, columns: Range<u32>, out: &mut [f32]) {
        let columns = columns.start as usize..columns.end as usize;
        assert!(
            y < self.size.1 && columns.end <= self.size.0 as usize,
            "row {y}, columns {columns:?} of {:?}",
            self.size
        );
        assert_eq!(out.len(), columns.len() * self.classes, "the row's length");
        if columns.is_empty() {
            return;
        }
        match self.form {
            Form::None => panic!("there are no scores"),
            Form::Codes(resample, kernel) => {
                let row = self.codes.row(y, self.size, self.classes, resample, kernel);
                let codes = &row[columns.start * self.classes..][..out.len()];
                for (score, &code) in out.iter_mut().zip(codes) {
                    *score = f32::from(code);
                }
            }
            Form::Reals => self.reals.row(y, columns, &self.logits, out),
        }
    }
}

impl Codes {
    /// All codes of a row of the mask.
    fn row(
        &mut self,
        y: u32,
        (width, height): (u32, u32),
        classes: usize,
        resample: Resample,
        kernel: Resampler,
    ) -> &[u8] {
        if self.row_is != Some(y) {
            self.row_is = Some(y);
            let (y, width, height) = (y as usize, width as usize, height as usize);
            self.row.resize(width * classes, 0);
            let source = Source {
                data: &self.values,
                height: self.height,
                width: self.width,
                channels: classes,
                pixel_stride: classes,
            };
            let target = Target {
                data: &mut self.row,
                range: y * width..(y + 1) * width,
                height,
                width,
                channels: classes,
                pixel_stride: classes,
            };
            (kernel.run)(source, resample, target, &mut self.scratch);
        }
        &self.row
    }
}

impl Reals {
    /// Interpolates in the order of [`crate::postprocess::upsample`]: first between rows.
    fn row(&self, y: u32, columns: Range<usize>, logits: &Logits, out: &mut [f32]) {
        let row_len = logits.width as usize * logits.classes;
        let tap = self.rows[y as usize];
        let upper = &logits.values[tap.cell * row_len..][..row_len];
        let lower = &logits.values[tap.other() * row_len..][..row_len];
        let between = |at: usize| {
            let (a, b) = (within(upper[at]), within(lower[at]));
            a + (b - a) * tap.towards_next
        };
        let pixels = out.chunks_exact_mut(logits.classes.max(1));
        for (pixel, column) in pixels.zip(&self.columns[columns]) {
            let (left, right) = (column.cell, column.other());
            for (class, score) in pixel.iter_mut().enumerate() {
                let a = between(left * logits.classes + class);
                let b = between(right * logits.classes + class);
                *score = a + (b - a) * column.towards_next;
            }
        }
    }
}

fn within(score: f32) -> f32 {
    if score >= BOUNDS[0] {
        score.min(BOUNDS[1])
    } else {
        BOUNDS[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::Cpu;
    use crate::kernels::variants::{ARGMAX, RESIZE, best};
    use crate::kernels::{Coordinates, scalar};
    use crate::mask::Mask;
    use crate::postprocess::upsample::{UpsampleArgmax, best_class};

    const SHAPE: Shape = Shape {
        width: 23,
        height: 17,
        classes: 3,
    };

    /// The label of every pixel by its scores.
    fn labels(scores: &mut Scores) -> Vec<u8> {
        let classes = scores.classes();
        let mut row = vec![0.0; SHAPE.width as usize * classes];
        let mut labels = Vec::new();
        for y in 0..SHAPE.height {
            scores.row(y, 0..SHAPE.width, &mut row);
            labels.extend(row.chunks_exact(classes).map(best_class));
            // A part of a row is that part.
            let mut part = vec![0.0; 4 * classes];
            scores.row(y, 7..11, &mut part);
            assert_eq!(part, row[7 * classes..11 * classes]);
        }
        labels
    }

    #[test]
    fn codes_give_the_labels_that_the_program_gives() {
        // A byte lies between two pixels.
        let data: Vec<u8> = (0..6 * 5 * 4).map(|i| (i * 37 % 101) as u8).collect();
        let source = Source {
            data: &data,
            height: 5,
            width: 6,
            channels: 3,
            pixel_stride: 4,
        };
        for coordinates in [Coordinates::AlignCorners, Coordinates::HalfPixel] {
            let resample = Resample::Bilinear(coordinates);
            let mut mask = vec![0; 23 * 17];
            let target = Target {
                data: &mut mask,
                range: 0..23 * 17,
                height: 17,
                width: 23,
                channels: 1,
                pixel_stride: 1,
            };
            let kernel = best(ARGMAX, Cpu::detect()).1;
            (kernel.run)(source, resample, target, &mut Scratch::default());
            for kernel in [best(RESIZE, Cpu::detect()).1, scalar::RESIZE] {
                let mut scores = Scores::default();
                scores.keep_codes(source, resample, kernel, SHAPE);
                assert_eq!(labels(&mut scores), mask);
            }
        }
    }

    fn of_logits(logits: &Logits, upsample: Upsample) -> Scores {
        let mut scores = Scores::default();
        let read = |kept: &mut Logits| -> Result<(), ()> {
            kept.clone_from(logits);
            Ok(())
        };
        scores.keep_logits(upsample, SHAPE, read).unwrap();
        scores
    }

    #[test]
    fn logits_give_the_labels_that_the_upsampling_gives() {
        let logits = Logits {
            width: 7,
            height: 4,
            classes: 3,
            values: (0..84).map(|i| ((i * 31) % 53) as f32 * 0.37).collect(),
        };
        for upsample in [
            Upsample::AlignCorners,
            Upsample::HalfPixel,
            Upsample::Asymmetric,
        ] {
            let mut mask = Mask::default();
            UpsampleArgmax::new(upsample, (7, 4), 3, (23, 17)).run(&logits, &mut mask);
            assert_eq!(labels(&mut of_logits(&logits, upsample)), mask.labels);
        }
    }

    #[test]
    fn every_score_is_finite() {
        let (nan, infinite) = (f32::NAN, f32::INFINITY);
        let values = vec![nan, 1.0, -infinite, infinite, f32::MIN, f32::MAX];
        let logits = Logits {
            width: 2,
            height: 1,
            classes: 3,
            values,
        };
        let mut scores = of_logits(&logits, Upsample::HalfPixel);
        let mut row = vec![0.0; 23 * 3];
        scores.row(16, 0..23, &mut row);
        assert!(row.iter().all(|score| score.is_finite()), "{row:?}");
        assert_eq!(row[..3], [BOUNDS[0], 1.0, BOUNDS[0]]);
        assert_eq!(row[66..], [BOUNDS[1], BOUNDS[0], BOUNDS[1]]);
    }
}
