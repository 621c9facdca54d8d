//! AVX-512 with VNNI: 64 products of bytes an instruction.

use std::arch::x86_64::*;

use super::avx2;
use super::conv::{self, Conv, Gemm, Tile};
use super::dot::{Dot, add_columns, channel, load_vectors, quads};
use crate::kernels::ConvArgs;
use crate::kernels::variants::Convolution;
use crate::kernels::vector::depthwise::{self, Depthwise, Segment};
use crate::kernels::vector::epilogue::{Epilogue, Sum};
use crate::kernels::vector::isa::{Isa, VECTORS};

/// Packs a convolution.
pub(in crate::kernels) fn conv(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Conv::<Avx512>::pack(args)
}

/// Packs a depthwise convolution.
pub(in crate::kernels) fn depthwise(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Depthwise::<Avx512>::pack(args)
}

struct Avx512;

/// The lowest `count` bits.
#[inline(always)]
fn mask(count: usize) -> u64 {
    u64::MAX >> (64 - count)
}

/// Sums to rounded 32-bit values.
#[inline(always)]
unsafe fn rounded(sums: __m512i, multipliers: *const f32) -> __m512i {
    unsafe {
        let values = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_loadu_ps(multipliers));
        _mm512_cvtps_epi32(values)
    }
}

/// Two vectors of sums to 16-bit numbers that narrow to codes with saturation.
#[inline(always)]
unsafe fn pair(sums: [__m512i; 2], multipliers: *const f32, epilogue: &Epilogue) -> __m512i {
    unsafe {
        let low = rounded(sums[0], multipliers);
        let high = rounded(sums[1], multipliers.add(16));
        _mm512_adds_epi16(
            _mm512_packs_epi32(low, high),
            _mm512_set1_epi16(epilogue.zero_point),
        )
    }
}

/// Two vectors of sums to codes.
///
/// A function, as the next one and others here, because a closure that is called in
/// several places may be compiled on its own, without this module's instructions.
#[inline(always)]
unsafe fn thirty_two(sums: [__m512i; 2], multipliers: *const f32, epilogue: &Epilogue) -> __m256i {
    unsafe {
        // Below 0 this conversion would give 255.
        let words = pair(sums, multipliers, epilogue);
        _mm512_cvtusepi16_epi8(_mm512_max_epi16(words, _mm512_setzero_si512()))
    }
}

/// A vector of sums to codes.
#[inline(always)]
unsafe fn sixteen(sums: __m512i, multipliers: *const f32, epilogue: &Epilogue) -> __m128i {
    unsafe {
        let words = _mm512_cvtsepi32_epi16(rounded(sums, multipliers));
        let words = _mm256_adds_epi16(words, _mm256_set1_epi16(epilogue.zero_point));
        _mm256_cvtusepi16_epi8(_mm256_max_epi16(words, _mm256_setzero_si256()))
    }
}

/// Sixteen codes and the other summand's to the sums' codes.
#[inline(always)]
unsafe fn added(codes: __m128i, other: __m128i, sum: &Sum) -> __m128i {
    unsafe {
        let real = |codes| _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes));
        let [first, second] = match sum.is_first {
            true => [other, codes],
            false => [codes, other],
        };
        let [first_scale, second_scale] = sum.scales.map(|scale| _mm512_set1_ps(scale));
        let value = _mm512_fmadd_ps(real(second), second_scale, _mm512_set1_ps(sum.offset));
        let value = _mm512_fmadd_ps(real(first), first_scale, value);
        // Beyond these the clamp decides, and the conversion does not saturate.
        let value = _mm512_max_ps(
            _mm512_min_ps(value, _mm512_set1_ps(1024.0)),
            _mm512_set1_ps(-1024.0),
        );
        let code = _mm512_cvtps_epi32(value);
        let code = _mm512_max_epi32(code, _mm512_set1_epi32(i32::from(sum.clamp[0])));
        let code = _mm512_min_epi32(code, _mm512_set1_epi32(i32::from(sum.clamp[1])));
        _mm512_cvtepi32_epi8(code)
    }
}

