//! A picture of another size.

use crate::kernels::scratch::Scratch;
use crate::kernels::steps::{Between, FRACTION_BITS, ONE, between, nearest};
use crate::kernels::variants::Resampler;
use crate::kernels::{Resample, Source, Target};

/// [`resize`]; it needs no scratch.
pub const RESIZE: Resampler = Resampler {
    run: resize,
    scratch: |_, _, _| 0,
};

/// A picture of another size, see [`Resample`]. Both pictures have as many channels
/// and one quantization.
pub fn resize(source: Source<'_>, resample: Resample, mut target: Target<'_>, _: &mut Scratch) {
    debug_assert_eq!(source.channels, target.channels);
    let (height, width, range) = (target.height, target.width, target.rows());
    match resample {
        Resample::Nearest(coordinates, rule) => {
            let rows = nearest(coordinates, rule, height, source.height);
            for (oy, y) in (0..).zip(rows).take(range.end).skip(range.start) {
                let columns = nearest(coordinates, rule, width, source.width);
                for (ox, x) in columns.take(width).enumerate() {
                    target.pixel_mut(oy, ox).copy_from_slice(source.pixel(y, x));
                }
            }
        }
        Resample::Bilinear(coordinates) | Resample::Unrounded(coordinates) => {
            let rows = between(coordinates, height, source.height);
            for (oy, row) in (0..).zip(rows).take(range.end).skip(range.start) {
                let columns = between(coordinates, width, source.width);
                for (ox, column) in columns.take(width).enumerate() {
                    blend(source, row, column, target.pixel_mut(oy, ox));
                }
            }
        }
    }
}

/// All channels of one pixel of the bilinear picture.
#[inline]
fn blend(source: Source<'_>, row: Between, column: Between, out: &mut [u8]) {
    if row.fraction == 0 && column.fraction == 0 {
        out.copy_from_slice(source.pixel(row.before, column.before));
        return;
    }
    for (out, sum) in out.iter_mut().zip(sums(source, row, column)) {
        *out = ((sum + (1 << 21)) >> (2 * FRACTION_BITS)) as u8;
    }
}

/// The sum of each channel of one pixel, with `2 * FRACTION_BITS` fraction bits.
#[inline]
pub(super) fn sums(source: Source<'_>, row: Between, column: Between) -> impl Iterator<Item = i32> {
    let above = source.pixel(row.before, column.before);
    let above_right = source.pixel(row.before, column.after);
    let below = source.pixel(row.after, column.before);
    let below_right = source.pixel(row.after, column.after);
    let (fy, fx) = (row.fraction as i32, column.fraction as i32);
    let corners = above
        .iter()
        .zip(above_right)
        .zip(below.iter().zip(below_right));
    corners.map(move |((&tl, &tr), (&bl, &br))| {
        // The four weights factor, so row by row gives the same integer.
        let top = mix(i32::from(tl), i32::from(tr), fx);
        let bottom = mix(i32::from(bl), i32::from(br), fx);
        mix(top, bottom, fy)
    })
}

/// `a * (2048 - fraction) + b * fraction`.
#[inline]
fn mix(a: i32, b: i32, fraction: i32) -> i32 {
    a * ONE as i32 + (b - a) * fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, Picture};
    use proptest::prelude::*;

    fn pictures() -> impl Strategy<Value = (Picture, Picture)> {
        (1usize..40, 1usize..20, 1usize..20).prop_flat_map(|(channels, height, width)| {
            (
                testing::picture(channels),
                testing::picture_of(height, width, channels),
            )
        })
    }

    proptest! {
        #[test]
        fn every_code_is_that_of_the_definition(
            (source, mut out) in pictures(), resample in testing::resample(),
        ) {
            let mut wanted = out.clone();
            let (height, width) = (out.height, out.width);
            wanted.fill(|y, x, c| testing::resized(&source, resample, (y, x), (height, width), c));
            resize(source.source(), resample, out.target(), &mut Scratch::default());
            prop_assert_eq!(out, wanted);
        }

        #[test]
        fn the_same_size_is_the_same_picture(
            source in testing::picture(5), resample in testing::resample(),
        ) {
            let mut out = source.clone();
            out.fill(|_, _, _| 77);
            resize(source.source(), resample, out.target(), &mut Scratch::default());
            prop_assert_eq!(out, source);
        }
    }
}
