//! Convolutions that mix channels, as products of a matrix of codes (a row for each
//! output pixel) and one of weights.
//!
//! A 1x1 convolution reads its rows where the picture lies; others lay them out
//! first, some pixels at a time. The product is made in tiles of some pixels by one to
//! four vectors of output channels, whose sums stay in registers from bias to code.

use std::marker::PhantomData;

use super::dot::Dot;
use crate::kernels::scratch::Scratch;
use crate::kernels::variants::Convolution;
use crate::kernels::vector::epilogue::{self, Epilogue, Sum, checked_sum};
use crate::kernels::vector::rows::Rows;
use crate::kernels::{AlignedBytes, ConvArgs, Residual, Source, Target};

/// Bytes of codes that are multiplied with all weights before the next ones: they
/// stay in the first cache beside a tile's weights.
const CHUNK_BYTES: usize = 16 * 1024;
/// Most bytes of a tile's weights that pass through the first cache at once.
const WEIGHT_BYTES: usize = 32 * 1024;

/// Instructions for tiles of pixels by output channels.
///
/// # Safety
/// As [`Isa`](crate::kernels::vector::isa::Isa).
pub(super) trait Gemm: Dot {
    /// Most pixels of a tile whose pixels have 1, 2, 3 or 4 vectors; 0 where tiles of
    /// so many are not made.
    const PIXELS: [usize; 4];
    /// Products that one lane sums in [`dot`](Dot::dot): of 4 bytes, or 2 16-bit
    /// numbers.
    const DEPTH: usize;

    /// The loop [`tiles`], compiled for these instructions.
    unsafe fn tiles(tile: &Tile<'_>, pixels: usize);
    /// The same four bytes in every lane.
    unsafe fn broadcast(from: *const u8) -> Self::Vector;
    /// As [`store`](crate::kernels::vector::isa::Isa::store), for 1 to 4 vectors.
    unsafe fn store_tile<const N: usize>(
        sums: [Self::Vector; N],
        multipliers: *const f32,
        epilogue: &Epilogue,
        sum: Option<Sum>,
        channels: usize,
        out: *mut u8,
    );
}

/// A convolution packed for a set of instructions.
pub(super) struct Conv<I> {
    rows: Rows,
    /// Codes of a row, `I::DEPTH` at a time.
    steps: usize,
    blocks: Vec<Block>,
    weights: AlignedBytes,
    /// For each block the biases, then the multipliers, four bytes each, in the order
    /// of the lanes.
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
    vectors: usize,
    /// Where in `weights` and `numbers`.
    weights: usize,
    numbers: usize,
}

/// Rows to multiply with the weights of one block.
pub(super) struct Tile<'a> {
    codes: *const u8,
    /// Bytes from one row of codes to the next.
    code_stride: usize,
    steps: usize,
    weights: &'a [u8],
    numbers: &'a [u8],
    vectors: usize,
    channels: usize,
    epilogue: Epilogue,
    sum: Option<Sum>,
    out: *mut u8,
    out_stride: usize,
}

/// Sizes of as many vectors as `count`, in parts of at most `most` that differ by one.
fn parts(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let parts = count.div_ceil(most).max(1);
    (0..parts).map(move |part| count / parts + usize::from(part < count % parts))
}

