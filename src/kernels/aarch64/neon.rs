//! Advanced SIMD as every 64-bit Arm processor has it.
//!
//! Two products of bytes are summed in 16 bits (SMULL, SMLAL), and neighbouring sums
//! added to 32 bits (SADALP). Two products stay within 16 bits unless both are of -128
//! with -128.

use std::arch::aarch64::*;

use super::codes::{Finish, added, read16, signed, store16};
use super::conv::{Conv, Gemm, STEP, Tile};
use crate::kernels::ConvArgs;
use crate::kernels::variants::Convolution;
use crate::kernels::vector::depthwise::{self, Depthwise, Segment};
use crate::kernels::vector::epilogue::{self, Epilogue, Sum};
use crate::kernels::vector::isa::{Isa, VECTORS};

/// Packs a convolution.
pub(in crate::kernels) fn conv(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    Conv::<Neon>::pack(args)
}

/// Packs a depthwise convolution; `None` also where a weight is -128.
pub(in crate::kernels) fn depthwise(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
    if epilogue::weights(args)?.contains(&i8::MIN) {
        return None;
    }
    Depthwise::<Neon>::pack(args)
}

struct Neon;

impl Gemm for Neon {
    const PIXELS: usize = 4;
    const OUTPUTS: usize = 4;

    fn is_exact(weights: &[i8]) -> bool {
        // The two products that are summed in 16 bits are eight weights apart.
        weights.chunks(STEP).all(|step| {
            let (low, high) = step.split_at(step.len().min(STEP / 2));
            !low.iter()
                .zip(high)
                .any(|pair| pair == (&i8::MIN, &i8::MIN))
        })
    }

    fn weight_bytes(depth: usize) -> usize {
        depth.next_multiple_of(STEP) * Self::OUTPUTS
    }

    fn weight_place(k: usize, o: usize) -> usize {
        (k / STEP * Self::OUTPUTS + o) * STEP + k % STEP
    }

    unsafe fn product(tile: &Tile<'_>, pixels: usize) {
        unsafe {
            match pixels {
                1 => product::<1>(tile),
                2 => product::<2>(tile),
                3 => product::<3>(tile),
                _ => product::<4>(tile),
            }
        }
    }
}

/// The codes of `M` pixels.
#[inline(always)]
unsafe fn product<const M: usize>(tile: &Tile<'_>) {
    unsafe {
        let mut sums = [[vdupq_n_s32(0); 4]; M];
        let (mut codes, mut weights) = (tile.codes, tile.weights);
        for _ in 0..tile.depth / STEP {
            let x: [int8x16_t; M] = std::array::from_fn(|m| vld1q_s8(codes.add(m * STEP)));
            for o in 0..4 {
                let w = vld1q_s8(weights.add(o * STEP));
                for m in 0..M {
                    let products = vmull_s8(vget_low_s8(x[m]), vget_low_s8(w));
                    let products = vmlal_high_s8(products, x[m], w);
                    sums[m][o] = vpadalq_s16(sums[m][o], products);
                }
            }
            codes = codes.add(M * STEP);
            weights = weights.add(4 * STEP);
        }
        let rest = tile.depth % STEP;
        if rest > 0 {
            for m in 0..M {
                let x = vld1q_s8(codes.add(m * STEP));
                for o in 0..4 {
                    let w = vld1q_s8(weights.add(o * STEP));
                    let mut products = vmull_s8(vget_low_s8(x), vget_low_s8(w));
                    if rest > 8 {
                        products = vmlal_high_s8(products, x, w);
                    }
                    sums[m][o] = vpadalq_s16(sums[m][o], products);
                }
            }
        }
        let finish = Finish::new(tile.epilogue);
        let biases = vld1q_s32(tile.numbers.cast());
        let multipliers = vld1q_f32(tile.numbers.add(16).cast());
        let total = |m: usize| {
            let [a, b, c, d] = sums[m];
            vaddq_s32(vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)), biases)
        };
        for m in (0..M).step_by(2) {
            let next = (m + 1).min(M - 1);
            let codes = finish.eight([total(m), total(next)], [multipliers; 2]);
            store4(tile, codes, m);
            if next > m {
                store4(
                    tile,
                    vreinterpret_u8_u32(vrev64_u32(vreinterpret_u32_u8(codes))),
                    next,
                );
            }
        }
    }
}

