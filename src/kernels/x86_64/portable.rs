//! Portable loops, compiled for the vectors of AVX2.

use crate::kernels::{AddArgs, MulArgs, Source, Target, scalar};

/// See [`scalar::add`].
pub(in crate::kernels) fn add(a: Source<'_>, b: Source<'_>, args: &AddArgs, target: Target<'_>) {
    #[target_feature(enable = "avx2,fma")]
    fn run(a: Source<'_>, b: Source<'_>, args: &AddArgs, target: Target<'_>) {
        scalar::add(a, b, args, target);
    }
    // SAFETY: the table of kernels lists this for processors with the instructions.
    unsafe { run(a, b, args, target) }
}

/// See [`scalar::mul`].
pub(in crate::kernels) fn mul(a: Source<'_>, b: Source<'_>, args: &MulArgs, target: Target<'_>) {
    #[target_feature(enable = "avx2")]
    fn run(a: Source<'_>, b: Source<'_>, args: &MulArgs, target: Target<'_>) {
        scalar::mul(a, b, args, target);
    }
    // SAFETY: as above.
    unsafe { run(a, b, args, target) }
}
