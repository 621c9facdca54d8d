//! The matrix products of Armv8.6 (FEAT_I8MM): 32 products of bytes an instruction, and of
//! codes as they are with signed weights.

mod gemm;

use std::arch::aarch64::*;
use std::arch::asm;

use super::conv::Conv;
use super::quads::{self, Dot, Quads};
use crate::kernels::ConvArgs;
use crate::kernels::variants::Convolution;
use crate::kernels::vector::depthwise::{Depthwise, Segment};

/// Packs a convolution.
pub(in crate::kernels) fn conv(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Conv::<I8mm>::pack(args)
}

/// Packs a depthwise convolution.
pub(in crate::kernels) fn depthwise(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Depthwise::<I8mm>::pack(args)
}

type I8mm = Quads<Usdot>;

/// Products of codes as they are with signed weights.
struct Usdot;

impl Dot for Usdot {
    const CODE_OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn codes(codes: uint8x16_t) -> int8x16_t {
        unsafe { vreinterpretq_s8_u8(codes) }
    }

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

    #[target_feature(enable = "i8mm")]
    unsafe fn segment(segment: &Segment<'_>) {
        unsafe { quads::segment::<Self>(segment) }
    }
}
