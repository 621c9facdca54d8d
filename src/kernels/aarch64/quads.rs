//! Depthwise products four bytes at a time: three rows of a column, and nothing for the
//! fourth, in each lane of a channel.

use std::arch::aarch64::*;
use std::marker::PhantomData;

use super::codes::{Finish, read16, store};
use super::windows::{self, PLACES};
use crate::kernels::vector::depthwise::{self, Columns, Segment, Windows};
use crate::kernels::vector::epilogue::{Epilogue, Sum};
use crate::kernels::vector::isa::{Isa, VECTORS};

/// Instructions that multiply four codes with four weights in each lane.
///
/// # Safety
/// As [`Isa`].
pub(super) trait Dot: Sized + 'static {
    /// As [`Isa::CODE_OFFSET`].
    const CODE_OFFSET: i32;

    /// Codes as [`dot`](Self::dot) takes them.
    unsafe fn codes(codes: uint8x16_t) -> int8x16_t;
    /// In each 32-bit lane `sum + Σ codes * weights` over its four bytes.
    unsafe fn dot(sum: int32x4_t, codes: int8x16_t, weights: int8x16_t) -> int32x4_t;
    /// The function [`segment`], compiled for these instructions.
    unsafe fn segment(segment: &Segment<'_>);
}

/// The instructions `D` on quads. A `BARE` one is for epilogues that leave nothing to do
/// but to saturate.
pub(super) struct Quads<D, const BARE: bool = false>(PhantomData<fn() -> D>);

/// The loop of depthwise convolutions, as little of it as the epilogue needs.
///
/// # Safety
/// As [`Isa::segment`].
#[inline(always)]
pub(super) unsafe fn segment<D: Dot>(segment: &Segment<'_>) {
    unsafe {
        if Finish::is_enough(&segment.epilogue) {
            depthwise::segment::<Quads<D, true>>(segment);
        } else {
            depthwise::segment::<Quads<D, false>>(segment);
        }
    }
}

impl<D: Dot, const BARE: bool> Isa for Quads<D, BARE> {
    type Vector = int32x4_t;
    type Column = [int8x16_t; VECTORS];
    type Weights = [int8x16_t; VECTORS];
    type Half = Self;
    const LANES: usize = 4;
    const COLUMN_BYTES: usize = 64;
    const CODE_OFFSET: i32 = D::CODE_OFFSET;

    unsafe fn segment(segment: &Segment<'_>) {
        unsafe { D::segment(segment) }
    }

    #[inline(always)]
    unsafe fn slide<const PLAIN: bool>(
        columns: &mut Columns<'_, '_, PLAIN>,
        windows: &Windows<'_, Self>,
        held: [Self::Column; 2],
    ) -> [Self::Column; 2] {
        unsafe {
            if PLAIN {
                windows::slide::<Self, PLAIN, BARE>(columns, windows, held)
            } else {
                depthwise::slide(columns, windows, held)
            }
        }
    }

    #[inline(always)]
    unsafe fn stride<const PLAIN: bool>(
        columns: &mut Columns<'_, '_, PLAIN>,
        windows: &Windows<'_, Self>,
        held: Self::Column,
    ) -> Self::Column {
        unsafe {
            if PLAIN {
                windows::stride::<Self, PLAIN, BARE>(columns, windows, held)
            } else {
                depthwise::stride(columns, windows, held)
            }
        }
    }

    fn channel(_: usize, vector: usize, lane: usize) -> usize {
        vector * 4 + lane
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> int32x4_t {
        unsafe { vld1q_s32(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(
        sums: [int32x4_t; VECTORS],
        multipliers: *const f32,
        epilogue: &Epilogue,
        sum: Option<Sum>,
        channels: usize,
        out: *mut u8,
    ) {
        unsafe { store::<BARE>(sums, multipliers, epilogue, sum, channels, out) }
    }

    #[inline(always)]
    unsafe fn column(rows: [*const u8; 3], channels: usize) -> [int8x16_t; VECTORS] {
        unsafe {
            let [a, b, c] = rows.map(|row| D::codes(read16(row, channels)));
            let rows = int8x16x3_t(a, b, c);
            std::array::from_fn(|n| vqtbl3q_s8(rows, vld1q_u8(PLACES[n].as_ptr())))
        }
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const u8) -> [int8x16_t; VECTORS] {
        std::array::from_fn(|n| unsafe { vld1q_s8(from.add(16 * n).cast()) })
    }

    #[inline(always)]
    unsafe fn add_columns<const N: usize>(
        mut sums: [int32x4_t; VECTORS],
        columns: [&[int8x16_t; VECTORS]; N],
        weights: [&[int8x16_t; VECTORS]; N],
    ) -> [int32x4_t; VECTORS] {
        for (column, weights) in columns.into_iter().zip(weights) {
            for n in 0..VECTORS {
                // SAFETY: the caller has the instruction.
                sums[n] = unsafe { D::dot(sums[n], column[n], weights[n]) };
            }
        }
        sums
    }

    fn column_weights(weight: impl Fn(usize, usize) -> i8) -> Vec<u8> {
        let quads = (0..16).map(|c| [weight(0, c), weight(1, c), weight(2, c), 0]);
        quads.flatten().map(|weight| weight as u8).collect()
    }
}
