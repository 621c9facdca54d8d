//! Sums and products of pictures, sixteen codes at a time.

use std::arch::aarch64::*;

use super::codes::{Finish, added};
use crate::kernels::runs::Runs;
use crate::kernels::vector::epilogue::{Epilogue, Sum};
use crate::kernels::{AddArgs, MulArgs, Source, Target};

/// Codes worked out at once.
const LANES: usize = 16;

/// See [`scalar::add`](crate::kernels::scalar::add).
pub(in crate::kernels) fn add(a: Source<'_>, b: Source<'_>, args: &AddArgs, target: Target<'_>) {
    let sum = Sum::new(b, args, 0);
    // SAFETY: every processor of this architecture has the instructions.
    let code = |a, b| unsafe {
        let low = added(vget_low_u8(a), vget_low_u8(b), &sum);
        vcombine_u8(low, added(vget_high_u8(a), vget_high_u8(b), &sum))
    };
    let runs = Runs::new(&target, a.is_packed() && b.is_packed());
    for ((a, b), to) in runs.of(a).zip(runs.of(b)).zip(runs.of_mut(target)) {
        each(a, b, to, code);
    }
}

/// See [`scalar::mul`](crate::kernels::scalar::mul).
pub(in crate::kernels) fn mul(a: Source<'_>, b: Source<'_>, args: &MulArgs, target: Target<'_>) {
    let epilogue = Epilogue {
        zero_point: i16::from(args.output_zero_point),
        clamp: args.clamp,
    };
    // SAFETY: every processor of this architecture has the instructions.
    let finish = unsafe { Finish::<false>::new(&epilogue) };
    // SAFETY: as above.
    let code = |a, b| unsafe {
        let less = |codes, zero| vreinterpretq_s16_u16(vsubl_u8(codes, vdup_n_u8(zero)));
        let products = |a, b| {
            let (a, b) = (less(a, args.a_zero_point), less(b, args.b_zero_point));
            [
                vmull_s16(vget_low_s16(a), vget_low_s16(b)),
                vmull_high_s16(a, b),
            ]
        };
        let [c, d] = products(vget_low_u8(a), vget_low_u8(b));
        let [e, f] = products(vget_high_u8(a), vget_high_u8(b));
        finish.sixteen([c, d, e, f], [vdupq_n_f32(args.scale); 4])
    };
    if b.pixels() == 1 {
        let runs = Runs::new(&target, false);
        for (a, to) in runs.of(a).zip(runs.of_mut(target)) {
            each(a, b.pixel(0, 0), to, code);
        }
    } else {
        let runs = Runs::new(&target, a.is_packed() && b.is_packed());
        for ((a, b), to) in runs.of(a).zip(runs.of(b)).zip(runs.of_mut(target)) {
            each(a, b, to, code);
        }
    }
}

/// `to[i] = code(a[i], b[i])`.
#[inline(always)]
fn each(a: &[u8], b: &[u8], to: &mut [u8], code: impl Fn(uint8x16_t, uint8x16_t) -> uint8x16_t) {
    let step = |a: &[u8; LANES], b: &[u8; LANES], to: &mut [u8; LANES]| {
        // SAFETY: every processor of this architecture has the instructions; all have
        // `LANES` bytes.
        unsafe {
            let codes = code(vld1q_u8(a.as_ptr()), vld1q_u8(b.as_ptr()));
            vst1q_u8(to.as_mut_ptr(), codes);
        }
    };
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks(), b.as_chunks());
    let (to, to_rest) = to.as_chunks_mut();
    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
        step(a, b, to);
    }
    if !to_rest.is_empty() {
        let [mut a, mut b, mut codes] = [[0; LANES]; 3];
        a[..a_rest.len()].copy_from_slice(a_rest);
        b[..b_rest.len()].copy_from_slice(b_rest);
        step(&a, &b, &mut codes);
        to_rest.copy_from_slice(&codes[..to_rest.len()]);
    }
}
