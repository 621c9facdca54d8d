//! Convolutions that mix channels, as products of a matrix of codes (a row for each
//! output pixel) and one of weights.
//!
//! The rows of some pixels are laid out tile by tile, as the instructions like them; a
//! tile is then multiplied with the weights of a few output channels at a time, whose
//! sums stay in registers from bias to code.

use std::arch::aarch64::*;
use std::marker::PhantomData;

use super::codes::{read8, read16, store_half, store8};
use crate::kernels::scratch::Scratch;
use crate::kernels::variants::Convolution;
use crate::kernels::vector::epilogue::{self, Epilogue, Sum, checked_sum};
use crate::kernels::vector::isa::Isa;
use crate::kernels::vector::rows::Rows;
use crate::kernels::{AlignedBytes, ConvArgs, Residual, Source, Target};

/// Codes of a pixel that are laid out at once.
pub(super) const STEP: usize = 16;
/// Pixels that are laid out at once.
pub(super) const GROUP: usize = 4;
/// Bytes of codes that are multiplied with all weights before the next ones.
const CHUNK_BYTES: usize = 24 * 1024;

/// Instructions that multiply and add.
///
/// # Safety
/// As [`Isa`].
pub(super) trait Gemm: Isa {
    /// Pixels of a tile: whole groups. The last tile has fewer groups where that is
    /// enough.
    const PIXELS: usize;
    /// Output channels of a tile.
    const OUTPUTS: usize;
    /// Bytes from a group's codes to the next one's, within a tile.
    const GROUP_BYTES: usize;

    /// Whether the products of these weights, those of one output channel, are exact.
    fn is_exact(weights: &[i8]) -> bool;
    /// Bytes of the numbers of `OUTPUTS` channels of `depth` weights; a multiple of 16.
    fn block_bytes(depth: usize) -> usize;
    /// Packs the numbers of at most `OUTPUTS` channels into as many zeros.
    fn pack(channels: &Channels<'_>, to: &mut [u8]);
    /// Lays out `STEP` codes of each pixel of a group; the tile has `groups` of them.
    unsafe fn lay_out(codes: [uint8x16_t; GROUP], groups: usize, to: *mut u8);
    /// Multiplies the codes of `pixels` pixels with a block's weights.
    unsafe fn products(block: &Product<'_>, pixels: usize);
}

/// What a block is packed from.
pub(super) struct Channels<'a> {
    /// Weights of a channel.
    pub depth: usize,
    pub weights: &'a [i8],
    pub biases: &'a [i32],
    pub multipliers: &'a [f32],
}

impl Channels<'_> {
    /// Weight `k` of channel `o`; 0 where there is none.
    pub fn weight(&self, k: usize, o: usize) -> i8 {
        if k < self.depth && o < self.biases.len() {
            self.weights[o * self.depth + k]
        } else {
            0
        }
    }
}

/// Pixels to multiply with the weights of one block.
pub(super) struct Product<'a> {
    /// Codes, tile by tile, as they were laid out.
    pub codes: *const u8,
    /// Codes of a pixel.
    pub depth: usize,
    /// The block's numbers, as they were packed.
    pub numbers: *const u8,
    pub channels: usize,
    pub epilogue: &'a Epilogue,
    pub out: *mut u8,
    pub out_stride: usize,
}

/// A convolution packed for a set of instructions.
pub(super) struct Conv<I> {
    rows: Rows,
    blocks: Vec<Block>,
    numbers: AlignedBytes,
    epilogue: Epilogue,
    isa: PhantomData<fn() -> I>,
}

/// The output channels of a tile.
struct Block {
    group: usize,
    /// First output channel, among those of all groups.
    first: usize,
    channels: usize,
}

