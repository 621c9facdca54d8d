//! A camera's pictures with Advanced SIMD.

use std::arch::aarch64::*;

use crate::kernels::imaging::{
    BLOCK, FACTOR_BITS, MIDDLE_BITS, NearestColumns, RowRing, Taps, WEIGHT_BITS, YuvFactors, YuvRow,
};
use crate::kernels::scalar;

/// Pixels converted at once.
const PIXELS: usize = 16;
/// Most rows that the first pass of a filter combines in registers' reach.
const MOST_TAPS: usize = 16;

/// A factor in units of 2^16, and the rest, which fits 16 bits and a sign.
#[derive(Clone, Copy)]
struct Split {
    units: i16,
    rest: i16,
}

impl Split {
    fn new(factor: i32) -> Self {
        let units = (factor + (1 << (FACTOR_BITS - 1))) >> FACTOR_BITS;
        Self {
            units: units as i16,
            rest: (factor - (units << FACTOR_BITS)) as i16,
        }
    }
}

/// The factors of [`YuvFactors`], split; those of green are negative.
struct Splits {
    luma: Split,
    red_v: Split,
    green_u: Split,
    green_v: Split,
    blue_u: Split,
}

/// See [`scalar::colour`].
pub(in crate::kernels) fn colour(factors: &YuvFactors, row: YuvRow<'_>, out: &mut [u8]) {
    assert!(out.len().is_multiple_of(3) && row.holds(out.len() / 3));
    let splits = Splits {
        luma: Split::new(factors.luma),
        red_v: Split::new(factors.red_v),
        green_u: Split::new(-factors.green_u),
        green_v: Split::new(-factors.green_v),
        blue_u: Split::new(factors.blue_u),
    };
    let (blocks, rest) = out.as_chunks_mut::<{ 3 * PIXELS }>();
    let done = blocks.len() * PIXELS;
    for (number, out) in blocks.iter_mut().enumerate() {
        // SAFETY: every processor of this architecture has the instructions; the row holds
        // these pixels, for `out` has them.
        unsafe { convert(factors.offset as i16, &splits, row, number * PIXELS, out) };
    }
    if !rest.is_empty() {
        scalar::colour(factors, row.skip(done), rest);
    }
}

/// Converts [`PIXELS`] pixels from `x` on, a multiple of them.
///
/// Sums are exact: of a factor `units * 2^16 + rest` the units are added after the shift
/// by 16 bits. Values between stay within -700 ..= 1000.
///
/// # Safety
/// The row has the pixels.
#[inline(always)]
unsafe fn convert(offset: i16, f: &Splits, row: YuvRow<'_>, x: usize, out: &mut [u8; 48]) {
    // SAFETY: the caller promises the bytes that are read; 48 are written.
    unsafe {
        let rgb = match row {
            YuvRow::Grey(y) => {
                let none = chroma(f, vdup_n_u8(128), vdup_n_u8(128));
                join(offset, f, vld1q_u8(y.as_ptr().add(x)), [none, none])
            }
            YuvRow::Packed(quads) => {
                let planes = vld4_u8(quads.as_ptr().add(2 * x));
                let even = vcombine_u8(planes.0, planes.0);
                let odd = vcombine_u8(planes.2, planes.2);
                let halves = repeat(chroma(f, planes.1, planes.3));
                join(offset, f, vzip1q_u8(even, odd), halves)
            }
            YuvRow::SemiPlanar(y, uv) => {
                let uv = vld2_u8(uv.as_ptr().add(x));
                let halves = repeat(chroma(f, uv.0, uv.1));
                join(offset, f, vld1q_u8(y.as_ptr().add(x)), halves)
            }
            YuvRow::HalfPlanar(y, u, v) => {
                let (u, v) = (
                    vld1_u8(u.as_ptr().add(x / 2)),
                    vld1_u8(v.as_ptr().add(x / 2)),
                );
                let halves = repeat(chroma(f, u, v));
                join(offset, f, vld1q_u8(y.as_ptr().add(x)), halves)
            }
            YuvRow::FullPlanar(y, u, v) => {
                let u = vld1q_u8(u.as_ptr().add(x));
                let v = vld1q_u8(v.as_ptr().add(x));
                let low = chroma(f, vget_low_u8(u), vget_low_u8(v));
                let high = chroma(f, vget_high_u8(u), vget_high_u8(v));
                join(offset, f, vld1q_u8(y.as_ptr().add(x)), [low, high])
            }
        };
        vst3q_u8(out.as_mut_ptr(), rgb);
    }
}

/// What chroma adds to one colour of eight pixels: the rests' products with the rounding
/// half, and the units.
#[derive(Clone, Copy)]
struct Chroma {
    rests: [int32x4_t; 2],
    units: int16x8_t,
}

