//! Convolutions that keep channels apart.
//!
//! The rows of a window's column are interleaved, so that one instruction multiplies
//! and adds them, and a column is read once for all the windows it is part of. Windows
//! that share columns follow each other: with a dilation of `d` those `d` pixels apart.

use std::marker::PhantomData;

use super::epilogue::{self, Epilogue, Sum, checked_sum};
use super::isa::{Isa, VECTORS};
use crate::kernels::scratch::Scratch;
use crate::kernels::taps::{COLUMNS, ROWS};
use crate::kernels::variants::Convolution;
use crate::kernels::{AlignedBytes, ConvArgs, Residual, Source, Target, Window};

/// Rows of a column.
const HEIGHT: usize = 3;

/// A convolution packed for a set of instructions.
pub struct Depthwise<I> {
    window: Window,
    channels: usize,
    zero: u8,
    blocks: Vec<Block>,
    numbers: AlignedBytes,
    epilogue: Epilogue,
    isa: PhantomData<fn() -> I>,
}

/// Channels that are summed at once.
struct Block {
    first: usize,
    channels: usize,
    /// Whether they fit the narrower vectors.
    half: bool,
    /// Where in `numbers` the biases are, the multipliers, and then the weights of each
    /// column of each three rows of the window.
    numbers: usize,
}

/// Output pixels of one row, for one block of channels.
pub struct Segment<'a> {
    /// For each row of the window the picture's row, at the block's first channel;
    /// the one pixel of zeros where it lies outside.
    rows: &'a [*const u8],
    /// For each row all bits where it is the picture's, none where it is zeros.
    inside: &'a [usize],
    zeros: *const u8,
    /// Pixels of the picture's rows, and bytes from one to the next.
    width: usize,
    stride: usize,
    window: Window,
    channels: usize,
    /// The block's biases, multipliers and weights.
    pub numbers: *const u8,
    /// The way from sums to codes.
    pub epilogue: Epilogue,
    /// First output pixel of the segment, and its number of pixels.
    start: usize,
    len: usize,
    sum: Option<Sum>,
    /// Where the codes of the segment's first pixel go, and the bytes to the next one's.
    pub out: *mut u8,
    /// See `out`.
    pub out_stride: usize,
}

/// Most rows of a window; others are left to the scalar kernel.
const ROWS_MOST: usize = 15;

/// Channels of a block.
const fn lanes<I: Isa>() -> usize {
    VECTORS * I::LANES
}

/// Bytes of a block's numbers.
fn block_bytes<I: Isa>([rows, columns]: [usize; 2]) -> usize {
    2 * lanes::<I>() * 4 + rows.div_ceil(HEIGHT) * columns * I::COLUMN_BYTES
}

/// What the blocks are packed from.
struct Numbers<'a> {
    kernel: [usize; 2],
    weights: &'a [i8],
    biases: &'a [i32],
    multipliers: &'a [f32],
}

impl Numbers<'_> {
    /// The numbers of the channels from `first` on.
    fn pack<I: Isa>(&self, first: usize, channels: usize, to: &mut [u8]) {
        let [rows, columns] = self.kernel;
        let (biases, rest) = to.split_at_mut(lanes::<I>() * 4);
        let (multipliers, weights) = rest.split_at_mut(lanes::<I>() * 4);
        let lines = biases
            .chunks_exact_mut(4)
            .zip(multipliers.chunks_exact_mut(4));
        for (lane, (bias, multiplier)) in lines.enumerate() {
            let c = I::channel(VECTORS, lane / I::LANES, lane % I::LANES);
            if c < channels {
                bias.copy_from_slice(&self.biases[first + c].to_le_bytes());
                multiplier.copy_from_slice(&self.multipliers[first + c].to_le_bytes());
            }
        }
        for (tap, to) in weights.chunks_exact_mut(I::COLUMN_BYTES).enumerate() {
            let (part, column) = (tap / columns, tap % columns);
            to.copy_from_slice(&I::column_weights(|row, c| {
                let row = part * HEIGHT + row;
                if row < rows && c < channels {
                    self.weights[((first + c) * rows + row) * columns + column]
                } else {
                    0
                }
            }));
        }
    }
}