impl<I: Gemm> Conv<I> {
    /// Packs a convolution; `None` where a weight does not fit a byte, a product would
    /// not be exact, or a value may leave the 32-bit range.
    pub(super) fn pack(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
        let weights = epilogue::weights(args)?;
        let biases = epilogue::biases(args, &weights, I::CODE_OFFSET)?;
        let rows = Rows::new(args, STEP)?;
        let (depth, group_outputs) = (rows.depth, rows.group_outputs());
        if !weights.chunks_exact(depth).all(I::is_exact) {
            return None;
        }
        let mut blocks = Vec::new();
        for group in 0..args.groups {
            for o in (0..group_outputs).step_by(I::OUTPUTS) {
                // Where channels are left over the last block begins earlier: some are
                // worked out twice, and none is stored on its own.
                let o = o.min(group_outputs.saturating_sub(I::OUTPUTS));
                blocks.push(Block {
                    group,
                    first: group * group_outputs + o,
                    channels: I::OUTPUTS.min(group_outputs),
                });
            }
        }
        let block_bytes = I::block_bytes(depth);
        let mut numbers = AlignedBytes::new(blocks.len() * block_bytes);
        let lines = numbers.get_mut().chunks_exact_mut(block_bytes);
        for (block, to) in blocks.iter().zip(lines) {
            let Block {
                first, channels, ..
            } = *block;
            let channels = Channels {
                depth,
                weights: &weights[first * depth..][..channels * depth],
                biases: &biases[first..][..channels],
                multipliers: &args.multipliers[first..][..channels],
            };
            I::pack(&channels, to);
        }
        Some(Box::new(Self {
            rows,
            blocks,
            numbers,
            epilogue: Epilogue::new(args),
            isa: PhantomData,
        }))
    }

    /// Bytes of a pixel's codes, as gathered and as laid out.
    fn row_bytes(&self) -> usize {
        self.rows.gather.row_stride
    }

    /// Pixels whose rows are multiplied with all weights before the next ones.
    fn chunk(&self) -> usize {
        (CHUNK_BYTES / self.row_bytes() / I::PIXELS).max(1) * I::PIXELS
    }

    /// Bytes of the rows as gathered, and as laid out.
    fn scratch(&self, direct: bool) -> (usize, usize) {
        let laid_out = self.chunk() * self.row_bytes();
        (if direct { 0 } else { laid_out }, laid_out)
    }
}

impl<I: Gemm> Convolution for Conv<I> {
    fn reserve(&self, scratch: &mut Scratch) {
        let (gathered, laid_out) = self.scratch(self.rows.pointwise);
        scratch.reserve(gathered + laid_out);
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
        let rows = &self.rows;
        let sum = checked_sum(&source, rows.inputs(), residual, &target, rows.outputs);
        let direct = rows.lie_in(&source, &target);

        let (gathered, laid_out) = self.scratch(direct);
        let (gathered, laid_out) = scratch.bytes(gathered + laid_out).split_at_mut(gathered);
        let out = target.data.as_mut_ptr();
        let block_bytes = I::block_bytes(rows.depth);
        let chunk = self.chunk();
        let mut group = None;
        for done in (0..count).step_by(chunk) {
            let pixels = chunk.min(count - done);
            let first = target.range.start + done;
            for (index, block) in self.blocks.iter().enumerate() {
                if group != Some((done, block.group)) {
                    group = Some((done, block.group));
                    let (first_row, stride) = if direct {
                        (source.from_pixel(first).as_ptr(), source.pixel_stride)
                    } else {
                        let channel = block.group * rows.gather.inputs;
                        let range = first..first + pixels;
                        rows.gather
                            .run(source, channel, target.width, range, gathered);
                        (gathered.as_ptr(), self.row_bytes())
                    };
                    // SAFETY: there are `pixels` rows of `depth` codes, and `laid_out`
                    // has room for all of a chunk.
                    unsafe {
                        lay_out::<I>(first_row, stride, rows.depth, pixels, laid_out.as_mut_ptr());
                    }
                }
                // SAFETY: pixel and channel lie within the picture.
                let out = unsafe { out.add(done * target.pixel_stride + block.first) };
                let product = Product {
                    codes: laid_out.as_ptr(),
                    depth: rows.depth,
                    numbers: self.numbers.get()[index * block_bytes..].as_ptr(),
                    channels: block.channels,
                    epilogue: &self.epilogue,
                    out,
                    out_stride: target.pixel_stride,
                };
                // SAFETY: a convolution is packed only where the processor has the
                // instructions; codes and numbers were laid out for the tiles, and the
                // target has the block's channels of each pixel.
                unsafe { I::products(&product, pixels) };
            }
            if let Some(sum) = sum {
                // SAFETY: target and summand have `outputs` channels of each pixel, and are
                // of one shape.
                unsafe {
                    let out = out.add(done * target.pixel_stride);
                    add(
                        sum.at(done, 0),
                        rows.outputs,
                        pixels,
                        out,
                        target.pixel_stride,
                    );
                }
            }
        }
    }
}

