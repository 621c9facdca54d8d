//! The class of every pixel, without the resized picture.

use super::resize::sums;
use crate::kernels::scratch::Scratch;
use crate::kernels::steps::{Between, between, nearest};
use crate::kernels::variants::Resampler;
use crate::kernels::{Comparison, Resample, Source, Target};

/// Classes a mask can tell apart.
const CLASSES: usize = 256;

/// [`argmax`]; its scratch holds the classes of two rows.
pub const ARGMAX: Resampler = Resampler {
    run: argmax,
    scratch: |width, _, _| 2 * width,
};

/// The class of every pixel of a mask of the target's size: of the codes
/// that [`super::resize`] would give the pixel the channel of the largest, the
/// lowest channel where several are equal (ONNX `Resize`, then `ArgMax` with
/// `select_last_index` 0). [`Resample::Unrounded`] compares sums instead of codes.
///
/// The target has one channel, the class, and whole rows to write; the source has at
/// most 256 channels.
pub fn argmax(source: Source<'_>, resample: Resample, target: Target<'_>, scratch: &mut Scratch) {
    debug_assert!(target.channels == 1 && target.is_packed());
    debug_assert!(source.channels <= CLASSES);
    let winners = scratch.bytes(2 * source.width);
    let (upper, lower) = winners.split_at_mut(source.width);
    let mut upper = Row::new(upper);
    let mut lower = Row::new(lower);
    let (out_height, out_width) = (target.height, target.width);
    let out_range = target.rows();
    let first = out_range.start;
    let out_rows = target
        .data
        .chunks_exact_mut(out_width)
        .take(out_range.len());
    match resample {
        Resample::Nearest(coordinates, rule) => {
            let rows = nearest(coordinates, rule, out_height, source.height);
            for (labels, y) in out_rows.zip(rows.skip(first)) {
                upper.hold(source, y);
                let columns = nearest(coordinates, rule, out_width, source.width);
                for (label, x) in labels.iter_mut().zip(columns) {
                    *label = upper.winners[x];
                }
            }
        }
        Resample::Bilinear(coordinates) | Resample::Unrounded(coordinates) => {
            let comparison = Comparison::of(resample);
            let rows = between(coordinates, out_height, source.height);
            for (labels, row) in out_rows.zip(rows.skip(first)) {
                if lower.y == Some(row.before) {
                    std::mem::swap(&mut upper, &mut lower);
                }
                upper.hold(source, row.before);
                let below = if row.after == row.before {
                    &*upper.winners
                } else {
                    lower.hold(source, row.after);
                    &*lower.winners
                };
                let columns = between(coordinates, out_width, source.width);
                for (label, column) in labels.iter_mut().zip(columns) {
                    let corners = [
                        upper.winners[column.before],
                        upper.winners[column.after],
                        below[column.before],
                        below[column.after],
                    ];
                    *label = class(source, row, column, corners, comparison);
                }
            }
        }
    }
}

/// The class of a pixel between four, whose own classes are known.
#[inline]
fn class(
    source: Source<'_>,
    row: Between,
    column: Between,
    corners: [u8; 4],
    comparison: Comparison,
) -> u8 {
    let [first, rest @ ..] = corners;
    if rest == [first; 3] {
        // At every corner the winner's code is at least that of each higher class and
        // at least 1 above that of each lower one. A mean keeps both, and so does
        // dropping bits of its fraction: this is the winner here too.
        return first;
    }
    let Comparison { half, dropped } = comparison;
    let mut best = (i32::MIN, 0);
    for (channel, sum) in sums(source, row, column).enumerate() {
        let compared = (sum + half) >> dropped;
        if compared > best.0 {
            best = (compared, channel);
        }
    }
    best.1 as u8
}

/// The channel of the largest code, the lowest of several.
#[inline]
fn winner(codes: &[u8]) -> u8 {
    let largest = codes.iter().fold(0, |largest, &code| code.max(largest));
    let first = codes.iter().position(|&code| code == largest);
    first.unwrap_or(0) as u8
}

/// Classes of one row of the source.
struct Row<'a> {
    y: Option<usize>,
    winners: &'a mut [u8],
}

impl<'a> Row<'a> {
    fn new(winners: &'a mut [u8]) -> Self {
        Self { y: None, winners }
    }

    /// Makes this row `y`, if it is not yet.
    fn hold(&mut self, source: Source<'_>, y: usize) {
        if self.y != Some(y) {
            for (x, class) in self.winners.iter_mut().enumerate() {
                *class = winner(source.pixel(y, x));
            }
            self.y = Some(y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_class_is_that_of_the_resized_picture(
            source in (1usize..30).prop_flat_map(testing::picture), resample in testing::resample(),
            height in 1usize..24, width in 1usize..24, levels in 1u8..=255,
        ) {
            // Few levels make ties, and neighbours of one class.
            let mut coarse = source.clone();
            coarse.fill(|y, x, c| source.at(y, x, c) / levels);
            let mut mask = testing::Picture::new(height, width, 1, 1);
            argmax(coarse.source(), resample, mask.target(), &mut Scratch::default());
            for at in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let label = mask.at(at.0, at.1, 0);
                let codes: Vec<u32> = (0..coarse.channels)
                    .map(|c| testing::compared(&coarse, resample, at, (height, width), c))
                    .collect();
                let largest = *codes.iter().max().unwrap();
                let lowest = codes.iter().position(|&code| code == largest).unwrap();
                prop_assert_eq!(usize::from(label), lowest);
            }
        }
    }

    #[test]
    fn all_256_classes_can_win() {
        let mut codes = [0; CLASSES];
        codes[255] = 1;
        assert_eq!(winner(&codes), 255);
    }
}