impl<I: Isa> Depthwise<I> {
    /// Packs a convolution of as many groups as input and output channels; `None` for
    /// any other, and where a weight does not fit a byte or a value may leave the
    /// 32-bit range.
    pub fn pack(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
        let channels = args.bias.len();
        let kernel @ [rows, columns] = args.window.kernel;
        let keeps_apart =
            args.groups == channels && args.weights.len() == channels * rows * columns;
        if !keeps_apart || rows > ROWS_MOST {
            return None;
        }
        let weights = epilogue::weights(args)?;
        let numbers = Numbers {
            kernel,
            biases: &epilogue::biases(args, &weights, I::CODE_OFFSET)?,
            weights: &weights,
            multipliers: args.multipliers,
        };
        let mut blocks = Vec::new();
        let mut at = 0;
        for first in (0..channels).step_by(lanes::<I>()) {
            let count = lanes::<I>().min(channels - first);
            let half = count <= lanes::<I::Half>();
            blocks.push(Block {
                first,
                channels: count,
                half,
                numbers: at,
            });
            at += if half {
                block_bytes::<I::Half>(kernel)
            } else {
                block_bytes::<I>(kernel)
            };
        }
        let mut packed = AlignedBytes::new(at);
        for block in &blocks {
            let to = &mut packed.get_mut()[block.numbers..];
            if block.half {
                let to = &mut to[..block_bytes::<I::Half>(kernel)];
                numbers.pack::<I::Half>(block.first, block.channels, to);
            } else {
                let to = &mut to[..block_bytes::<I>(kernel)];
                numbers.pack::<I>(block.first, block.channels, to);
            }
        }
        Some(Box::new(Self {
            window: args.window,
            channels,
            zero: args.input_zero_point,
            blocks,
            numbers: packed,
            epilogue: Epilogue::new(args),
            isa: PhantomData,
        }))
    }
}

impl<I: Isa> Convolution for Depthwise<I> {
    fn reserve(&self, scratch: &mut Scratch) {
        scratch.reserve(self.channels);
    }

    fn run(
        &self,
        source: Source<'_>,
        residual: Option<&Residual<'_>>,
        target: Target<'_>,
        scratch: &mut Scratch,
    ) {
        let count = target.range.len();
        if count == 0 {
            return;
        }
        let end = target.range.end;
        let channels = self.channels;
        let sum = checked_sum(&source, channels, residual, &target, channels);

        let zeros = scratch.bytes(self.channels);
        zeros.fill(self.zero);
        let out = target.data.as_mut_ptr();
        let window = &self.window;
        let height = window.kernel[ROWS];
        let used = height.next_multiple_of(HEIGHT);
        let mut rows = [zeros.as_ptr(); ROWS_MOST];
        let mut inside = [0; ROWS_MOST];
        let mut pixel = target.range.start;
        while pixel < end {
            let (y, x) = (pixel / target.width, pixel % target.width);
            let len = (target.width - x).min(end - pixel);
            let done = pixel - target.range.start;
            for block in &self.blocks {
                let zeros = zeros[block.first..].as_ptr();
                rows.fill(zeros);
                for ky in 0..height {
                    let y = y * window.stride[ROWS] + ky * window.dilation[ROWS];
                    let y = y
                        .checked_sub(window.pad[ROWS])
                        .filter(|&y| y < source.height);
                    inside[ky] = 0;
                    if let Some(y) = y {
                        rows[ky] = source.from_pixel(y * source.width)[block.first..].as_ptr();
                        inside[ky] = usize::MAX;
                    }
                }
                let segment = Segment {
                    rows: &rows[..used],
                    inside: &inside[..used],
                    zeros,
                    width: source.width,
                    stride: source.pixel_stride,
                    window: *window,
                    channels: block.channels,
                    numbers: self.numbers.get()[block.numbers..].as_ptr(),
                    epilogue: self.epilogue,
                    start: x,
                    len,
                    // SAFETY: pixel and channel lie within the picture, whose size is
                    // the target's.
                    sum: sum.map(|sum| unsafe { sum.at(done, block.first) }),
                    // SAFETY: as above.
                    out: unsafe { out.add(done * target.pixel_stride + block.first) },
                    out_stride: target.pixel_stride,
                };
                // SAFETY: a convolution is packed only where the processor has the
                // instructions. The rows are the picture's, or zeros of as many
                // channels; numbers were laid out for the block; the target has the
                // block's channels of each pixel of the segment.
                unsafe {
                    if block.half {
                        I::Half::segment(&segment);
                    } else {
                        I::segment(&segment);
                    }
                }
            }
            pixel += len;
        }
    }
}