/// Clamps, adds the other summand, and stores the first `channels` of 64, 32 or 16
/// codes.
#[inline(always)]
unsafe fn finish64(
    codes: __m512i,
    epilogue: &Epilogue,
    sum: Option<Sum>,
    channels: usize,
    out: *mut u8,
) {
    unsafe {
        let [low, high] = epilogue.clamp.map(|code| _mm512_set1_epi8(code as i8));
        let mut codes = _mm512_min_epu8(_mm512_max_epu8(codes, low), high);
        let mask = mask(channels.min(64));
        if let Some(sum) = sum {
            let other = _mm512_maskz_loadu_epi8(mask, sum.data.cast());
            let sums = [
                added(
                    _mm512_castsi512_si128(codes),
                    _mm512_castsi512_si128(other),
                    &sum,
                ),
                added(
                    _mm512_extracti32x4_epi32::<1>(codes),
                    _mm512_extracti32x4_epi32::<1>(other),
                    &sum,
                ),
                added(
                    _mm512_extracti32x4_epi32::<2>(codes),
                    _mm512_extracti32x4_epi32::<2>(other),
                    &sum,
                ),
                added(
                    _mm512_extracti32x4_epi32::<3>(codes),
                    _mm512_extracti32x4_epi32::<3>(other),
                    &sum,
                ),
            ];
            codes = _mm512_castsi128_si512(sums[0]);
            codes = _mm512_inserti32x4::<1>(codes, sums[1]);
            codes = _mm512_inserti32x4::<2>(codes, sums[2]);
            codes = _mm512_inserti32x4::<3>(codes, sums[3]);
        }
        if channels >= 64 {
            _mm512_storeu_si512(out.cast(), codes);
        } else {
            _mm512_mask_storeu_epi8(out.cast(), mask, codes);
        }
    }
}

#[inline(always)]
unsafe fn finish32(
    codes: __m256i,
    epilogue: &Epilogue,
    sum: Option<Sum>,
    channels: usize,
    out: *mut u8,
) {
    unsafe {
        let [low, high] = epilogue.clamp.map(|code| _mm256_set1_epi8(code as i8));
        let mut codes = _mm256_min_epu8(_mm256_max_epu8(codes, low), high);
        let mask = mask(channels.min(32)) as u32;
        if let Some(sum) = sum {
            let other = _mm256_maskz_loadu_epi8(mask, sum.data.cast());
            let first = added(
                _mm256_castsi256_si128(codes),
                _mm256_castsi256_si128(other),
                &sum,
            );
            let second = (
                _mm256_extracti128_si256::<1>(codes),
                _mm256_extracti128_si256::<1>(other),
            );
            codes = _mm256_set_m128i(added(second.0, second.1, &sum), first);
        }
        if channels >= 32 {
            _mm256_storeu_si256(out.cast(), codes);
        } else {
            _mm256_mask_storeu_epi8(out.cast(), mask, codes);
        }
    }
}

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
        let mask = mask(channels.min(16)) as u16;
        if let Some(sum) = sum {
            codes = added(codes, _mm_maskz_loadu_epi8(mask, sum.data.cast()), &sum);
        }
        if channels >= 16 {
            _mm_storeu_si128(out.cast(), codes);
        } else {
            _mm_mask_storeu_epi8(out.cast(), mask, codes);
        }
    }
}

impl Isa for Avx512 {
    type Vector = __m512i;
    type Column = [__m512i; 4];
    type Half = Avx512Half;
    type Weights = [__m512i; 4];
    const LANES: usize = 16;
    const CODE_OFFSET: i32 = 0;
    const COLUMN_BYTES: usize = 256;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn segment(segment: &Segment<'_>) {
        unsafe { depthwise::segment::<Self>(segment) }
    }

    fn channel(vectors: usize, vector: usize, lane: usize) -> usize {
        channel(vectors, 16, vector, lane)
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(
        sums: [__m512i; VECTORS],
        multipliers: *const f32,
        epilogue: &Epilogue,
        sum: Option<Sum>,
        channels: usize,
        out: *mut u8,
    ) {
        unsafe {
            let low = pair([sums[0], sums[1]], multipliers, epilogue);
            let high = pair([sums[2], sums[3]], multipliers.add(32), epilogue);
            finish64(_mm512_packus_epi16(low, high), epilogue, sum, channels, out);
        }
    }

    #[inline(always)]
    unsafe fn column(rows: [*const u8; 3], channels: usize) -> [__m512i; 4] {
        unsafe {
            let mask = mask(channels);
            let read = |row: *const u8| {
                if channels == 64 {
                    _mm512_loadu_si512(row.cast())
                } else {
                    _mm512_maskz_loadu_epi8(mask, row.cast())
                }
            };
            let [a, b, c] = rows.map(read);
            let none = _mm512_setzero_si512();
            let (ab, c0) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, none));
            let (ab_high, c0_high) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, none));
            [
                _mm512_unpacklo_epi16(ab, c0),
                _mm512_unpackhi_epi16(ab, c0),
                _mm512_unpacklo_epi16(ab_high, c0_high),
                _mm512_unpackhi_epi16(ab_high, c0_high),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const u8) -> [__m512i; 4] {
        unsafe { load_vectors::<Self, 4>(from) }
    }

    #[inline(always)]
    unsafe fn add_columns<const N: usize>(
        sums: [__m512i; VECTORS],
        columns: [&[__m512i; 4]; N],
        weights: [&[__m512i; 4]; N],
    ) -> [__m512i; VECTORS] {
        unsafe { add_columns::<Self, 4, N>(sums, columns, weights) }
    }

    fn column_weights(weight: impl Fn(usize, usize) -> i8) -> Vec<u8> {
        quads::<Self>(weight)
    }
}