/// Stores the first four codes, or as many as the tile has channels, for pixel `m`.
#[inline(always)]
unsafe fn store4(tile: &Tile<'_>, codes: uint8x8_t, m: usize) {
    unsafe {
        let mut codes = codes;
        if let Some(sum) = &tile.sum {
            let sum = sum.at(m, 0);
            codes = added(codes, vget_low_u8(read16(sum.data, tile.channels)), &sum);
        }
        let out = tile.out.add(m * tile.out_stride);
        let first = vget_lane_u32::<0>(vreinterpret_u32_u8(codes));
        if tile.channels >= 4 {
            out.cast::<u32>().write_unaligned(first);
        } else {
            std::ptr::copy_nonoverlapping(first.to_le_bytes().as_ptr(), out, tile.channels);
        }
    }
}

impl Isa for Neon {
    type Vector = int32x4_t;
    type Column = [int8x16_t; 3];
    type Weights = [int8x16_t; 3];
    type Half = Self;
    const LANES: usize = 4;
    const COLUMN_BYTES: usize = 48;
    const CODE_OFFSET: i32 = 128;

    unsafe fn segment(segment: &Segment<'_>) {
        unsafe { depthwise::segment::<Self>(segment) }
    }

    fn channel(_: usize, vector: usize, lane: usize) -> usize {
        vector * 4 + lane
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> int32x4_t {
        unsafe { vld1q_s32(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store<const N: usize>(
        sums: [int32x4_t; N],
        multipliers: *const f32,
        epilogue: &Epilogue,
        sum: Option<Sum>,
        channels: usize,
        out: *mut u8,
    ) {
        unsafe {
            let sums = [sums[0], sums[1 % N], sums[2 % N], sums[3 % N]];
            store16(
                Finish::new(epilogue).sixteen(sums, multipliers),
                sum,
                channels,
                out,
            );
        }
    }

    #[inline(always)]
    unsafe fn column(rows: [*const u8; 3], channels: usize) -> [int8x16_t; 3] {
        rows.map(|row| unsafe { signed(read16(row, channels)) })
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const u8) -> [int8x16_t; 3] {
        std::array::from_fn(|n| unsafe { vld1q_s8(from.add(16 * n).cast()) })
    }

    #[inline(always)]
    unsafe fn add_columns<const N: usize>(
        mut sums: [int32x4_t; VECTORS],
        columns: [&[int8x16_t; 3]; N],
        weights: [&[int8x16_t; 3]; N],
    ) -> [int32x4_t; VECTORS] {
        unsafe {
            let tap = |t: usize| (columns[t / 3][t % 3], weights[t / 3][t % 3]);
            for t in (0..3 * N).step_by(2) {
                let (x, w) = tap(t);
                let mut low = vmull_s8(vget_low_s8(x), vget_low_s8(w));
                let mut high = vmull_high_s8(x, w);
                if t + 1 < 3 * N {
                    let (x, w) = tap(t + 1);
                    low = vmlal_s8(low, vget_low_s8(x), vget_low_s8(w));
                    high = vmlal_high_s8(high, x, w);
                }
                sums[0] = vaddw_s16(sums[0], vget_low_s16(low));
                sums[1] = vaddw_high_s16(sums[1], low);
                sums[2] = vaddw_s16(sums[2], vget_low_s16(high));
                sums[3] = vaddw_high_s16(sums[3], high);
            }
        }
        sums
    }

    fn column_weights(weight: impl Fn(usize, usize) -> i8) -> Vec<u8> {
        let rows = (0..3).flat_map(|row| (0..16).map(move |c| (row, c)));
        rows.map(|(row, c)| weight(row, c) as u8).collect()
    }
}
