//! Depthwise windows of three rows and columns with products four at a time, as loops that
//! keep columns and weights in registers: SDOT, or USDOT where codes need no sign.
//!
//! Three columns of a window and their weights take 24 registers. What else is the same
//! for every window (biases, multipliers, the places of codes) is read again each time:
//! one instruction fills four registers, and little else is read.

use std::arch::aarch64::*;
use std::arch::asm;

use super::codes::Finish;
use crate::kernels::vector::depthwise::{Columns, Windows};
use crate::kernels::vector::isa::{Isa, VECTORS};

/// Where among the codes of three rows those of each channel are; nowhere for the fourth
/// of a lane.
pub(super) static PLACES: [[u8; 16]; VECTORS] = {
    let mut places = [[u8::MAX; 16]; VECTORS];
    let mut at = 0;
    while at < 16 * VECTORS {
        let (channel, row) = (at / 4, at % 4);
        if row < 3 {
            places[at / 16][at % 16] = (16 * row + channel) as u8;
        }
        at += 1;
    }
    places
};

/// A column, or its weights.
type Quads = [int8x16_t; VECTORS];

/// Codes as the instruction takes them.
#[rustfmt::skip]
macro_rules! convert {
    (sdot) => {
        concat!(
            "eor v24.16b, v24.16b, v28.16b\n",
            "eor v25.16b, v25.16b, v28.16b\n",
            "eor v26.16b, v26.16b, v28.16b\n"
        )
    };
    (usdot) => { "" };
}
/// The next column, in registers `$a` to `$d`.
#[rustfmt::skip]
macro_rules! next_column {
    ($dot:ident: [$a:literal $b:literal $c:literal $d:literal]) => {
        concat!(
            "ld1 {{v24.16b}}, [{row0}], {step0}\n",
            "ld1 {{v25.16b}}, [{row1}], {step1}\n",
            "ld1 {{v26.16b}}, [{row2}], {step2}\n",
            "ld1 {{", $a, ".16b, ", $b, ".16b, ", $c, ".16b, ", $d, ".16b}}, [{places}]\n",
            convert!($dot),
            "tbl ", $a, ".16b, {{v24.16b, v25.16b, v26.16b}}, ", $a, ".16b\n",
            "tbl ", $b, ".16b, {{v24.16b, v25.16b, v26.16b}}, ", $b, ".16b\n",
            "tbl ", $c, ".16b, {{v24.16b, v25.16b, v26.16b}}, ", $c, ".16b\n",
            "tbl ", $d, ".16b, {{v24.16b, v25.16b, v26.16b}}, ", $d, ".16b\n"
        )
    };
}
/// Adds a column's products to the sums.
#[rustfmt::skip]
macro_rules! add {
    ($dot:ident: [$a:literal $b:literal $c:literal $d:literal] [$u:literal $v:literal $w:literal $x:literal]) => {
        concat!(
            stringify!($dot), " v24.4s, ", $a, ".16b, ", $u, ".16b\n",
            stringify!($dot), " v25.4s, ", $b, ".16b, ", $v, ".16b\n",
            stringify!($dot), " v26.4s, ", $c, ".16b, ", $w, ".16b\n",
            stringify!($dot), " v27.4s, ", $d, ".16b, ", $x, ".16b\n"
        )
    };
}
/// Sums to integers, with the multipliers in `$a` to `$d`.
#[rustfmt::skip]
macro_rules! scale {
    ([$a:literal $b:literal $c:literal $d:literal]) => {
        concat!(
            "ld1 {{", $a, ".4s, ", $b, ".4s, ", $c, ".4s, ", $d, ".4s}}, [{multipliers}]\n",
            "scvtf v24.4s, v24.4s\n",
            "scvtf v25.4s, v25.4s\n",
            "scvtf v26.4s, v26.4s\n",
            "scvtf v27.4s, v27.4s\n",
            "fmul v24.4s, v24.4s, ", $a, ".4s\n",
            "fmul v25.4s, v25.4s, ", $b, ".4s\n",
            "fmul v26.4s, v26.4s, ", $c, ".4s\n",
            "fmul v27.4s, v27.4s, ", $d, ".4s\n",
            "fcvtns v24.4s, v24.4s\n",
            "fcvtns v25.4s, v25.4s\n",
            "fcvtns v26.4s, v26.4s\n",
            "fcvtns v27.4s, v27.4s\n",
            "sqxtn v24.4h, v24.4s\n",
            "sqxtn v26.4h, v26.4s\n",
            "sqxtn2 v24.8h, v25.4s\n",
            "sqxtn2 v26.8h, v27.4s\n"
        )
    };
}
/// Integers to codes, by saturation alone.
#[rustfmt::skip]
macro_rules! bare {
    () => {
        "sqxtun v24.8b, v24.8h\n sqxtun2 v24.16b, v26.8h\n"
    };
}
/// Integers to codes.
#[rustfmt::skip]
macro_rules! bounded {
    () => {
        concat!(
            "sqadd v24.8h, v24.8h, v29.8h\n",
            "sqadd v26.8h, v26.8h, v29.8h\n",
            bare!(),
            "umax v24.16b, v24.16b, v30.16b\n",
            "umin v24.16b, v24.16b, v31.16b\n"
        )
    };
}
/// A window's codes. The first column's registers mean nothing from then on.
#[rustfmt::skip]
macro_rules! window {
    ($dot:ident $narrow:ident: $first:tt $second:tt $third:tt) => {
        concat!(
            "ld1 {{v24.4s, v25.4s, v26.4s, v27.4s}}, [{biases}]\n",
            add!($dot: $first ["v0" "v1" "v2" "v3"]),
            add!($dot: $second ["v4" "v5" "v6" "v7"]),
            add!($dot: $third ["v8" "v9" "v10" "v11"]),
            scale!($first),
            $narrow!(),
            "st1 {{v24.16b}}, [{out}], {out_step}\n"
        )
    };
}
/// Three windows, a column apart.
#[rustfmt::skip]
macro_rules! sliding {
    ($dot:ident $narrow:ident) => {
        concat!(
            next_column!($dot: ["v20" "v21" "v22" "v23"]),
            window!($dot $narrow: ["v12" "v13" "v14" "v15"] ["v16" "v17" "v18" "v19"] ["v20" "v21" "v22" "v23"]),
            next_column!($dot: ["v12" "v13" "v14" "v15"]),
            window!($dot $narrow: ["v16" "v17" "v18" "v19"] ["v20" "v21" "v22" "v23"] ["v12" "v13" "v14" "v15"]),
            next_column!($dot: ["v16" "v17" "v18" "v19"]),
            window!($dot $narrow: ["v20" "v21" "v22" "v23"] ["v12" "v13" "v14" "v15"] ["v16" "v17" "v18" "v19"])
        )
    };
}
/// Two windows, two columns apart.
#[rustfmt::skip]
macro_rules! striding {
    ($dot:ident $narrow:ident) => {
        concat!(
            next_column!($dot: ["v16" "v17" "v18" "v19"]),
            next_column!($dot: ["v20" "v21" "v22" "v23"]),
            window!($dot $narrow: ["v12" "v13" "v14" "v15"] ["v16" "v17" "v18" "v19"] ["v20" "v21" "v22" "v23"]),
            next_column!($dot: ["v16" "v17" "v18" "v19"]),
            next_column!($dot: ["v12" "v13" "v14" "v15"]),
            window!($dot $narrow: ["v20" "v21" "v22" "v23"] ["v16" "v17" "v18" "v19"] ["v12" "v13" "v14" "v15"])
        )
    };
}
/// `$round` for each round of windows, of `$each` columns; the columns that are left.
#[rustfmt::skip]
macro_rules! rounds {
    ($round:ident $dot:ident $narrow:ident, $each:literal, $columns:ident, $windows:ident, $held:expr) => {{
        let [u, v, w] = $windows.weights;
        let [mut a, mut b] = $held;
        let segment = $columns.segment;
        let finish = Finish::<false>::new(&segment.epilogue);
        let steps = $columns.steps;
        let [mut row0, mut row1, mut row2] = $columns.rows;
        asm!(
            "movi v28.16b, #0x80",
            "2:",
            $round!($dot $narrow),
            "subs {rounds}, {rounds}, #1",
            "b.ne 2b",
            row0 = inout(reg) row0, row1 = inout(reg) row1, row2 = inout(reg) row2,
            step0 = in(reg) steps[0], step1 = in(reg) steps[1], step2 = in(reg) steps[2],
            places = in(reg) PLACES.as_ptr(),
            biases = in(reg) segment.numbers,
            multipliers = in(reg) segment.numbers.add(16 * VECTORS),
            out = inout(reg) segment.out.add($windows.index * segment.out_stride) => _,
            out_step = in(reg) $windows.step * segment.out_stride,
            rounds = inout(reg) $windows.rounds => _,
            in("v0") u[0], in("v1") u[1], in("v2") u[2], in("v3") u[3],
            in("v4") v[0], in("v5") v[1], in("v6") v[2], in("v7") v[3],
            in("v8") w[0], in("v9") w[1], in("v10") w[2], in("v11") w[3],
            inout("v12") a[0], inout("v13") a[1], inout("v14") a[2], inout("v15") a[3],
            inout("v16") b[0], inout("v17") b[1], inout("v18") b[2], inout("v19") b[3],
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _,
            in("v29") finish.zero, in("v30") finish.low, in("v31") finish.high,
            options(nostack)
        );
        $columns.rows = [row0, row1, row2];
        $columns.passed($each * $windows.rounds);
        [a, b]
    }};
}

