//! Pictures of another size, and the classes of one.
//!
//! Of the bilinear sum `v * 2048 + (v' - v) * fx`, where `v` and `v'` are neighbours of
//! a row that was mixed from two, `v * 2048` with what rounds it and `v' - v` are worked
//! out once for each row of the output; an output pixel then takes one product.

use super::words::Words;
use crate::kernels::scratch::Scratch;
use crate::kernels::steps::{Between, FRACTION_BITS, between};
use crate::kernels::{Comparison, Coordinates, Source, Target};

/// What rounds a sum of `2 * FRACTION_BITS` fraction bits.
const HALF: i32 = 1 << (2 * FRACTION_BITS - 1);
/// Its fraction bits.
const SHIFT: u32 = 2 * FRACTION_BITS;
/// Widest vector.
const LANES: usize = 16;

/// Numbers of scratch for a resize: two rows of the source.
pub fn resize_scratch(width: usize, channels: usize, _: usize) -> usize {
    2 * width * channels.next_multiple_of(LANES) * size_of::<i32>()
}

/// A picture of another size.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
pub unsafe fn resize<W: Words>(
    source: Source<'_>,
    coordinates: Coordinates,
    mut target: Target<'_>,
    scratch: &mut Scratch,
) {
    let (width, channels) = (source.width, source.channels);
    assert_eq!(channels, target.channels);
    let (height, out_width, range) = (target.height, target.width, target.rows());
    if source.pixels() == 1 {
        // Whatever lies between a pixel and itself is the pixel.
        let pixel = source.pixel(0, 0);
        for (oy, ox) in range.flat_map(|oy| (0..out_width).map(move |ox| (oy, ox))) {
            target.pixel_mut(oy, ox).copy_from_slice(pixel);
        }
        return;
    }
    let padded = channels.next_multiple_of(LANES);
    let numbers = scratch.words(2 * width * padded);
    let (base, difference) = numbers.split_at_mut(width * padded);
    let rows = between(coordinates, height, source.height);
    for (oy, row) in (0..).zip(rows).take(range.end).skip(range.start) {
        // SAFETY: the caller promises the instructions.
        unsafe { mix_rows::<W>(source, row, padded, base, difference) };
        let columns = between(coordinates, out_width, width);
        for (ox, column) in columns.take(out_width).enumerate() {
            let at = column.before * padded;
            let out = target.pixel_mut(oy, ox);
            let (base, difference) = (&base[at..][..padded], &difference[at..][..padded]);
            // SAFETY: `padded` numbers are at least as many as are read, and whole
            // vectors of codes lie within the pixel; the last ones go by way of `rest`.
            unsafe {
                let fraction = W::splat(column.fraction as i32);
                let sum = |c: usize| {
                    let slope = W::mul(W::load(difference.as_ptr().add(c)), fraction);
                    W::add(W::load(base.as_ptr().add(c)), slope)
                };
                let code = |c: usize| W::shift_right::<SHIFT>(sum(c));
                let mut c = 0;
                while c + 4 * W::LANES <= channels {
                    let n = W::LANES;
                    let sums = [sum(c), sum(c + n), sum(c + 2 * n), sum(c + 3 * n)];
                    W::store_high_bytes::<SHIFT>(sums, out.as_mut_ptr().add(c));
                    c += 4 * W::LANES;
                }
                while c + W::LANES <= channels {
                    W::store_bytes(code(c), out.as_mut_ptr().add(c));
                    c += W::LANES;
                }
                if c < channels {
                    let mut rest = [0; LANES];
                    W::store_bytes(code(c), rest.as_mut_ptr());
                    out[c..].copy_from_slice(&rest[..channels - c]);
                }
            }
        }
    }
}

