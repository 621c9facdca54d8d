//! Advanced SIMD as every 64-bit Arm processor has it.
//!
//! Two products of bytes are summed in 16 bits (SMULL, SMLAL), and neighbouring sums
//! added to 32 bits (SADALP). Two products stay within 16 bits unless both are of -128
//! with -128.

use std::arch::aarch64::*;
use std::arch::asm;

use super::codes::{Finish, read16, signed, store};
use super::conv::{Conv, Gemm, Product, STEP};
use crate::kernels::ConvArgs;
use crate::kernels::variants::Convolution;
use crate::kernels::vector::depthwise::{self, Depthwise, Segment};
use crate::kernels::vector::epilogue::{self, Epilogue, Sum};
use crate::kernels::vector::isa::{Isa, VECTORS};

/// Packs a convolution.
pub(in crate::kernels) fn conv(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Conv::<Neon>::pack(args)
}

/// Packs a depthwise convolution; `None` also where a weight is -128.
pub(in crate::kernels) fn depthwise(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    if epilogue::weights(args)?.contains(&i8::MIN) {
        return None;
    }
    Depthwise::<Neon>::pack(args)
}

struct Neon;

impl Gemm for Neon {
    const PIXELS: usize = 4;
    const OUTPUTS: usize = 4;
    const RUN: usize = STEP;

    fn is_exact(weights: &[i8]) -> bool {
        // The two products that are summed in 16 bits are eight weights apart.
        weights.chunks(STEP).all(|step| {
            let (low, high) = step.split_at(step.len().min(STEP / 2));
            !low.iter()
                .zip(high)
                .any(|pair| pair == (&i8::MIN, &i8::MIN))
        })
    }

    fn weight_bytes(depth: usize) -> usize {
        depth.next_multiple_of(STEP) * Self::OUTPUTS
    }

    fn weight_place(k: usize, o: usize) -> usize {
        k * Self::OUTPUTS + o * STEP
    }

    unsafe fn products(block: &Product<'_>, pixels: usize, tiles: usize) {
        unsafe {
            match pixels {
                1 => products::<1>(block, tiles),
                2 => products::<2>(block, tiles),
                3 => products::<3>(block, tiles),
                _ => products::<4>(block, tiles),
            }
        }
    }
}

/// The codes of tiles of `M` pixels.
#[inline(always)]
unsafe fn products<const M: usize>(block: &Product<'_>, tiles: usize) {
    unsafe {
        let steps = block.depth / STEP;
        let rest = block.depth % STEP;
        let (mut codes, mut out) = (block.codes, block.out);
        for _ in 0..tiles {
            let mut sums = [[vdupq_n_s32(0); 4]; M];
            let mut weights = block.weights;
            if steps > 0 {
                step::<M, true>(&mut sums, codes, weights);
                codes = codes.add(M * STEP);
                weights = weights.add(4 * STEP);
                for _ in 0..(steps - 1) / 2 {
                    step::<M, false>(&mut sums, codes, weights);
                    step::<M, false>(&mut sums, codes.add(M * STEP), weights.add(4 * STEP));
                    codes = codes.add(2 * M * STEP);
                    weights = weights.add(8 * STEP);
                }
                if steps.is_multiple_of(2) {
                    step::<M, false>(&mut sums, codes, weights);
                    codes = codes.add(M * STEP);
                    weights = weights.add(4 * STEP);
                }
            }
            if rest > 8 {
                step::<M, false>(&mut sums, codes, weights);
                codes = codes.add(M * STEP);
            } else if rest > 0 {
                let x: [int8x8_t; M] = std::array::from_fn(|m| vld1_s8(codes.add(m * STEP)));
                for o in 0..4 {
                    let w = vld1_s8(weights.add(o * STEP));
                    for (sums, x) in sums.iter_mut().zip(x) {
                        sums[o] = vpadalq_s16(sums[o], vmull_s8(x, w));
                    }
                }
                codes = codes.add(M * STEP);
            }

            let biases = vld1q_s32(block.numbers.cast());
            let multipliers = vld1q_f32(block.numbers.add(16).cast());
            let total = |m: usize| {
                let [a, b, c, d] = sums[m.min(M - 1)];
                vaddq_s32(vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)), biases)
            };
            let finish = Finish::new(block.epilogue);
            if M > 2 {
                let totals = [total(0), total(1), total(2), total(3)];
                let codes = vreinterpretq_u32_u8(finish.sixteen(totals, [multipliers; 4]));
                store4(vgetq_lane_u32::<0>(codes), block, &mut out);
                store4(vgetq_lane_u32::<1>(codes), block, &mut out);
                store4(vgetq_lane_u32::<2>(codes), block, &mut out);
                if M > 3 {
                    store4(vgetq_lane_u32::<3>(codes), block, &mut out);
                }
            } else {
                let codes = finish.eight([total(0), total(1)], [multipliers; 2]);
                let codes = vreinterpret_u32_u8(codes);
                store4(vget_lane_u32::<0>(codes), block, &mut out);
                if M > 1 {
                    store4(vget_lane_u32::<1>(codes), block, &mut out);
                }
            }
        }
    }
}

