//! Products of codes and weights, four at a time (SDOT by element).
//!
//! A tile is twelve pixels by eight channels: five registers of codes and weights make
//! 24 products, and their sums take 24 registers.

use std::arch::aarch64::*;
use std::arch::asm;

use super::Dotprod;
use crate::kernels::aarch64::codes::{Finish, signed};
use crate::kernels::aarch64::conv::{Channels, GROUP, Gemm, Product, STEP, store_tile};

/// Bytes of a block's biases and multipliers.
const NUMBERS: usize = 96;

impl Gemm for Dotprod {
    const PIXELS: usize = 12;
    const OUTPUTS: usize = 8;
    const GROUP_BYTES: usize = 16;

    fn is_exact(_: &[i8]) -> bool {
        true
    }

    fn block_bytes(depth: usize) -> usize {
        NUMBERS + depth.div_ceil(4) * 4 * Self::OUTPUTS
    }

    /// The biases twice, the multipliers, and four weights of each channel in turn.
    fn pack(channels: &Channels<'_>, to: &mut [u8]) {
        let (numbers, weights) = to.split_at_mut(NUMBERS);
        let values = channels.biases.iter().zip(channels.multipliers);
        for (o, (bias, multiplier)) in values.enumerate() {
            numbers[4 * o..][..4].copy_from_slice(&bias.to_le_bytes());
            numbers[32 + 4 * o..][..4].copy_from_slice(&bias.to_le_bytes());
            numbers[64 + 4 * o..][..4].copy_from_slice(&multiplier.to_le_bytes());
        }
        for (at, to) in weights.iter_mut().enumerate() {
            let (k, o) = (at / 32 * 4 + at % 4, at / 4 % 8);
            *to = channels.weight(k, o) as u8;
        }
    }

    /// Four codes of each pixel in turn.
    #[inline(always)]
    unsafe fn lay_out(codes: [uint8x16_t; GROUP], groups: usize, to: *mut u8) {
        unsafe {
            let [a, b, c, d] = codes.map(|codes| vreinterpretq_u32_s8(signed(codes)));
            let codes = uint32x4x4_t(a, b, c, d);
            let step = 4 * groups;
            let to = to.cast::<u32>();
            vst4q_lane_u32::<0>(to, codes);
            vst4q_lane_u32::<1>(to.add(step), codes);
            vst4q_lane_u32::<2>(to.add(2 * step), codes);
            vst4q_lane_u32::<3>(to.add(3 * step), codes);
        }
    }

    #[target_feature(enable = "dotprod")]
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
        let (mut codes, mut out, mut left) = (block.codes, block.out, pixels);
        while left > 0 {
            let count = left.min(Dotprod::PIXELS);
            let groups = count.div_ceil(GROUP);
            match groups {
                1 => store::<BARE, 4>(block, &one_group(block, codes), count, &mut out),
                2 => store::<BARE, 8>(block, &two_groups(block, codes), count, &mut out),
                _ => store::<BARE, 12>(block, &three_groups(block, codes), count, &mut out),
            }
            codes = codes.add(groups * GROUP * block.depth.next_multiple_of(STEP));
            left -= count;
        }
    }
}

/// Stores the codes of a tile's first pixels, and goes on to the next one.
#[inline(always)]
unsafe fn store<const BARE: bool, const PIXELS: usize>(
    block: &Product<'_>,
    sums: &[[int32x4_t; 2]; PIXELS],
    count: usize,
    out: &mut *mut u8,
) {
    unsafe {
        let finish = Finish::<BARE>::new(block.epilogue);
        let multipliers = block.numbers.add(64).cast::<f32>();
        let (a, b) = (vld1q_f32(multipliers), vld1q_f32(multipliers.add(4)));
        let pair = |n: usize| {
            let [first, second] = [sums[2 * n], sums[2 * n + 1]];
            finish.sixteen([first[0], first[1], second[0], second[1]], [a, b, a, b])
        };
        store_tile::<PIXELS>(block, pair, count, out);
    }
}

/// The products of four codes of each pixel of a group with four weights of eight
/// channels: the lane of each pixel, and its sums.
#[rustfmt::skip]
macro_rules! quads {
    ($codes:literal, $low:literal, $high:literal, $($lane:literal $sum:literal $next:literal),*) => {
        concat!($(
            "sdot ", $sum, ".4s, ", $low, ".16b, ", $codes, ".4b[", $lane, "]\n",
            "sdot ", $next, ".4s, ", $high, ".16b, ", $codes, ".4b[", $lane, "]\n"
        ),*)
    };
}
#[rustfmt::skip]
macro_rules! first {
    ($low:literal, $high:literal) => {
        quads!("v28", $low, $high, 0 "v0" "v1", 1 "v2" "v3", 2 "v4" "v5", 3 "v6" "v7")
    };
}
#[rustfmt::skip]
macro_rules! second {
    ($low:literal, $high:literal) => {
        quads!("v29", $low, $high, 0 "v8" "v9", 1 "v10" "v11", 2 "v12" "v13", 3 "v14" "v15")
    };
}
#[rustfmt::skip]
macro_rules! third {
    ($low:literal, $high:literal) => {
        quads!("v30", $low, $high, 0 "v16" "v17", 1 "v18" "v19", 2 "v20" "v21", 3 "v22" "v23")
    };
}

