//! Mean field inference: messages along two lattices, and a softmax, again and again.
//!
//! A tile of pixels receives and takes the softmax, and then sends, so that all
//! probabilities are in memory only after the last iteration. Pixels that receive may do
//! so in any order, at the same time; those that send to one lattice do so one after the
//! other, as the definition has it. So threads share the pixels that receive, while one
//! thread sends what the tile before has to send to one lattice, and another one what it
//! has for the other lattice.

use std::f32::consts::LOG2_E;
use std::io;
use std::ops::Range;

use super::CrfParams;
use super::lattice::Lattice;
use super::numbers::Numbers;
use super::tasks::{for_each, part};
use crate::kernels::cpu::Cpu;
use crate::kernels::mean_field::{BLOCK, BlurArgs, InferArgs, Messages, PADDING, SendArgs};
use crate::kernels::variants::{MEAN_FIELD, MeanFieldKernels, best};
use crate::workers::Workers;

/// Bounds of a score, a logarithm to the base 2.
const SCORES: [f32; 2] = [-1e9, 1e9];

/// Most scores of a tile. Its probabilities are to stay in a cache, and threads wait for
/// each other after each tile.
const TILE: usize = 3 << 14;
/// Fewest numbers of a part; smaller ones cost more than they bring.
const LEAST: usize = 1 << 11;

/// The scores of a picture and the columns of two lattices.
#[derive(Debug)]
pub struct MeanField {
    kernels: MeanFieldKernels,
    /// Blocks of a row.
    blocks: usize,
    /// A row for each pixel; probabilities in the end.
    scores: Numbers<f32>,
    /// Probabilities of a tile of pixels, and of the tile before.
    tiles: [Numbers<f32>; 2],
    appearance: Columns,
    smoothness: Columns,
}

/// What a lattice's vertices hold, and room for the next values: a row for each vertex
/// and one of zeros for those that do not exist.
#[derive(Debug, Default)]
struct Columns {
    now: Numbers<f32>,
    next: Numbers<f32>,
}

impl Columns {
    /// All that was sent, to `next`, is 0 again.
    fn clear(&mut self, vertices: usize, stride: usize) -> io::Result<()> {
        for rows in [&mut self.now, &mut self.next] {
            rows.resize((vertices + 1) * stride)?;
        }
        // Every other row is written before it is read.
        self.now.get_mut()[vertices * stride..].fill(0.0);
        self.next.get_mut().fill(0.0);
        Ok(())
    }

    /// Blurs what was sent to `next`; the result is in `now`.
    fn blur<const D: usize, const CORNERS: usize>(
        &mut self,
        workers: &mut Workers,
        kernels: &MeanFieldKernels,
        lattice: &Lattice<D, CORNERS>,
        blocks: usize,
    ) {
        std::mem::swap(&mut self.now, &mut self.next);
        let part = part_of_rows(workers, lattice.vertices(), blocks * BLOCK);
        for neighbours in lattice.directions() {
            let from = self.now.get();
            let rows = self.next.get_mut().chunks_mut(part * blocks * BLOCK);
            let parts = neighbours.chunks(part).zip(rows).enumerate();
            let tasks = parts.map(|(index, (neighbours, to))| BlurArgs {
                blocks,
                first: index * part,
                neighbours,
                from,
                to,
            });
            for_each(workers, tasks, kernels.blur);
            std::mem::swap(&mut self.now, &mut self.next);
        }
    }

    /// Makes room for what is sent.
    fn empty(&mut self, workers: &mut Workers) {
        let rows = self.next.get_mut();
        let part = part(workers, rows.len(), LEAST);
        for_each(workers, rows.chunks_mut(part), |rows| rows.fill(0.0));
    }
}

/// How many rows are a part.
fn part_of_rows(workers: &Workers, rows: usize, stride: usize) -> usize {
    part(workers, rows, LEAST.div_ceil(stride))
}

