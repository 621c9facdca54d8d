//! Tables of 256 codes, held in registers of AVX-512 VBMI.

use std::arch::x86_64::*;

use crate::kernels::runs::Runs;
use crate::kernels::{Source, Target};

/// Codes looked up at once.
const LANES: usize = 64;

/// See [`scalar::map`](crate::kernels::scalar::map).
pub(in crate::kernels) fn map(source: Source<'_>, table: &[u8; 256], target: Target<'_>) {
    let runs = Runs::new(&target, source.is_packed());
    for (from, to) in runs.of(source).zip(runs.of_mut(target)) {
        // SAFETY: the table of kernels lists this for processors with the instructions.
        unsafe { look_up(table, from, to) };
    }
}

/// `to[i] = table[from[i]]`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
pub(super) unsafe fn look_up(table: &[u8; 256], from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len());
    unsafe {
        let part = |n: usize| _mm512_loadu_si512(table.as_ptr().add(LANES * n).cast());
        let [a, b, c, d] = [part(0), part(1), part(2), part(3)];
        for first in (0..from.len()).step_by(LANES) {
            let mask = u64::MAX >> (LANES - LANES.min(from.len() - first));
            let at = _mm512_maskz_loadu_epi8(mask, from.as_ptr().add(first).cast());
            let low = _mm512_permutex2var_epi8(a, at, b);
            let high = _mm512_permutex2var_epi8(c, at, d);
            let codes = _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), low, high);
            _mm512_mask_storeu_epi8(to.as_mut_ptr().add(first).cast(), mask, codes);
        }
    }
}
