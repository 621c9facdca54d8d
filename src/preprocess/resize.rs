//! Resizing RGB with a triangle filter.
//!
//! # Definition
//!
//! As Pillow's `BILINEAR`: along each axis, with `scale = from / to`, output
//! pixel `o` is centred at `c = (o + 1/2) * scale` and weighs input pixel `i`
//! with `max(0, 1 - |i + 1/2 - c| / max(scale, 1))`, normalized to a sum of 1.
//! Enlarging is thus bilinear interpolation between pixel centres with the
//! border repeated; shrinking averages over all that a pixel covers.
//!
//! Weights are multiples of 2^-14: the running sums of the exact weights are
//! rounded and their differences taken, so each output's weights add up to
//! exactly 1 and a plain colour stays what it was. Rows are combined first, to
//! 6 fractional bits (rounded half up), then columns (rounded half up). The
//! arithmetic on pixels is integer, and that on weights uses only the IEEE 754
//! operations that are exact to the last bit everywhere: every CPU gives the
//! same bytes.

use super::Placement;
use crate::kernels::cpu::Cpu;
use crate::kernels::imaging::{MIDDLE_PADDING, RowRing, Taps, WEIGHT_BITS};
use crate::kernels::variants::{FILTER_COLUMNS, FILTER_ROWS, FilterColumns, FilterRows, best};

/// The weights along one axis.
#[derive(Debug, Default)]
struct Axis {
    from: u32,
    to: u32,
    /// Weights for each output, the same even number for all.
    taps: usize,
    /// First input of each output.
    starts: Vec<u32>,
    /// `to * taps` weights.
    weights: Vec<i16>,
}

impl Axis {
    fn plan(&mut self, from: u32, to: u32) {
        if (self.from, self.to) == (from, to) {
            return;
        }
        let scale = f64::from(from) / f64::from(to);
        let reach = scale.max(1.0);
        let exact = |output: u32, input: usize| {
            let centre = (f64::from(output) + 0.5) * scale;
            (1.0 - ((input as f64 + 0.5 - centre) / reach).abs()).max(0.0)
        };
        let inputs = from as usize;
        // Every input that has a weight, and perhaps one at either side that has not.
        let span = |output: u32| {
            let centre = (f64::from(output) + 0.5) * scale;
            let start = (centre - reach - 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(inputs);
            let start = (start..end)
                .find(|&i| exact(output, i) > 0.0)
                .unwrap_or(start);
            let end = (start..end)
                .rfind(|&i| exact(output, i) > 0.0)
                .map_or(end, |i| i + 1);
            start..end
        };
        (self.from, self.to) = (from, to);
        let taps = (0..to).map(|output| span(output).len()).max().unwrap_or(1);
        self.taps = taps.next_multiple_of(2);
        self.starts.clear();
        self.weights.clear();
        let one = f64::from(1 << WEIGHT_BITS);
        for output in 0..to {
            // All outputs read as many inputs; none may read past the end.
            let start = span(output).start.min(inputs - taps);
            self.starts.push(start as u32);
            let inputs = start..start + taps;
            let total: f64 = inputs.clone().map(|i| exact(output, i)).sum();
            let (mut sum, mut given) = (0.0, 0);
            for input in inputs {
                sum += exact(output, input);
                let upto = (sum / total * one).round() as i16;
                self.weights.push(upto - given);
                given = upto;
            }
            let padding = self.taps - taps;
            self.weights.extend(std::iter::repeat_n(0, padding));
        }
    }

    fn taps(&self) -> Taps<'_> {
        Taps {
            count: self.taps,
            starts: &self.starts,
            weights: &self.weights,
        }
    }

    /// One past the last input that an output reads.
    fn end(&self, output: usize) -> usize {
        let end = self.starts[output] as usize + self.taps;
        end.min(self.from as usize)
    }
}

/// Resizes pictures; keeps its weights while the sizes repeat.
#[derive(Debug)]
pub struct Resizer {
    filter_rows: FilterRows,
    filter_columns: FilterColumns,
    columns: Axis,
    rows: Axis,
    /// One row of the picture's width at the output's height, and what the second pass
    /// may read beyond.
    middle: Vec<i16>,
    /// The rows of the picture that the next output row may need.
    ring: Vec<u8>,
}

impl Default for Resizer {
    /// With the best kernels of this processor.
    fn default() -> Self {
        Self::new(Cpu::detect())
    }
}

impl Resizer {
    /// With the best kernels that `cpu` allows.
    pub fn new(cpu: Cpu) -> Self {
        Self {
            filter_rows: best(FILTER_ROWS, cpu).1,
            filter_columns: best(FILTER_COLUMNS, cpu).1,
            columns: Axis::default(),
            rows: Axis::default(),
            middle: Vec::new(),
            ring: Vec::new(),
        }
    }

