//! Kernels that work code by code.

use super::round::{requantize, sum};
use crate::kernels::runs::Runs;
use crate::kernels::{AddArgs, MulArgs, Source, Target};

/// The input picture, three bytes a pixel without a gap, to the first tensor of
/// three channels: channel `c` of a pixel is `tables[256 * c + byte[order[c]]]`.
pub fn input(rgb: &[u8], order: [u8; 3], tables: &[u8], target: Target<'_>) {
    debug_assert_eq!(target.channels, 3);
    debug_assert_eq!(rgb.len(), target.height * target.width * 3);
    debug_assert_eq!(tables.len(), 768);
    debug_assert!(order.iter().all(|&byte| byte < 3));
    let order = order.map(usize::from);
    let (first, rest) = tables.split_at(256);
    let (second, third) = rest.split_at(256);
    let (pixels, _) = rgb.as_chunks::<3>();
    for (pixel, out) in pixels[target.range]
        .iter()
        .zip(target.data.chunks_mut(target.pixel_stride))
    {
        out[0] = first[usize::from(pixel[order[0]])];
        out[1] = second[usize::from(pixel[order[1]])];
        out[2] = third[usize::from(pixel[order[2]])];
    }
}

/// Each code through a table: `table[x]`. Both pictures have one shape.
pub fn map(source: Source<'_>, table: &[u8; 256], target: Target<'_>) {
    debug_assert!(same_shape(&source, &target));
    let runs = Runs::new(&target, source.is_packed());
    for (from, to) in runs.of(source).zip(runs.of_mut(target)) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = table[usize::from(from)];
        }
    }
}

/// Sum of two pictures of one shape, see [`AddArgs`].
#[inline(always)]
pub fn add(a: Source<'_>, b: Source<'_>, args: &AddArgs, target: Target<'_>) {
    debug_assert!(same_shape(&a, &target) && same_shape(&b, &target));
    let runs = Runs::new(&target, a.is_packed() && b.is_packed());
    for ((a, b), to) in runs.of(a).zip(runs.of(b)).zip(runs.of_mut(target)) {
        for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
            *to = sum(a, b, args);
        }
    }
}

/// The larger code of two pictures of one shape and one quantization.
#[inline(always)]
pub fn maximum(a: Source<'_>, b: Source<'_>, target: Target<'_>) {
    debug_assert!(same_shape(&a, &target) && same_shape(&b, &target));
    let runs = Runs::new(&target, a.is_packed() && b.is_packed());
    for ((a, b), to) in runs.of(a).zip(runs.of(b)).zip(runs.of_mut(target)) {
        for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
            *to = a.max(b);
        }
    }
}

/// Product of two pictures, see [`MulArgs`]: `b` has the shape of `a` or is 1x1 of
/// as many channels, one factor for each channel.
#[inline(always)]
pub fn mul(a: Source<'_>, b: Source<'_>, args: &MulArgs, target: Target<'_>) {
    debug_assert!(same_shape(&a, &target));
    if b.pixels() == 1 {
        debug_assert_eq!(b.channels, target.channels);
        let factors = b.pixel(0, 0);
        let runs = Runs::new(&target, false);
        for (a, to) in runs.of(a).zip(runs.of_mut(target)) {
            multiply(a, factors, args, to);
        }
    } else {
        debug_assert!(same_shape(&b, &target));
        let runs = Runs::new(&target, a.is_packed() && b.is_packed());
        for ((a, b), to) in runs.of(a).zip(runs.of(b)).zip(runs.of_mut(target)) {
            multiply(a, b, args, to);
        }
    }
}

#[inline]
fn multiply(a: &[u8], b: &[u8], args: &MulArgs, to: &mut [u8]) {
    let (a_zero, b_zero) = (i32::from(args.a_zero_point), i32::from(args.b_zero_point));
    for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
        let product = (i32::from(a) - a_zero) * (i32::from(b) - b_zero);
        *to = requantize(product, args.scale, args.output_zero_point, args.clamp);
    }
}

fn same_shape(source: &Source<'_>, target: &Target<'_>) -> bool {
    (source.height, source.width, source.channels) == (target.height, target.width, target.channels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, Picture};
    use proptest::prelude::*;

    fn pair() -> impl Strategy<Value = (Picture, Picture, Picture)> {
        (1usize..6, 1usize..6, 1usize..40).prop_flat_map(|(h, w, c)| {
            (
                testing::picture_of(h, w, c),
                testing::picture_of(h, w, c),
                testing::picture_of(h, w, c),
            )
        })
    }

    proptest! {
        #[test]
        fn input_looks_each_byte_up(
            mut out in (1usize..6, 1usize..6).prop_flat_map(|(h, w)| testing::picture_of(h, w, 3)),
            order in proptest::array::uniform3(0u8..3), seed in any::<u64>(),
        ) {
            let rgb = testing::bytes(seed, out.height * out.width * 3);
            let tables = testing::bytes(seed ^ 1, 768);
            let mut wanted = out.clone();
            wanted.fill(|y, x, c| {
                let byte = rgb[(y * out.width + x) * 3 + usize::from(order[c])];
                tables[c * 256 + usize::from(byte)]
            });
            input(&rgb, order, &tables, out.target());
            prop_assert_eq!(out, wanted);
        }

        #[test]
        fn map_looks_each_code_up((a, _, mut out) in pair(), seed in any::<u64>()) {
            let table: [u8; 256] = testing::bytes(seed, 256).try_into().unwrap();
            let mut wanted = out.clone();
            wanted.fill(|y, x, c| table[usize::from(a.at(y, x, c))]);
            map(a.source(), &table, out.target());
            prop_assert_eq!(out, wanted);
        }

        #[test]
        fn add_follows_its_formula((a, b, mut out) in pair(), args in testing::add_args()) {
            let mut wanted = out.clone();
            wanted.fill(|y, x, c| testing::added(a.at(y, x, c), b.at(y, x, c), &args));
            add(a.source(), b.source(), &args, out.target());
            prop_assert_eq!(out, wanted);
        }

        #[test]
        fn mul_follows_its_formula(
            (a, b, mut out) in pair(), one in any::<bool>(), zeros in any::<[u8; 3]>(),
            scale in testing::scale(), clamp in testing::clamp(),
        ) {
            let b = if one { b.cut_to_one_pixel() } else { b };
            let args = MulArgs {
                a_zero_point: zeros[0], b_zero_point: zeros[1], scale,
                output_zero_point: zeros[2], clamp,
            };
            let mut wanted = out.clone();
            wanted.fill(|y, x, c| {
                let factor = if one { b.at(0, 0, c) } else { b.at(y, x, c) };
                let product = (i64::from(a.at(y, x, c)) - i64::from(zeros[0]))
                    * (i64::from(factor) - i64::from(zeros[1]));
                testing::code(product as f32 * scale, zeros[2], clamp)
            });
            mul(a.source(), b.source(), &args, out.target());
            prop_assert_eq!(out, wanted);
        }
    }
}
