//! Steps of mean field inference, see [`BlurArgs`], [`InferArgs`] and [`SendArgs`].
//!
//! Rows of one to four blocks, which is most models' number of classes, have loops of
//! their own: `ROOM` is their number of blocks then, and [`MAX_BLOCKS`] for all others.

use super::floats::Floats;
use crate::kernels::mean_field::{
    BLOCK, BlurArgs, EXP2, InferArgs, MAX_BLOCKS, Messages, NEGLIGIBLE, ROUND, SendArgs,
};

type Block = [f32; BLOCK];

/// Pixels that take a step together: a softmax is a long chain of operations that wait
/// for each other.
const TILE: usize = 4;

/// One pass of a lattice's blur.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
pub unsafe fn blur<F: Floats>(args: BlurArgs<'_>) {
    // SAFETY: the caller promises the instructions.
    unsafe {
        match args.blocks {
            1 => blur_rows::<F, 1>(args),
            2 => blur_rows::<F, 2>(args),
            3 => blur_rows::<F, 3>(args),
            4 => blur_rows::<F, 4>(args),
            _ => blur_rows::<F, MAX_BLOCKS>(args),
        }
    }
}

/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn blur_rows<F: Floats, const ROOM: usize>(args: BlurArgs<'_>) {
    let blocks = blocks::<ROOM>(args.blocks);
    let (from, _) = args.from.as_chunks::<BLOCK>();
    let (to, _) = args.to.as_chunks_mut::<BLOCK>();
    let own = from[args.first * blocks..].chunks_exact(blocks);
    let rows = own.zip(to.chunks_exact_mut(blocks));
    for (&[before, after], (own, to)) in args.neighbours.iter().zip(rows) {
        let before = row::<ROOM>(from, before, blocks);
        let after = row::<ROOM>(from, after, blocks);
        for block in 0..blocks {
            // SAFETY: the caller promises the instructions.
            unsafe {
                let sum = F::add(F::load(&before[block]), F::load(&after[block]));
                let half = F::mul(F::splat(0.5), sum);
                F::store(F::add(F::load(&own[block]), half), &mut to[block]);
            }
        }
    }
}

/// Blocks of a row: a number known to the compiler unless `ROOM` is [`MAX_BLOCKS`].
#[inline(always)]
fn blocks<const ROOM: usize>(blocks: usize) -> usize {
    if ROOM == MAX_BLOCKS { blocks } else { ROOM }
}

/// A vertex' row.
#[inline(always)]
fn row<const ROOM: usize>(rows: &[Block], index: u32, blocks: usize) -> &[Block] {
    let index = index as usize;
    if ROOM == MAX_BLOCKS {
        &rows[index * blocks..][..blocks]
    } else {
        &rows.as_chunks::<ROOM>().0[index]
    }
}

/// As [`row`], to write.
#[inline(always)]
fn row_mut<const ROOM: usize>(rows: &mut [Block], index: u32, blocks: usize) -> &mut [Block] {
    let index = index as usize;
    if ROOM == MAX_BLOCKS {
        &mut rows[index * blocks..][..blocks]
    } else {
        &mut rows.as_chunks_mut::<ROOM>().0[index]
    }
}

/// Messages and softmax.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
pub unsafe fn infer<F: Floats>(args: InferArgs<'_>) {
    // SAFETY: the caller promises the instructions.
    unsafe {
        match args.blocks {
            1 => infer_rows::<F, 1>(args),
            2 => infer_rows::<F, 2>(args),
            3 => infer_rows::<F, 3>(args),
            4 => infer_rows::<F, 4>(args),
            _ => infer_rows::<F, MAX_BLOCKS>(args),
        }
    }
}

/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn infer_rows<F: Floats, const ROOM: usize>(args: InferArgs<'_>) {
    let blocks = blocks::<ROOM>(args.blocks);
    let (scores, _) = args.scores.as_chunks_mut::<BLOCK>();
    let mut probabilities = args.probabilities.map(|rows| rows.as_chunks_mut().0);
    // SAFETY: the caller promises the instructions.
    unsafe {
        let mut tile = [[F::splat(0.0); ROOM]; TILE];
        for (index, scores) in scores.chunks_mut(TILE * blocks).enumerate() {
            let first = index * TILE;
            let rows = tile.iter_mut().zip(scores.chunks_exact(blocks));
            for (pixel, (values, scores)) in (first..).zip(rows) {
                for block in 0..blocks {
                    values[block] = F::load(&scores[block]);
                }
                if let Some((appearance, smoothness)) = &args.messages {
                    add_received::<F, ROOM, _>(values, blocks, appearance, pixel);
                    add_received::<F, ROOM, _>(values, blocks, smoothness, pixel);
                }
            }
            // Those of the last tile that are no pixels hold what was there.
            softmax::<F, ROOM>(&mut tile, blocks);
            let rows = match &mut probabilities {
                Some(rows) => &mut rows[first * blocks..][..scores.len()],
                None => scores,
            };
            for (values, row) in tile.iter().zip(rows.chunks_exact_mut(blocks)) {
                for block in 0..blocks {
                    F::store(values[block], &mut row[block]);
                }
            }
        }
    }
}

