use proptest::prelude::*;

use crate::kernels::testing::{self, Picture};
use crate::kernels::variants::{ADD, INPUT, MAP, MAXIMUM, MUL, Variant};
use crate::kernels::{MulArgs, Target, scalar};

/// Runs the variants of this processor in one go and split at a pixel.
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
    let middle = split % (pixels + 1);
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

/// Three pictures of one shape.
fn pictures() -> impl Strategy<Value = [Picture; 3]> {
    let sizes = prop_oneof![
        (1usize..6, 1usize..6, 1usize..200),
        (1usize..9, 1usize..40, 1usize..6)
    ];
    sizes.prop_flat_map(|(h, w, c)| [(); 3].map(|()| testing::picture_of(h, w, c)))
}

proptest! {
    #[test]
    fn input(
        [out, _, _] in (1usize..9, 1usize..60)
            .prop_flat_map(|(h, w)| [(); 3].map(|()| testing::picture_of(h, w, 3))),
        order in proptest::array::uniform3(0u8..3), seed in any::<u64>(), split in any::<usize>(),
    ) {
        let rgb = testing::bytes(seed, out.height * out.width * 3);
        let tables = testing::bytes(seed ^ 1, 768);
        check(INPUT, &out, split, |run, target| run(&rgb, order, &tables, target), scalar::input);
    }

    #[test]
    fn map([a, _, out] in pictures(), seed in any::<u64>(), split in any::<usize>()) {
        let table: [u8; 256] = testing::bytes(seed, 256).try_into().unwrap();
        check(MAP, &out, split, |run, target| run(a.source(), &table, target), scalar::map);
    }

    #[test]
    fn add([a, b, out] in pictures(), args in testing::add_args(), split in any::<usize>()) {
        let run = |run: crate::kernels::variants::Add, target: Target<'_>| {
            run(a.source(), b.source(), &args, target);
        };
        check(ADD, &out, split, run, scalar::add);
    }

    #[test]
    fn maximum([a, b, out] in pictures(), split in any::<usize>()) {
        let mut wanted = out.clone();
        wanted.fill(|y, x, c| a.at(y, x, c).max(b.at(y, x, c)));
        let mut made = out.clone();
        scalar::maximum(a.source(), b.source(), made.target());
        prop_assert_eq!(made, wanted);
        let run = |run: crate::kernels::variants::Maximum, target: Target<'_>| {
            run(a.source(), b.source(), target);
        };
        check(MAXIMUM, &out, split, run, scalar::maximum);
    }

    #[test]
    fn mul(
        [a, b, out] in pictures(), one in any::<bool>(), zeros in any::<[u8; 3]>(),
        scale in testing::scale(), clamp in testing::clamp(), split in any::<usize>(),
    ) {
        let b = if one { b.cut_to_one_pixel() } else { b };
        let args = MulArgs {
            a_zero_point: zeros[0], b_zero_point: zeros[1], scale,
            output_zero_point: zeros[2], clamp,
        };
        let run = |run: crate::kernels::variants::Mul, target: Target<'_>| {
            run(a.source(), b.source(), &args, target);
        };
        check(MUL, &out, split, run, scalar::mul);
    }
}
