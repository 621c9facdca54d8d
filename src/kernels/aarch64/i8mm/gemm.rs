//! Products of codes and weights as those of matrices (USMMLA): eight codes of two pixels
//! with eight weights of two channels.
//!
//! A tile is twelve pixels by eight channels, whose sums take 24 registers.

use std::arch::aarch64::*;
use std::arch::asm;

use super::I8mm;
use crate::kernels::aarch64::codes::Finish;
use crate::kernels::aarch64::conv::{Channels, GROUP, Gemm, Product, STEP, store_tile};

/// Bytes of a block's biases and multipliers.
const NUMBERS: usize = 128;
/// Codes of a pixel, or weights of a channel, that are multiplied at once.
const RUN: usize = 8;
/// Where the codes of a pair of pixels are, channel by channel: sums hold two channels of
/// one, and then of the other.
static PLACES: [u8; 16] = [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15];

impl Gemm for I8mm {
    const PIXELS: usize = 12;
    const OUTPUTS: usize = 8;
    const GROUP_BYTES: usize = 32;

    fn is_exact(_: &[i8]) -> bool {
        true
    }

    fn block_bytes(depth: usize) -> usize {
        NUMBERS + depth.next_multiple_of(RUN) * Self::OUTPUTS
    }

    /// Biases and multipliers, those of two channels twice, and eight weights of each
    /// channel in turn.
    fn pack(channels: &Channels<'_>, to: &mut [u8]) {
        let (numbers, weights) = to.split_at_mut(NUMBERS);
        let values = channels.biases.iter().zip(channels.multipliers);
        for (o, (bias, multiplier)) in values.enumerate() {
            for copy in 0..2 {
                let at = 16 * (o / 2) + 8 * copy + 4 * (o % 2);
                numbers[at..][..4].copy_from_slice(&bias.to_le_bytes());
                numbers[64 + at..][..4].copy_from_slice(&multiplier.to_le_bytes());
            }
        }
        for (at, to) in weights.iter_mut().enumerate() {
            let (k, o) = (at / 64 * RUN + at % RUN, at / RUN % Self::OUTPUTS);
            *to = channels.weight(k, o) as u8;
        }
    }

    /// Eight codes of each pixel in turn.
    #[inline(always)]
    unsafe fn lay_out(codes: [uint8x16_t; GROUP], groups: usize, to: *mut u8) {
        unsafe {
            let [a, b, c, d] = codes.map(|codes| vreinterpretq_u64_u8(codes));
            let to = to.cast::<u64>();
            vst1q_u64(to, vzip1q_u64(a, b));
            vst1q_u64(to.add(2), vzip1q_u64(c, d));
            let to = to.add(4 * groups);
            vst1q_u64(to, vzip2q_u64(a, b));
            vst1q_u64(to.add(2), vzip2q_u64(c, d));
        }
    }

    #[target_feature(enable = "i8mm")]
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
            let count = left.min(I8mm::PIXELS);
            let groups = count.div_ceil(GROUP);
            match groups {
                1 => store::<BARE, 4, 2>(block, &one_group(block, codes), count, &mut out),
                2 => store::<BARE, 8, 4>(block, &two_groups(block, codes), count, &mut out),
                _ => store::<BARE, 12, 6>(block, &three_groups(block, codes), count, &mut out),
            }
            codes = codes.add(groups * GROUP * block.depth.next_multiple_of(STEP));
            left -= count;
        }
    }
}

/// Stores the codes of a tile's first pixels, and goes on to the next one.
#[inline(always)]
unsafe fn store<const BARE: bool, const PIXELS: usize, const PAIRS: usize>(
    block: &Product<'_>,
    sums: &[[int32x4_t; 4]; PAIRS],
    count: usize,
    out: &mut *mut u8,
) {
    unsafe {
        let finish = Finish::<BARE>::new(block.epilogue);
        let multipliers = block.numbers.add(64).cast::<f32>();
        let multipliers = std::array::from_fn(|n| vld1q_f32(multipliers.add(4 * n)));
        let places = vld1q_u8(PLACES.as_ptr());
        let pair = |n: usize| vqtbl1q_u8(finish.sixteen(sums[n], multipliers), places);
        store_tile::<PIXELS>(block, pair, count, out);
    }
}

/// The products of two pixels' codes with the weights of eight channels.
#[rustfmt::skip]
macro_rules! pair {
    ($codes:literal: $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "usmmla ", $a, ".4s, ", $codes, ".16b, v24.16b\n",
            "usmmla ", $b, ".4s, ", $codes, ".16b, v25.16b\n",
            "usmmla ", $c, ".4s, ", $codes, ".16b, v26.16b\n",
            "usmmla ", $d, ".4s, ", $codes, ".16b, v27.16b\n"
        )
    };
}

