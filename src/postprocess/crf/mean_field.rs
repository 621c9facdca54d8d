//! Mean field inference: messages along two lattices, and a softmax, again and again.
//!
//! One pass over the pixels receives, takes the softmax and sends at once, so that the
//! probabilities are in memory only after the last iteration.

use std::f32::consts::LOG2_E;

use super::CrfParams;
use super::lattice::Lattice;
use crate::kernels::AlignedBytes;
use crate::kernels::cpu::Cpu;
use crate::kernels::mean_field::{BLOCK, BlurArgs, Messages, PADDING, UpdateArgs};
use crate::kernels::variants::{MEAN_FIELD, MeanFieldKernels, best};

/// Bounds of a score, a logarithm to the base 2.
const SCORES: [f32; 2] = [-1e9, 1e9];

/// The scores of a picture and the columns of two lattices.
#[derive(Debug)]
pub struct MeanField {
    kernels: MeanFieldKernels,
    /// Blocks of a row.
    blocks: usize,
    /// A row for each pixel; probabilities in the end.
    scores: Numbers,
    appearance: Columns,
    smoothness: Columns,
}

/// Numbers that begin at a cache line, so that no block of a row lies in two.
#[derive(Debug)]
struct Numbers {
    bytes: AlignedBytes,
    len: usize,
}

impl Default for Numbers {
    /// None. They, too, are aligned.
    fn default() -> Self {
        Self {
            bytes: AlignedBytes::new(0),
            len: 0,
        }
    }
}

impl Numbers {
    /// What they are is unspecified afterwards. Memory is allocated where there is not
    /// enough, and then more than that, for the next picture.
    fn resize(&mut self, len: usize) {
        self.len = len;
        if self.bytes.len() < len * size_of::<f32>() {
            // The old memory goes first.
            self.bytes = AlignedBytes::new(0);
            self.bytes = AlignedBytes::new((len + len / 4) * size_of::<f32>());
        }
    }

    fn get(&self) -> &[f32] {
        &bytemuck::cast_slice(self.bytes.get())[..self.len]
    }

    fn get_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(self.bytes.get_mut())[..self.len]
    }
}

/// What a lattice's vertices hold, and room for the next values: a row for each vertex
/// and one of zeros for those that do not exist.
#[derive(Debug, Default)]
struct Columns {
    now: Numbers,
    next: Numbers,
}

impl Columns {
    fn clear(&mut self, vertices: usize, stride: usize) {
        for rows in [&mut self.now, &mut self.next] {
            rows.resize((vertices + 1) * stride);
            rows.get_mut().fill(0.0);
        }
    }

    /// Blurs what was sent to `next`; the result is in `now`, and `next` is 0 again.
    fn blur<const D: usize, const CORNERS: usize>(
        &mut self,
        kernels: &MeanFieldKernels,
        lattice: &Lattice<D, CORNERS>,
        blocks: usize,
    ) {
        std::mem::swap(&mut self.now, &mut self.next);
        for neighbours in lattice.directions() {
            (kernels.blur)(BlurArgs {
                blocks,
                neighbours,
                from: self.now.get(),
                to: self.next.get_mut(),
            });
            std::mem::swap(&mut self.now, &mut self.next);
        }
        self.next.get_mut().fill(0.0);
    }
}

impl MeanField {
    pub fn new(cpu: Cpu) -> Self {
        Self {
            kernels: best(MEAN_FIELD, cpu).1,
            blocks: 0,
            scores: Numbers::default(),
            appearance: Columns::default(),
            smoothness: Columns::default(),
        }
    }

    /// Takes a picture's scores: `fill` writes those of each pixel in turn, natural
    /// logarithms. They are kept within [`SCORES`]; a NaN becomes the least one.
    pub fn prepare(
        &mut self,
        classes: usize,
        pixels: usize,
        mut fill: impl FnMut(usize, &mut [f32]),
    ) {
        let stride = classes.next_multiple_of(BLOCK);
        self.blocks = stride / BLOCK;
        self.scores.resize(pixels * stride);
        let rows = self.scores.get_mut();
        for (pixel, row) in rows.chunks_exact_mut(stride).enumerate() {
            let (scores, padding) = row.split_at_mut(classes);
            padding.fill(PADDING);
            fill(pixel, scores);
            for score in scores {
                let scaled = *score * LOG2_E;
                // A NaN is not greater than anything.
                let least = if scaled > SCORES[0] {
                    scaled
                } else {
                    SCORES[0]
                };
                *score = least.min(SCORES[1]);
            }
        }
    }

    /// Turns scores into probabilities.
    pub fn run(
        &mut self,
        params: &CrfParams,
        (appearance, smoothness): (&Lattice<5, 6>, &Lattice<2, 3>),
    ) {
        let iterations = params.iterations;
        if iterations > 0 {
            let stride = self.blocks * BLOCK;
            self.appearance.clear(appearance.vertices(), stride);
            self.smoothness.clear(smoothness.vertices(), stride);
        }
        for iteration in 0..=iterations {
            if iteration > 0 {
                self.appearance.blur(&self.kernels, appearance, self.blocks);
                self.smoothness.blur(&self.kernels, smoothness, self.blocks);
            }
            (self.kernels.update)(UpdateArgs {
                blocks: self.blocks,
                receive: iteration > 0,
                send: iteration < iterations,
                scores: self.scores.get_mut(),
                appearance: Messages {
                    corners: appearance.corners(),
                    strength: params.appearance_weight * LOG2_E,
                    from: self.appearance.now.get(),
                    to: self.appearance.next.get_mut(),
                },
                smoothness: Messages {
                    corners: smoothness.corners(),
                    strength: params.smoothness_weight * LOG2_E,
                    from: self.smoothness.now.get(),
                    to: self.smoothness.next.get_mut(),
                },
            });
        }
    }

    /// A row for each pixel, padded, after [`run`](Self::run).
    pub fn probabilities(&self) -> &[f32] {
        self.scores.get()
    }
}
