//! Tables of 256 codes, held in registers.

use std::arch::aarch64::*;

use crate::kernels::runs::Runs;
use crate::kernels::{Source, Target, scalar};

/// Codes looked up at once.
const LANES: usize = 16;

/// A table in four times four registers.
type Table = [uint8x16x4_t; 4];

#[inline(always)]
unsafe fn load(table: &[u8; 256]) -> Table {
    std::array::from_fn(|n| unsafe { vld1q_u8_x4(table.as_ptr().add(64 * n)) })
}

/// The table's codes at `at`.
#[inline(always)]
unsafe fn look_up(table: &Table, at: uint8x16_t) -> uint8x16_t {
    unsafe {
        // An index outside its 64 codes leaves the byte as it is.
        let step = vdupq_n_u8(64);
        let codes = vqtbl4q_u8(table[0], at);
        let at = vsubq_u8(at, step);
        let codes = vqtbx4q_u8(codes, table[1], at);
        let at = vsubq_u8(at, step);
        let codes = vqtbx4q_u8(codes, table[2], at);
        vqtbx4q_u8(codes, table[3], vsubq_u8(at, step))
    }
}

/// See [`scalar::map`].
pub(in crate::kernels) fn map(source: Source<'_>, table: &[u8; 256], target: Target<'_>) {
    let runs = Runs::new(&target, source.is_packed());
    // SAFETY: every processor of this architecture has the instructions.
    let registers = unsafe { load(table) };
    for (from, to) in runs.of(source).zip(runs.of_mut(target)) {
        let (from, from_rest) = from.as_chunks::<LANES>();
        let (to, to_rest) = to.as_chunks_mut::<LANES>();
        for (to, from) in to.iter_mut().zip(from) {
            // SAFETY: as above; both have `LANES` bytes.
            unsafe {
                vst1q_u8(
                    to.as_mut_ptr(),
                    look_up(&registers, vld1q_u8(from.as_ptr())),
                );
            }
        }
        for (to, &from) in to_rest.iter_mut().zip(from_rest) {
            *to = table[usize::from(from)];
        }
    }
}

/// See [`scalar::input`].
pub(in crate::kernels) fn input(rgb: &[u8], order: [u8; 3], tables: &[u8], target: Target<'_>) {
    let (channels, _) = tables.as_chunks::<256>();
    let [first, second, third] = channels else {
        return scalar::input(rgb, order, tables, target);
    };
    if !target.is_packed() {
        return scalar::input(rgb, order, tables, target);
    }
    let start = target.range.start;
    let count = target.range.len() / LANES * LANES;
    let (pixels, _) = rgb[3 * start..].as_chunks::<{ 3 * LANES }>();
    let (done, rest) = target.split_at(count);
    let (outs, _) = done.data.as_chunks_mut::<{ 3 * LANES }>();
    for (out, pixels) in outs.iter_mut().zip(pixels) {
        // SAFETY: every processor of this architecture has the instructions; both have
        // 48 bytes.
        unsafe {
            let bytes = vld3q_u8(pixels.as_ptr());
            let byte = |c: usize| match order[c] {
                0 => bytes.0,
                1 => bytes.1,
                _ => bytes.2,
            };
            let codes = uint8x16x3_t(
                look_up(&load(first), byte(0)),
                look_up(&load(second), byte(1)),
                look_up(&load(third), byte(2)),
            );
            vst3q_u8(out.as_mut_ptr(), codes);
        }
    }
    scalar::input(rgb, order, tables, rest);
}
