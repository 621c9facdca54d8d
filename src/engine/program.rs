//! A compiled program, run operation by operation with the integer kernels.
//!
//! The same labels on every CPU: each step is integer arithmetic, or f32
//! arithmetic in an order that the operation's definition fixes.

use std::time::{Duration, Instant};

use super::scores::Scores;
use super::{EngineError, Segmenter, Shape, Workers};
use crate::kernels::cpu::Cpu;
use crate::kernels::variants::{self, Resampler, best};
use crate::kernels::{AlignedBytes, Resample};
use crate::logits::Logits;
use crate::mask::Mask;
use crate::model::Manifest;
use crate::program::{Op, Output, Program, TensorId};
use loaded::Loaded;
use share::Team;
use step::Step;

mod loaded;
mod place;
pub mod region;
mod share;
mod step;

/// How a program is run. The labels do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The kernels to choose from.
    pub cpu: Cpu,
    /// Threads, the caller's included: 1 to [`MAX_THREADS`](super::MAX_THREADS).
    pub threads: usize,
}

impl Default for Options {
    /// All that the processor has, and one thread.
    fn default() -> Self {
        Self {
            cpu: Cpu::detect(),
            threads: 1,
        }
    }
}

/// A program with its weights packed and its arena allocated: running it
/// allocates nothing.
pub struct ProgramSegmenter {
    name: String,
    shape: Shape,
    loaded: Loaded,
    output: Output,
    /// The way from codes to the mask where the program ends in logits.
    upsample: Option<Step>,
    /// What the class is chosen from and how that reaches the mask's size, where the
    /// program ends in scores or labels; and the kernel for it.
    scored: Option<(TensorId, Resample)>,
    resize: Resampler,
    arena: AlignedBytes,
    team: Team,
    cpu: Cpu,
}

impl ProgramSegmenter {
    /// A program with the best kernels of this processor, on one thread; see
    /// [`with`](Self::with).
    ///
    /// # Panics
    /// If the program does not pass [`Program::check`]: whoever makes or reads a
    /// program checks it.
    pub fn new(manifest: &Manifest, program: &Program) -> Self {
        Self::build(manifest, program, Cpu::detect(), Team::alone())
    }

    /// Packs a program's weights, allocates its arena and starts its threads.
    ///
    /// # Errors
    /// The system's, where it gives no more threads.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn with(manifest: &Manifest, program: &Program, options: Options) -> std::io::Result<Self> {
        let team = Team::new(Workers::new(options.threads)?);
        Ok(Self::build(manifest, program, options.cpu, team))
    }

    fn build(manifest: &Manifest, program: &Program, cpu: Cpu, mut team: Team) -> Self {
        let loaded = Loaded::new(program, cpu, &mut team);
        let (upsample, scored) = match program.output {
            Output::Codes => (None, None),
            Output::Labels { .. } => match program.ops.last() {
                Some(&Op::Argmax { input, resample }) => (None, Some((input, resample))),
                _ => (None, None),
            },
            Output::Logits { scores, resample } => {
                let step = Step::argmax(scores, resample, cpu);
                (Some(step), Some((scores, resample)))
            }
        };
        if let Some(step) = &upsample {
            loaded.reserve(step, program, &mut team);
        }
        Self {
            name: manifest.name.clone(),
            shape: Shape {
                width: program.width,
                height: program.height,
                classes: manifest.classes.len(),
            },
            loaded,
            output: program.output,
            upsample,
            scored,
            resize: best(variants::RESIZE, cpu).1,
            arena: AlignedBytes::new(program.arena_bytes as usize),
            team,
            cpu,
        }
    }

    /// Threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Runs all steps; the labels go to `mask` where the program ends in them. Before
    /// each step `begin` is called, after it what `begin` gave.
    fn run<End: FnOnce()>(&mut self, rgb: &[u8], mask: &mut Mask, mut begin: impl FnMut() -> End) {
        let arena = self.arena.get_mut();
        for step in &self.loaded.steps {
            let end = begin();
            step.run(rgb, &self.loaded.tensors, arena, &mut self.team, mask);
            end();
        }
    }

    /// The labels of a program that ends in logits.
    fn upsample(&mut self, rgb: &[u8], labels: &mut Mask) {
        if let Some(step) = &self.upsample {
            let arena = self.arena.get_mut();
            step.run(rgb, &self.loaded.tensors, arena, &mut self.team, labels);
        }
    }
}

impl Segmenter for ProgramSegmenter {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
        self.shape.check(rgb)?;
        labels.resize(self.shape.width, self.shape.height);
        self.run(rgb, labels, || || {});
        self.upsample(rgb, labels);
        Ok(())
    }

    fn logits(&mut self, rgb: &[u8], logits: &mut Logits) -> Result<(), EngineError> {
        self.shape.check(rgb)?;
        let Output::Logits { scores: tensor, .. } = self.output else {
            return Err(EngineError::NoLogits {
                model: self.name.clone(),
            });
        };
        self.run(rgb, &mut Mask::default(), || || {});
        let place = self.loaded.tensors[tensor.0 as usize];
        logits.width = place.width as u32;
        logits.height = place.height as u32;
        logits.classes = place.channels;
        logits.values.clear();
        let source = place.source(&self.arena.get()[place.start..place.end]);
        for y in 0..place.height {
            for x in 0..place.width {
                let real = |&code: &u8| place.quant.real(code);
                logits.values.extend(source.pixel(y, x).iter().map(real));
            }
        }
        Ok(())
    }

    fn scored_classes(&self) -> Option<usize> {
        let (tensor, _) = self.scored?;
        Some(self.loaded.tensors[tensor.0 as usize].channels)
    }

    fn segment_scored(
        &mut self,
        rgb: &[u8],
        labels: &mut Mask,
        scores: &mut Scores,
    ) -> Result<(), EngineError> {
        let Some((tensor, resample)) = self.scored else {
            return Err(EngineError::NoLogits {
                model: self.name.clone(),
            });
        };
        self.segment(rgb, labels)?;
        // The choice of the class came last and wrote the mask, so its input is still there.
        let place = self.loaded.tensors[tensor.0 as usize];
        let source = place.source(&self.arena.get()[place.start..place.end]);
        scores.keep_codes(source, resample, self.resize, self.shape);
        Ok(())
    }

    fn kernels(&self) -> Vec<&'static str> {
        self.loaded.kernels().collect()
    }

    fn segment_timed(
        &mut self,
        rgb: &[u8],
        labels: &mut Mask,
        times: &mut [Duration],
    ) -> Result<(), EngineError> {
        self.shape.check(rgb)?;
        labels.resize(self.shape.width, self.shape.height);
        let mut times = times.iter_mut();
        self.run(rgb, labels, || {
            let start = Instant::now();
            let time = times.next();
            move || {
                if let Some(time) = time {
                    *time = start.elapsed();
                }
            }
        });
        self.upsample(rgb, labels);
        Ok(())
    }

    fn describe(&self) -> String {
        let Shape { width, height, .. } = self.shape;
        let threads = match self.team.threads() {
            1 => "one thread".to_owned(),
            n => format!("{n} threads"),
        };
        format!(
            "integer program, {} operations, arena {:.1} MB, {} kernels, {threads}, {width}x{height}",
            self.loaded.steps.len(),
            self.arena.len() as f64 / 1e6,
            self.cpu.best(),
        )
    }
}
