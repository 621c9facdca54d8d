//! The input under the window of output pixels, as rows of a matrix.

use std::ops::Range;

use super::taps::{COLUMNS, ROWS, at, inside, within};
use super::{Source, Window};

/// Bytes copied at once where there is room for more than was asked for.
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
        let mut rows = rows;
        let mut rest = range;
        while !rest.is_empty() {
            let (y, x) = (rest.start / width, rest.start % width);
            let len = (width - x).min(rest.len());
            self.line(source, first, y, x..x + len, rows);
            rows = rows.get_mut(len * self.row_stride..).unwrap_or_default();
            rest.start += len;
        }
    }

    /// The rows of some pixels of one output row.
    fn line(
        &self,
        source: Source<'_>,
        first: usize,
        oy: usize,
        columns: Range<usize>,
        rows: &mut [u8],
    ) {
        let window = &self.window;
        let inside_rows = inside(window, ROWS, oy, source.height);
        let inner = within(window, COLUMNS, source.width);
        let all_rows = inside_rows.len() == window.kernel[ROWS];
        for (index, ox) in columns.enumerate() {
            // With what follows the row: it is written later.
            let row = &mut rows[index * self.row_stride..];
            if all_rows && inner.contains(&ox) {
                self.whole(source, first, (oy, ox), row);
            } else {
                self.clipped(source, first, (oy, ox), inside_rows.clone(), row);
            }
        }
    }

    /// A row whose taps all lie inside.
    #[inline]
    fn whole(&self, source: Source<'_>, first: usize, (oy, ox): (usize, usize), out: &mut [u8]) {
        let Self { window, inputs, .. } = self;
        let columns = window.kernel[COLUMNS];
        let (run, runs) = if self.is_joined(source) {
            (columns * inputs, 1)
        } else {
            (*inputs, columns)
        };
        let step = window.dilation[COLUMNS] * source.pixel_stride;
        let row_step = window.dilation[ROWS] * source.width * source.pixel_stride;
        let (y, x) = (at(window, ROWS, oy, 0), at(window, COLUMNS, ox, 0));
        let mut line = (y * source.width + x) * source.pixel_stride + first;
        let mut to = 0;
        for _ in 0..window.kernel[ROWS] {
            let mut from = line;
            for _ in 0..runs {
                copy(&source.data[from..], &mut out[to..], run);
                (from, to) = (from + step, to + run);
            }
            line += row_step;
        }
    }

    /// A row some of whose taps lie outside.
    fn clipped(
        &self,
        source: Source<'_>,
        first: usize,
        (oy, ox): (usize, usize),
        rows: Range<usize>,
        out: &mut [u8],
    ) {
        let Self { window, inputs, .. } = self;
        let kernel = window.kernel;
        out[..kernel[ROWS] * kernel[COLUMNS] * inputs].fill(self.zero);
        for ky in rows {
            let line = at(window, ROWS, oy, ky) * source.width;
            for kx in inside(window, COLUMNS, ox, source.width) {
                let from = (line + at(window, COLUMNS, ox, kx)) * source.pixel_stride + first;
                let to = (ky * kernel[COLUMNS] + kx) * inputs;
                out[to..][..*inputs].copy_from_slice(&source.data[from..][..*inputs]);
            }
        }
    }

    /// Whether the channels of neighbouring taps follow each other.
    fn is_joined(&self, source: Source<'_>) -> bool {
        source.pixel_stride == self.inputs && self.window.dilation[COLUMNS] == 1
    }
}

/// Copies `len` bytes, or where there is room a whole word: what lies after them in `to`
/// is written later, or means nothing.
#[inline]
fn copy(from: &[u8], to: &mut [u8], len: usize) {
    if len <= WORD
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
