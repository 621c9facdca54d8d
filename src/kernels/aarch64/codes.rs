//! From sums to codes, and codes to signed bytes.

use std::arch::aarch64::*;
use std::arch::asm;

use crate::kernels::vector::epilogue::{Epilogue, Sum};

/// Reads the first `count` of 16 bytes, zeros for the rest.
#[inline(always)]
pub(super) unsafe fn read16(from: *const u8, count: usize) -> uint8x16_t {
    unsafe {
        if count >= 16 {
            return vld1q_u8(from);
        }
        if count == 8 {
            return vcombine_u8(vld1_u8(from), vdup_n_u8(0));
        }
        let mut bytes = [0u8; 16];
        std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count);
        vld1q_u8(bytes.as_ptr())
    }
}

/// Reads the first `count` of 8 bytes, zeros for the rest.
#[inline(always)]
pub(super) unsafe fn read8(from: *const u8, count: usize) -> uint8x8_t {
    unsafe {
        if count >= 8 {
            return vld1_u8(from);
        }
        let mut bytes = [0u8; 8];
        std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count);
        vld1_u8(bytes.as_ptr())
    }
}

/// Codes less 128.
#[inline(always)]
pub(super) unsafe fn signed(codes: uint8x16_t) -> int8x16_t {
    unsafe { vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(0x80))) }
}

/// An epilogue's numbers in registers. A `BARE` one has zero point 0 and codes that may
/// be anything: saturation does what is left to do.
#[derive(Clone, Copy)]
pub(super) struct Finish<const BARE: bool> {
    pub zero: int16x8_t,
    pub low: uint8x16_t,
    pub high: uint8x16_t,
}

impl Finish<true> {
    /// Whether a bare one does.
    pub(super) fn is_enough(epilogue: &Epilogue) -> bool {
        epilogue.zero_point == 0 && epilogue.clamp == [0, u8::MAX]
    }
}

impl<const BARE: bool> Finish<BARE> {
    #[inline(always)]
    pub(super) unsafe fn new(epilogue: &Epilogue) -> Self {
        let [low, high] = epilogue.clamp;
        unsafe {
            Self {
                zero: vdupq_n_s16(epilogue.zero_point),
                low: vdupq_n_u8(low),
                high: vdupq_n_u8(high),
            }
        }
    }

    /// Eight sums to 16-bit numbers that narrow to codes with saturation.
    #[inline(always)]
    unsafe fn words(self, sums: [int32x4_t; 2], multipliers: [float32x4_t; 2]) -> int16x8_t {
        unsafe {
            let rounded =
                |n: usize| vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums[n]), multipliers[n]));
            let words = vqmovn_high_s32(vqmovn_s32(rounded(0)), rounded(1));
            if BARE {
                words
            } else {
                vqaddq_s16(words, self.zero)
            }
        }
    }

    /// Sixteen codes.
    #[inline(always)]
    pub(super) unsafe fn sixteen(
        self,
        sums: [int32x4_t; 4],
        [a, b, c, d]: [float32x4_t; 4],
    ) -> uint8x16_t {
        unsafe {
            let low = vqmovun_s16(self.words([sums[0], sums[1]], [a, b]));
            let codes = vqmovun_high_s16(low, self.words([sums[2], sums[3]], [c, d]));
            if BARE {
                codes
            } else {
                vminq_u8(vmaxq_u8(codes, self.low), self.high)
            }
        }
    }
}

/// Stores half of sixteen codes, and goes on `stride` bytes.
///
/// Written as an instruction, because the compiler steps with one of its own.
#[inline(always)]
pub(super) unsafe fn store_half<const HALF: usize>(
    codes: uint8x16_t,
    to: &mut *mut u8,
    stride: usize,
) {
    // SAFETY: the caller promises room for eight codes.
    unsafe {
        asm!(
            "st1 {{{codes:v}.d}}[{half}], [{to}], {stride}",
            codes = in(vreg) codes, half = const HALF,
            to = inout(reg) *to, stride = in(reg) stride,
            options(nostack, preserves_flags)
        );
    }
}

/// The same with a quarter of them.
#[inline(always)]
pub(super) unsafe fn store_quarter<const QUARTER: usize>(
    codes: uint8x16_t,
    to: &mut *mut u8,
    stride: usize,
) {
    // SAFETY: the caller promises room for four codes.
    unsafe {
        asm!(
            "st1 {{{codes:v}.s}}[{quarter}], [{to}], {stride}",
            codes = in(vreg) codes, quarter = const QUARTER,
            to = inout(reg) *to, stride = in(reg) stride,
            options(nostack, preserves_flags)
        );
    }
}

/// Eight codes and the other summand's to the sums' codes.
#[inline(always)]
pub(super) unsafe fn added(codes: uint8x8_t, other: uint8x8_t, sum: &Sum) -> uint8x8_t {
    unsafe {
        let (first, second) = match sum.is_first {
            true => (vmovl_u8(other), vmovl_u8(codes)),
            false => (vmovl_u8(codes), vmovl_u8(other)),
        };
        let [first_scale, second_scale] = sum.scales;
        let mix = |first: uint32x4_t, second: uint32x4_t| {
            let offset = vdupq_n_f32(sum.offset);
            let value = vfmaq_n_f32(offset, vcvtq_f32_u32(second), second_scale);
            vcvtnq_s32_f32(vfmaq_n_f32(value, vcvtq_f32_u32(first), first_scale))
        };
        let low = mix(
            vmovl_u16(vget_low_u16(first)),
            vmovl_u16(vget_low_u16(second)),
        );
        let high = mix(vmovl_high_u16(first), vmovl_high_u16(second));
        let codes = vqmovun_s16(vqmovn_high_s32(vqmovn_s32(low), high));
        let [low, high] = sum.clamp;
        vmin_u8(vmax_u8(codes, vdup_n_u8(low)), vdup_n_u8(high))
    }
}

/// Adds the other summand to eight codes, and stores the first `channels`.
#[inline(always)]
pub(super) unsafe fn store8(codes: uint8x8_t, sum: Option<Sum>, channels: usize, out: *mut u8) {
    unsafe {
        let mut codes = codes;
        if let Some(sum) = sum {
            let other = read8(sum.data, channels);
            codes = added(codes, other, &sum);
        }
        if channels >= 8 {
            vst1_u8(out, codes);
        } else {
            let mut bytes = [0u8; 8];
            vst1_u8(bytes.as_mut_ptr(), codes);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), out, channels);
        }
    }
}

/// Requantizes the sums of sixteen channels, adds the other summand, and stores the first
/// `channels` codes.
#[inline(always)]
pub(super) unsafe fn store<const BARE: bool>(
    sums: [int32x4_t; 4],
    multipliers: *const f32,
    epilogue: &Epilogue,
    sum: Option<Sum>,
    channels: usize,
    out: *mut u8,
) {
    unsafe {
        let multipliers = std::array::from_fn(|n| vld1q_f32(multipliers.add(4 * n)));
        let codes = Finish::<BARE>::new(epilogue).sixteen(sums, multipliers);
        if channels >= 16 && sum.is_none() {
            vst1q_u8(out, codes);
            return;
        }
        store8(vget_low_u8(codes), sum, channels, out);
        if channels > 8 {
            let sum = sum.map(|sum| sum.at(0, 8));
            store8(vget_high_u8(codes), sum, channels - 8, out.add(8));
        }
    }
}
