//! Products of codes and weights, eight at a time (SMULL, SMLAL).
//!
//! Three products are summed in 16 bits before they are added to 32, where the weights are
//! small enough, and two where they are not: a *unit* of 48 weights of each channel makes
//! two sums of three. What is left of a channel's weights, less than a unit, is summed two
//! by two.

use std::arch::aarch64::*;
use std::arch::asm;

use super::Neon;
use crate::kernels::aarch64::codes::{Finish, signed, store_quarter};
use crate::kernels::aarch64::conv::{Channels, GROUP, Gemm, Product, STEP};

/// Weights of a channel in a unit.
const UNIT: usize = 3 * STEP;
/// Bytes of a block's biases and multipliers.
const NUMBERS: usize = 80;
/// Weights that a product of vectors takes.
const HALF: usize = STEP / 2;
/// The halves of a unit whose products with a channel's weights are summed together, for
/// even channels and for odd ones. Two neighbours take different halves of the second
/// `STEP`, so that theirs fill a register.
const SUMS: [[[usize; 3]; 2]; 2] = [[[0, 1, 2], [3, 4, 5]], [[0, 1, 3], [2, 4, 5]]];
/// The halves whose weights lie together: for the first sums of an even channel and the
/// next one, and for their second sums.
const PLACES: [[(usize, usize); 6]; 2] = [
    [(0, 0), (0, 1), (0, 2), (1, 3), (1, 0), (1, 1)],
    [(0, 4), (0, 5), (1, 2), (0, 3), (1, 4), (1, 5)],
];

/// Bytes of a block's flags, one for each unit.
fn flag_bytes(depth: usize) -> usize {
    (depth / UNIT).next_multiple_of(STEP)
}

/// Whether a unit's products may be summed three by three: codes less 128 are at least
/// -128.
fn is_small(channels: &Channels<'_>, unit: usize) -> bool {
    (0..<Neon>::OUTPUTS).all(|o| {
        (0..HALF).all(|lane| {
            SUMS[o % 2].iter().all(|halves| {
                let weight = |half: &usize| channels.weight(unit * UNIT + half * HALF + lane, o);
                let sizes = halves
                    .iter()
                    .map(|half| u32::from(weight(half).unsigned_abs()));
                128 * sizes.sum::<u32>() <= i16::MAX as u32
            })
        })
    })
}

impl Gemm for Neon {
    const PIXELS: usize = GROUP;
    const OUTPUTS: usize = 4;
    const GROUP_BYTES: usize = 0;

    fn is_exact(weights: &[i8]) -> bool {
        // Two products that are summed in 16 bits are eight weights apart.
        weights.chunks(STEP).all(|step| {
            let (low, high) = step.split_at(step.len().min(HALF));
            !low.iter()
                .zip(high)
                .any(|pair| pair == (&i8::MIN, &i8::MIN))
        })
    }

    fn block_bytes(depth: usize) -> usize {
        NUMBERS + flag_bytes(depth) + depth.next_multiple_of(STEP) * Self::OUTPUTS
    }

    /// The biases, each in a vector of its own, the multipliers, a flag for each unit, and
    /// the weights.
    fn pack(channels: &Channels<'_>, to: &mut [u8]) {
        let (numbers, rest) = to.split_at_mut(NUMBERS);
        let (flags, weights) = rest.split_at_mut(flag_bytes(channels.depth));
        let values = channels.biases.iter().zip(channels.multipliers);
        for (o, (bias, multiplier)) in values.enumerate() {
            numbers[16 * o..][..4].copy_from_slice(&bias.to_le_bytes());
            numbers[64 + 4 * o..][..4].copy_from_slice(&multiplier.to_le_bytes());
        }
        let units = channels.depth / UNIT;
        let (halves, _) = weights.as_chunks_mut::<HALF>();
        let mut halves = halves.iter_mut();
        let mut put = |k: usize, o: usize| {
            for (lane, to) in halves.next().into_iter().flatten().enumerate() {
                *to = channels.weight(k + lane, o) as u8;
            }
        };
        for (unit, flag) in flags.iter_mut().take(units).enumerate() {
            *flag = u8::from(is_small(channels, unit));
            for places in PLACES {
                for first in [0, 2] {
                    for (o, half) in places {
                        put(unit * UNIT + half * HALF, first + o);
                    }
                }
            }
        }
        for k in (units * UNIT..channels.depth).step_by(STEP) {
            for o in 0..Self::OUTPUTS {
                put(k, o);
                put(k + HALF, o);
            }
        }
    }