/// Stores the codes of the first `count` pixels of a tile of eight channels, `pair` by
/// pair, and goes on to the next pixel.
#[inline(always)]
pub(super) unsafe fn store_tile<const PIXELS: usize>(
    block: &Product<'_>,
    pair: impl Fn(usize) -> uint8x16_t,
    count: usize,
    out: &mut *mut u8,
) {
    unsafe {
        if count == PIXELS && block.channels == 8 {
            for n in 0..PIXELS / 2 {
                let codes = pair(n);
                store_half::<0>(codes, out, block.out_stride);
                store_half::<1>(codes, out, block.out_stride);
            }
            return;
        }
        for n in 0..count.div_ceil(2) {
            let codes = pair(n);
            store8(vget_low_u8(codes), None, block.channels, *out);
            *out = out.add(block.out_stride);
            if 2 * n + 1 < count {
                store8(vget_high_u8(codes), None, block.channels, *out);
                *out = out.add(block.out_stride);
            }
        }
    }
}

/// Adds the other summand to codes that are stored.
///
/// # Safety
/// Both have `channels` codes of `pixels` pixels.
unsafe fn add(sum: Sum, channels: usize, pixels: usize, out: *mut u8, stride: usize) {
    for pixel in 0..pixels {
        for first in (0..channels).step_by(8) {
            let count = (channels - first).min(8);
            // SAFETY: the caller promises the codes.
            unsafe {
                let out = out.add(pixel * stride + first);
                store8(read8(out, count), Some(sum.at(pixel, first)), count, out);
            }
        }
    }
}

/// Lays out rows for their tiles. The last pixel of an incomplete group is repeated.
///
/// # Safety
/// The processor has the instructions; the rows, `stride` bytes apart, have `depth`
/// codes, and `out` has room for whole groups, each row rounded up to a `STEP`.
#[inline(always)]
unsafe fn lay_out<I: Gemm>(
    rows: *const u8,
    stride: usize,
    depth: usize,
    pixels: usize,
    out: *mut u8,
) {
    let mut tile = out;
    for first in (0..pixels).step_by(I::PIXELS) {
        let count = (pixels - first).min(I::PIXELS);
        let groups = count.div_ceil(GROUP);
        for group in 0..groups {
            let last = count - 1 - group * GROUP;
            // SAFETY: the caller promises the sizes.
            unsafe {
                let row = rows.add((first + group * GROUP) * stride);
                let rows: [_; GROUP] = std::array::from_fn(|n| row.add(n.min(last) * stride));
                let mut to = tile.add(group * I::GROUP_BYTES);
                let mut at = 0;
                while at + STEP <= depth {
                    I::lay_out(rows.map(|row| read16(row.add(at), STEP)), groups, to);
                    to = to.add(groups * GROUP * STEP);
                    at += STEP;
                }
                if at < depth {
                    let codes = rows.map(|row| read16(row.add(at), depth - at));
                    I::lay_out(codes, groups, to);
                }
            }
        }
        // SAFETY: a tile takes as much.
        tile = unsafe { tile.add(groups * GROUP * depth.next_multiple_of(STEP)) };
    }
}
