//! Windows that need no weights.

use super::round::requantize;
use crate::kernels::taps::{COLUMNS, ROWS, at, inside};
use crate::kernels::{PoolArgs, Source, Target, Window};

/// Channels that are summed at once, so that their sums stay in registers.
const BLOCK: usize = 32;

/// Mean over a window, see [`PoolArgs`]. Both pictures have as many channels.
///
/// The global average pool is a kernel of the whole picture and a 1x1 target.
pub fn average_pool(source: Source<'_>, args: &PoolArgs, mut target: Target<'_>) {
    debug_assert_eq!(source.channels, target.channels);
    let window = &args.window;
    for oy in target.rows() {
        let rows = inside(window, ROWS, oy, source.height);
        for ox in 0..target.width {
            let columns = inside(window, COLUMNS, ox, source.width);
            let taps = rows.len() * columns.len();
            let n = if args.count_outside {
                window.kernel[ROWS] * window.kernel[COLUMNS]
            } else {
                taps
            };
            // Without taps the sum is 0, and so must be its product.
            let multiplier = args.scale / n.max(1) as f32;
            let zero = (taps as i32).wrapping_mul(i32::from(args.input_zero_point));
            let out = target.pixel_mut(oy, ox);
            for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                let mut sums = [0i32; BLOCK];
                for ky in rows.clone() {
                    let y = at(window, ROWS, oy, ky);
                    for kx in columns.clone() {
                        let x = at(window, COLUMNS, ox, kx);
                        let codes = &source.pixel(y, x)[block * BLOCK..][..out.len()];
                        for (sum, &code) in sums.iter_mut().zip(codes) {
                            *sum = sum.wrapping_add(i32::from(code));
                        }
                    }
                }
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = requantize(
                        sum.wrapping_sub(zero),
                        multiplier,
                        args.output_zero_point,
                        args.clamp,
                    );
                }
            }
        }
    }
}

/// Largest code over a window (ONNX `MaxPool`): taps outside the picture are not
/// looked at; where none is inside the result is 0. Both pictures have as many
/// channels and one quantization.
pub fn max_pool(source: Source<'_>, window: &Window, mut target: Target<'_>) {
    debug_assert_eq!(source.channels, target.channels);
    for oy in target.rows() {
        for ox in 0..target.width {
            let columns = inside(window, COLUMNS, ox, source.width);
            let out = target.pixel_mut(oy, ox);
            out.fill(0);
            for ky in inside(window, ROWS, oy, source.height) {
                let y = at(window, ROWS, oy, ky);
                for kx in columns.clone() {
                    let codes = source.pixel(y, at(window, COLUMNS, ox, kx));
                    for (out, &code) in out.iter_mut().zip(codes) {
                        *out = (*out).max(code);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, Picture};
    use proptest::prelude::*;

    fn pictures() -> impl Strategy<Value = (Picture, Picture)> {
        (1usize..80, 1usize..6, 1usize..6).prop_flat_map(|(channels, height, width)| {
            (
                testing::picture(channels),
                testing::picture_of(height, width, channels),
            )
        })
    }

    proptest! {
        #[test]
        fn average_follows_its_formula(
            (source, mut out) in pictures(), window in testing::window(),
            count_outside in any::<bool>(),
            zeros in any::<[u8; 2]>(), scale in testing::scale(), clamp in testing::clamp(),
        ) {
            let args = PoolArgs {
                window, count_outside, input_zero_point: zeros[0], scale,
                output_zero_point: zeros[1], clamp,
            };
            let mut wanted = out.clone();
            wanted.fill(|y, x, c| {
                let taps = testing::taps(&window, y, x, &source);
                let all = window.kernel[0] * window.kernel[1];
                let n = if count_outside { all } else { taps.len() };
                let sum: i64 = taps.iter()
                    .map(|&(_, _, y, x)| i64::from(source.at(y, x, c)) - i64::from(zeros[0]))
                    .sum();
                if n == 0 {
                    return testing::code(0.0, zeros[1], clamp);
                }
                testing::code(sum as f32 * (scale / n as f32), zeros[1], clamp)
            });
            average_pool(source.source(), &args, out.target());
            prop_assert_eq!(out, wanted);
        }

        #[test]
        fn maximum_is_over_the_taps_inside(
            (source, mut out) in pictures(), window in testing::window(),
        ) {
            let mut wanted = out.clone();
            wanted.fill(|y, x, c| {
                let taps = testing::taps(&window, y, x, &source);
                taps.iter().map(|&(_, _, y, x)| source.at(y, x, c)).max().unwrap_or(0)
            });
            max_pool(source.source(), &window, out.target());
            prop_assert_eq!(out, wanted);
        }
    }
}