    /// Sixteen codes of each pixel in turn.
    #[inline(always)]
    unsafe fn lay_out(codes: [uint8x16_t; GROUP], _: usize, to: *mut u8) {
        unsafe {
            let [a, b, c, d] = codes.map(|codes| signed(codes));
            vst1q_s8_x4(to.cast(), int8x16x4_t(a, b, c, d));
        }
    }

    unsafe fn products(block: &Product<'_>, pixels: usize) {
        unsafe {
            if Finish::is_enough(block.epilogue) {
                products::<true>(block, pixels);
            } else {
                products::<false>(block, pixels);
            }
        }
    }
}

/// The codes of all tiles.
#[inline(always)]
unsafe fn products<const BARE: bool>(block: &Product<'_>, pixels: usize) {
    unsafe {
        let finish = Finish::<BARE>::new(block.epilogue);
        let multipliers = block.numbers.add(64).cast::<f32>();
        let (mut codes, mut out) = (block.codes, block.out);
        for first in (0..pixels).step_by(GROUP) {
            let count = (pixels - first).min(GROUP);
            let scales = [vld1q_f32(multipliers); GROUP];
            let tile = finish.sixteen(sums(block, codes), scales);
            if count == GROUP && block.channels == <Neon>::OUTPUTS {
                store_quarter::<0>(tile, &mut out, block.out_stride);
                store_quarter::<1>(tile, &mut out, block.out_stride);
                store_quarter::<2>(tile, &mut out, block.out_stride);
                store_quarter::<3>(tile, &mut out, block.out_stride);
            } else {
                let mut bytes = [0u8; 16];
                vst1q_u8(bytes.as_mut_ptr(), tile);
                for pixel in bytes.chunks_exact(<Neon>::OUTPUTS).take(count) {
                    std::ptr::copy_nonoverlapping(pixel.as_ptr(), out, block.channels);
                    out = out.add(block.out_stride);
                }
            }
            codes = codes.add(GROUP * block.depth.next_multiple_of(STEP));
        }
    }
}

