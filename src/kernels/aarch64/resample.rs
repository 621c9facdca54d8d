//! Pictures of another size, and the classes of one, with Advanced SIMD.

use super::words::Words4;
use crate::kernels::variants::Resampler;
use crate::kernels::vector::resample::{argmax, argmax_scratch, resize, resize_scratch};
use crate::kernels::{Comparison, Resample, scalar};

/// Pictures of another size.
pub(in crate::kernels) const RESIZE: Resampler = Resampler {
    run: |source, resample, target, scratch| match resample {
        // SAFETY: every processor of this architecture has the instructions.
        Resample::Bilinear(coordinates) | Resample::Unrounded(coordinates) => unsafe {
            resize::<Words4>(source, coordinates, target, scratch);
        },
        Resample::Nearest(..) => scalar::resize(source, resample, target, scratch),
    },
    scratch: resize_scratch,
};

/// Classes.
pub(in crate::kernels) const ARGMAX: Resampler = Resampler {
    run: |source, resample, target, scratch| match resample {
        Resample::Bilinear(coordinates) | Resample::Unrounded(coordinates)
            if source.width <= target.width =>
        {
            let how = (coordinates, Comparison::of(resample));
            // SAFETY: every processor of this architecture has the instructions.
            unsafe { argmax::<Words4>(source, how, target, scratch) }
        }
        _ => scalar::argmax(source, resample, target, scratch),
    },
    scratch: argmax_scratch,
};