    /// Resizes `source`, all rows of an RGB picture, into the placement's rectangle of
    /// `model`; the rest of `model` is left as it is.
    ///
    /// `model` is row-major RGB without padding, of the placement's `model` size. Where
    /// the rectangle has the picture's size, its bytes are copied.
    ///
    /// # Panics
    /// If a slice is too short for the placement's sizes.
    pub fn run(&mut self, source: RowRing<'_>, placement: &Placement, model: &mut [u8]) {
        let row_len = placement.source.0 as usize * 3;
        if is_copy(placement) {
            for (y, target) in targets(placement, model).enumerate() {
                target.copy_from_slice(source.row(y, row_len));
            }
            return;
        }
        self.plan(placement);
        for (y, target) in targets(placement, model).enumerate() {
            self.output(source, y, target);
        }
    }

    /// As [`run`](Self::run), of rows that `make` writes when they are needed: each at
    /// most once, in order, and no more of them are kept than one output row needs.
    pub fn stream(
        &mut self,
        mut make: impl FnMut(usize, &mut [u8]),
        placement: &Placement,
        model: &mut [u8],
    ) {
        if is_copy(placement) {
            for (y, target) in targets(placement, model).enumerate() {
                make(y, target);
            }
            return;
        }
        self.plan(placement);
        let row_len = placement.source.0 as usize * 3;
        let count = self.rows.taps;
        let mut ring = std::mem::take(&mut self.ring);
        ring.resize(count * row_len, 0);
        let mut made = 0;
        for (y, target) in targets(placement, model).enumerate() {
            let first = made.max(self.rows.starts[y] as usize);
            for row in first..self.rows.end(y) {
                make(row, &mut ring[row % count * row_len..][..row_len]);
            }
            made = self.rows.end(y);
            let rows = RowRing {
                data: &ring,
                stride: row_len,
                count,
            };
            self.output(rows, y, target);
        }
        self.ring = ring;
    }

    fn plan(&mut self, placement: &Placement) {
        let (width, height) = placement.source;
        self.columns.plan(width, placement.width);
        self.rows.plan(height, placement.height);
        self.middle.resize(width as usize * 3 + MIDDLE_PADDING, 0);
    }

    /// One row of the output.
    fn output(&mut self, source: RowRing<'_>, y: usize, target: &mut [u8]) {
        let row = self.middle.len() - MIDDLE_PADDING;
        (self.filter_rows)(source, self.rows.taps(), y, &mut self.middle[..row]);
        (self.filter_columns)(&self.middle, self.columns.taps(), target);
    }
}

/// Whether the picture is put into the input as it is.
fn is_copy(placement: &Placement) -> bool {
    placement.source == (placement.width, placement.height)
}

