//! A camera's pictures with AVX2.

use std::arch::x86_64::*;

use crate::kernels::imaging::{
    BLOCK, FACTOR_BITS, MIDDLE_BITS, NearestColumns, RowRing, Taps, WEIGHT_BITS, YuvFactors, YuvRow,
};
use crate::kernels::scalar;

/// Pixels converted at once.
const PIXELS: usize = 16;
/// Most rows that the first pass of a filter combines in registers' reach.
const MOST_TAPS: usize = 16;

/// A factor in units of 2^16, and the rest, which fits 16 bits and a sign.
#[derive(Clone, Copy)]
struct Split {
    units: i16,
    rest: i16,
}

impl Split {
    fn new(factor: i32) -> Self {
        let units = (factor + (1 << (FACTOR_BITS - 1))) >> FACTOR_BITS;
        Self {
            units: units as i16,
            rest: (factor - (units << FACTOR_BITS)) as i16,
        }
    }
}

/// Two factors for the pairs of a product that adds neighbours.
fn pair(low: i16, high: i16) -> i32 {
    i32::from(low as u16) | i32::from(high) << 16
}

/// See [`scalar::colour`].
pub(in crate::kernels) fn colour(factors: &YuvFactors, row: YuvRow<'_>, out: &mut [u8]) {
    assert!(out.len() % 3 == 0 && row.holds(out.len() / 3));
    if let YuvRow::Grey(_) = row {
        return scalar::colour(factors, row, out);
    }
    // SAFETY: the table lists this for processors with AVX2.
    unsafe { colour_avx2(factors, row, out) }
}

/// Sums are exact: of a factor `units * 2^16 + rest` the units are added after the shift
/// by 16 bits, so that the products of the rests fit 16 by 16 bits. Values between stay
/// within -700 ..= 1000.
#[target_feature(enable = "avx2")]
fn colour_avx2(factors: &YuvFactors, row: YuvRow<'_>, out: &mut [u8]) {
    let luma = Split::new(factors.luma);
    let red_v = Split::new(factors.red_v);
    let green_u = Split::new(-factors.green_u);
    let green_v = Split::new(-factors.green_v);
    let blue_u = Split::new(factors.blue_u);
    let word = |value: i16| _mm256_set1_epi16(value);
    let words = |low, high| _mm256_set1_epi32(pair(low, high));
    let offset = word(factors.offset as i16);
    let middle = word(128);
    // Twice 2^14 is the half that rounds.
    let two = word(2);
    let luma_rest = words(luma.rest, 1 << 14);
    let rests = [
        words(0, red_v.rest),
        words(green_u.rest, green_v.rest),
        words(blue_u.rest, 0),
    ];
    let luma_units = word(luma.units);
    let units = [red_v, green_u, green_v, blue_u].map(|split| word(split.units));

    let (blocks, rest) = out.as_chunks_mut::<{ 3 * PIXELS }>();
    let done = blocks.len() * PIXELS;
    for (number, out) in blocks.iter_mut().enumerate() {
        // SAFETY: the row holds these pixels, for `out` has them.
        let (y, u, v) = unsafe { load(row, number * PIXELS) };
        let y = _mm256_sub_epi16(_mm256_cvtepu8_epi16(y), offset);
        let u = _mm256_sub_epi16(_mm256_cvtepu8_epi16(u), middle);
        let v = _mm256_sub_epi16(_mm256_cvtepu8_epi16(v), middle);
        let (y_low, y_high) = (_mm256_unpacklo_epi16(y, two), _mm256_unpackhi_epi16(y, two));
        let luma_low = _mm256_madd_epi16(y_low, luma_rest);
        let luma_high = _mm256_madd_epi16(y_high, luma_rest);
        let (uv_low, uv_high) = (_mm256_unpacklo_epi16(u, v), _mm256_unpackhi_epi16(u, v));
        let y = _mm256_mullo_epi16(y, luma_units);
        let whole = [
            _mm256_add_epi16(y, _mm256_mullo_epi16(v, units[0])),
            _mm256_add_epi16(
                y,
                _mm256_add_epi16(
                    _mm256_mullo_epi16(u, units[1]),
                    _mm256_mullo_epi16(v, units[2]),
                ),
            ),
            _mm256_add_epi16(y, _mm256_mullo_epi16(u, units[3])),
        ];
        let mut bytes = [_mm_setzero_si128(); 3];
        for c in 0..3 {
            let low = _mm256_add_epi32(luma_low, _mm256_madd_epi16(uv_low, rests[c]));
            let high = _mm256_add_epi32(luma_high, _mm256_madd_epi16(uv_high, rests[c]));
            let sums =
                _mm256_packs_epi32(_mm256_srai_epi32::<16>(low), _mm256_srai_epi32::<16>(high));
            let sums = _mm256_add_epi16(sums, whole[c]);
            bytes[c] = _mm_packus_epi16(
                _mm256_castsi256_si128(sums),
                _mm256_extracti128_si256::<1>(sums),
            );
        }
        store_rgb(bytes, out);
    }
    if !rest.is_empty() {
        scalar::colour(factors, row.skip(done), rest);
    }
}