/// The sums of a tile's pixels, which begin in the registers `$biases`. `$products` takes
/// the next eight codes of each pixel.
#[rustfmt::skip]
macro_rules! tile {
    ($block:ident, $codes:ident, [$($products:expr),*], [$($biases:literal)*],
     [$($register:tt $sum:expr),*]) => {
        // SAFETY: the caller has the instructions; block and codes are as they were packed
        // and laid out, for the block's depth.
        asm!(
            $(concat!("ld1 {{", $biases, "}}, [{numbers}]"),)*
            "add {weights}, {numbers}, #128",
            "cbz {steps}, 3f",
            "2:",
            "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{weights}], #64",
            $($products,)*
            "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{weights}], #64",
            "subs {steps}, {steps}, #1",
            $($products,)*
            "b.ne 2b",
            "3:",
            "cbz {rest}, 5f",
            "4:",
            "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{weights}], #64",
            "subs {rest}, {rest}, #1",
            $($products,)*
            "b.ne 4b",
            "5:",
            numbers = in(reg) $block.numbers,
            weights = out(reg) _,
            codes = inout(reg) $codes => _,
            steps = inout(reg) $block.depth / STEP => _,
            rest = inout(reg) ($block.depth % STEP).div_ceil(RUN) => _,
            $(out($register) $sum,)*
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(readonly, nostack)
        )
    };
}

/// The sums of up to twelve pixels: of pairs of them with pairs of channels.
#[inline(always)]
unsafe fn three_groups(block: &Product<'_>, codes: *const u8) -> [[int32x4_t; 4]; 6] {
    unsafe {
        let mut s = [[vdupq_n_s32(0); 4]; 6];
        tile!(
            block, codes,
            ["ld1 {{v28.16b, v29.16b, v30.16b}}, [{codes}], #48",
             pair!("v28": "v0" "v1" "v2" "v3"),
             pair!("v29": "v4" "v5" "v6" "v7"),
             pair!("v30": "v8" "v9" "v10" "v11"),
             "ld1 {{v28.16b, v29.16b, v30.16b}}, [{codes}], #48",
             pair!("v28": "v12" "v13" "v14" "v15"),
             pair!("v29": "v16" "v17" "v18" "v19"),
             pair!("v30": "v20" "v21" "v22" "v23")],
            ["v0.4s, v1.4s, v2.4s, v3.4s" "v4.4s, v5.4s, v6.4s, v7.4s"
             "v8.4s, v9.4s, v10.4s, v11.4s" "v12.4s, v13.4s, v14.4s, v15.4s"
             "v16.4s, v17.4s, v18.4s, v19.4s" "v20.4s, v21.4s, v22.4s, v23.4s"],
            ["v0" s[0][0], "v1" s[0][1], "v2" s[0][2], "v3" s[0][3],
             "v4" s[1][0], "v5" s[1][1], "v6" s[1][2], "v7" s[1][3],
             "v8" s[2][0], "v9" s[2][1], "v10" s[2][2], "v11" s[2][3],
             "v12" s[3][0], "v13" s[3][1], "v14" s[3][2], "v15" s[3][3],
             "v16" s[4][0], "v17" s[4][1], "v18" s[4][2], "v19" s[4][3],
             "v20" s[5][0], "v21" s[5][1], "v22" s[5][2], "v23" s[5][3]]
        );
        s
    }
}

/// The sums of up to eight pixels.
#[inline(always)]
unsafe fn two_groups(block: &Product<'_>, codes: *const u8) -> [[int32x4_t; 4]; 4] {
    unsafe {
        let mut s = [[vdupq_n_s32(0); 4]; 4];
        tile!(
            block, codes,
            ["ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{codes}], #64",
             pair!("v28": "v0" "v1" "v2" "v3"),
             pair!("v29": "v4" "v5" "v6" "v7"),
             pair!("v30": "v8" "v9" "v10" "v11"),
             pair!("v31": "v12" "v13" "v14" "v15")],
            ["v0.4s, v1.4s, v2.4s, v3.4s" "v4.4s, v5.4s, v6.4s, v7.4s"
             "v8.4s, v9.4s, v10.4s, v11.4s" "v12.4s, v13.4s, v14.4s, v15.4s"],
            ["v0" s[0][0], "v1" s[0][1], "v2" s[0][2], "v3" s[0][3],
             "v4" s[1][0], "v5" s[1][1], "v6" s[1][2], "v7" s[1][3],
             "v8" s[2][0], "v9" s[2][1], "v10" s[2][2], "v11" s[2][3],
             "v12" s[3][0], "v13" s[3][1], "v14" s[3][2], "v15" s[3][3]]
        );
        s
    }
}

/// The sums of up to four pixels.
#[inline(always)]
unsafe fn one_group(block: &Product<'_>, codes: *const u8) -> [[int32x4_t; 4]; 2] {
    unsafe {
        let mut s = [[vdupq_n_s32(0); 4]; 2];
        tile!(
            block, codes,
            ["ld1 {{v28.16b, v29.16b}}, [{codes}], #32",
             pair!("v28": "v0" "v1" "v2" "v3"),
             pair!("v29": "v4" "v5" "v6" "v7")],
            ["v0.4s, v1.4s, v2.4s, v3.4s" "v4.4s, v5.4s, v6.4s, v7.4s"],
            ["v0" s[0][0], "v1" s[0][1], "v2" s[0][2], "v3" s[0][3],
             "v4" s[1][0], "v5" s[1][1], "v6" s[1][2], "v7" s[1][3]]
        );
        s
    }
}
