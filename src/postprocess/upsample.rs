//! Class scores at the model's output resolution to labels at full size.
//!
//! Full-size scores are never stored: interpolation and the choice of the best
//! class are one step.
//!
//! # Definition
//!
//! Output pixel `o` of `n` along an axis of `m` cells lies at the position `p`
//! that [`Upsample`] gives, clamped to `0..=m - 1`. With `i = floor(p)` and
//! `t = p - i` (exact, then rounded to `f32`), it lies between the cells `i` and
//! `i + 1`, or on cell `i` alone where `t` is 0.
//!
//! Where the one, two or four cells around a pixel agree on their best class,
//! the pixel is of that class. Otherwise each class' score is interpolated in
//! `f32`, each operation rounded: first between the rows, `a + (b - a) * t`, then
//! between the two columns alike; the best class wins.
//!
//! The best class is the first, in label order, with the highest score; a NaN
//! is no score, and where there is none above negative infinity the class is 0.
//! Infinite scores may interpolate to NaN.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::kernels::Coordinates;
use crate::logits::Logits;
use crate::mask::Mask;

/// Where output pixels lie between the model's cells: `p` for pixel `o` of `n`
/// and `m` cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Upsample {
    /// The outermost pixels lie on the outermost cells: `p = o (m - 1) / (n - 1)`,
    /// or 0 where `n` is 1.
    AlignCorners,
    /// Pixels and cells cover the same area: `p = (o + 1/2) m / n - 1/2`.
    HalfPixel,
    /// The first pixel lies on the first cell: `p = o m / n`.
    Asymmetric,
    /// Each cell is one pixel, in the middle of the picture: `p = o - floor((n - m) / 2)`, as
    /// behind convolutions without padding. Pixels around it take what is nearest.
    Middle,
}

impl From<Upsample> for Coordinates {
    fn from(upsample: Upsample) -> Self {
        match upsample {
            Upsample::AlignCorners => Self::AlignCorners,
            Upsample::HalfPixel => Self::HalfPixel,
            Upsample::Asymmetric => Self::Asymmetric,
            Upsample::Middle => Self::Middle,
        }
    }
}

/// Classes compared at once.
const LANES: usize = 8;

/// One output row or column: the cell at or before it, and how far it lies
/// towards the next, 0 (included) to 1 (excluded or, by rounding, included).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tap {
    /// The cell at or before it.
    pub(crate) cell: usize,
    /// How far it lies towards the next.
    pub(crate) towards_next: f32,
}

impl Tap {
    /// The second cell: the first again where it has no weight.
    pub(crate) fn other(self) -> usize {
        self.cell + usize::from(self.towards_next != 0.0)
    }
}

/// The cell of pixel `o` of `out`, or one that is nearest; it may lie behind the last.
fn middle(o: u64, cells: u64, out: u64) -> u64 {
    let around = (out as i64 - cells as i64).div_euclid(2);
    (o as i64 - around).max(0) as u64
}

/// Where `out` output pixels lie along an axis of `cells` cells; both are at least 1.
pub(crate) fn plan(upsample: Upsample, cells: u32, out: u32) -> Vec<Tap> {
    let (cells, out) = (u64::from(cells), u64::from(out));
    let tap = |o: u64| {
        let (numerator, denominator) = match upsample {
            Upsample::AlignCorners => (o * (cells - 1), (out - 1).max(1)),
            Upsample::HalfPixel => (((2 * o + 1) * cells).saturating_sub(out), 2 * out),
            Upsample::Asymmetric => (o * cells, out),
            Upsample::Middle => (middle(o, cells, out), 1),
        };
        let cell = numerator / denominator;
        if cell >= cells - 1 {
            return Tap {
                cell: cells as usize - 1,
                towards_next: 0.0,
            };
        }
        let rest = (numerator % denominator) as f64 / denominator as f64;
        Tap {
            cell: cell as usize,
            towards_next: rest as f32,
        }
    };
    (0..out).map(tap).collect()
}