/// Y, U and V of [`PIXELS`] pixels from `x` on, a multiple of them.
///
/// # Safety
/// The row has the pixels.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(row: YuvRow<'_>, x: usize) -> (__m128i, __m128i, __m128i) {
    // SAFETY: the caller promises the bytes that are read.
    unsafe {
        let whole = |from: &[u8], at: usize| _mm_loadu_si128(from.as_ptr().add(at).cast());
        let half = |from: &[u8], at: usize| _mm_loadl_epi64(from.as_ptr().add(at).cast());
        let twice = |samples: __m128i| _mm_unpacklo_epi8(samples, samples);
        match row {
            YuvRow::Packed(quads) => {
                let (a, b) = (whole(quads, 2 * x), whole(quads, 2 * x + 16));
                let luma = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 5, 9, 13, 3, 7, 11, 15);
                let (a, b) = (_mm_shuffle_epi8(a, luma), _mm_shuffle_epi8(b, luma));
                let chroma = _mm_unpackhi_epi32(a, b);
                (
                    _mm_unpacklo_epi64(a, b),
                    twice(chroma),
                    _mm_unpackhi_epi8(chroma, chroma),
                )
            }
            YuvRow::SemiPlanar(y, uv) => {
                let uv = whole(uv, x);
                let u = _mm_setr_epi8(0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14);
                let v = _mm_setr_epi8(1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15);
                (
                    whole(y, x),
                    _mm_shuffle_epi8(uv, u),
                    _mm_shuffle_epi8(uv, v),
                )
            }
            YuvRow::HalfPlanar(y, u, v) => {
                (whole(y, x), twice(half(u, x / 2)), twice(half(v, x / 2)))
            }
            YuvRow::FullPlanar(y, u, v) => (whole(y, x), whole(u, x), whole(v, x)),
            YuvRow::Grey(y) => (whole(y, x), _mm_set1_epi8(-128), _mm_set1_epi8(-128)),
        }
    }
}

/// Sixteen reds, greens and blues as sixteen pixels.
#[inline]
#[target_feature(enable = "avx2")]
fn store_rgb(planes: [__m128i; 3], out: &mut [u8; 3 * PIXELS]) {
    const X: i8 = -1;
    let orders = [
        [
            [0, X, X, 1, X, X, 2, X, X, 3, X, X, 4, X, X, 5],
            [X, 0, X, X, 1, X, X, 2, X, X, 3, X, X, 4, X, X],
            [X, X, 0, X, X, 1, X, X, 2, X, X, 3, X, X, 4, X],
        ],
        [
            [X, X, 6, X, X, 7, X, X, 8, X, X, 9, X, X, 10, X],
            [5, X, X, 6, X, X, 7, X, X, 8, X, X, 9, X, X, 10],
            [X, 5, X, X, 6, X, X, 7, X, X, 8, X, X, 9, X, X],
        ],
        [
            [X, 11, X, X, 12, X, X, 13, X, X, 14, X, X, 15, X, X],
            [X, X, 11, X, X, 12, X, X, 13, X, X, 14, X, X, 15, X],
            [10, X, X, 11, X, X, 12, X, X, 13, X, X, 14, X, X, 15],
        ],
    ];
    let (parts, _) = out.as_chunks_mut::<16>();
    for (part, order) in parts.iter_mut().zip(&orders) {
        // SAFETY: an order has 16 bytes, and so has a part.
        unsafe {
            let place =
                |c: usize| _mm_shuffle_epi8(planes[c], _mm_loadu_si128(order[c].as_ptr().cast()));
            let bytes = _mm_or_si128(_mm_or_si128(place(0), place(1)), place(2));
            _mm_storeu_si128(part.as_mut_ptr().cast(), bytes);
        }
    }
}

