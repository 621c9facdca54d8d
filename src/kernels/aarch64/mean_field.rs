//! Mean field inference with Advanced SIMD.

use std::arch::aarch64::*;

use crate::kernels::mean_field::BLOCK;
use crate::kernels::variants::MeanFieldKernels;
use crate::kernels::vector::floats::Floats;
use crate::kernels::vector::mean_field::{blur, infer, send};

/// Eight numbers in two registers.
struct Floats8;

/// Both halves.
#[inline(always)]
fn each(
    a: float32x4x2_t,
    b: float32x4x2_t,
    f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t,
) -> float32x4x2_t {
    float32x4x2_t(f(a.0, b.0), f(a.1, b.1))
}

impl Floats for Floats8 {
    type Vector = float32x4x2_t;

    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4x2_t {
        unsafe { float32x4x2_t(vdupq_n_f32(value), vdupq_n_f32(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: &[f32; BLOCK]) -> float32x4x2_t {
        unsafe { vld1q_f32_x2(from.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store(value: float32x4x2_t, to: &mut [f32; BLOCK]) {
        unsafe { vst1q_f32_x2(to.as_mut_ptr(), value) }
    }
    #[inline(always)]
    unsafe fn add(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        unsafe { each(a, b, |a, b| vaddq_f32(a, b)) }
    }
    #[inline(always)]
    unsafe fn sub(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        unsafe { each(a, b, |a, b| vsubq_f32(a, b)) }
    }
    #[inline(always)]
    unsafe fn mul(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        unsafe { each(a, b, |a, b| vmulq_f32(a, b)) }
    }
    #[inline(always)]
    unsafe fn max(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        unsafe { each(a, b, |a, b| vmaxq_f32(a, b)) }
    }
    #[inline(always)]
    unsafe fn raise(a: float32x4x2_t, power: float32x4x2_t) -> float32x4x2_t {
        unsafe {
            each(a, power, |a, power| {
                let power = vshlq_n_u32::<23>(vreinterpretq_u32_f32(power));
                vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(a), power))
            })
        }
    }
    #[inline(always)]
    unsafe fn fold_max(values: [float32x4x2_t; 4]) -> [f32; 4] {
        unsafe { fold(values, |a, b| vmaxq_f32(a, b)) }
    }
    #[inline(always)]
    unsafe fn fold_sum(values: [float32x4x2_t; 4]) -> [f32; 4] {
        unsafe { fold(values, |a, b| vaddq_f32(a, b)) }
    }
}

/// Folds the halves of four vectors, and again, and again.
#[inline(always)]
unsafe fn fold(
    values: [float32x4x2_t; 4],
    f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t,
) -> [f32; 4] {
    // SAFETY: every processor of this architecture has the instructions, and four
    // numbers are stored.
    unsafe {
        let [a, b, c, d] = values.map(|value| vreinterpretq_f64_f32(f(value.0, value.1)));
        let halves = |a, b| {
            f(
                vreinterpretq_f32_f64(vzip1q_f64(a, b)),
                vreinterpretq_f32_f64(vzip2q_f64(a, b)),
            )
        };
        let (ab, cd) = (halves(a, b), halves(c, d));
        let mut folded = [0.0; 4];
        let (even, odd) = (vuzp1q_f32(ab, cd), vuzp2q_f32(ab, cd));
        vst1q_f32(folded.as_mut_ptr(), f(even, odd));
        folded
    }
}

/// See [`MeanFieldKernels`].
pub(in crate::kernels) const MEAN_FIELD: MeanFieldKernels = MeanFieldKernels {
    // SAFETY: every processor of this architecture has the instructions.
    blur: |args| unsafe { blur::<Floats8>(args) },
    // SAFETY: as above.
    infer: |args| unsafe { infer::<Floats8>(args) },
    // SAFETY: as above.
    send_appearance: |args| unsafe { send::<Floats8, 6>(args) },
    // SAFETY: as above.
    send_smoothness: |args| unsafe { send::<Floats8, 3>(args) },
};
