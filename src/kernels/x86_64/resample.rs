//! Pictures of another size, and the classes of one, with AVX2 and AVX-512.

use super::words::{Words8, Words16};
use crate::kernels::scalar;
use crate::kernels::scratch::Scratch;
use crate::kernels::variants::Resampler;
use crate::kernels::vector::resample::{argmax, argmax_scratch, resize, resize_scratch};
use crate::kernels::{Comparison, Coordinates, Resample, Source, Target};

/// Pictures of another size with AVX2.
pub(in crate::kernels) const RESIZE_AVX2: Resampler = Resampler {
    run: |source, resample, target, scratch| match resample {
        // SAFETY: the table lists this for processors with AVX2.
        Resample::Bilinear(coordinates) | Resample::Unrounded(coordinates) => unsafe {
            resize_avx2(source, coordinates, target, scratch);
        },
        Resample::Nearest(..) => scalar::resize(source, resample, target, scratch),
    },
    scratch: resize_scratch,
};

/// Pictures of another size with AVX-512.
pub(in crate::kernels) const RESIZE_AVX512: Resampler = Resampler {
    run: |source, resample, target, scratch| match resample {
        // SAFETY: the table lists this for processors with AVX-512.
        Resample::Bilinear(coordinates) | Resample::Unrounded(coordinates) => unsafe {
            resize_avx512(source, coordinates, target, scratch);
        },
        Resample::Nearest(..) => scalar::resize(source, resample, target, scratch),
    },
    scratch: resize_scratch,
};

/// Classes with AVX2.
pub(in crate::kernels) const ARGMAX_AVX2: Resampler = Resampler {
    run: |source, resample, target, scratch| match resample {
        Resample::Bilinear(coordinates) | Resample::Unrounded(coordinates)
            if source.width <= target.width =>
        {
            let how = (coordinates, Comparison::of(resample));
            // SAFETY: the table lists this for processors with AVX2.
            unsafe { argmax_avx2(source, how, target, scratch) }
        }
        _ => scalar::argmax(source, resample, target, scratch),
    },
    scratch: argmax_scratch,
};

/// Classes with AVX-512.
pub(in crate::kernels) const ARGMAX_AVX512: Resampler = Resampler {
    run: |source, resample, target, scratch| match resample {
        Resample::Bilinear(coordinates) | Resample::Unrounded(coordinates)
            if source.width <= target.width =>
        {
            let how = (coordinates, Comparison::of(resample));
            // SAFETY: the table lists this for processors with AVX-512.
            unsafe { argmax_avx512(source, how, target, scratch) }
        }
        _ => scalar::argmax(source, resample, target, scratch),
    },
    scratch: argmax_scratch,
};

#[target_feature(enable = "avx2")]
unsafe fn resize_avx2(s: Source<'_>, c: Coordinates, t: Target<'_>, scratch: &mut Scratch) {
    unsafe { resize::<Words8>(s, c, t, scratch) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn resize_avx512(s: Source<'_>, c: Coordinates, t: Target<'_>, scratch: &mut Scratch) {
    unsafe { resize::<Words16>(s, c, t, scratch) }
}

#[target_feature(enable = "avx2")]
unsafe fn argmax_avx2(
    s: Source<'_>,
    how: (Coordinates, Comparison),
    t: Target<'_>,
    scratch: &mut Scratch,
) {
    unsafe { argmax::<Words8>(s, how, t, scratch) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn argmax_avx512(
    s: Source<'_>,
    how: (Coordinates, Comparison),
    t: Target<'_>,
    scratch: &mut Scratch,
) {
    unsafe { argmax::<Words16>(s, how, t, scratch) }
}
