//! The dot product of Armv8.2: 16 products of bytes an instruction.

mod gemm;

use std::arch::aarch64::*;
use std::arch::asm;

use super::codes::signed;
use super::conv::Conv;
use super::quads::{self, Dot, Quads};
use crate::kernels::ConvArgs;
use crate::kernels::variants::Convolution;
use crate::kernels::vector::depthwise::{Depthwise, Segment};

/// Packs a convolution.
pub(in crate::kernels) fn conv(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Conv::<Dotprod>::pack(args)
}

/// Packs a depthwise convolution.
pub(in crate::kernels) fn depthwise(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Depthwise::<Dotprod>::pack(args)
}

type Dotprod = Quads<Sdot>;

/// Products of signed bytes.
struct Sdot;

impl Dot for Sdot {
    const CODE_OFFSET: i32 = 128;

    #[inline(always)]
    unsafe fn codes(codes: uint8x16_t) -> int8x16_t {
        unsafe { signed(codes) }
    }

    #[inline(always)]
    unsafe fn dot(sum: int32x4_t, codes: int8x16_t, weights: int8x16_t) -> int32x4_t {
        let mut sum = sum;
        // SAFETY: registers in, registers out; the caller has the instruction.
        unsafe {
            asm!(
                "sdot {sum:v}.4s, {codes:v}.16b, {weights:v}.16b",
                sum = inout(vreg) sum, codes = in(vreg) codes, weights = in(vreg) weights,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sum
    }

    #[target_feature(enable = "dotprod")]
    unsafe fn segment(segment: &Segment<'_>) {
        unsafe { quads::segment::<Self>(segment) }
    }
}