/// What is done for a tile.
enum Task<'a> {
    Infer(InferArgs<'a>),
    SendAppearance(SendArgs<'a, 6>),
    SendSmoothness(SendArgs<'a, 3>),
}

impl MeanField {
    pub fn new(cpu: Cpu) -> Self {
        Self {
            kernels: best(MEAN_FIELD, cpu).1,
            blocks: 0,
            scores: Numbers::default(),
            tiles: Default::default(),
            appearance: Columns::default(),
            smoothness: Columns::default(),
        }
    }

    /// Takes a picture's scores: `fill` writes those of each pixel, natural logarithms.
    /// They are kept within [`SCORES`]; a NaN becomes the least one.
    ///
    /// # Errors
    /// The system's, where it gives no more memory.
    pub fn prepare(
        &mut self,
        workers: &mut Workers,
        classes: usize,
        pixels: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> io::Result<()> {
        let stride = classes.next_multiple_of(BLOCK);
        self.blocks = stride / BLOCK;
        self.scores.resize(pixels * stride)?;
        let part = part_of_rows(workers, pixels, stride);
        let parts = self.scores.get_mut().chunks_mut(part * stride).enumerate();
        for_each(workers, parts, |(index, rows)| {
            for (pixel, row) in (index * part..).zip(rows.chunks_exact_mut(stride)) {
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
        });
        Ok(())
    }

    /// Turns scores into probabilities.
    ///
    /// # Errors
    /// The system's, where it gives no more memory.
    pub fn run(
        &mut self,
        workers: &mut Workers,
        params: &CrfParams,
        lattices: (&Lattice<5, 6>, &Lattice<2, 3>),
    ) -> io::Result<()> {
        let (appearance, smoothness) = lattices;
        if params.iterations > 0 {
            let stride = self.blocks * BLOCK;
            self.appearance.clear(appearance.vertices(), stride)?;
            self.smoothness.clear(smoothness.vertices(), stride)?;
            for tile in &mut self.tiles {
                tile.resize(TILE)?;
            }
        }
        for iteration in 0..=params.iterations {
            let received = iteration > 0;
            if received {
                let (kernels, blocks) = (&self.kernels, self.blocks);
                self.appearance.blur(workers, kernels, appearance, blocks);
                self.smoothness.blur(workers, kernels, smoothness, blocks);
            }
            if iteration == params.iterations {
                self.finish(workers, params, lattices, received);
            } else {
                if received {
                    self.appearance.empty(workers);
                    self.smoothness.empty(workers);
                }
                self.step(workers, params, lattices, received);
            }
        }
        Ok(())
    }

    /// Every pixel receives, if there is anything, and sends.
    fn step(
        &mut self,
        workers: &mut Workers,
        params: &CrfParams,
        lattices: (&Lattice<5, 6>, &Lattice<2, 3>),
        received: bool,
    ) {
        let Self {
            kernels, blocks, ..
        } = *self;
        let stride = blocks * BLOCK;
        let tile = TILE / stride;
        let messages = received.then(|| {
            let from = [self.appearance.now.get(), self.smoothness.now.get()];
            messages(params, lattices, from)
        });
        let to = [&mut self.appearance.next, &mut self.smoothness.next];
        let [to_appearance, to_smoothness] = to.map(Numbers::get_mut);
        let [mut buffer, mut sent] = self.tiles.each_mut().map(Numbers::get_mut);
        let mut tiles = self.scores.get_mut().chunks_mut(tile * stride);
        let mut first = 0;
        let mut sending: Option<Range<usize>> = None;
        loop {
            let send = sending.take().map(|pixels| {
                let probabilities = &sent[..pixels.len() * stride];
                let appearance = Task::SendAppearance(SendArgs {
                    blocks,
                    probabilities,
                    corners: lattices.0.corners().of(pixels.clone()),
                    to: to_appearance,
                });
                let smoothness = Task::SendSmoothness(SendArgs {
                    blocks,
                    probabilities,
                    corners: lattices.1.corners().of(pixels),
                    to: to_smoothness,
                });
                [appearance, smoothness]
            });
            let scores = tiles.next().unwrap_or_default();
            let pixels = first..first + scores.len() / stride;
            let part = part_of_rows(workers, pixels.len(), stride) * stride;
            let parts = scores.chunks_mut(part).zip(buffer.chunks_mut(part));
            let infer = parts.map(|(scores, probabilities)| {
                let probabilities = Some(&mut probabilities[..scores.len()]);
                Task::Infer(infer(blocks, messages, &mut first, scores, probabilities))
            });
            let tasks = send.into_iter().flatten().chain(infer);
            for_each(workers, tasks, |task| match task {
                Task::Infer(args) => (kernels.infer)(args),
                Task::SendAppearance(args) => (kernels.send_appearance)(args),
                Task::SendSmoothness(args) => (kernels.send_smoothness)(args),
            });
            if pixels.is_empty() {
                break;
            }
            sending = Some(pixels);
            std::mem::swap(&mut buffer, &mut sent);
        }
    }

    /// Every pixel receives, if there is anything, and keeps its probabilities.
    fn finish(
        &mut self,
        workers: &mut Workers,
        params: &CrfParams,
        lattices: (&Lattice<5, 6>, &Lattice<2, 3>),
        received: bool,
    ) {
        let stride = self.blocks * BLOCK;
        let messages = received.then(|| {
            let from = [self.appearance.now.get(), self.smoothness.now.get()];
            messages(params, lattices, from)
        });
        let scores = self.scores.get_mut();
        let part = part_of_rows(workers, scores.len() / stride, stride);
        let mut first = 0;
        let parts = scores.chunks_mut(part * stride);
        let tasks = parts.map(|scores| infer(self.blocks, messages, &mut first, scores, None));
        for_each(workers, tasks, self.kernels.infer);
    }

    /// A row for each pixel, padded, after [`run`](Self::run).
    pub fn probabilities(&self) -> &[f32] {
        self.scores.get()
    }
}

/// What all pixels receive.
fn messages<'a>(
    params: &CrfParams,
    (appearance, smoothness): (&'a Lattice<5, 6>, &'a Lattice<2, 3>),
    [from_appearance, from_smoothness]: [&'a [f32]; 2],
) -> (Messages<'a, 6>, Messages<'a, 3>) {
    (
        Messages {
            corners: appearance.corners(),
            strength: params.appearance_weight * LOG2_E,
            from: from_appearance,
        },
        Messages {
            corners: smoothness.corners(),
            strength: params.smoothness_weight * LOG2_E,
            from: from_smoothness,
        },
    )
}

/// The step of some pixels, of which `first` is the first; it is moved on.
fn infer<'a>(
    blocks: usize,
    messages: Option<(Messages<'a, 6>, Messages<'a, 3>)>,
    first: &mut usize,
    scores: &'a mut [f32],
    probabilities: Option<&'a mut [f32]>,
) -> InferArgs<'a> {
    let pixels = *first..*first + scores.len() / (blocks * BLOCK);
    *first = pixels.end;
    let messages = messages
        .map(|(appearance, smoothness)| (appearance.of(pixels.clone()), smoothness.of(pixels)));
    InferArgs {
        blocks,
        messages,
        scores,
        probabilities,
    }
}