/// See [`scalar::filter_rows`].
pub(in crate::kernels) fn filter_rows(
    rows: RowRing<'_>,
    taps: Taps<'_>,
    index: usize,
    out: &mut [i16],
) {
    if taps.count > MOST_TAPS {
        return scalar::filter_rows(rows, taps, index, out);
    }
    // SAFETY: the table lists this for processors with AVX2.
    unsafe { filter_rows_avx2(rows, taps, index, out) }
}

#[target_feature(enable = "avx2")]
fn filter_rows_avx2(rows: RowRing<'_>, taps: Taps<'_>, index: usize, out: &mut [i16]) {
    const SHIFT: u32 = WEIGHT_BITS - MIDDLE_BITS;
    let start = taps.starts[index] as usize;
    let weights = &taps.weights[index * taps.count..][..taps.count];
    let len = out.len();
    let mut sources: [&[u8]; MOST_TAPS] = [&[]; MOST_TAPS];
    let mut pairs = [_mm256_setzero_si256(); MOST_TAPS / 2];
    let mut count = 0;
    for (number, weights) in weights.chunks_exact(2).enumerate() {
        pairs[number] = _mm256_set1_epi32(pair(weights[0], weights[1]));
        for (row, &weight) in (start + 2 * number..).zip(weights) {
            // A row without weight may not be there.
            let row = if weight == 0 { start } else { row };
            sources[count] = rows.row(row, len);
            count += 1;
        }
    }
    let (sources, _) = sources[..count].as_chunks::<2>();
    let (blocks, rest) = out.as_chunks_mut::<16>();
    let done = blocks.len() * 16;
    for (number, block) in blocks.iter_mut().enumerate() {
        let half = _mm256_set1_epi32(1 << (SHIFT - 1));
        let mut sums = [half; 2];
        for (rows, &weights) in sources.iter().zip(&pairs) {
            // SAFETY: rows are as long as `out`, which has the whole block.
            let [a, b] = rows.map(|row| unsafe {
                _mm256_cvtepu8_epi16(_mm_loadu_si128(row.as_ptr().add(number * 16).cast()))
            });
            let low = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), weights);
            let high = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), weights);
            sums = [
                _mm256_add_epi32(sums[0], low),
                _mm256_add_epi32(sums[1], high),
            ];
        }
        let [low, high] = sums.map(|sum| _mm256_srai_epi32::<{ SHIFT as i32 }>(sum));
        // SAFETY: a block has 16 values.
        unsafe {
            _mm256_storeu_si256(block.as_mut_ptr().cast(), _mm256_packs_epi32(low, high));
        }
    }
    for (number, value) in rest.iter_mut().enumerate() {
        let terms = sources.as_flattened().iter().zip(weights);
        let products = terms.map(|(row, &w)| i32::from(row[done + number]) * i32::from(w));
        *value = ((products.sum::<i32>() + (1 << (SHIFT - 1))) >> SHIFT) as i16;
    }
}

/// See [`scalar::filter_columns`].
pub(in crate::kernels) fn filter_columns(middle: &[i16], taps: Taps<'_>, out: &mut [u8]) {
    // SAFETY: the table lists this for processors with AVX2.
    unsafe {
        match taps.count {
            2 => columns_avx2::<1>(middle, taps, out),
            4 => columns_avx2::<2>(middle, taps, out),
            6 => columns_avx2::<3>(middle, taps, out),
            _ => columns_avx2::<0>(middle, taps, out),
        }
    }
}

