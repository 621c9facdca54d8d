//! Vectors of 32-bit integers with Advanced SIMD.

use std::arch::aarch64::*;

use crate::kernels::vector::words::Words;

/// Four integers.
pub(super) struct Words4;

impl Words for Words4 {
    type Vector = int32x4_t;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: i32) -> int32x4_t {
        unsafe { vdupq_n_s32(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const i32) -> int32x4_t {
        unsafe { vld1q_s32(from) }
    }
    #[inline(always)]
    unsafe fn store(value: int32x4_t, to: *mut i32) {
        unsafe { vst1q_s32(to, value) }
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> int32x4_t {
        unsafe {
            let bytes = vreinterpret_u8_u32(vdup_n_u32(from.cast::<u32>().read_unaligned()));
            vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))))
        }
    }
    #[inline(always)]
    unsafe fn store_high_bytes<const FROM: u32>(values: [int32x4_t; 4], to: *mut u8) {
        unsafe {
            let [a, b, c, d] = values.map(|value| vreinterpretq_u16_s32(value));
            // The high halves, then what is left of the shift.
            let shift = vdupq_n_s16(16 - FROM as i16);
            let low = vshlq_u16(vuzp2q_u16(a, b), shift);
            let high = vshlq_u16(vuzp2q_u16(c, d), shift);
            let bytes = vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
            vst1q_u8(to, bytes);
        }
    }
    #[inline(always)]
    unsafe fn select(mask: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vbslq_s32(vreinterpretq_u32_s32(mask), a, b) }
    }
    #[inline(always)]
    unsafe fn store_bytes(value: int32x4_t, to: *mut u8) {
        unsafe {
            let words = vmovn_u32(vreinterpretq_u32_s32(value));
            let bytes = vmovn_u16(vcombine_u16(words, words));
            to.cast::<u32>()
                .write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_u8(bytes)));
        }
    }
    #[inline(always)]
    unsafe fn add(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vaddq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vsubq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vmulq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn and(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vandq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn or(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vorrq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vmaxq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn shift_left<const BITS: u32>(value: int32x4_t) -> int32x4_t {
        unsafe { vshlq_s32(value, vdupq_n_s32(BITS as i32)) }
    }
    #[inline(always)]
    unsafe fn shift_right<const BITS: u32>(value: int32x4_t) -> int32x4_t {
        unsafe {
            let shifted = vshlq_u32(vreinterpretq_u32_s32(value), vdupq_n_s32(-(BITS as i32)));
            vreinterpretq_s32_u32(shifted)
        }
    }
    #[inline(always)]
    unsafe fn permute(value: int32x4_t, indices: int32x4_t) -> int32x4_t {
        unsafe {
            // Each index to the four bytes of its element.
            let first = vmulq_n_u32(vreinterpretq_u32_s32(indices), 0x0404_0404);
            let bytes = vaddq_u32(first, vdupq_n_u32(0x0302_0100));
            let picked = vqtbl1q_u8(vreinterpretq_u8_s32(value), vreinterpretq_u8_u32(bytes));
            vreinterpretq_s32_u8(picked)
        }
    }
}
