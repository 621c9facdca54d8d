//! AVX-VNNI: 32 products of bytes an instruction.

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
    Conv::<AvxVnni>::pack(args)
}

/// Packs a depthwise convolution.
pub(in crate::kernels) fn depthwise(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Depthwise::<AvxVnni>::pack(args)
}

struct AvxVnni;

impl Isa for AvxVnni {
    type Vector = __m256i;
    type Column = [__m256i; 4];
    type Half = Self;
    type Weights = [__m256i; 4];
    const LANES: usize = 8;
    const CODE_OFFSET: i32 = 0;
    const COLUMN_BYTES: usize = 128;

    #[target_feature(enable = "avx2,fma,avxvnni")]
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
        unsafe { avx2::store::<VECTORS>(sums, multipliers, epilogue, sum, channels, out) }
    }

    #[inline(always)]
    unsafe fn column(rows: [*const u8; 3], channels: usize) -> [__m256i; 4] {
        unsafe { avx2::interleaved(avx2::rows(rows, channels)) }
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

impl Dot for AvxVnni {
    #[inline(always)]
    unsafe fn dot(sum: __m256i, codes: __m256i, weights: __m256i) -> __m256i {
        unsafe { _mm256_dpbusd_avx_epi32(sum, codes, weights) }
    }
}

impl Gemm for AvxVnni {
    const PIXELS: [usize; 4] = [6, 6, 0, 0];
    const DEPTH: usize = 4;

    #[target_feature(enable = "avx2,fma,avxvnni")]
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
        unsafe { avx2::store::<N>(sums, multipliers, epilogue, sum, channels, out) }
    }
}
