//! The dot product of Armv8.2: 16 products of bytes an instruction.

use std::arch::aarch64::*;
use std::arch::asm;

use super::codes::{Finish, read16, signed, store, store8};
use super::conv::{Conv, Gemm, Product, STEP};
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

/// As [`dot`], with four bytes of `b` for all lanes.
#[inline(always)]
unsafe fn dot_lane<const LANE: usize>(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: registers in, registers out; the caller has the instruction.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.4b[{lane}]",
            sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

impl Gemm for Dotprod {
    const PIXELS: usize = 8;
    const OUTPUTS: usize = 8;
    const RUN: usize = 4;

    fn is_exact(_: &[i8]) -> bool {
        true
    }

    fn weight_bytes(depth: usize) -> usize {
        depth.div_ceil(4) * 4 * Self::OUTPUTS
    }

    fn weight_place(k: usize, o: usize) -> usize {
        k * Self::OUTPUTS + o * Self::RUN
    }

    #[target_feature(enable = "dotprod")]
    unsafe fn products(block: &Product<'_>, pixels: usize, tiles: usize) {
        unsafe {
            match pixels {
                1 => products::<1>(block, tiles),
                2 => products::<2>(block, tiles),
                3 => products::<3>(block, tiles),
                4 => products::<4>(block, tiles),
                5 => products::<5>(block, tiles),
                6 => products::<6>(block, tiles),
                7 => products::<7>(block, tiles),
                _ => products::<8>(block, tiles),
            }
        }
    }
}

/// The codes of tiles of `M` pixels.
#[inline(always)]
unsafe fn products<const M: usize>(block: &Product<'_>, tiles: usize) {
    unsafe {
        let steps = block.depth / STEP;
        let rest = (block.depth % STEP).div_ceil(4);
        let (mut codes, mut out) = (block.codes, block.out);
        for _ in 0..tiles {
            let biases = block.numbers.cast::<i32>();
            let mut sums = [[vld1q_s32(biases), vld1q_s32(biases.add(4))]; M];
            let mut weights = block.weights;
            for _ in 0..steps / 2 {
                step::<M>(&mut sums, codes, weights);
                step::<M>(&mut sums, codes.add(M * STEP), weights.add(128));
                codes = codes.add(2 * M * STEP);
                weights = weights.add(256);
            }
            if steps % 2 == 1 {
                step::<M>(&mut sums, codes, weights);
                codes = codes.add(M * STEP);
                weights = weights.add(128);
            }
            if rest > 0 {
                let x: [int8x16_t; M] = std::array::from_fn(|m| vld1q_s8(codes.add(m * STEP)));
                lane::<M, 0>(&mut sums, &x, weights);
                if rest > 1 {
                    lane::<M, 1>(&mut sums, &x, weights.add(32));
                }
                if rest > 2 {
                    lane::<M, 2>(&mut sums, &x, weights.add(64));
                }
                if rest > 3 {
                    lane::<M, 3>(&mut sums, &x, weights.add(96));
                }
                codes = codes.add(M * STEP);
            }

            let finish = Finish::new(block.epilogue);
            let multipliers = block.numbers.add(32).cast::<f32>();
            let (a, b) = (vld1q_f32(multipliers), vld1q_f32(multipliers.add(4)));
            for m in (0..M).step_by(2) {
                let [first, second] = [sums[m], sums[(m + 1).min(M - 1)]];
                let sums = [first[0], first[1], second[0], second[1]];
                let codes = finish.sixteen(sums, [a, b, a, b]);
                store8(vget_low_u8(codes), None, block.channels, out);
                out = out.add(block.out_stride);
                if m + 1 < M {
                    store8(vget_high_u8(codes), None, block.channels, out);
                    out = out.add(block.out_stride);
                }
            }
        }
    }
}

/// Adds the products of `STEP` codes of each pixel.
#[inline(always)]
unsafe fn step<const M: usize>(
    sums: &mut [[int32x4_t; 2]; M],
    codes: *const i8,
    weights: *const i8,
) {
    unsafe {
        let x: [int8x16_t; M] = std::array::from_fn(|m| vld1q_s8(codes.add(m * STEP)));
        lane::<M, 0>(sums, &x, weights);
        lane::<M, 1>(sums, &x, weights.add(32));
        lane::<M, 2>(sums, &x, weights.add(64));
        lane::<M, 3>(sums, &x, weights.add(96));
    }
}

/// Adds the products of four codes of each pixel.
#[inline(always)]
unsafe fn lane<const M: usize, const LANE: usize>(
    sums: &mut [[int32x4_t; 2]; M],
    codes: &[int8x16_t; M],
    weights: *const i8,
) {
    unsafe {
        let (low, high) = (vld1q_s8(weights), vld1q_s8(weights.add(16)));
        for (sums, &codes) in sums.iter_mut().zip(codes) {
            sums[0] = dot_lane::<LANE>(sums[0], low, codes);
            sums[1] = dot_lane::<LANE>(sums[1], high, codes);
        }
    }
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
