//! Advanced SIMD as every 64-bit Arm processor has it.
//!
//! Two products of bytes are summed in 16 bits (SMULL, SMLAL), and neighbouring sums
//! added to 32 bits (SADALP). Two products stay within 16 bits unless both are of -128
//! with -128.

mod gemm;

use std::arch::aarch64::*;
use std::arch::asm;

use super::codes::{Finish, read16, signed, store};
use super::conv::Conv;
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

/// A `BARE` one is for epilogues that leave nothing to do but to saturate.
struct Neon<const BARE: bool = false>;

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

impl<const BARE: bool> Isa for Neon<BARE> {
    type Vector = int32x4_t;
    type Column = [int8x16_t; 3];
    type Weights = [int8x16_t; 3];
    type Half = Self;
    const LANES: usize = 4;
    const COLUMN_BYTES: usize = 48;
    const CODE_OFFSET: i32 = 128;

    unsafe fn segment(segment: &Segment<'_>) {
        unsafe {
            if Finish::is_enough(&segment.epilogue) {
                depthwise::segment::<Neon<true>>(segment);
            } else {
                depthwise::segment::<Neon<false>>(segment);
            }
        }
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
        unsafe { store::<BARE>(sums, multipliers, epilogue, sum, channels, out) }
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
