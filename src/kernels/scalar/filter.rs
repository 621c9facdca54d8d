//! The two passes of a separable filter over RGB.

use crate::kernels::imaging::{MIDDLE_BITS, RowRing, Taps, WEIGHT_BITS};

/// Bytes combined at once in the first pass.
const BLOCK: usize = 32;

/// The first pass: output `index` of `taps` over rows, as many bytes of each as `out`
/// takes.
///
/// Each value is `floor(sum / 2^8 + 1/2)`, so [`MIDDLE_BITS`] fractional bits remain.
#[inline(always)]
pub fn filter_rows(rows: RowRing<'_>, taps: Taps<'_>, index: usize, out: &mut [i16]) {
    const SHIFT: u32 = WEIGHT_BITS - MIDDLE_BITS;
    let start = taps.starts[index] as usize;
    let weights = &taps.weights[index * taps.count..][..taps.count];
    let len = out.len();
    // A row that is not there has no weight.
    let terms = || (start..).zip(weights).filter(|&(_, &weight)| weight != 0);
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    let done = blocks.len() * BLOCK;
    for (number, block) in blocks.iter_mut().enumerate() {
        let mut sums = [1i32 << (SHIFT - 1); BLOCK];
        for (row, &weight) in terms() {
            let bytes = &rows.row(row, len)[number * BLOCK..][..BLOCK];
            for (sum, &byte) in sums.iter_mut().zip(bytes) {
                *sum += i32::from(byte) * i32::from(weight);
            }
        }
        *block = sums.map(|sum| (sum >> SHIFT) as i16);
    }
    for (number, value) in rest.iter_mut().enumerate() {
        let mut sum = 1i32 << (SHIFT - 1);
        for (row, &weight) in terms() {
            sum += i32::from(rows.row(row, len)[done + number]) * i32::from(weight);
        }
        *value = (sum >> SHIFT) as i16;
    }
}

/// The second pass: all outputs of `taps` over a row of pixels, three values each, which
/// [`MIDDLE_PADDING`](crate::kernels::imaging::MIDDLE_PADDING) more values follow.
///
/// Each byte is `floor(sum / 2^20 + 1/2)`; it cannot be beyond 255.
#[inline(always)]
pub fn filter_columns(middle: &[i16], taps: Taps<'_>, out: &mut [u8]) {
    match taps.count {
        2 => columns::<2>(middle, taps, out),
        4 => columns::<4>(middle, taps, out),
        6 => columns::<6>(middle, taps, out),
        _ => columns::<0>(middle, taps, out),
    }
}

/// `TAPS` is the count of taps, or 0 for any: a known count lets the compiler unroll the
/// loop.
#[inline(always)]
fn columns<const TAPS: usize>(middle: &[i16], all: Taps<'_>, out: &mut [u8]) {
    const SHIFT: u32 = WEIGHT_BITS + MIDDLE_BITS;
    let taps = if TAPS == 0 { all.count } else { TAPS };
    let (pixels, _) = out.as_chunks_mut::<3>();
    let outputs = all.starts.iter().zip(all.weights.chunks_exact(taps));
    for (pixel, (&start, weights)) in pixels.iter_mut().zip(outputs) {
        let window = &middle[start as usize * 3..][..taps * 3 + 1];
        let mut sums = [1i32 << (SHIFT - 1); 4];
        for (tap, &weight) in weights.iter().enumerate() {
            // The fourth value is the next pixel's; four at a time suit a vector.
            for (sum, &value) in sums.iter_mut().zip(&window[tap * 3..][..4]) {
                *sum += i32::from(value) * i32::from(weight);
            }
        }
        *pixel = [sums[0], sums[1], sums[2]].map(|sum| (sum >> SHIFT) as u8);
    }
}