/// For each pixel of a mixed row its channels times 2048, rounding included, and the
/// next pixel's less its own; `padded` numbers for each pixel.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn mix_rows<W: Words>(
    source: Source<'_>,
    row: Between,
    padded: usize,
    base: &mut [i32],
    difference: &mut [i32],
) {
    let (width, channels) = (source.width, source.channels);
    let count = width * padded;
    assert!(base.len() >= count && difference.len() >= count && padded >= channels);
    // SAFETY: the caller promises the instructions. Of each pixel whole vectors of codes
    // are read, the last ones by way of `rest`; a pixel has `padded` numbers, a multiple
    // of every vector's.
    unsafe {
        let fraction = W::splat(row.fraction as i32);
        for x in 0..width {
            let above = source.pixel(row.before, x);
            let below = source.pixel(row.after, x);
            let to = base.as_mut_ptr().add(x * padded);
            let mut c = 0;
            while c + W::LANES <= channels {
                let codes = (above.as_ptr().add(c), below.as_ptr().add(c));
                let (above, below) = (W::load_bytes(codes.0), W::load_bytes(codes.1));
                W::store(mix::<W>(above, below, fraction), to.add(c));
                c += W::LANES;
            }
            if c < channels {
                let rest = |codes: &[u8]| {
                    let mut rest = [0; LANES];
                    rest[..channels - c].copy_from_slice(&codes[c..]);
                    W::load_bytes(rest.as_ptr())
                };
                W::store(mix::<W>(rest(above), rest(below), fraction), to.add(c));
            }
        }
        let (base, difference) = (base.as_mut_ptr(), difference.as_mut_ptr());
        for at in (0..count).step_by(W::LANES) {
            let this = W::load(base.add(at));
            let next = if at + padded < count {
                W::load(base.add(at + padded))
            } else {
                this
            };
            W::store(W::sub(next, this), difference.add(at));
            let rounded = W::add(W::shift_left::<FRACTION_BITS>(this), W::splat(HALF));
            W::store(rounded, base.add(at));
        }
    }
}

/// `a * (2048 - fraction) + b * fraction`.
#[inline(always)]
unsafe fn mix<W: Words>(a: W::Vector, b: W::Vector, fraction: W::Vector) -> W::Vector {
    unsafe {
        W::add(
            W::shift_left::<FRACTION_BITS>(a),
            W::mul(W::sub(b, a), fraction),
        )
    }
}

/// Numbers of one channel's row, with room to read a vector from its last pixel on.
const fn plane(width: usize, lanes: usize) -> usize {
    (width + 1 + lanes).next_multiple_of(lanes)
}

/// Bytes of scratch for classes: two rows of the source and the same mixed, channel by
/// channel, and the positions of an output row.
pub fn argmax_scratch(width: usize, channels: usize, out_width: usize) -> usize {
    let numbers = (4 * channels * plane(width, LANES)).max(width);
    (numbers + 2 * (out_width + 2 * LANES)) * size_of::<i32>()
}