/// An instruction for each pixel of a group, from its codes and a channel's weights: their
/// lower halves (`.8b`) or both, of which it takes the upper (`.16b`).
#[rustfmt::skip]
macro_rules! products {
    ($op:literal, $half:literal, [$a:literal $b:literal $c:literal $d:literal], $weights:literal) => {
        concat!(
            $op, " v28.8h, ", $a, $half, ", ", $weights, $half, "\n",
            $op, " v29.8h, ", $b, $half, ", ", $weights, $half, "\n",
            $op, " v30.8h, ", $c, $half, ", ", $weights, $half, "\n",
            $op, " v31.8h, ", $d, $half, ", ", $weights, $half, "\n"
        )
    };
}
/// Adds the 16-bit sums of each pixel to those of a channel.
#[rustfmt::skip]
macro_rules! add {
    ([$a:literal $b:literal $c:literal $d:literal]) => {
        concat!(
            "sadalp ", $a, ".4s, v28.8h\n",
            "sadalp ", $b, ".4s, v29.8h\n",
            "sadalp ", $c, ".4s, v30.8h\n",
            "sadalp ", $d, ".4s, v31.8h\n"
        )
    };
}
/// Sums of three products: whole codes with whole weights, and half of the others.
#[rustfmt::skip]
macro_rules! three {
    ($sums:tt, $whole:tt $weights:literal, $others:tt $other_weights:literal, $op:literal $half:literal) => {
        concat!(
            products!("smull", ".8b", $whole, $weights),
            products!("smlal2", ".16b", $whole, $weights),
            products!($op, $half, $others, $other_weights),
            add!($sums)
        )
    };
}
/// The same two by two.
#[rustfmt::skip]
macro_rules! two {
    ($sums:tt, $whole:tt $weights:literal, $others:tt $other_weights:literal, $op:literal $half:literal) => {
        concat!(
            products!("smull", ".8b", $whole, $weights),
            products!("smlal2", ".16b", $whole, $weights),
            add!($sums),
            products!($op, $half, $others, $other_weights),
            add!($sums)
        )
    };
}
/// A unit of four channels: `$sum` is `three` or `two`, and `$low` and `$high` the
/// instructions for halves that it goes on with.
#[rustfmt::skip]
macro_rules! unit {
    ($sum:ident, $low:literal, $high:literal) => {
        concat!(
            "ld1 {{v24.16b, v25.16b, v26.16b}}, [{weights}], #48\n",
            $sum!(["v0" "v4" "v8" "v12"], ["v16" "v17" "v18" "v19"] "v24",
                ["v20" "v21" "v22" "v23"] "v25", $low ".8b"),
            $sum!(["v1" "v5" "v9" "v13"], ["v16" "v17" "v18" "v19"] "v26",
                ["v20" "v21" "v22" "v23"] "v25", $high ".16b"),
            "ld1 {{v24.16b, v25.16b, v26.16b}}, [{weights}], #48\n",
            $sum!(["v2" "v6" "v10" "v14"], ["v16" "v17" "v18" "v19"] "v24",
                ["v20" "v21" "v22" "v23"] "v25", $low ".8b"),
            $sum!(["v3" "v7" "v11" "v15"], ["v16" "v17" "v18" "v19"] "v26",
                ["v20" "v21" "v22" "v23"] "v25", $high ".16b"),
            "ld1 {{v24.16b, v25.16b, v26.16b}}, [{weights}], #48\n",
            "ld1 {{v16.16b, v17.16b, v18.16b, v19.16b}}, [{codes}], #64\n",
            $sum!(["v0" "v4" "v8" "v12"], ["v16" "v17" "v18" "v19"] "v24",
                ["v20" "v21" "v22" "v23"] "v25", $high ".16b"),
            $sum!(["v1" "v5" "v9" "v13"], ["v16" "v17" "v18" "v19"] "v26",
                ["v20" "v21" "v22" "v23"] "v25", $low ".8b"),
            "ld1 {{v24.16b, v25.16b, v26.16b}}, [{weights}], #48\n",
            $sum!(["v2" "v6" "v10" "v14"], ["v16" "v17" "v18" "v19"] "v24",
                ["v20" "v21" "v22" "v23"] "v25", $high ".16b"),
            $sum!(["v3" "v7" "v11" "v15"], ["v16" "v17" "v18" "v19"] "v26",
                ["v20" "v21" "v22" "v23"] "v25", $low ".8b")
        )
    };
}
/// Products of a group's codes with a channel's weights, whole or the lower half of them.
#[rustfmt::skip]
macro_rules! pair {
    ($sums:tt, $weights:literal) => {
        concat!(
            products!("smull", ".8b", ["v16" "v17" "v18" "v19"], $weights),
            products!("smlal2", ".16b", ["v16" "v17" "v18" "v19"], $weights),
            add!($sums)
        )
    };
}
#[rustfmt::skip]
macro_rules! half {
    ($sums:tt, $weights:literal) => {
        concat!(products!("smull", ".8b", ["v16" "v17" "v18" "v19"], $weights), add!($sums))
    };
}
/// The same for all channels.
#[rustfmt::skip]
macro_rules! step {
    ($products:ident) => {
        concat!(
            "ld1 {{v20.16b, v21.16b, v22.16b, v23.16b}}, [{weights}], #64\n",
            "ld1 {{v16.16b, v17.16b, v18.16b, v19.16b}}, [{codes}], #64\n",
            $products!(["v0" "v4" "v8" "v12"], "v20"),
            $products!(["v1" "v5" "v9" "v13"], "v21"),
            $products!(["v2" "v6" "v10" "v14"], "v22"),
            $products!(["v3" "v7" "v11" "v15"], "v23")
        )
    };
}