/// Bilinear interpolation and the best class in one, for one geometry.
#[derive(Debug, Clone)]
pub struct UpsampleArgmax {
    upsample: Upsample,
    cells: (u32, u32),
    classes: usize,
    out: (u32, u32),
    columns: Vec<Tap>,
    /// Columns that lie between the same cells.
    stretches: Vec<Range<usize>>,
    rows: Vec<Tap>,
    /// The best class of each cell.
    best: Vec<u8>,
    /// The scores of a row of cells between two rows, each cell's padded with NaN
    /// to a multiple of [`LANES`].
    between: Vec<f32>,
    /// For each cell in `between`, 1 more than the output row it was made for.
    made_for: Vec<usize>,
}

impl UpsampleArgmax {
    /// From `cells` (width, height) scores of `classes` classes each to a mask of
    /// `out` (width, height) pixels.
    ///
    /// # Panics
    /// If a side is 0 or `classes` is not in 1..=256.
    pub fn new(upsample: Upsample, cells: (u32, u32), classes: usize, out: (u32, u32)) -> Self {
        assert!(
            cells.0 > 0 && cells.1 > 0 && out.0 > 0 && out.1 > 0,
            "a side is 0"
        );
        assert!((1..=256).contains(&classes), "{classes} classes");
        let padded = classes.next_multiple_of(LANES);
        let columns = plan(upsample, cells.0, out.0);
        let mut stretches = Vec::new();
        for stretch in columns.chunk_by(|a, b| (a.cell, a.other()) == (b.cell, b.other())) {
            let start = stretches.last().map_or(0, |last: &Range<usize>| last.end);
            stretches.push(start..start + stretch.len());
        }
        Self {
            upsample,
            cells,
            classes,
            out,
            columns,
            stretches,
            rows: plan(upsample, cells.1, out.1),
            best: Vec::new(),
            between: vec![f32::NAN; cells.0 as usize * padded],
            made_for: vec![0; cells.0 as usize],
        }
    }

    /// Where output pixels lie between the cells.
    pub fn upsample(&self) -> Upsample {
        self.upsample
    }

    /// Labels every pixel. `mask` is resized.
    ///
    /// # Panics
    /// If the logits do not have the shape given to [`new`](Self::new).
    pub fn run(&mut self, logits: &Logits, mask: &mut Mask) {
        let (width, height) = self.cells;
        assert_eq!(
            (logits.width, logits.height, logits.classes),
            (width, height, self.classes),
            "the logits' shape"
        );
        let row_len = width as usize * self.classes;
        assert_eq!(
            logits.values.len(),
            row_len * height as usize,
            "the logits' length"
        );
        mask.resize(self.out.0, self.out.1);
        self.best.clear();
        self.best
            .extend(logits.values.chunks_exact(self.classes).map(best_class));
        self.made_for.fill(0);
        for y in 0..self.rows.len() {
            let tap = self.rows[y];
            let upper = &logits.values[tap.cell * row_len..][..row_len];
            let lower = &logits.values[tap.other() * row_len..][..row_len];
            self.row(y, tap, upper, lower, mask.row_mut(y as u32));
        }
    }

    /// One row of pixels between two rows of cells.
    fn row(&mut self, y: usize, tap: Tap, upper: &[f32], lower: &[f32], out: &mut [u8]) {
        let width = self.cells.0 as usize;
        let padded = self.classes.next_multiple_of(LANES);
        let above = &self.best[tap.cell * width..][..width];
        let below = &self.best[tap.other() * width..][..width];
        for stretch in &self.stretches {
            let columns = &self.columns[stretch.clone()];
            let labels = &mut out[stretch.clone()];
            let (left, right) = (columns[0].cell, columns[0].other());
            let class = above[left];
            if class == above[right] && class == below[left] && class == below[right] {
                labels.fill(class);
                continue;
            }
            for cell in [left, right] {
                if self.made_for[cell] != y + 1 {
                    self.made_for[cell] = y + 1;
                    let at = cell * self.classes;
                    let ends = upper[at..][..self.classes]
                        .iter()
                        .zip(&lower[at..][..self.classes]);
                    for (value, (&a, &b)) in self.between[cell * padded..].iter_mut().zip(ends) {
                        *value = a + (b - a) * tap.towards_next;
                    }
                }
            }
            let a = &self.between[left * padded..][..padded];
            let b = &self.between[right * padded..][..padded];
            for (label, column) in labels.iter_mut().zip(columns) {
                *label = best_between(a, b, column.towards_next);
            }
        }
    }
}