/// See [`slide`](crate::kernels::vector::depthwise::slide).
///
/// # Safety
/// As that loop; whole blocks of channels to which nothing is added, and a `BARE` one
/// has such an epilogue.
#[inline(always)]
pub(super) unsafe fn slide<I, const PLAIN: bool, const BARE: bool>(
    columns: &mut Columns<'_, '_, PLAIN>,
    windows: &Windows<'_, I>,
    held: [Quads; 2],
) -> [Quads; 2]
where
    I: Isa<Column = Quads, Weights = Quads>,
{
    if windows.rounds == 0 {
        return held;
    }
    // SAFETY: the caller promises the columns and the target's pixels.
    unsafe {
        match (I::CODE_OFFSET, BARE) {
            (0, true) => rounds!(sliding usdot bare, 3, columns, windows, held),
            (0, false) => rounds!(sliding usdot bounded, 3, columns, windows, held),
            (_, true) => rounds!(sliding sdot bare, 3, columns, windows, held),
            (_, false) => rounds!(sliding sdot bounded, 3, columns, windows, held),
        }
    }
}

/// See [`stride`](crate::kernels::vector::depthwise::stride).
///
/// # Safety
/// As [`slide`].
#[inline(always)]
pub(super) unsafe fn stride<I, const PLAIN: bool, const BARE: bool>(
    columns: &mut Columns<'_, '_, PLAIN>,
    windows: &Windows<'_, I>,
    held: Quads,
) -> Quads
where
    I: Isa<Column = Quads, Weights = Quads>,
{
    if windows.rounds == 0 {
        return held;
    }
    // SAFETY: as above.
    let [last, _] = unsafe {
        match (I::CODE_OFFSET, BARE) {
            (0, true) => rounds!(striding usdot bare, 4, columns, windows, [held; 2]),
            (0, false) => rounds!(striding usdot bounded, 4, columns, windows, [held; 2]),
            (_, true) => rounds!(striding sdot bare, 4, columns, windows, [held; 2]),
            (_, false) => rounds!(striding sdot bounded, 4, columns, windows, [held; 2]),
        }
    };
    last
}
