//! Pictures made as small (or large) as the terminal.

use crate::mask::Mask;

/// The source pixels `from..to` that target pixel `at` of `targets` covers;
/// never empty.
fn span(at: u32, targets: u32, sources: u32) -> (usize, usize) {
    let edge = |at: u32| u64::from(at) * u64::from(sources) / u64::from(targets);
    let from = edge(at).min(u64::from(sources) - 1);
    (from as usize, edge(at + 1).max(from + 1) as usize)
}

/// RGB averaged over the area of each target pixel.
pub fn averaged(rgb: &[u8], (width, height): (u32, u32), size: (u32, u32)) -> Vec<[u8; 3]> {
    let mut pixels = Vec::with_capacity(size.0 as usize * size.1 as usize);
    for y in 0..size.1 {
        let (top, bottom) = span(y, size.1, height);
        for x in 0..size.0 {
            let (left, right) = span(x, size.0, width);
            let mut sums = [0u64; 3];
            for row in top..bottom {
                let row = row * width as usize;
                for pixel in rgb[(row + left) * 3..(row + right) * 3].as_chunks::<3>().0 {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += u64::from(value);
                    }
                }
            }
            let count = ((bottom - top) * (right - left)) as u64;
            // A mean of bytes is a byte.
            pixels.push(sums.map(|sum| ((sum + count / 2) / count) as u8));
        }
    }
    pixels
}

/// The most frequent label in the area of each target pixel; the lowest of
/// equals.
pub fn majority(mask: &Mask, size: (u32, u32)) -> Vec<u8> {
    let mut labels = Vec::with_capacity(size.0 as usize * size.1 as usize);
    for y in 0..size.1 {
        let (top, bottom) = span(y, size.1, mask.height);
        for x in 0..size.0 {
            let (left, right) = span(x, size.0, mask.width);
            let mut counts = [0u32; 256];
            for row in top..bottom {
                for &label in &mask.labels[row * mask.width as usize..][left..right] {
                    counts[usize::from(label)] += 1;
                }
            }
            let most = (0..=255u8)
                .rev()
                .max_by_key(|&label| counts[usize::from(label)]);
            labels.push(most.unwrap_or(0));
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_pixel_is_covered_once() {
        for (targets, sources) in [(7, 100), (80, 641), (5, 5), (1, 9)] {
            let mut next = 0;
            for at in 0..targets {
                let (from, to) = span(at, targets, sources);
                assert_eq!(from, next);
                next = to;
            }
            assert_eq!(next, sources as usize);
        }
    }

    #[test]
    fn areas_are_averaged_and_enlarged() {
        let rgb = [0, 0, 0, 255, 255, 255, 100, 0, 0, 101, 0, 0];
        assert_eq!(averaged(&rgb, (4, 1), (2, 1)), [[128; 3], [101, 0, 0]]);
        assert_eq!(averaged(&rgb[..3], (1, 1), (2, 2)), [[0; 3]; 4]);
    }

    #[test]
    fn the_majority_wins_and_ties_go_low() {
        let mask = Mask {
            width: 6,
            height: 1,
            labels: vec![3, 1, 3, 2, 9, 9],
        };
        assert_eq!(majority(&mask, (2, 1)), [3, 9]);
        assert_eq!(majority(&mask, (3, 1)), [1, 2, 9]);
    }
}
