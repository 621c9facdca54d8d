//! Mean field inference with AVX2 and AVX-512.

use std::arch::x86_64::*;

use crate::kernels::mean_field::{BLOCK, BlurArgs, InferArgs, SendArgs};
use crate::kernels::variants::MeanFieldKernels;
use crate::kernels::vector::floats::Floats;
use crate::kernels::vector::mean_field::{blur, infer, send};

/// Eight numbers in one register.
struct Floats8;

impl Floats for Floats8 {
    type Vector = __m256;

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: &[f32; BLOCK]) -> __m256 {
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store(value: __m256, to: &mut [f32; BLOCK]) {
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value) }
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn raise(a: __m256, power: __m256) -> __m256 {
        unsafe {
            let power = _mm256_slli_epi32::<23>(_mm256_castps_si256(power));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), power))
        }
    }
    #[inline(always)]
    unsafe fn fold_max(values: [__m256; 4]) -> [f32; 4] {
        unsafe { fold(values, |a, b| _mm_max_ps(a, b)) }
    }
    #[inline(always)]
    unsafe fn fold_sum(values: [__m256; 4]) -> [f32; 4] {
        unsafe { fold(values, |a, b| _mm_add_ps(a, b)) }
    }
}

/// Folds the halves of four vectors, and again, and again.
#[inline(always)]
unsafe fn fold(values: [__m256; 4], f: impl Fn(__m128, __m128) -> __m128) -> [f32; 4] {
    // SAFETY: the caller promises the instructions, and four numbers are stored.
    unsafe {
        let [a, b, c, d] = values.map(|value| {
            f(
                _mm256_castps256_ps128(value),
                _mm256_extractf128_ps::<1>(value),
            )
        });
        let ab = f(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
        let cd = f(_mm_movelh_ps(c, d), _mm_movehl_ps(d, c));
        let mut folded = [0.0; 4];
        let even = _mm_shuffle_ps::<0b10_00_10_00>(ab, cd);
        let odd = _mm_shuffle_ps::<0b11_01_11_01>(ab, cd);
        _mm_storeu_ps(folded.as_mut_ptr(), f(even, odd));
        folded
    }
}

/// The loops compiled with these instructions.
macro_rules! compiled {
    ($name:ident, $features:literal) => {
        pub(in crate::kernels) const $name: MeanFieldKernels = {
            #[target_feature(enable = $features)]
            unsafe fn blur_with(args: BlurArgs<'_>) {
                unsafe { blur::<Floats8>(args) }
            }
            #[target_feature(enable = $features)]
            unsafe fn infer_with(args: InferArgs<'_>) {
                unsafe { infer::<Floats8>(args) }
            }
            #[target_feature(enable = $features)]
            unsafe fn send_with<const CORNERS: usize>(args: SendArgs<'_, CORNERS>) {
                unsafe { send::<Floats8, CORNERS>(args) }
            }
            MeanFieldKernels {
                // SAFETY: the table lists this for processors with the instructions.
                blur: |args| unsafe { blur_with(args) },
                // SAFETY: as above.
                infer: |args| unsafe { infer_with(args) },
                // SAFETY: as above.
                send_appearance: |args| unsafe { send_with(args) },
                // SAFETY: as above.
                send_smoothness: |args| unsafe { send_with(args) },
            }
        };
    };
}

compiled!(AVX2, "avx2");
// Twice as many registers.
compiled!(AVX512, "avx512f,avx512bw,avx512vl,avx512vnni");
