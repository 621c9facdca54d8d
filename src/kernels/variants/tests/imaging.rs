use proptest::prelude::*;

use crate::kernels::imaging::{
    MIDDLE_PADDING, NearestColumns, RowRing, Taps, WEIGHT_BITS, YuvFactors, YuvRow,
};
use crate::kernels::variants::{COLOUR, FILTER_COLUMNS, FILTER_ROWS, NEAREST, Variant};
use crate::kernels::{scalar, testing};

/// Runs every variant of this processor into bytes of `len`, and compares them and the
/// bytes beyond, which nobody may write.
fn check<K: Copy, T: Copy + PartialEq + std::fmt::Debug>(
    table: &[Variant<K>],
    len: usize,
    filler: T,
    scalar: K,
    run: impl Fn(K, &mut [T]),
) {
    let made = |kernel| {
        let mut out = vec![filler; len + 64];
        run(kernel, &mut out[..len]);
        out
    };
    let wanted = made(scalar);
    for variant in table.iter().filter(|variant| variant.tier.is_available()) {
        assert_eq!(made(variant.kernel), wanted, "{}", variant.name);
    }
}

/// Weights as a filter has them: none negative, an output's adding up to one.
fn weights(seed: u64, outputs: usize, count: usize) -> Vec<i16> {
    let bytes = testing::bytes(seed, outputs * count);
    let mut weights = Vec::new();
    for shares in bytes.chunks_exact(count) {
        let total: i32 = shares.iter().map(|&s| i32::from(s)).sum();
        let (mut sum, mut given) = (0, 0);
        for &share in shares {
            sum += i32::from(share);
            let upto = match total {
                0 => 1 << WEIGHT_BITS,
                _ => (sum << WEIGHT_BITS) / total,
            };
            weights.push((upto - given) as i16);
            given = upto;
        }
    }
    weights
}

fn factors() -> impl Strategy<Value = YuvFactors> {
    let factor = || 0..163_840;
    let all = (0..=16, factor(), factor(), factor(), factor(), factor());
    all.prop_map(
        |(offset, luma, red_v, green_u, green_v, blue_u)| YuvFactors {
            offset,
            luma,
            red_v,
            green_u,
            green_v,
            blue_u,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn colour(width in 1usize..120, factors in factors(), seed in any::<u64>(), ends in any::<bool>()) {
        // Codes from all of 0..=255, or the ends alone.
        let plane = |number: u64, len| {
            let mut bytes = testing::bytes(seed ^ number, len);
            if ends {
                bytes.iter_mut().for_each(|b| *b = if *b > 127 { 255 } else { 0 });
            }
            bytes
        };
        let half = width.div_ceil(2);
        let (y, u, v) = (plane(1, width), plane(2, width), plane(3, width));
        let (quads, uv) = (plane(4, half * 4), plane(5, half * 2));
        for row in [
            YuvRow::Grey(&y),
            YuvRow::Packed(&quads),
            YuvRow::SemiPlanar(&y, &uv),
            YuvRow::HalfPlanar(&y, &u[..half], &v[..half]),
            YuvRow::FullPlanar(&y, &u, &v),
        ] {
            check(COLOUR, width * 3, 0xa5, scalar::colour, |run, out| run(&factors, row, out));
        }
    }

    #[test]
    fn filter_rows(
        width in 1usize..90, gap in 0usize..5, count in 1usize..10, extra in 0usize..3,
        first in 0u32..50, seed in any::<u64>(), missing in any::<bool>(),
    ) {
        let count = count * 2;
        let ring = count + extra;
        let stride = width + gap;
        // No byte more than promised.
        let data = testing::bytes(seed, (ring - 1) * stride + width);
        let rows = RowRing { data: &data, stride, count: ring };
        let mut weights = weights(seed ^ 1, 1, count);
        if missing && count > 2 {
            // The last row is not there.
            let last = weights.pop().unwrap();
            *weights.last_mut().unwrap() += last;
            weights.push(0);
        }
        let taps = Taps { count, starts: &[first], weights: &weights };
        check(FILTER_ROWS, width, -1, scalar::filter_rows, |run, out| run(rows, taps, 0, out));
    }

    #[test]
    fn filter_columns(
        width in 1usize..60, outputs in 1usize..40, count in 1usize..10, seed in any::<u64>(),
    ) {
        let count = count * 2;
        let width = width + count;
        // Up to 255 with its fractional bits.
        let values = testing::bytes(seed, width * 3 + MIDDLE_PADDING);
        let values: Vec<i16> = values.iter().map(|&v| i16::from(v) << 6).collect();
        let starts = testing::bytes(seed ^ 2, outputs);
        // The last may read one pixel that is not there.
        let starts: Vec<u32> = starts.iter().map(|&s| u32::from(s) % (width - count + 2) as u32).collect();
        let mut weights = weights(seed ^ 1, outputs, count);
        for (start, weights) in starts.iter().zip(weights.chunks_exact_mut(count)) {
            if *start as usize + count > width {
                weights[count - 2] += weights[count - 1];
                weights[count - 1] = 0;
            }
        }
        let taps = Taps { count, starts: &starts, weights: &weights };
        check(FILTER_COLUMNS, outputs * 3, 0xa5, scalar::filter_columns, |run, out| {
            run(&values, taps, out);
        });
    }

    #[test]
    fn nearest(from in 1u32..80, to in 1u32..200, seed in any::<u64>()) {
        let mut columns = NearestColumns::default();
        columns.plan(from, to);
        let row = testing::bytes(seed, from as usize);
        check(NEAREST, to as usize, 0xa5, scalar::nearest, |run, out| run(&columns, &row, out));
        let mut out = vec![0; to as usize];
        scalar::nearest(&columns, &row, &mut out);
        for (i, &code) in (0..to).zip(&out) {
            prop_assert_eq!(code, row[((2 * i + 1) * from / (2 * to)) as usize]);
        }
    }
}