/// The codes of a segment.
///
/// # Safety
/// The processor has the instructions and the segment's pointers are good.
#[inline(always)]
pub unsafe fn segment<I: Isa>(segment: &Segment<'_>) {
    // Whole blocks of channels, to which nothing is added, need no decisions.
    let plain = segment.channels == lanes::<I>() && segment.sum.is_none();
    // SAFETY: the caller promises it.
    unsafe {
        if plain {
            windows::<I, true>(segment);
        } else {
            windows::<I, false>(segment);
        }
    }
}

/// # Safety
/// As [`segment`]; a `PLAIN` segment has a whole block of channels and no summand.
#[inline(always)]
unsafe fn windows<I: Isa, const PLAIN: bool>(segment: &Segment<'_>) {
    let Window {
        kernel,
        stride,
        dilation,
        ..
    } = segment.window;
    // SAFETY: the caller promises it.
    unsafe {
        if kernel == [HEIGHT, 3] && stride[COLUMNS] == 1 {
            sliding::<I, PLAIN>(segment, dilation[COLUMNS]);
        } else if kernel == [HEIGHT, 3] && stride[COLUMNS] == 2 && dilation[COLUMNS] == 1 {
            striding::<I, PLAIN>(segment);
        } else {
            each::<I, PLAIN>(segment);
        }
    }
}

impl Segment<'_> {
    /// The input column of the first tap of output pixel `start + index`.
    #[inline(always)]
    fn first_column(&self, index: usize) -> isize {
        ((self.start + index) * self.window.stride[COLUMNS]) as isize
            - self.window.pad[COLUMNS] as isize
    }
}

/// Biases of a block.
#[inline(always)]
unsafe fn biases<I: Isa>(segment: &Segment<'_>) -> [I::Vector; VECTORS] {
    // SAFETY: a block's numbers begin with four vectors of biases.
    unsafe {
        let at = |n: usize| I::load(segment.numbers.add(n * I::LANES * 4));
        [at(0), at(1), at(2), at(3)]
    }
}

/// Stores the codes of output pixel `start + index`.
#[inline(always)]
unsafe fn store<I: Isa, const PLAIN: bool>(
    segment: &Segment<'_>,
    sums: [I::Vector; VECTORS],
    index: usize,
) {
    // SAFETY: a block's multipliers follow its biases; the index is within the segment.
    unsafe {
        let multipliers = segment.numbers.add(lanes::<I>() * 4).cast::<f32>();
        let (sum, channels) = if PLAIN {
            (None, lanes::<I>())
        } else {
            (segment.sum.map(|sum| sum.at(index, 0)), segment.channels)
        };
        let out = segment.out.add(index * segment.out_stride);
        I::store(sums, multipliers, &segment.epilogue, sum, channels, out);
    }
}

/// Weights of a window's three columns.
#[inline(always)]
unsafe fn weights<I: Isa>(segment: &Segment<'_>) -> [I::Weights; 3] {
    // SAFETY: they follow the biases and the multipliers.
    unsafe {
        let first = segment.numbers.add(2 * VECTORS * I::LANES * 4);
        [
            I::load_weights(first),
            I::load_weights(first.add(I::COLUMN_BYTES)),
            I::load_weights(first.add(2 * I::COLUMN_BYTES)),
        ]
    }
}

/// Columns of a row of windows, one after the other.
pub struct Columns<'a, 's, const PLAIN: bool> {
    /// Whose columns they are.
    pub segment: &'a Segment<'s>,
    /// The next column's three rows, and what leads to the one after it: 0 in zeros.
    pub rows: [*const u8; HEIGHT],
    /// See `rows`.
    pub steps: [usize; HEIGHT],
    x: isize,
    step: usize,
}

impl<'a, 's, const PLAIN: bool> Columns<'a, 's, PLAIN> {
    /// The columns of the window's rows from `first` on, from `x` on and `step` apart.
    #[inline(always)]
    fn new(segment: &'a Segment<'s>, first: usize, x: isize, step: usize) -> Self {
        let offset = x.wrapping_mul(segment.stride as isize);
        let inside = &segment.inside[first..][..HEIGHT];
        let rows = &segment.rows[first..][..HEIGHT];
        let row = |n: usize| rows[n].wrapping_offset(offset & inside[n] as isize);
        let step_of = |n: usize| (step * segment.stride) & inside[n];
        Self {
            segment,
            rows: [row(0), row(1), row(2)],
            steps: [step_of(0), step_of(1), step_of(2)],
            x,
            step,
        }
    }