/// Adds the products of `STEP` codes of each pixel, or begins with them.
#[inline(always)]
unsafe fn step<const M: usize, const FIRST: bool>(
    sums: &mut [[int32x4_t; 4]; M],
    codes: *const i8,
    weights: *const i8,
) {
    unsafe {
        let x: [int8x16_t; M] = std::array::from_fn(|m| vld1q_s8(codes.add(m * STEP)));
        for o in 0..4 {
            let w = vld1q_s8(weights.add(o * STEP));
            for (sums, &x) in sums.iter_mut().zip(&x) {
                let products = vmull_s8(vget_low_s8(x), vget_low_s8(w));
                let products = vmlal_high_s8(products, x, w);
                sums[o] = if FIRST {
                    vpaddlq_s16(products)
                } else {
                    vpadalq_s16(sums[o], products)
                };
            }
        }
    }
}

/// The products of the upper halves (SMULL2).
///
/// Written as an instruction, because the compiler, given the intrinsic, keeps the upper
/// halves of weights in registers of their own, and runs out of them.
#[inline(always)]
unsafe fn multiply_high(a: int8x16_t, b: int8x16_t) -> int16x8_t {
    let products: int16x8_t;
    // SAFETY: registers in, registers out.
    unsafe {
        asm!(
            "smull2 {products:v}.8h, {a:v}.16b, {b:v}.16b",
            products = lateout(vreg) products, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    products
}

/// The same, added to other products (SMLAL2).
#[inline(always)]
unsafe fn multiply_add_high(products: int16x8_t, a: int8x16_t, b: int8x16_t) -> int16x8_t {
    let mut products = products;
    // SAFETY: registers in, registers out.
    unsafe {
        asm!(
            "smlal2 {products:v}.8h, {a:v}.16b, {b:v}.16b",
            products = inout(vreg) products, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    products
}

/// Stores the first of four codes of a pixel, as many as there are channels, and goes on
/// to the next pixel.
#[inline(always)]
unsafe fn store4(codes: u32, block: &Product<'_>, out: &mut *mut u8) {
    unsafe {
        if block.channels == 4 {
            out.cast::<u32>().write_unaligned(codes);
        } else {
            let bytes = codes.to_le_bytes();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), *out, block.channels);
        }
        *out = out.add(block.out_stride);
    }
}

impl Isa for Neon {
    type Vector = int32x4_t;
    type Column = [int8x16_t; 3];
    type Weights = [int8x16_t; 3];
    type Half = Self;
    const LANES: usize = 4;
    const COLUMN_BYTES: usize = 48;
    const CODE_OFFSET: i32 = 128;

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
    unsafe fn column(rows: [*const u8; 3], channels: usize) -> [int8x16_t; 3] {
        rows.map(|row| unsafe { signed(read16(row, channels)) })
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const u8) -> [int8x16_t; 3] {
        std::array::from_fn(|n| unsafe { vld1q_s8(from.add(16 * n).cast()) })
    }

    #[inline(always)]
    unsafe fn add_columns<const N: usize>(
        mut sums: [int32x4_t; VECTORS],
        columns: [&[int8x16_t; 3]; N],
        weights: [&[int8x16_t; 3]; N],
    ) -> [int32x4_t; VECTORS] {
        unsafe {
            let tap = |t: usize| (columns[t / 3][t % 3], weights[t / 3][t % 3]);
            for t in (0..3 * N).step_by(2) {
                let (x, w) = tap(t);
                let mut low = vmull_s8(vget_low_s8(x), vget_low_s8(w));
                let mut high = multiply_high(x, w);
                if t + 1 < 3 * N {
                    let (x, w) = tap(t + 1);
                    low = vmlal_s8(low, vget_low_s8(x), vget_low_s8(w));
                    high = multiply_add_high(high, x, w);
                }
                sums[0] = vaddw_s16(sums[0], vget_low_s16(low));
                sums[1] = vaddw_high_s16(sums[1], low);
                sums[2] = vaddw_s16(sums[2], vget_low_s16(high));
                sums[3] = vaddw_high_s16(sums[3], high);
            }
        }
        sums
    }

    fn column_weights(weight: impl Fn(usize, usize) -> i8) -> Vec<u8> {
        let rows = (0..3).flat_map(|row| (0..16).map(move |c| (row, c)));
        rows.map(|(row, c)| weight(row, c) as u8).collect()
    }
}
