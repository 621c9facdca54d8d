//! Between tensors of a graph and the pictures of codes of a program.

use crate::kernels::{Source, Target};

/// Pixels that are moved channel by channel: few enough for a cache to hold both sides.
const BLOCK: usize = 64;

/// Writes a picture of codes from a tensor with these steps between rows, columns and
/// channels.
pub fn give<T: Copy>(values: &[T], steps: [usize; 3], target: Target<'_>, code: impl Fn(T) -> u8) {
    let (width, stride) = (target.width, target.pixel_stride);
    for_blocks(target.height, width, |y, columns| {
        for channel in 0..target.channels {
            for x in columns.clone() {
                let at = y * steps[0] + x * steps[1] + channel * steps[2];
                target.data[(y * width + x) * stride + channel] = code(values[at]);
            }
        }
    });
}

/// Writes a tensor with these steps between rows, columns and channels from a picture
/// of codes.
pub fn take<T>(source: Source<'_>, values: &mut [T], steps: [usize; 3], value: impl Fn(u8) -> T) {
    let (width, stride) = (source.width, source.pixel_stride);
    for_blocks(source.height, width, |y, columns| {
        for channel in 0..source.channels {
            for x in columns.clone() {
                let at = y * steps[0] + x * steps[1] + channel * steps[2];
                values[at] = value(source.data[(y * width + x) * stride + channel]);
            }
        }
    });
}

/// Some columns of a row at a time.
fn for_blocks(height: usize, width: usize, mut work: impl FnMut(usize, std::ops::Range<usize>)) {
    for y in 0..height {
        for x in (0..width).step_by(BLOCK) {
            work(y, x..width.min(x + BLOCK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows, columns and channels, and the bytes from one pixel to the next.
    const SIZE: [usize; 3] = [3, BLOCK + 5, 4];
    const STRIDE: usize = 7;

    #[test]
    fn planes_and_pixels_hold_the_same_codes() {
        let [height, width, channels] = SIZE;
        let nchw = [width, 1, height * width];
        let nhwc = [width * channels, channels, 1];
        let values: Vec<u8> = (0..height * width * channels)
            .map(|i| (i % 251) as u8)
            .collect();
        for steps in [nchw, nhwc] {
            let mut codes = vec![0; (height * width - 1) * STRIDE + channels];
            let target = Target {
                data: &mut codes,
                range: 0..height * width,
                height,
                width,
                channels,
                pixel_stride: STRIDE,
            };
            give(&values, steps, target, |value| value ^ 0x80);
            let source = Source {
                data: &codes,
                height,
                width,
                channels,
                pixel_stride: STRIDE,
            };
            let at = 2 * steps[0] + 66 * steps[1] + 3 * steps[2];
            assert_eq!(source.pixel(2, 66)[3], values[at] ^ 0x80);
            let mut back = vec![0; values.len()];
            take(source, &mut back, steps, |code| code ^ 0x80);
            assert_eq!(back, values);
        }
    }
}