    /// How many of the columns after the next `skipped` lie inside the picture without
    /// one outside between them.
    #[inline(always)]
    fn inside_after(&self, skipped: usize) -> usize {
        let x = self.x + (skipped * self.step) as isize;
        match usize::try_from(x) {
            Ok(x) if x < self.segment.width => (self.segment.width - x).div_ceil(self.step),
            _ => 0,
        }
    }

    /// The next column, which lies inside the picture.
    ///
    /// # Safety
    /// As [`segment`], and it does lie inside.
    #[inline(always)]
    unsafe fn next_inside<I: Isa>(&mut self) -> I::Column {
        // SAFETY: a column inside the picture has the block's channels in each row.
        let column = unsafe { self.column::<I>(self.rows) };
        self.advance();
        column
    }

    /// The next column, zeros where it lies outside the picture.
    ///
    /// # Safety
    /// As [`segment`].
    #[inline(always)]
    unsafe fn next<I: Isa>(&mut self) -> I::Column {
        // A column left of the picture is a large number.
        let rows = if (self.x as usize) < self.segment.width {
            self.rows
        } else {
            [self.segment.zeros; HEIGHT]
        };
        // SAFETY: as above, and so have the zeros.
        let column = unsafe { self.column::<I>(rows) };
        self.advance();
        column
    }

    #[inline(always)]
    unsafe fn column<I: Isa>(&self, rows: [*const u8; HEIGHT]) -> I::Column {
        let channels = if PLAIN {
            lanes::<I>()
        } else {
            self.segment.channels
        };
        // SAFETY: the caller promises rows of so many channels.
        unsafe { I::column(rows, channels) }
    }

    #[inline(always)]
    fn advance(&mut self) {
        for (row, step) in self.rows.iter_mut().zip(self.steps) {
            *row = row.wrapping_add(step);
        }
        self.passed(1);
    }

    /// `rows` have gone on by `count` columns.
    #[inline(always)]
    pub fn passed(&mut self, count: usize) {
        self.x += (count * self.step) as isize;
    }
}

/// Windows whose next columns lie inside the picture.
pub struct Windows<'a, I: Isa> {
    /// Weights of a window's three columns.
    pub weights: &'a [I::Weights; 3],
    /// Output pixel of the first one, and how many lead to the next one's.
    pub index: usize,
    /// See `index`.
    pub step: usize,
    /// How often as many windows follow as are worked out in turn.
    pub rounds: usize,
}

/// Three windows in turn, so that no column moves from register to register, a column
/// apart; returns the last two columns.
///
/// # Safety
/// As [`segment`], and the next columns, three a round, lie inside the picture.
#[inline(always)]
pub unsafe fn slide<I: Isa, const PLAIN: bool>(
    columns: &mut Columns<'_, '_, PLAIN>,
    windows: &Windows<'_, I>,
    [mut a, mut b]: [I::Column; 2],
) -> [I::Column; 2] {
    let segment = columns.segment;
    let [u, v, w] = windows.weights;
    let (mut index, step) = (windows.index, windows.step);
    // SAFETY: the caller promises it.
    unsafe {
        let biases = biases::<I>(segment);
        for _ in 0..windows.rounds {
            let c = columns.next_inside::<I>();
            let sums = I::add_columns(biases, [&a, &b, &c], [u, v, w]);
            store::<I, PLAIN>(segment, sums, index);
            index += step;
            a = columns.next_inside::<I>();
            let sums = I::add_columns(biases, [&b, &c, &a], [u, v, w]);
            store::<I, PLAIN>(segment, sums, index);
            index += step;
            b = columns.next_inside::<I>();
            let sums = I::add_columns(biases, [&c, &a, &b], [u, v, w]);
            store::<I, PLAIN>(segment, sums, index);
            index += step;
        }
    }
    [a, b]
}