/// `PAIRS` is half the count of taps, or 0 for any.
#[target_feature(enable = "avx2")]
fn columns_avx2<const PAIRS: usize>(middle: &[i16], taps: Taps<'_>, out: &mut [u8]) {
    const SHIFT: i32 = (WEIGHT_BITS + MIDDLE_BITS) as i32;
    let pairs = if PAIRS == 0 { taps.count / 2 } else { PAIRS };
    let outputs = out.len() / 3;
    assert!(taps.starts.len() >= outputs && taps.weights.len() >= outputs * pairs * 2);
    // Red, green and blue of a pixel beside those of the next.
    let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1,
    ));
    let half = _mm256_set1_epi32(1 << (SHIFT - 1));
    // Two outputs, each in a half of four sums.
    let two = |first: usize| {
        let weights: *const i16 = taps.weights[first * pairs * 2..].as_ptr();
        let windows = [first, first + 1]
            .map(|output| middle[taps.starts[output] as usize * 3..][..pairs * 6 + 2].as_ptr());
        let mut sums = half;
        for pair in 0..pairs {
            // SAFETY: eight values of the window lie from `6 * pair` on; both outputs
            // have `pairs` pairs of weights, of which none is aligned to its pair.
            let (values, weights) = unsafe {
                let values = windows.map(|w| _mm_loadu_si128(w.add(6 * pair).cast()));
                let pairs_of = |output: usize| {
                    let at = weights.add(2 * (output * pairs + pair));
                    _mm256_set1_epi32(at.cast::<i32>().read_unaligned())
                };
                (
                    _mm256_set_m128i(values[1], values[0]),
                    _mm256_blend_epi32::<0xf0>(pairs_of(0), pairs_of(1)),
                )
            };
            let values = _mm256_shuffle_epi8(values, order);
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(values, weights));
        }
        _mm256_srai_epi32::<SHIFT>(sums)
    };
    // From the bytes of outputs 0, 2, 1 and 3 with a fourth one each to four pixels.
    let pack = _mm_setr_epi8(0, 1, 2, 8, 9, 10, 4, 5, 6, 12, 13, 14, -1, -1, -1, -1);
    let (fours, rest) = out.as_chunks_mut::<12>();
    let done = fours.len() * 4;
    for (number, four) in fours.iter_mut().enumerate() {
        let words = _mm256_packs_epi32(two(4 * number), two(4 * number + 2));
        let bytes = _mm_packus_epi16(
            _mm256_castsi256_si128(words),
            _mm256_extracti128_si256::<1>(words),
        );
        let bytes = _mm_shuffle_epi8(bytes, pack);
        // SAFETY: eight bytes and four after them are the pixels' twelve.
        unsafe {
            _mm_storel_epi64(four.as_mut_ptr().cast(), bytes);
            let last = _mm_extract_epi32::<2>(bytes);
            four.as_mut_ptr().add(8).cast::<i32>().write_unaligned(last);
        }
    }
    if !rest.is_empty() {
        let taps = Taps {
            starts: &taps.starts[done..],
            weights: &taps.weights[done * pairs * 2..],
            ..taps
        };
        scalar::filter_columns(middle, taps, rest);
    }
}

/// See [`scalar::nearest`].
pub(in crate::kernels) fn nearest(columns: &NearestColumns, from: &[u8], to: &mut [u8]) {
    if columns.blocks().is_empty() {
        return scalar::nearest(columns, from, to);
    }
    assert_eq!(
        (from.len(), to.len()),
        (columns.from(), columns.columns().len())
    );
    // SAFETY: the table lists this for processors with AVX2.
    unsafe { nearest_avx2(columns, from, to) }
}

#[target_feature(enable = "avx2")]
fn nearest_avx2(columns: &NearestColumns, from: &[u8], to: &mut [u8]) {
    for block in columns.blocks() {
        let from = &from[block.from as usize..][..BLOCK];
        let to = &mut to[block.to as usize..][..BLOCK];
        // SAFETY: all three have 16 bytes.
        unsafe {
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            let index = _mm_loadu_si128(block.index.as_ptr().cast());
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_shuffle_epi8(bytes, index));
        }
    }
}