/// Adds what a pixel's vertices hold.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn add_received<F: Floats, const ROOM: usize, const CORNERS: usize>(
    values: &mut [F::Vector; ROOM],
    blocks: usize,
    messages: &Messages<'_, CORNERS>,
    pixel: usize,
) {
    let corners = &messages.corners;
    let corners = corners.vertices[pixel].iter().zip(&corners.weights[pixel]);
    let (from, _) = messages.from.as_chunks::<BLOCK>();
    // SAFETY: the caller promises the instructions.
    unsafe {
        let mut sums = [F::splat(0.0); ROOM];
        for (&vertex, &weight) in corners {
            let vertex = row::<ROOM>(from, vertex, blocks);
            let weight = F::splat(weight);
            for block in 0..blocks {
                let product = F::mul(weight, F::load(&vertex[block]));
                sums[block] = F::add(sums[block], product);
            }
        }
        let strength = F::splat(messages.strength);
        for block in 0..blocks {
            values[block] = F::add(values[block], F::mul(strength, sums[block]));
        }
    }
}

/// Adds pixels' probabilities to their vertices.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
pub unsafe fn send<F: Floats, const CORNERS: usize>(args: SendArgs<'_, CORNERS>) {
    // SAFETY: the caller promises the instructions.
    unsafe {
        match args.blocks {
            1 => send_rows::<F, 1, CORNERS>(args),
            2 => send_rows::<F, 2, CORNERS>(args),
            3 => send_rows::<F, 3, CORNERS>(args),
            4 => send_rows::<F, 4, CORNERS>(args),
            _ => send_rows::<F, MAX_BLOCKS, CORNERS>(args),
        }
    }
}

/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn send_rows<F: Floats, const ROOM: usize, const CORNERS: usize>(
    args: SendArgs<'_, CORNERS>,
) {
    let blocks = blocks::<ROOM>(args.blocks);
    let (probabilities, _) = args.probabilities.as_chunks::<BLOCK>();
    let (to, _) = args.to.as_chunks_mut::<BLOCK>();
    let corners = args.corners.vertices.iter().zip(args.corners.weights);
    for (row, (vertices, weights)) in probabilities.chunks_exact(blocks).zip(corners) {
        // SAFETY: the caller promises the instructions.
        unsafe {
            let mut values = [F::splat(0.0); ROOM];
            for block in 0..blocks {
                values[block] = F::load(&row[block]);
            }
            for (&vertex, &weight) in vertices.iter().zip(weights) {
                let vertex = row_mut::<ROOM>(to, vertex, blocks);
                for block in 0..blocks {
                    let product = F::mul(F::splat(weight), values[block]);
                    let sum = F::add(F::load(&vertex[block]), product);
                    F::store(sum, &mut vertex[block]);
                }
            }
        }
    }
}

/// Scores to probabilities.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn softmax<F: Floats, const ROOM: usize>(
    tile: &mut [[F::Vector; ROOM]; TILE],
    blocks: usize,
) {
    // SAFETY: the caller promises the instructions.
    unsafe {
        let mut folded = [F::splat(0.0); TILE];
        for (highest, values) in folded.iter_mut().zip(&*tile) {
            *highest = values[0];
            for &block in &values[1..blocks] {
                *highest = F::max(block, *highest);
            }
        }
        let highest = F::fold_max(folded);
        for ((sum, values), highest) in folded.iter_mut().zip(&mut *tile).zip(highest) {
            let highest = F::splat(highest);
            *sum = F::splat(0.0);
            for block in &mut values[..blocks] {
                *block = exp2::<F>(F::sub(*block, highest));
                *sum = F::add(*sum, *block);
            }
        }
        let factors = F::fold_sum(folded).map(|sum| 1.0 / sum);
        for (values, factor) in tile.iter_mut().zip(factors) {
            for block in &mut values[..blocks] {
                *block = F::mul(*block, F::splat(factor));
            }
        }
    }
}

/// As the scalar kernel's.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn exp2<F: Floats>(x: F::Vector) -> F::Vector {
    // SAFETY: the caller promises the instructions.
    unsafe {
        let within = F::max(x, F::splat(NEGLIGIBLE));
        let rounded = F::add(within, F::splat(ROUND));
        let rest = F::sub(within, F::sub(rounded, F::splat(ROUND)));
        let mut series = F::splat(EXP2[0]);
        for &factor in &EXP2[1..] {
            series = F::add(F::mul(series, rest), F::splat(factor));
        }
        F::raise(series, rounded)
    }
}
