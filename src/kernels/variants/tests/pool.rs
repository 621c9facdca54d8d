use proptest::prelude::*;

use crate::kernels::testing::{self, Picture};
use crate::kernels::variants::{AVERAGE_POOL, MAX_POOL, Variant};
use crate::kernels::{PoolArgs, Target, scalar};

/// Runs the variants of this processor in one go and split at a row.
fn check<K: Copy>(
    table: &[Variant<K>],
    out: &Picture,
    split: usize,
    run: impl Fn(K, Target<'_>),
    scalar: K,
) {
    let mut wanted = out.clone();
    run(scalar, wanted.target());
    let pixels = out.height * out.width;
    let middle = split % (out.height + 1) * out.width;
    for variant in table.iter().filter(|variant| variant.tier.is_available()) {
        for ranges in [[0..0, 0..pixels], [middle..pixels, 0..middle]] {
            let mut out = out.clone();
            for range in ranges {
                run(variant.kernel, out.part(range));
            }
            assert_eq!(out, wanted, "{}", variant.name);
        }
    }
}

fn pictures() -> impl Strategy<Value = (Picture, Picture)> {
    (1usize..80, 1usize..6, 1usize..6).prop_flat_map(|(channels, height, width)| {
        (
            testing::picture(channels),
            testing::picture_of(height, width, channels),
        )
    })
}

proptest! {
    #[test]
    fn average_pool(
        (source, out) in pictures(), window in testing::window(), count_outside in any::<bool>(),
        zeros in any::<[u8; 2]>(), scale in testing::scale(), clamp in testing::clamp(),
        split in any::<usize>(),
    ) {
        let args = PoolArgs {
            window, count_outside, input_zero_point: zeros[0], scale,
            output_zero_point: zeros[1], clamp,
        };
        let run = |run: crate::kernels::variants::AveragePool, target: Target<'_>| {
            run(source.source(), &args, target);
        };
        check(AVERAGE_POOL, &out, split, run, scalar::average_pool);
    }

    #[test]
    fn max_pool((source, out) in pictures(), window in testing::window(), split in any::<usize>()) {
        let run = |run: crate::kernels::variants::MaxPool, target: Target<'_>| {
            run(source.source(), &window, target);
        };
        check(MAX_POOL, &out, split, run, scalar::max_pool);
    }
}
