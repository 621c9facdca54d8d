use proptest::prelude::*;

use crate::kernels::scratch::Scratch;
use crate::kernels::testing::{self, Picture};
use crate::kernels::variants::{ARGMAX, RESIZE, Resampler, Variant};
use crate::kernels::{Resample, scalar};

/// Runs the variants of this processor in one go and split at a row.
fn check(
    table: &[Variant<Resampler>],
    source: &Picture,
    resample: Resample,
    out: &Picture,
    wanted: &Picture,
    split: usize,
) {
    for variant in table.iter().filter(|variant| variant.tier.is_available()) {
        let mut scratch = Scratch::default();
        scratch.reserve((variant.kernel.scratch)(
            source.width,
            source.channels,
            out.width,
        ));
        let reserved = scratch.reserved();
        let pixels = out.height * out.width;
        let middle = split % (out.height + 1) * out.width;
        for ranges in [[0..0, 0..pixels], [middle..pixels, 0..middle]] {
            let mut out = out.clone();
            for range in ranges {
                (variant.kernel.run)(source.source(), resample, out.part(range), &mut scratch);
            }
            assert_eq!(&out, wanted, "{}", variant.name);
        }
        assert_eq!(scratch.reserved(), reserved, "{}", variant.name);
    }
}

fn sizes() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![(1usize..24, 1usize..24), (1usize..6, 1usize..90)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn resize(
        source in prop_oneof![1usize..40, 60usize..70].prop_flat_map(testing::picture),
        (height, width) in sizes(), resample in testing::resample(), between in 0usize..3,
        split in any::<usize>(),
    ) {
        let out = Picture::new(height, width, source.channels, source.channels + between);
        let mut wanted = out.clone();
        scalar::resize(source.source(), resample, wanted.target(), &mut Scratch::default());
        check(RESIZE, &source, resample, &out, &wanted, split);
    }

    #[test]
    fn resize_of_one_pixel(
        source in (1usize..70).prop_flat_map(|channels| testing::picture_of(1, 1, channels)),
        (height, width) in sizes(), resample in testing::resample(), split in any::<usize>(),
    ) {
        let out = Picture::new(height, width, source.channels, source.channels + 1);
        let mut wanted = out.clone();
        scalar::resize(source.source(), resample, wanted.target(), &mut Scratch::default());
        check(RESIZE, &source, resample, &out, &wanted, split);
    }

    #[test]
    fn argmax(
        source in prop_oneof![1usize..30, 250usize..257].prop_flat_map(testing::picture),
        (height, width) in sizes(), resample in testing::resample(), levels in 1u8..=255,
        split in any::<usize>(),
    ) {
        // Few levels make ties, and neighbours of one class.
        let mut coarse = source.clone();
        coarse.fill(|y, x, c| source.at(y, x, c) / levels);
        let out = Picture::new(height, width, 1, 1);
        let mut wanted = out.clone();
        scalar::argmax(coarse.source(), resample, wanted.target(), &mut Scratch::default());
        check(ARGMAX, &coarse, resample, &out, &wanted, split);
    }
}