/// The first class with the highest score.
pub(crate) fn best_class(scores: &[f32]) -> u8 {
    let mut best = (f32::NEG_INFINITY, 0);
    for (class, &score) in scores.iter().enumerate() {
        if score > best.0 {
            best = (score, class);
        }
    }
    // There are at most 256 classes.
    best.1 as u8
}

/// The first class with the highest interpolated score, of whole [`LANES`].
fn best_between(a: &[f32], b: &[f32], t: f32) -> u8 {
    let mut scores = [f32::NEG_INFINITY; LANES];
    let mut groups = [0i32; LANES];
    let (a, _) = a.as_chunks::<LANES>();
    let (b, _) = b.as_chunks::<LANES>();
    for (group, (a, b)) in (0..).zip(a.iter().zip(b)) {
        for lane in 0..LANES {
            let score = a[lane] + (b[lane] - a[lane]) * t;
            let wins = score > scores[lane];
            scores[lane] = if wins { score } else { scores[lane] };
            groups[lane] = if wins { group } else { groups[lane] };
        }
    }
    // No score is NaN now. Where all are negative infinity no group was set, and
    // the lowest class is 0.
    let highest = scores
        .iter()
        .fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    let mut class = i32::MAX;
    for (lane, (&score, &group)) in (0..).zip(scores.iter().zip(&groups)) {
        let candidate = if score == highest {
            group * LANES as i32 + lane
        } else {
            i32::MAX
        };
        class = class.min(candidate);
    }
    class as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Upsample; 4] = [
        Upsample::AlignCorners,
        Upsample::HalfPixel,
        Upsample::Asymmetric,
        Upsample::Middle,
    ];

    /// Position as an f64, straight from the definition.
    fn position(upsample: Upsample, cells: u32, out: u32, o: u32) -> f64 {
        let (m, n, o) = (f64::from(cells), f64::from(out), f64::from(o));
        let p = match upsample {
            Upsample::AlignCorners if out == 1 => 0.0,
            Upsample::AlignCorners => o * (m - 1.0) / (n - 1.0),
            Upsample::HalfPixel => (o + 0.5) * m / n - 0.5,
            Upsample::Asymmetric => o * m / n,
            Upsample::Middle => o - ((n - m) / 2.0).floor(),
        };
        p.clamp(0.0, m - 1.0)
    }

    /// The definition, pixel by pixel, with the plan's taps.
    fn naive(upsample: Upsample, logits: &Logits, out: (u32, u32)) -> Vec<u8> {
        let columns = plan(upsample, logits.width, out.0);
        let rows = plan(upsample, logits.height, out.1);
        let cell = |x: usize, y: usize| {
            &logits.values[(y * logits.width as usize + x) * logits.classes..][..logits.classes]
        };
        let best = |scores: &[f32]| {
            let mut best = None;
            for (class, &score) in scores.iter().enumerate() {
                if score > best.map_or(f32::NEG_INFINITY, |(_, s)| s) {
                    best = Some((class as u8, score));
                }
            }
            best.map_or(0, |(class, _)| class)
        };
        let mut labels = Vec::new();
        for row in &rows {
            for column in &columns {
                let corners = [
                    cell(column.cell, row.cell),
                    cell(column.other(), row.cell),
                    cell(column.cell, row.other()),
                    cell(column.other(), row.other()),
                ];
                let classes = corners.map(best);
                if classes.iter().all(|&class| class == classes[0]) {
                    labels.push(classes[0]);
                    continue;
                }
                let scores: Vec<f32> = (0..logits.classes)
                    .map(|k| {
                        let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
                        let left = mix(corners[0][k], corners[2][k], row.towards_next);
                        let right = mix(corners[1][k], corners[3][k], row.towards_next);
                        mix(left, right, column.towards_next)
                    })
                    .collect();
                labels.push(best(&scores));
            }
        }
        labels
    }

    fn run(upsample: Upsample, logits: &Logits, out: (u32, u32)) -> Vec<u8> {
        let cells = (logits.width, logits.height);
        let mut mask = Mask::default();
        UpsampleArgmax::new(upsample, cells, logits.classes, out).run(logits, &mut mask);
        assert_eq!((mask.width, mask.height), out);
        mask.labels
    }

    #[test]
    fn names_are_in_snake_case() {
        assert_eq!(
            serde_json::to_string(&Upsample::AlignCorners).unwrap(),
            "\"align_corners\""
        );
        assert_eq!(
            serde_json::from_str::<Upsample>("\"half_pixel\"").unwrap(),
            Upsample::HalfPixel
        );
    }

    #[test]
    fn taps_lie_where_the_definition_says() {
        for upsample in ALL {
            for cells in [1, 2, 3, 7, 61] {
                for out in [1, 2, 3, 5, 7, 8, 61, 481] {
                    for (o, tap) in (0..).zip(plan(upsample, cells, out)) {
                        let p = position(upsample, cells, out, o);
                        let got = tap.cell as f64 + f64::from(tap.towards_next);
                        assert!(
                            (got - p).abs() < 1e-5,
                            "{upsample:?} {cells} {out} {o}: {got} {p}"
                        );
                        assert!(tap.other() < cells as usize);
                    }
                }
            }
        }
    }

    #[test]
    fn equal_scores_go_to_the_lowest_label() {
        for classes in [1, 2, 8, 9, 21, 256] {
            let values = vec![0.5; 2 * 2 * classes];
            let logits = Logits {
                width: 2,
                height: 2,
                classes,
                values,
            };
            assert_eq!(run(Upsample::HalfPixel, &logits, (5, 3)), [0; 15]);
        }
        // In the middle of these two cells classes 1 and 9 are equal.
        let mut values = vec![0.0; 20];
        (values[9], values[11]) = (1.0, 1.0);
        let logits = Logits {
            width: 2,
            height: 1,
            classes: 10,
            values,
        };
        assert_eq!(run(Upsample::AlignCorners, &logits, (3, 1)), [9, 1, 1]);
    }

    #[test]
    fn nan_never_wins() {
        let nan = f32::NAN;
        let values = vec![nan, 1.0, 0.0, nan, -1.0, 0.0, nan, nan, nan, nan, nan, nan];
        let logits = Logits {
            width: 4,
            height: 1,
            classes: 3,
            values,
        };
        assert_eq!(run(Upsample::Asymmetric, &logits, (4, 1)), [1, 2, 0, 0]);
        let logits = Logits {
            width: 1,
            height: 1,
            classes: 2,
            values: vec![f32::NEG_INFINITY; 2],
        };
        assert_eq!(run(Upsample::HalfPixel, &logits, (2, 2)), [0; 4]);
    }

    fn scores() -> impl Strategy<Value = Logits> {
        (1u32..9, 1u32..9, 1usize..20).prop_flat_map(|(width, height, classes)| {
            let len = width as usize * height as usize * classes;
            // Few distinct values make many ties; a few NaNs.
            let value = prop_oneof![
                8 => (-3i8..4).prop_map(f32::from),
                4 => -1f32..1.0,
                1 => Just(f32::NAN),
            ];
            prop::collection::vec(value, len).prop_map(move |values| Logits {
                width,
                height,
                classes,
                values,
            })
        })
    }

    proptest! {
        #[test]
        fn as_the_definition_says(logits in scores(), out in (1u32..40, 1u32..40)) {
            for upsample in ALL {
                prop_assert_eq!(run(upsample, &logits, out), naive(upsample, &logits, out));
            }
        }

        #[test]
        fn runs_do_not_depend_on_each_other(a in scores(), out in (1u32..20, 1u32..20)) {
            let mut plan = UpsampleArgmax::new(Upsample::HalfPixel, (a.width, a.height), a.classes, out);
            let mut b = a.clone();
            b.values.reverse();
            let mut mask = Mask::default();
            plan.run(&b, &mut mask);
            plan.run(&a, &mut mask);
            prop_assert_eq!(mask.labels, run(Upsample::HalfPixel, &a, out));
        }
    }
}