/// Two windows in turn, two columns apart; returns the last column.
///
/// # Safety
/// As [`segment`], and the next columns, four a round, lie inside the picture.
#[inline(always)]
pub unsafe fn stride<I: Isa, const PLAIN: bool>(
    columns: &mut Columns<'_, '_, PLAIN>,
    windows: &Windows<'_, I>,
    mut a: I::Column,
) -> I::Column {
    let segment = columns.segment;
    let [u, v, w] = windows.weights;
    let mut index = windows.index;
    // SAFETY: the caller promises it.
    unsafe {
        let biases = biases::<I>(segment);
        for _ in 0..windows.rounds {
            let b = columns.next_inside::<I>();
            let c = columns.next_inside::<I>();
            let sums = I::add_columns(biases, [&a, &b, &c], [u, v, w]);
            store::<I, PLAIN>(segment, sums, index);
            let b = columns.next_inside::<I>();
            a = columns.next_inside::<I>();
            let sums = I::add_columns(biases, [&c, &b, &a], [u, v, w]);
            store::<I, PLAIN>(segment, sums, index + 1);
            index += 2;
        }
    }
    a
}

/// Windows of three columns a `dilation` apart, at every pixel.
#[inline(always)]
unsafe fn sliding<I: Isa, const PLAIN: bool>(segment: &Segment<'_>, dilation: usize) {
    // SAFETY: `segment`'s caller promises good pointers; `inside` counts the columns that
    // lie inside the picture, from the first window's last one on.
    unsafe {
        let [u, v, w] = weights::<I>(segment);
        let biases = biases::<I>(segment);
        for phase in 0..dilation.min(segment.len) {
            let first = segment.first_column(phase);
            let mut columns = Columns::<PLAIN>::new(segment, 0, first, dilation);
            let inside = columns.inside_after(2);
            let count = (segment.len - phase).div_ceil(dilation);
            let (a, b) = (columns.next::<I>(), columns.next::<I>());
            let windows = Windows {
                weights: &[u, v, w],
                index: phase,
                step: dilation,
                rounds: inside.min(count) / 3,
            };
            let mut index = phase + 3 * windows.rounds * dilation;
            let [mut a, mut b] = I::slide(&mut columns, &windows, [a, b]);
            while index < segment.len {
                let c = columns.next::<I>();
                let sums = I::add_columns(biases, [&a, &b, &c], [&u, &v, &w]);
                store::<I, PLAIN>(segment, sums, index);
                index += dilation;
                (a, b) = (b, c);
            }
        }
    }
}

/// Windows of three neighbouring columns, at every second pixel.
#[inline(always)]
unsafe fn striding<I: Isa, const PLAIN: bool>(segment: &Segment<'_>) {
    // SAFETY: as `sliding`.
    unsafe {
        let [u, v, w] = weights::<I>(segment);
        let biases = biases::<I>(segment);
        let mut columns = Columns::<PLAIN>::new(segment, 0, segment.first_column(0), 1);
        let inside = columns.inside_after(1);
        let a = columns.next::<I>();
        let windows = Windows {
            weights: &[u, v, w],
            index: 0,
            step: 1,
            rounds: (inside / 2).min(segment.len) / 2,
        };
        let mut index = 2 * windows.rounds;
        let mut a = I::stride(&mut columns, &windows, a);
        while index < segment.len {
            let b = columns.next::<I>();
            let c = columns.next::<I>();
            let sums = I::add_columns(biases, [&a, &b, &c], [&u, &v, &w]);
            store::<I, PLAIN>(segment, sums, index);
            index += 1;
            a = c;
        }
    }
}

/// Windows of any size, each on its own.
#[inline(always)]
unsafe fn each<I: Isa, const PLAIN: bool>(segment: &Segment<'_>) {
    // SAFETY: `segment`'s caller promises good pointers.
    unsafe {
        let biases = biases::<I>(segment);
        for index in 0..segment.len {
            let first = segment.first_column(index);
            let mut weights = segment.numbers.add(2 * VECTORS * I::LANES * 4);
            let mut sums = biases;
            for row in (0..segment.rows.len()).step_by(HEIGHT) {
                let step = segment.window.dilation[COLUMNS];
                let mut columns = Columns::<PLAIN>::new(segment, row, first, step);
                for _ in 0..segment.window.kernel[COLUMNS] {
                    let column = columns.next::<I>();
                    sums = I::add_columns(sums, [&column], [&I::load_weights(weights)]);
                    weights = weights.add(I::COLUMN_BYTES);
                }
            }
            store::<I, PLAIN>(segment, sums, index);
        }
    }
}