/// For red, green and blue.
#[inline(always)]
unsafe fn chroma(f: &Splits, u: uint8x8_t, v: uint8x8_t) -> [Chroma; 3] {
    unsafe {
        let middle = vdup_n_u8(128);
        let u = vreinterpretq_s16_u16(vsubl_u8(u, middle));
        let v = vreinterpretq_s16_u16(vsubl_u8(v, middle));
        let half = vdupq_n_s32(1 << (FACTOR_BITS - 1));
        let add = |sums: [int32x4_t; 2], c: int16x8_t, factor: Split| {
            [
                vmlal_n_s16(sums[0], vget_low_s16(c), factor.rest),
                vmlal_high_n_s16(sums[1], c, factor.rest),
            ]
        };
        [
            Chroma {
                rests: add([half; 2], v, f.red_v),
                units: vmulq_n_s16(v, f.red_v.units),
            },
            Chroma {
                rests: add(add([half; 2], u, f.green_u), v, f.green_v),
                units: vmlaq_n_s16(vmulq_n_s16(u, f.green_u.units), v, f.green_v.units),
            },
            Chroma {
                rests: add([half; 2], u, f.blue_u),
                units: vmulq_n_s16(u, f.blue_u.units),
            },
        ]
    }
}

/// Every sample for two pixels: the first eight and the last eight of sixteen.
#[inline(always)]
unsafe fn repeat(samples: [Chroma; 3]) -> [[Chroma; 3]; 2] {
    unsafe {
        let twice = |v: int32x4_t| [vzip1q_s32(v, v), vzip2q_s32(v, v)];
        [
            samples.map(|c| Chroma {
                rests: twice(c.rests[0]),
                units: vzip1q_s16(c.units, c.units),
            }),
            samples.map(|c| Chroma {
                rests: twice(c.rests[1]),
                units: vzip2q_s16(c.units, c.units),
            }),
        ]
    }
}

/// Sixteen pixels of luma and the chroma of each half.
#[inline(always)]
unsafe fn join(offset: i16, f: &Splits, y: uint8x16_t, halves: [[Chroma; 3]; 2]) -> uint8x16x3_t {
    unsafe {
        let offset = vdupq_n_s16(offset);
        let luma = [vmovl_u8(vget_low_u8(y)), vmovl_high_u8(y)]
            .map(|y| vsubq_s16(vreinterpretq_s16_u16(y), offset));
        let half = |number: usize, c: usize| {
            let y = luma[number];
            let chroma = halves[number][c];
            let low = vmull_n_s16(vget_low_s16(y), f.luma.rest);
            let high = vmull_high_n_s16(y, f.luma.rest);
            let sums = vaddhn_high_s32(vaddhn_s32(low, chroma.rests[0]), high, chroma.rests[1]);
            let units = vmlaq_n_s16(chroma.units, y, f.luma.units);
            vqmovun_s16(vaddq_s16(sums, units))
        };
        let colour = |c: usize| vcombine_u8(half(0, c), half(1, c));
        uint8x16x3_t(colour(0), colour(1), colour(2))
    }
}

/// See [`scalar::filter_rows`].
pub(in crate::kernels) fn filter_rows(
    rows: RowRing<'_>,
    taps: Taps<'_>,
    index: usize,
    out: &mut [i16],
) {
    const SHIFT: u32 = WEIGHT_BITS - MIDDLE_BITS;
    if taps.count > MOST_TAPS {
        return scalar::filter_rows(rows, taps, index, out);
    }
    let start = taps.starts[index] as usize;
    let weights = &taps.weights[index * taps.count..][..taps.count];
    let len = out.len();
    let mut terms: [(&[u8], u16); MOST_TAPS] = [(&[], 0); MOST_TAPS];
    let mut count = 0;
    for (row, &weight) in (start..).zip(weights) {
        // A row without weight may not be there.
        if weight != 0 {
            terms[count] = (rows.row(row, len), weight as u16);
            count += 1;
        }
    }
    let terms = &terms[..count];
    let (blocks, rest) = out.as_chunks_mut::<16>();
    let done = blocks.len() * 16;
    for (number, block) in blocks.iter_mut().enumerate() {
        // SAFETY: every processor of this architecture has the instructions; rows are as
        // long as `out`, which has the whole block.
        unsafe {
            let mut sums = [vdupq_n_u32(0); 4];
            for &(row, weight) in terms {
                let bytes = vld1q_u8(row.as_ptr().add(number * 16));
                let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
                sums = [
                    vmlal_n_u16(sums[0], vget_low_u16(low), weight),
                    vmlal_high_n_u16(sums[1], low, weight),
                    vmlal_n_u16(sums[2], vget_low_u16(high), weight),
                    vmlal_high_n_u16(sums[3], high, weight),
                ];
            }
            let narrow = |low, high| {
                let low = vrshrn_n_u32::<{ SHIFT as i32 }>(low);
                vreinterpretq_s16_u16(vrshrn_high_n_u32::<{ SHIFT as i32 }>(low, high))
            };
            vst1q_s16(block.as_mut_ptr(), narrow(sums[0], sums[1]));
            vst1q_s16(block.as_mut_ptr().add(8), narrow(sums[2], sums[3]));
        }
    }
    for (number, value) in rest.iter_mut().enumerate() {
        let products = terms
            .iter()
            .map(|&(row, weight)| i32::from(row[done + number]) * i32::from(weight));
        *value = ((products.sum::<i32>() + (1 << (SHIFT - 1))) >> SHIFT) as i16;
    }
}