impl<I: Gemm> Conv<I> {
    /// Packs a convolution; `None` where a weight does not fit a byte or a value may
    /// leave the 32-bit range.
    pub(super) fn pack(args: &ConvArgs<'_>) -> Option<Box<dyn Convolution>> {
        let weights = epilogue::weights(args)?;
        let biases = epilogue::biases(args, &weights, I::CODE_OFFSET)?;
        // Codes are read four bytes at a time, or widened first.
        let mut rows = Rows::new(args, 4)?;
        let depth = rows.depth;
        rows.pointwise &= depth.is_multiple_of(4) && I::DEPTH == 4;
        let group_outputs = rows.group_outputs();
        let steps = depth.div_ceil(I::DEPTH);

        // A deep product gets narrower and taller tiles, or its weights leave the cache.
        let most = (1..=4).filter(|&n| I::PIXELS[n - 1] > 0);
        let most = most
            .filter(|&n| n == 1 || n * I::LANES * 4 * steps <= WEIGHT_BYTES)
            .max()?;
        let mut conv = Self {
            rows,
            steps,
            blocks: Vec::new(),
            weights: AlignedBytes::default(),
            numbers: AlignedBytes::default(),
            epilogue: Epilogue::new(args),
            isa: PhantomData,
        };
        let (mut at, mut numbers_at) = (0, 0);
        for group in 0..args.groups {
            let end = (group + 1) * group_outputs;
            let mut first = group * group_outputs;
            for vectors in parts(group_outputs.div_ceil(I::LANES), most) {
                conv.blocks.push(Block {
                    group,
                    first,
                    channels: (vectors * I::LANES).min(end - first),
                    vectors,
                    weights: at,
                    numbers: numbers_at,
                });
                first += vectors * I::LANES;
                at += steps * vectors * I::LANES * 4;
                numbers_at += 2 * vectors * I::LANES * 4;
            }
        }
        conv.weights = AlignedBytes::new(at);
        conv.numbers = AlignedBytes::new(numbers_at);
        for block in &conv.blocks {
            let count = block.vectors * I::LANES;
            let to = &mut conv.weights.get_mut()[block.weights..][..steps * count * 4];
            let numbers = &mut conv.numbers.get_mut()[block.numbers..][..2 * count * 4];
            let (to_biases, to_multipliers) = numbers.split_at_mut(count * 4);
            for place in 0..count {
                let o = I::channel(block.vectors, place / I::LANES, place % I::LANES);
                if o >= block.channels {
                    continue;
                }
                let channel = block.first + o;
                let row = &weights[channel * depth..][..depth];
                pack_row::<I>(row, &mut to[place * 4..], count * 4);
                to_biases[place * 4..][..4].copy_from_slice(&biases[channel].to_le_bytes());
                to_multipliers[place * 4..][..4]
                    .copy_from_slice(&args.multipliers[channel].to_le_bytes());
            }
        }
        Some(Box::new(conv))
    }

    /// Pixels whose rows are multiplied with all weights before the next ones.
    fn chunk(&self) -> usize {
        let most = I::PIXELS.into_iter().max().unwrap_or(1);
        (CHUNK_BYTES / (self.steps * 4)).max(most)
    }

    /// Bytes of the rows as gathered, and of the rows as 16-bit numbers.
    fn scratch(&self, direct: bool) -> (usize, usize) {
        if direct {
            return (0, 0);
        }
        let gathered = self.chunk() * self.rows.gather.row_stride;
        let widened = if I::DEPTH == 2 { 2 * gathered } else { 0 };
        (gathered.next_multiple_of(64), widened)
    }
}

impl<I: Gemm> Convolution for Conv<I> {
    fn reserve(&self, scratch: &mut Scratch) {
        let (gathered, widened) = self.scratch(self.rows.pointwise);
        scratch.bytes(gathered + widened);
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

        let (gathered, widened) = self.scratch(direct);
        let (gathered, widened) = scratch.bytes(gathered + widened).split_at_mut(gathered);
        let out = target.data.as_mut_ptr();
        let chunk = self.chunk();
        let mut group = None;
        for done in (0..count).step_by(chunk) {
            let pixels = chunk.min(count - done);
            let first = target.range.start + done;
            for block in &self.blocks {
                let (codes, code_stride) = if direct {
                    (source.from_pixel(first).as_ptr(), source.pixel_stride)
                } else {
                    if group != Some((done, block.group)) {
                        group = Some((done, block.group));
                        let channel = block.group * rows.gather.inputs;
                        let range = first..first + pixels;
                        rows.gather
                            .run(source, channel, target.width, range, gathered);
                        if I::DEPTH == 2 {
                            widen(&gathered[..pixels * self.rows.gather.row_stride], widened);
                        }
                    }
                    if I::DEPTH == 2 {
                        (widened.as_ptr(), 2 * self.rows.gather.row_stride)
                    } else {
                        (gathered.as_ptr(), self.rows.gather.row_stride)
                    }
                };
                let tile = Tile {
                    codes,
                    code_stride,
                    steps: self.steps,
                    weights: &self.weights.get()[block.weights..],
                    numbers: &self.numbers.get()[block.numbers..],
                    vectors: block.vectors,
                    channels: block.channels,
                    epilogue: self.epilogue,
                    // SAFETY: pixel and channel lie within the picture, whose size is
                    // the target's.
                    sum: sum.map(|sum| unsafe { sum.at(done, block.first) }),
                    // SAFETY: as above.
                    out: unsafe { out.add(done * target.pixel_stride + block.first) },
                    out_stride: target.pixel_stride,
                };
                // SAFETY: a convolution is packed only where the processor has the
                // instructions. Each row of codes has `steps` groups of four bytes: the
                // picture's own because `direct` asks for a multiple of four channels.
                // Weights and numbers were laid out for the block's vectors; the target
                // and the other summand have the block's channels of each pixel.
                unsafe { I::tiles(&tile, pixels) };
            }
        }
    }
}

