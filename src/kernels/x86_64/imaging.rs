//! A camera's pictures with AVX2.

use std::arch::x86_64::*;

use crate::kernels::imaging::{
    BLOCK, FACTOR_BITS, MIDDLE_BITS, NearestColumns, RowRing, Taps, WEIGHT_BITS, YuvFactors, YuvRow,
};
use crate::kernels::scalar;

/// Most rows that the first pass of a filter combines in registers' reach.
const MOST_TAPS: usize = 16;

/// Two factors for the pairs of a product that adds neighbours.
fn pair(low: i16, high: i16) -> i32 {
    i32::from(low as u16) | i32::from(high) << 16
}

/// Factors for pairs of neighbours, of each pair in units of 2^16 and the rest, which fits
/// 16 bits and a sign. Sums of products with both, the former's shifted, are exact.
#[derive(Clone, Copy)]
struct Pair {
    units: i32,
    rest: i32,
}

impl Pair {
    fn new(low: i32, high: i32) -> Self {
        let units = |factor: i32| (factor + (1 << (FACTOR_BITS - 1))) >> FACTOR_BITS;
        let rest = |factor: i32| (factor - (units(factor) << FACTOR_BITS)) as i16;
        Self {
            units: pair(units(low) as i16, units(high) as i16),
            rest: pair(rest(low), rest(high)),
        }
    }
}

/// Luma of the even and the odd pixel of two, and what chroma, U and V, adds to their red,
/// green and blue.
fn pairs(factors: &YuvFactors) -> ([Pair; 2], [Pair; 3]) {
    (
        [Pair::new(factors.luma, 0), Pair::new(0, factors.luma)],
        [
            Pair::new(0, factors.red_v),
            Pair::new(-factors.green_u, -factors.green_v),
            Pair::new(factors.blue_u, 0),
        ],
    )
}

/// One half, for rounding.
const HALF: i32 = 1 << (FACTOR_BITS - 1);

/// Whether two pixels share their chroma, which is what the vectors are made for.
fn shares_chroma(row: &YuvRow<'_>) -> bool {
    match row {
        YuvRow::Packed(..) | YuvRow::SemiPlanar(..) | YuvRow::HalfPlanar(..) => true,
        YuvRow::Grey(_) | YuvRow::FullPlanar(..) => false,
    }
}

/// See [`scalar::colour`].
pub(in crate::kernels) fn colour(factors: &YuvFactors, row: YuvRow<'_>, out: &mut [u8]) {
    assert!(out.len().is_multiple_of(3) && row.holds(out.len() / 3));
    // SAFETY: the table lists this for processors with AVX2; the row holds the pixels.
    unsafe { colour_avx2(factors, row, out) }
}

/// See [`scalar::colour`].
pub(in crate::kernels) fn colour_avx512(factors: &YuvFactors, row: YuvRow<'_>, out: &mut [u8]) {
    assert!(out.len().is_multiple_of(3) && row.holds(out.len() / 3));
    // SAFETY: the table lists this for processors with AVX-512 VBMI; the row holds the
    // pixels.
    unsafe { colour_avx512vbmi(factors, row, out) }
}

