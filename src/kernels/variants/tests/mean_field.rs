use proptest::prelude::*;

use crate::kernels::mean_field::{
    BLOCK, BlurArgs, Corners, MAX_BLOCKS, Messages, PADDING, UpdateArgs,
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

fn corners<const CORNERS: usize>(
    seed: u64,
    pixels: usize,
    vertices: usize,
) -> Vec<Corners<CORNERS>> {
    let indices = indices(seed, pixels * CORNERS, vertices);
    let weights = numbers(seed ^ 1, pixels * CORNERS);
    let pairs = indices.as_chunks().0.iter().zip(weights.as_chunks().0);
    pairs
        .map(|(&vertices, &weights)| Corners { vertices, weights })
        .collect()
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|n| n.to_bits()).collect()
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
            blur(BlurArgs { blocks, neighbours, from: &from, to: &mut to });
            bits(&to)
        };
        let wanted = run(scalar::mean_field::blur);
        for variant in MEAN_FIELD.iter().filter(|variant| variant.tier.is_available()) {
            prop_assert_eq!(run(variant.kernel.blur), &wanted[..], "{}", variant.name);
        }
    }

    #[test]
    fn update(
        blocks in blocks(), padding in 0..BLOCK, pixels in 0usize..20, vertices in 1usize..30,
        receive in any::<bool>(), send in any::<bool>(), seed in any::<u64>(),
        spread in prop_oneof![Just(0.0f32), 1.0f32..90.0, Just(1e9)],
    ) {
        let row = blocks * BLOCK;
        let mut scores: Vec<f32> = numbers(seed, pixels * row).iter().map(|n| n * spread).collect();
        for row in scores.chunks_exact_mut(row) {
            row[blocks * BLOCK - padding..].fill(PADDING);
        }
        let columns = numbers(seed ^ 3, vertices * row);
        let (by_colour, by_place) = (
            corners::<6>(seed ^ 4, pixels, vertices),
            corners::<3>(seed ^ 6, pixels, vertices),
        );
        let run = |update: fn(UpdateArgs<'_>)| {
            let mut scores = scores.clone();
            let mut to = [columns.clone(), columns.clone()];
            let [first, second] = &mut to;
            update(UpdateArgs {
                blocks,
                receive,
                send,
                scores: &mut scores,
                appearance: Messages {
                    corners: &by_colour, strength: 10.0, from: &columns, to: first,
                },
                smoothness: Messages {
                    corners: &by_place, strength: 3.0, from: &columns, to: second,
                },
            });
            [&scores, &to[0], &to[1]].map(|numbers| bits(numbers))
        };
        let wanted = run(scalar::mean_field::update);
        for variant in MEAN_FIELD.iter().filter(|variant| variant.tier.is_available()) {
            let got = run(variant.kernel.update);
            prop_assert!(got == wanted, "{}", variant.name);
        }
    }
}
