//! Convolutions that mix channels, as products of a matrix of codes (a row for each
//! output pixel) and one of weights.
//!
//! The rows of some pixels are laid out tile by tile, sixteen codes of each pixel in
//! turn, as signed bytes; a tile is then multiplied with the weights of a few output
//! channels at a time, whose sums stay in registers from bias to code.

use std::marker::PhantomData;

use super::codes::{read8, read16, signed, store8};
use crate::kernels::scratch::Scratch;
use crate::kernels::variants::Convolution;
use crate::kernels::vector::epilogue::{self, Epilogue, Sum, checked_sum};
use crate::kernels::vector::isa::Isa;
use crate::kernels::vector::rows::Rows;
use crate::kernels::{AlignedBytes, ConvArgs, Residual, Source, Target};
use std::arch::aarch64::vst1q_s8;

/// Codes of a pixel that lie together.
pub(super) const STEP: usize = 16;
/// Bytes of codes that are multiplied with all weights before the next ones.
const CHUNK_BYTES: usize = 24 * 1024;

/// Instructions that multiply and add.
///
/// # Safety
/// As [`Isa`].
pub(super) trait Gemm: Isa {
    /// Most pixels of a tile.
    const PIXELS: usize;
    /// Output channels of a tile.
    const OUTPUTS: usize;

    /// Whether the products of these weights, those of one output channel, are exact.
    fn is_exact(weights: &[i8]) -> bool;
    /// Bytes of the weights of `OUTPUTS` channels of `depth` weights.
    fn weight_bytes(depth: usize) -> usize;
    /// Weights of a channel that lie together.
    const RUN: usize;
    /// Where among them weight `k` of channel `o` lies, for a multiple of `RUN`; its
    /// neighbours follow it.
    fn weight_place(k: usize, o: usize) -> usize;
    /// Multiplies the codes of `tiles` tiles of `pixels` pixels with a block's weights.
    unsafe fn products(block: &Product<'_>, pixels: usize, tiles: usize);
}

/// Pixels to multiply with the weights of one block.
pub(super) struct Product<'a> {
    /// Signed codes, tile by tile: for each `STEP` of a pixel's the pixels in turn.
    pub codes: *const i8,
    /// Codes of a pixel.
    pub depth: usize,
    pub weights: *const i8,
    /// Biases, then multipliers.
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
    weights: AlignedBytes,
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
        let weight_bytes = I::weight_bytes(depth);
        let mut packed = AlignedBytes::new(blocks.len() * weight_bytes);
        let mut numbers = AlignedBytes::new(blocks.len() * 2 * I::OUTPUTS * 4);
        let lines = packed.get_mut().chunks_exact_mut(weight_bytes);
        let lines = lines.zip(numbers.get_mut().chunks_exact_mut(2 * I::OUTPUTS * 4));
        for (block, (to, numbers)) in blocks.iter().zip(lines) {
            let (to_biases, to_multipliers) = numbers.split_at_mut(I::OUTPUTS * 4);
            for o in 0..block.channels {
                let channel = block.first + o;
                let row = weights[channel * depth..][..depth].chunks(I::RUN);
                for (run, weights) in row.enumerate() {
                    let to = &mut to[I::weight_place(run * I::RUN, o)..];
                    for (to, &weight) in to.iter_mut().zip(weights) {
                        *to = weight as u8;
                    }
                }
                to_biases[4 * o..][..4].copy_from_slice(&biases[channel].to_le_bytes());
                to_multipliers[4 * o..][..4]
                    .copy_from_slice(&args.multipliers[channel].to_le_bytes());
            }
        }
        Some(Box::new(Self {
            rows,
            blocks,
            weights: packed,
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
        let weight_bytes = I::weight_bytes(rows.depth);
        let chunk = self.chunk();
        let mut group = None;
        for done in (0..count).step_by(chunk) {
            let pixels = chunk.min(count - done);
            let first = target.range.start + done;
            let tiles = pixels.div_ceil(I::PIXELS);
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
                        lay_out(
                            first_row,
                            stride,
                            rows.depth,
                            (pixels, tiles),
                            laid_out.as_mut_ptr(),
                        );
                    }
                }
                // SAFETY: pixel and channel lie within the picture.
                let out = unsafe { out.add(done * target.pixel_stride + block.first) };
                let mut product = Product {
                    codes: laid_out.as_ptr().cast(),
                    depth: rows.depth,
                    weights: self.weights.get()[index * weight_bytes..].as_ptr().cast(),
                    numbers: self.numbers.get()[index * 2 * I::OUTPUTS * 4..].as_ptr(),
                    channels: block.channels,
                    epilogue: &self.epilogue,
                    out,
                    out_stride: target.pixel_stride,
                };
                let (small, large) = (pixels / tiles, pixels % tiles);
                // SAFETY: a convolution is packed only where the processor has the
                // instructions; codes, weights and numbers were laid out for the tiles,
                // and the target has the block's channels of each pixel.
                unsafe {
                    I::products(&product, small + 1, large);
                    let done = large * (small + 1);
                    product.codes = product.codes.add(done * self.row_bytes());
                    product.out = product.out.add(done * target.pixel_stride);
                    I::products(&product, small, tiles - large);
                }
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

/// Lays out rows for their tiles: for each `STEP` of a tile its pixels in turn, less 128.
/// The tiles are as even as can be, the larger ones first.
///
/// # Safety
/// The rows, `stride` bytes apart, have `depth` codes, and `out` room for all of them,
/// each rounded up to a `STEP`.
unsafe fn lay_out(
    rows: *const u8,
    stride: usize,
    depth: usize,
    (pixels, tiles): (usize, usize),
    out: *mut u8,
) {
    let mut row = rows;
    let mut to = out.cast::<i8>();
    for tile in 0..tiles {
        let size = pixels / tiles + usize::from(tile < pixels % tiles);
        for pixel in 0..size {
            // SAFETY: the caller promises the sizes.
            unsafe {
                let mut place = to.add(pixel * STEP);
                let mut at = 0;
                while at + STEP <= depth {
                    vst1q_s8(place, signed(read16(row.add(at), STEP)));
                    place = place.add(size * STEP);
                    at += STEP;
                }
                if at < depth {
                    vst1q_s8(place, signed(read16(row.add(at), depth - at)));
                }
                row = row.add(stride);
            }
        }
        // SAFETY: a tile takes as much.
        to = unsafe { to.add(size * depth.next_multiple_of(STEP)) };
    }
}
