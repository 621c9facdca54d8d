//! Rows of luma and chroma to red, green and blue.

use crate::kernels::imaging::{FACTOR_BITS, YuvFactors, YuvRow};

/// One half, for rounding.
const HALF: i32 = 1 << (FACTOR_BITS - 1);
/// Pixels converted at once.
const BLOCK: usize = 32;

/// Converts a row to three bytes a pixel, red first; see [`YuvFactors`].
///
/// # Panics
/// If the row has fewer pixels than `out` takes, or those are not whole.
#[inline(always)]
pub fn colour(factors: &YuvFactors, row: YuvRow<'_>, out: &mut [u8]) {
    assert!(out.len().is_multiple_of(3) && row.holds(out.len() / 3));
    match row {
        YuvRow::Grey(y) => {
            let (pixels, _) = out.as_chunks_mut::<3>();
            for (out, &y) in pixels.iter_mut().zip(y) {
                *out = pixel(factors, y, [HALF; 3]);
            }
        }
        YuvRow::Packed(quads) => convert(factors, out, |x, n, block| {
            let (quads, _) = quads[x * 2..(x + n.next_multiple_of(2)) * 2].as_chunks::<4>();
            let (y, _) = block.y.as_chunks_mut::<2>();
            let (u, _) = block.u.as_chunks_mut::<2>();
            let (v, _) = block.v.as_chunks_mut::<2>();
            for (((quad, y), u), v) in quads.iter().zip(y).zip(u).zip(v) {
                (*y, *u, *v) = ([quad[0], quad[2]], [quad[1]; 2], [quad[3]; 2]);
            }
        }),
        YuvRow::SemiPlanar(y, uv) => convert(factors, out, |x, n, block| {
            block.y[..n].copy_from_slice(&y[x..x + n]);
            let (pairs, _) = uv[x..x + n.next_multiple_of(2)].as_chunks::<2>();
            let (u, _) = block.u.as_chunks_mut::<2>();
            let (v, _) = block.v.as_chunks_mut::<2>();
            for ((pair, u), v) in pairs.iter().zip(u).zip(v) {
                (*u, *v) = ([pair[0]; 2], [pair[1]; 2]);
            }
        }),
        YuvRow::HalfPlanar(y, u, v) => convert(factors, out, |x, n, block| {
            block.y[..n].copy_from_slice(&y[x..x + n]);
            repeat(&u[x / 2..(x + n).div_ceil(2)], &mut block.u[..n]);
            repeat(&v[x / 2..(x + n).div_ceil(2)], &mut block.v[..n]);
        }),
        YuvRow::FullPlanar(y, u, v) => convert(factors, out, |x, n, block| {
            block.y[..n].copy_from_slice(&y[x..x + n]);
            block.u[..n].copy_from_slice(&u[x..x + n]);
            block.v[..n].copy_from_slice(&v[x..x + n]);
        }),
    }
}

/// What chroma adds to red, green and blue, with the rounding half.
#[inline(always)]
fn chroma(factors: &YuvFactors, u: u8, v: u8) -> [i32; 3] {
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    [
        factors.red_v * v + HALF,
        HALF - factors.green_u * u - factors.green_v * v,
        factors.blue_u * u + HALF,
    ]
}

#[inline(always)]
fn pixel(factors: &YuvFactors, y: u8, chroma: [i32; 3]) -> [u8; 3] {
    let luma = (i32::from(y) - factors.offset) * factors.luma;
    chroma.map(|c| ((luma + c) >> FACTOR_BITS).clamp(0, 255) as u8)
}

/// Y, U and V of [`BLOCK`] pixels.
struct Block {
    y: [u8; BLOCK],
    u: [u8; BLOCK],
    v: [u8; BLOCK],
}

/// Converts a row by blocks. `load` fills a block from the given pixel on: whole,
/// or as many pixels as there are. In full blocks all lengths are constants, which
/// lets the compiler use vectors.
#[inline(always)]
fn convert(factors: &YuvFactors, out: &mut [u8], load: impl Fn(usize, usize, &mut Block)) {
    let mut block = Block {
        y: [0; BLOCK],
        u: [128; BLOCK],
        v: [128; BLOCK],
    };
    let width = out.len() / 3;
    let (blocks, rest) = out.as_chunks_mut::<{ 3 * BLOCK }>();
    let done = blocks.len() * BLOCK;
    for (index, target) in blocks.iter_mut().enumerate() {
        load(index * BLOCK, BLOCK, &mut block);
        *target = convert_block(factors, &block);
    }
    if !rest.is_empty() {
        load(done, width - done, &mut block);
        rest.copy_from_slice(&convert_block(factors, &block)[..rest.len()]);
    }
}

#[inline(always)]
fn convert_block(factors: &YuvFactors, block: &Block) -> [u8; 3 * BLOCK] {
    let mut out = [0; 3 * BLOCK];
    let (pixels, _) = out.as_chunks_mut::<3>();
    for (i, out) in pixels.iter_mut().enumerate() {
        *out = pixel(factors, block.y[i], chroma(factors, block.u[i], block.v[i]));
    }
    out
}

/// Repeats each sample twice; the last only once where the target is odd.
#[inline(always)]
fn repeat(samples: &[u8], target: &mut [u8]) {
    let (pairs, last) = target.as_chunks_mut::<2>();
    for (pair, &sample) in pairs.iter_mut().zip(samples) {
        *pair = [sample; 2];
    }
    if let ([last], Some(&sample)) = (last, samples.last()) {
        *last = sample;
    }
}
