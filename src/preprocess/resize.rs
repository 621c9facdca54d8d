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

/// Fractional bits of a weight.
const WEIGHT_BITS: u32 = 14;
/// Fractional bits of a value between the two passes. 255 with these bits fits
/// an `i16`.
const MIDDLE_BITS: u32 = 6;
/// Bytes combined at once in the vertical pass.
const BLOCK: usize = 32;

/// The weights along one axis.
#[derive(Debug, Default)]
struct Axis {
    from: u32,
    to: u32,
    /// Weights for each output, the same number for all.
    taps: usize,
    /// First input of each output.
    starts: Vec<usize>,
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
        self.taps = (0..to).map(|output| span(output).len()).max().unwrap_or(1);
        self.starts.clear();
        self.weights.clear();
        let one = f64::from(1 << WEIGHT_BITS);
        for output in 0..to {
            // All outputs read as many inputs; none may read past the end.
            let start = span(output).start.min(inputs - self.taps);
            self.starts.push(start);
            let inputs = start..start + self.taps;
            let total: f64 = inputs.clone().map(|i| exact(output, i)).sum();
            let (mut sum, mut given) = (0.0, 0);
            for input in inputs {
                sum += exact(output, input);
                let upto = (sum / total * one).round() as i16;
                self.weights.push(upto - given);
                given = upto;
            }
        }
    }

    fn output(&self, index: usize) -> (usize, &[i16]) {
        (
            self.starts[index],
            &self.weights[index * self.taps..][..self.taps],
        )
    }
}

/// Resizes pictures; keeps its weights while the sizes repeat.
#[derive(Debug, Default)]
pub struct Resizer {
    columns: Axis,
    rows: Axis,
    /// One row of the picture's width at the output's height, and one value
    /// more so that pixels can be read four values at a time.
    middle: Vec<i16>,
}

impl Resizer {
    /// Resizes `source` into the placement's rectangle of `model`; the rest of
    /// `model` is left as it is.
    ///
    /// Both are row-major RGB without padding, of the placement's `source` and
    /// `model` size. Where the rectangle has the picture's size, its bytes are
    /// copied.
    ///
    /// # Panics
    /// If a slice's length is not `3 * width * height` of its size.
    pub fn run(&mut self, source: &[u8], placement: &Placement, model: &mut [u8]) {
        let (width, height) = placement.source;
        let row_len = width as usize * 3;
        assert_eq!(
            source.len(),
            row_len * height as usize,
            "the picture's length"
        );
        let model_row = placement.model.0 as usize * 3;
        assert_eq!(
            model.len(),
            model_row * placement.model.1 as usize,
            "the model input's length"
        );
        let left = placement.x as usize * 3;
        let targets = model
            .chunks_exact_mut(model_row)
            .skip(placement.y as usize)
            .take(placement.height as usize)
            .map(|row| &mut row[left..][..placement.width as usize * 3]);
        if placement.source == (placement.width, placement.height) {
            for (target, row) in targets.zip(source.chunks_exact(row_len)) {
                target.copy_from_slice(row);
            }
            return;
        }
        self.columns.plan(width, placement.width);
        self.rows.plan(height, placement.height);
        self.middle.resize(row_len + 1, 0);
        for (y, target) in targets.enumerate() {
            let (start, weights) = self.rows.output(y);
            combine_rows(
                &source[start * row_len..],
                row_len,
                weights,
                &mut self.middle[..row_len],
            );
            match self.columns.taps {
                1 => combine_columns::<1>(&self.columns, &self.middle, target),
                2 => combine_columns::<2>(&self.columns, &self.middle, target),
                3 => combine_columns::<3>(&self.columns, &self.middle, target),
                4 => combine_columns::<4>(&self.columns, &self.middle, target),
                _ => combine_columns::<0>(&self.columns, &self.middle, target),
            }
        }
    }
}

/// The vertical pass: one row of `out` from `weights.len()` rows of `source`.
fn combine_rows(source: &[u8], row_len: usize, weights: &[i16], out: &mut [i16]) {
    const SHIFT: u32 = WEIGHT_BITS - MIDDLE_BITS;
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    let done = blocks.len() * BLOCK;
    for (index, block) in blocks.iter_mut().enumerate() {
        let mut sums = [1i32 << (SHIFT - 1); BLOCK];
        for (row, &weight) in weights.iter().enumerate() {
            let bytes = &source[row * row_len + index * BLOCK..][..BLOCK];
            for (sum, &byte) in sums.iter_mut().zip(bytes) {
                *sum += i32::from(byte) * i32::from(weight);
            }
        }
        *block = sums.map(|sum| (sum >> SHIFT) as i16);
    }
    for (index, value) in rest.iter_mut().enumerate() {
        let mut sum = 1i32 << (SHIFT - 1);
        for (row, &weight) in weights.iter().enumerate() {
            sum += i32::from(source[row * row_len + done + index]) * i32::from(weight);
        }
        *value = (sum >> SHIFT) as i16;
    }
}

/// The horizontal pass. `TAPS` is the axis' count of taps, or 0 for any: a
/// known count lets the compiler unroll the loop.
fn combine_columns<const TAPS: usize>(axis: &Axis, middle: &[i16], out: &mut [u8]) {
    const SHIFT: u32 = WEIGHT_BITS + MIDDLE_BITS;
    let taps = if TAPS == 0 { axis.taps } else { TAPS };
    let (pixels, _) = out.as_chunks_mut::<3>();
    let columns = axis.starts.iter().zip(axis.weights.chunks_exact(taps));
    for (pixel, (&start, weights)) in pixels.iter_mut().zip(columns) {
        let window = &middle[start * 3..][..taps * 3 + 1];
        let mut sums = [1i32 << (SHIFT - 1); 4];
        for (tap, &weight) in weights.iter().enumerate() {
            // The fourth value is the next pixel's; four at a time suit a vector.
            for (sum, &value) in sums.iter_mut().zip(&window[tap * 3..][..4]) {
                *sum += i32::from(value) * i32::from(weight);
            }
        }
        // Weights are not negative and add up to 1: the result is in 0..=255.
        *pixel = [sums[0], sums[1], sums[2]].map(|sum| (sum >> SHIFT) as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
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

    fn resize(source: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
        let placement = Placement::new(from, to, Fit::Stretch);
        let mut out = vec![0; to.0 as usize * to.1 as usize * 3];
        Resizer::default().run(source, &placement, &mut out);
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
        Resizer::default().run(&[200; 40 * 10 * 3], &placement, &mut out);
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
            resizer.run(&source, &placement, &mut out);
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