/// The sums of a tile's pixels. `$load` takes the next four codes of each, `$groups`
/// multiply them; `$biases` are the registers that sums begin in, and `$sums` all of them.
#[rustfmt::skip]
macro_rules! tile {
    ($block:ident, $codes:ident, $load:literal, [$($groups:ident)*], [$($biases:literal)*],
     [$($register:tt $sum:expr),*]) => {
        // SAFETY: the caller has the instructions; block and codes are as they were packed
        // and laid out, for the block's depth.
        asm!(
            $(concat!("ld1 {{", $biases, "}}, [{numbers}]"),)*
            "add {weights}, {numbers}, #96",
            "cbz {steps}, 3f",
            "2:",
            "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{weights}], #64",
            $load,
            $($groups!("v24", "v25"),)*
            $load,
            $($groups!("v26", "v27"),)*
            "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{weights}], #64",
            $load,
            $($groups!("v24", "v25"),)*
            "subs {steps}, {steps}, #1",
            $load,
            $($groups!("v26", "v27"),)*
            "b.ne 2b",
            "3:",
            "cbz {rest}, 5f",
            "4:",
            "ld1 {{v24.16b, v25.16b}}, [{weights}], #32",
            $load,
            "subs {rest}, {rest}, #1",
            $($groups!("v24", "v25"),)*
            "b.ne 4b",
            "5:",
            numbers = in(reg) $block.numbers,
            weights = out(reg) _,
            codes = inout(reg) $codes => _,
            steps = inout(reg) $block.depth / STEP => _,
            rest = inout(reg) ($block.depth % STEP).div_ceil(4) => _,
            $(out($register) $sum,)*
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _,
            options(readonly, nostack)
        )
    };
}

/// The sums of up to twelve pixels.
#[inline(always)]
unsafe fn three_groups(block: &Product<'_>, codes: *const u8) -> [[int32x4_t; 2]; 12] {
    unsafe {
        let mut s = [[vdupq_n_s32(0); 2]; 12];
        tile!(
            block, codes, "ld1 {{v28.16b, v29.16b, v30.16b}}, [{codes}], #48",
            [first second third],
            ["v0.4s, v1.4s, v2.4s, v3.4s" "v4.4s, v5.4s, v6.4s, v7.4s"
             "v8.4s, v9.4s, v10.4s, v11.4s" "v12.4s, v13.4s, v14.4s, v15.4s"
             "v16.4s, v17.4s, v18.4s, v19.4s" "v20.4s, v21.4s, v22.4s, v23.4s"],
            ["v0" s[0][0], "v1" s[0][1], "v2" s[1][0], "v3" s[1][1],
             "v4" s[2][0], "v5" s[2][1], "v6" s[3][0], "v7" s[3][1],
             "v8" s[4][0], "v9" s[4][1], "v10" s[5][0], "v11" s[5][1],
             "v12" s[6][0], "v13" s[6][1], "v14" s[7][0], "v15" s[7][1],
             "v16" s[8][0], "v17" s[8][1], "v18" s[9][0], "v19" s[9][1],
             "v20" s[10][0], "v21" s[10][1], "v22" s[11][0], "v23" s[11][1]]
        );
        s
    }
}

/// The sums of up to eight pixels.
#[inline(always)]
unsafe fn two_groups(block: &Product<'_>, codes: *const u8) -> [[int32x4_t; 2]; 8] {
    unsafe {
        let mut s = [[vdupq_n_s32(0); 2]; 8];
        tile!(
            block, codes, "ld1 {{v28.16b, v29.16b}}, [{codes}], #32",
            [first second],
            ["v0.4s, v1.4s, v2.4s, v3.4s" "v4.4s, v5.4s, v6.4s, v7.4s"
             "v8.4s, v9.4s, v10.4s, v11.4s" "v12.4s, v13.4s, v14.4s, v15.4s"],
            ["v0" s[0][0], "v1" s[0][1], "v2" s[1][0], "v3" s[1][1],
             "v4" s[2][0], "v5" s[2][1], "v6" s[3][0], "v7" s[3][1],
             "v8" s[4][0], "v9" s[4][1], "v10" s[5][0], "v11" s[5][1],
             "v12" s[6][0], "v13" s[6][1], "v14" s[7][0], "v15" s[7][1]]
        );
        s
    }
}

/// The sums of up to four pixels.
#[inline(always)]
unsafe fn one_group(block: &Product<'_>, codes: *const u8) -> [[int32x4_t; 2]; 4] {
    unsafe {
        let mut s = [[vdupq_n_s32(0); 2]; 4];
        tile!(
            block, codes, "ld1 {{v28.16b}}, [{codes}], #16",
            [first],
            ["v0.4s, v1.4s, v2.4s, v3.4s" "v4.4s, v5.4s, v6.4s, v7.4s"],
            ["v0" s[0][0], "v1" s[0][1], "v2" s[1][0], "v3" s[1][1],
             "v4" s[2][0], "v5" s[2][1], "v6" s[3][0], "v7" s[3][1]]
        );
        s
    }
}
