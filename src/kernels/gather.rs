//! The input under the window of output pixels, as rows of a matrix.

use std::ops::Range;

use super::taps::{COLUMNS, ROWS, at, inside};
use super::{Source, Window};

/// Bytes copied at once where it does no harm to copy more than was asked for.
const WORD: usize = 16;

/// How rows are laid out: for each tap in the order kernel row, kernel column the
/// input channels of one group, `zero` where the tap lies outside the picture.
#[derive(Debug, Clone, Copy)]
pub struct Gather {
    /// The window.
    pub window: Window,
    /// Input channels of a group.
    pub inputs: usize,
    /// The code for 0.
    pub zero: u8,
    /// Bytes from one row to the next, at least those of all taps. What lies between
    /// the last tap and the next row means nothing.
    pub row_stride: usize,
}

impl Gather {
    /// Lays out the rows of the output pixels `range`, of an output `width` wide, for
    /// the input channels from `first` on.
    pub fn run(
        &self,
        source: Source<'_>,
        first: usize,
        width: usize,
        range: Range<usize>,
        rows: &mut [u8],
    ) {
        let (mut y, mut x) = (range.start / width, range.start % width);
        for row in 0..range.len() {
            self.row(source, first, (y, x), &mut rows[row * self.row_stride..]);
            x += 1;
            if x == width {
                (y, x) = (y + 1, 0);
            }
        }
    }

    /// One row. `out` holds it and what follows it, which is written later.
    #[inline]
    fn row(&self, source: Source<'_>, first: usize, (oy, ox): (usize, usize), out: &mut [u8]) {
        let Self { window, inputs, .. } = self;
        let kernel = window.kernel;
        let rows = inside(window, ROWS, oy, source.height);
        let columns = inside(window, COLUMNS, ox, source.width);
        let all = rows.len() == kernel[ROWS] && columns.len() == kernel[COLUMNS];
        if !all {
            out[..kernel[ROWS] * kernel[COLUMNS] * inputs].fill(self.zero);
        }
        if columns.is_empty() {
            return;
        }
        // Neighbouring taps whose channels follow each other are one run.
        let joined = source.pixel_stride == *inputs && window.dilation[COLUMNS] == 1;
        for ky in rows {
            let line = at(window, ROWS, oy, ky) * source.width;
            let to = ky * kernel[COLUMNS] * inputs;
            if joined {
                let from = (line + at(window, COLUMNS, ox, columns.start)) * inputs;
                let to = to + columns.start * inputs;
                copy(
                    &source.data[from..],
                    &mut out[to..],
                    columns.len() * inputs,
                    all,
                );
            } else {
                for kx in columns.clone() {
                    let from = (line + at(window, COLUMNS, ox, kx)) * source.pixel_stride + first;
                    copy(
                        &source.data[from..],
                        &mut out[to + kx * inputs..],
                        *inputs,
                        all,
                    );
                }
            }
        }
    }
}

/// Copies `len` bytes, or where `more` may be written and there is room a whole word.
#[inline]
fn copy(from: &[u8], to: &mut [u8], len: usize, more: bool) {
    if more
        && len <= WORD
        && let (Some(from), Some(to)) = (from.first_chunk::<WORD>(), to.first_chunk_mut::<WORD>())
    {
        *to = *from;
        return;
    }
    to[..len].copy_from_slice(&from[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_hold_the_taps_inside_and_zeros(
            (channels, inputs, first) in (1usize..30, 1usize..30, 0usize..30)
                .prop_map(|(a, inputs, first)| (a + inputs + first, inputs, first)),
            seed in any::<u64>(), zero in any::<u8>(), window in testing::window(),
            height in 1usize..6, width in 1usize..6, start in 0usize..30, len in 0usize..30,
            between in 0usize..9,
        ) {
            let source = testing::seeded(seed, 5, 7, channels);
            let taps = window.kernel[0] * window.kernel[1];
            let start = start.min(height * width);
            let range = start..(start + len).min(height * width);
            let row_stride = taps * inputs + between;
            let mut rows = vec![0; range.len() * row_stride];
            let gather = Gather { window, inputs, zero, row_stride };
            gather.run(source.source(), first, width, range.clone(), &mut rows);
            for (row, pixel) in rows.chunks_exact(row_stride).zip(range) {
                let mut wanted = vec![zero; taps * inputs];
                for (ky, kx, y, x) in testing::taps(&window, pixel / width, pixel % width, &source) {
                    for i in 0..inputs {
                        let tap = ky * window.kernel[1] + kx;
                        wanted[tap * inputs + i] = source.at(y, x, first + i);
                    }
                }
                prop_assert_eq!(&row[..taps * inputs], &wanted[..]);
            }
        }
    }
}
