//! Steps of mean field inference, one block of classes after the other.

use crate::kernels::mean_field::{
    BLOCK, BlurArgs, EXP2, InferArgs, MAX_BLOCKS, Messages, NEGLIGIBLE, ROUND, SendArgs,
};

/// The scores of [`BLOCK`] classes, or their probabilities.
type Block = [f32; BLOCK];

/// See [`BlurArgs`].
pub fn blur(args: BlurArgs<'_>) {
    let (from, _) = args.from.as_chunks::<BLOCK>();
    let (to, _) = args.to.as_chunks_mut::<BLOCK>();
    let row = |index: usize| &from[index * args.blocks..][..args.blocks];
    let rows = to.chunks_exact_mut(args.blocks);
    for ((own, &pair), to) in (args.first..).zip(args.neighbours).zip(rows) {
        let [before, after] = pair.map(|vertex| row(vertex as usize));
        for (block, to) in to.iter_mut().enumerate() {
            for (lane, to) in to.iter_mut().enumerate() {
                *to = row(own)[block][lane] + 0.5 * (before[block][lane] + after[block][lane]);
            }
        }
    }
}

/// See [`InferArgs`].
pub fn infer(args: InferArgs<'_>) {
    let (scores, _) = args.scores.as_chunks_mut::<BLOCK>();
    let mut probabilities = args.probabilities.map(|rows| rows.as_chunks_mut().0);
    let mut values = [[0.0; BLOCK]; MAX_BLOCKS];
    let values = &mut values[..args.blocks];
    for (pixel, scores) in scores.chunks_exact_mut(args.blocks).enumerate() {
        values.copy_from_slice(scores);
        if let Some((appearance, smoothness)) = &args.messages {
            receive(values, appearance, pixel);
            receive(values, smoothness, pixel);
        }
        softmax(values);
        let row = match &mut probabilities {
            Some(rows) => &mut rows[pixel * args.blocks..][..args.blocks],
            None => scores,
        };
        row.copy_from_slice(values);
    }
}

/// Adds what a pixel's vertices hold.
fn receive<const CORNERS: usize>(
    values: &mut [Block],
    messages: &Messages<'_, CORNERS>,
    pixel: usize,
) {
    let (from, _) = messages.from.as_chunks::<BLOCK>();
    let weights = &messages.corners.weights[pixel];
    let rows = messages.corners.vertices[pixel]
        .map(|vertex| &from[vertex as usize * values.len()..][..values.len()]);
    for (block, values) in values.iter_mut().enumerate() {
        let mut sums = [0.0; BLOCK];
        for (row, &weight) in rows.iter().zip(weights) {
            for (sum, value) in sums.iter_mut().zip(row[block]) {
                *sum += weight * value;
            }
        }
        for (value, sum) in values.iter_mut().zip(sums) {
            *value += messages.strength * sum;
        }
    }
}

/// See [`SendArgs`].
pub fn send<const CORNERS: usize>(args: SendArgs<'_, CORNERS>) {
    let (probabilities, _) = args.probabilities.as_chunks::<BLOCK>();
    let (to, _) = args.to.as_chunks_mut::<BLOCK>();
    let corners = args.corners.vertices.iter().zip(args.corners.weights);
    for (values, (vertices, weights)) in probabilities.chunks_exact(args.blocks).zip(corners) {
        for (&vertex, &weight) in vertices.iter().zip(weights) {
            let row = &mut to[vertex as usize * args.blocks..][..args.blocks];
            for (sums, values) in row.iter_mut().zip(values) {
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += weight * value;
                }
            }
        }
    }
}

/// Scores to probabilities.
fn softmax(values: &mut [Block]) {
    let mut highest = values[0];
    for block in &values[1..] {
        for (highest, &value) in highest.iter_mut().zip(block) {
            *highest = greater(value, *highest);
        }
    }
    let highest = fold(highest, greater);
    let mut sums = [0.0; BLOCK];
    for block in &mut *values {
        for (sum, value) in sums.iter_mut().zip(block) {
            *value = exp2(*value - highest);
            *sum += *value;
        }
    }
    let factor = 1.0 / fold(sums, |a, b| a + b);
    for value in values.as_flattened_mut() {
        *value *= factor;
    }
}

/// The greater of two, as one instruction of most processors has it.
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Folds halves onto each other.
fn fold(v: Block, f: impl Fn(f32, f32) -> f32) -> f32 {
    let four: [f32; 4] = std::array::from_fn(|lane| f(v[lane], v[lane + 4]));
    let two: [f32; 2] = std::array::from_fn(|lane| f(four[lane], four[lane + 2]));
    f(two[0], two[1])
}

/// `2^x` for `x` up to 0, within two units in the last place; as of [`NEGLIGIBLE`] for
/// what is less.
fn exp2(x: f32) -> f32 {
    let within = greater(x, NEGLIGIBLE);
    let rounded = within + ROUND;
    // -1/2 to 1/2, and exact.
    let rest = within - (rounded - ROUND);
    let mut series = EXP2[0];
    for factor in &EXP2[1..] {
        series = series * rest + factor;
    }
    // The integer is in the last bits; moved to the exponent it is a product by 2^i.
    f32::from_bits(series.to_bits().wrapping_add(rounded.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_is_within_two_units_in_the_last_place() {
        for step in 0..580_000u32 {
            let x = -(step as f32) * 1e-4;
            let (got, want) = (f64::from(exp2(x)), f64::from(x).exp2());
            assert!(
                (got / want - 1.0).abs() < 2f64.powi(-22),
                "{x}: {got} {want}"
            );
        }
        assert_eq!(exp2(0.0), 1.0);
        for x in [NEGLIGIBLE, -1e3, -1e30, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(exp2(x), NEGLIGIBLE.exp2(), "{x}");
        }
    }
}
