//! What kernels take that work on a camera's pictures: rows of luma and chroma, the
//! weights of a filter, and the columns of the nearest pixels.

/// Fractional bits of [`YuvFactors`].
pub const FACTOR_BITS: u32 = 16;
/// Fractional bits of a filter's weight: weights of [`Taps`] add up to 2^14.
pub const WEIGHT_BITS: u32 = 14;
/// Fractional bits of a value between a filter's two passes. 255 with these bits fits
/// an `i16`.
pub const MIDDLE_BITS: u32 = 6;
/// Values beyond a row that the second pass of a filter may read.
pub const MIDDLE_PADDING: usize = 8;

/// The factors from luma and chroma to red, green and blue, times 2^[`FACTOR_BITS`].
///
/// ```text
/// red   = luma (y - offset)                             + red_v   (v - 128)
/// green = luma (y - offset) - green_u (u - 128) - green_v (v - 128)
/// blue  = luma (y - offset) + blue_u  (u - 128)
/// ```
///
/// The sums are exact in 32-bit integers, and a code value is
/// `floor(sum / 2^16 + 1/2)`, clamped to 0..=255.
///
/// Factors are not negative and below 2.5 * 2^16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct YuvFactors {
    /// The code value of black luma.
    pub offset: i32,
    pub luma: i32,
    pub red_v: i32,
    pub green_u: i32,
    pub green_v: i32,
    pub blue_u: i32,
}

/// Luma and chroma of a row of pixels. Where two pixels share a chroma sample, pixel `x`
/// takes sample `x / 2`, and a row of an odd width ends with a whole sample.
#[derive(Debug, Clone, Copy)]
pub enum YuvRow<'a> {
    /// Luma alone: a grey row.
    Grey(&'a [u8]),
    /// Two pixels in four bytes: Y0 U Y1 V.
    Packed(&'a [u8]),
    /// Luma, and U and V by turns, a pair of them for two pixels.
    SemiPlanar(&'a [u8], &'a [u8]),
    /// Luma, U and V, a sample of each for two pixels.
    HalfPlanar(&'a [u8], &'a [u8], &'a [u8]),
    /// Luma, U and V, a sample of each for every pixel.
    FullPlanar(&'a [u8], &'a [u8], &'a [u8]),
}

impl YuvRow<'_> {
    /// Whether the row has at least so many pixels.
    pub fn holds(&self, pixels: usize) -> bool {
        let half = pixels.div_ceil(2);
        match *self {
            Self::Grey(y) => y.len() >= pixels,
            Self::Packed(quads) => quads.len() >= half * 4,
            Self::SemiPlanar(y, uv) => y.len() >= pixels && uv.len() >= half * 2,
            Self::HalfPlanar(y, u, v) => y.len() >= pixels && u.len() >= half && v.len() >= half,
            Self::FullPlanar(y, u, v) => {
                y.len() >= pixels && u.len() >= pixels && v.len() >= pixels
            }
        }
    }

    /// The row without its first `pixels`, an even number that it has.
    pub fn skip(self, pixels: usize) -> Self {
        debug_assert_eq!(pixels % 2, 0);
        match self {
            Self::Grey(y) => Self::Grey(&y[pixels..]),
            Self::Packed(quads) => Self::Packed(&quads[pixels * 2..]),
            Self::SemiPlanar(y, uv) => Self::SemiPlanar(&y[pixels..], &uv[pixels..]),
            Self::HalfPlanar(y, u, v) => {
                Self::HalfPlanar(&y[pixels..], &u[pixels / 2..], &v[pixels / 2..])
            }
            Self::FullPlanar(y, u, v) => Self::FullPlanar(&y[pixels..], &u[pixels..], &v[pixels..]),
        }
    }
}

/// Some rows of a picture that lies in a ring: row `i` of the picture is row `i % count`
/// of the ring. A whole picture is a ring of all its rows.
#[derive(Debug, Clone, Copy)]
pub struct RowRing<'a> {
    /// The bytes; the last row need not fill its stride.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Rows of the ring.
    pub count: usize,
}

impl<'a> RowRing<'a> {
    /// The first `len` bytes of row `index` of the picture.
    #[inline]
    pub fn row(&self, index: usize, len: usize) -> &'a [u8] {
        &self.data[index % self.count * self.stride..][..len]
    }
}

/// The weights of a filter along one axis: output `o` is the sum over
/// `t in 0..count` of input `starts[o] + t` times `weights[o * count + t]`.
#[derive(Debug, Clone, Copy)]
pub struct Taps<'a> {
    /// Weights for each output, an even number of them.
    pub count: usize,
    /// First input of each output. `starts[o] + count` is at most one more than the
    /// number of inputs, and the weight of an input that is not there is 0.
    pub starts: &'a [u32],
    /// `count` weights for each output, none of them negative, those of an output adding
    /// up to 2^[`WEIGHT_BITS`].
    pub weights: &'a [i16],
}

/// Outputs of a [`NearestColumns`]' block.
pub const BLOCK: usize = 16;

/// Which pixel of a row each pixel of another row repeats: output `i` of `to` is input
/// `floor((2 i + 1) * from / (2 to))`.
#[derive(Debug, Clone, Default)]
pub struct NearestColumns {
    from: u32,
    to: u32,
    columns: Vec<u32>,
    blocks: Vec<NearestBlock>,
}

/// [`BLOCK`] outputs that repeat some of [`BLOCK`] inputs.
#[derive(Debug, Clone, Copy)]
pub struct NearestBlock {
    /// The first output.
    pub to: u32,
    /// The first of the inputs.
    pub from: u32,
    /// Which of the inputs each output is.
    pub index: [u8; BLOCK],
}

impl NearestColumns {
    /// Prepares rows of these sizes; nothing to do where they are as before.
    pub fn plan(&mut self, from: u32, to: u32) {
        if (self.from, self.to) == (from, to) {
            return;
        }
        (self.from, self.to) = (from, to);
        self.columns.clear();
        self.columns.extend(nearest(from, to));
        self.blocks.clear();
        let block = BLOCK as u32;
        // Neighbouring outputs are then at most one input apart.
        if from <= to && from >= block {
            for first in (0..to).step_by(BLOCK) {
                // The last block overlaps the one before.
                let first = first.min(to - block);
                let columns = &self.columns[first as usize..][..BLOCK];
                let start = columns[0].min(from - block);
                self.blocks.push(NearestBlock {
                    to: first,
                    from: start,
                    index: std::array::from_fn(|i| (columns[i] - start) as u8),
                });
            }
        }
    }

    /// Length of the rows to read.
    pub fn from(&self) -> usize {
        self.from as usize
    }

    /// Which input each output repeats; all are below [`from`](Self::from).
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// All outputs in blocks, all of whose inputs and outputs exist; none where a row is
    /// short or gets smaller.
    pub fn blocks(&self) -> &[NearestBlock] {
        &self.blocks
    }
}

/// `floor((2 i + 1) * from / (2 * to))` for `i` in `0..to`.
pub fn nearest(from: u32, to: u32) -> impl Iterator<Item = u32> {
    let (from, to) = (u64::from(from), u64::from(to));
    // Below `from`, which is a u32.
    (0..to).map(move |i| ((2 * i + 1) * from / (2 * to)) as u32)
}
