//! AVX2: 16 products of 16-bit numbers an instruction.
//!
//! The instruction that multiplies bytes (`vpmaddubsw`) saturates its sums, so codes and
//! weights are widened first.

use std::arch::x86_64::*;

use super::conv::{self, Conv, Gemm, Tile};
use super::dot::{Dot, add_columns, channel, load_vectors};
use crate::kernels::ConvArgs;
use crate::kernels::variants::Convolution;
use crate::kernels::vector::depthwise::{self, Depthwise, Segment};
use crate::kernels::vector::epilogue::{Epilogue, Sum};
use crate::kernels::vector::isa::{Isa, VECTORS};

/// Packs a convolution.
pub(in crate::kernels) fn conv(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Conv::<Avx2>::pack(args)
}

/// Packs a depthwise convolution.
pub(in crate::kernels) fn depthwise(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Depthwise::<Avx2>::pack(args)
}

struct Avx2;

/// Sums to rounded 32-bit values.
#[inline(always)]
pub(super) unsafe fn rounded(sums: __m256i, multipliers: *const f32) -> __m256i {
    unsafe {
        let values = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(multipliers));
        _mm256_cvtps_epi32(values)
    }
}

/// The first eight of some codes and the other summand's to 32-bit codes of sums.
#[inline(always)]
unsafe fn added(codes: __m128i, other: __m128i, sum: &Sum) -> __m256i {
    unsafe {
        let real = |codes| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes));
        let [first, second] = match sum.is_first {
            true => [other, codes],
            false => [codes, other],
        };
        let [first_scale, second_scale] = sum.scales.map(|scale| _mm256_set1_ps(scale));
        let value = _mm256_fmadd_ps(real(second), second_scale, _mm256_set1_ps(sum.offset));
        let value = _mm256_fmadd_ps(real(first), first_scale, value);
        // Beyond these the clamp decides, and the conversion does not saturate.
        let value = _mm256_max_ps(
            _mm256_min_ps(value, _mm256_set1_ps(1024.0)),
            _mm256_set1_ps(-1024.0),
        );
        let code = _mm256_cvtps_epi32(value);
        let code = _mm256_max_epi32(code, _mm256_set1_epi32(i32::from(sum.clamp[0])));
        _mm256_min_epi32(code, _mm256_set1_epi32(i32::from(sum.clamp[1])))
    }
}

/// Reads the first `count` of 16 bytes, zeros for the rest.
#[inline(always)]
unsafe fn read16(from: *const u8, count: usize) -> __m128i {
    unsafe {
        if count >= 16 {
            return _mm_loadu_si128(from.cast());
        }
        let mut bytes = [0u8; 16];
        std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count);
        _mm_loadu_si128(bytes.as_ptr().cast())
    }
}

/// Reads the first `count` of 32 bytes, zeros for the rest.
#[inline(always)]
unsafe fn read32(from: *const u8, count: usize) -> __m256i {
    unsafe {
        if count >= 32 {
            return _mm256_loadu_si256(from.cast());
        }
        let first = read16(from, count);
        let second = if count > 16 {
            read16(from.add(16), count - 16)
        } else {
            _mm_setzero_si128()
        };
        _mm256_set_m128i(second, first)
    }
}

/// Clamps 16 codes, adds the other summand, and stores the first `channels`.
#[inline(always)]
unsafe fn finish16(
    codes: __m128i,
    epilogue: &Epilogue,
    sum: Option<Sum>,
    channels: usize,
    out: *mut u8,
) {
    unsafe {
        let [low, high] = epilogue.clamp.map(|code| _mm_set1_epi8(code as i8));
        let mut codes = _mm_min_epu8(_mm_max_epu8(codes, low), high);
        if let Some(sum) = sum {
            let other = read16(sum.data, channels);
            let first = added(codes, other, &sum);
            let second = added(_mm_srli_si128::<8>(codes), _mm_srli_si128::<8>(other), &sum);
            let words = |codes| {
                _mm_packs_epi32(
                    _mm256_castsi256_si128(codes),
                    _mm256_extracti128_si256::<1>(codes),
                )
            };
            codes = _mm_packus_epi16(words(first), words(second));
        }
        if channels >= 16 {
            _mm_storeu_si128(out.cast(), codes);
        } else {
            let mut bytes = [0u8; 16];
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), codes);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), out, channels);
        }
    }
}

/// The stores of [`Gemm::store_tile`], which every set with vectors of 256 bits shares.
#[inline(always)]
pub(super) unsafe fn store<const N: usize>(
    sums: [__m256i; N],
    multipliers: *const f32,
    epilogue: &Epilogue,
    sum: Option<Sum>,
    channels: usize,
    out: *mut u8,
) {
    unsafe {
        let q = |n: usize| rounded(sums[n], multipliers.add(n * 8));
        let zero = _mm256_set1_epi16(epilogue.zero_point);
        let pair = |n| _mm256_adds_epi16(_mm256_packs_epi32(q(n), q(n + 1)), zero);
        let low = |v| _mm256_castsi256_si128(v);
        let high = |v| _mm256_extracti128_si256::<1>(v);
        match N {
            1 => {
                let q = q(0);
                let words = _mm_adds_epi16(_mm_packs_epi32(low(q), high(q)), low(zero));
                finish16(
                    _mm_packus_epi16(words, words),
                    epilogue,
                    sum,
                    channels.min(8),
                    out,
                );
            }
            2 => {
                let words = pair(0);
                finish16(
                    _mm_packus_epi16(low(words), high(words)),
                    epilogue,
                    sum,
                    channels,
                    out,
                );
            }
            _ => {
                let codes = _mm256_packus_epi16(pair(0), pair(2));
                finish16(low(codes), epilogue, sum, channels, out);
                if channels > 16 {
                    let sum = sum.map(|sum| sum.at(0, 16));
                    finish16(high(codes), epilogue, sum, channels - 16, out.add(16));
                }
            }
        }
    }
}

