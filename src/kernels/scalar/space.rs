//! Channels that become pixels.

use crate::kernels::{Source, Target};

/// The part from row `begin[0]` and column `begin[1]` of the picture in which each pixel of
/// `source` is `block[0]` rows and `block[1]` columns: its channels are theirs in the order
/// block row, block column, channel.
pub fn depth_to_space(
    source: Source<'_>,
    block: [usize; 2],
    begin: [usize; 2],
    mut target: Target<'_>,
) {
    let channels = target.channels;
    debug_assert_eq!(source.channels, channels * block[0] * block[1]);
    for oy in target.rows() {
        let y = oy + begin[0];
        let row = y % block[0] * block[1];
        for ox in 0..target.width {
            let x = ox + begin[1];
            let first = (row + x % block[1]) * channels;
            let pixel = source.pixel(y / block[0], x / block[1]);
            let codes = &pixel[first..][..channels];
            target.pixel_mut(oy, ox).copy_from_slice(codes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;

    use super::*;
    use crate::kernels::testing;

    proptest! {
        #[test]
        fn each_code_comes_from_its_block(
            ((rows, columns), (height, width), channels) in
                ((1usize..4, 1usize..4), (1usize..6, 1usize..6), 1usize..5),
            (top, left) in (0usize..12, 0usize..12), (bottom, right) in (0usize..12, 0usize..12),
        ) {
            let whole = [height * rows, width * columns];
            let begin = [top % whole[0], left % whole[1]];
            let part = [
                1 + bottom % (whole[0] - begin[0]),
                1 + right % (whole[1] - begin[1]),
            ];
            let from = testing::picture_of(height, width, channels * rows * columns);
            let to = testing::picture_of(part[0], part[1], channels);
            let mut runner = proptest::test_runner::TestRunner::deterministic();
            let source = from.new_tree(&mut runner).unwrap().current();
            let mut out = to.new_tree(&mut runner).unwrap().current();
            let mut wanted = out.clone();
            wanted.fill(|y, x, c| {
                let (y, x) = (y + begin[0], x + begin[1]);
                let block = (y % rows) * columns + x % columns;
                source.at(y / rows, x / columns, block * channels + c)
            });
            depth_to_space(source.source(), [rows, columns], begin, out.target());
            prop_assert_eq!(out, wanted);
        }
    }
}