/// # Safety
/// The row holds the pixels of `out`.
#[target_feature(enable = "avx2")]
unsafe fn colour_avx2(factors: &YuvFactors, row: YuvRow<'_>, out: &mut [u8]) {
    const PIXELS: usize = 16;
    if !shares_chroma(&row) {
        return colour_compiled(factors, row, out);
    }
    let (luma, chroma) = pairs(factors);
    let words = |value: i32| _mm256_set1_epi32(value);
    let product = |values: __m256i, factors: Pair| {
        let units = _mm256_madd_epi16(values, words(factors.units));
        let rest = _mm256_madd_epi16(values, words(factors.rest));
        _mm256_add_epi32(_mm256_slli_epi32::<16>(units), rest)
    };
    // Of eight pixels to a half: their reds and greens, and twice their blues.
    const X: i8 = -1;
    let places = |a: [i8; 16], b: [i8; 16]| {
        // SAFETY: both have 16 bytes.
        let [a, b] = [a, b].map(|order| unsafe { _mm_loadu_si128(order.as_ptr().cast()) });
        [a, b].map(|order| _mm256_broadcastsi128_si256(order))
    };
    let first = places(
        [0, 8, X, 1, 9, X, 2, 10, X, 3, 11, X, 4, 12, X, 5],
        [X, X, 0, X, X, 1, X, X, 2, X, X, 3, X, X, 4, X],
    );
    let second = places(
        [13, X, 6, 14, X, 7, 15, X, X, X, X, X, X, X, X, X],
        [X, 5, X, X, 6, X, X, 7, X, X, X, X, X, X, X, X],
    );

    let (blocks, rest) = out.as_chunks_mut::<{ 3 * PIXELS }>();
    let done = blocks.len() * PIXELS;
    for (number, out) in blocks.iter_mut().enumerate() {
        let x = number * PIXELS;
        // SAFETY: the caller promises the pixels.
        let (y, uv) = unsafe {
            let whole = |from: &[u8], at: usize| _mm_loadu_si128(from.as_ptr().add(at).cast());
            let half = |from: &[u8], at: usize| _mm_loadl_epi64(from.as_ptr().add(at).cast());
            match row {
                YuvRow::Packed(quads) => {
                    let quads = _mm256_loadu_si256(quads.as_ptr().add(2 * x).cast());
                    let luma = _mm256_and_si256(quads, _mm256_set1_epi16(0xff));
                    (luma, _mm256_srli_epi16::<8>(quads))
                }
                YuvRow::SemiPlanar(y, uv) => (
                    _mm256_cvtepu8_epi16(whole(y, x)),
                    _mm256_cvtepu8_epi16(whole(uv, x)),
                ),
                YuvRow::HalfPlanar(y, u, v) | YuvRow::FullPlanar(y, u, v) => {
                    let uv = _mm_unpacklo_epi8(half(u, x / 2), half(v, x / 2));
                    (_mm256_cvtepu8_epi16(whole(y, x)), _mm256_cvtepu8_epi16(uv))
                }
                YuvRow::Grey(_) => return,
            }
        };
        let y = _mm256_sub_epi16(y, _mm256_set1_epi16(factors.offset as i16));
        let uv = _mm256_sub_epi16(uv, _mm256_set1_epi16(128));
        let [even, odd] = luma.map(|f| _mm256_add_epi32(product(y, f), words(HALF)));
        let [r, g, b] = chroma.map(|f| {
            let chroma = product(uv, f);
            let even = _mm256_add_epi32(even, chroma);
            let odd = _mm256_add_epi32(odd, chroma);
            _mm256_blend_epi16::<0xaa>(_mm256_srli_epi32::<16>(even), odd)
        });
        let (rg, bb) = (_mm256_packus_epi16(r, g), _mm256_packus_epi16(b, b));
        let place = |[a, b]: [__m256i; 2]| {
            _mm256_or_si256(_mm256_shuffle_epi8(rg, a), _mm256_shuffle_epi8(bb, b))
        };
        let (first, second) = (place(first), place(second));
        let at = out.as_mut_ptr();
        // SAFETY: twice 16 and 8 bytes are the 48 of a block.
        unsafe {
            _mm_storeu_si128(at.cast(), _mm256_castsi256_si128(first));
            _mm_storel_epi64(at.add(16).cast(), _mm256_castsi256_si128(second));
            _mm_storeu_si128(at.add(24).cast(), _mm256_extracti128_si256::<1>(first));
            _mm_storel_epi64(at.add(40).cast(), _mm256_extracti128_si256::<1>(second));
        }
    }
    if !rest.is_empty() {
        scalar::colour(factors, row.skip(done), rest);
    }
}

/// The portable loop, compiled for the vectors of AVX2.
#[target_feature(enable = "avx2")]
fn colour_compiled(factors: &YuvFactors, row: YuvRow<'_>, out: &mut [u8]) {
    scalar::colour(factors, row, out);
}

