//! Parts of a model, run one at a time: they share threads, working memory and arena.

use super::Options;
use super::place::{Around, Place};
use super::share::Team;
use super::step::Step;
use crate::engine::workers::Workers;
use crate::kernels::{AlignedBytes, Source, Target};
use crate::mask::Mask;
use crate::program::{Quant, Region};

/// Regions with their weights packed and one arena for all: running one allocates
/// nothing. What the arena holds is lost when the next one runs.
pub struct Regions {
    regions: Vec<Loaded>,
    arena: AlignedBytes,
    team: Team,
}

struct Loaded {
    tensors: Vec<Place>,
    steps: Vec<Step>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

impl Regions {
    /// Packs the regions' weights, allocates the largest of their arenas and starts
    /// the threads.
    ///
    /// # Errors
    /// The system's, where it gives no more threads.
    ///
    /// # Panics
    /// If a region does not pass [`Region::check`]: whoever makes one checks it.
    pub fn new(regions: &[&Region], options: Options) -> std::io::Result<Self> {
        let mut team = Team::new(Workers::new(options.threads)?);
        let arena_bytes = regions.iter().map(|region| region.body.arena_bytes);
        let arena = AlignedBytes::new(arena_bytes.max().unwrap_or(0) as usize);
        let load = |region: &&Region| {
            let body = &region.body;
            let tensors: Vec<Place> = body.tensors.iter().map(Place::of).collect();
            let ops = body.ops.iter();
            let steps: Vec<Step> = ops
                .map(|op| Step::new(op, body, &tensors, options.cpu))
                .collect();
            for step in &steps {
                team.reserve(|scratch| step.reserve(&tensors, body.width as usize, scratch));
            }
            let index = |id: &crate::program::TensorId| id.0 as usize;
            Loaded {
                tensors,
                steps,
                inputs: region.inputs.iter().map(index).collect(),
                outputs: region.outputs.iter().map(index).collect(),
            }
        };
        Ok(Self {
            regions: regions.iter().map(load).collect(),
            arena,
            team,
        })
    }

    /// The name of each operation's kernel, region after region.
    pub fn kernels(&self) -> Vec<&'static str> {
        let steps = self.regions.iter().flat_map(|region| &region.steps);
        steps.map(|step| step.kernel).collect()
    }

    /// Threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Runs a region: `give` writes all of each input, `take` gets each output and what
    /// its codes mean, both with its place among the region's. Labels go to `mask`,
    /// which has the mask's size, where the region ends in them.
    ///
    /// # Errors
    /// Those of `give` and `take`.
    pub fn run<E>(
        &mut self,
        region: usize,
        mut give: impl FnMut(usize, Target<'_>, Quant) -> Result<(), E>,
        mut take: impl FnMut(usize, Source<'_>, Quant) -> Result<(), E>,
        mask: &mut Mask,
    ) -> Result<(), E> {
        let Loaded {
            tensors,
            steps,
            inputs,
            outputs,
        } = &self.regions[region];
        let arena = self.arena.get_mut();
        for (port, &tensor) in inputs.iter().enumerate() {
            let place = tensors[tensor];
            give(port, Around::new(arena, place).target, place.quant)?;
        }
        for step in steps {
            step.run(&[], tensors, arena, &mut self.team, mask);
        }
        for (port, &tensor) in outputs.iter().enumerate() {
            let place = tensors[tensor];
            let codes = place.source(&arena[place.start..place.end]);
            take(port, codes, place.quant)?;
        }
        Ok(())
    }
}