/// Lays out the weights of an output channel: those of each step four bytes every
/// `stride` bytes.
fn pack_row<I: Gemm>(row: &[i8], to: &mut [u8], stride: usize) {
    for (weights, to) in row.chunks(I::DEPTH).zip(to.chunks_mut(stride)) {
        let width = 4 / I::DEPTH;
        for (to, &weight) in to[..4].chunks_exact_mut(width).zip(weights) {
            to.copy_from_slice(&i16::from(weight).to_le_bytes()[..width]);
        }
    }
}

/// Bytes as 16-bit numbers.
fn widen(from: &[u8], to: &mut [u8]) {
    for (to, &from) in to.chunks_exact_mut(2).zip(from) {
        to.copy_from_slice(&u16::from(from).to_le_bytes());
    }
}

/// Multiplies `pixels` rows with a block's weights.
///
/// # Safety
/// The processor has the instructions; the tile's pointers are good for so many
/// pixels.
#[inline(always)]
pub(super) unsafe fn tiles<I: Gemm>(tile: &Tile<'_>, pixels: usize) {
    // SAFETY: the caller promises it.
    unsafe {
        match tile.vectors {
            1 => rows::<I, 1>(tile, pixels),
            2 => rows::<I, 2>(tile, pixels),
            3 => rows::<I, 3>(tile, pixels),
            _ => rows::<I, 4>(tile, pixels),
        }
    }
}

/// # Safety
/// As [`tiles`].
#[inline(always)]
unsafe fn rows<I: Gemm, const N: usize>(tile: &Tile<'_>, pixels: usize) {
    macro_rules! of_height {
        ($height:expr, $at:expr; $($m:literal)*) => {
            match $height {
                $($m if $m <= I::PIXELS[N - 1] => unsafe { product::<I, $m, N>(tile, $at) },)*
                _ => {}
            }
        };
    }
    if I::PIXELS[N - 1] == 0 {
        return;
    }
    let mut at = 0;
    for height in parts(pixels, I::PIXELS[N - 1]) {
        // SAFETY: the caller promises `pixels` rows, and `at + height` is within.
        of_height!(height, at; 1 2 3 4 5 6 7 8 9 10 11 12);
        at += height;
    }
}

/// The codes of `M` pixels from `at` on.
///
/// # Safety
/// As [`tiles`].
#[inline(always)]
unsafe fn product<I: Gemm, const M: usize, const N: usize>(tile: &Tile<'_>, at: usize) {
    let vector = I::LANES * 4;
    let numbers = tile.numbers.as_ptr();
    let mut weights = tile.weights.as_ptr();
    // SAFETY: the caller promises pointers to as much as is read here.
    unsafe {
        let mut sums = [[I::load(numbers); N]; M];
        for n in 1..N {
            let bias = I::load(numbers.add(n * vector));
            for sums in &mut sums {
                sums[n] = bias;
            }
        }
        let mut codes = tile.codes.add(at * tile.code_stride);
        for _ in 0..tile.steps {
            let mut w = [I::load(weights); N];
            for (n, w) in w.iter_mut().enumerate().skip(1) {
                *w = I::load(weights.add(n * vector));
            }
            for (m, sums) in sums.iter_mut().enumerate() {
                let code = I::broadcast(codes.add(m * tile.code_stride));
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = I::dot(*sum, code, w);
                }
            }
            codes = codes.add(4);
            weights = weights.add(N * vector);
        }
        let multipliers = numbers.add(N * vector).cast::<f32>();
        for (m, sums) in sums.into_iter().enumerate() {
            let sum = tile.sum.map(|sum| sum.at(at + m, 0));
            let out = tile.out.add((at + m) * tile.out_stride);
            I::store_tile::<N>(sums, multipliers, &tile.epilogue, sum, tile.channels, out);
        }
    }
}