/// # Safety
/// The row holds the pixels of `out`.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vbmi")]
unsafe fn colour_avx512vbmi(factors: &YuvFactors, row: YuvRow<'_>, out: &mut [u8]) {
    const PIXELS: usize = 32;
    /// Where each byte of 32 pixels is, among reds and greens, eight and eight by turns, and
    /// from 64 on twice the blues likewise.
    const PLACES: [[u8; 64]; 2] = {
        let mut places = [[0; 64]; 2];
        let mut at = 0;
        while at < 3 * PIXELS {
            let (pixel, colour) = (at / 3, at % 3);
            let from = [0, 8, 64][colour] + pixel / 8 * 16 + pixel % 8;
            places[at / 64][at % 64] = from as u8;
            at += 1;
        }
        places
    };
    let (blocks, rest) = out.as_chunks_mut::<{ 3 * PIXELS }>();
    let done = blocks.len() * PIXELS;
    if !shares_chroma(&row) || blocks.is_empty() {
        // SAFETY: the caller promises the pixels.
        return unsafe { colour_avx2(factors, row, out) };
    }
    let (luma, chroma) = pairs(factors);
    let words = |value: i32| _mm512_set1_epi32(value);
    let product = |values: __m512i, factors: Pair| {
        let units = _mm512_madd_epi16(values, words(factors.units));
        let rest = _mm512_madd_epi16(values, words(factors.rest));
        _mm512_add_epi32(_mm512_slli_epi32::<16>(units), rest)
    };
    // SAFETY: both have 64 bytes.
    let places = PLACES.map(|places| unsafe { _mm512_loadu_si512(places.as_ptr().cast()) });
    for (number, out) in blocks.iter_mut().enumerate() {
        let x = number * PIXELS;
        // SAFETY: the caller promises the pixels.
        let (y, uv) = unsafe {
            let whole = |from: &[u8], at: usize| _mm256_loadu_si256(from.as_ptr().add(at).cast());
            let half = |from: &[u8], at: usize| _mm_loadu_si128(from.as_ptr().add(at).cast());
            match row {
                YuvRow::Packed(quads) => {
                    let quads = _mm512_loadu_si512(quads.as_ptr().add(2 * x).cast());
                    let luma = _mm512_and_si512(quads, _mm512_set1_epi16(0xff));
                    (luma, _mm512_srli_epi16::<8>(quads))
                }
                YuvRow::SemiPlanar(y, uv) => (
                    _mm512_cvtepu8_epi16(whole(y, x)),
                    _mm512_cvtepu8_epi16(whole(uv, x)),
                ),
                YuvRow::HalfPlanar(y, u, v) | YuvRow::FullPlanar(y, u, v) => {
                    let (u, v) = (half(u, x / 2), half(v, x / 2));
                    let uv = _mm256_set_m128i(_mm_unpackhi_epi8(u, v), _mm_unpacklo_epi8(u, v));
                    (_mm512_cvtepu8_epi16(whole(y, x)), _mm512_cvtepu8_epi16(uv))
                }
                YuvRow::Grey(_) => return,
            }
        };
        let y = _mm512_sub_epi16(y, _mm512_set1_epi16(factors.offset as i16));
        let uv = _mm512_sub_epi16(uv, _mm512_set1_epi16(128));
        let [even, odd] = luma.map(|f| _mm512_add_epi32(product(y, f), words(HALF)));
        let [r, g, b] = chroma.map(|f| {
            let chroma = product(uv, f);
            let even = _mm512_add_epi32(even, chroma);
            let odd = _mm512_add_epi32(odd, chroma);
            _mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_srli_epi32::<16>(even), odd)
        });
        let (rg, bb) = (_mm512_packus_epi16(r, g), _mm512_packus_epi16(b, b));
        let [first, second] = places.map(|at| _mm512_permutex2var_epi8(rg, at, bb));
        let at = out.as_mut_ptr();
        // SAFETY: 64 and 32 bytes are the 96 of a block.
        unsafe {
            _mm512_storeu_si512(at.cast(), first);
            _mm256_storeu_si256(at.add(64).cast(), _mm512_castsi512_si256(second));
        }
    }
    if !rest.is_empty() {
        // SAFETY: the caller promises these pixels, too.
        unsafe { colour_avx2(factors, row.skip(done), rest) }
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
