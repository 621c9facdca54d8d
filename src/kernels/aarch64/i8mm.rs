//! The matrix products of Armv8.6 (FEAT_I8MM): 32 products of bytes an instruction, and of
//! codes as they are with signed weights.

mod gemm;

use std::arch::aarch64::*;
use std::arch::asm;

use super::codes::{Finish, read16};
use super::conv::Conv;
use super::dotprod::Dotprod;
use super::windows::{self, PLACES};
use crate::kernels::ConvArgs;
use crate::kernels::variants::Convolution;
use crate::kernels::vector::depthwise::{self, Columns, Depthwise, Segment, Windows};
use crate::kernels::vector::epilogue::{Epilogue, Sum};
use crate::kernels::vector::isa::{Isa, VECTORS};

/// Packs a convolution.
pub(in crate::kernels) fn conv(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Conv::<I8mm>::pack(args)
}

/// Packs a depthwise convolution.
pub(in crate::kernels) fn depthwise(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Depthwise::<I8mm>::pack(args)
}

/// A `BARE` one is for epilogues that leave nothing to do but to saturate.
struct I8mm<const BARE: bool = false>;

/// In each 32-bit lane `sum + Σ codes * weights` over its four bytes (USDOT).
#[inline(always)]
unsafe fn dot(sum: int32x4_t, codes: int8x16_t, weights: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: registers in, registers out; the caller has the instruction.
    unsafe {
        asm!(
            "usdot {sum:v}.4s, {codes:v}.16b, {weights:v}.16b",
            sum = inout(vreg) sum, codes = in(vreg) codes, weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

impl<const BARE: bool> Isa for I8mm<BARE> {
    type Vector = int32x4_t;
    type Column = [int8x16_t; VECTORS];
    type Weights = [int8x16_t; VECTORS];
    type Half = Self;
    const LANES: usize = 4;
    const COLUMN_BYTES: usize = <Dotprod>::COLUMN_BYTES;
    const CODE_OFFSET: i32 = 0;

    #[target_feature(enable = "i8mm")]
    unsafe fn segment(segment: &Segment<'_>) {
        unsafe {
            if Finish::is_enough(&segment.epilogue) {
                depthwise::segment::<I8mm<true>>(segment);
            } else {
                depthwise::segment::<I8mm<false>>(segment);
            }
        }
    }

    #[inline(always)]
    unsafe fn slide<const PLAIN: bool>(
        columns: &mut Columns<'_, '_, PLAIN>,
        windows: &Windows<'_, Self>,
        held: [Self::Column; 2],
    ) -> [Self::Column; 2] {
        unsafe {
            if PLAIN {
                windows::slide::<Self, PLAIN, BARE>(columns, windows, held)
            } else {
                depthwise::slide(columns, windows, held)
            }
        }
    }

    #[inline(always)]
    unsafe fn stride<const PLAIN: bool>(
        columns: &mut Columns<'_, '_, PLAIN>,
        windows: &Windows<'_, Self>,
        held: Self::Column,
    ) -> Self::Column {
        unsafe {
            if PLAIN {
                windows::stride::<Self, PLAIN, BARE>(columns, windows, held)
            } else {
                depthwise::stride(columns, windows, held)
            }
        }
    }

    fn channel(vectors: usize, vector: usize, lane: usize) -> usize {
        <Dotprod>::channel(vectors, vector, lane)
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> int32x4_t {
        unsafe { <Dotprod>::load(from) }
    }

    #[inline(always)]
    unsafe fn store(
        sums: [int32x4_t; VECTORS],
        multipliers: *const f32,
        epilogue: &Epilogue,
        sum: Option<Sum>,
        channels: usize,
        out: *mut u8,
    ) {
        unsafe { Dotprod::<BARE>::store(sums, multipliers, epilogue, sum, channels, out) }
    }

    #[inline(always)]
    unsafe fn column(rows: [*const u8; 3], channels: usize) -> [int8x16_t; VECTORS] {
        unsafe {
            let [a, b, c] = rows.map(|row| vreinterpretq_s8_u8(read16(row, channels)));
            let rows = int8x16x3_t(a, b, c);
            std::array::from_fn(|n| vqtbl3q_s8(rows, vld1q_u8(PLACES[n].as_ptr())))
        }
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const u8) -> [int8x16_t; VECTORS] {
        unsafe { <Dotprod>::load_weights(from) }
    }

    #[inline(always)]
    unsafe fn add_columns<const N: usize>(
        mut sums: [int32x4_t; VECTORS],
        columns: [&[int8x16_t; VECTORS]; N],
        weights: [&[int8x16_t; VECTORS]; N],
    ) -> [int32x4_t; VECTORS] {
        for (column, weights) in columns.into_iter().zip(weights) {
            for n in 0..VECTORS {
                // SAFETY: the caller has the instruction.
                sums[n] = unsafe { dot(sums[n], column[n], weights[n]) };
            }
        }
        sums
    }

    fn column_weights(weight: impl Fn(usize, usize) -> i8) -> Vec<u8> {
        <Dotprod>::column_weights(weight)
    }
}