impl Dot for Avx512 {
    #[inline(always)]
    unsafe fn dot(sum: __m512i, codes: __m512i, weights: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sum, codes, weights) }
    }
}

impl Gemm for Avx512 {
    const PIXELS: [usize; 4] = [12, 12, 8, 6];
    const DEPTH: usize = 4;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn tiles(tile: &Tile<'_>, pixels: usize) {
        unsafe { conv::tiles::<Self>(tile, pixels) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const u8) -> __m512i {
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn store_tile<const N: usize>(
        sums: [__m512i; N],
        multipliers: *const f32,
        epilogue: &Epilogue,
        sum: Option<Sum>,
        channels: usize,
        out: *mut u8,
    ) {
        unsafe {
            match N {
                1 => {
                    let codes = sixteen(sums[0], multipliers, epilogue);
                    finish16(codes, epilogue, sum, channels, out);
                }
                2 => {
                    let codes = thirty_two([sums[0], sums[1]], multipliers, epilogue);
                    finish32(codes, epilogue, sum, channels, out);
                }
                3 => {
                    let codes = thirty_two([sums[0], sums[1]], multipliers, epilogue);
                    finish32(codes, epilogue, sum, 32, out);
                    let codes = sixteen(sums[2], multipliers.add(32), epilogue);
                    let sum = sum.map(|sum| sum.at(0, 32));
                    finish16(codes, epilogue, sum, channels - 32, out.add(32));
                }
                _ => {
                    let sums = [sums[0], sums[1], sums[2], sums[3]];
                    Self::store(sums, multipliers, epilogue, sum, channels, out);
                }
            }
        }
    }
}

/// The same instructions on vectors of 256 bits, for few channels of depthwise
/// convolutions.
struct Avx512Half;

impl Isa for Avx512Half {
    type Vector = __m256i;
    type Column = [__m256i; 4];
    type Half = Self;
    type Weights = [__m256i; 4];
    const LANES: usize = 8;
    const CODE_OFFSET: i32 = 0;
    const COLUMN_BYTES: usize = 128;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
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
        unsafe {
            let q = |n: usize| avx2::rounded(sums[n], multipliers.add(8 * n));
            let zero = _mm256_set1_epi16(epilogue.zero_point);
            let pair = |n| _mm256_adds_epi16(_mm256_packs_epi32(q(n), q(n + 1)), zero);
            let codes = _mm256_packus_epi16(pair(0), pair(2));
            finish32(codes, epilogue, sum, channels, out);
        }
    }

    #[inline(always)]
    unsafe fn column(rows: [*const u8; 3], channels: usize) -> [__m256i; 4] {
        unsafe {
            let mask = mask(channels) as u32;
            let read = |row: *const u8| {
                if channels == 32 {
                    _mm256_loadu_si256(row.cast())
                } else {
                    _mm256_maskz_loadu_epi8(mask, row.cast())
                }
            };
            avx2::interleaved(rows.map(read))
        }
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const u8) -> [__m256i; 4] {
        unsafe { load_vectors::<Self, 4>(from) }
    }

    #[inline(always)]
    unsafe fn add_columns<const N: usize>(
        sums: [__m256i; VECTORS],
        columns: [&[__m256i; 4]; N],
        weights: [&[__m256i; 4]; N],
    ) -> [__m256i; VECTORS] {
        unsafe { add_columns::<Self, 4, N>(sums, columns, weights) }
    }

    fn column_weights(weight: impl Fn(usize, usize) -> i8) -> Vec<u8> {
        quads::<Self>(weight)
    }
}

impl Dot for Avx512Half {
    #[inline(always)]
    unsafe fn dot(sum: __m256i, codes: __m256i, weights: __m256i) -> __m256i {
        unsafe { _mm256_dpbusd_epi32(sum, codes, weights) }
    }
}