/// The rows of a column, each of 32 codes.
#[inline(always)]
pub(super) unsafe fn rows(rows: [*const u8; 3], channels: usize) -> [__m256i; 3] {
    unsafe {
        [
            read32(rows[0], channels),
            read32(rows[1], channels),
            read32(rows[2], channels),
        ]
    }
}

/// Three rows of 32 codes as four vectors of quads, the fourth byte 0.
#[inline(always)]
pub(super) unsafe fn interleaved([a, b, c]: [__m256i; 3]) -> [__m256i; 4] {
    unsafe {
        let none = _mm256_setzero_si256();
        let (ab, c0) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, none));
        let (ab_high, c0_high) = (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, none));
        [
            _mm256_unpacklo_epi16(ab, c0),
            _mm256_unpackhi_epi16(ab, c0),
            _mm256_unpacklo_epi16(ab_high, c0_high),
            _mm256_unpackhi_epi16(ab_high, c0_high),
        ]
    }
}

impl Isa for Avx2 {
    type Vector = __m256i;
    /// The first two rows in pairs, then the third with zeros.
    type Column = [__m256i; 8];
    type Half = Self;
    type Weights = [__m256i; 8];
    const LANES: usize = 8;
    const CODE_OFFSET: i32 = 0;
    const COLUMN_BYTES: usize = 256;

    #[target_feature(enable = "avx2,fma")]
    unsafe fn segment(segment: &Segment<'_>) {
        unsafe { depthwise::segment::<Self>(segment) }
    }

    fn channel(vectors: usize, vector: usize, lane: usize) -> usize {
        channel(vectors, 8, vector, lane)
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(
        sums: [__m256i; VECTORS],
        multipliers: *const f32,
        epilogue: &Epilogue,
        sum: Option<Sum>,
        channels: usize,
        out: *mut u8,
    ) {
        unsafe { store::<VECTORS>(sums, multipliers, epilogue, sum, channels, out) }
    }

    #[inline(always)]
    unsafe fn column(pointers: [*const u8; 3], channels: usize) -> [__m256i; 8] {
        unsafe {
            let none = _mm256_setzero_si256();
            let rows = rows(pointers, channels);
            let [a, b, c] = rows.map(|row| _mm256_unpacklo_epi8(row, none));
            let [a_high, b_high, c_high] = rows.map(|row| _mm256_unpackhi_epi8(row, none));
            [
                _mm256_unpacklo_epi16(a, b),
                _mm256_unpackhi_epi16(a, b),
                _mm256_unpacklo_epi16(a_high, b_high),
                _mm256_unpackhi_epi16(a_high, b_high),
                _mm256_unpacklo_epi16(c, none),
                _mm256_unpackhi_epi16(c, none),
                _mm256_unpacklo_epi16(c_high, none),
                _mm256_unpackhi_epi16(c_high, none),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const u8) -> [__m256i; 8] {
        unsafe { load_vectors::<Self, 8>(from) }
    }

    #[inline(always)]
    unsafe fn add_columns<const N: usize>(
        sums: [__m256i; VECTORS],
        columns: [&[__m256i; 8]; N],
        weights: [&[__m256i; 8]; N],
    ) -> [__m256i; VECTORS] {
        unsafe { add_columns::<Self, 8, N>(sums, columns, weights) }
    }

    fn column_weights(weight: impl Fn(usize, usize) -> i8) -> Vec<u8> {
        let lanes = (0..VECTORS).flat_map(|vector| (0..8).map(move |lane| (vector, lane)));
        let channels = lanes.map(|(vector, lane)| channel(VECTORS, 8, vector, lane));
        let first = channels.clone().map(|c| [weight(0, c), weight(1, c)]);
        let pairs = first.chain(channels.map(|c| [weight(2, c), 0]));
        pairs
            .flatten()
            .flat_map(|weight| i16::from(weight).to_le_bytes())
            .collect()
    }
}

impl Dot for Avx2 {
    #[inline(always)]
    unsafe fn dot(sum: __m256i, codes: __m256i, weights: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(codes, weights)) }
    }
}

impl Gemm for Avx2 {
    const PIXELS: [usize; 4] = [6, 6, 0, 0];
    const DEPTH: usize = 2;

    #[target_feature(enable = "avx2,fma")]
    unsafe fn tiles(tile: &Tile<'_>, pixels: usize) {
        unsafe { conv::tiles::<Self>(tile, pixels) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const u8) -> __m256i {
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn store_tile<const N: usize>(
        sums: [__m256i; N],
        multipliers: *const f32,
        epilogue: &Epilogue,
        sum: Option<Sum>,
        channels: usize,
        out: *mut u8,
    ) {
        unsafe { store::<N>(sums, multipliers, epilogue, sum, channels, out) }
    }
}