/// See [`scalar::filter_columns`].
pub(in crate::kernels) fn filter_columns(middle: &[i16], taps: Taps<'_>, out: &mut [u8]) {
    match taps.count {
        2 => columns::<1>(middle, taps, out),
        4 => columns::<2>(middle, taps, out),
        6 => columns::<3>(middle, taps, out),
        _ => columns::<0>(middle, taps, out),
    }
}

/// `PAIRS` is half the count of taps, or 0 for any.
#[inline(always)]
fn columns<const PAIRS: usize>(middle: &[i16], taps: Taps<'_>, out: &mut [u8]) {
    let pairs = if PAIRS == 0 { taps.count / 2 } else { PAIRS };
    let count = 2 * pairs;
    // Of four pixels with a fourth byte each.
    const PACK: [u8; 16] = [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 255, 255, 255, 255];
    let (fours, rest) = out.as_chunks_mut::<12>();
    let done = fours.len() * 4;
    let starts = taps.starts.chunks_exact(4);
    let weights = taps.weights.chunks_exact(4 * count);
    for ((four, starts), weights) in fours.iter_mut().zip(starts).zip(weights) {
        let output = |output: usize| {
            let window = &middle[starts[output] as usize * 3..][..count * 3 + 1];
            let weights = &weights[output * count..][..count];
            // SAFETY: every processor of this architecture has the instructions; four
            // values of the window lie from each tap's on.
            unsafe {
                let mut sums = vdupq_n_s32(1 << (WEIGHT_BITS + MIDDLE_BITS - 1));
                for (tap, &weight) in weights.iter().enumerate() {
                    let values = vld1_s16(window.as_ptr().add(3 * tap));
                    sums = vmlal_n_s16(sums, values, weight);
                }
                vshrn_n_s32::<16>(sums)
            }
        };
        const REST: i32 = (WEIGHT_BITS + MIDDLE_BITS) as i32 - 16;
        // SAFETY: as above; eight bytes and four after them are the pixels' twelve.
        unsafe {
            let low = vshrn_n_s16::<REST>(vcombine_s16(output(0), output(1)));
            let bytes = vshrn_high_n_s16::<REST>(low, vcombine_s16(output(2), output(3)));
            let bytes = vqtbl1q_u8(vreinterpretq_u8_s8(bytes), vld1q_u8(PACK.as_ptr()));
            vst1_u8(four.as_mut_ptr(), vget_low_u8(bytes));
            let last = vgetq_lane_u32::<2>(vreinterpretq_u32_u8(bytes));
            four.as_mut_ptr().add(8).cast::<u32>().write_unaligned(last);
        }
    }
    if !rest.is_empty() {
        let taps = Taps {
            starts: &taps.starts[done..],
            weights: &taps.weights[done * count..],
            ..taps
        };
        scalar::filter_columns(middle, taps, rest);
    }
}

/// See [`scalar::nearest`].
pub(in crate::kernels) fn nearest(columns: &NearestColumns, from: &[u8], to: &mut [u8]) {
    if columns.blocks().is_empty() {
        return scalar::nearest(columns, from, to);
    }
    assert_eq!(
        (from.len(), to.len()),
        (columns.from(), columns.columns().len())
    );
    for block in columns.blocks() {
        let from = &from[block.from as usize..][..BLOCK];
        let to = &mut to[block.to as usize..][..BLOCK];
        // SAFETY: every processor of this architecture has the instructions; all three have
        // 16 bytes.
        unsafe {
            let index = vld1q_u8(block.index.as_ptr());
            vst1q_u8(to.as_mut_ptr(), vqtbl1q_u8(vld1q_u8(from.as_ptr()), index));
        }
    }
}