/// Classes of an enlarged picture.
///
/// An output vector's pixels lie among as many pixels of the source at most, so each
/// channel's numbers are one load and one permutation away. The class is part of the
/// number that is compared, in bits of it that do not count: the lowest of equal classes is
/// the largest.
///
/// # Safety
/// The processor has the instructions, and the source is not wider than the target.
#[inline(always)]
pub unsafe fn argmax<W: Words>(
    source: Source<'_>,
    (coordinates, comparison): (Coordinates, Comparison),
    target: Target<'_>,
    scratch: &mut Scratch,
) {
    let (width, channels) = (source.width, source.channels);
    assert!(comparison.dropped >= 8, "a class needs a byte");
    assert!(target.channels == 1 && target.is_packed() && channels <= 256);
    assert!(width <= target.width);
    let (out_height, out_width, range) = (target.height, target.width, target.rows());
    let plane = plane(width, W::LANES);
    let size = channels * plane;
    let numbers = scratch.words(4 * size + 2 * (out_width + 2 * LANES));
    let (mut upper, rest) = numbers.split_at_mut(size);
    let (mut lower, rest) = rest.split_at_mut(size);
    let (base, rest) = rest.split_at_mut(size);
    let (difference, rest) = rest.split_at_mut(size);
    let (places, fractions) = rest.split_at_mut(out_width + 2 * LANES);
    let mut column = Between {
        before: 0,
        after: 0,
        fraction: 0,
    };
    let mut columns = between(coordinates, out_width, width).take(out_width);
    for (place, fraction) in places.iter_mut().zip(fractions.iter_mut()) {
        // Beyond the last column the last one is repeated.
        column = columns.next().unwrap_or(column);
        (*place, *fraction) = (column.before as i32, column.fraction as i32);
    }

    let (mut upper_y, mut lower_y) = (None, None);
    let rows = between(coordinates, out_height, source.height).skip(range.start);
    for (labels, row) in target
        .data
        .chunks_exact_mut(out_width)
        .take(range.len())
        .zip(rows)
    {
        if lower_y == Some(row.before) && upper_y != lower_y {
            std::mem::swap(&mut upper, &mut lower);
            std::mem::swap(&mut upper_y, &mut lower_y);
        }
        if upper_y != Some(row.before) {
            planes(source, row.before, plane, upper);
            upper_y = Some(row.before);
        }
        if row.fraction > 0 && lower_y != Some(row.after) {
            planes(source, row.after, plane, lower);
            lower_y = Some(row.after);
        }
        let below: &[i32] = if row.fraction > 0 { lower } else { upper };
        // SAFETY: the caller promises the instructions. All planes have `plane` numbers,
        // a multiple of the lanes. A vector is read from a pixel of the source on, and
        // `plane` has room for one from the last pixel on.
        unsafe {
            let fraction = W::splat(row.fraction as i32);
            let half = W::splat(comparison.half);
            let counting = W::splat(-1 << comparison.dropped);
            for at in (0..size).step_by(W::LANES) {
                let (a, b) = (
                    W::load(upper.as_ptr().add(at)),
                    W::load(below.as_ptr().add(at)),
                );
                W::store(mix::<W>(a, b, fraction), base.as_mut_ptr().add(at));
            }
            for at in (0..size).step_by(W::LANES) {
                let this = W::load(base.as_ptr().add(at));
                // The last vector has no pixel that is looked at.
                if at + W::LANES < size {
                    let next = W::load(base.as_ptr().add(at + 1));
                    W::store(W::sub(next, this), difference.as_mut_ptr().add(at));
                }
                let sum = W::add(W::shift_left::<FRACTION_BITS>(this), half);
                W::store(sum, base.as_mut_ptr().add(at));
            }
            let (base, difference) = (base.as_ptr(), difference.as_ptr());
            for first in (0..out_width).step_by(2 * W::LANES) {
                let start = |n: usize| places[first + n * W::LANES] as usize;
                let indices = |n: usize| {
                    let places = W::load(places[first + n * W::LANES..][..W::LANES].as_ptr());
                    W::sub(places, W::splat(start(n) as i32))
                };
                let fraction =
                    |n: usize| W::load(fractions[first + n * W::LANES..][..W::LANES].as_ptr());
                let (starts, indices) = ([start(0), start(1)], [indices(0), indices(1)]);
                let fractions = [fraction(0), fraction(1)];
                let mut best = [W::splat(0); 2];
                for class in 0..channels {
                    let rank = W::splat(255 - class as i32);
                    for n in 0..2 {
                        let at = class * plane + starts[n];
                        let slope = W::permute(W::load(difference.add(at)), indices[n]);
                        let this = W::permute(W::load(base.add(at)), indices[n]);
                        let sum = W::add(this, W::mul(slope, fractions[n]));
                        best[n] = W::max(best[n], W::select(counting, sum, rank));
                    }
                }
                for (n, best) in best.into_iter().enumerate() {
                    let classes = W::sub(W::splat(255), W::and(best, W::splat(255)));
                    let first = (first + n * W::LANES).min(out_width);
                    if let Some(labels) = labels[first..].get_mut(..W::LANES) {
                        W::store_bytes(classes, labels.as_mut_ptr());
                    } else {
                        let mut rest = [0; LANES];
                        W::store_bytes(classes, rest.as_mut_ptr());
                        let count = out_width - first;
                        labels[first..].copy_from_slice(&rest[..count]);
                    }
                }
            }
        }
    }
}

/// A row of the source channel by channel, its last pixel repeated.
fn planes(source: Source<'_>, y: usize, plane: usize, to: &mut [i32]) {
    for x in 0..plane {
        let pixel = source.pixel(y, x.min(source.width - 1));
        for (plane, &code) in to.chunks_exact_mut(plane).zip(pixel) {
            plane[x] = i32::from(code);
        }
    }
}