/// The sums of a tile: four channels of each pixel.
#[inline(always)]
unsafe fn sums(block: &Product<'_>, codes: *const u8) -> [int32x4_t; GROUP] {
    let mut sums = [unsafe { vdupq_n_s32(0) }; GROUP];
    let rest = block.depth % UNIT;
    // SAFETY: block and codes are as they were packed and laid out, for the block's depth.
    unsafe {
        asm!(
            "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{numbers}]",
            "ld1 {{v4.4s, v5.4s, v6.4s, v7.4s}}, [{numbers}]",
            "ld1 {{v8.4s, v9.4s, v10.4s, v11.4s}}, [{numbers}]",
            "ld1 {{v12.4s, v13.4s, v14.4s, v15.4s}}, [{numbers}]",
            "cbz {units}, 4f",
            "2:",
            "ld1 {{v16.16b, v17.16b, v18.16b, v19.16b}}, [{codes}], #64",
            "ldrb {flag:w}, [{flags}], #1",
            "ld1 {{v20.16b, v21.16b, v22.16b, v23.16b}}, [{codes}], #64",
            "cbz {flag:w}, 3f",
            unit!(three, "smlal", "smlal2"),
            "subs {units}, {units}, #1",
            "b.ne 2b",
            "b 4f",
            "3:",
            unit!(two, "smull", "smull2"),
            "subs {units}, {units}, #1",
            "b.ne 2b",
            "4:",
            "cbz {steps}, 6f",
            "5:",
            step!(pair),
            "subs {steps}, {steps}, #1",
            "b.ne 5b",
            "6:",
            "cbz {half}, 7f",
            step!(half),
            "7:",
            // Of each pixel and channel four sums are left; a pixel's go to its vector.
            "addp v0.4s, v0.4s, v1.4s",
            "addp v2.4s, v2.4s, v3.4s",
            "addp v4.4s, v4.4s, v5.4s",
            "addp v6.4s, v6.4s, v7.4s",
            "addp v8.4s, v8.4s, v9.4s",
            "addp v10.4s, v10.4s, v11.4s",
            "addp v12.4s, v12.4s, v13.4s",
            "addp v14.4s, v14.4s, v15.4s",
            "addp v0.4s, v0.4s, v2.4s",
            "addp v4.4s, v4.4s, v6.4s",
            "addp v8.4s, v8.4s, v10.4s",
            "addp v12.4s, v12.4s, v14.4s",
            numbers = in(reg) block.numbers,
            flags = inout(reg) block.numbers.add(NUMBERS) => _,
            flag = out(reg) _,
            weights = inout(reg) block.numbers.add(NUMBERS + flag_bytes(block.depth)) => _,
            codes = inout(reg) codes => _,
            units = inout(reg) block.depth / UNIT => _,
            // More than half of a step is done as a whole one.
            steps = inout(reg) (rest + HALF - 1) / STEP => _,
            half = in(reg) usize::from((1..=HALF).contains(&(rest % STEP))),
            out("v0") sums[0], out("v4") sums[1], out("v8") sums[2], out("v12") sums[3],
            out("v1") _, out("v2") _, out("v3") _, out("v5") _, out("v6") _, out("v7") _,
            out("v9") _, out("v10") _, out("v11") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _,
            out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _,
            out("v26") _, out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(readonly, nostack)
        );
    }
    sums
}
