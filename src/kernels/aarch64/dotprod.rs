//! The dot product of Armv8.2: 16 products of bytes an instruction.

mod gemm;

use std::arch::aarch64::*;
use std::arch::asm;

use super::codes::{read16, signed, store};
use super::conv::Conv;
use crate::kernels::ConvArgs;
use crate::kernels::variants::Convolution;
use crate::kernels::vector::depthwise::{self, Depthwise, Segment};
use crate::kernels::vector::epilogue::{Epilogue, Sum};
use crate::kernels::vector::isa::{Isa, VECTORS};

/// Packs a convolution.
pub(in crate::kernels) fn conv(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Conv::<Dotprod>::pack(args)
}

/// Packs a depthwise convolution.
pub(in crate::kernels) fn depthwise(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Depthwise::<Dotprod>::pack(args)
}

struct Dotprod;

/// In each 32-bit lane `sum + Σ a * b` over its four bytes (SDOT).
#[inline(always)]
unsafe fn dot(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: registers in, registers out; the caller has the instruction.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

impl Isa for Dotprod {
    type Vector = int32x4_t;
    type Column = [int8x16_t; VECTORS];
    type Weights = [int8x16_t; VECTORS];
    type Half = Self;
    const LANES: usize = 4;
    const COLUMN_BYTES: usize = 64;
    const CODE_OFFSET: i32 = 128;

    #[target_feature(enable = "dotprod")]
    unsafe fn segment(segment: &Segment<'_>) {
        unsafe { depthwise::segment::<Self>(segment) }
    }

    fn channel(_: usize, vector: usize, lane: usize) -> usize {
        vector * 4 + lane
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> int32x4_t {
        unsafe { vld1q_s32(from.cast()) }
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
        unsafe { store(sums, multipliers, epilogue, sum, channels, out) }
    }

    #[inline(always)]
    unsafe fn column(rows: [*const u8; 3], channels: usize) -> [int8x16_t; VECTORS] {
        unsafe {
            let [a, b, c] = rows.map(|row| signed(read16(row, channels)));
            let none = vdupq_n_s8(0);
            let zip = |a, b| {
                let (a, b) = (vreinterpretq_s16_s8(a), vreinterpretq_s16_s8(b));
                (
                    vreinterpretq_s8_s16(vzip1q_s16(a, b)),
                    vreinterpretq_s8_s16(vzip2q_s16(a, b)),
                )
            };
            let low = zip(vzip1q_s8(a, b), vzip1q_s8(c, none));
            let high = zip(vzip2q_s8(a, b), vzip2q_s8(c, none));
            [low.0, low.1, high.0, high.1]
        }
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const u8) -> [int8x16_t; VECTORS] {
        std::array::from_fn(|n| unsafe { vld1q_s8(from.add(16 * n).cast()) })
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
        let quads = (0..16).map(|c| [weight(0, c), weight(1, c), weight(2, c), 0]);
        quads.flatten().map(|weight| weight as u8).collect()
    }
}
