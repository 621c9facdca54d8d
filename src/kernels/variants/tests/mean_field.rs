use proptest::prelude::*;

use crate::kernels::mean_field::{
    BLOCK, BlurArgs, Corners, InferArgs, MAX_BLOCKS, Messages, PADDING, SendArgs,
};
use crate::kernels::scalar;
use crate::kernels::testing;
use crate::kernels::variants::MEAN_FIELD;

/// Numbers from -1 to 1.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let bytes = testing::bytes(seed, 2 * count);
    let (pairs, _) = bytes.as_chunks::<2>();
    let number = |&pair: &[u8; 2]| f32::from(i16::from_le_bytes(pair)) / 32768.0;
    pairs.iter().map(number).collect()
}

fn indices(seed: u64, count: usize, below: usize) -> Vec<u32> {
    let bytes = testing::bytes(seed, count);
    bytes.iter().map(|&b| u32::from(b) % below as u32).collect()
}

/// Vertices and weights of some pixels.
fn corners<const CORNERS: usize>(
    seed: u64,
    pixels: usize,
    vertices: usize,
) -> (Vec<[u32; CORNERS]>, Vec<[f32; CORNERS]>) {
    let indices = indices(seed, pixels * CORNERS, vertices);
    let weights = numbers(seed ^ 1, pixels * CORNERS);
    (
        indices.as_chunks().0.to_vec(),
        weights.as_chunks().0.to_vec(),
    )
}

fn borrowed<const CORNERS: usize>(
    (vertices, weights): &(Vec<[u32; CORNERS]>, Vec<[f32; CORNERS]>),
) -> Corners<'_, CORNERS> {
    Corners { vertices, weights }
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|n| n.to_bits()).collect()
}

/// The blur of all vertices at once.
fn scalar_blur(blocks: usize, neighbours: &[[u32; 2]], from: &[f32]) -> Vec<u32> {
    let mut to = vec![7.0; from.len()];
    scalar::mean_field::blur(BlurArgs {
        blocks,
        first: 0,
        neighbours,
        from,
        to: &mut to,
    });
    bits(&to)
}

fn blocks() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1usize..6, 1 => 6..=MAX_BLOCKS]
}

proptest! {
    #[test]
    fn blur(blocks in blocks(), vertices in 1usize..40, seed in any::<u64>()) {
        let mut from = numbers(seed, vertices * blocks * BLOCK);
        from.resize((vertices + 1) * blocks * BLOCK, 0.0);
        let neighbours = indices(seed ^ 2, 2 * vertices, vertices + 1);
        let neighbours = neighbours.as_chunks().0;
        let run = |blur: fn(BlurArgs<'_>)| {
            let mut to = vec![7.0; from.len()];
            let row = blocks * BLOCK;
            let (first, rest) = to.split_at_mut(vertices / 3 * row);
            for (first, neighbours, to) in [
                (0, &neighbours[..vertices / 3], first),
                (vertices / 3, &neighbours[vertices / 3..], rest),
            ] {
                blur(BlurArgs { blocks, first, neighbours, from: &from, to });
            }
            bits(&to)
        };
        let all = scalar_blur(blocks, neighbours, &from);
        prop_assert_eq!(&run(scalar::mean_field::blur), &all, "in parts");
        let wanted = run(scalar::mean_field::blur);
        for variant in MEAN_FIELD.iter().filter(|variant| variant.tier.is_available()) {
            prop_assert_eq!(run(variant.kernel.blur), &wanted[..], "{}", variant.name);
        }
    }

    #[test]
    fn infer(
        blocks in blocks(), padding in 0..BLOCK, pixels in 0usize..20, vertices in 1usize..30,
        receive in any::<bool>(), in_place in any::<bool>(), seed in any::<u64>(),
        spread in prop_oneof![Just(0.0f32), 1.0f32..90.0, Just(1e9)],
    ) {
        let row = blocks * BLOCK;
        let mut scores: Vec<f32> = numbers(seed, pixels * row).iter().map(|n| n * spread).collect();
        for row in scores.chunks_exact_mut(row) {
            row[blocks * BLOCK - padding..].fill(PADDING);
        }
        let from = numbers(seed ^ 3, vertices * row);
        let by_colour = corners::<6>(seed ^ 4, pixels, vertices);
        let by_place = corners::<3>(seed ^ 6, pixels, vertices);
        let messages = receive.then(|| (
            Messages { corners: borrowed(&by_colour), strength: 10.0, from: &from },
            Messages { corners: borrowed(&by_place), strength: 3.0, from: &from },
        ));
        let run = |infer: fn(InferArgs<'_>)| {
            let mut scores = scores.clone();
            let mut to = vec![7.0; scores.len()];
            let probabilities = (!in_place).then_some(&mut to[..]);
            infer(InferArgs { blocks, messages, scores: &mut scores, probabilities });
            [scores, to].map(|numbers| bits(&numbers))
        };
        let wanted = run(scalar::mean_field::infer);
        prop_assert_eq!(wanted[0] == bits(&scores), !in_place || pixels == 0, "the scores");
        for variant in MEAN_FIELD.iter().filter(|variant| variant.tier.is_available()) {
            prop_assert!(run(variant.kernel.infer) == wanted, "{}", variant.name);
        }
    }

    #[test]
    fn send(
        blocks in blocks(), pixels in 0usize..20, vertices in 1usize..30, seed in any::<u64>(),
    ) {
        let probabilities = numbers(seed, pixels * blocks * BLOCK);
        let columns = numbers(seed ^ 3, vertices * blocks * BLOCK);
        let by_colour = corners::<6>(seed ^ 4, pixels, vertices);
        let by_place = corners::<3>(seed ^ 6, pixels, vertices);
        let appearance = |send: fn(SendArgs<'_, 6>)| {
            let mut to = columns.clone();
            let corners = borrowed(&by_colour);
            send(SendArgs { blocks, probabilities: &probabilities, corners, to: &mut to });
            bits(&to)
        };
        let smoothness = |send: fn(SendArgs<'_, 3>)| {
            let mut to = columns.clone();
            let corners = borrowed(&by_place);
            send(SendArgs { blocks, probabilities: &probabilities, corners, to: &mut to });
            bits(&to)
        };
        let wanted = [appearance(scalar::mean_field::send), smoothness(scalar::mean_field::send)];
        for variant in MEAN_FIELD.iter().filter(|variant| variant.tier.is_available()) {
            let kernels = &variant.kernel;
            let got = [appearance(kernels.send_appearance), smoothness(kernels.send_smoothness)];
            prop_assert!(got == wanted, "{}", variant.name);
        }
    }
}