/// The rows of the placement's rectangle.
///
/// # Panics
/// If `model` has not the model's size.
fn targets<'a>(
    placement: &Placement,
    model: &'a mut [u8],
) -> impl Iterator<Item = &'a mut [u8]> + use<'a> {
    let row = placement.model.0 as usize * 3;
    assert_eq!(
        model.len(),
        row * placement.model.1 as usize,
        "the model input's length"
    );
    let (left, width) = (placement.x as usize * 3, placement.width as usize * 3);
    model
        .chunks_exact_mut(row)
        .skip(placement.y as usize)
        .take(placement.height as usize)
        .map(move |row| &mut row[left..][..width])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::cpu::Tier;
    use crate::preprocess::Fit;

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        (0..len)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect()
    }

    fn picture(source: &[u8], (width, height): (u32, u32)) -> RowRing<'_> {
        RowRing {
            data: source,
            stride: width as usize * 3,
            count: height as usize,
        }
    }

    /// The best kernels and the scalar ones, of a picture and of rows made one by one:
    /// all must agree.
    fn resize(source: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
        let placement = Placement::new(from, to, Fit::Stretch);
        let scalar = Cpu::limited(Tier::Scalar).unwrap();
        let mut out = vec![0; to.0 as usize * to.1 as usize * 3];
        let mut other = out.clone();
        Resizer::new(scalar).run(picture(source, from), &placement, &mut out);
        for cpu in [scalar, Cpu::detect()] {
            let mut resizer = Resizer::new(cpu);
            resizer.run(picture(source, from), &placement, &mut other);
            assert_eq!(other, out);
            let mut next = 0;
            let row = |y: usize, row: &mut [u8]| {
                assert!(y >= next);
                next = y + 1;
                row.copy_from_slice(picture(source, from).row(y, row.len()));
            };
            resizer.stream(row, &placement, &mut other);
            assert_eq!(other, out);
        }
        out
    }

    fn weights(from: u32, to: u32, output: u32) -> Vec<f64> {
        let scale = f64::from(from) / f64::from(to);
        let centre = (f64::from(output) + 0.5) * scale;
        let all: Vec<f64> = (0..from)
            .map(|i| (1.0 - ((f64::from(i) + 0.5 - centre) / scale.max(1.0)).abs()).max(0.0))
            .collect();
        let total: f64 = all.iter().sum();
        all.iter().map(|w| w / total).collect()
    }

    /// The definition in f64, over all input pixels.
    fn reference(source: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<f64> {
        let mut out = Vec::new();
        let columns: Vec<_> = (0..to.0).map(|x| weights(from.0, to.0, x)).collect();
        for y in 0..to.1 {
            let rows = weights(from.1, to.1, y);
            for column in &columns {
                for channel in 0..3 {
                    let mut sum = 0.0;
                    for (y, wy) in rows.iter().enumerate().filter(|(_, w)| **w > 0.0) {
                        for (x, wx) in column.iter().enumerate().filter(|(_, w)| **w > 0.0) {
                            let at = (y * from.0 as usize + x) * 3 + channel;
                            sum += wy * wx * f64::from(source[at]);
                        }
                    }
                    out.push(sum);
                }
            }
        }
        out
    }

    #[test]
    fn known_values() {
        // Halving averages with the triangle 1 3 3 1 inside, 3 3 1 (of 7) at the border.
        let grey = |values: &[u8]| values.iter().flat_map(|&v| [v; 3]).collect::<Vec<u8>>();
        let got = resize(&grey(&[0, 0, 80, 80, 0, 0]), (6, 1), (3, 1));
        assert_eq!(got, grey(&[11, 60, 11]));
        // Doubling interpolates at quarters.
        let got = resize(&grey(&[0, 100]), (2, 1), (4, 1));
        assert_eq!(got, grey(&[0, 25, 75, 100]));
    }

    #[test]
    fn close_to_the_definition_at_camera_sizes() {
        for (from, to) in [
            ((64, 48), (48, 36)),
            ((192, 108), (48, 36)),
            ((31, 23), (97, 61)),
        ] {
            let source = noise(from.0 as usize * from.1 as usize * 3, 3);
            let got = resize(&source, from, to);
            for (got, want) in got.iter().zip(reference(&source, from, to)) {
                assert!((f64::from(*got) - want).abs() < 0.7, "{got} {want}");
            }
        }
    }

    #[test]
    fn extreme_shrinking_keeps_the_mean() {
        let source = noise(16_384 * 3, 5);
        for (from, to) in [
            ((16_384, 1), (1, 1)),
            ((1, 16_384), (1, 3)),
            ((16_384, 1), (33, 2)),
        ] {
            let got = resize(&source, from, to);
            for (got, want) in got.iter().zip(reference(&source, from, to)) {
                assert!((f64::from(*got) - want).abs() <= 1.0, "{got} {want}");
            }
        }
    }

    #[test]
    fn only_the_rectangle_is_written() {
        let placement = Placement::new((40, 10), (20, 20), Fit::Letterbox);
        let mut out = vec![7; 20 * 20 * 3];
        Resizer::default().run(picture(&[200; 40 * 10 * 3], (40, 10)), &placement, &mut out);
        for (y, row) in out.chunks(60).enumerate() {
            let inside = (7..12).contains(&y);
            assert!(
                row.iter().all(|&v| v == if inside { 200 } else { 7 }),
                "{y}"
            );
        }
    }

    #[test]
    fn a_resizer_follows_changing_sizes() {
        let mut resizer = Resizer::default();
        for (from, to) in [
            ((8, 6), (4, 3)),
            ((6, 8), (4, 3)),
            ((8, 6), (16, 3)),
            ((8, 6), (4, 3)),
        ] {
            let source = noise(from.0 as usize * from.1 as usize * 3, 11);
            let placement = Placement::new(from, to, Fit::Stretch);
            let mut out = vec![0; to.0 as usize * to.1 as usize * 3];
            resizer.run(picture(&source, from), &placement, &mut out);
            assert_eq!(out, resize(&source, from, to));
        }
    }

    proptest! {
        #[test]
        fn close_to_the_definition(
            from in (1u32..40, 1u32..40), to in (1u32..40, 1u32..40), seed in any::<u64>(),
        ) {
            let source = noise(from.0 as usize * from.1 as usize * 3, seed);
            let got = resize(&source, from, to);
            for (got, want) in got.iter().zip(reference(&source, from, to)) {
                prop_assert!((f64::from(*got) - want).abs() <= 1.0, "{} {}", got, want);
            }
        }

        #[test]
        fn a_plain_colour_stays(
            from in (1u32..300, 1u32..60), to in (1u32..80, 1u32..80), colour in any::<[u8; 3]>(),
        ) {
            let source = colour.repeat(from.0 as usize * from.1 as usize);
            let got = resize(&source, from, to);
            prop_assert!(got.chunks(3).all(|pixel| pixel == colour));
        }

        #[test]
        fn the_same_size_is_a_copy(size in (1u32..40, 1u32..40), seed in any::<u64>()) {
            let source = noise(size.0 as usize * size.1 as usize * 3, seed);
            prop_assert_eq!(resize(&source, size, size), source);
        }
    }
}
